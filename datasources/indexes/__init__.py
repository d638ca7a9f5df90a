"""Indexes of the columns that an administrator marked: their keys, how they are built, and advice
from recent queries.
"""
