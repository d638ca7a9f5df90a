"""XLSX workbooks: read with limits, and written."""
