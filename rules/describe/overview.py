"""Who can do what, in many data sources: for a page and as a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rowkeeper.datasources.definition import login_of
from rowkeeper.datasources.models import DataSource
from rowkeeper.datasources.transfer.cells import header_cell
from rowkeeper.datasources.transfer.csv import written

from ..analysis.access_matrix import Caller, Grant, access_to, callers, grants
from ..analysis.subsumption import RuleFacts
from ..engine.parse import parse_rules
from ..engine.rule import OPERATIONS, Operation
from ..repository.rules import rules_of_all
from .rule import allowed_in_words, columns_in_words, requirements_in_words

DOES: dict[Operation, str] = {
    "select": "read",
    "insert": "add",
    "update": "change",
    "delete": "delete",
}
HEADER = ["data source", "name", "who", "operation", "column", "access", "if", "rules"]


@dataclass(frozen=True, slots=True)
class Line:
    """A kind of people, with what each rule lets them do for each operation, in words."""

    who: str
    cells: list[list[str]]
    caller: Caller


@dataclass(frozen=True, slots=True)
class Overview:
    """The access matrix of one data source."""

    source: DataSource
    raw: list[Any]
    rules: list[RuleFacts]
    lines: list[Line]

    def by_column(self) -> Iterator[tuple[Line, Operation, str, str, list[Grant]]]:
        """Each caller, operation and column, with the access to it and the grants that give it.

        For a delete, which is of whole entries, the column is empty.
        """
        for line in self.lines:
            for operation in OPERATIONS:
                found = grants(self.rules, line.caller, operation, self.declared)
                for column in [""] if operation == "delete" else self.source.columns:
                    access, by = access_to(found, column)
                    yield line, operation, column, access, by

    @property
    def declared(self) -> frozenset[str] | None:
        """The columns of a sign-in data source, the only ones that can be written; else None."""
        signs_in = login_of(self.source.definition) is not None
        return frozenset(self.source.columns) if signs_in else None

    def condition(self, grant: Grant, column: str | None = None) -> str:
        """The conditions of a grant in words, for one column or for the whole rule."""
        raw = self.raw[grant.rule.position - 1]
        words = [] if grant.rule.script is not None else requirements_in_words(raw)
        if column is not None and grant.in_own_row(column):
            words.append("the row belongs to the user")
        if grant.rule.app_ids is not None:
            apps = " or ".join(map(str, sorted(grant.rule.app_ids)))
            words.append(f"only in app {apps}")
        if column is not None and (earlier := grant.unless(column)):
            rules = " or ".join(map(str, earlier))
            words.append(f"rule {rules} does not decide first")
        return " and ".join(words)


def overviews(sources: Sequence[DataSource]) -> list[Overview]:
    """The overviews of some data sources, with two queries in total."""
    written = rules_of_all([source.pk for source in sources])
    return [_overview(source, written[source.pk]) for source in sources]


def _overview(source: DataSource, raw: list[Any]) -> Overview:
    rules, problems = parse_rules(
        raw, frozenset(source.declared_columns), frozenset(source.secret_columns)
    )
    if any(problem.rule == 0 for problem in problems):
        rules = []
    found = Overview(source, raw, list(map(RuleFacts.of, rules)), [])
    for caller in callers(rules):
        cells = [
            [
                _in_words(found, grant)
                for grant in grants(found.rules, caller, operation, found.declared)
            ]
            for operation in OPERATIONS
        ]
        found.lines.append(Line(_who(caller, raw), cells, caller))
    return found


def _who(caller: Caller, raw: Sequence[Any]) -> str:
    if caller.allow.kind == "nobody":
        return "nobody signed in"
    if caller.allow.kind == "loggedIn":
        return "anyone signed in"
    if caller.allow.kind == "tokens":
        return f"API token {min(caller.allow.tokens)}"
    words = allowed_in_words({"allow": raw[caller.named_by - 1]["allow"]})
    return words.replace("anyone who is signed in and whose ", "signed in, ", 1)


def _in_words(found: Overview, grant: Grant) -> str:
    if grant.rule.script is not None:
        return f"as decided by its script (rule {grant.rule.position})"
    raw = found.raw[grant.rule.position - 1]
    columns = "entries" if grant.operation == "delete" else columns_in_words(raw)
    condition = found.condition(grant)
    return f"{columns}{f', if {condition}' if condition else ''} (rule {grant.rule.position})"


# -- as a file


def as_csv(sources: Iterable[Sequence[DataSource]]) -> Iterator[str]:
    """The lines of a CSV file, one for each caller, operation and column, made in batches."""
    return written(HEADER, (row for batch in sources for row in _batch(batch)))


def _batch(sources: Sequence[DataSource]) -> Iterator[list[str]]:
    for overview in overviews(sources):
        yield from _rows(overview)


def _rows(overview: Overview) -> Iterator[list[str]]:
    source = overview.source
    for line, operation, column, access, by in overview.by_column():
        conditions = [overview.condition(grant, column) for grant in by if access == "if"]
        yield [
            str(source.pk),
            header_cell(source.name),
            header_cell(line.who),
            DOES[operation],
            header_cell(column),
            access,
            header_cell(" or ".join(conditions)),
            ", ".join(str(grant.rule.position) for grant in by),
        ]
