"""The settings of a site that is migrated by earlier code, and then by that of today.

The first code had no site of its own that ran: this is the least that each of them runs with.
"""

import os
from importlib.util import find_spec

import dj_database_url

# Before there was this package, the apps were imported by their own names.
PREFIX = "rowkeeper." if find_spec("rowkeeper") else ""
SECRET_KEY = "of tests alone"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ANONYMOUS_USER_NAME = None
DATABASES = {"default": dj_database_url.parse(os.environ["DATABASE_URL"])}
INSTALLED_APPS = [
    # Without the pages: those of the first code do not import.
    "django.contrib.admin.apps.SimpleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "guardian",
    *(f"{PREFIX}{name}" for name in ("datasources", "accounts", "rules")),
]
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "guardian.backends.ObjectPermissionBackend",
]
