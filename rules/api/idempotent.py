"""The `Idempotency-Key` of a request to the API, if it has one."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from django.http import HttpRequest, HttpResponse

from rowkeeper.accounts.credentials import extract_secrets
from rowkeeper.accounts.identity import Identity
from rowkeeper.datasources import store
from rowkeeper.datasources.catalog.registry import Source
from rowkeeper.datasources.errors import Malformed
from rowkeeper.datasources.values.codec import dumps

from ..access.guard import Guard
from ..access.idempotency import KeptKey, Repeated, clean_up, request_digests, state_of
from .answering import after_write
from .bodies import IDEMPOTENCY_KEY, digest_of_body

REPLAYED = "Idempotency-Replayed"
_KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?\Z")
# On average, one of this many requests with a key deletes old keys.
_CLEAN_UP_EVERY = 50


@dataclass(frozen=True, slots=True)
class IdempotentRequest:
    """Makes sure that one request is executed once. Does nothing if the request has no key."""

    key: KeptKey | None = None

    @classmethod
    def of(cls, request: HttpRequest, identity: Identity, row: Any = None) -> IdempotentRequest:
        """Read the header. `row` is the parsed body if the body may be a form: the text of a form
        differs each time a client sends it.

        Raises `Malformed` for an invalid key, and for a caller without a credential, because others
        could send the same key.
        """
        text = request.META.get(IDEMPOTENCY_KEY)
        if text is None:
            return cls()
        if not _KEY.match(text):
            raise Malformed("`Idempotency-Key` must be 1 to 255 characters of printable ASCII")
        if identity.is_anonymous:
            raise Malformed("`Idempotency-Key` requires a login or an API token")
        body = digest_of_body(request) if row is None else dumps(row).encode()
        address = f"{request.method} {request.get_full_path()}\n".encode()
        credential = _credential(request, identity)
        # The database has neither of the two.
        current, *earlier = request_digests(f"{credential}\n{text}", address, body)
        return cls(KeptKey(_digest(credential), _digest(text), current, tuple(earlier)))

    def confirm(self, inner: store.Confirm) -> store.Confirm:
        """Confirm the write and then claim the key, for `store.writing`."""
        if self.key is None:
            return inner

        def both(source: Source, alone: bool) -> None:
            inner(source, alone)
            self.take()

        return both

    def take(self) -> None:
        """Claim the key, in the transaction of the write. Raises `Repeated`, `KeyReused`."""
        if self.key is not None:
            self.key.take()

    def seen(self) -> Repeated | None:
        """The earlier request with this key, or None. Raises `KeyReused`."""
        return None if self.key is None else self.key.seen()

    def keep(self, outcome: dict[str, Any], guard: Guard | None = None) -> None:
        """Store the response for a repetition, in the transaction of the write.

        `guard` decided the write. If it is None, a repetition is always decided again.
        """
        if self.key is not None:
            self.key.keep(outcome, "" if guard is None else _state(guard))

    def clean_up(self) -> None:
        """Delete old keys from time to time, after a request."""
        key = self.key
        if key is not None and key.is_kept and not secrets.randbelow(_CLEAN_UP_EVERY):
            after_write(lambda: clean_up(key.credential))


def is_unchanged(repeated: Repeated, guard: Guard) -> bool:
    """Whether the earlier decision still applies, because nothing that it depends on has changed.
    Otherwise, the request must be decided again on the current state.
    """
    return bool(repeated.state) and repeated.state == _state(guard)


def replayed(response: HttpResponse) -> HttpResponse:
    """The response, marked as the response of an earlier request."""
    response[REPLAYED] = "true"
    return response


def runs_of(ids: Iterable[int]) -> list[list[int]]:
    """IDs as runs of consecutive numbers: [first, count]."""
    runs: list[list[int]] = []
    for number in ids:
        if runs and number == sum(runs[-1]):
            runs[-1][1] += 1
        else:
            runs.append([number, 1])
    return runs


def ids_of(runs: Iterable[list[int]]) -> Iterator[int]:
    """The ids of `runs_of`."""
    for first, count in runs:
        yield from range(first, first + count)


def _state(guard: Guard) -> str:
    """The state that a decision depends on. Empty with scripts, which must always decide again."""
    if guard.source is None or guard.ruleset.has_scripts:
        return ""
    return state_of(guard.identity, guard.source.rules_tag)


def _credential(request: HttpRequest, identity: Identity) -> str:
    """What identifies the credential: the text of a token, or the user of a session of the site."""
    tokens = sorted(extract_secrets(request))
    return f"token {tokens[0]}" if tokens else f"user {identity.django_user_id}"


def _digest(text: str) -> str:
    """The digest by which a key is found again. It does not depend on the secret key."""
    return sha256(text.encode()).hexdigest()
