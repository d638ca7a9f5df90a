"""Query planner: which index finds the rows of a request, and how many rows it may read for that.

A lookup reads the rows that one index finds, in no order, and sorts them. A walk reads rows in the
order of the request until enough of them match. Which of the two reads fewer rows depends on how
many rows match and on where they are, which cannot be known in advance. So where both are possible,
each has a bound: a lookup that finds more rows than its bound, or a walk that passes more rows than
its bound, is abandoned, and the other one is tried with a larger bound (see `attempts`).

Every plan tests the whole where on every row, except where an index has answered it, so a plan
affects speed only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from django.utils.functional import cached_property

from ..compiler.cursors import behind_sql
from ..compiler.projection import order_sql
from ..compiler.where import where_sql
from ..indexes import advice
from ..indexes.expressions import Keys
from ..query.select import OrderTerm
from ..query.where import Field, Node
from ..query.where.containment import containment_sql, is_indexable, is_wholly_indexable
from ..query.where.ranges import KeyRange, conjuncts, key_ranges
from ..query.where.trigrams import trigram_patterns
from ..sql import ALWAYS, Sql, concat, separated
from ..values.validation import KIND_BOOLEAN, KIND_TEXT, is_scalar
from . import attempts
from .index_choice import narrowest
from .scan import Scan, ScanRequest
from .statements import TABLE, by_id, condition_of, dialect
from .statistics import key_of

CARRIED = 'id,data,"order",data_source_id,nested,created_at,updated_at'
# The name of the lookup by the index over whole rows; a column's name is never empty.
WHOLE = ""
_NOTHING = Sql("")


def plan_scan(request: ScanRequest) -> Scan:
    """Return the scan for a request, by the plan that is expected to read the fewest rows."""
    return _planner(request, None).rows()


def following(rows: Scan) -> Scan:
    """Return the scan of the attempt after `rows`, which has failed."""
    assert rows.request is not None
    return _planner(rows.request, rows.attempt + 1).rows()


def _planner(request: ScanRequest, attempt: int | None) -> _Planner:
    indexed, where = request.source.indexed, request.where
    spans: dict[str, KeyRange] = {}
    pieces: dict[str, str] = {}
    if indexed:
        spans = {name: span for name, span in key_ranges(where).items() if name in indexed}
        pieces = {n: p for n, p in trigram_patterns(where) if n in indexed and indexed[n].pieces}
    return _Planner(request, spans, pieces, attempt)


@dataclass(eq=False)
class _Planner:
    """Plans one request.

    `spans` and `pieces` are the key ranges and the text fragments in its where, for columns that
    have an index. `attempt`: the number of the attempt to plan, or None for the one that is
    expected to succeed.
    """

    request: ScanRequest
    spans: dict[str, KeyRange]
    pieces: dict[str, str]
    attempt: int | None
    # The index ranges that a bounded walk passes, each as the SQL after FROM.
    _passed: list[Sql] = field(default_factory=list)

    def rows(self) -> Scan:
        """Return the scan."""
        rows = self._rows()
        request = self.request
        # One value in an index is narrow enough.
        wants = () if self._point is not None and self._lookups else self._wants()
        if not wants or request.is_repeated or self.attempt is not None:
            return rows
        if not request.can_retry:
            advice.record(request.source.id, wants)
        return replace(rows, wants=wants)

    def _rows(self) -> Scan:
        request, lookups = self.request, self._lookups
        if len(lookups) < 2:
            return self._by(next(iter(lookups), None))
        key = key_of(request.source, request.where)
        name = narrowest(key, lookups)
        return replace(self._by(name), chosen=(key, name))

    def _by(self, name: str | None) -> Scan:
        """Return a scan by this lookup, or by a walk."""
        request = self.request
        if request.first is None or not self._is_walked:
            return self._whole_lookup(name)
        if name is None:
            return _table(self._walk())
        if self._by_id and name != WHOLE and self.spans.get(name, _NO_SPAN).is_point():
            return _table([self._of_point(name), self._unkeyed(name)], whole=True)
        return self._attempt(name)

    def _attempt(self, name: str) -> Scan:
        """Return a bounded lookup or walk, as the number of the attempt determines."""
        request = self.request
        number = attempts.expected(request) if self.attempt is None else self.attempt
        bound = attempts.bound(number, request.order)
        if attempts.is_walk(number):
            parts = self._walk(bound)
            goes_on = _goes_on(self._passed, bound)
            if len(parts) == 1:
                return replace(_table(parts), request=request, attempt=number, goes_on=goes_on)
            marked = [
                concat(f"SELECT *,{int(at == 0)} AS part FROM (", part, f") AS part{at}")
                for at, part in enumerate(parts)
            ]
            sql = concat("(", separated(" UNION ALL ", marked), ") AS e WHERE 1=1")
            return Scan(sql, request, number, has_parts=True, goes_on=goes_on)
        inside, exact = self._lookup(name)
        found, span = [self._select([condition]) for condition in inside], self.spans.get(name)
        if span is not None and span.is_range():
            # In the order of the index: otherwise PostgreSQL builds a bitmap of the whole range.
            order = Sql(self._keys(name).order(False, span.kind != KIND_BOOLEAN))
            found[0] = _ordered(found[0], order, Sql(f"{bound + 1:d}"))
        hits = _union(found)
        # Rows before the cursor count as read, so the cursor's condition is applied to the hits.
        outside = self._where([exact, *self._extra_conditions])
        return Scan(
            concat("hits AS e WHERE ", outside),
            request,
            number,
            concat(hits, f" LIMIT {bound + 1:d}"),
            is_unbounded=name == WHOLE,
            all_fit=outside == ALWAYS,
        )

    def _whole_lookup(self, name: str | None) -> Scan:
        """Return an unbounded scan of all matching rows, to be sorted or counted."""
        request = self.request
        if name is None or name == WHOLE:
            if name == WHOLE and self._is_wholly_indexable:
                condition = self._whole_condition
            else:
                condition = condition_of(request.source.id, request.where, name == WHOLE)
            rows = self._where([condition, *self._extra_conditions])
            return Scan(concat(f"{TABLE} WHERE ", rows))
        inside, _ = self._lookup(name)
        first, *others = inside
        parts = [self._select([first, self._exact, *self._extra_conditions])]
        parts += [self._select([other, *self._extra_conditions]) for other in others]
        return _table(parts)

    def _wants(self) -> tuple[tuple[str, str], ...]:
        """Return (column, purpose) for each column whose index would have helped."""
        request = self.request
        wanted = (
            [] if self._lookups else advice.wanted_by(request.where, dialect().name == "sqlite")
        )
        if request.first is not None and request.order and request.order[0].is_column:
            wanted.append((request.order[0].name, advice.ORDER))
        known, indexed = request.source.columns, request.source.indexed
        return tuple(one for one in wanted if one[0] in known and one[0] not in indexed)

    # -- which index

    def _keys(self, column: str) -> Keys:
        return self.request.source.indexed[column]

    @cached_property
    def _by_id(self) -> bool:
        """Whether the request orders rows by id."""
        return not self.request.order or self.request.order[0] in (_ID, _ID_DESCENDING)

    @cached_property
    def _descending(self) -> bool:
        return bool(self.request.order) and self.request.order[0].descending

    @cached_property
    def _ordered(self) -> Keys | None:
        """The index that has the order of the request."""
        first = self.request.order[0] if self.request.order else None
        indexed = self.request.source.indexed
        return indexed.get(first.name) if first is not None and first.is_column else None

    @cached_property
    def _is_walked(self) -> bool:
        """Whether some index has the rows in the order of the request."""
        return self._by_id or self._ordered is not None

    @cached_property
    def _point(self) -> str | None:
        """A column whose index the where restricts to a single value."""
        if not self.spans:
            return None
        return next((name for name, span in self.spans.items() if span.is_point()), None)

    @cached_property
    def _lookups(self) -> dict[str, Sql]:
        """The indexes that can find the rows in no order: the condition for each, by its name.

        Single values come first, then several values, then parts of a text, then ranges.
        """
        spans, ordered = self.spans, self._ordered
        indexable = is_indexable(self.request.where, dialect().name)
        if not spans and not self.pieces:
            return {WHOLE: self._whole_condition} if indexable else {}
        points = [name for name, span in spans.items() if span.is_point()]
        several = [name for name, span in spans.items() if span.points is not None]
        if indexable and (not (points or several) or _has_several_equalities(self.request.where)):
            # The index over whole rows intersects several equalities, the rarest first.
            points = several = []
        else:
            indexable = False
        ranges = [name for name, span in spans.items() if span.points is None]
        names = dict.fromkeys([*points, *several, *self.pieces, *ranges])
        if ordered is not None and len(names) + indexable > 0:
            # A range of the ordering column is a part of that index, which the walk uses.
            exact = spans.get(ordered.column, _NO_SPAN)
            if not exact.is_point() and exact.points is None:
                names.pop(ordered.column, None)
        whole = {WHOLE: self._whole_condition} if indexable else {}
        return {**whole, **{name: self._within(name) for name in names}}

    # -- lookups

    @cached_property
    def _is_wholly_indexable(self) -> bool:
        return is_wholly_indexable(self.request.where)

    @cached_property
    def _whole_condition(self) -> Sql:
        request = self.request
        if self._is_wholly_indexable:
            return condition_of(request.source.id, request.where, True)
        found = containment_sql(request.where, request.source.id)
        return concat(Sql("data_source_id+0=%s AND ", (request.source.id,)), found)

    def _within(self, name: str) -> Sql:
        """Return the condition by which a column's index finds rows."""
        keys = self._keys(name)
        if name in self.pieces and name not in self.spans:
            like = Sql(f' AND {keys.pieces} LIKE %s COLLATE "C"', (self.pieces[name],))
            found = concat(keys.within(KeyRange(KIND_TEXT)), like)
        else:
            found = keys.within(self.spans[name])
        return concat(f"{keys.of_source()} AND ", found)

    def _lookup(self, name: str) -> tuple[list[Sql], Sql]:
        """Return the conditions that find the rows of a lookup, and the one to test on each hit."""
        if name == WHOLE:
            return [self._whole_condition], ALWAYS if self._is_wholly_indexable else self._exact
        return [self._within(name), self._unkeyed_condition(name)], self._exact

    def _unkeyed_condition(self, name: str) -> Sql:
        """Return the condition for rows that may match but are not covered by the index keys."""
        request, keys, span = self.request, self._keys(name), self.spans.get(name)
        rest = keys.rest if span is None else keys.unkeyed(span)
        indexable = request.source.id if is_indexable(request.where, dialect().name) else None
        where = where_sql(request.where, dialect(), indexable)
        return concat(f"{keys.of_source()} AND {rest} AND ", where)

    def _unkeyed(self, name: str) -> Sql:
        return self._select([self._unkeyed_condition(name), *self._extra_conditions])

    # -- walks

    def _walk(self, bound: int | None = None) -> list[Sql]:
        """Return the first rows in the order of the request, passing at most `bound` rows.

        The last part has the rows that the index does not have in its order.
        """
        request, keys = self.request, self._ordered
        if keys is None:
            if self._point is not None:
                return [self._of_point(self._point, bound), self._unkeyed(self._point)]
            within, order = by_id(request.source.id, self._descending, self._last)
            return [self._first([within], order, self._exact, bound)]
        term, *others = request.order
        rest = order_sql(dialect(), others)
        then = rest._replace(text=rest.text.replace(" ORDER BY ", ",", 1))
        parts = [
            self._first(
                [Sql(keys.of_source()), stretch],
                keys.order(term.descending, one_kind),
                self._exact,
                bound,
                then,
            )
            for stretch, one_kind in self._stretches(keys, "<" if term.descending else ">")
        ]
        return [*parts, self._unkeyed(keys.column)]

    @cached_property
    def _last(self) -> int | None:
        """The id of the cursor, if rows are ordered by id and there is a cursor."""
        return None if self.request.place is None or not self._by_id else self.request.place[0]

    def _of_point(self, name: str, bound: int | None = None) -> Sql:
        """Return the rows with one value, by id, as its index has them."""
        keys = self._keys(name)
        within, order = keys.point(self.spans[name], self._descending)
        conditions = [Sql(keys.of_source()), within]
        if self._last is not None:
            conditions.append(Sql(f"id{'<' if self._descending else '>'}=%s", (self._last,)))
        # The index keys of such a row give its exact value, so nothing is left to test.
        rest = ALWAYS if _is_equality(self.request.where) else self._exact
        return self._first(conditions, order, rest, bound)

    def _stretches(self, keys: Keys, sign: str) -> list[tuple[Sql, bool]]:
        """Return the index ranges to walk, and for each whether its values are of one kind.

        Without a cursor that is the range of the where, or the whole index. With a cursor it is the
        part behind it, in two ranges, because the index cannot be entered in the middle otherwise.
        """
        span = self.spans.get(keys.column)
        within = Sql(keys.keyed) if span is None else keys.within(span)
        alike = span is not None and span.kind != KIND_BOOLEAN
        if self.request.place is None:
            return [(within, alike)]
        value = self.request.place[0]
        return [
            (concat(behind, " AND ", within), one_kind)
            for behind, one_kind in (
                (keys.level(value, sign), True),
                (keys.beyond(value, sign), alike),
            )
        ]

    # -- SQL

    @cached_property
    def _exact(self) -> Sql:
        """The where, for rows that another index finds."""
        return where_sql(self.request.where, dialect())

    @cached_property
    def _extra_conditions(self) -> tuple[Sql, ...]:
        """The conditions in addition to the where."""
        request = self.request
        if request.place is None:
            return request.more
        return (*request.more, behind_sql(dialect(), request.order, request.place))

    def _where(self, conditions: Sequence[Sql]) -> Sql:
        if len(conditions) == 1:
            return conditions[0]
        return separated(" AND ", conditions)

    def _select(self, conditions: Sequence[Sql]) -> Sql:
        return concat(f"SELECT {CARRIED} FROM {TABLE} WHERE ", self._where(conditions))

    def _first(
        self,
        within: Sequence[Sql],
        order: str,
        rest: Sql,
        bound: int | None,
        then: Sql = _NOTHING,
    ) -> Sql:
        """Return the first rows in the order of an index, then by `then`, that meet `rest`.

        `bound`: the most rows of the index to read. Both databases keep the order of a subquery
        that has a limit.
        """
        rests = [rest, *self._extra_conditions]
        whole_order, first = concat(order, then), Sql("%s", (self.request.first,))
        if bound is None:
            return _ordered(self._select([*within, *rests]), whole_order, first)
        stretch, where = self._where(within), self._where(rests)
        # Without this ORDER BY, PostgreSQL searches the rows of all data sources.
        self._passed.append(concat(f"{TABLE} WHERE ", stretch, f" ORDER BY {order}"))
        passed = _ordered(self._select(within), whole_order, Sql(f"{bound:d}"))
        return concat("SELECT * FROM (", passed, ") AS passed WHERE ", where, " LIMIT ", first)


_NO_SPAN = KeyRange(KIND_TEXT)
_ID, _ID_DESCENDING = OrderTerm("id", False, False), OrderTerm("id", False, True)


def _has_several_equalities(where: Node) -> bool:
    """Whether the where has several conditions that the index over whole rows can answer."""
    if not is_indexable(where, dialect().name):
        return False
    return sum(1 for item in conjuncts(where) if is_indexable(item, dialect().name)) > 1


def _is_equality(where: Node) -> bool:
    """Whether a where says that one column equals one value, and nothing else."""
    return isinstance(where, Field) and where.op == "$eq" and is_scalar(where.operand)


def _goes_on(passed: Sequence[Sql], bound: int) -> Sql:
    """Return the condition that any of these ranges has more rows than the bound."""
    texts = [concat("EXISTS(SELECT 1 FROM ", one, f" LIMIT 1 OFFSET {bound:d})") for one in passed]
    return concat("(", separated(" OR ", texts), ")")


def _ordered(rows: Sql, order: Sql, limit: Sql) -> Sql:
    """Return the first rows in an order."""
    return concat("SELECT * FROM (", rows, " ORDER BY ", order, " LIMIT ", limit, ") AS first")


def _union(parts: Sequence[Sql]) -> Sql:
    """Concatenate the parts with UNION ALL."""
    if len(parts) == 1:
        return parts[0]
    return separated(" UNION ALL ", [concat("SELECT * FROM (", one, ") AS part") for one in parts])


def _table(parts: Sequence[Sql], whole: bool = False) -> Scan:
    found = _union(parts)
    # Without this limit, SQLite sorts each part separately if the order is by id, and for the last
    # part it reads all rows of the data source instead of an index of a column.
    end = " LIMIT -1" if len(parts) > 1 and dialect().name == "sqlite" else ""
    return Scan(concat("(", found, f"{end}) AS e WHERE 1=1"), whole=whole)
