"""Import and export: CSV, JSON and workbooks."""
