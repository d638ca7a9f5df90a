"""Indexes of columns that an administrator marked: their keys, how indexes are built, what recent
queries would have wanted.
"""
