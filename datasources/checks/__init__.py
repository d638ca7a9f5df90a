"""System checks of the settings and of the database, registered when the app is ready."""
