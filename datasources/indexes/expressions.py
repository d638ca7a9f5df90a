"""The keys of an indexed column: two expressions over a row that make up its index, in this order.

They are the kind of a value and the value; with the id, they sort rows as `order` does. A query
uses an index only through identical expressions, so the column's name has to be in the text of the
SQL. It is quoted here, by the driver's own quoting, from what an administrator marked. Names that a
client sends are looked up among the marked columns, and never become part of SQL.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol

from ..query.where.ranges import KeyRange
from ..sql import Sql, concat, separated
from ..values.codec import path_of
from ..values.ranks import FALSE, NULL, NUMBER, OTHER, TEXT, TRUE, rank, rank_sqlite
from ..values.validation import KIND_BOOLEAN, KIND_NULL, KIND_NUMBER, KIND_TEXT

# The prefix of the names of all these indexes.
NAMES = "rowkeeper_col_"
# Longer texts, in bytes, are left out of the keys on PostgreSQL, whose index entries are limited.
MAX_TEXT = 1_000


@dataclass(frozen=True, slots=True)
class Keys:
    """The SQL by which a query uses the index of one column of one data source.

    The texts are for statements with parameters, so every `%` is doubled.
    """

    column: str
    source_id: int
    first: str
    second: str
    # A text in lower case, which the trigram index is built on; empty if there is no such index.
    pieces: str
    # Conditions for rows whose value is not in the keys (lists, objects, very long texts), and for
    # all others.
    rest: str
    keyed: str
    # Columns of the index before the keys.
    leading: str
    _dialect: _Dialect

    def of_source(self) -> str:
        """Return the index's own condition, which makes it usable."""
        return f"data_source_id={self.source_id:d}{self._dialect.cast}"

    def order(self, descending: bool, one_kind: bool = False) -> str:
        """Return the order of the index, for rows whose value is in the keys, without the id.

        `one_kind`: another condition restricts rows to one kind, so SQLite sorts without it.
        """
        direction = " DESC" if descending else ""
        if one_kind and self.leading:
            return f"{self.second}{direction}"
        return f"{self.first}{direction},{self.second}{direction}"

    def within(self, span: KeyRange) -> Sql:
        """Return the condition that a row's key is in a range."""
        return self._dialect.within(self, span)

    def point(self, span: KeyRange, descending: bool = False) -> tuple[Sql, str]:
        """Return the condition for the single value of a range, and the order of its rows by id."""
        return self._dialect.point(self, span, descending)

    def unkeyed(self, span: KeyRange) -> str:
        """Return the condition for rows outside `within` that may still match."""
        return self._dialect.texts_and_rest(self) if span.texts else self.rest

    def level(self, value: Any, sign: str) -> Sql:
        """Return the condition for rows of the value's kind, at it or behind it; `sign`: > or <."""
        return self._dialect.level(self, value, sign)

    def beyond(self, value: Any, sign: str) -> Sql:
        """Return the condition for rows in the keys whose kind is behind that of the value."""
        return self._dialect.beyond(self, value, sign)


class _Dialect(Protocol):
    cast: str

    def within(self, keys: Keys, span: KeyRange) -> Sql: ...
    def point(self, keys: Keys, span: KeyRange, descending: bool) -> tuple[Sql, str]: ...
    def texts_and_rest(self, keys: Keys) -> str: ...
    def level(self, keys: Keys, value: Any, sign: str) -> Sql: ...
    def beyond(self, keys: Keys, value: Any, sign: str) -> Sql: ...


def keys_of(vendor: str, source_id: int, column: str, pieces: bool = False) -> Keys:
    """Return the keys of a marked column. `pieces`: it has a trigram index."""
    if vendor == "sqlite":
        return _sqlite_keys(source_id, column)
    return _postgresql_keys(source_id, column, pieces)


def name_of(source_id: int, column: str) -> str:
    """Return the name of a column's index: ASCII letters, digits and underscores."""
    digest = sha256(column.encode()).hexdigest()[:16]
    return f"{prefix_of(source_id)}{digest}"


def prefix_of(source_id: int) -> str:
    """Return the prefix of the names of all indexes of a data source."""
    return f"{NAMES}{source_id:d}_"


def pieces_name_of(source_id: int, column: str) -> str:
    """Return the name of a column's trigram index."""
    return f"{name_of(source_id, column)}_p"


def _spelled(vendor: str, text: str) -> str:
    """Quote a text as SQL. This is the one place where a name becomes part of a statement."""
    if vendor == "postgresql":
        from psycopg import sql

        quoted = sql.Literal(text).as_string(None).strip() + "::text"
    else:
        quoted = "'" + text.replace("'", "''") + "'"
    return quoted.replace("%", "%%")


def _bounds(span: KeyRange, column: str, given: str) -> list[Sql]:
    """Return the conditions on a key for a range of its own kind."""
    if span.points is not None and len(span.points) == 1:
        return [Sql(f"{column}={given}", (span.points[0],))]
    if span.points is not None:
        places = ",".join([given] * len(span.points))
        return [Sql(f"{column} IN ({places})", span.points)]
    found = [(">=", span.low), ("<=", span.high)]
    return [Sql(f"{column}{sign}{given}", (value,)) for sign, value in found if value is not None]


def _all(parts: Sequence[Sql]) -> Sql:
    return separated(" AND ", parts)


# -- PostgreSQL: a numeric for the kind, or for the number itself; then the text.

_NULL, _FALSE, _TRUE = "'-Infinity'::numeric", "'-3e308'::numeric", "'-2e308'::numeric"
_TEXT, _REST = "'Infinity'::numeric", "'NaN'::numeric"


def _postgresql_keys(source_id: int, column: str, pieces: bool) -> Keys:
    name = _spelled("postgresql", column)
    value, text = f"data->{name}", f"data->>{name}"
    first = (
        f"(CASE jsonb_typeof({value}) WHEN 'number' THEN ({value})::numeric WHEN 'string' THEN "
        f"CASE WHEN octet_length({text})<={MAX_TEXT} THEN {_TEXT} ELSE {_REST} END "
        f"WHEN 'boolean' THEN CASE WHEN {value}='true'::jsonb THEN {_TRUE} ELSE {_FALSE} END "
        f"WHEN 'array' THEN {_REST} WHEN 'object' THEN {_REST} ELSE {_NULL} END)"
    )
    second = (
        f"((CASE WHEN jsonb_typeof({value})='string' AND octet_length({text})<={MAX_TEXT} "
        f"THEN {text} ELSE '' END) COLLATE \"C\")"
    )
    return Keys(
        column,
        source_id,
        first,
        second,
        f"(rowkeeper_lower({second}))" if pieces else "",
        f"{first}={_REST}",
        f"{first}<{_REST}",
        "",
        _PostgreSQL(),
    )


def _is_placed(value: Any) -> bool:
    """Whether all values of this kind, or this value, have a fixed first key."""
    return value is None or value.__class__ in (bool, str)


class _PostgreSQL:
    cast = "::bigint"

    def within(self, keys: Keys, span: KeyRange) -> Sql:
        if span.kind == KIND_NULL:
            return Sql(f"{keys.first}={_NULL}")
        if span.kind == KIND_BOOLEAN:
            return self._boolean(keys, span)
        if span.kind == KIND_TEXT:
            if span.is_range():
                return self._between(keys, span)
            return _all([Sql(f"{keys.first}={_TEXT}"), *_bounds(span, keys.second, "%s")])
        if span.points is None:
            return self._between(keys, span)
        text, numbers = _all(_bounds(span, keys.first, "%s::numeric"))
        return Sql(text, tuple(map(repr, numbers)))

    def _between(self, keys: Keys, span: KeyRange) -> Sql:
        """Compare both keys as a pair.

        For a pair with unknown values, a planner assumes a third of all rows, and so reads the
        first few in the order of the index. For two separate comparisons it assumes next to no
        rows, and would read and sort them all.
        """
        text = span.kind == KIND_TEXT
        given = f"({_TEXT},%s)" if text else "(%s::numeric,'')"
        low, high = (
            (f">=({_TEXT},'')", f"<({_REST},'')") if text else (f">({_TRUE},'')", f"<({_TEXT},'')")
        )
        parts = [
            Sql(f"({keys.first},{keys.second}){open_end}")
            if value is None
            else Sql(
                f"({keys.first},{keys.second}){sign}{given}", (value if text else repr(value),)
            )
            for sign, value, open_end in ((">=", span.low, low), ("<=", span.high, high))
        ]
        return _all(parts)

    def point(self, keys: Keys, span: KeyRange, descending: bool) -> tuple[Sql, str]:
        """Compare by ranges.

        With equalities any index on the id could give this order, and PostgreSQL might walk the one
        over all entries.
        """
        value = None if span.points is None else span.points[0]
        order = f"{keys.order(descending)},id{' DESC' if descending else ''}"
        if value.__class__ is str:
            text = f"{keys.first}={_TEXT} AND {keys.second}>=%s AND {keys.second}<=%s"
            return Sql(text, (value, value)), order
        place = Sql(self._place(value)) if _is_placed(value) else Sql("%s::numeric", (repr(value),))
        return concat(f"{keys.first}>=", place, f" AND {keys.first}<=", place), order

    def _boolean(self, keys: Keys, span: KeyRange) -> Sql:
        if span.is_point():
            assert span.points is not None
            return Sql(f"{keys.first}={_TRUE if span.points[0] else _FALSE}")
        return Sql(f"{keys.first}>={_FALSE} AND {keys.first}<={_TRUE}")

    def texts_and_rest(self, keys: Keys) -> str:
        return f"{keys.first}>={_TEXT}"

    def level(self, keys: Keys, value: Any, sign: str) -> Sql:
        if value.__class__ is str:
            return Sql(f"{keys.first}={_TEXT} AND {keys.second}{sign}=%s", (value,))
        if value.__class__ not in (int, float):
            return Sql(f"{keys.first}={self._place(value)}")
        if sign == ">":
            return Sql(f"{keys.first}>=%s::numeric AND {keys.first}<{_TEXT}", (repr(value),))
        return Sql(f"{keys.first}<=%s::numeric AND {keys.first}>{_TRUE}", (repr(value),))

    def beyond(self, keys: Keys, value: Any, sign: str) -> Sql:
        if value.__class__ not in (int, float):
            place = self._place(value)
        else:
            place = f"{_TEXT}" if sign == ">" else _TRUE
            sign += "="
        keyed = f" AND {keys.keyed}" if sign[0] == ">" else ""
        return Sql(f"{keys.first}{sign}{place}{keyed}")

    def _place(self, value: Any) -> str:
        if value is None:
            return _NULL
        if value.__class__ is bool:
            return _TRUE if value else _FALSE
        return _TEXT if value.__class__ is str else _REST


# -- SQLite: a small number for the kind; then the number or the text. The data source is in the
# index as well, because the planner would otherwise prefer another index that has it.

_RANKS = {KIND_NULL: NULL, KIND_NUMBER: NUMBER, KIND_TEXT: TEXT}


def _sqlite_keys(source_id: int, column: str) -> Keys:
    path = _spelled("sqlite", path_of(column))
    first = f"({rank_sqlite(f'json_type(data,{path})')})"
    second = (
        f"(CASE json_type(data,{path}) WHEN 'integer' THEN json_extract(data,{path}) "
        f"WHEN 'real' THEN rowkeeper_real(data->{path}) "
        f"WHEN 'text' THEN json_extract(data,{path}) ELSE 0 END)"
    )
    rest, keyed = f"{first}={OTHER}", f"{first}<{OTHER}"
    return Keys(column, source_id, first, second, "", rest, keyed, "data_source_id,", _SQLite())


class _SQLite:
    cast = ""

    def point(self, keys: Keys, span: KeyRange, descending: bool) -> tuple[Sql, str]:
        return self.within(keys, span), "id DESC" if descending else "id"

    def within(self, keys: Keys, span: KeyRange) -> Sql:
        if span.kind == KIND_BOOLEAN:
            if span.is_point():
                assert span.points is not None
                return Sql(f"{keys.first}={rank(span.points[0])}")
            return Sql(f"{keys.first} IN ({FALSE},{TRUE})")
        kind_of = Sql(f"{keys.first}={_RANKS[span.kind]}")
        if span.kind == KIND_NULL:
            return kind_of
        return _all([kind_of, *_bounds(span, keys.second, "%s")])

    def texts_and_rest(self, keys: Keys) -> str:
        return f"{keys.first}>={TEXT}"

    def level(self, keys: Keys, value: Any, sign: str) -> Sql:
        place = rank(value)
        if place not in (NUMBER, TEXT):
            return Sql(f"{keys.first}={place}")
        return Sql(f"{keys.first}={place} AND {keys.second}{sign}=%s", (value,))

    def beyond(self, keys: Keys, value: Any, sign: str) -> Sql:
        keyed = f" AND {keys.keyed}" if sign == ">" else ""
        return Sql(f"{keys.first}{sign}{rank(value)}{keyed}")
