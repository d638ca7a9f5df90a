"""From a guard to the journal: what is logged of a decision."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils import timezone

from rowkeeper.accounts.identity import ANONYMOUS, Identity
from rowkeeper.datasources.errors import Failure

from ..engine.requests import DecisionRequest
from ..engine.rule import Operation
from .journal import journal, keeps
from .records import (
    NO_SOURCE,
    Record,
    RequestLog,
    RuleOutcomes,
    address_of,
    clean,
    columns_of,
    deciding_rule,
    kind_of,
    lines_of,
    person_of,
)

STEPS = {
    "auth.invalid": "the credential",
    "auth.required": "no credential",
    "auth.forbidden": "the permission",
    "auth.csrf": "the CSRF token of the site's session",
    "datasource.access": "data source not found",
}
STATUS = {"auth.required": 401, "datasource.access": 400}


@dataclass(frozen=True, slots=True)
class DecisionEvent:
    """A decision of a guard, with what the log needs. Only made if the decision is logged."""

    trail: RequestLog
    identity: Identity
    source_id: int
    operation: Operation
    # None if the request was denied without being evaluated.
    request: DecisionRequest | None
    notes: RuleOutcomes
    # In seconds.
    took: float
    # Whether the caller may know that the data source exists. Callers with a grant may.
    is_known: bool = True


def denial(event: DecisionEvent, failure: Failure) -> None:
    """Log that the rules denied a request. Called only if the log `keeps` anything.

    For a caller who may not know of the data source, the denial counts towards the limit of data
    sources that do not exist. Otherwise the request ids of the denials would differ.
    """
    status, trail = STATUS[failure.code], event.trail
    # A join with a data source that does not exist is not counted. The id of a denied join never
    # discloses the joined data source, but a use of the limit would.
    hidden = not event.is_known and not trail.is_joined
    _add(event, status, _refusal(trail, failure, status, event.identity) if hidden else None)


def grant(event: DecisionEvent) -> None:
    """Log that the rules granted a request."""
    _add(event, 200)


def _add(event: DecisionEvent, status: int, counted: Record | None = None) -> None:
    trail, identity, request = event.trail, event.identity, event.request
    rule = deciding_rule(event.notes, status == 200)
    _keep(
        trail,
        Record(
            at=timezone.now(),
            source_id=event.source_id,
            request_id=trail.request_id,
            status=status,
            operation=event.operation,
            address=address_of(request),
            entry_id=trail.entry_id,
            columns=columns_of(request),
            kind=kind_of(identity),
            token_id=identity.token_id,
            person=person_of(identity),
            app_id=identity.app_id,
            rule=None if rule is None else rule.position,
            rule_name="" if rule is None else clean(rule.name, 255),
            lines=lines_of(event.notes),
            took=event.took * 1_000,
            network="" if status == 200 else trail.network,
        ),
        counted,
    )


def refusal(trail: RequestLog, failure: Failure, status: int, identity: Identity | None) -> None:
    """Log a refusal that no data source's rules decided, and set the request id of `failure`."""
    if not keeps():
        return
    _keep(trail, _refusal(trail, failure, status, ANONYMOUS if identity is None else identity))
    failure.request_id = trail.request_id


def _refusal(trail: RequestLog, failure: Failure, status: int, identity: Identity) -> Record:
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
        kind=kind_of(identity),
        token_id=identity.token_id,
        person=person_of(identity),
        app_id=identity.app_id,
        rule=None,
        rule_name="",
        lines=(),
        took=0.0,
        code=failure.code,
        step=clean(step, 250),
        network=trail.network,
    )


def _keep(trail: RequestLog, record: Record, counted: Record | None = None) -> None:
    """Add a record to the journal. If it is only counted, the request gets the id of the count."""
    found = journal.add(record, counted)
    if found != record.request_id:
        if found and not trail.logged:
            trail.request_id = found
        return
    trail.logged = True
