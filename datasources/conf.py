"""Rowkeeper's settings: the dictionary `ROWKEEPER` in Django's settings, over these defaults."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.signals import setting_changed

from .caching import memoize

DEFAULTS: dict[str, Any] = {
    # The alias in `DATABASES` of the database that has all of Rowkeeper's data. Decisions are read
    # from it, never from a replica.
    "DATABASE": "default",
    # The most bytes of a body: of a commit, a bulk write, or a creation with entries; of any other.
    "MAX_BULK_BODY": 100_000_000,
    "MAX_BODY": 1_048_576,
    # The most bytes in UTF-8 of all names of a data source's columns together, and whether a caller
    # without a credential can create columns by writing entries.
    "MAX_COLUMN_NAMES": 65_536,
    "ANONYMOUS_COLUMNS": False,
    # The most rows in one request: of callers with a credential, and of those without.
    "MAX_ROWS": 100_000,
    "MAX_ANONYMOUS_ROWS": 1_000,
    # The most values in these rows, including those inside lists and objects.
    "MAX_VALUES": 1_000_000,
    "MAX_ANONYMOUS_VALUES": 100_000,
    # The most passwords that are set in one request, and by the requests of one network within
    # `SIGN_IN_WINDOW` seconds. To hash one takes half a second or more.
    "MAX_PASSWORDS": 20,
    "MAX_PASSWORDS_PER_ADDRESS": 100,
    # Seconds that a read may take on SQLite; PostgreSQL has `statement_timeout` for it.
    "QUERY_SECONDS": 15,
    # Seconds that a request waits for one answer of PostgreSQL if the server's own time limits do
    # not end the wait; its connection is then closed.
    "DATABASE_SECONDS": 20,
    # The most seconds that a client takes to read or send a part, if the web server is gunicorn.
    "CLIENT_SECONDS": 30,
    # How many threads of a process the writers of one data source hold at most, and how many the
    # clients with long answers: half of the threads of a process, for web servers that do not
    # state how many they have. One network, or one data source, has at most half of these long
    # answers. None: as the server states, or 4.
    "HELD_THREADS": None,
    # Days after which an idle login session ends.
    "SESSION_IDLE_DAYS": 30,
    # Accept credentials in `?auth_token=` (which is logged) and in the cookie `auth_token` (CSRF).
    "TOKEN_IN_QUERY": False,
    "TOKEN_IN_COOKIE": False,
    # Sign-in attempts per account and per network, within `SIGN_IN_WINDOW` seconds.
    "SIGN_IN_ATTEMPTS_PER_ACCOUNT": 10,
    "SIGN_IN_ATTEMPTS_PER_ADDRESS": 60,
    # Passwords that are compared for one network, including correct ones.
    "SIGN_IN_PASSWORDS_PER_ADDRESS": 600,
    "SIGN_IN_WINDOW": 900,
    # The dotted path of a callable that takes a Django user and returns whether the user's email
    # address is verified. None: use django-allauth if it is installed.
    "EMAIL_VERIFIED": None,
    # The number of the site's own proxies that append to `X-Forwarded-For`.
    "TRUSTED_PROXIES": 0,
    # The middleware of API requests with a token, by dotted path, if `TokenApiMiddleware` is
    # installed: the rest of `MIDDLEWARE` is not run for them.
    "API_MIDDLEWARE": (),
    # Whether the id of a request is taken from its header `X-Request-Id`. Only for a proxy that
    # sets the header itself: most pass on what the client sent.
    "TRUST_REQUEST_ID": False,
    # A file to import: its most bytes and rows; how many minutes it is stored until its preview is
    # confirmed, and where. The folder is private, and shared by all processes that serve the admin;
    # None: a folder in the system's temporary directory.
    "MAX_IMPORT_FILE": 100_000_000,
    "MAX_IMPORT_ROWS": 1_000_000,
    "IMPORT_MINUTES": 60,
    "IMPORT_DIR": None,
    # What scripts may use, and how many run at once: see `rules.sandbox.limits`.
    "SCRIPTS": {},
    # Whether saving a data source in the admin builds its indexes in the background; otherwise the
    # command `indexes` does.
    "INDEXES_ON_SAVE": True,
    # How many columns may be marked as indexed in all data sources together. Every insert on the
    # site evaluates the condition of each of their indexes.
    "MAX_INDEXES": 100,
    # Whether a pooler in transaction mode, such as PgBouncer, is between Django and PostgreSQL. An
    # index has to be built in its own session, so the command `indexes`, with a direct connection
    # to PostgreSQL, is then the only way to build one.
    "POOLER": False,
    # Seconds between two times that a process stores its index advice; None: never.
    "INDEX_ADVICE_SECONDS": 300,
    # The decision log: how many days a decision is stored (0: nothing is logged), and how many per
    # data source at most; the share of grants that is logged, in addition to all denials; how many
    # decisions per data source a process logs in a minute, beyond which they are only counted.
    "DECISION_LOG_DAYS": 30,
    "DECISION_LOG_ROWS": 50_000,
    "DECISION_LOG_GRANTS": 0.01,
    "DECISION_LOG_PER_MINUTE": 120,
    # How many values of `Idempotency-Key` are stored per credential, each for at most a day.
    "IDEMPOTENCY_KEYS": 10_000,
    # The name of the cache that the limits use.
    "CACHE": "default",
}


@memoize(100)
def setting(name: str) -> Any:
    """Return the value of one setting. Raises `KeyError` if there is no such setting.

    It is cached because it is constant in a process, and a request needs settings often.
    """
    return getattr(settings, "ROWKEEPER", {}).get(name, DEFAULTS[name])


def _setting_changed(**kwargs: Any) -> None:
    """Receive `setting_changed`, which only tests send."""
    if kwargs.get("setting") == "ROWKEEPER":
        setting.cache_clear()


setting_changed.connect(_setting_changed, dispatch_uid="rowkeeper-settings")
