"""A credential is looked up by one statement, which may read more in the same round trip.

What a look-up found is kept, to be *expected* of the next request with the same credential: such
a request can be decided before the database was asked, and ask for its rows in the statement that
looks the credential up again. What was expected counts only where the very same row comes back,
so nobody keeps a right by it for a single request.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db import models
from django.utils import timezone

from rowkeeper.datasources.caching import Cache
from rowkeeper.datasources.catalog.registry import Beside, Source
from rowkeeper.datasources.database.connection import database
from rowkeeper.datasources.sql import Sql

from ..errors import CredentialInvalid
from ..identity import Identity
from ..tokens import digest
from .last_use import EVERY, last_uses

_KEPT = 4_096
# Rows of people that are longer, in characters, are not kept: anybody may fill their own, and sign
# in a thousand times.
_MAX_ROW = 4_096


@dataclass(frozen=True, slots=True)
class CredentialType:
    """A kind of credential. Its row begins with its id and whether its use is yet to be noted."""

    model: type[models.Model]
    last_use: str
    # How many columns its row has, without those of the data source beside it.
    width: int
    # The statement for a database: the fields and the join of the data source beside it, what else
    # is read, and the end of the statement.
    sql: Callable[[str, str, str, str], str]
    # The moment that its validity is compared with.
    moment: Callable[[datetime], datetime]
    # None: the row no longer stands for anyone.
    identity: Callable[[tuple[Any, ...]], Identity | None]
    refusal: str

    def row(self, secret_digest: str, beside: Beside | None, also: Sql) -> tuple[Any, ...] | None:
        """The row of a secret, with what else is read."""
        now = timezone.now()
        using = database()
        time = using.ops.adapt_datetimefield_value
        with using.cursor() as cursor:
            cursor.execute(
                self.sql(
                    using.vendor,
                    beside.join_sql if beside else "",
                    also.text,
                    beside.lock_sql if beside else "",
                ),
                [
                    # A use is noted if the last one is older, or in the future: a clock was wrong.
                    time(now - EVERY),
                    time(now + EVERY),
                    *also.params,
                    *(beside.params if beside else ()),
                    secret_digest,
                    time(self.moment(now)),
                ],
            )
            found: tuple[Any, ...] | None = cursor.fetchone()
        return found

    def note(self, found: tuple[Any, ...]) -> None:
        """Write down that the credential was used, if that is to be."""
        if found[1]:
            last_uses.note(self.model, self.last_use, found[0], timezone.now())


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class CachedSession:
    """Who a credential stood for when it was last looked up, and the data source beside it.

    It is equal to itself alone. What has been made of it is kept no longer than it is: whoever
    keeps such refers to it weakly.
    """

    kind: CredentialType
    digest: str
    # The data source beside it: the column that it was found by, and the value.
    named: tuple[str, int | str]
    # What was found, without whether the use was noted.
    row: tuple[Any, ...]
    identity: Identity
    source: Source

    @property
    def reference(self) -> int | str:
        """The number or the name of the data source, as the client sent it."""
        return self.named[1]

    def confirmed(self, also: Sql) -> tuple[Any, ...] | None:
        """What else is read, if everything is still as expected; None, and forgotten, if not."""
        column, reference = self.named
        found = self.kind.row(self.digest, Beside(reference, column), also)
        width = len(self.row)
        if found is None or (found[0], *found[2 : width + 1]) != self.row:
            _forget(self.digest, self.named)
            return None
        self.kind.note(found)
        return found[width + 1 :]


# By the digest of the secret, and the data source as the request names it.
_sessions: Cache[tuple[str, tuple[str, int | str]], CachedSession] = Cache("sessions", _KEPT)
NOTHING_ELSE = Sql("")


def identity_of(kind: CredentialType, secret: str, beside: Beside | None) -> Identity:
    """Who a secret stands for; `beside` is read in the same statement.

    Raises `CredentialInvalid`.
    """
    secret_digest = digest(secret)
    found = kind.row(secret_digest, beside, NOTHING_ELSE)
    identity = None if found is None else kind.identity(found)
    if found is None or identity is None:
        if beside is not None:
            # Else whoever lost their right could have bodies read and decided all the same.
            _forget(secret_digest, (beside.column, beside.reference))
        raise CredentialInvalid(kind.refusal)
    kind.note(found)
    if beside is not None:
        beside.take(found[kind.width :])
        if beside.source is not None:
            _keep(kind, secret_digest, beside, beside.source, found, identity)
    return identity


def identity_now(kind: CredentialType, secret: str, beside: Beside | None) -> Identity | None:
    """The identity that a secret has now, without noting its use; None if it is not valid.

    With `beside.lock`, also None if somebody else has locked the data source.
    """
    found = kind.row(digest(secret), beside, NOTHING_ELSE)
    if found is None:
        return None
    if beside is not None:
        beside.take(found[kind.width :])
    return kind.identity(found)


def _forget(secret_digest: str, named: tuple[str, int | str]) -> None:
    _sessions.forget((secret_digest, named))


def _keep(
    kind: CredentialType,
    secret_digest: str,
    beside: Beside,
    source: Source,
    found: tuple[Any, ...],
    identity: Identity,
) -> None:
    named = (beside.column, beside.reference)
    own = (found[0], *found[2 : kind.width])
    if sum(len(value) for value in own if value.__class__ is str) > _MAX_ROW:
        _forget(secret_digest, named)
        return
    # The texts of a data source are the same objects for all who ask for it.
    state = (*own, *source.key)
    # The Django user behind a token is read anew by whoever looks at it.
    identity = replace(identity, django_user=None)
    kept = _sessions.get((secret_digest, named))
    if kept is not None and (kept.row, kept.identity, kept.source) == (state, identity, source):
        # The same object: what has been made of it is still so.
        return
    session = CachedSession(kind, secret_digest, named, state, identity, source)
    _sessions.put((secret_digest, named), session)


def peek(secret: str, beside: Beside) -> CachedSession | None:
    """What is to be expected of a request with this secret for this data source, if anything."""
    return _sessions.get((digest(secret), (beside.column, beside.reference)))
