"""A list of rules in plain words, for people who do not read JSON. Decides nothing.

Takes rules as they are stored, so that any JSON value is accepted.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rowkeeper.datasources.values.codec import dumps
from rowkeeper.datasources.values.validation import printable

from ..analysis.access_matrix import reachable
from ..engine.parse import Problem
from ..engine.rule import OPERATIONS, Rule

_WORDS = {"equals": "is", "notequals": "is not", "contains": "contains"}
_SIDES = {
    "stored": "in the stored entry",
    "submitted": "in the submitted data",
    "both": "both before and after the change",
}
_MAY = {"select": "read", "insert": "add", "update": "change", "delete": "delete"}
_COLUMNS = {"all": "everything", "none": "no column"}
_BY_SCRIPT = "the callers that its script lets in"
_DOES = {"select": "Read", "insert": "Add", "update": "Change", "delete": "Delete"}


@dataclass(frozen=True, slots=True)
class Summary:
    """One rule in words. If it is not valid, and therefore denies, `problems` is not empty."""

    number: int
    name: str
    on: bool
    operations: tuple[str, ...]
    who: str
    columns: str
    requirements: tuple[str, ...]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Access:
    """Who gets in for one operation: one line for each rule that can grant, in order."""

    operation: str
    lines: tuple[str, ...]


def summaries(rules: Sequence[Any], problems: Sequence[Problem] = ()) -> list[Summary]:
    """The summary of each rule."""
    return [
        _summary(number, rule, tuple(str(p) for p in problems if p.rule == number))
        for number, rule in enumerate(rules, 1)
    ]


def access(found: Sequence[Summary], rules: Sequence[Rule] | None = None) -> list[Access]:
    """Who gets in for each operation, in the order in which the rules are tried.

    With `rules`, the parsed rules of these summaries, rules that no request can reach are left out.
    """
    return [
        Access(
            _DOES[each],
            tuple(_lines(each, found, None if rules is None else reachable(rules, each))),
        )
        for each in OPERATIONS
    ]


def _lines(
    operation: str, found: Sequence[Summary], reached: Container[int] | None
) -> Iterator[str]:
    for rule in found:
        if not rule.on or (rule.operations and operation not in rule.operations):
            continue
        if reached is not None and rule.number not in reached and not rule.problems:
            continue
        if rule.problems:
            yield f"nobody from this rule on: rule {rule.number} is not valid"
            return
        condition = f", if {' and '.join(rule.requirements)}" if rule.requirements else ""
        yield f"{rule.who} (rule {rule.number}){condition}"


def sentence(rule: Summary) -> str:
    """One rule as a sentence: "Everyone who is signed in may read all columns but Salary"."""
    if not rule.who:
        return "This is not a rule"
    who = as_subject(f"anyone {rule.who}" if rule.who.startswith("who is ") else rule.who)
    may = f"{who[:1].upper()}{who[1:]} can {_and([_MAY.get(o, o) for o in rule.operations])}"
    if not rule.operations:
        return f"A script decides{rule.who.removeprefix(_BY_SCRIPT)}"
    columns = "" if set(rule.operations) == {"delete"} else _COLUMNS.get(rule.columns, rule.columns)
    condition = f", if {' and '.join(rule.requirements)}" if rule.requirements else ""
    return f"{may}{f' {columns}' if columns else ''}{condition}"


def _and(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def as_subject(who: str) -> str:
    """The words in the form that goes before a verb: `everyone, signed in or not,`."""
    return f"{who}," if who.startswith("everyone, ") else who


def allowed_in_words(rule: Any) -> str:
    """The people whom a rule lets in: `everyone who is signed in`."""
    who = _who(rule, "script" in rule)
    return f"anyone {who}" if who.startswith("who is ") else who


def columns_in_words(rule: Any) -> str:
    """The columns that a rule opens: `all but Salary`, `everything`."""
    words = _columns(rule)
    return _COLUMNS.get(words, words)


def requirements_in_words(rule: Any) -> list[str]:
    """The requirements of a rule, one text for each condition."""
    return list(_requirements(rule.get("require")))


def _summary(number: int, rule: Any, problems: tuple[str, ...]) -> Summary:
    if not isinstance(rule, dict):
        return Summary(number, "", True, (), "", "", (), problems)
    name = rule.get("name")
    scripted = "script" in rule
    return Summary(
        number=number,
        name=name if isinstance(name, str) else "",
        on=rule.get("enabled") is not False,
        operations=() if scripted else tuple(map(_text, _list(rule.get("type")))),
        who=_who(rule, scripted),
        columns="as decided by the script" if scripted else _columns(rule),
        requirements=() if scripted else tuple(_requirements(rule.get("require"))),
        problems=problems,
    )


def _who(rule: dict[str, Any], scripted: bool) -> str:
    who = _BY_SCRIPT if scripted else _allowed(rule.get("allow"))
    if "appId" not in rule:
        return who
    apps = " or ".join(map(_text, _list(rule["appId"])))
    if not scripted and rule.get("allow") == "all" and apps:
        # A request without a credential belongs to no app.
        return f"users and API tokens of app {apps}"
    return f"{who}, only in app {apps}" if apps else f"{who}, in no app"


def _allowed(allow: Any) -> str:
    if allow == "all":
        return "everyone, signed in or not"
    if allow == "loggedIn":
        return "everyone who is signed in"
    if isinstance(allow, dict) and isinstance(allow.get("user"), dict):
        tests = [words for column, test in allow["user"].items() for words in _tests(column, test)]
        return f"who is signed in and whose {' and whose '.join(tests)}"
    if isinstance(allow, dict) and "tokens" in allow:
        return f"API token {' or '.join(map(_text, _list(allow['tokens'])))}"
    return "cannot be read"


def _columns(rule: dict[str, Any]) -> str:
    if "include" in rule:
        names = ", ".join(map(_text, _list(rule["include"])))
        return f"only {names}" if names else "none"
    names = ", ".join(map(_text, _list(rule.get("exclude"))))
    return f"all but {names}" if names else "all"


def _requirements(require: Any) -> Iterator[str]:
    for item in _list(require):
        if isinstance(item, dict):
            for column, test in item.items():
                yield from _tests(column, test)
        else:
            yield f"{_text(item)} is given"


def _tests(column: Any, test: Any) -> Iterator[str]:
    if not isinstance(test, dict):
        yield f"{_text(column)} {_text(test)}"
        return
    side = f" ({_SIDES[test['on']]})" if test.get("on") in list(_SIDES) else ""
    for operator, value in test.items():
        if operator != "on":
            yield f"{_text(column)} {_WORDS.get(operator, _text(operator))} {_value(value)}{side}"


def _value(value: Any) -> str:
    """A template that is a single expression in words; other values as they are written."""
    text = value.strip() if isinstance(value, str) else ""
    if text.startswith("{{user.[") and text.endswith("]}}") and text.count("{{") == 1:
        return f"the user's {_text(text[8:-3])}"
    return f"“{_text(value)}”" if isinstance(value, str) else _text(value)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _text(value: Any) -> str:
    return printable(value if isinstance(value, str) else dumps(value), 120)
