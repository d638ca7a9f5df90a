"""How many columns are marked as indexed on the whole site, and the limit for it.

Each mark is a separate index on the table with the entries of all data sources. An index only has
the rows of one data source, but every insert on the site evaluates the condition of each index.
"""

from __future__ import annotations

from ..conf import setting
from ..models import DataSource


def marks(without: int | None = None) -> int:
    """Return how many columns are marked in all data sources, `without` the one with this id."""
    found = DataSource.objects.exclude(indexed_columns=[])
    if without is not None:
        found = found.exclude(pk=without)
    return sum(map(len, found.values_list("indexed_columns", flat=True)))


def problem_with_marks(source_id: int | None, before: list[str], after: list[str]) -> str | None:
    """Return why a data source cannot have the marks `after` instead of `before`, or None.

    Existing marks are kept, even if the setting has been lowered since.
    """
    if len(after) <= len(before):
        return None
    most: int = setting("MAX_INDEXES")
    elsewhere = marks(source_id)
    if elsewhere + len(after) <= most:
        return None
    return (
        f"the site would have {elsewhere + len(after)} indexed columns, {elsewhere} of them in "
        f"other data sources; at most {most} are allowed, because every insert on the site "
        "evaluates the condition of each index: unmark columns that do not need an index, or "
        "raise `MAX_INDEXES` in `ROWKEEPER`"
    )
