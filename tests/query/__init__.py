"""The query language: parsed, in memory, as SQL, and beside npm sift."""
