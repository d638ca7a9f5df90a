"""The demo: two data sources with rules, one to sign in against, and someone to be in each role."""
