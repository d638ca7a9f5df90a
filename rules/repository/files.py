"""Rules as files: for git, and for another site, where the same names have other ids.

One file for each data source. API tokens and apps are written by name; a script is a list of lines,
so that a diff shows which lines have changed.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

from rowkeeper.accounts.models import ApiToken, App
from rowkeeper.datasources.errors import Malformed
from rowkeeper.datasources.models import DataSource
from rowkeeper.datasources.query.select import parse_natural
from rowkeeper.datasources.values.format import pretty, read
from rowkeeper.datasources.values.validation import printable

from ..engine.problems import Problem
from .canonical import in_order

_KEYS = ("dataSource", "rules")
# The revision that the rules in the file are based on. Optional.
_REVISION = "revision"
_LONGEST = 200


class _Named(Protocol):
    pk: Any
    name: str


@dataclass(frozen=True, slots=True)
class NameIndex:
    """The names of all objects of a kind, by id."""

    # "API token" or "app".
    kind: str
    names: dict[int, str]

    @classmethod
    def of(cls, kind: str, things: Iterable[_Named]) -> NameIndex:
        """Make the index of the objects that exist."""
        return cls(kind, {thing.pk: thing.name for thing in things})

    def name_of(self, number: Any) -> Any:
        """The name of an object in a file.

        It includes the id if other objects have the same name. An object that does not exist is
        written as its id.
        """
        if number.__class__ is not int or number not in self.names:
            return number
        name = self.names[number]
        if Counter(self.names.values())[name] == 1:
            return name
        return f"{name} ({number})"

    def number_of(self, name: Any) -> int:
        """The id for a name in a file. Raises `Malformed` if no object has it, or several do."""
        if isinstance(name, str):
            found = [number for number, known in self.names.items() if known == name]
            found = found or [n for n in self.names if name == f"{self.names[n]} ({n})"]
            if len(found) == 1:
                return found[0]
            problem = "there is more than one" if found else "there is no"
            raise Malformed(f"{problem} {self.kind} `{printable(name)}`")
        if name.__class__ is int and name not in self.names:
            return int(name)
        raise Malformed(
            f"an {self.kind} must be given by name here, because its ID is only valid on this site"
        )


@dataclass(frozen=True, slots=True)
class Directory:
    """The names of the API tokens and apps of this site."""

    tokens: NameIndex
    apps: NameIndex

    @classmethod
    def now(cls) -> Directory:
        """Read the current names, with two queries."""
        return cls(
            NameIndex.of("API token", ApiToken.objects.order_by("pk")),
            NameIndex.of("app", App.objects.order_by("pk")),
        )


# -- to a file


def to_text(
    source: DataSource, rules: list[Any], directory: Directory, with_revision: bool = False
) -> str:
    """The text of a data source's file. With the revision, it differs from site to site."""
    named = [_named(rule, directory) for rule in in_order(rules)]
    revision = {_REVISION: source.revision} if with_revision else {}
    return pretty({"dataSource": source.name, **revision, "rules": named}, 3) + "\n"


def file_names() -> dict[str, str]:
    """Return `{data source name: file name}`.

    All file systems accept these names, which differ by more than upper and lower case, because
    many file systems ignore case.
    """
    names = sorted(DataSource.objects.values_list("name", flat=True))
    plain = {name: _file_name(name) for name in names}
    alike = Counter(file.lower() for file in plain.values())
    found: dict[str, str] = {}
    taken = {file.lower() for file in plain.values() if alike[file.lower()] == 1}
    # In reverse order, because among names that differ by case, the lower-case one keeps its name.
    for name, file in reversed(plain.items()):
        if alike[file.lower()] > 1:
            length = 0
            while file.lower() in taken:
                length += 8
                file = _file_name(name, length)
            taken.add(file.lower())
        found[name] = f"{file}.json"
    return found


def _file_name(name: str, digits: int = 0) -> str:
    """A file's name without its suffix, with `digits` hexadecimal digits of a digest of it."""
    quoted = quote(name, safe=" ")
    digest = hashlib.sha256(quoted.encode()).hexdigest()
    if len(quoted) > _LONGEST:
        return f"{quoted[:_LONGEST]}-{digest[: max(digits, 8)]}"
    return f"{quoted}-{digest[:digits]}" if digits else quoted


def _named(rule: Any, directory: Directory) -> Any:
    if not isinstance(rule, dict):
        return rule
    found = dict(rule)
    allow = found.get("allow")
    if isinstance(allow, dict) and isinstance(allow.get("tokens"), list):
        tokens = [directory.tokens.name_of(token) for token in allow["tokens"]]
        found["allow"] = {**allow, "tokens": tokens}
    if isinstance(found.get("appId"), list):
        found["appId"] = [directory.apps.name_of(app) for app in found["appId"]]
    if isinstance(found.get("script"), str) and "\n" in found["script"]:
        found["script"] = found["script"].split("\n")
    return found


# -- from a file


@dataclass(frozen=True, slots=True)
class RulesFile:
    """A parsed file: the name of its data source, and its rules with ids."""

    name: str
    rules: list[Any]
    # The revision that the rules are based on, if the file has one.
    revision: int | None
    # Names that could not be resolved, each with its place.
    problems: list[Problem]


def from_text(text: str, directory: Directory) -> RulesFile:
    """Parse the text of a file. Raises `Malformed` if it is not a rules file."""
    found = read(text)
    if not isinstance(found, dict) or not set(_KEYS) <= set(found):
        raise Malformed('the file must be an object such as {"dataSource": "…", "rules": […]}')
    keys = (*_KEYS, _REVISION)
    unknown = set(found) - set(keys)
    if unknown:
        raise Malformed(
            f"there is no property `{printable(min(unknown))}`; the properties are "
            f"{', '.join(keys)}"
        )
    if not isinstance(found["dataSource"], str) or not isinstance(found["rules"], list):
        raise Malformed("`dataSource` must be a name, and `rules` must be a list of rules")
    revision = parse_natural(found, _REVISION)
    problems: list[Problem] = []
    rules = [
        _numbered(rule, directory, position, problems)
        for position, rule in enumerate(found["rules"], 1)
    ]
    return RulesFile(found["dataSource"], rules, revision, problems)


def _numbered(rule: Any, directory: Directory, position: int, problems: list[Problem]) -> Any:
    if not isinstance(rule, dict):
        return rule
    found = dict(rule)

    def numbers(names: Any, known: NameIndex, path: str) -> Any:
        if not isinstance(names, list):
            return names
        return [number(name, known, f"{path}[{at}]") for at, name in enumerate(names)]

    def number(name: Any, known: NameIndex, path: str) -> Any:
        try:
            return known.number_of(name)
        except Malformed as error:
            problems.append(Problem(position, path, error.message, "unknown-name"))
            return name

    allow = found.get("allow")
    if isinstance(allow, dict) and "tokens" in allow:
        tokens = numbers(allow["tokens"], directory.tokens, "allow.tokens")
        found["allow"] = {**allow, "tokens": tokens}
    if "appId" in found:
        found["appId"] = numbers(found["appId"], directory.apps, "appId")
    lines = found.get("script")
    if isinstance(lines, list) and all(isinstance(line, str) for line in lines):
        found["script"] = "\n".join(lines)
    return found
