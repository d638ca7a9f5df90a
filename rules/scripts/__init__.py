"""Script rules of one request: their runs, their look-ups, and the permissions of their writers."""
