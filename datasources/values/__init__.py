"""JSON values: what a row can hold, and how it is read and written as text."""
