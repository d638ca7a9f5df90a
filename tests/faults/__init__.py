"""What is acknowledged stays, and nothing is half, while processes and the database are killed."""
