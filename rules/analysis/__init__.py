"""What can be said of a list of rules without a request: checks, gains, and who can do what."""
