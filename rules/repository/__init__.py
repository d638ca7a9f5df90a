"""Rules as they are stored: read, saved, renamed, and carried to files."""
