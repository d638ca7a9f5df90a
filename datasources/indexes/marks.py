"""How many columns are marked as indexed on the whole site, and the bound on it.

Each mark is an index of its own, on the table that holds the entries of all data sources. An index
has the rows of one data source only, but every insert on the site looks at the condition of each.
"""

from __future__ import annotations

from ..conf import setting
from ..models import DataSource


def marks(without: int | None = None) -> int:
    """How many columns are marked in all data sources, `without` the one of this id."""
    found = DataSource.objects.exclude(indexed_columns=[])
    if without is not None:
        found = found.exclude(pk=without)
    return sum(map(len, found.values_list("indexed_columns", flat=True)))


def problem_with_marks(source_id: int | None, before: list[str], after: list[str]) -> str | None:
    """Why a data source cannot have these marks rather than those `before`, or None.

    Marks that are there already are kept, also where the setting has been lowered since.
    """
    if len(after) <= len(before):
        return None
    most: int = setting("MAX_INDEXES")
    elsewhere = marks(source_id)
    if elsewhere + len(after) <= most:
        return None
    return (
        f"the site would have {elsewhere + len(after)} indexed columns, {elsewhere} of them in "
        f"other data sources; at most {most} are allowed, because every insert on the site looks "
        "at each of them: remove marks that are not needed, or raise `MAX_INDEXES` in `ROWKEEPER`"
    )
