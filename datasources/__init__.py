"""What is stored: data sources, their entries, and the language that queries them."""
