"""Rules as they are stored: revisions, files, names, and who wrote a script."""
