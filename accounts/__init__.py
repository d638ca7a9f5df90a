"""Who is asking: identities, and the credentials that they are made from."""
