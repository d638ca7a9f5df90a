"""System checks, registered when the app is ready: of the settings, and of the database."""
