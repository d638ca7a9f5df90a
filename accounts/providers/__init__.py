"""From credentials to identities: one module for each type of credential."""
