"""Rowkeeper's settings: the dictionary `ROWKEEPER` in Django's, over these defaults."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.signals import setting_changed

from .caching import memoize

DEFAULTS: dict[str, Any] = {
    # The name in `DATABASES` of the database that holds everything of Rowkeeper's. Decisions are
    # read from it, and from no replica.
    "DATABASE": "default",
    # Bytes of a body: of a commit, a bulk write and a creation with entries; of all others.
    "MAX_BULK_BODY": 100_000_000,
    "MAX_BODY": 1_048_576,
    # Bytes in UTF-8 that the names of a data source's columns have together, and whether a caller
    # without a credential can make new columns by writing entries.
    "MAX_COLUMN_NAMES": 65_536,
    "ANONYMOUS_COLUMNS": False,
    # Rows that are sent in one request: by callers with a credential, and by those without.
    "MAX_ROWS": 100_000,
    "MAX_ANONYMOUS_ROWS": 1_000,
    # Values in these rows, those inside of lists and objects included.
    "MAX_VALUES": 1_000_000,
    "MAX_ANONYMOUS_VALUES": 100_000,
    # Passwords that are set in one request, and by the requests of one network within
    # `SIGN_IN_WINDOW` seconds. Hashing one takes half a second or more.
    "MAX_PASSWORDS": 20,
    "MAX_PASSWORDS_PER_ADDRESS": 100,
    # Seconds that a read may take on SQLite; PostgreSQL has `statement_timeout` for it.
    "QUERY_SECONDS": 15,
    # Seconds that a request waits for one answer of PostgreSQL, where the server's own time limits
    # do not end the wait; its connection is closed then.
    "DATABASE_SECONDS": 20,
    # Seconds that a client takes at most to read or send a part, where the web server is gunicorn.
    "CLIENT_SECONDS": 30,
    # How many threads of a process the writers of one data source hold at most, and how many the
    # clients that are sent long answers: half of the threads that a process has, where the web
    # server does not say how many it has. One network, or one data source, has half of these long
    # answers at most. None: as the server says, or 4.
    "HELD_THREADS": None,
    # Days after which an idle login session ends.
    "SESSION_IDLE_DAYS": 30,
    # Credentials in `?auth_token=` and in the cookie `auth_token`: logged, or open to CSRF.
    "TOKEN_IN_QUERY": False,
    "TOKEN_IN_COOKIE": False,
    # Sign-in attempts per account and per address, within so many seconds.
    "SIGN_IN_ATTEMPTS_PER_ACCOUNT": 10,
    "SIGN_IN_ATTEMPTS_PER_ADDRESS": 60,
    # Passwords that are compared for one address, the right ones included.
    "SIGN_IN_PASSWORDS_PER_ADDRESS": 600,
    "SIGN_IN_WINDOW": 900,
    # The dotted path of a callable that takes a Django user and returns whether the user's email
    # address is verified. None: django-allauth is asked if it is installed.
    "EMAIL_VERIFIED": None,
    # How many proxies of one's own stand in front and append to `X-Forwarded-For`.
    "TRUSTED_PROXIES": 0,
    # The middleware of API requests with a token, by dotted path, if `TokenApiMiddleware` is
    # installed: the rest of `MIDDLEWARE` is not run for them.
    "API_MIDDLEWARE": (),
    # Whether the id of a request is taken from its header `X-Request-Id`. Only for a proxy that
    # sets the header itself: most pass on what the client sent.
    "TRUST_REQUEST_ID": False,
    # A file to import: bytes and rows; minutes that it is kept for its preview to be confirmed,
    # and where. The place is private, and shared by all processes that serve the admin; None: a
    # folder among the system's temporary files.
    "MAX_IMPORT_FILE": 100_000_000,
    "MAX_IMPORT_ROWS": 1_000_000,
    "IMPORT_MINUTES": 60,
    "IMPORT_DIR": None,
    # What scripts may use, and how many run at once: see `rules.sandbox.limits`.
    "SCRIPTS": {},
    # Whether saving a data source in the admin makes the indexes that it wants, beside the request;
    # where not, the command `indexes` does.
    "INDEXES_ON_SAVE": True,
    # How many columns may be marked as indexed in all data sources together. Every insert on the
    # site looks at each of their indexes.
    "MAX_INDEXES": 100,
    # Whether a pooler in transaction mode, such as PgBouncer, is between Django and PostgreSQL. An
    # index is built in a session of its own, so the command `indexes`, which has to reach
    # PostgreSQL itself, is then the only way to build one.
    "POOLER": False,
    # How often a process writes down which indexes queries would have wanted; None: never.
    "INDEX_ADVICE_SECONDS": 300,
    # The decision log: days that a decision is kept (0: nothing is logged), and how many of one
    # data source at most; the share of what was granted that is logged, beside all denials; how
    # many decisions of one data source a process lists a minute, those beyond are only counted.
    "DECISION_LOG_DAYS": 30,
    "DECISION_LOG_ROWS": 50_000,
    "DECISION_LOG_GRANTS": 0.01,
    "DECISION_LOG_PER_MINUTE": 120,
    # How many values of `Idempotency-Key` are kept of one credential; each for a day at most.
    "IDEMPOTENCY_KEYS": 10_000,
    # The name of the cache that the limits use.
    "CACHE": "default",
}


@memoize(100)
def setting(name: str) -> Any:
    """The value of one setting. It stays the same for a process, and a request asks often.

    Raises `KeyError` if there is no such setting.
    """
    return getattr(settings, "ROWKEEPER", {}).get(name, DEFAULTS[name])


def _setting_changed(**kwargs: Any) -> None:
    """Receives `setting_changed`, which only tests send."""
    if kwargs.get("setting") == "ROWKEEPER":
        setting.cache_clear()


setting_changed.connect(_setting_changed, dispatch_uid="rowkeeper-settings")
