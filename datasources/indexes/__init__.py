"""Columns that an administrator marked as indexed: their keys, how indexes are built, what recent
queries would have wanted.
"""
