"""`explain SOURCE --operation select ...`: what the rules decide on a request, and why.

It sends the request to the simulator, with the stored rules. Nothing is written.
"""

from __future__ import annotations

from argparse import RawDescriptionHelpFormatter
from typing import Any

from django.core.management.base import CommandError, CommandParser

from rowkeeper.accounts.identity import Identity
from rowkeeper.accounts.models import ApiToken
from rowkeeper.datasources import store
from rowkeeper.datasources.catalog import registry
from rowkeeper.datasources.catalog.registry import Source
from rowkeeper.datasources.errors import Busy, Failure, Malformed, NotFound
from rowkeeper.datasources.management.base import SiteCommand
from rowkeeper.datasources.values.codec import dumps
from rowkeeper.datasources.values.validation import MAX_INTEGER, printable
from rowkeeper.rules.access.guard import Guard, compiled_of
from rowkeeper.rules.api.errors import STATUS
from rowkeeper.rules.describe.decision import columns_in_words, conditions_in_words, script_in_words
from rowkeeper.rules.engine.decide import Decision
from rowkeeper.rules.engine.reasons import TraceLine
from rowkeeper.rules.engine.rule import OPERATIONS, Operation
from rowkeeper.rules.management.referring import data_source, json_object
from rowkeeper.rules.simulator.identity import session_identity
from rowkeeper.rules.simulator.request import SimulatedRequest, Who
from rowkeeper.rules.simulator.run import DryRunGuard, Outcome, simulate

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


class Command(SiteCommand):
    """Prints the answer, its details, and one line for each rule."""

    help = "Prints how the rules of a data source decide on a request, and why."

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
            "--user", metavar="JSON", help="the signed-in user, as an object of columns and values"
        )
        parser.add_argument("--token", type=int, metavar="ID", help="the ID of the API token")
        parser.add_argument("--app", type=int, metavar="ID", help="the ID of the app")
        parser.add_argument(
            "--query", metavar="JSON", help='the body of a query: {"where": {...}, "order": [...]}'
        )
        parser.add_argument("--data", metavar="JSON", help="the submitted row")
        parser.add_argument("--entry", type=int, metavar="ID", help="the entry's ID")

    def handle(self, *args: Any, **options: Any) -> None:
        """Decide and print. Raises `CommandError` if the request is not possible."""
        source = registry.source_of(data_source(options["source"]))
        simulated, identity = _simulated(options), _identity(source, options)
        # A denial names the data source as the client does, if it may not know of it.
        reference = source.name if options["source"] == source.name else source.id
        rules = compiled_of(source)
        guard = DryRunGuard(reference, source, rules.ruleset, identity, rules.scripts(source.id))
        outcome = simulate(guard, simulated, user=None, sees_entries=True, reads=False)
        if isinstance(outcome.failure, Malformed):
            raise CommandError(
                f"a client would receive {_answer(outcome.failure)}: {outcome.failure.message}"
            )
        for line in _lines(guard, simulated, outcome):
            self.stdout.write(line)


def _lines(guard: DryRunGuard, simulated: SimulatedRequest, outcome: Outcome) -> list[str]:
    """The lines to print about a request: the answer, its details, and the trace."""
    failure = outcome.failure
    if isinstance(failure, Busy):
        return [f"not decided: {_answer(failure)}", f"  {failure.message}"]
    decision = guard.decisions[-1][0] if guard.decisions else None
    if failure is None:
        assert decision is not None
        head = _grant(next(one for one, _ in guard.decisions if one.operation == simulated.action))
    else:
        head = [f"denied: {_answer(failure)}", f"  {failure.message}"]
        if not isinstance(failure, NotFound) and _is_missing(guard, simulated):
            head.append(f"  there is no entry {simulated.entry_id}")
    trace = [] if decision is None else [text for line in decision.trace for text in _line(line)]
    return [*head, *(trace or (["there are no rules"] if not guard.ruleset.rules else []))]


def _is_missing(guard: Guard, simulated: SimulatedRequest) -> bool:
    """Whether the request names an entry that does not exist."""
    if simulated.entry_id is None or guard.source is None:
        return False
    return not store.fetch(guard.source, [simulated.entry_id])


def _line(line: TraceLine) -> list[str]:
    """The outcome of a rule, and what its script did, as lines."""
    did = [] if line.script is None else script_in_words(line.script)
    return [str(line), *(f"  {text}" for text in did)]


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
        visible_row = {key: row[key] for key in row if key not in decision.ruleset.secret}
        lines.append(f"  to be stored: {dumps(visible_row)}")
    return lines


# -- reading the options


def _identity(source: Source, options: dict[str, Any]) -> Identity:
    """The identity that sends the request. A stored token's app is used unless `--app` is given."""
    user, token_id, app_id = options["user"], options["token"], options["app"]
    if user is not None and token_id is not None:
        raise CommandError(
            "`--user` and `--token` cannot be combined: a request has only one identity"
        )
    if user is not None:
        return session_identity(json_object("--user", user), app_id, source)
    if token_id is not None:
        token = (
            ApiToken.objects.filter(pk=token_id).first() if 0 < token_id <= MAX_INTEGER else None
        )
        if token is None:
            raise CommandError(f"there is no API token {token_id}, expected an ID")
        app_id = token.app_id if app_id is None else app_id
    return Identity(token_id=token_id, app_id=app_id)


def _simulated(options: dict[str, Any]) -> SimulatedRequest:
    """The request, for the simulator."""
    operation: Operation = options["operation"]
    given = {name for name in ("query", "data", "entry") if options[name] is not None}
    if given not in FITTING[operation]:
        raise CommandError(f"`--operation {operation}` requires {WANTED[operation]}")
    entry_id = options["entry"]
    if entry_id is not None and not 0 < entry_id <= MAX_INTEGER:
        raise CommandError("`--entry` must be an ID, a whole number from 1")
    body: dict[str, Any] = {}
    if options["query"] is not None:
        body = _query(options["query"])
    if options["data"] is not None:
        body = json_object("--data", options["data"])
    return SimulatedRequest(Who(), operation, dumps(body), entry_id)


def _query(text: str) -> dict[str, Any]:
    body = json_object("--query", text)
    unknown = next((key for key in body if key not in QUERY_KEYS), None)
    if unknown is not None:
        raise CommandError(
            f"--query: a query cannot have `{printable(unknown)}`, expected one of "
            f"{', '.join(QUERY_KEYS[1:])}; put conditions on columns into `where`"
        )
    return body
