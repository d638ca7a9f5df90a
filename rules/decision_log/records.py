"""One decision as it is logged: made on the request's path, small, and without any value."""

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
# Of a script that failed: its line and what it says.
MAX_MESSAGE = 700
SCRIPT_FAILED = frozenset({"script-error", "script-limit", "busy"})
_LINE = re.compile(r"\bline ([0-9]{1,4})\b")
# What is looked at to find the columns, of a request that may hold 100 MB.
_LOOKED_AT = 1_000

NO_SOURCE = 0

Kind: TypeAlias = Literal["anonymous", "session", "token", "django"]
RuleOutcomes: TypeAlias = Sequence[tuple[Rule, Reason]]


# Ids that are ready: the system is asked for random bytes once for many.
_ids: list[str] = []
_ID_DIGITS, _IDS_AT_ONCE = 32, 64


def _random_id() -> str:
    """A random text of 128 bits. Each is given to one caller only."""
    try:
        return _ids.pop()
    except IndexError:
        digits = token_hex(_ID_DIGITS // 2 * _IDS_AT_ONCE)
        ids = [digits[at : at + _ID_DIGITS] for at in range(0, len(digits), _ID_DIGITS)]
        _ids.extend(ids[1:])
        return ids[0]


# Two processes must not share them.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_ids.clear)


@dataclass(slots=True)
class RequestLog:
    """What one request leaves behind."""

    # A random text that finds all its decisions in the log. It is changed for the id under which
    # the request is counted, or that a proxy has given it.
    request_id: str = field(default_factory=_random_id)
    entry_id: int | None = None
    # Whether something of the request is in the log.
    logged: bool = False
    # The address of the client, asked for when something is logged.
    client: Callable[[], str] = str
    # What the scripts of the request have used, those of joined data sources included.
    budget: Budget = field(default_factory=Budget)
    # Whether it is that of a joined data source; see `joined`.
    is_joined: bool = False

    def joined(self) -> RequestLog:
        """The trail of a data source that the request joins. What is logged of it has the id of the
        request, but does not change it: the client could tell from its id what was logged.
        """
        return replace(self, logged=False, is_joined=True)

    @property
    def network(self) -> str:
        """What stands for the network of the client, without telling it."""
        name = network_of(self.client())
        return salted_hmac("rowkeeper.log.network", name).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Record:
    """One decision. `columns` are those that the request names, `lines` what each rule said."""

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
    # Of a refusal without a data source: the `type` of the answer, and what failed.
    code: str = ""
    step: str = ""
    network: str = ""
    # More than one: decisions that were only counted, as there were too many to list.
    count: int = 1

    @property
    def granted(self) -> bool:
        """Whether the rules let it through."""
        return self.status < 400


def kind_of(identity: Identity) -> Kind:
    """Which kind of caller this is."""
    if identity.user is None:
        return "anonymous" if identity.token_id is None else "token"
    return "django" if identity.source_id is None else "session"


def person_of(identity: Identity) -> str:
    """Who it is, as two numbers: a row of a data source, or a Django user."""
    if identity.user is None:
        return ""
    if identity.source_id is not None:
        return f"{identity.source_id}:{identity.entry_id}"
    return str(identity.django_user_id)


def address_of(ask: DecisionRequest | None) -> str:
    """By what the entries are meant: a query, their ids, or that they are sent."""
    if isinstance(ask, QueryRequest):
        return "query"
    if isinstance(ask, Insert):
        return "new"
    return "" if ask is None else "id"


def columns_of(ask: DecisionRequest | None) -> tuple[str, ...]:
    """The first columns that a request names, each once; of those names no more than fits."""
    looked_at = islice(_names(ask), _LOOKED_AT)
    return tuple(islice(dict.fromkeys(clean(name, MAX_NAME) for name in looked_at), MAX_COLUMNS))


def _names(ask: DecisionRequest | None) -> Iterator[str]:
    if ask is None or isinstance(ask, EntryRequest):
        return iter(())
    if isinstance(ask, QueryRequest):
        paths = (path.name for path in ask.paths)
        return chain(ask.columns, paths, (item.name for item in fields(ask.where)))
    rows: Iterable[Any] = (
        ask.rows if isinstance(ask, Insert) else (change.submitted for change in ask.changes)
    )
    return chain.from_iterable(rows)


def lines_of(notes: RuleOutcomes) -> tuple[tuple[int, str, str, str], ...]:
    """(position, name, code, text) of each rule that was looked at; the first rules and the last,
    which settled it. What a script says where it fails may hold a value: see `without_message`.
    """
    kept = notes if len(notes) <= MAX_LINES else [*notes[: MAX_LINES - 1], notes[-1]]
    return tuple(
        (rule.position, clean(rule.name, MAX_TEXT), reason.code, clean(reason.text, _most(reason)))
        for rule, reason in kept
    )


def _most(reason: Reason) -> int:
    return MAX_MESSAGE if reason.code in SCRIPT_FAILED else MAX_TEXT


def without_message(code: str, text: str) -> str:
    """The text of a reason for people who may not see the scripts of the data source."""
    if code not in SCRIPT_FAILED:
        return text
    line = _LINE.search(text)
    where = f" in line {line[1]}" if line else ""
    return f"is a script that failed{where}, and ends the evaluation"


def clean(text: str, most: int) -> str:
    """Text that every database takes, cut to a length."""
    cut = text if len(text) <= most else text[: most - 1] + "…"
    return cut.replace("\0", "�").encode("utf-8", "replace").decode("utf-8")


def deciding_rule(notes: RuleOutcomes, granted: bool) -> Rule | None:
    """The rule that granted, or that ended the evaluation."""
    if not notes:
        return None
    rule, reason = notes[-1]
    return rule if granted or reason.final else None
