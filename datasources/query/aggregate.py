"""`aggregate`: parses a pipeline of stages. `compiler.aggregate` compiles it to SQL.

A pipeline begins with entries, whose columns are named as in `order`. After the first `$project`
or `$group` it has results, which only have the fields that the previous stage made.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ..errors import Malformed
from ..values.codec import dumps
from ..values.validation import MAX_DEPTH, printable, problem_with_name, problem_with_text
from .column_names import row_path_of

MAX_STAGES = 20
MAX_FIELDS = 100
MAX_KEYS = 50
# Limits of one document: its values, and the characters of names and texts that the pipeline gives.
# Those are in every result, and a key that is made of keys would otherwise grow with every stage.
MAX_VALUES = 200
MAX_GIVEN = 5_000
ENTRY_FIELDS = ("id", "order", "createdAt", "updatedAt")
ACCUMULATORS = ("$sum", "$avg", "$min", "$max")
TO_NUMBER = "$convertToNumber"
STAGES = ("$project", "$group", "$sort")


@dataclass(frozen=True, slots=True)
class OfEntry:
    """A field of the entry itself."""

    name: str


@dataclass(frozen=True, slots=True)
class OfRow:
    """A column of a row, or a path below one."""

    path: tuple[str, ...]

    @property
    def name(self) -> str:
        """The column or path as it is written."""
        return ".".join(self.path)


@dataclass(frozen=True, slots=True)
class OfResult:
    """The field at a position of the previous stage's fields, or a path below it."""

    at: int
    path: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Literal:
    """A value that the client gives."""

    value: str | int | float | None


@dataclass(frozen=True, slots=True)
class ToNumber:
    """A number, or the number that a text represents; null for everything else."""

    of: Reference | Literal


Reference: TypeAlias = "OfEntry | OfRow | OfResult"
Expression: TypeAlias = "Reference | Literal | ToNumber"


@dataclass(frozen=True, slots=True)
class Project:
    """Replaces each document by one with these fields."""

    fields: tuple[tuple[str, Expression], ...]


@dataclass(frozen=True, slots=True)
class Total:
    """A field of a group: an accumulator over an expression."""

    name: str
    accumulator: str
    of: Expression


@dataclass(frozen=True, slots=True)
class Group:
    """One document for each distinct combination of the keys.

    If `names` is None, `_id` is the only key itself; otherwise `_id` is an object of all keys.
    """

    keys: tuple[Expression, ...]
    names: tuple[str, ...] | None
    totals: tuple[Total, ...]


@dataclass(frozen=True, slots=True)
class Sort:
    """Sorts the documents; `terms` are (reference, whether it descends)."""

    terms: tuple[tuple[Reference, bool], ...]


Stage: TypeAlias = "Project | Group | Sort"


@dataclass(frozen=True, slots=True)
class _Size:
    """How many values a field holds, and how many of its characters the pipeline gives.

    `members` are the sizes of an object's members.
    """

    values: int = 1
    given: int = 0
    members: Mapping[str, _Size] = field(default_factory=dict)

    def below(self, path: Iterable[str]) -> _Size:
        """Return the size of the value at a path; a path below an unknown value counts as one."""
        found = self
        for key in path:
            found = found.members.get(key, _ONE)
        return found


_ONE = _Size()


def _together(fields: Iterable[tuple[str, _Size]]) -> _Size:
    """Return the size of an object with these members."""
    members = dict(fields)
    return _Size(
        sum(size.values for size in members.values()),
        sum(len(dumps(name)) + size.given for name, size in members.items()),
        members,
    )


def given_by(names: Iterable[str]) -> int:
    """Return how many characters the names of an object's members take."""
    return _together((name, _ONE) for name in names).given


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The stages in their order, and the fields of the results; None if the results are entries."""

    stages: tuple[Stage, ...] = ()
    fields: tuple[str, ...] | None = None

    def columns(self) -> Iterator[OfRow]:
        """Yield every column or path of a row that the stages name."""
        for stage in self.stages:
            for item in _expressions(stage):
                named = item.of if isinstance(item, ToNumber) else item
                if isinstance(named, OfRow):
                    yield named


def _expressions(stage: Stage) -> Iterator[Expression]:
    if isinstance(stage, Project):
        yield from (expression for _, expression in stage.fields)
    elif isinstance(stage, Group):
        yield from stage.keys
        yield from (total.of for total in stage.totals)
    else:
        yield from (reference for reference, _ in stage.terms)


def parse_aggregate(value: Any, columns: Container[str]) -> Pipeline:
    """Parse a list of stages. Raises `Malformed`, with the place in the body."""
    if not isinstance(value, list) or len(value) > MAX_STAGES:
        raise Malformed(f"`aggregate` must be a list of at most {MAX_STAGES} stages")
    parser = _Parser(columns)
    stages = tuple(parser.stage(item, f"aggregate[{at}]") for at, item in enumerate(value))
    return Pipeline(stages, parser.fields)


def row_path(written: str, columns: Container[str], place: str) -> tuple[str, ...]:
    """Return the path of keys that a name means; `data.` in front is optional.

    Raises `Malformed` if it is too deep or not a valid name.
    """
    path = row_path_of(written, columns)
    if len(path) > MAX_DEPTH:
        raise Malformed(f"`{place}`: the path has more than {MAX_DEPTH} keys")
    for key in path:
        problem = problem_with_name(key)
        if problem:
            raise Malformed(f"`{place}`: the column {problem}")
    return path


@dataclass(slots=True)
class _Parser:
    """Parses stages; tracks which fields the documents have, and how large they are."""

    columns: Container[str]
    fields: tuple[str, ...] | None = field(default=None)
    _sizes: tuple[_Size, ...] = ()

    def stage(self, value: Any, place: str) -> Stage:
        """Parse one stage: an object whose one key is the stage's name. Raises `Malformed`."""
        if not isinstance(value, dict) or len(value) != 1:
            raise Malformed(f"`{place}` must be an object with one stage: {', '.join(STAGES)}")
        ((name, body),) = value.items()
        if name not in STAGES:
            raise Malformed(
                f"`{place}`: `{printable(name)}` is not a stage; the stages are {', '.join(STAGES)}"
            )
        here = f"{place}.{name}"
        if not isinstance(body, dict) or not 1 <= len(body) <= MAX_FIELDS:
            raise Malformed(f"`{here}` must be an object of 1 to {MAX_FIELDS} fields")
        read: dict[str, Callable[[dict[str, Any], str], Stage]] = {
            "$project": self._project,
            "$group": self._group,
            "$sort": self._sort,
        }
        return read[name](body, here)

    # -- the size of a document

    def _made(self, made: Sequence[tuple[str, _Size]], place: str) -> None:
        """Record the fields of the documents. Raises `Malformed` if they are too large."""
        whole = _together(made)
        if whole.values > MAX_VALUES:
            raise Malformed(
                f"`{place}`: a result would have {whole.values} values; at most {MAX_VALUES} "
                "are allowed"
            )
        if whole.given > MAX_GIVEN:
            raise Malformed(
                f"`{place}`: the names and texts in a result have {whole.given} characters; at "
                f"most {MAX_GIVEN} are allowed"
            )
        self.fields = tuple(name for name, _ in made)
        self._sizes = tuple(size for _, size in made)

    def _size(self, item: Expression) -> _Size:
        if isinstance(item, Literal):
            return _Size(1, len(dumps(item.value)))
        return self._sizes[item.at].below(item.path) if isinstance(item, OfResult) else _ONE

    # -- $project

    def _project(self, body: dict[str, Any], place: str) -> Project:
        if all(_switched(value) == 0 for value in body.values()):
            made = self._without(body, place)
        else:
            made = self._with(body, place)
        self._made([(name, self._size(expression)) for name, expression in made], place)
        return Project(made)

    def _without(self, body: dict[str, Any], place: str) -> tuple[tuple[str, Expression], ...]:
        """Return all fields except these."""
        if self.fields is None:
            raise Malformed(f'`{place}`: name the columns to include, such as {{"Name": 1}}')
        for name in body:
            if name not in self.fields:
                raise self._unknown(name, f"{place}.{printable(name)}")
        return tuple(
            (name, OfResult(at)) for at, name in enumerate(self.fields) if name not in body
        )

    def _with(self, body: dict[str, Any], place: str) -> tuple[tuple[str, Expression], ...]:
        """Return these fields; `_id` stays unless it is set to 0, as in MongoDB."""
        made: list[tuple[str, Expression]] = []
        if self.fields is not None and "_id" in self.fields and "_id" not in body:
            made.append(("_id", OfResult(self.fields.index("_id"))))
        for name, value in body.items():
            here = f"{place}.{printable(name)}"
            switched = _switched(value)
            if switched == 0 and name != "_id":
                raise Malformed(f"`{here}`: 0 cannot be combined with fields to include")
            if switched == 0:
                continue
            _check_field(name, here)
            made.append(
                (name, self._reference(name, here) if switched else self.expression(value, here))
            )
        return tuple(made)

    # -- $group

    def _group(self, body: dict[str, Any], place: str) -> Group:
        if "_id" not in body:
            raise Malformed(f'`{place}` needs `_id`: a column such as "$Name", an object, or null')
        keys, names = self._keys(body["_id"], f"{place}._id")
        totals = tuple(
            self._total(name, value, f"{place}.{printable(name)}")
            for name, value in body.items()
            if name != "_id"
        )
        sizes = [self._size(key) for key in keys]
        whole = sizes[0] if names is None else _together(zip(names, sizes, strict=True))
        # A total is one value, which may be a text that the pipeline gives.
        rest = [(total.name, _Size(1, self._size(total.of).given)) for total in totals]
        self._made([("_id", whole), *rest], place)
        return Group(keys, names, totals)

    def _keys(
        self, value: Any, place: str
    ) -> tuple[tuple[Expression, ...], tuple[str, ...] | None]:
        if not isinstance(value, dict) or any(key.startswith("$") for key in value):
            return (self.expression(value, place),), None
        if not 1 <= len(value) <= MAX_KEYS:
            raise Malformed(f"`{place}` must be an object of 1 to {MAX_KEYS} fields")
        for name in value:
            _check_field(name, f"{place}.{printable(name)}")
        keys = tuple(
            self.expression(item, f"{place}.{printable(name)}") for name, item in value.items()
        )
        return keys, tuple(value)

    def _total(self, name: str, value: Any, place: str) -> Total:
        _check_field(name, place)
        if not isinstance(value, dict) or len(value) != 1:
            raise Malformed(
                f"`{place}` must be an object with one of {', '.join(ACCUMULATORS)}, such as "
                '{"$sum": 1}'
            )
        ((accumulator, operand),) = value.items()
        if accumulator not in ACCUMULATORS:
            raise Malformed(
                f"`{place}`: `{printable(accumulator)}` is not an accumulator; the accumulators "
                f"are {', '.join(ACCUMULATORS)}"
            )
        return Total(name, accumulator, self.expression(operand, f"{place}.{accumulator}"))

    # -- $sort

    def _sort(self, body: dict[str, Any], place: str) -> Sort:
        terms = []
        for name, direction in body.items():
            here = f"{place}.{printable(name)}"
            if direction.__class__ is bool or direction not in (1, -1):
                raise Malformed(f"`{here}` must be 1 or -1")
            terms.append((self._reference(name, here), direction == -1))
        return Sort(tuple(terms))

    # -- expressions

    def expression(self, value: Any, place: str, depth: int = 1) -> Expression:
        """Parse `"$Name"`, `{"$convertToNumber": …}`, or a literal text, number or null."""
        if depth > 4:
            raise Malformed(f"`{printable(place)}` is nested too deeply")
        if isinstance(value, str) and value.startswith("$"):
            return self._reference(value[1:], place)
        if value is None or (value.__class__ in (str, int, float)):
            problem = problem_with_text(value) if isinstance(value, str) else None
            if problem:
                raise Malformed(f"`{place}` {problem}")
            return Literal(value)
        if isinstance(value, dict) and len(value) == 1:
            ((name, operand),) = value.items()
            if name == TO_NUMBER:
                inner = self.expression(operand, f"{place}.{TO_NUMBER}", depth + 1)
                # Converting twice is the same as converting once.
                return inner if isinstance(inner, ToNumber) else ToNumber(inner)
            raise Malformed(f"`{place}`: `{printable(name)}` is unknown; use {TO_NUMBER}")
        raise Malformed(
            f'`{place}` must be a column such as "$Name", {{"{TO_NUMBER}": "$Age"}}, text, a '
            "number or null"
        )

    def _reference(self, name: str, place: str) -> Reference:
        if not name or name.startswith("$"):
            raise Malformed(f"`{place}`: `{printable(f'${name}')}` does not name a column")
        if self.fields is None:
            if name in ENTRY_FIELDS:
                return OfEntry(name)
            return OfRow(row_path(name, self.columns, place))
        first, *path = name.split(".")
        if first not in self.fields or len(path) > MAX_DEPTH or "" in path:
            raise self._unknown(name, place)
        return OfResult(self.fields.index(first), tuple(path))

    def _unknown(self, name: str, place: str) -> Malformed:
        there = ", ".join(printable(known, 30) for known in (self.fields or ())[:20])
        return Malformed(
            f"`{place}`: the previous stage has no field `{printable(name)}`; its fields are "
            f"{there}"
        )


def _switched(value: Any) -> int | None:
    """Return 1 for 1 and true, 0 for 0 and false, and None for an expression."""
    if value.__class__ is bool or (value.__class__ in (int, float) and value in (0, 1)):
        return int(value)
    if value.__class__ in (int, float):
        return 1 if value else 0
    return None


def _check_field(name: str, place: str) -> None:
    """Check the name of a result's field. Raises `Malformed`."""
    problem = problem_with_name(name)
    if problem:
        raise Malformed(f"`{place}`: the field {problem}")
    if "." in name:
        raise Malformed(
            f'`{place}`: a field name cannot contain dots; write {{"Name": "$data.Name"}}'
        )
