"""Access rules: parsing, decisions, and the API and the admin that enforce them."""

if __name__ != "rowkeeper.rules":
    raise ImportError("this package is imported as `rowkeeper.rules`", name=__name__)
