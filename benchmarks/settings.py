"""The site's settings, with the views to compare with."""

from project.settings import *  # noqa: F403
from project.settings import INSTALLED_APPS as SITE

INSTALLED_APPS = [*SITE, "rest_framework.authtoken", "benchmarks.peer"]
MIGRATION_MODULES = {"peer": None}
ROOT_URLCONF = "benchmarks.urls"
LOGGING_CONFIG = None
