"""From the JSON of rules to compiled rules. Reports all problems at once, each with its place.

The only validator: the admin, the API, fixtures and commands save through it, and stored rules are
read through it.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from typing import Any

from rowkeeper.datasources.values.codec import dumps
from rowkeeper.datasources.values.validation import (
    MAX_INTEGER,
    Scalar,
    composed,
    is_scalar,
    printable,
    problem_with_name,
    problem_with_row,
    problem_with_text,
)
from rowkeeper.rules.sandbox.worker.policy import check

from .columns import Columns
from .problems import Problem as Problem
from .reasons import Reason
from .rule import NODE_OPERATORS, OPERATIONS, Allow, Condition, Provided, Requirement, Rule
from .templates import Template, TemplateError, compile_template, is_template

MAX_RULES = 200
MAX_BYTES = 256 * 1024
MAX_NAME = 255
MAX_SCRIPT = 20_000
PROPERTIES = (
    "name",
    "enabled",
    "type",
    "allow",
    "appId",
    "include",
    "exclude",
    "require",
    "script",
)
_SIDES = {"stored": (True, False), "submitted": (False, True), "both": (True, True)}
_NOBODY = Allow("all")


@dataclass(slots=True)
class _Reader:
    """Reads one rule, and collects its problems."""

    position: int
    columns: Container[str]
    secret: frozenset[str]
    # The column of the email that people sign in with. Its values are stored composed.
    address: str | None = None
    problems: list[Problem] = field(default_factory=list)

    def note(self, path: str, message: str) -> None:
        self.problems.append(Problem(self.position, path, message))

    # -- texts and lists

    def text(self, raw: dict[str, Any], key: str, limit: int) -> str:
        value = raw.get(key, "")
        if not isinstance(value, str):
            self.note(key, f"must be text, not {_what(value)}")
            return ""
        problem = problem_with_text(value)
        if problem:
            self.note(key, problem)
        if len(value) > limit:
            self.note(key, f"has {len(value)} characters; at most {limit} are allowed")
        return value

    def column(self, name: Any, path: str, declared: bool = True) -> str | None:
        problem = problem_with_name(name)
        if problem:
            self.note(path, f"the column {problem}")
            return None
        if declared and "." in name and name not in self.columns:
            self.note(
                path,
                f"there is no column `{printable(name)}`; a name with a dot refers to the "
                "declared column with exactly that name",
            )
            return None
        return str(name)

    def column_list(self, raw: dict[str, Any], key: str) -> list[str] | None:
        if key not in raw:
            return None
        value = raw[key]
        if not isinstance(value, list):
            self.note(key, f'must be a list of columns, such as ["Email"], not {_what(value)}')
            return None
        names = [self.column(name, f"{key}[{at}]") for at, name in enumerate(value)]
        return [name for name in names if name is not None]

    def numbers(self, value: Any, path: str) -> frozenset[int] | None:
        """The ids in a list. Notes a problem and returns None if it is not a list of ids."""
        if not isinstance(value, list):
            self.note(path, f"must be a list of IDs, such as [7], not {_what(value)}")
            return None
        for at, item in enumerate(value):
            if item.__class__ is not int or not 0 < item <= MAX_INTEGER:
                self.note(
                    f"{path}[{at}]", f"must be an ID, a whole number from 1, not {_what(item)}"
                )
                return None
        return frozenset(value)

    def script(self, source: str) -> None:
        if not source.strip():
            self.note("script", "is empty; remove it if the rule is not a script")
        elif len(source) <= MAX_SCRIPT:
            for problem in check(source):
                self.note("script", str(problem))

    # -- properties

    def rule(self, raw: Any) -> Rule | None:
        if not isinstance(raw, dict):
            self.note("", f"a rule must be an object of properties, not {_what(raw)}")
            return None
        for key in raw:
            if key not in PROPERTIES:
                self.note(
                    printable(key),
                    f"there is no such property; the properties are {', '.join(PROPERTIES)}",
                )
        scripted = "script" in raw
        script = self.text(raw, "script", MAX_SCRIPT) if scripted else None
        if script is not None:
            self.script(script)
        enabled = raw.get("enabled", True)
        if enabled.__class__ is not bool:
            self.note("enabled", f"must be true or false, not {_what(enabled)}")
        app_ids = self.numbers(raw["appId"], "appId") if "appId" in raw else None
        require = self.require(raw)
        conditions = [item for item in require if item.__class__ is Condition]
        return Rule(
            position=self.position,
            name=self.text(raw, "name", MAX_NAME),
            enabled=enabled is not False,
            operations=self.operations(raw, scripted),
            allow=self.allow(raw, scripted),
            require=require,
            columns=Columns.of(
                self.column_list(raw, "include"),
                self.column_list(raw, "exclude") or (),
                self.secret,
            ),
            app_ids=app_ids,
            script=script,
            pinned_on_update=_pinned(conditions, True),
            pinned_on_insert=_pinned(conditions, False),
        )

    def operations(self, raw: dict[str, Any], scripted: bool) -> frozenset[Any]:
        everything: frozenset[Any] = frozenset(OPERATIONS)
        if "type" not in raw:
            if not scripted:
                self.note("type", f"is missing; it must be a list of {', '.join(OPERATIONS)}")
            return everything
        value = raw["type"]
        if not isinstance(value, list) or not value:
            self.note("type", f'must be a list such as ["select"], not {_what(value)}')
            return everything
        for at, item in enumerate(value):
            if not isinstance(item, str) or item not in OPERATIONS:
                self.note(
                    f"type[{at}]", f"must be one of {', '.join(OPERATIONS)}, not {_what(item)}"
                )
                return everything
        return everything if scripted else frozenset(value)

    def allow(self, raw: dict[str, Any], scripted: bool) -> Allow:
        if "allow" not in raw:
            if not scripted:
                self.note(
                    "allow",
                    'is missing; it must be "all", "loggedIn", {"user": …} or {"tokens": […]}',
                )
            return _NOBODY
        value = raw["allow"]
        if isinstance(value, str) and value in ("all", "loggedIn"):
            return Allow(value)
        if isinstance(value, dict) and list(value) == ["user"]:
            return Allow("user", conditions=self.user(value["user"]))
        if isinstance(value, dict) and list(value) == ["tokens"]:
            return self.tokens(value["tokens"])
        self.note(
            "allow",
            f'must be "all", "loggedIn", {{"user": …}} or {{"tokens": […]}}, not {_what(value)}',
        )
        return _NOBODY

    def tokens(self, value: Any) -> Allow:
        ids = self.numbers(value, "allow.tokens")
        if ids is not None and not ids:
            self.note("allow.tokens", "is empty, so it would let nobody in")
        return Allow("tokens", tokens=ids or frozenset())

    def user(self, value: Any) -> tuple[Condition, ...]:
        if not isinstance(value, dict) or not value:
            self.note(
                "allow.user",
                'must be an object such as {"Role": {"equals": "Admin"}}, and must not be empty',
            )
            return ()
        return tuple(
            condition
            for name, tests in value.items()
            for condition in self.conditions(name, tests, "allow.user", False)
        )

    def require(self, raw: dict[str, Any]) -> tuple[Requirement, ...]:
        value = raw.get("require", [])
        if not isinstance(value, list):
            self.note("require", f"must be a list of columns and conditions, not {_what(value)}")
            return ()
        found: list[Requirement] = []
        for at, item in enumerate(value):
            found.extend(self.requirement(item, f"require[{at}]"))
        return tuple(found)

    def requirement(self, item: Any, path: str) -> list[Requirement]:
        if isinstance(item, str):
            name = self.column(item, path)
            reason = Reason("require", f"requires `{name}`")
            return [] if name is None else [Provided(name, reason)]
        if not isinstance(item, dict) or not item:
            self.note(
                path,
                'must be a column, or an object such as {"Email": {"equals": "…"}}, not '
                f"{_what(item)}",
            )
            return []
        return [
            condition
            for name, tests in item.items()
            for condition in self.conditions(name, tests, path, True)
        ]

    def conditions(self, name: Any, tests: Any, path: str, declared: bool) -> list[Condition]:
        """The conditions on one column. In `require`, `on` can appear next to the operators."""
        column = self.column(name, path, declared)
        path = f"{path}.{printable(name)}"
        operators = sorted(NODE_OPERATORS)
        if not isinstance(tests, dict) or not set(tests) - {"on"}:
            self.note(path, f"must be an object of at least one of {', '.join(operators)}")
            return []
        side = self.side(tests["on"], path) if declared and "on" in tests else None
        found: list[Condition] = []
        for op, value in tests.items():
            if op == "on" and declared:
                continue
            if op not in NODE_OPERATORS:
                self.note(
                    f"{path}.{printable(op)}",
                    f"there is no such operator; the operators are {', '.join(operators)}",
                )
                continue
            if declared and column in self.secret:
                # Otherwise users who can change rules could find out the hashes, guess by guess.
                self.note(f"{path}.{op}", "tests a password column, which is not allowed in rules")
                continue
            operand = self.operand(op, value, f"{path}.{op}")
            if operand is not None and column is not None:
                found.extend(
                    _condition(column, op, each, side, declared)
                    for each in self.spellings(column, op, operand, declared)
                )
        return found

    def spellings(
        self, column: str, op: str, operand: Scalar | Template, declared: bool
    ) -> list[Scalar | Template]:
        """The operands to test, in the spellings in which they can be stored.

        Emails of users and in their entries are stored composed. A literal in another spelling
        would equal nothing, and `notequals` would exclude nobody.
        """
        if not isinstance(operand, str) or composed(operand) == operand:
            return [operand]
        if declared:
            return [composed(operand) if column == self.address else operand]
        # It is not known here which column of the user is an email.
        return [operand, composed(operand)] if op == "notequals" else [operand]

    def side(self, value: Any, path: str) -> tuple[bool, bool] | None:
        if isinstance(value, str) and value in _SIDES:
            return _SIDES[value]
        self.note(f"{path}.on", f"must be one of {', '.join(_SIDES)}, not {_what(value)}")
        return None

    def operand(self, op: str, value: Any, path: str) -> Scalar | Template | None:
        if not is_scalar(value) or problem_with_row({"value": value}):
            self.note(path, f"must be text, a number, true or false, not {_what(value)}")
            return None
        if op == "contains" and value == "":
            self.note(path, "is empty, but every text contains the empty text")
            return None
        if not isinstance(value, str) or not is_template(value):
            return value  # type: ignore[no-any-return]
        try:
            return compile_template(value)
        except TemplateError as error:
            self.note(path, str(error))
            return None


def _pinned(conditions: Iterable[Any], on_update: bool) -> frozenset[str]:
    return frozenset(
        item.column
        for item in conditions
        if item.op == "equals" and (item.on_submitted or not on_update)
    )


def _condition(
    column: str,
    op: str,
    operand: Scalar | Template,
    side: tuple[bool, bool] | None,
    required: bool,
) -> Condition:
    whose = isinstance(operand, Template)
    stored, submitted = side or (whose or op == "notequals", True)
    value = f"`{printable(operand.source if isinstance(operand, Template) else dumps(operand))}`"
    words = {"equals": "to be", "notequals": "not to be", "contains": "to contain"}[op]
    text = f"requires `{printable(column)}` {words} {value}"
    if not required:
        text = f"is for users whose `{printable(column)}` has {words} {value}"
    code = "require" if required else "allow"
    return Condition(column, op, operand, stored, submitted, Reason(code, text))


def _what(value: Any) -> str:
    """A value as short JSON, for a message."""
    try:
        return f"`{printable(dumps(value), 60)}`"
    except (TypeError, ValueError, RecursionError):
        return f"a {value.__class__.__name__}"


def parse_rules(
    raw: Any,
    columns: Container[str],
    secret: frozenset[str] = frozenset(),
    address: str | None = None,
) -> tuple[list[Rule], list[Problem]]:
    """Every rule of a list that can be read, and all problems of the list.

    `columns` are the declared columns, and `address` is the column of the email that people sign in
    with. A rule with problems is returned with `broken` set.
    """
    if not isinstance(raw, list):
        return [], [Problem(0, "", "the rules must be a list of objects")]
    problems = [Problem(0, "", text) for text in too_much(raw)]
    rules = []
    for position, item in enumerate(raw, 1):
        reader = _Reader(position, columns, secret, address)
        rule = reader.rule(item)
        problems.extend(reader.problems)
        if reader.problems:
            rule = _broken(position, item, "; ".join(str(p) for p in reader.problems[:3]))
        assert rule is not None
        rules.append(rule)
    return rules, problems


def too_much(raw: list[Any]) -> list[str]:
    """The limits that a list of rules exceeds, as messages."""
    if len(raw) > MAX_RULES:
        return [f"there are {len(raw)} rules; at most {MAX_RULES} are allowed"]
    try:
        size = len(dumps(raw).encode())
    except (TypeError, ValueError, RecursionError):
        return []
    if size > MAX_BYTES:
        return [f"the rules are {size} bytes long; at most {MAX_BYTES} are allowed"]
    return []


def _broken(position: int, raw: Any, problem: str) -> Rule:
    """A stored rule that is not valid: it ends its operations, or all of them if unreadable."""
    kinds = raw.get("type") if isinstance(raw, dict) else None
    named = kinds if isinstance(kinds, list) and kinds and "script" not in raw else None
    if named is None or any(kind not in OPERATIONS for kind in named if isinstance(kind, str)):
        named = list(OPERATIONS)
    if not all(isinstance(kind, str) for kind in named):
        named = list(OPERATIONS)
    return Rule(
        position=position,
        name="",
        enabled=not (isinstance(raw, dict) and raw.get("enabled") is False),
        operations=frozenset(named),
        allow=_NOBODY,
        require=(),
        columns=Columns.of(()),
        broken=problem,
    )
