"""Rules, their changes and decisions in English."""
