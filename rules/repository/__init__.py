"""Stored rules: read, saved, renamed, and converted to and from files."""
