"""Who may do what to data sources by Django's permissions."""
