"""Tests, one module a subject; `cases/` holds the specification as data."""
