"""Views: filters with a name, in `definition.views`, whose values may come from the session.

    {"views": {"Mine": {"where": {"Owner": "session.Email"}}}}

or as a list of `{"name": …, "filter": …}`. A value from the session is inserted as a value, and
only where it is compared, never as a pattern or a list.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import Malformed
from ..values.validation import is_scalar, printable, problem_with_name
from .where import Budget, Node, any_of, parse_where

SESSION = "session."
MAX_VIEWS = 100
# The filters of all views together may be at most this many times as large as a request's where.
TOGETHER = 10
# The operators that only compare, and those that hold conditions.
_COMPARE = frozenset({"$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin"})
_CONTAIN = frozenset({"$and", "$or", "$nor", "$not", "$elemMatch"})
# Matches no row: the meaning of a view if the session lacks a value.
NOTHING: Node = any_of(())


@dataclass(frozen=True, slots=True)
class View:
    """A filter as the definition has it."""

    name: str
    filter: dict[str, Any] = field(hash=False)

    def where(
        self,
        session: Mapping[str, Any] | None,
        columns: Container[str],
        budget: Budget | None = None,
    ) -> Node:
        """Return the where for this session; `NOTHING` if it lacks a value that the view names.

        `budget` bounds all views of a request together. Raises `Malformed` for a filter that could
        not be saved, and for one that exceeds the budget.
        """
        _check(self)
        try:
            return parse_where(_bound(self.filter, session or {}), columns, budget=budget)
        except _Lacking:
            return NOTHING

    def written(self, session: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return the where of the view as JSON, for a session."""
        try:
            found: dict[str, Any] = _bound(self.filter, session or {})
        except _Lacking:
            found = {"$nor": [{}]}
        return found


class _Lacking(Exception):
    """The session does not have a value."""


def problem_with_views(views: object) -> str | None:
    """Return why a value is not a valid set of views, or None."""
    try:
        together = 0.0
        for view in _read(views):
            together += _check(view).share()
            if together > TOGETHER:
                return (
                    "the filters of `views` are too large in total, including "
                    f"`{printable(view.name)}`"
                )
    except Malformed as error:
        return error.message
    return None


def views_of(definition: object) -> tuple[View, ...]:
    """Return the views of a definition; none if they cannot be read.

    Filters are checked when they are used, because each process reads the views again whenever the
    data source changes.
    """
    views = definition.get("views") if isinstance(definition, dict) else None
    try:
        return () if views is None else _read(views)
    except Malformed:
        return ()


def _read(views: object) -> tuple[View, ...]:
    """Read the views without checking their filters. Raises `Malformed`."""
    read = tuple(_each(views))
    if len(read) > MAX_VIEWS:
        raise Malformed(f"`views` has more than {MAX_VIEWS} views")
    if len({view.name for view in read}) != len(read):
        raise Malformed("`views` has two views with the same name")
    return read


def _each(views: object) -> Iterator[View]:
    if isinstance(views, dict):
        for name, view in views.items():
            yield _view(name, view, "where", f"views.{printable(name)}")
    elif isinstance(views, list):
        for at, view in enumerate(views):
            name = view.get("name") if isinstance(view, dict) else None
            yield _view(name, view, "filter", f"views[{at}]")
    else:
        raise Malformed(
            '`views` must be an object such as {"Mine": {"where": {"Owner": "session.Email"}}}'
        )


def _view(name: object, view: object, key: str, place: str) -> View:
    if not isinstance(view, dict) or not isinstance(view.get(key), dict):
        raise Malformed(f"`{place}.{key}` must be an object of columns and conditions")
    problem = problem_with_name(name)
    if problem:
        raise Malformed(f"`{place}`: the name {problem}")
    unknown = set(view) - {"name", key, "bundle"}
    if unknown:
        raise Malformed(f"`{place}` has no property `{printable(min(unknown))}`")
    return View(str(name), view[key])


def _check(view: View) -> Budget:
    """Return the budget that the filter of a view uses.

    Raises `Malformed` for a filter that is not a where for any session.
    """
    budget = Budget()
    try:
        parse_where(view.filter, budget=budget)
        for place, text in _unbound(view.filter, "where"):
            raise Malformed(
                f"`{place}`: `{printable(text)}` is not allowed here; a value of the session "
                f"can only be used under a column, or under one of {', '.join(sorted(_COMPARE))}"
            )
        for text in _texts(view.filter):
            if text == SESSION:
                raise Malformed(
                    "`session.` must be followed by the name of a column, as in `session.Email`"
                )
    except Malformed as error:
        raise Malformed(f"the view `{printable(view.name)}`: {error.message}") from None
    return budget


# -- inserting the session's values


def _bound(value: Any, session: Mapping[str, Any]) -> Any:
    """Return a where, or the value of a column or logical operator, with the session's values."""
    if isinstance(value, list):
        return [_bound(item, session) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: _bound_below(key, item, session) for key, item in value.items()}


def _bound_below(key: str, item: Any, session: Mapping[str, Any]) -> Any:
    if key == "$not" and not isinstance(item, dict):
        # `$not` with a value or a list means `$ne`.
        return _filled(item, session)
    if key in _CONTAIN:
        return _bound(item, session)
    if key.startswith("$"):
        return _filled(item, session) if key in _COMPARE else item
    return (_bound if _has_operators(item) else _filled)(item, session)


def _filled(operand: Any, session: Mapping[str, Any]) -> Any:
    """Return an operand that is compared, with the session's values in it."""
    if isinstance(operand, str):
        return _value(operand[len(SESSION) :], session) if _is_session(operand) else operand
    if isinstance(operand, list):
        return [_filled(item, session) for item in operand]
    if isinstance(operand, dict):
        return {key: _filled(item, session) for key, item in operand.items()}
    return operand


def _is_session(text: str) -> bool:
    return text.startswith(SESSION)


def _value(column: str, session: Mapping[str, Any]) -> Any:
    value = session.get(column)
    if not is_scalar(value) or value == "":
        raise _Lacking
    return value


def _unbound(value: Any, place: str) -> Iterator[tuple[str, str]]:
    """Yield (place, text) for each text like `session.…` where `_bound` inserts no value."""
    if isinstance(value, list):
        for at, item in enumerate(value):
            yield from _unbound(item, f"{place}[{at}]")
    elif isinstance(value, dict):
        for key, item in value.items():
            here = f"{place}.{printable(key)}"
            if key in _CONTAIN or (not key.startswith("$") and _has_operators(item)):
                yield from _unbound(item, here)
            elif key.startswith("$") and key not in _COMPARE:
                yield from ((here, text) for text in _texts(item) if _is_session(text))


def _has_operators(item: Any) -> bool:
    return isinstance(item, dict) and any(name.startswith("$") for name in item)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
