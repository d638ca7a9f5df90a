"""The demo: two data sources with rules, a sign-in data source, and a user for each role."""
