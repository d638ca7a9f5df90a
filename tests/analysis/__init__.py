"""What is said about rules: checks, and what a new list of rules grants."""
