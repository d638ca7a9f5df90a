"""Rules, their changes, and decisions, described in English."""
