"""Independent second readings of the contract, with random and hostile cases to read."""
