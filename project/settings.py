"""The site's settings. What differs between installations is read from the environment.

| Variable             | Default                                    |
|----------------------|--------------------------------------------|
| DATABASE_URL         | SQLite at `var/db.sqlite3`                 |
| DATABASE_POOL        | 10; under WSGI 0                           |
| DATABASE_POOLER      | 0                                          |
| SQLITE_SYNCHRONOUS   | `FULL`                                     |
| SECRET_KEY           | generated once, stored in `var/secret_key` |
| ALLOWED_HOSTS        | `localhost,127.0.0.1,[::1]`                |
| REDIS_URL            | a cache in each process                    |
| SCRIPT_NAME          | none                                       |
| HTTPS                | 0                                          |
| TRUSTED_PROXIES      | 0                                          |
| CSRF_TRUSTED_ORIGINS | none                                       |
| DEBUG                | 0                                          |
| LOG_LEVEL            | `INFO`                                     |

`docs/reference/settings.md` describes each variable. Switches are on for `1`, `true`, `yes` and
`on`. With `HTTPS=1`, your own host names in `ALLOWED_HOSTS`, and a proxy in `TRUSTED_PROXIES`,
`manage.py check --deploy` does not warn about the settings of this module.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

from project.secret_key import kept_secret

BASE_DIR = Path(__file__).resolve().parent.parent
# The files that the site writes: the database, the secret key.
VAR_DIR = BASE_DIR / "var"


def _text(name: str, default: str = "") -> str:
    """The variable without surrounding white space; an empty one counts as absent."""
    return os.environ.get(name, "").strip() or default


def _switch(name: str) -> bool:
    """Whether the variable is on. Raises `ImproperlyConfigured` for another value."""
    value = _text(name, "0").lower()
    if value not in {"0", "false", "no", "off", "1", "true", "yes", "on"}:
        raise ImproperlyConfigured(f"`{name}` is `{value}`, expected `1` or `0`")
    return value in {"1", "true", "yes", "on"}


def _number(name: str, default: int, least: int) -> int:
    """The variable as an integer. Raises `ImproperlyConfigured` if it is less than `least`."""
    value = _text(name, str(default))
    if not (value.isascii() and value.isdigit()) or int(value) < least:
        raise ImproperlyConfigured(f"`{name}` is `{value}`, expected a number of at least {least}")
    return int(value)


def _path(name: str) -> str:
    """The variable as a path such as `/app`, without a trailing slash; empty for the root."""
    value = _text(name).rstrip("/")
    if value and (not value.startswith("/") or "//" in value):
        raise ImproperlyConfigured(f"`{name}` is `{value}`, expected a path such as `/app`")
    return value


def _list(name: str, default: str = "") -> list[str]:
    """The variable, split at commas."""
    return [item.strip() for item in _text(name, default).split(",") if item.strip()]


# --- Safety -------------------------------------------------------------------------------------

DEBUG = _switch("DEBUG")
SECRET_KEY = _text("SECRET_KEY") or kept_secret(VAR_DIR / "secret_key")
ALLOWED_HOSTS = _list("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = _list("CSRF_TRUSTED_ORIGINS")

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"

HTTPS = _switch("HTTPS")
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SECURE = HTTPS
SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS

# A proxy sets or removes the headers about its client. Without a proxy, any client can forge them.
TRUSTED_PROXIES = _number("TRUSTED_PROXIES", 0, least=0)
if TRUSTED_PROXIES:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

ROWKEEPER: dict[str, Any] = {"TRUSTED_PROXIES": TRUSTED_PROXIES}

# --- Apps, middleware, pages --------------------------------------------------------------------

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "guardian",
    "rowkeeper.datasources",
    "rowkeeper.accounts",
    "rowkeeper.rules",
    "project",
]

MIDDLEWARE = [
    # First, so that an error in any other middleware is also answered in JSON under `/v1/`.
    "rowkeeper.rules.api.middleware.JsonErrorMiddleware",
    "django.middleware.security.SecurityMiddleware",
    # Requests with a token need none of the following middleware.
    "rowkeeper.rules.api.middleware.TokenApiMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "project.urls"
WSGI_APPLICATION = "project.wsgi.application"
ASGI_APPLICATION = "project.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# gunicorn uses this variable too. Two sites on one host must not overwrite each other's cookies.
SCRIPT_NAME = _path("SCRIPT_NAME")
if SCRIPT_NAME:
    FORCE_SCRIPT_NAME = SCRIPT_NAME
    SESSION_COOKIE_PATH = CSRF_COOKIE_PATH = f"{SCRIPT_NAME}/"
STATIC_URL = f"{SCRIPT_NAME}/static/"
# Served from the apps' folders, so that `collectstatic` is not needed.
WHITENOISE_USE_FINDERS = True

# --- Database, cache ----------------------------------------------------------------------------

# FULL: data that was answered as stored survives a power failure. NORMAL is faster and can lose the
# last writes then, but loses nothing if only the process ends.
SQLITE_SYNCHRONOUS = _text("SQLITE_SYNCHRONOUS", "FULL").upper()
if SQLITE_SYNCHRONOUS not in {"FULL", "EXTRA", "NORMAL"}:
    raise ImproperlyConfigured(
        f"`SQLITE_SYNCHRONOUS` is `{SQLITE_SYNCHRONOUS}`, expected `FULL`, `EXTRA` or `NORMAL`"
    )
# A transaction takes its write lock when it begins, and waits for its turn. Otherwise, two
# transactions that read first and write later would fail. Connections stay open, to save setting
# them up again.
_SQLITE: dict[str, Any] = {
    "ENGINE": "django.db.backends.sqlite3",
    "CONN_MAX_AGE": None,
    "OPTIONS": {
        "transaction_mode": "IMMEDIATE",
        "timeout": 5,
        "init_command": f"PRAGMA journal_mode=WAL; PRAGMA synchronous={SQLITE_SYNCHRONOUS};",
    },
}


DATABASE_POOLER = _switch("DATABASE_POOLER")
if DATABASE_POOLER:
    ROWKEEPER["POOLER"] = True


def _database(url: str) -> dict[str, Any]:
    """The settings of `DATABASE_URL`; for PostgreSQL, with a pool or persistent connections."""
    if not url:
        # Contains entries and password hashes, so that only the owner may read it.
        VAR_DIR.mkdir(mode=0o700, exist_ok=True)
        return {**_SQLITE, "NAME": VAR_DIR / "db.sqlite3"}
    scheme = url.partition(":")[0]
    if scheme not in {"postgres", "postgresql", "sqlite"}:
        raise ImproperlyConfigured(
            f"`DATABASE_URL` begins with `{scheme}:`, expected `postgres:` or `sqlite:`"
        )
    given = {name for name, _ in parse_qsl(urlsplit(url).query)}
    if {"currentSchema", "options"} <= given:
        raise ImproperlyConfigured(
            "`DATABASE_URL` has both `currentSchema` and `options`: set the schema in "
            "`options`, as in `-c search_path=...`"
        )
    config: dict[str, Any] = dict(dj_database_url.parse(url, conn_max_age=0))
    if scheme == "sqlite":
        for name in given - {"timeout"}:
            raise ImproperlyConfigured(
                f"`DATABASE_URL` has `{name}`: the only option for SQLite is `timeout`, in seconds"
            )
        options = {**_SQLITE["OPTIONS"], **config.get("OPTIONS", {})}
        return {**_SQLITE, "NAME": config["NAME"], "OPTIONS": options}
    return _postgresql(config)


def _postgresql(config: dict[str, Any]) -> dict[str, Any]:
    """The settings of PostgreSQL: those of the URL, and those that the site needs in addition."""
    # An unknown option in the URL causes an error when the first connection is made.
    options = dict(config.get("OPTIONS", {}))
    # Seconds to connect; milliseconds within which sent data must be acknowledged; and seconds
    # until an idle connection is probed.
    options = {
        "connect_timeout": 5,
        "tcp_user_timeout": 15_000,
        "keepalives_idle": 30,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        **options,
    }
    if DATABASE_POOLER:
        if "options" in options:
            raise ImproperlyConfigured(
                "`DATABASE_URL` has `options` or `currentSchema`, which a pooler does not pass on: "
                "use `ALTER ROLE ... SET ...` on the server instead"
            )
        # libpq would send it as `options`.
        os.environ.pop("PGOPTIONS", None)
        # A statement may reach a server connection that has not prepared it, and cursors end with
        # their transaction.
        options["prepare_threshold"] = None
        return {**config, "DISABLE_SERVER_SIDE_CURSORS": True, "OPTIONS": options}
    size = _number("DATABASE_POOL", 10, least=0)
    if size:
        options["pool"] = {"min_size": 1, "max_size": size, "timeout": 10}
    else:
        # A server with a fixed number of threads needs no pool: one connection for each thread
        # saves a tenth of a request.
        config["CONN_MAX_AGE"] = None
    # The same few statements run on every request. Preparing them once for each connection saves
    # the database about half of the cost.
    options["server_side_binding"] = True
    options["prepare_threshold"] = 3
    # Generic plans: the statements allow one sensible plan, while custom plans would be made each
    # time. JIT compilation of a statement with thousands of conditions takes far longer than
    # running it. The options of the URL and the environment come last, and take precedence.
    given = [options.get("options", ""), _text("PGOPTIONS")]
    options["options"] = " ".join(
        ["-c plan_cache_mode=force_generic_plan -c jit=off", *filter(None, given)]
    )
    return {**config, "OPTIONS": options}


DATABASES = {"default": _database(_text("DATABASE_URL"))}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = _text("REDIS_URL")
CACHES: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        # Seconds for each attempt: a server that does not answer must not block all threads.
        "OPTIONS": {"socket_connect_timeout": 1, "socket_timeout": 1},
    }
    if REDIS_URL
    else {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "LOCATION": "rowkeeper",
        # Counters of sign-in attempts must not evict one another.
        "OPTIONS": {"MAX_ENTRIES": 200_000},
    }
}

# --- Authentication -----------------------------------------------------------------------------

AUTHENTICATION_BACKENDS = [
    # First, since it stops attempts that are over a limit.
    "rowkeeper.accounts.backends.SignInLimits",
    "django.contrib.auth.backends.ModelBackend",
    "guardian.backends.ObjectPermissionBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
# Anonymous visitors get nothing from object permissions, so guardian needs no user for them.
ANONYMOUS_USER_NAME = None
LOGIN_URL = "admin:login"

# --- Language, time, the log -------------------------------------------------------------------

LANGUAGE_CODE = "en-us"
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

LOG_LEVEL = _text("LOG_LEVEL", "INFO").upper()
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    # Django's own handlers would email or suppress messages for stderr, and its loggers have their
    # own level, which would take precedence over the root logger's.
    "loggers": {
        name: {"handlers": [], "level": LOG_LEVEL, "propagate": True}
        for name in ("django", "django.server")
    },
}
