"""One decision as it is logged: made while the request is answered, small, without any value."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain, islice
from secrets import token_hex
from typing import Any, Literal, TypeAlias

from django.utils.crypto import salted_hmac

from rowkeeper.accounts.client import network_of
from rowkeeper.accounts.identity import Identity
from rowkeeper.datasources.query.where.nodes import fields

from ..engine.reasons import Reason
from ..engine.requests import DecisionRequest, EntryRequest, Insert, QueryRequest
from ..engine.rule import Operation, Rule
from ..sandbox.protocol import Budget

MAX_COLUMNS = 30
MAX_NAME = 100
MAX_LINES = 25
MAX_TEXT = 250
# The longest error of a failed script, with its line.
MAX_MESSAGE = 700
SCRIPT_FAILED = frozenset({"script-error", "script-limit", "busy"})
_LINE = re.compile(r"\bline ([0-9]{1,4})\b")
# The most names that are examined to find the columns, since a request may have 100 MB.
_LOOKED_AT = 1_000

NO_SOURCE = 0

Kind: TypeAlias = Literal["anonymous", "session", "token", "django"]
RuleOutcomes: TypeAlias = Sequence[tuple[Rule, Reason]]


# Unused ids, so that the system is asked for random bytes only once for many of them.
_ids: list[str] = []
_ID_DIGITS, _IDS_AT_ONCE = 32, 64


def _random_id() -> str:
    """A random text of 128 bits. Each is returned only once."""
    try:
        return _ids.pop()
    except IndexError:
        digits = token_hex(_ID_DIGITS // 2 * _IDS_AT_ONCE)
        ids = [digits[at : at + _ID_DIGITS] for at in range(0, len(digits), _ID_DIGITS)]
        _ids.extend(ids[1:])
        return ids[0]


# Forked processes must not share ids.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_ids.clear)


@dataclass(slots=True)
class RequestLog:
    """What the log needs of one request."""

    # A random text that finds all its decisions in the log. It is replaced by the id under which
    # the request is counted, or by the id that a proxy has given it.
    request_id: str = field(default_factory=_random_id)
    entry_id: int | None = None
    # Whether anything of the request is in the log.
    logged: bool = False
    # Returns the address of the client. Called only if something is logged.
    client: Callable[[], str] = str
    # The script time that the request has used, including scripts of joined data sources.
    budget: Budget = field(default_factory=Budget)
    # Whether this is the log of a joined data source; see `joined`.
    is_joined: bool = False

    def joined(self) -> RequestLog:
        """The log of a data source that the request joins.

        What is logged of it has the request's id but does not change that id, from which the client
        could conclude what was logged.
        """
        return replace(self, logged=False, is_joined=True)

    @property
    def network(self) -> str:
        """A keyed digest of the client's network, which does not disclose the network."""
        name = network_of(self.client())
        return salted_hmac("rowkeeper.log.network", name).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Record:
    """One decision. `columns`: those that the request names; `lines`: the outcome of each rule."""

    at: datetime
    # `NO_SOURCE` for a refusal that no data source's rules decided.
    source_id: int
    request_id: str
    status: int
    operation: Operation | Literal[""]
    address: str
    entry_id: int | None
    columns: tuple[str, ...]
    kind: Kind
    token_id: int | None
    person: str
    app_id: int | None
    rule: int | None
    rule_name: str
    lines: tuple[tuple[int, str, str, str], ...]
    took: float
    # For a refusal without a data source: the `type` of the answer, and what failed.
    code: str = ""
    step: str = ""
    network: str = ""
    # If more than one: the number of decisions, which were too many to list.
    count: int = 1

    @property
    def granted(self) -> bool:
        """Whether the rules granted the request."""
        return self.status < 400


def kind_of(identity: Identity) -> Kind:
    """The kind of caller that an identity is."""
    if identity.user is None:
        return "anonymous" if identity.token_id is None else "token"
    return "django" if identity.source_id is None else "session"


def person_of(identity: Identity) -> str:
    """The user as text: `source:entry` ids of an entry, or the id of a Django user."""
    if identity.user is None:
        return ""
    if identity.source_id is not None:
        return f"{identity.source_id}:{identity.entry_id}"
    return str(identity.django_user_id)


def address_of(request: DecisionRequest | None) -> str:
    """How a request names its entries: `query`, `id`, or `new` if it sends them."""
    if isinstance(request, QueryRequest):
        return "query"
    if isinstance(request, Insert):
        return "new"
    return "" if request is None else "id"


def columns_of(request: DecisionRequest | None) -> tuple[str, ...]:
    """The first columns that a request names, without duplicates, up to the limit."""
    looked_at = islice(_names(request), _LOOKED_AT)
    return tuple(islice(dict.fromkeys(clean(name, MAX_NAME) for name in looked_at), MAX_COLUMNS))


def _names(request: DecisionRequest | None) -> Iterator[str]:
    if request is None or isinstance(request, EntryRequest):
        return iter(())
    if isinstance(request, QueryRequest):
        paths = (path.name for path in request.paths)
        return chain(request.columns, paths, (item.name for item in fields(request.where)))
    rows: Iterable[Any] = (
        request.rows
        if isinstance(request, Insert)
        else (change.submitted for change in request.changes)
    )
    return chain.from_iterable(rows)


def lines_of(notes: RuleOutcomes) -> tuple[tuple[int, str, str, str], ...]:
    """(position, name, code, text) of each rule that was evaluated.

    Of many rules, the first ones and the last, which decided. The message of a failed script may
    contain a value: see `without_message`.
    """
    kept = notes if len(notes) <= MAX_LINES else [*notes[: MAX_LINES - 1], notes[-1]]
    return tuple(
        (rule.position, clean(rule.name, MAX_TEXT), reason.code, clean(reason.text, _most(reason)))
        for rule, reason in kept
    )


def _most(reason: Reason) -> int:
    return MAX_MESSAGE if reason.code in SCRIPT_FAILED else MAX_TEXT


def without_message(code: str, text: str) -> str:
    """The text of a reason for users who may not see the data source's scripts."""
    if code not in SCRIPT_FAILED:
        return text
    line = _LINE.search(text)
    where = f" in line {line[1]}" if line else ""
    return f"is a script that failed{where}, which ends the evaluation"


def clean(text: str, most: int) -> str:
    """Text that every database can store, cut to `most` characters."""
    cut = text if len(text) <= most else text[: most - 1] + "…"
    return cut.replace("\0", "�").encode("utf-8", "replace").decode("utf-8")


def deciding_rule(notes: RuleOutcomes, granted: bool) -> Rule | None:
    """The rule that granted, or that ended the evaluation; None without one."""
    if not notes:
        return None
    rule, reason = notes[-1]
    return rule if granted or reason.final else None
