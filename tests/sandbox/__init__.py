"""Scripts: the language wall, the process wall, the pool and look-ups."""
