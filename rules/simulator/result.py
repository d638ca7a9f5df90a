"""The result of a simulated request, as JSON for the simulator.

Hidden columns are marked, and secret columns are left out everywhere.
"""

from __future__ import annotations

from typing import Any

from rowkeeper.datasources import store
from rowkeeper.datasources.catalog.registry import Source
from rowkeeper.datasources.query.select import Select
from rowkeeper.datasources.query.where import Node
from rowkeeper.datasources.transfer.display import cell
from rowkeeper.datasources.values.codec import dumps

from ..describe.decision import (
    columns_in_words,
    conditions_in_words,
    script_in_words,
    where_in_words,
)
from ..engine.decide import Decision
from ..engine.reasons import TraceLine
from ..engine.requests import QueryRequest
from .run import SECONDS, DryRunGuard, Outcome

ROWS = 10
MAX_TEXT = 200_000
MAX_WORDS = 4_000


def result_as_json(
    guard: DryRunGuard, outcome: Outcome, sees_columns: bool, sees_entries: bool
) -> dict[str, Any]:
    """The result of a simulated request, as JSON for the simulator.

    Columns are listed for users who may see the data source, and rows for those who may see its
    entries.
    """
    source = guard.source
    assert source is not None
    decisions = [decision for decision, _ in outcome.decisions]
    last = decisions[-1] if decisions else None
    granted = outcome.status < 400
    found: dict[str, Any] = {
        "granted": granted,
        "status": outcome.status,
        "body": _cut(outcome.text),
        "cut": outcome.cut,
        "decisions": [_decision(one) for one in decisions],
        "lines": _lines(guard, decisions),
        "nearest": _nearest(outcome),
        "columns": _columns(source, last) if granted and sees_columns and last else [],
        "query": _query(outcome) if granted else None,
    }
    if granted and sees_entries:
        found["table"] = _table(source, outcome)
        found["written"] = [_written(source, key, row) for key, row in outcome.written[:ROWS]]
        found["more"] = max(0, len(outcome.written) - ROWS)
        found["gone"] = outcome.gone
    return found


def _cut(text: str | None) -> str | None:
    if text is None or len(text) <= MAX_TEXT:
        return text
    return f"{text[:MAX_TEXT]}…"


def _decision(decision: Decision) -> dict[str, Any]:
    rule = decision.rule
    return {
        "operation": decision.operation,
        "granted": decision.granted,
        "rule": None if rule is None else rule.position,
        "name": "" if rule is None else rule.name,
    }


def _nearest(outcome: Outcome) -> dict[str, Any] | None:
    miss = outcome.miss
    return None if miss is None else {"rule": miss.rule, "steps": list(miss.steps)}


# -- the outcome of each rule


def _lines(guard: DryRunGuard, decisions: list[Decision]) -> list[dict[str, Any]]:
    """One line for each rule, with what each of several decisions said about it."""
    several = len({decision.operation for decision in decisions}) > 1
    found: dict[int, list[tuple[str, TraceLine]]] = {}
    # The last decision on an operation is the one that counts.
    for operation, decision in {one.operation: one for one in decisions}.items():
        for line in decision.trace:
            found.setdefault(line.position, []).append((operation, line))
    return [
        _line(rule.position, rule.name, found.get(rule.position, []), several)
        for rule in guard.ruleset.rules
    ]


def _line(
    position: int, name: str, said: list[tuple[str, TraceLine]], several: bool
) -> dict[str, Any]:
    spoken = [item for item in said if item[1].code not in ("type", "unreached")] or said[:1]
    granted = [line for _, line in spoken if line.code == "granted"]
    texts = [f"{operation}: {line.text}" if several else line.text for operation, line in spoken]
    ran = next((line.script for _, line in reversed(spoken) if line.script is not None), None)
    return {
        "position": position,
        "name": name,
        "code": "granted" if granted else spoken[0][1].code if spoken else "unreached",
        "text": "; ".join(dict.fromkeys(texts)) or "was not evaluated",
        "granted": bool(granted),
        "script": [] if ran is None else script_in_words(ran),
    }


# -- columns, the query, rows


def _columns(source: Source, decision: Decision) -> list[dict[str, Any]]:
    """Each column of the data source, and whether the rule opens it to the request."""
    rule = decision.rule
    reads = decision.operation == "select"
    return [
        {
            "name": column,
            "open": decision.shown.shows(column)
            if reads or rule is None
            else rule.columns.opens(column),
        }
        for column in source.columns
        if decision.operation != "delete"
    ]


def _query(outcome: Outcome) -> dict[str, Any] | None:
    """The query that would run, in words: that of the request, and what the rule adds to it."""
    decision, request = outcome.decisions[-1] if outcome.decisions else (None, None)
    if decision is None or not isinstance(request, QueryRequest):
        return None
    return {
        "where": where_in_words(decision.where(request.where))[:MAX_WORDS],
        "added": conditions_in_words(decision.conditions),
        "columns": columns_in_words(decision.shown) if decision.operation == "select" else "",
        "rewritten": decision.rewritten is not None,
    }


def _table(source: Source, outcome: Outcome) -> dict[str, Any] | None:
    """The first rows of a read with all columns; those that the rule hides are marked."""
    request = outcome.select
    decision, evaluated = outcome.decisions[-1] if outcome.decisions else (None, None)
    if request is None or decision is None or not isinstance(evaluated, QueryRequest):
        return None
    if request.aggregate is not None or request.distinct or request.count_only:
        return None
    columns = [name for name in source.columns if name not in source.secret]
    rows = _rows(source, decision.where(evaluated.where), request)
    return {
        "columns": [{"name": name, "open": decision.shown.shows(name)} for name in columns],
        "rows": [
            {"id": str(entry.id), "cells": [_cell(entry.data.get(name)) for name in columns]}
            for entry in rows
        ],
    }


def _rows(source: Source, where: Node, query: Select) -> list[store.StoredEntry]:
    limit = ROWS if query.limit is None else min(ROWS, query.limit)
    with store.read_time_limit(SECONDS):
        return store.admin_page(source, where, query.order, limit, query.offset)


def _cell(value: Any) -> dict[str, str]:
    shown = cell(value)
    return {"kind": shown.kind, "text": shown.text}


def _written(source: Source, entry_id: int | None, row: dict[str, Any]) -> dict[str, Any]:
    """A row as it would be stored, without secret columns, as text, since numbers may be large."""
    seen = {name: value for name, value in row.items() if name not in source.secret}
    return {"id": None if entry_id is None else str(entry_id), "row": _cut(dumps(seen))}
