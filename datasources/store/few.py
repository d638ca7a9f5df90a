"""A few entries as one more item of another statement, so that a request needs no second one."""

from __future__ import annotations

from ..queries import Projection, Select
from ..selecting import order_sql
from ..sources import Source
from ..values import MAX_INTEGER
from ..where import Node
from ..where.sqltext import Sql
from .database import dialect, spelled
from .read import DEEP, entry_text_of
from .ways import Ask, Rows, learn, rows_for

# What is answered at once; more is better read in pages.
FEW = 1_000
# Behind the entry of a row that is one of many: JSON has nothing against it.
_COMMON = " "


def has_few() -> bool:
    """Whether the database in use can be asked like that."""
    return dialect().name == "postgresql"


def few_sql(source: Source, ask: Select, where: Node, shown: Projection) -> tuple[Sql, Rows] | None:
    """The entries that `select` gives, as one text of PostgreSQL, which `few_in` reads.

    None for what is better asked by itself.
    """
    if not has_few() or not _is_plain(ask):
        return None
    limit = FEW + 1 if ask.limit is None else ask.limit
    rows = rows_for(Ask(source, where, ask.order, min(limit + ask.offset, MAX_INTEGER)))
    text = entry_text_of(ask.attributes, shown)
    order = order_sql(dialect(), ask.order)
    told = f"||CASE WHEN common THEN '{_COMMON}' ELSE '' END" if rows.tells else ""
    # An array keeps the order of its subquery; an aggregate need not.
    found = (
        f"(SELECT cardinality(a)||':'||array_to_string(a,',') FROM (SELECT ARRAY(SELECT {text.text}"
        f"{told} FROM {rows.sql.text}{order.text} LIMIT %s OFFSET %s) AS a) AS found)"
    )
    params = (*text.params, *rows.sql.params, *order.params, limit, ask.offset)
    return Sql(found, params), rows


def few_in(text: str, ask: Select, rows: Rows) -> str | None:
    """The entries that were found, as the inside of a JSON list; None: there are more than a few.

    What they tell of their way is learned.
    """
    count, _, entries = text.partition(":")
    learn(rows, entries.endswith(_COMMON), int(count) == ask.limit)
    return None if int(count) > FEW else spelled([f"[{entries}]"])[0][1:-1]


def _is_plain(ask: Select) -> bool:
    """Whether a few entries are all that is asked for."""
    if (ask.limit is not None and ask.limit > FEW) or ask.offset > DEEP:
        return False
    beside = ask.count_only or ask.with_total or ask.distinct or ask.aggregate is not None
    return not beside and ask.after is None
