"""The admin's pages, without a browser."""
