"""Regular expressions of the query language, which run in linear time."""
