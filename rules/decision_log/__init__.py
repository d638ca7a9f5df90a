"""The decision log: what the rules decided, for those who look after a data source.

A request only appends to a list in memory (`journal`). A background thread writes from there to the
database (`writer`). No value of an entry, a where or a user is logged.
"""
