"""Near misses: the smallest change to a denied request that would have made a rule grant it.

For each rule, the request is changed until it fits, and the changed request is decided by the
engine, so that every reported miss is true. Scripts cannot be analyzed this way, and are skipped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeAlias

from rowkeeper.accounts.identity import Identity
from rowkeeper.datasources.query.where import And, Field, Node, all_of
from rowkeeper.datasources.query.where.nodes import column_is, fields
from rowkeeper.datasources.values.codec import dumps
from rowkeeper.datasources.values.validation import Scalar, printable

from ..engine.column_checks import first_hidden, first_undeclared
from ..engine.decision import Decision
from ..engine.requests import Change, DecisionRequest, EntryRequest, Insert, QueryRequest
from ..engine.require import IMPLIES, Values, any_condition, equality, implied
from ..engine.rule import Condition, Operation, Provided, Rule
from ..engine.ruleset import Ruleset
from ..engine.templates import UNMET, Template

Decide: TypeAlias = Callable[[Identity, Any], Decision]
# Stands for a value that is not known.
SOME = "…"
_WORDS = {"equals": "=", "notequals": "other than", "contains": "with"}


@dataclass(frozen=True, slots=True)
class NearMiss:
    """The rule that would have granted, and the changes that it would have needed, in words."""

    rule: int
    steps: tuple[str, ...]
    cost: int


class _CannotFit(Exception):
    """The request cannot be changed to fit the rule."""


def nearest(
    ruleset: Ruleset,
    operation: Operation,
    identity: Identity,
    request: DecisionRequest,
    decide: Decide,
    most: int = 400,
) -> NearMiss | None:
    """The near miss with the fewest changes; of equal ones, that of the first rule.

    At most `most` decisions are made. A change of the request counts less than a change of who
    sends it.
    """
    best: NearMiss | None = None
    for rule in ruleset.by_operation[operation]:
        if rule.broken is not None or rule.script is not None:
            continue
        for the_user_gives in (True, False):
            fitting = _Fitter(ruleset, rule, operation, identity, request, the_user_gives)
            try:
                fitting.make_fit()
            except _CannotFit:
                continue
            if not fitting.steps or (best and fitting.cost >= best.cost):
                continue
            most -= 1
            if most < 0:
                return best
            if decide(fitting.identity, fitting.request).granted:
                best = NearMiss(rule.position, tuple(fitting.steps), fitting.cost)
    return best


@dataclass(slots=True)
class _Fitter:
    """Changes a request step by step until it fits a rule; `steps` describes the changes."""

    ruleset: Ruleset
    rule: Rule
    operation: Operation
    identity: Identity
    request: Any
    the_user_gives: bool
    steps: list[str] = field(default_factory=list)

    @property
    def cost(self) -> int:
        """The number of changes. Changes of the sender or of stored data count double."""
        return sum(2 if step.startswith(("to ", "on ")) else 1 for step in self.steps)

    def make_fit(self) -> None:
        """Change the request to fit the rule. Raises `_CannotFit`."""
        self._fit_app()
        self._fit_who()
        if isinstance(self.request, QueryRequest):
            self._fit_query(self.request)
        elif isinstance(self.request, EntryRequest):
            self._fit_record()
        elif isinstance(self.request, Insert):
            self._fit_new_row()
        else:
            self._fit_change()

    # -- who

    def _fit_app(self) -> None:
        apps = self.rule.app_ids
        if apps is None or self.identity.app_id in apps:
            return
        if not apps or self.identity.is_anonymous:
            raise _CannotFit
        self.identity = replace(self.identity, app_id=min(apps))
        self.steps.append(f"to app {min(apps)}")

    def _fit_who(self) -> None:
        allow = self.rule.allow
        if allow.kind == "tokens":
            if self.identity.token_id not in allow.tokens:
                self.identity = Identity(token_id=min(allow.tokens), app_id=self.identity.app_id)
                self.steps.append(f"to API token {min(allow.tokens)}")
        elif allow.kind == "loggedIn" and self.identity.user is None:
            self._sign_in()
            self.steps.append("to a signed-in user")
        for condition in allow.conditions:
            if self.identity.user is None:
                self._sign_in()
            if not condition.met_by(self._user, self._user):
                self._set_user(condition.column, condition.op, condition.value(self._user))

    @property
    def _user(self) -> dict[str, Any]:
        return dict(self.identity.user or {})

    def _sign_in(self) -> None:
        self.identity = replace(self.identity, user={}, token_id=None)

    def _set_user(self, column: str, op: str, value: Any) -> None:
        if value is UNMET:
            raise _CannotFit
        changed = {**self._user, column: None if op == "notequals" else value}
        self.identity = replace(self.identity, user=changed, token_id=None)
        self.steps.append(f"to a user whose {_said(column, op, value)}")

    def _user_for(self, condition: Condition, held: Any) -> None:
        """Give the user the value that a template needs. Raises `_CannotFit`."""
        operand = condition.operand
        if not isinstance(operand, Template) or operand.source != _only(operand):
            raise _CannotFit
        if not isinstance(held, str | int | float) or held == "" or condition.op == "notequals":
            raise _CannotFit
        self._set_user(operand.paths[0][0], "equals", held)
        if condition.value(self._user) is UNMET:
            raise _CannotFit

    def _value(self, condition: Condition, held: Any) -> Scalar:
        """The value that a condition needs, with a user who has it. Raises `_CannotFit`."""
        if condition.value(self.identity.user) is UNMET:
            self._user_for(condition, held)
        value = condition.value(self.identity.user)
        if value is UNMET:
            raise _CannotFit
        return value

    # -- by query

    def _fit_query(self, request: QueryRequest) -> None:
        values: Values = []
        for item in self.rule.require:
            if isinstance(item, Provided):
                self._provide(item)
            else:
                values.append((item, self._imply(item)))
        for _ in range(20):
            name = first_hidden(self.rule.columns, self.request, values)
            if name is None:
                return
            self._drop(name)
        raise _CannotFit

    def _provide(self, item: Provided) -> None:
        test = equality if self.operation == "delete" else any_condition
        if implied(self.request.where, item.column, test):
            return
        found: Node = column_is(item.column, "$exists", True)
        if self.operation == "delete":
            found = column_is(item.column, "$eq", SOME)
        self._ask_for(found)
        what = "an equality" if self.operation == "delete" else "a condition"
        self.steps.append(f"with {what} on `{printable(item.column)}`")

    def _imply(self, item: Condition) -> Scalar:
        value = self._value(item, _requested_value(self.request.where, item.column))
        if implied(self.request.where, item.column, partial(IMPLIES[item.op], value)):
            return value
        self._without_conditions_on(item.column)
        if item.op == "contains":
            found = column_is(item.column, "$like" if isinstance(value, str) else "$eq", value)
        else:
            found = column_is(item.column, "$eq" if item.op == "equals" else "$ne", value)
        self._ask_for(found)
        self.steps.append(f"with {_said(item.column, item.op, value)}")
        return value

    def _ask_for(self, node: Node) -> None:
        self.request = replace(self.request, where=all_of([self.request.where, node]))

    def _without_conditions_on(self, column: str) -> None:
        kept = [
            i
            for i in _items(self.request.where)
            if not (isinstance(i, Field) and i.path == (column,))
        ]
        self.request = replace(self.request, where=all_of(kept))

    def _drop(self, name: str) -> None:
        request = self.request
        changed = replace(
            request,
            columns=tuple(column for column in request.columns if column != name),
            paths=tuple(path for path in request.paths if path.name != name),
            where=all_of(
                item for item in _items(request.where) if all(f.name != name for f in fields(item))
            ),
        )
        if changed == request:
            raise _CannotFit
        self.request = changed
        self.steps.append(f"without `{printable(name)}`")

    # -- one entry

    def _fit_record(self) -> None:
        if len(self.request.stored) != 1 or self.request.stored[0] is None:
            raise _CannotFit
        stored = dict(self.request.stored[0])
        for item in self.rule.require:
            if isinstance(item, Provided):
                raise _CannotFit
            self._fit_stored(item, stored)
        self.request = replace(self.request, stored=[stored])

    def _fit_stored(self, item: Condition, stored: dict[str, Any]) -> None:
        if item.met_by_stored(stored, self.identity.user):
            return
        held = stored.get(item.column)
        if self.the_user_gives and isinstance(item.operand, Template):
            self._user_for(item, held)
            return
        value = self._value(item, held)
        if item.met_by_stored(stored, self.identity.user):
            return
        stored[item.column] = None if item.op == "notequals" else value
        self.steps.append(f"on an entry whose {_said(item.column, item.op, value)}")

    # -- what is sent

    def _fit_new_row(self) -> None:
        if len(self.request.rows) != 1:
            raise _CannotFit
        row = dict(self.request.rows[0])
        self._fit_row(row, {}, inserts=True)
        self._open_only(row, lambda name: self.rule.columns.opens(name) or self._pins(name, True))
        self.request = replace(self.request, rows=[row])

    def _fit_change(self) -> None:
        if len(self.request.changes) != 1:
            raise _CannotFit
        change: Change = self.request.changes[0]
        row, stored = dict(change.submitted), dict(change.stored)
        for item in self.rule.require:
            if isinstance(item, Condition) and item.on_stored:
                self._fit_stored(item, stored)
        self._fit_row(row, stored, inserts=False)
        opens = self.rule.columns.opens
        self._open_only(row, lambda n: opens(n, change.own_row) or self._pins(n, False))
        self.request = replace(
            self.request, changes=[replace(change, submitted=row, stored=stored)]
        )

    def _fit_row(self, row: dict[str, Any], stored: dict[str, Any], inserts: bool) -> None:
        for item in self.rule.require:
            if isinstance(item, Provided):
                if row.get(item.column) in (None, ""):
                    row[item.column] = SOME
                    self.steps.append(f"with a value in `{printable(item.column)}`")
            elif item.on_submitted or inserts:
                self._fit_sent(item, row, stored)

    def _fit_sent(self, item: Condition, row: dict[str, Any], stored: dict[str, Any]) -> None:
        looked_at = {**stored, **row} if item.op == "notequals" else row
        if item.met_by(looked_at, self.identity.user):
            return
        value = self._value(item, row.get(item.column))
        if item.met_by(looked_at, self.identity.user):
            return
        row[item.column] = None if item.op == "notequals" else value
        self.steps.append(f"with {_said(item.column, item.op, value)}")

    def _open_only(self, row: dict[str, Any], opens: Callable[[str], bool]) -> None:
        for name in list(row):
            if not opens(name) or first_undeclared(self.ruleset, self.identity, {name: row[name]}):
                del row[name]
                self.steps.append(f"without `{printable(name)}`")

    def _pins(self, name: str, inserts: bool) -> bool:
        pinned = self.rule.pinned_on_insert if inserts else self.rule.pinned_on_update
        return name in pinned and name not in self.rule.columns.secret


def _items(node: Node) -> tuple[Node, ...]:
    return node.items if isinstance(node, And) else (node,)


def _requested_value(where: Node, column: str) -> Any:
    """The value that a where requires a column to equal, or None."""
    for item in _items(where):
        if isinstance(item, Field) and item.path == (column,) and item.op == "$eq":
            return item.operand
    return None


def _only(template: Template) -> str | None:
    """The source of a template that is one column of the user and nothing else, or None."""
    one = len(template.paths) == 1 and len(template.paths[0]) == 1
    inside = template.source.strip("{} ")
    return template.source if one and inside.startswith("user.") and "}" not in inside else None


def _said(column: str, op: str, value: Any) -> str:
    return (
        f"`{printable(column)}` {_WORDS[op]} `{value if isinstance(value, str) else dumps(value)}`"
    )
