"""Regular expressions of the query language, which take linear time."""
