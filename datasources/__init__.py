"""What the site stores: data sources, their entries, and the query language."""

if __name__ != "rowkeeper.datasources":
    raise ImportError("this package is imported as `rowkeeper.datasources`", name=__name__)
