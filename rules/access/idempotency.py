"""`Idempotency-Key`: a write that a client sends again is carried out only once.

A key belongs to one credential. It is stored in the transaction of the write, so that it exists if
and only if the write does. Of the answer, only ids, times and counts are stored, never a value.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import Q
from django.utils import timezone
from django.utils.crypto import salted_hmac

from rowkeeper.accounts.identity import Identity
from rowkeeper.datasources.conf import setting
from rowkeeper.datasources.database.connection import connection
from rowkeeper.datasources.errors import Busy, Failure
from rowkeeper.datasources.values.codec import dumps, loads

from ..models import IdempotencyKey

LIFETIME = timedelta(days=1)
_REQUEST, _STATE = "rowkeeper.idempotency.request", "rowkeeper.idempotency.state"
_INSERT = (
    f"INSERT INTO {IdempotencyKey._meta.db_table} "  # noqa: S608 - fixed text
    "(credential,key,request,state,outcome,made_at) VALUES (%s,%s,%s,'','',%s) "
    "ON CONFLICT (credential,key) DO NOTHING"
)
# Rows that one clean-up deletes at most, so that no request waits long for it.
PIECE = 1_000


class KeyReused(Failure):
    """The client has used this `Idempotency-Key` for another request before."""

    code = "request.conflict"


class Repeated(Exception):
    """The request was carried out before. `outcome` is the part of its answer that was stored."""

    def __init__(self, outcome: dict[str, Any], state: str) -> None:
        super().__init__("the request has already been executed")
        self.outcome, self.state = outcome, state


@dataclass(slots=True)
class KeptKey:
    """The idempotency key of one request. All texts are hexadecimal digests."""

    credential: str
    key: str
    # The digest of the request with the current secret key; `earlier` has those with fallback keys.
    request: str
    earlier: tuple[str, ...] = ()
    # Whether a clean-up is due after the answer.
    is_kept: bool = field(default=False)

    def seen(self) -> Repeated | None:
        """The earlier request with this key, if there is one.

        Raises `KeyReused` if it was another request.
        """
        found = self._row()
        return None if found is None or _is_over(found) else self._repeated(found)

    def take(self) -> None:
        """Claim the key, in the transaction of the write.

        A concurrent request with the same key waits here until that transaction ends.

        Raises `Repeated` if the request has already been executed, and `KeyReused` if the key was
        sent with another one.
        """
        if self._insert():
            return
        found = self._row()
        if found is None:
            raise Busy("the same request is already in progress; try again later")
        if not _is_over(found):
            raise self._repeated(found)
        mine = IdempotencyKey.objects.filter(pk=found.pk, made_at=found.made_at)
        if not mine.update(request=self.request, made_at=timezone.now(), outcome="", state=""):
            raise Busy("the same request is already in progress; try again later")

    def keep(self, outcome: dict[str, Any], state: str) -> None:
        """Store what a repeated request is answered with, in the transaction of the write.

        `state`: a digest of what the decision depended on; empty if a repetition is always decided
        again.
        """
        own = IdempotencyKey.objects.filter(credential=self.credential, key=self.key)
        own.update(outcome=dumps(outcome), state=state)
        self.is_kept = True

    def _insert(self) -> bool:
        """Insert the key. True if it was free."""
        now = connection.ops.adapt_datetimefield_value(timezone.now())
        with connection.cursor() as cursor:
            cursor.execute(
                _INSERT,
                [self.credential, self.key, self.request, now],
            )
            return bool(cursor.rowcount == 1)

    def _row(self) -> IdempotencyKey | None:
        own = IdempotencyKey.objects.filter(credential=self.credential, key=self.key)
        found: IdempotencyKey | None = own.first()
        return found

    def _repeated(self, found: IdempotencyKey) -> Repeated:
        # A request whose secret key has been removed from the settings cannot be compared. Refusing
        # it is safe; carrying it out could do it twice.
        if found.request not in (self.request, *self.earlier):
            raise KeyReused(
                "this `Idempotency-Key` was already used for another request; each request "
                "needs its own key"
            )
        return Repeated(loads(found.outcome or "{}"), found.state)


def state_of(identity: Identity, rules_tag: str) -> str:
    """A digest of what a decision depends on apart from stored rows: the caller and the rules."""
    who = [
        identity.user,
        identity.token_id,
        identity.app_id,
        identity.source_id,
        identity.entry_id,
    ]
    return salted_hmac(_STATE, dumps([rules_tag, who]), algorithm="sha256").hexdigest()


def request_digests(client_secret: str, *parts: bytes) -> tuple[str, ...]:
    """Digests of a request: one for `SECRET_KEY`, then one for each of `SECRET_KEY_FALLBACKS`.

    They are keyed because a request may contain a password, which somebody who reads the database
    or a backup could otherwise guess. `client_secret` is known to the client only, such as its
    token, so that `SECRET_KEY` alone is not enough either.
    """
    found = hmac.new(client_secret.encode(), digestmod="sha256")
    for part in parts:
        found.update(part)
    keys = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return tuple(
        salted_hmac(_REQUEST, found.digest(), secret=key, algorithm="sha256").hexdigest()
        for key in keys
    )


def _is_over(found: IdempotencyKey) -> bool:
    """Whether a key has expired. One from the future, dated by a wrong clock, has expired too."""
    return abs(timezone.now() - found.made_at) > LIFETIME


def clean_up(credential: str) -> None:
    """Delete some expired keys, and those of one credential beyond the setting's limit."""
    purge(PIECE)
    own = IdempotencyKey.objects.filter(credential=credential).order_by("-id")
    most: int = setting("IDEMPOTENCY_KEYS")
    _delete(list(own.values_list("pk", flat=True)[most : most + PIECE]))


def purge(most: int | None = None) -> int:
    """Delete expired keys, at most `most`. Returns the number deleted."""
    now = timezone.now()
    over = Q(made_at__lt=now - LIFETIME) | Q(made_at__gt=now + LIFETIME)
    rows = IdempotencyKey.objects.filter(over).order_by("id").values_list("pk", flat=True)
    gone = 0
    while found := list(rows[: min(PIECE, PIECE if most is None else most - gone)]):
        gone += _delete(found)
        if most is not None and gone >= most:
            break
    return gone


def _delete(ids: list[int]) -> int:
    return IdempotencyKey.objects.filter(pk__in=ids).delete()[0] if ids else 0
