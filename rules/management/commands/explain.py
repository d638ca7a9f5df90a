"""`explain SOURCE --operation select ...`: what the rules decide on a request, and why.

It uses the same engine as the API, with the stored rules. Nothing is written.
"""

from __future__ import annotations

from argparse import RawDescriptionHelpFormatter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.core.management.base import CommandError, CommandParser

from rowkeeper.accounts.identity import Identity
from rowkeeper.accounts.models import ApiToken
from rowkeeper.datasources import store
from rowkeeper.datasources.catalog import registry
from rowkeeper.datasources.catalog.registry import Source
from rowkeeper.datasources.errors import Busy, Failure, Malformed, NotFound
from rowkeeper.datasources.management.base import SiteCommand
from rowkeeper.datasources.query.select import Delete, parse_query
from rowkeeper.datasources.values.codec import dumps
from rowkeeper.datasources.values.validation import MAX_INTEGER, printable, problem_with_row
from rowkeeper.rules.access.guard import Guard, guard_of
from rowkeeper.rules.api.errors import STATUS
from rowkeeper.rules.describe.decision import columns_in_words, conditions_in_words, script_in_words
from rowkeeper.rules.engine.decide import (
    Decision,
    decide_delete,
    decide_insert,
    decide_select,
    decide_update,
)
from rowkeeper.rules.engine.reasons import TraceLine
from rowkeeper.rules.engine.requests import (
    Change,
    DecisionRequest,
    EntryRequest,
    Insert,
    QueryRequest,
    Update,
)
from rowkeeper.rules.engine.rule import OPERATIONS, Operation
from rowkeeper.rules.management.referring import data_source, json_object

DECIDE: dict[Operation, Callable[..., Decision]] = {
    "select": decide_select,
    "insert": decide_insert,
    "update": decide_update,
    "delete": decide_delete,
}
# The combinations of `--query`, `--data` and `--entry` that an operation accepts.
FITTING = {
    "select": ({"query"}, {"entry"}, set()),
    "delete": ({"query"}, {"entry"}),
    "insert": ({"data"},),
    "update": ({"data", "entry"},),
}
WANTED = {
    "select": "`--query` or `--entry`, or neither for every entry",
    "delete": "`--query` or `--entry`",
    "insert": "`--data`",
    "update": "`--entry` and `--data`",
}
QUERY_KEYS = (
    "type",
    "where",
    "order",
    "attributes",
    "limit",
    "offset",
    "includePagination",
    "countOnly",
)
EXAMPLES = """examples:
  explain Employees --operation select --user '{"Role": "User"}' --query '{"where": {"Salary": 1}}'
  explain Employees --operation update --user '{"Email": "bob@acme.com"}' --entry 2 \\
    --data '{"Email": "bob@acme.com", "First Name": "Robert"}'
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for the engine. `ask` None: an update of an entry that does not exist."""

    operation: Operation
    ask: DecisionRequest | None
    # The id of an entry that does not exist.
    missing: int | None = None


class Command(SiteCommand):
    """Prints the answer, its details, and one line for each rule."""

    help = "Prints what the rules of a data source say to a request, and why."

    def create_parser(self, *args: Any, **kwargs: Any) -> CommandParser:
        """Keep the line breaks of the examples."""
        parser = super().create_parser(*args, **kwargs)
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXAMPLES
        return parser

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the command's arguments."""
        parser.add_argument("source", help="the data source, by number or by name")
        parser.add_argument("--operation", required=True, choices=OPERATIONS)
        parser.add_argument(
            "--user", metavar="JSON", help="who is signed in: columns and values, as rules see them"
        )
        parser.add_argument("--token", type=int, metavar="ID", help="the API token's id")
        parser.add_argument("--app", type=int, metavar="ID", help="the app's id")
        parser.add_argument(
            "--query", metavar="JSON", help='the body of a query: {"where": {...}, "order": [...]}'
        )
        parser.add_argument("--data", metavar="JSON", help="the row that is sent")
        parser.add_argument("--entry", type=int, metavar="ID", help="the entry's id")

    def handle(self, *args: Any, **options: Any) -> None:
        """Decide and print. Raises `CommandError` if the request is not possible."""
        source = registry.source_of(data_source(options["source"]))
        identity = _identity(options)
        try:
            asked = _asked(source, identity, options)
        except Malformed as error:
            raise CommandError(
                f"a client would be answered {_answer(error)}: {error.message}"
            ) from None
        # A client that may not know of the data source gets back the reference that it sent.
        named = options["source"] == source.name
        guard = guard_of(source.name if named else source.id, source, identity)
        for line in told(guard, asked):
            self.stdout.write(line)


def told(guard: Guard, asked: Asked) -> list[str]:
    """The lines to print about a request: the answer, its details, and the trace."""
    try:
        decision = (
            None
            if asked.ask is None
            else DECIDE[asked.operation](guard.ruleset, guard.identity, asked.ask, guard.scripts)
        )
    except Busy as busy:
        return [f"not decided: {_answer(busy)}", f"  {busy.message}"]
    failure = _failure(guard, asked, decision)
    if failure is not None:
        head = [f"denied: {_answer(failure)}", f"  {failure.message}"]
        if asked.missing is not None and not isinstance(failure, NotFound):
            head.append(f"  there is no entry {asked.missing}")
    else:
        assert decision is not None
        head = _grant(decision)
    trace = [] if decision is None else [text for line in decision.trace for text in _line(line)]
    return [*head, *(trace or (["there are no rules"] if not guard.ruleset.rules else []))]


def _line(line: TraceLine) -> list[str]:
    """The outcome of a rule, and what its script did, as lines."""
    did = [] if line.script is None else script_in_words(line.script)
    return [str(line), *(f"  {text}" for text in did)]


def _failure(guard: Guard, asked: Asked, decision: Decision | None) -> Failure | None:
    """The failure that a client would get, or None."""
    try:
        if asked.missing is not None:
            guard.missing(asked.operation)
        if decision is None or not decision.granted:
            guard.refuse(asked.operation)
    except Failure as failure:
        return failure
    return None


def _answer(failure: Failure) -> str:
    return f"{STATUS[failure.code]} {failure.code}"


def _grant(decision: Decision) -> list[str]:
    rule = decision.rule
    assert rule is not None
    name = f" ({printable(rule.name)})" if rule.name else ""
    lines = [f"granted by rule {rule.position}{name}"]
    if decision.operation == "select":
        lines.append(f"  columns: {columns_in_words(decision.shown)}")
    conditions = conditions_in_words(decision.conditions)
    if conditions:
        lines.append(f"  added to the query: {' and '.join(conditions)}")
    for row in decision.rows:
        told_row = {key: row[key] for key in row if key not in decision.ruleset.secret}
        lines.append(f"  to be stored: {dumps(told_row)}")
    return lines


# -- reading the options


def _identity(options: dict[str, Any]) -> Identity:
    """The identity that sends the request. A stored token's app is used unless `--app` is given."""
    user, token_id, app_id = options["user"], options["token"], options["app"]
    if user is not None and token_id is not None:
        raise CommandError("`--user` and `--token` are two identities; a request has one")
    if token_id is not None:
        token = (
            ApiToken.objects.filter(pk=token_id).first() if 0 < token_id <= MAX_INTEGER else None
        )
        if token is None:
            raise CommandError(f"there is no API token {token_id}, expected the id of one")
        app_id = token.app_id if app_id is None else app_id
    return Identity(
        user=None if user is None else json_object("--user", user),
        token_id=token_id,
        app_id=app_id,
    )


def _asked(source: Source, identity: Identity, options: dict[str, Any]) -> Asked:
    """The request of the options. Raises `Malformed` as the API would."""
    operation: Operation = options["operation"]
    given = {name for name in ("query", "data", "entry") if options[name] is not None}
    if given not in FITTING[operation]:
        raise CommandError(f"`--operation {operation}` goes with {WANTED[operation]}")
    row = _row(options["data"])
    if options["entry"] is not None:
        return _of_entry(source, identity, operation, options["entry"], row)
    if operation == "insert":
        return Asked(operation, Insert([row]))
    return Asked(operation, _by_query(source, operation, options["query"] or "{}"))


def _row(text: str | None) -> dict[str, Any]:
    row = {} if text is None else json_object("--data", text)
    problem = problem_with_row(row)
    if problem:
        raise Malformed(problem)
    return row


def _by_query(source: Source, operation: Operation, text: str) -> QueryRequest:
    body = json_object("--query", text)
    unknown = next((key for key in body if key not in QUERY_KEYS), None)
    if unknown is not None:
        raise CommandError(
            f"--query: there is no `{printable(unknown)}` in a query, expected one of "
            f"{', '.join(QUERY_KEYS[1:])}; conditions on columns stand in `where`"
        )
    ask = parse_query({**body, "type": operation}, source.declared)
    if isinstance(ask, Delete):
        found = partial(store.fetch_where, source, ask.where)
        return QueryRequest(ask.where, written=ask.written, rows=lambda n: _data(found(limit=n)))
    return QueryRequest(ask.where, tuple(ask.names()), written=ask.written)


def _data(found: dict[int, store.StoredEntry]) -> list[dict[str, Any]]:
    return [entry.data for entry in found.values()]


def _of_entry(
    source: Source, identity: Identity, operation: Operation, entry_id: int, row: dict[str, Any]
) -> Asked:
    if not 0 < entry_id <= MAX_INTEGER:
        raise CommandError("`--entry` is an id, a whole number from 1")
    stored = store.fetch(source, [entry_id]).get(entry_id)
    data = None if stored is None else stored.data
    missing = entry_id if stored is None else None
    if operation != "update":
        return Asked(operation, EntryRequest([data]), missing)
    if data is None:
        return Asked(operation, None, missing)
    return Asked(
        operation, Update([Change(row, data, _is_own(source, identity, entry_id), entry_id)])
    )


def _is_own(source: Source, identity: Identity, entry_id: int) -> bool:
    """Whether the entry is that of the user given by `--user`."""
    user = identity.user or {}
    return user.get("Source") == source.name and user.get("ID") == entry_id
