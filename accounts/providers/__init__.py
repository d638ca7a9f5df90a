"""Credentials made into identities, one module for each kind of credential."""
