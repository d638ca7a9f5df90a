"""The SQL of an aggregation pipeline, and of `distinct`: a WITH clause with a table for each stage.

Every table has a column `n`, the position of its document among the others, so that a sort is
stable and a group has the position of its first document.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..query.aggregate import (
    Expression,
    Group,
    Literal,
    OfEntry,
    OfRow,
    Pipeline,
    Project,
    Sort,
    ToNumber,
)
from ..query.select import ANSWERED_FIELDS, OrderTerm, Projection
from ..sql import Sql, concat
from ..values.codec import dumps
from .json_values import VALUES, Values, listed, object_text
from .projection import entry_text, field_text
from .where import Dialect

# The columns that a document has while it is still an entry.
_OF_ENTRIES = 'id,data,"order",data_source_id,created_at,updated_at'


@dataclass(frozen=True, slots=True)
class Rows:
    """A query for JSON texts: the tables of its WITH, the name of the last, the text of a row."""

    tables: Sql
    last: str
    text: Sql

    def rows(self, part: Sql) -> Sql:
        """Return the query for the texts, in their order; `part` is LIMIT and OFFSET."""
        return concat(self.tables, " SELECT ", self.text, f" FROM {self.last} ORDER BY n", part)

    def count(self) -> Sql:
        """Return the query for their number."""
        return concat(self.tables, f" SELECT count(*) FROM {self.last}")


def aggregate_sql(dialect: Dialect, pipeline: Pipeline, entries: Sql, shown: Projection) -> Rows:
    """Return the query for a pipeline over `entries`, which is a table with its WHERE."""
    tables = _Tables(dialect)
    tables.add([Sql("id AS n"), Sql(_OF_ENTRIES)], entries)
    for stage in pipeline.stages:
        if isinstance(stage, Project):
            tables.project([expression for _, expression in stage.fields])
        elif isinstance(stage, Group):
            tables.group(stage)
        else:
            tables.sort(stage)
    if pipeline.fields is None:
        return tables.rows(entry_text(dialect, shown, ANSWERED_FIELDS, row=True))
    members = [(name, f"f{at}") for at, name in enumerate(pipeline.fields)]
    return tables.rows(object_text(tables.values, members))


def distinct_sql(
    dialect: Dialect, columns: Sequence[str], order: Sequence[OrderTerm], entries: Sql
) -> Rows:
    """Return the query for distinct combinations of columns, each as an entry with only `data`."""
    tables = _Tables(dialect)
    tables.add([Sql("id AS n"), Sql(_OF_ENTRIES)], entries)
    tables.group(Group(tuple(OfRow((column,)) for column in columns), tuple(columns), ()))
    if order:
        tables.add([Sql("n"), Sql("f0"), *tables.at("f0", [term.name for term in order])])
        tables.number([term.descending for term in order])
    return tables.rows(Sql(f"'{{\"data\":'||{tables.values.text('f0')}||'}}'"))


class _Tables:
    """Builds the tables. `carried`: the columns of the last table in addition to `n`."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.values: Values = VALUES[dialect.name]
        self.carried = _OF_ENTRIES
        # Without this, PostgreSQL copies an expression to each place that uses its name, and it
        # cannot plan twenty stages with a few uses each.
        self.fence = "" if dialect.name == "sqlite" else " OFFSET 0"
        self._tables: list[Sql] = []

    @property
    def last(self) -> str:
        """The name of the last table."""
        return f"s{len(self._tables) - 1}"

    def rows(self, text: Sql) -> Rows:
        """Return the query over all tables."""
        tables = [concat(f"s{at} AS (", table, ")") for at, table in enumerate(self._tables)]
        return Rows(concat("WITH ", listed(tables)), self.last, text)

    def add(self, columns: Sequence[Sql], source: Sql | None = None, end: str = "") -> None:
        """Add a table that selects from `source`, or by default from the last table."""
        origin = self.last if source is None else source
        self._tables.append(concat("SELECT ", listed(columns), " FROM ", origin, end))

    # -- stages

    def project(self, expressions: Sequence[Expression]) -> None:
        """Replace each document by one with these values, as `f0`, `f1` …"""
        self._evaluate([], expressions)
        names = [f"f{at}" for at in range(len(expressions))]
        self.add([Sql("n"), *self._converted(expressions, names)], end=self.fence)
        self.carried = ",".join(names)

    def group(self, stage: Group) -> None:
        """Make one document for each combination of keys: `_id` as `f0`, then the totals."""
        expressions = [*stage.keys, *(total.of for total in stage.totals)]
        self._evaluate([], expressions)
        names = [f"w{at}" for at in range(len(expressions))]
        self.add([Sql("n"), *self._converted(expressions, names)], end=self.fence)
        split = len(stage.keys)
        keys = [Sql(f"{self.values.key(name)} AS k{at}") for at, name in enumerate(names[:split])]
        self.add([Sql("n"), *keys, *map(Sql, names[split:])])
        totals = [
            Sql(f"{self.values.accumulators[total.accumulator](name)} AS f{at}")
            for at, (total, name) in enumerate(
                zip(stage.totals, names[split:], strict=True), start=1
            )
        ]
        grouped = ",".join(f"k{at}" for at in range(split))
        self.add(
            [Sql("min(n) AS n"), self._key_of(stage.names), *totals], end=f" GROUP BY {grouped}"
        )
        self.carried = ",".join(f"f{at}" for at in range(len(totals) + 1))

    def _key_of(self, names: Sequence[str] | None) -> Sql:
        if names is None:
            return Sql("k0 AS f0")
        text = object_text(self.values, [(name, f"k{at}") for at, name in enumerate(names)])
        return concat(text._replace(text=self.values.value(text.text)), " AS f0")

    def sort(self, stage: Sort) -> None:
        """Number the documents of the previous stage in another order."""
        self._evaluate([Sql(self.carried)], [reference for reference, _ in stage.terms])
        self.number([descending for _, descending in stage.terms])

    def number(self, descends: Sequence[bool]) -> None:
        """Number the documents by `v0`, `v1` …; ties keep their previous order."""
        terms = [
            rank + (" DESC" if descending else "")
            for at, descending in enumerate(descends)
            for rank in self.values.ranks(f"v{at}")
        ]
        order = ",".join([*terms, "n"])
        self.add([Sql(f"row_number() OVER (ORDER BY {order}) AS n"), Sql(self.carried)])

    # -- expressions

    def at(self, column: str, keys: Iterable[str]) -> list[Sql]:
        """Return members of an object, as `v0`, `v1` …"""
        found = [self.values.at(column, (key,)) for key in keys]
        return [concat(item, f" AS v{at}") for at, item in enumerate(found)]

    def _evaluate(self, kept: Sequence[Sql], expressions: Sequence[Expression]) -> None:
        """Add a table with each expression, before any conversion, as `v0`, `v1` …"""
        found = map(self._value, expressions)
        made = [concat(item, f" AS v{at}") for at, item in enumerate(found)]
        self.add([Sql("n"), *kept, *made], end=self.fence)

    def _converted(self, expressions: Sequence[Expression], names: Sequence[str]) -> list[Sql]:
        """Return `v0`, `v1` … under these names, converted if the expression is `ToNumber`."""
        return [
            Sql(
                f"{self.values.to_number(f'v{at}') if isinstance(item, ToNumber) else f'v{at}'} "
                f"AS {name}"
            )
            for at, (item, name) in enumerate(zip(expressions, names, strict=True))
        ]

    def _value(self, item: Expression) -> Sql:
        if isinstance(item, ToNumber):
            item = item.of
        if isinstance(item, Literal):
            return Sql(self.values.parameter, (dumps(item.value),))
        if isinstance(item, OfRow):
            return self.values.at("data", item.path)
        if isinstance(item, OfEntry):
            text = field_text(self.dialect, item.name)
            return Sql(self.values.value(f"CAST({text} AS text)"))
        return self.values.at(f"f{item.at}", item.path) if item.path else Sql(f"f{item.at}")
