"""The way to the rows that fit: which index finds them, and how much of it has to be read.

Every way asks the whole where of every row that it gives, but where an index has answered it, so
that a way decides speed alone. The SQL leaves a planner one sensible plan: it plans once for all
values, and cannot know which of them are rare.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..cursors import Place
from ..indexing import wanted
from ..indexing.keys import Keys
from ..queries import OrderTerm
from ..selecting import order_sql
from ..sources import Source
from ..values import KIND_BOOLEAN, KIND_TEXT, is_scalar
from ..where import Field, Node
from ..where.parts import parts_of
from ..where.sought import is_sought
from ..where.spans import Span, conjuncts, spans_of
from ..where.sql import where_sql
from ..where.sqltext import Sql
from .crowded import is_crowded, note_crowded
from .database import TABLE, by_id, condition_of, dialect

CARRIED = 'id,data,"order",data_source_id,created_at,updated_at'
# So many rows are sorted; where more fit, reading them in their order ends sooner.
MAX_SORTED = 2_000
_MANY = "(SELECT many FROM told)"


@dataclass(frozen=True, slots=True)
class Ask:
    """Which rows of a data source are asked for."""

    source: Source
    where: Node
    order: tuple[OrderTerm, ...] = ()
    # Only so many of the first ones.
    first: int | None = None
    # Conditions beside the where.
    more: tuple[Sql, ...] = ()
    # Those conditions want what is behind it in the order.
    place: Place | None = None
    # Who asks can ask anew where more fit than are sorted, and counts what was wanted then.
    asks_anew: bool = False
    # The same where is asked twice in one request, and counted with the other.
    beside: bool = False


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows, as a table with its WHERE, to which conditions can be added."""

    sql: Sql
    # The ask, where few rows are sorted and many are read in their order.
    tried: Ask | None = None
    # They say whether more fit than are sorted: by one column more, `crowded`, or by `hits`.
    tells: bool = False
    # More fitted last time, so that they are read in their order at once.
    walked: bool = False
    # To give the first ones by id, all those beside an index are read.
    whole: bool = False
    # For who can ask anew: the rows that fit, one more at most than are sorted. The caller makes of
    # them the table `hits`, which `sql` names, and counts them.
    hits: Sql | None = None
    # The columns whose index would have been of use, and for what.
    wants: tuple[tuple[str, str], ...] = ()


def rows_for(ask: Ask) -> Rows:
    """The rows that fit, by the way that reads the fewest."""
    indexed, where = ask.source.indexed, ask.where
    spans: dict[str, Span] = {}
    pieces: dict[str, str] = {}
    if indexed:
        spans = {name: span for name, span in spans_of(where).items() if name in indexed}
        if _has_several_equalities(where):
            # One of them may be rare: the index over whole rows looks all of them up at once.
            spans = {name: span for name, span in spans.items() if span.points is None}
        pieces = {n: p for n, p in parts_of(where) if n in indexed and indexed[n].pieces}
    return _Way(ask, spans, pieces).rows()


def is_still_the_way(rows: Rows) -> bool:
    """Whether rows of a while ago are to be found the same way today, as far as it is known."""
    ask = rows.tried
    return ask is None or is_crowded(ask.source, ask.where) is rows.walked


def learn(rows: Rows, crowded: bool, enough: bool) -> None:
    """After a read: note a where that more rows fit than are sorted (`crowded`), or that no longer
    does, as it alone was read in its order and fewer were found than asked for (not `enough`).
    """
    if rows.tried is None:
        return
    if rows.tells and crowded:
        note_crowded(rows.tried.source, rows.tried.where, True)
    elif rows.walked and not enough and not rows.tried.more:
        note_crowded(rows.tried.source, rows.tried.where, False)


@dataclass(frozen=True, slots=True)
class _Way:
    """One ask, with the columns of its where that have an index, and the texts that it seeks a
    part of.
    """

    ask: Ask
    spans: dict[str, Span]
    pieces: dict[str, str]

    def rows(self) -> Rows:
        """See `rows_for`."""
        ask, point, ordered = self.ask, self._point(), self._ordered()
        if point is not None and not ask.order and ask.first is not None:
            return _table([self._of_point(point), self._beside(point)], whole=True)
        found = self._sought(point)
        wants = self._wants(found is not None) if found is None or point is None else ()
        rows = self._found(found, ordered)
        if not wants or ask.beside:
            return rows
        if not ask.asks_anew:
            wanted.note(ask.source.id, wants)
        return replace(rows, wants=wants)

    def _found(self, found: list[Sql] | None, ordered: Keys | None) -> Rows:
        """The rows, by what finds them in no order, if anything does, or in their order."""
        ask = self.ask
        by_index = ask.first is not None and (ordered is not None or not ask.order)
        if found is not None and by_index and (ask.first or 0) <= MAX_SORTED:
            return self._few_or_walked(found)
        if by_index and found is None:
            return _table(self._walk(""))
        if self.spans or self.pieces:
            return _table(self._between(self._narrowest()))
        return Rows(self._plain())

    def _wants(self, found: bool) -> tuple[tuple[str, str], ...]:
        """The columns that an index would have been of use for, and for what."""
        ask = self.ask
        asked = [] if found else wanted.wanted_by(ask.where, dialect().name == "sqlite")
        if ask.first is not None and ask.order and ask.order[0].is_column:
            asked.append((ask.order[0].name, wanted.ORDER))
        known, indexed = ask.source.columns, ask.source.indexed
        return tuple(one for one in asked if one[0] in known and one[0] not in indexed)

    # -- which index

    def _keys(self, column: str) -> Keys:
        return self.ask.source.indexed[column]

    def _point(self) -> Keys | None:
        """An index in which the where is about one value."""
        return next((self._keys(name) for name, s in self.spans.items() if s.is_point()), None)

    def _ordered(self) -> Keys | None:
        """The index whose order is asked for."""
        first = self.ask.order[0] if self.ask.order else None
        indexed = self.ask.source.indexed
        return indexed.get(first.name) if first is not None and first.is_column else None

    def _narrowest(self) -> Keys:
        """One value first, then several, then a part of a text, then a span."""
        point = self._point()
        several = [name for name, span in self.spans.items() if span.points is not None]
        return point or self._keys([*several, *self.pieces, *self.spans][0])

    def _sought(self, point: Keys | None) -> list[Sql] | None:
        """How few rows are found, in no order; None where nothing finds them."""
        ask = self.ask
        several = any(span.points is not None for span in self.spans.values())
        if point is None and not several and is_sought(ask.where, dialect().name):
            return [self._select([condition_of(ask.source.id, ask.where, True)])]
        ordered = self._ordered()
        if point is None and not several and ordered is not None:
            # What is about the order itself is a stretch of that.
            others = [name for name in (*self.spans, *self.pieces) if name != ordered.column]
            return self._between(self._keys(others[0])) if others else None
        return self._between(self._narrowest()) if self.spans or self.pieces else None

    # -- parts of a table

    def _of_point(self, keys: Keys) -> Sql:
        """The rows of one value by id, as they stand in its index."""
        within, order = keys.point(self.spans[keys.column])
        # A row that the keys tell has this value where they say so: there is nothing left to ask.
        rest = [] if _is_equality(self.ask.where) else [self._exact()]
        return self._first(self._select([Sql(keys.of_source()), within, *rest]), order)

    def _between(self, keys: Keys) -> list[Sql]:
        """The rows of a span, or of those with a part of a text, in no order."""
        if keys.column in self.pieces and keys.column not in self.spans:
            text = keys.within(Span(KIND_TEXT))
            like = f'{keys.pieces} LIKE %s COLLATE "C"'
            within = Sql(f"{text.text} AND {like}", (*text.params, self.pieces[keys.column]))
        else:
            within = keys.within(self.spans[keys.column])
        found = self._select([Sql(keys.of_source()), within, self._exact()])
        return [found, self._beside(keys)]

    def _beside(self, keys: Keys, many: str = "") -> Sql:
        """The rows that may fit and that the keys do not tell."""
        span = self.spans.get(keys.column)
        rest = keys.rest if span is None else keys.beside(span)
        ask = self.ask
        sought = ask.source.id if is_sought(ask.where, dialect().name) else None
        where = where_sql(ask.where, dialect(), sought)
        return self._select([Sql(many + keys.of_source()), Sql(rest), where])

    def _walk(self, many: str) -> list[Sql]:
        """The first rows in the order that is asked for; `many`: a condition of all of it."""
        ask, keys = self.ask, self._ordered()
        if keys is None:
            of_this, order = by_id(ask.source.id)
            parts = [Sql(many + of_this.text, of_this.params), self._exact()]
            return [self._first(self._select(parts), order)]
        term, *others = ask.order
        rest = order_sql(dialect(), others)
        behind = rest.text.removeprefix(" ORDER BY ")
        parts = []
        for stretch, one_kind in self._stretches(keys, "<" if term.descending else ">"):
            found = self._select([Sql(many + keys.of_source()), stretch, self._exact()])
            order = f"{keys.order(term.descending, one_kind)},{behind}"
            parts.append(self._first(found, order, rest.params))
        return [*parts, self._beside(keys, many)]

    def _stretches(self, keys: Keys, sign: str) -> list[tuple[Sql, bool]]:
        """The parts of an index that are walked, and whether each has values of one kind: of a
        span, or all; of these what is behind the place, in two stretches where the index cannot be
        entered in the middle otherwise.
        """
        span = self.spans.get(keys.column)
        within = Sql(keys.told) if span is None else keys.within(span)
        alike = span is not None and span.kind != KIND_BOOLEAN
        if self.ask.place is None:
            return [(within, alike)]
        value = self.ask.place[0]
        return [
            (Sql(f"{behind.text} AND {within.text}", (*behind.params, *within.params)), one_kind)
            for behind, one_kind in (
                (keys.level(value, sign), True),
                (keys.beyond(value, sign), alike),
            )
        ]

    def _few_or_walked(self, found: list[Sql]) -> Rows:
        """Few rows are found and sorted; of many, the first ones are read in the order."""
        ask = self.ask
        if is_crowded(ask.source, ask.where):
            return Rows(_table(self._walk("")).sql, ask, walked=True)
        if ask.asks_anew:
            rows = found[0] if len(found) == 1 else _union(found, "")
            hits = Sql(f"{rows.text} LIMIT {MAX_SORTED + 1}", rows.params)
            return Rows(Sql("hits AS e WHERE 1=1"), ask, tells=True, hits=hits)
        hits, walked = _union(found, ""), _union(self._walk(f"{_MANY} AND "), ",1=1 AS crowded")
        return Rows(
            Sql(
                f"(WITH hits AS MATERIALIZED "
                f"(SELECT * FROM ({hits.text}) AS h LIMIT {MAX_SORTED + 1}),"
                f"told AS MATERIALIZED (SELECT count(*)>{MAX_SORTED} AS many FROM hits) "
                f"SELECT {CARRIED},1=0 AS crowded FROM hits WHERE NOT {_MANY} "
                f"UNION ALL {walked.text}) AS e WHERE 1=1",
                (*hits.params, *walked.params),
            ),
            ask,
            tells=True,
        )

    # -- SQL

    def _exact(self) -> Sql:
        """The where, for rows that another index finds."""
        return where_sql(self.ask.where, dialect())

    def _plain(self) -> Sql:
        rows = self._where([condition_of(self.ask.source.id, self.ask.where)])
        return Sql(f"{TABLE} WHERE {rows.text}", rows.params)

    def _where(self, conditions: Sequence[Sql]) -> Sql:
        every = [*conditions, *self.ask.more]
        text = " AND ".join(one.text for one in every)
        return Sql(text, tuple(param for one in every for param in one.params))

    def _select(self, conditions: Sequence[Sql]) -> Sql:
        where = self._where(conditions)
        return Sql(f"SELECT {CARRIED} FROM {TABLE} WHERE {where.text}", where.params)

    def _first(self, rows: Sql, order: str, params: Sequence[object] = ()) -> Sql:
        text = f"SELECT * FROM ({rows.text} ORDER BY {order} LIMIT %s) AS first"
        return Sql(text, (*rows.params, *params, self.ask.first))


def _has_several_equalities(where: Node) -> bool:
    """Whether the index over whole rows finds the rows of several conditions together."""
    if not is_sought(where, dialect().name):
        return False
    return sum(1 for item in conjuncts(where) if is_sought(item, dialect().name)) > 1


def _is_equality(where: Node) -> bool:
    """Whether a where says that a column has one value, and nothing else."""
    return isinstance(where, Field) and where.op == "$eq" and is_scalar(where.operand)


def _union(parts: Sequence[Sql], column: str) -> Sql:
    """The parts, one after the other, each with one column more."""
    text = " UNION ALL ".join(f"SELECT *{column} FROM ({part.text}) AS part" for part in parts)
    return Sql(text, tuple(param for part in parts for param in part.params))


def _table(parts: Sequence[Sql], whole: bool = False) -> Rows:
    found = _union(parts, "")
    return Rows(Sql(f"({found.text}) AS e WHERE 1=1", found.params), whole=whole)
