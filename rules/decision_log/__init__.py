"""The decision log: what the rules decided, for those who look after a data source.

A request only appends to a list in memory (`journal`); a thread of the process's own writes from
there to the database (`writer`). No value of a row, of a where or of a user is kept.
"""
