"""Access rules: what they say, how they decide, and the API and the admin that enforce them."""

if __name__ != "rowkeeper.rules":
    raise ImportError("this package is imported as `rowkeeper.rules`", name=__name__)
