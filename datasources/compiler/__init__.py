"""Compiles the values of the query language to SQL."""
