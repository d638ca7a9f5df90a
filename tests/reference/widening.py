"""Whether a request falls under a finding of the review, going by the fields of the finding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from rowkeeper.datasources.query.where.nodes import fields
from rowkeeper.rules.analysis.escalation import Escalation
from rowkeeper.rules.engine.columns import Columns
from rowkeeper.rules.engine.decide import Decision, exclusion_reason
from rowkeeper.rules.engine.reasons import Reason
from rowkeeper.rules.engine.requests import EntryRequest, Insert, QueryRequest
from rowkeeper.rules.engine.require import (
    stored_side,
    unmet_by_record,
    unmet_by_stored,
    unmet_by_submitted,
    unmet_by_where,
)
from tests.reference import random_cases as make
from tests.reference.random_lists import Request


def falls_under(line: Escalation, asked: Request, new: Decision, column: str | None) -> bool:
    """Whether this finding is about the request: `column` is one that it shows anew, None where
    it is granted anew.
    """
    if line.rule.position not in deciding(asked, new) or not is_about(line, asked):
        return False
    if exclusion_reason(line.rule, asked.who) is not None:
        return False
    old = line.instead_of
    if old is None:
        return column is None or line.rule.columns.shows(column)
    if line.first and exclusion_reason(old, asked.who) is not None:
        return False
    if column is not None and line.kind == "columns" and has_column(line, column):
        return True
    return is_reason(line, asked, new) and (column is None or old.columns.shows(column))


def is_reason(line: Escalation, asked: Request, new: Decision) -> bool:
    """Whether what the finding says is new is what the old list could have denied."""
    if line.kind == "conditions":
        return misses(line, asked, new)
    if line.kind == "unblocked":
        return True
    return any(has_column(line, name) for name in touched(asked))


def deciding(asked: Request, new: Decision) -> list[int]:
    """The rules that granted: of a delete by query, that of the select as well."""
    assert new.rule is not None
    found = [new.rule.position]
    if is_deleting_by_query(asked) or asked.operation == "update":
        # An update may send back what a select shows.
        reads = replace(asked, operation="select", ask=read_of(asked))(new.ruleset)
        found += [reads.rule.position] if reads.rule is not None else []
    return found


def read_of(asked: Request) -> Any:
    return asked.ask if asked.operation != "update" else EntryRequest([asked.ask.changes[0].stored])


def is_deleting_by_query(asked: Request) -> bool:
    return asked.operation == "delete" and isinstance(asked.ask, QueryRequest)


def is_about(line: Escalation, asked: Request) -> bool:
    if asked.operation in line.operations:
        return True
    if is_deleting_by_query(asked):
        return line.deletes and "select" in line.operations
    return asked.operation == "update" and "select" in line.operations and bool(sent_back(asked))


def sent_back(asked: Request) -> list[str]:
    """Columns of an update that do not change."""
    change = asked.ask.changes[0]
    found = [c for c, v in change.submitted.items() if c in change.stored]
    return [*found, *change.stored] if asked.ask.replaces else found


def misses(line: Escalation, asked: Request, new: Decision) -> bool:
    """Whether a request does not meet one of the conditions that were dropped."""
    rule, user = replace(line.rule, require=line.dropped), asked.who.user
    if isinstance(asked.ask, QueryRequest):
        deletes = asked.operation == "delete"
        return any(
            isinstance(unmet_by_where(rule, asked.ask.where, user, each), Reason)
            for each in {deletes, False}
        )
    if isinstance(asked.ask, EntryRequest):
        return any(unmet_by_record(rule, row, user) is not None for row in asked.ask.stored)
    if isinstance(asked.ask, Insert):
        rows = asked.ask.rows
        return any(unmet_by_submitted(rule, row, row, user, True) is not None for row in rows)
    (change,) = asked.ask.changes
    side = stored_side(rule, user)
    if isinstance(side, Reason) or unmet_by_stored(side, change.stored) is not None:
        return True
    row = new.rows[0]
    return unmet_by_submitted(rule, change.submitted, row, user, False) is not None


def touched(asked: Request) -> Iterator[str]:
    """Every name that a request names or sends, with what is above it."""
    if isinstance(asked.ask, QueryRequest):
        names = [*asked.ask.columns, *(item.name for item in fields(asked.ask.where))]
    elif isinstance(asked.ask, EntryRequest):
        names = []
    elif isinstance(asked.ask, Insert):
        names = list(asked.ask.rows[0])
    else:
        change = asked.ask.changes[0]
        names = [*change.submitted, *(change.stored if asked.ask.replaces else ())]
    yield from names


def has_column(line: Escalation, name: str) -> bool:
    if Columns.of(exclude=line.columns.names).hides_column(name):
        return True
    assert line.instead_of is not None
    listed = {*make.COLUMNS, *(line.instead_of.columns.include or ())}
    readings = {name, name.removeprefix("data.")}
    heads = {part for each in readings for part in (each, each.split(".")[0])}
    return line.columns.others and not heads <= listed
