"""Data sources in Django's admin, without their rules, which `rules.admin` adds."""
