"""Upgrades from the schema of each earlier commit, with data, to the schema of today."""
