"""What is stored: data sources, their entries, and the language that queries them."""

if __name__ != "rowkeeper.datasources":
    raise ImportError("this package is imported as `rowkeeper.datasources`", name=__name__)
