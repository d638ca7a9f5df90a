"""Embeds a small select as one more column of another statement, which saves a round trip."""

from __future__ import annotations

from ..catalog.registry import Source
from ..compiler.projection import order_sql
from ..indexes import advice
from ..query.select import Projection, Select
from ..query.where import Node
from ..sql import Sql
from ..values.validation import MAX_INTEGER
from .attempts import ENDED, is_complete, remember
from .planner import plan_scan
from .read import DEEP, entry_text_of
from .scan import Scan, ScanRequest
from .statements import dialect, restore_numbers

# The most entries that are answered at once; more of them are read in pages.
EMBED_LIMIT = 1_000


def supports_embedding() -> bool:
    """Whether the database in use supports embedded selects."""
    return dialect().name == "postgresql"


def embedded_sql(
    source: Source, ask: Select, where: Node, shown: Projection
) -> tuple[Sql, Scan] | None:
    """Return SQL for the entries that `select` gives, as one text of PostgreSQL: `number:entries`.

    `parse_embedded` reads it. The number is the count of `hits` if the scan has them, and otherwise
    the count of the entries. Returns None for selects that need a statement of their own.
    """
    if not supports_embedding() or not _is_plain(ask):
        return None
    limit = _limit(ask)
    first = min(limit + ask.offset, MAX_INTEGER)
    rows = plan_scan(ScanRequest(source, where, ask.order, first, asks_anew=True))
    if rows.has_parts:
        return None
    text = entry_text_of(ask.attributes, shown)
    order = order_sql(dialect(), ask.order)
    # An array keeps the order of its subquery; an aggregate need not.
    found = f"ARRAY(SELECT {text.text} FROM {rows.sql.text}{order.text} LIMIT %s OFFSET %s)"
    params = (*text.params, *rows.sql.params, *order.params, limit, ask.offset)
    if rows.hits is not None:
        opening = rows.opening
        found = (
            f"({opening.text}SELECT (SELECT count(*) FROM hits)||':'||array_to_string({found},','))"
        )
        return Sql(found, (*opening.params, *params)), rows
    number, on = "cardinality(a)", rows.goes_on
    if on is not None:
        # A walk that has passed every row has found everything.
        number = f"CASE WHEN cardinality(a)<%s AND NOT {on.text} THEN {ENDED} ELSE {number} END"
        params = (limit, *on.params, *params)
    # Without the OFFSET, the planner inlines the array in both places and builds it twice.
    told = f"SELECT {number}||':'||array_to_string(a,',') FROM (SELECT {found} AS a OFFSET 0)"
    return Sql(f"({told} AS found)", params), rows


def parse_embedded(text: str, source: Source, ask: Select, rows: Scan) -> str | None:
    """Return the entries as the inside of a JSON list, or None if they have to be read again.

    That is so if there are more than `EMBED_LIMIT`, or if the attempt has failed. Records the
    columns whose index would have helped.
    """
    number, _, entries = text.partition(":")
    found = int(number)
    complete = is_complete(rows, found, _limit(ask), found)
    remember(rows, complete, found)
    told = found if rows.hits is None else found - ask.offset
    if not complete or (ask.limit is None and told > EMBED_LIMIT):
        return None
    advice.record(source.id, rows.wants)
    return restore_numbers([f"[{entries}]"])[0][1:-1]


def _limit(ask: Select) -> int:
    """Return how many entries to read; without a limit, one more than `EMBED_LIMIT`."""
    return EMBED_LIMIT + 1 if ask.limit is None else ask.limit


def _is_plain(ask: Select) -> bool:
    """Whether the request is for a few entries and nothing else."""
    if (ask.limit is not None and ask.limit > EMBED_LIMIT) or ask.offset > DEEP:
        return False
    beside = ask.count_only or ask.with_total or ask.distinct or ask.aggregate is not None
    return not beside and ask.after is None
