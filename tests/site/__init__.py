"""The project around the apps: settings, commands, the demo, serving and upgrades."""
