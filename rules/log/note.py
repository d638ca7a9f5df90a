"""From a guard to the journal: what is noted of a decision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils import timezone

from accounts.identity import ANONYMOUS, Identity
from datasources.errors import Failure

from ..engine.asks import Ask
from ..engine.decide import Decision
from ..engine.rule import Operation
from .journal import journal, keeps
from .records import (
    NO_SOURCE,
    Notes,
    Record,
    Trail,
    address_of,
    clean,
    columns_of,
    kind_of,
    lines_of,
    person_of,
    settled_by,
)

if TYPE_CHECKING:
    from ..guard import Guard

STEPS = {
    "auth.invalid": "the credential",
    "auth.required": "no credential",
    "auth.forbidden": "the permission",
    "auth.csrf": "the CSRF token of the site's session",
    "datasource.access": "no such data source",
}
STATUS = {"auth.required": 401, "datasource.access": 400}


def denial(
    door: Guard,
    trail: Trail,
    failure: Failure,
    operation: Operation,
    ask: Ask | None,
    notes: Notes,
    took: float,
) -> None:
    """Note that the rules denied it.

    For a caller who may not know of the data source, the denial counts towards the same limit as
    that of a data source that does not exist. Otherwise the ids of denials would differ.
    """
    if not keeps():
        return
    status = STATUS[failure.code]
    # A data source that does not exist adds nothing when a join names it: the id of a denied join
    # never tells of the joined data source, but its use of the limit would.
    hidden = not door.is_known and not trail.is_joined
    counted = _refusal(trail, failure, status, door.identity) if hidden else None
    _add(door, trail, status, operation, ask, notes, took, counted)


def grant(door: Guard, trail: Trail, decision: Decision, ask: Ask, took: float) -> None:
    """Note that the rules granted it."""
    _add(door, trail, 200, decision.operation, ask, decision.notes, took)


def _add(
    door: Guard,
    trail: Trail,
    status: int,
    operation: Operation,
    ask: Ask | None,
    notes: Notes,
    took: float,
    counted: Record | None = None,
) -> None:
    assert door.source is not None
    identity, rule = door.identity, settled_by(notes, status == 200)
    _keep(
        trail,
        Record(
            at=timezone.now(),
            source_id=door.source.id,
            request_id=trail.request_id,
            status=status,
            operation=operation,
            address=address_of(ask),
            entry_id=trail.entry_id,
            columns=columns_of(ask),
            kind=kind_of(identity),
            token_id=identity.token_id,
            person=person_of(identity),
            app_id=identity.app_id,
            rule=None if rule is None else rule.position,
            rule_name="" if rule is None else clean(rule.name, 255),
            lines=lines_of(notes),
            took=took * 1_000,
            network="" if status == 200 else trail.network,
        ),
        counted,
    )


def refusal(trail: Trail, failure: Failure, status: int, identity: Identity | None) -> None:
    """Note a refusal that no data source's rules decided; `failure` gets its id."""
    if not keeps():
        return
    _keep(trail, _refusal(trail, failure, status, ANONYMOUS if identity is None else identity))
    failure.request_id = trail.request_id


def _refusal(trail: Trail, failure: Failure, status: int, asked: Identity) -> Record:
    """The record of a refusal that no data source's rules decided."""
    step = failure.step or STEPS.get(failure.code, "")
    if failure.code == "auth.forbidden":
        message = failure.message
        step = message if message.startswith(step) else f"{step}: {message}"
    return Record(
        at=timezone.now(),
        source_id=NO_SOURCE,
        request_id=trail.request_id,
        status=status,
        operation="",
        address="",
        entry_id=None,
        columns=(),
        kind=kind_of(asked),
        token_id=asked.token_id,
        person=person_of(asked),
        app_id=asked.app_id,
        rule=None,
        rule_name="",
        lines=(),
        took=0.0,
        code=failure.code,
        step=clean(step, 250),
        network=trail.network,
    )


def _keep(trail: Trail, record: Record, counted: Record | None = None) -> None:
    """Add it to the journal. Where it is only counted, the request has the id of the count."""
    found = journal.add(record, counted)
    if found != record.request_id:
        if found and not trail.logged:
            trail.request_id = found
        return
    trail.logged = True
