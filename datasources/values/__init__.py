"""JSON values: what a row can hold, and how values are read and written as text."""
