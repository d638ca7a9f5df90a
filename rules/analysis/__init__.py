"""Static analysis of lists of rules: linting, privilege escalation, and who can do what."""
