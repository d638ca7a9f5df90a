"""Who sends a request: identities, and the credentials that they are made from."""

if __name__ != "rowkeeper.accounts":
    raise ImportError("this package is imported as `rowkeeper.accounts`", name=__name__)
