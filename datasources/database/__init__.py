"""The one database in use: its connection, its failures, and the time that requests wait for it."""
