"""Who is asking: sign-in, tokens, sessions and their limits."""
