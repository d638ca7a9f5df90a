"""Import and export: the entries of a data source as a file, and a file as its entries.

A file is read as lines (`csv`, `xlsx`), lines as rows (`table`), and rows as changes of the stored
entries (`plan`), which are shown (`preview`) and then carried out (`apply`). `export` is the
reverse. Only `cells` defines what a cell means.
"""
