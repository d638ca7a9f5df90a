"""What all tests share: settings that make them quick and alike on every machine."""

from __future__ import annotations

import os
import time

import pytest
from django.conf import settings
from django.core.cache import cache


def pytest_configure() -> None:
    """Take the environment's say from the settings that a test would trip over."""
    # A real hasher spends a quarter of a second on each password, by design.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.ALLOWED_HOSTS = ["localhost", "127.0.0.1", "testserver"]
    settings.SECURE_SSL_REDIRECT = False
    settings.SESSION_COOKIE_SECURE = False
    settings.CSRF_COOKIE_SECURE = False
    # Nothing is done beside a test, nor by the clock.
    beside = {"INDEXES_ON_SAVE": False, "INDEX_ADVICE_SECONDS": None}
    settings.ROWKEEPER = {**settings.ROWKEEPER, **beside}
    # Tests leave long answers unread, which hold their turn for as long as they live.
    settings.ROWKEEPER = {**settings.ROWKEEPER, "HELD_THREADS": 1_000}
    # A share of all grants is a matter of chance.
    settings.ROWKEEPER = {**settings.ROWKEEPER, "DECISION_LOG_GRANTS": 0}
    # Most tests write rows of any shape without a credential; `test_new_columns` has the default.
    settings.ROWKEEPER = {**settings.ROWKEEPER, "ANONYMOUS_COLUMNS": True}
    # Each client builds the middleware anew: not all static files are to be listed for it.
    settings.WHITENOISE_AUTOREFRESH = True
    # What clients see is in UTC, whatever the project's own time zone is.
    if zone := os.environ.get("TEST_TIME_ZONE"):
        settings.TIME_ZONE = os.environ["TZ"] = zone
        time.tzset()
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--database-alone",
        action="store_true",
        help="leave out what asks no database: it does the same whichever there is",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is tested elsewhere: on PostgreSQL the browser, except one test."""
    if config.getoption("database_alone"):
        apart = [item for item in items if not _asks_database(item)]
        config.hook.pytest_deselected(items=apart)
        items[:] = [item for item in items if _asks_database(item)]
    if os.environ.get("ROWKEEPER_TEST_WHEEL"):
        skip = pytest.mark.skip(reason="the packages are not in this checkout")
        for item in items:
            if item.get_closest_marker("checkout"):
                item.add_marker(skip)
    if "postgresql" in settings.DATABASES["default"]["ENGINE"]:
        skip = pytest.mark.skip(reason="the browser is asked on SQLite")
        for item in items:
            if item.get_closest_marker("browser") and not item.get_closest_marker("everywhere"):
                item.add_marker(skip)


def _asks_database(item: pytest.Item) -> bool:
    """Whether it may: pytest-django lets no other test reach the database."""
    fixtures = {"db", "transactional_db"} & set(getattr(item, "fixturenames", ()))
    return bool(fixtures or item.get_closest_marker("django_db"))


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """SQLite in a file: in memory, connections that share it fail instead of waiting."""
    database = settings.DATABASES["default"]
    if database["ENGINE"] == "django.db.backends.sqlite3":
        path = tmp_path_factory.mktemp("database") / "test.sqlite3"
        database.setdefault("TEST", {})["NAME"] = str(path)


@pytest.fixture(scope="session", autouse=True)
def _no_writing_behind_ones_back(django_db_setup: None) -> None:
    from rowkeeper.accounts.providers.last_use import last_uses
    from rowkeeper.rules.decision_log.journal import journal

    journal.background = last_uses.background = False


@pytest.fixture(autouse=True)
def _fresh_cache() -> None:
    """How often somebody has tried to sign in is not counted from test to test."""
    cache.clear()


@pytest.fixture(autouse=True)
def _nothing_of_other_tests() -> None:
    """Uses of credentials that nobody has written: the next test has other rows of these ids. And
    denials, of which so many a minute are listed.
    """
    from rowkeeper.accounts.providers.last_use import last_uses
    from rowkeeper.rules.decision_log.journal import journal

    last_uses.reset()
    journal.reset()
