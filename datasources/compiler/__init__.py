"""From the values of the query language to SQL."""
