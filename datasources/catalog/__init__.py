"""Data sources as requests need them: found, locked, and saved."""
