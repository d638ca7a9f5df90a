"""Look up a credential in one statement, which can read more in the same round trip.

What the statement found is cached as a `CachedCredential`. A later request with the same credential
can be decided by it before the database is queried, and can read its rows in the statement that
looks the credential up again. The cached session counts only if the identical row comes back, so
that no permission outlives its credential, not even for one request.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db import models
from django.utils import timezone

from rowkeeper.datasources.caching import Cache
from rowkeeper.datasources.catalog.registry import Source, SourceJoin
from rowkeeper.datasources.database.connection import database
from rowkeeper.datasources.sql import Sql

from ..errors import CredentialInvalid
from ..identity import Identity
from ..tokens import digest
from .last_use import EVERY, last_uses

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
    # Returns the statement, given the database vendor, the join of the data source, further columns
    # to read, and the locking clause at the end.
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
        with using.cursor() as cursor:
            cursor.execute(
                self.sql(
                    using.vendor,
                    source_join.join_sql if source_join else "",
                    also.text,
                    source_join.lock_sql if source_join else "",
                ),
                [
                    # A use is recorded if the last one is older, or in the future because a clock
                    # was wrong.
                    time(now - EVERY),
                    time(now + EVERY),
                    *also.params,
                    *(source_join.params if source_join else ()),
                    secret_digest,
                    time(self.moment(now)),
                ],
            )
            found: tuple[Any, ...] | None = cursor.fetchone()
        return found

    def note(self, found: tuple[Any, ...]) -> None:
        """Record that the credential was used, if the row says that this is due."""
        if found[1]:
            last_uses.note(self.model, self.last_use, found[0], timezone.now())


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class CachedCredential:
    """The identity that a credential had when it was last looked up, and its data source.

    Compared by object identity, so that a cache of derived values can be keyed by it: its
    values are dropped together with it.
    """

    kind: CredentialType
    digest: str
    # How the data source was named: the column that it was found by, and the value.
    named: tuple[str, int | str]
    # The row that was found, without the flag whether the use has to be recorded.
    row: tuple[Any, ...]
    identity: Identity
    source: Source

    @property
    def reference(self) -> int | str:
        """The id or the name of the data source, as the client sent it."""
        return self.named[1]

    def confirmed(self, also: Sql) -> tuple[Any, ...] | None:
        """Look the credential up again, and read `also` in the same statement.

        Returns the columns of `also`. Returns None and drops the cached session if anything
        changed.
        """
        column, reference = self.named
        found = self.kind.row(self.digest, SourceJoin(reference, column), also)
        width = len(self.row)
        if found is None or (found[0], *found[2 : width + 1]) != self.row:
            _forget(self.digest, self.named)
            return None
        self.kind.note(found)
        return found[width + 1 :]


# By the digest of the secret, and the data source as the request names it.
_sessions: Cache[tuple[str, tuple[str, int | str]], CachedCredential] = Cache("sessions", _KEPT)
NOTHING_ELSE = Sql("")


def identity_of(kind: CredentialType, secret: str, source_join: SourceJoin | None) -> Identity:
    """The identity of a secret; `source_join` is read in the same statement.

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
    kind.note(found)
    if source_join is not None:
        source_join.take(found[kind.width :])
        if source_join.source is not None:
            _keep(kind, secret_digest, source_join, source_join.source, found, identity)
    return identity


def identity_now(
    kind: CredentialType, secret: str, source_join: SourceJoin | None
) -> Identity | None:
    """The identity that a secret has now, without recording its use; None if it is not valid.

    With `source_join.lock`, also None if another transaction has locked the data source.
    """
    found = kind.row(digest(secret), source_join, NOTHING_ELSE)
    if found is None:
        return None
    if source_join is not None:
        source_join.take(found[kind.width :])
    return kind.identity(found)


def _forget(secret_digest: str, named: tuple[str, int | str]) -> None:
    _sessions.forget((secret_digest, named))


def _keep(
    kind: CredentialType,
    secret_digest: str,
    source_join: SourceJoin,
    source: Source,
    found: tuple[Any, ...],
    identity: Identity,
) -> None:
    named = (source_join.column, source_join.reference)
    own = (found[0], *found[2 : kind.width])
    if sum(len(value) for value in own if value.__class__ is str) > _MAX_ROW:
        _forget(secret_digest, named)
        return
    # Requests for the same data source share its texts, which are the same objects.
    state = (*own, *source.key)
    # The Django user behind a token is read again by each request that needs it.
    identity = replace(identity, django_user=None)
    kept = _sessions.get((secret_digest, named))
    if kept is not None and (kept.row, kept.identity, kept.source) == (state, identity, source):
        # Keep the same object, so that values derived from it stay cached.
        return
    session = CachedCredential(kind, secret_digest, named, state, identity, source)
    _sessions.put((secret_digest, named), session)


def peek(secret: str, source_join: SourceJoin) -> CachedCredential | None:
    """The cached session of this secret and this data source, not yet revalidated; or None."""
    return _sessions.get((digest(secret), (source_join.column, source_join.reference)))
