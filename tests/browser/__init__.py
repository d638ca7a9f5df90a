"""The admin's pages in a real browser."""
