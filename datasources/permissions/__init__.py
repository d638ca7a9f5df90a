"""Who may do what with data sources by Django's permissions."""
