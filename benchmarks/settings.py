"""The site's settings, with the view to compare with."""

from project.settings import *  # noqa: F403

ROOT_URLCONF = "benchmarks.urls"
LOGGING_CONFIG = None
