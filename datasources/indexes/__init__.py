"""Indexes of marked columns: their keys, how they are built, and advice from recent queries."""
