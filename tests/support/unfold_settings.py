"""The site under another admin theme, for `test_rule_editor_unfold`."""

from project.settings import *  # noqa: F403
from project.settings import INSTALLED_APPS as OWN

INSTALLED_APPS = ["unfold", *OWN]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
