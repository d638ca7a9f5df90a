"""Embeds a small select as one more column of another statement, which saves a round trip."""

from __future__ import annotations

from ..catalog.registry import Source
from ..compiler.projection import order_sql
from ..indexes import advice
from ..query.select import Projection, Select
from ..query.where import Node
from ..sql import Sql, concat
from ..values.codec import restore_large_doubles
from ..values.validation import MAX_INTEGER
from .attempts import ENDED, is_complete, remember
from .planner import plan_scan
from .read import DEEP, entry_text_of
from .scan import Scan, ScanRequest
from .statements import dialect

# The most entries that are answered at once; more of them are read in pages.
EMBED_LIMIT = 1_000


def supports_embedding() -> bool:
    """Whether the database in use supports embedded selects."""
    return dialect().name == "postgresql"


def embedded_sql(
    source: Source, query: Select, where: Node, shown: Projection
) -> tuple[Sql, Scan] | None:
    """Return SQL for the entries that `select` gives, as one text of PostgreSQL: `number:entries`.

    `parse_embedded` reads it. The number is the count of `hits` if the scan has them, and otherwise
    the count of the entries. Returns None for selects that need a statement of their own.
    """
    if not supports_embedding() or not _is_plain(query):
        return None
    limit = _limit(query)
    first = min(limit + query.offset, MAX_INTEGER)
    rows = plan_scan(ScanRequest(source, where, query.order, first, can_retry=True))
    if rows.has_parts:
        return None
    text = entry_text_of(query.attributes, shown)
    order = order_sql(dialect(), query.order)
    # An array keeps the order of its subquery; an aggregate need not.
    part = Sql(" LIMIT %s OFFSET %s)", (limit, query.offset))
    found = concat("ARRAY(SELECT ", text, " FROM ", rows.sql, order, part)
    if rows.hits is not None:
        counted = "SELECT (SELECT count(*) FROM hits)||':'||array_to_string("
        return concat("(", rows.opening, counted, found, ",','))"), rows
    number = Sql("cardinality(a)")
    if rows.goes_on is not None:
        # A walk that has passed every row has found everything.
        fewer = Sql("CASE WHEN cardinality(a)<%s AND NOT ", (limit,))
        number = concat(fewer, rows.goes_on, f" THEN {ENDED} ELSE cardinality(a) END")
    # Without the OFFSET, the planner inlines the array in both places and builds it twice.
    texts = "||':'||array_to_string(a,',') FROM (SELECT "
    return concat("(SELECT ", number, texts, found, " AS a OFFSET 0) AS found)"), rows


def parse_embedded(text: str, source: Source, query: Select, rows: Scan) -> str | None:
    """Return the entries as the inside of a JSON list, or None if they have to be read again.

    That is so if there are more than `EMBED_LIMIT`, or if the attempt has failed. Records the
    columns whose index would have helped.
    """
    number, _, entries = text.partition(":")
    found = int(number)
    complete = is_complete(rows, found, _limit(query), found)
    remember(rows, complete, found)
    counted = found if rows.hits is None else found - query.offset
    if not complete or (query.limit is None and counted > EMBED_LIMIT):
        return None
    if rows.wants:
        advice.record(source.id, rows.wants)
    return restore_large_doubles(f"[{entries}]")[1:-1]


def _limit(query: Select) -> int:
    """Return how many entries to read; without a limit, one more than `EMBED_LIMIT`."""
    return EMBED_LIMIT + 1 if query.limit is None else query.limit


def _is_plain(query: Select) -> bool:
    """Whether the request is for a few entries and nothing else."""
    if (query.limit is not None and query.limit > EMBED_LIMIT) or query.offset > DEEP:
        return False
    extra = query.count_only or query.with_total or query.distinct or query.aggregate is not None
    return not extra and query.after is None
