"""The columns that a rule opens: one check for every clause that can name a column."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rowkeeper.datasources.query.select import Projection
from rowkeeper.datasources.query.where import ElemMatch, Field


def _above(name: str, most: int) -> list[str]:
    """The dotted prefixes of a name, with at most `most` keys: `a` and `a.b` for `a.b.c`.

    A client's name can have a hundred keys, and the names that it is compared with seldom have more
    than one.
    """
    parts = name.split(".", most)
    return [".".join(parts[:end]) for end in range(1, len(parts))]


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of one rule, and those that are secret whatever the rules say.

    If `include` is None, all columns but those of `exclude`; otherwise `exclude` is ignored.
    """

    include: frozenset[str] | None
    hidden: frozenset[str]
    secret: frozenset[str]
    # The dotted prefixes of the hidden names.
    above_hidden: frozenset[str]
    # The largest number of keys in a name of the rule.
    deepest: int
    # The columns that an answer under this rule shows.
    projection: Projection
    # The columns of `exclude`, which can include secret ones.
    excluded: frozenset[str]

    @classmethod
    def of(
        cls,
        include: Iterable[str] | None = None,
        exclude: Iterable[str] = (),
        secret: Iterable[str] = (),
    ) -> Columns:
        """Make the columns of a rule from its lists and the data source's secret columns."""
        kept = frozenset(secret)
        hidden = kept if include is not None else kept | frozenset(exclude)
        opened = None if include is None else frozenset(include)
        deepest = max((name.count(".") + 1 for name in (*hidden, *(opened or ()))), default=0)
        above = frozenset(path for name in hidden for path in _above(name, deepest))
        projection = Projection(opened, hidden)
        return cls(opened, hidden, kept, above, deepest, projection, frozenset(exclude))

    def shows(self, column: str) -> bool:
        """Whether an answer may have the column."""
        return (self.include is None or column in self.include) and column not in self.hidden

    def opens(self, column: str, own_row: bool = False) -> bool:
        """Whether a write can set the column.

        A secret column has to be included by name, or belong to the entry of the session's own
        user. A dotted name also counts as a path below the columns it begins with.
        """
        if column in self.secret:
            if self.include is not None:
                return column in self.include
            return own_row and column not in self.excluded
        return self.shows(column) and not self._is_below_hidden(column)

    def _is_below_hidden(self, name: str) -> bool:
        """Whether a dotted name is a path below a hidden column."""
        return "." in name and not self.hidden.isdisjoint(_above(name, self.deepest))

    def hides_column(self, column: str) -> bool:
        """Whether a column cannot be named in an order, in `attributes` or in an index."""
        if self.include is not None and column not in self.include:
            return True
        if not self.hidden:
            return False
        return self._touches_hidden(column) or self._touches_hidden(column.removeprefix("data."))

    def hides_field(self, field: Field | ElemMatch) -> bool:
        """Whether a condition of a where names a hidden column, in any reading of its key."""
        if self.include is not None and field.column not in self.include:
            return True
        if self.hidden and self._touches_hidden(field.name):
            return True
        return field.name.startswith("data.") and self._hides_reading(field.name[5:])

    def _hides_reading(self, name: str) -> bool:
        """`data.X` also names `X`."""
        if self.include is not None and self.include.isdisjoint(
            [name, *_above(name, self.deepest)]
        ):
            return True
        return self._touches_hidden(name)

    def _touches_hidden(self, name: str) -> bool:
        """Whether a name is a hidden column, a path below one or a prefix of one."""
        if name in self.hidden or name in self.above_hidden:
            return True
        return self._is_below_hidden(name)
