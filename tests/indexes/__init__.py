"""Indexes of marked columns."""
