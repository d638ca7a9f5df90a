"""The query language: JSON in, frozen values out. It does not import Django."""
