"""The one database in use: its connection, its failures, and how long requests wait for it."""
