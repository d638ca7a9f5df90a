"""Signing in against a data source, and the limits of attempts to sign in."""
