"""The one database that Rowkeeper reads and writes: `ROWKEEPER["DATABASE"]`.

A decision depends on credentials, users, permissions, data sources and rules. They are all read
from the database that they are written to, regardless of the project's routers for other models:
a replica that lags would grant what has just been revoked. Raw SQL uses `connection` and `atomic`
from this module; `OneDatabase` is the router for everything that goes through the ORM.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from django.contrib.auth import get_user_model
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from ..caching import memoize
from ..conf import setting
from .features import Features, features_of
from .sqlite_writers import writing_in_turn

_OWN_LABELS = frozenset({"rowkeeper_datasources", "rowkeeper_accounts", "rowkeeper_rules"})
# Users, groups and permissions: Rowkeeper's tables have foreign keys to them, and statements join
# them.
_JOINED_LABELS = frozenset({"auth", "contenttypes", "guardian"})
# Sessions; the database cache, which counts attempts to sign in; allauth, which knows the verified
# email addresses. They may be in another database, but must not be read from a replica.
_READ_LABELS = frozenset({"sessions", "django_cache"})
_READ_MODULES = ("allauth.",)


def alias() -> str:
    """Return the alias in `DATABASES` of the database in use."""
    name: str = setting("DATABASE")
    return name


def database() -> BaseDatabaseWrapper:
    """Return this thread's connection, for several uses; `connection` looks it up each time."""
    return connections[setting("DATABASE")]


@memoize(1)
def features() -> Features:
    """Return the features of the database in use, which is constant in a process."""
    return features_of(database())


class _Connection:
    """A proxy for this thread's connection, as `django.db.connection` is for `default`."""

    def __getattr__(self, name: str) -> Any:
        return getattr(connections[alias()], name)


connection = cast(BaseDatabaseWrapper, _Connection())


@contextmanager
def atomic(savepoint: bool = True) -> Iterator[None]:
    """Open `transaction.atomic` on the database in use, as a context manager.

    On SQLite, where each transaction takes the write lock, transactions begin in the order in which
    they were requested. Raises `Busy` if the turn does not come in time.
    """
    with writing_in_turn(database()), transaction.atomic(using=alias(), savepoint=savepoint):
        yield


class OneDatabase:
    """A router that keeps Rowkeeper's models, and what its decisions depend on, in one database.

    It comes before the routers of the project, which decide for all other models.
    """

    def db_for_read(self, model: type[Model], **hints: Any) -> str | None:
        """Return the database that the model is written to, if a decision can depend on it."""
        if is_own(model):
            return alias()
        return router.db_for_write(model, **hints) if is_shared(model) else None

    def db_for_write(self, model: type[Model], **hints: Any) -> str | None:
        """Return the database in use for Rowkeeper's models; the project decides for others."""
        return alias() if is_own(model) else None


def install() -> None:
    """Put `OneDatabase` before the routers of the project. Called once, when the app is ready."""
    others = [found for found in router.routers if not isinstance(found, OneDatabase)]
    router.routers[:] = [OneDatabase(), *others]


def is_own(model: type[Model]) -> bool:
    """Whether the model is one of Rowkeeper's."""
    return model._meta.app_label in _OWN_LABELS


@memoize(1_000)
def is_joined(model: type[Model]) -> bool:
    """Whether the model is one of users or permissions, which are in the same database."""
    if model._meta.app_label in _JOINED_LABELS or model.__module__.startswith("guardian."):
        return True
    user = get_user_model()
    people: set[Any] = {user, *user._meta.get_parent_list()}
    people |= {field.remote_field.through for field in user._meta.many_to_many}
    return model in people or issubclass(model, user)


@memoize(1_000)
def is_shared(model: type[Model]) -> bool:
    """Whether a decision can depend on this model of Django, guardian, allauth or the project."""
    if model._meta.app_label in _READ_LABELS or model.__module__.startswith(_READ_MODULES):
        return True
    return is_joined(model) or issubclass(model, AbstractBaseSession)
