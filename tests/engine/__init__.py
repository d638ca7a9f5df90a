"""Rules as they decide: parsed, matched, rendered, and beside the second reading."""
