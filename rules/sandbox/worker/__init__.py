"""The code that runs inside a worker. It imports no Django and no other code of the project."""
