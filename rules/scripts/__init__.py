"""Script rules: run for one request, with look-ups and with the rights of their authors."""
