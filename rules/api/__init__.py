"""The REST API: the only door to entries. Parse, decide, run, answer."""
