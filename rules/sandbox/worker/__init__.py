"""What runs inside a worker. It imports nothing of the project but itself, and no Django."""
