"""Rows in the database: reads, writes, plans, columns, locks, and a database that fails."""
