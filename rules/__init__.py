"""Access rules: what they say, how they decide, and the doors that obey them."""
