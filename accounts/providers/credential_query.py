"""Look up a credential in one statement, which can read more in the same round trip.

What the statement found is cached as a `CachedCredential`. A later request with the same credential
can be decided by it before the database is queried, and can read its rows in the statement that
looks the credential up again. The cached credential counts only if the identical row comes back, so
that no permission outlives its credential, not even for one request.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, TypeAlias
from weakref import ref

from django.db import models
from django.utils import timezone

from rowkeeper.datasources.caching import Cache
from rowkeeper.datasources.catalog.registry import Source, SourceJoin, source_in
from rowkeeper.datasources.database.connection import database, features
from rowkeeper.datasources.sql import Sql

from ..errors import CredentialInvalid
from ..identity import Identity
from ..tokens import digest
from .last_use import EVERY, last_uses

# How a request names its data source: the column that it is found by, and the value.
Named: TypeAlias = tuple[Literal["id", "name"], int | str]
NO_JOIN: tuple[str, tuple[int | str, ...], str] = ("", (), "")
_KEPT = 4_096
# Longer rows, in characters, are not cached: users can fill their own entries, and sign in a
# thousand times.
_MAX_ROW = 4_096


@dataclass(frozen=True, slots=True)
class CredentialType:
    """A type of credential. Its row begins with its id and whether its use has to be recorded."""

    model: type[models.Model]
    last_use: str
    # The number of columns of its row, without those of the data source that is read with it.
    width: int
    # Returns the statement, given the name of the database, the join of the data source, further
    # columns to read, and the locking clause at the end.
    sql: Callable[[str, str, str, str], str]
    # Returns the time that validity is compared with, given the current time.
    moment: Callable[[datetime], datetime]
    # Returns None if the row is no longer valid.
    identity: Callable[[tuple[Any, ...]], Identity | None]
    refusal: str

    def row(
        self, secret_digest: str, source_join: SourceJoin | None, also: Sql
    ) -> tuple[Any, ...] | None:
        """The row of a secret, the columns of `source_join` and of `also`; None if not found."""
        now = timezone.now()
        using = database()
        time = using.ops.adapt_datetimefield_value
        join, params, lock = NO_JOIN if source_join is None else source_join.sql()
        with using.cursor() as cursor:
            cursor.execute(
                self.sql(features().name, join, also.text, lock),
                [
                    # A use is recorded if the last one is older, or in the future because a clock
                    # was wrong.
                    time(now - EVERY),
                    time(now + EVERY),
                    *also.params,
                    *params,
                    secret_digest,
                    time(self.moment(now)),
                ],
            )
            found: tuple[Any, ...] | None = cursor.fetchone()
        return found

    def note(self, found: tuple[Any, ...]) -> None:
        """Record that the credential was used, which is due if the row's second column says so."""
        last_uses.note(self.model, self.last_use, found[0], timezone.now())


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class CachedCredential:
    """The identity that a credential had when it was last looked up, and its data source.

    Compared by object identity, so that a cache of derived values can be keyed by it: its
    values are dropped together with it.
    """

    kind: CredentialType
    digest: str
    named: Named
    # The row that was found, without the flag whether the use has to be recorded.
    row: tuple[Any, ...]
    identity: Identity
    source: Source

    def confirmed(self, also: Sql) -> tuple[Any, ...] | None:
        """Look the credential up again, and read `also` in the same statement.

        Returns the columns of `also`. Returns None and drops the cached credential if anything
        changed.
        """
        column, reference = self.named
        found = self.kind.row(self.digest, SourceJoin(reference, column), also)
        width = len(self.row)
        if found is None or (found[0], *found[2 : width + 1]) != self.row:
            _forget(self.digest, self.named)
            return None
        if found[1]:
            self.kind.note(found)
        return found[width + 1 :]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends a request, and the data source that its URL names, as the database has them now."""

    identity: Identity
    # The data source that was read in the same statement; None if none was to be read.
    source_join: SourceJoin | None = None
    # None if there is no such data source.
    source: Source | None = None
    # A weak reference, because Django's request objects can stay in memory for long.
    cached_ref: ref[CachedCredential] | None = None

    @property
    def cached(self) -> CachedCredential | None:
        """What is cached of the credential and the data source, or None.

        It is the same object as at an earlier request if neither has changed since, so that it can
        be the key of values derived from both.
        """
        return None if self.cached_ref is None else self.cached_ref()


# By the digest of the secret, and the data source as the request names it.
_sessions: Cache[tuple[str, Named], CachedCredential] = Cache("sessions", _KEPT)
NOTHING_ELSE = Sql("")


def caller_of(kind: CredentialType, secret: str, source_join: SourceJoin | None) -> Caller:
    """The caller with a secret; the data source of `source_join` is read in the same statement.

    Raises `CredentialInvalid` with the refusal of `kind` if the secret is not valid.
    """
    secret_digest = digest(secret)
    found = kind.row(secret_digest, source_join, NOTHING_ELSE)
    identity = None if found is None else kind.identity(found)
    if found is None or identity is None:
        if source_join is not None:
            # Otherwise a client that lost its access could still have bodies parsed and decided.
            _forget(secret_digest, (source_join.column, source_join.reference))
        raise CredentialInvalid(kind.refusal)
    if found[1]:
        kind.note(found)
    source = None if source_join is None else source_in(found[kind.width :])
    if source_join is None or source is None:
        return Caller(identity, source_join)
    named = (source_join.column, source_join.reference)
    cached = _keep(kind, secret_digest, named, source, found, identity)
    return Caller(identity, source_join, source, None if cached is None else ref(cached))


def caller_now(kind: CredentialType, secret: str, source_join: SourceJoin | None) -> Caller | None:
    """The caller that a secret stands for now, without recording its use; None if it is not valid.

    With `source_join.lock`, also None if another transaction has locked the data source.
    """
    found = kind.row(digest(secret), source_join, NOTHING_ELSE)
    identity = None if found is None else kind.identity(found)
    if found is None or identity is None:
        return None
    source = None if source_join is None else source_in(found[kind.width :])
    return Caller(identity, source_join, source)


def _forget(secret_digest: str, named: Named) -> None:
    _sessions.forget((secret_digest, named))


def _keep(
    kind: CredentialType,
    secret_digest: str,
    named: Named,
    source: Source,
    found: tuple[Any, ...],
    identity: Identity,
) -> CachedCredential | None:
    """Cache what was found, unless it is too long."""
    own = (found[0], *found[2 : kind.width])
    if sum(len(value) for value in own if value.__class__ is str) > _MAX_ROW:
        _forget(secret_digest, named)
        return None
    # Requests for the same data source share its texts, which are the same objects.
    state = (*own, *source.key)
    # The Django user behind a token is read again by each request that needs it.
    identity = replace(identity, django_user=None)
    kept = _sessions.get((secret_digest, named))
    if kept is not None and (kept.row, kept.identity, kept.source) == (state, identity, source):
        # Keep the same object, so that values derived from it stay cached.
        return kept
    cached = CachedCredential(kind, secret_digest, named, state, identity, source)
    _sessions.put((secret_digest, named), cached)
    return cached


def peek(secret: str, source_join: SourceJoin) -> CachedCredential | None:
    """What is cached of this secret and this data source, not yet revalidated; or None."""
    return _sessions.get((digest(secret), (source_join.column, source_join.reference)))
