"""The query language: JSON in, frozen values out. It imports no Django."""
