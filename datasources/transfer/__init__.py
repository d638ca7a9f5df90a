"""Import and export: the entries of a data source as a file, and a file as its entries.

A file is read as lines (`csv`, `xlsx`), lines as rows (`table`), rows as changes of what
is stored (`plan`), which are shown (`preview`) and then carried out (`apply`). The other way:
`export`. What a cell says is settled in one place (`cells`).
"""
