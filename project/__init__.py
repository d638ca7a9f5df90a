"""The runnable site around the apps: settings, URLs, entry points. Not part of the wheel."""
