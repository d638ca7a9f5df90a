"""The settings of such a site: `PRIMARY_URL` and `REPLICA_URL` name its databases."""

import os

from project.settings import *  # noqa: F403
from project.settings import ROWKEEPER as OWN
from project.settings import _database

DATABASES = {
    "default": {},
    "primary": _database(os.environ["PRIMARY_URL"]),
    "replica1": _database(os.environ["REPLICA_URL"]),
    "replica2": _database(os.environ["REPLICA_URL"]),
}
DATABASE_ROUTERS = ["tests.replica.router.PrimaryReplicaRouter"]
ROWKEEPER = {
    **OWN,
    "DATABASE": os.environ.get("ROWKEEPER_DATABASE", "primary"),
    "INDEXES_ON_SAVE": False,
    "INDEX_ADVICE_SECONDS": None,
}
ALLOWED_HOSTS = ["testserver"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
WHITENOISE_AUTOREFRESH = True
