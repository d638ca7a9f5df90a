"""The second reading of the contract, for writes: whose record, what may be sent, what is kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.reference import reading
from tests.reference.reading import OPEN, UNMET, Row, User


@dataclass
class Who:
    """The one who asks."""

    user: User = None
    token: int | None = None
    app: int | None = None


@dataclass
class Place:
    """A data source as rules see it. `writable`: in one that people sign in against."""

    rules: list[dict[str, Any]]
    secret: list[str] = field(default_factory=list)
    writable: list[str] | None = None

    def shows(self, rule: dict[str, Any], column: str) -> bool:
        return column not in self.secret and reading.shows(rule, column)

    def opens(self, rule: dict[str, Any], column: str, own: bool) -> bool:
        """For writing: a secret column is opened by name, or in the session's own row."""
        if column in self.secret:
            named = column in rule.get("include", [])
            return named or ("include" not in rule and own and reading.shows(rule, column))
        hidden = [*self.secret, *([] if "include" in rule else rule.get("exclude", []))]
        below = any(column.startswith(f"{name}.") for name in hidden)
        return reading.shows(rule, column) and not below


def applies(rule: dict[str, Any], operation: str, who: Who) -> bool:
    return reading.applies(rule, operation, who.user, who.token, who.app)


def selecting(place: Place, who: Who, row: Row) -> dict[str, Any] | None:
    """The rule by which this entry may be read by its id, or None."""
    for rule in place.rules:
        if applies(rule, "select", who) and all(
            not isinstance(item, str) and on_stored(item, row, who.user)
            for item in reading.required(rule)
        ):
            return rule
    return None


def on_stored(item: Any, row: Row, user: User) -> bool:
    column, op, value, _ = item
    wanted = reading.rendered(value, user)
    return wanted is not UNMET and reading.stored_meets(column, op, wanted, row)


def looks_at_stored(item: Any) -> bool:
    if isinstance(item, str):
        return False
    _, op, value, side = item
    if side is not None:
        return side in ("stored", "both")
    return op == "notequals" or (isinstance(value, str) and "{{" in value)


def looks_at_submitted(item: Any) -> bool:
    return isinstance(item, str) or item[3] != "stored"


def on_submitted(item: Any, sent: Row, result: Row, user: User) -> bool:
    if isinstance(item, str):
        return sent.get(item) not in (None, "")
    column, op, value, _ = item
    wanted = reading.rendered(value, user)
    row = result if op == "notequals" else sent
    return wanted is not UNMET and reading.meets(op, row.get(column, reading.NOTHING), wanted)


def pinned(rule: dict[str, Any], column: str) -> bool:
    return any(
        item[0] == column and item[1] == "equals" and looks_at_submitted(item)
        for item in reading.required(rule)
        if not isinstance(item, str)
    )


def insert(place: Place, who: Who, rows: list[Row]) -> Any:
    """The position of the rule that grants, None, or `OPEN`."""
    for position, rule in enumerate(place.rules, 1):
        if not applies(rule, "insert", who):
            continue
        wants = reading.required(rule)
        if not all(map(looks_at_submitted, wants)):
            return OPEN  # what `"on": "stored"` asks of a new row is not said
        right = all(
            all(on_submitted(item, row, row, who.user) for item in wants)
            and all(may_insert(place, rule, column) for column in row)
            for row in rows
        )
        return position if right else None
    return None


def may_insert(place: Place, rule: dict[str, Any], column: str) -> bool:
    if place.writable is not None and column not in place.writable:
        return False
    if place.opens(rule, column, False):
        return True
    return column not in place.secret and pinned(rule, column)


@dataclass
class Written:
    """An update that is granted: by which rule, and the rows as they will be."""

    position: int
    rows: list[Row]


@dataclass
class Sent:
    """One entry of an update."""

    sent: Row
    stored: Row
    own: bool = False


def update(place: Place, who: Who, changes: list[Sent], replaces: bool) -> Any:
    """`Written`, None, or `OPEN`. A batch gets nothing that one of its entries alone could not."""
    alone: dict[int, Row] = {}
    for position, rule in enumerate(place.rules, 1):
        if not applies(rule, "update", who):
            continue
        aside = [item for item in reading.required(rule) if looks_at_stored(item)]
        held = [
            at
            for at, change in enumerate(changes)
            if all(on_stored(item, change.stored, who.user) for item in aside)
        ]
        rows = {at: written(place, rule, who, changes[at], replaces) for at in held}
        if None in rows.values():
            return None
        if OPEN in rows.values():
            return OPEN
        if len(held) == len(changes):
            if not all(reading.equal(alone[at], rows[at]) for at in alone):
                return None
            return Written(position, [rows[at] for at in held])
        alone = {**rows, **alone}
    return None


def written(place: Place, rule: dict[str, Any], who: Who, change: Sent, replaces: bool) -> Any:
    """The row that a rule which is about this entry stores; None if it denies, or `OPEN`."""
    row = result(place, rule, who, change, replaces)
    looked_at = [item for item in reading.required(rule) if looks_at_submitted(item)]
    if not all(on_submitted(item, change.sent, row, who.user) for item in looked_at):
        return None
    answers = [may_write(place, rule, who, change, column) for column in change.sent]
    if False in answers:
        return None
    return OPEN if OPEN in answers else row


def result(place: Place, rule: dict[str, Any], who: Who, change: Sent, replaces: bool) -> Row:
    """Merged; or replaced, where what is closed or unseen stays."""
    if not replaces:
        return {**change.stored, **change.sent}
    seen = selecting(place, who, change.stored)
    kept = {
        column: value
        for column, value in change.stored.items()
        if not place.opens(rule, column, change.own)
        or seen is None
        or not place.shows(seen, column)
    }
    return {**kept, **change.sent}


def may_write(place: Place, rule: dict[str, Any], who: Who, change: Sent, column: str) -> Any:
    if place.writable is not None and column not in place.writable:
        return False
    if place.opens(rule, column, change.own):
        return True
    if column not in place.secret and pinned(rule, column):
        return True
    seen = selecting(place, who, change.stored)
    if seen is None or not place.shows(seen, column):
        return False
    if column not in change.stored:
        # Null for what is missing is the value that is stored, and would be a change all the same.
        return OPEN if change.sent[column] is None else False
    return reading.equal(change.stored[column], change.sent[column])


def answered(place: Place, who: Who, sent: Row, before: Row | None, after: Row) -> Row:
    """What a write answers of the row."""
    first = None if before is None else selecting(place, who, before)
    then = selecting(place, who, after)
    return {
        column: value
        for column, value in after.items()
        if column not in place.secret
        and (
            column in sent
            or (
                first is not None
                and then is not None
                and place.shows(first, column)
                and place.shows(then, column)
            )
        )
    }
