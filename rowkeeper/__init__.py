"""Rowkeeper: data sources behind ordered access rules, as apps for a Django project.

The apps are `rowkeeper.datasources`, `rowkeeper.accounts` and `rowkeeper.rules`. Their folders are
at the top of the checkout, and this package links to them.
"""
