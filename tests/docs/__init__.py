"""The documentation: its examples are run."""
