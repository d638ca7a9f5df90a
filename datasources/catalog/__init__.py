"""Data sources as requests need them: looking them up, locking and saving them."""
