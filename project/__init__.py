"""The runnable site round the apps: settings, addresses, entry points. Not in the wheel."""
