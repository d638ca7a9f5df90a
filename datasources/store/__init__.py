"""The one door to entries: the only place that reads or writes rows.

What it is told has been decided already: it takes the where that is to run, and the columns that
may be shown, and gives JSON text or rows. Others import this package, never a module of it.
"""

from .admin import (
    admin_page,
    admin_save,
    column_counts,
    column_names,
    counts,
    holds_text,
    ids,
    state,
    text_counts,
)
from .attempts import is_still_expected
from .embedded import FEW, few_in, few_sql, has_few
from .paging import PAGE, is_long, pages, stream
from .planner import rows_for
from .read import (
    Found,
    count,
    distinct,
    entry_text_of,
    fetch,
    fetch_where,
    holds_others,
    part,
    read_rows,
    select,
)
from .replace import Others
from .scan import Ask, Rows
from .statements import TABLE, Stored, dialect, give_back, run, spelled, within
from .uniqueness import login_rows, normal_address
from .write import Confirm, delete, delete_where, insert, update, writing

__all__ = [
    "FEW",
    "PAGE",
    "TABLE",
    "Ask",
    "Confirm",
    "Found",
    "Others",
    "Rows",
    "Stored",
    "admin_page",
    "admin_save",
    "column_counts",
    "column_names",
    "count",
    "counts",
    "delete",
    "delete_where",
    "dialect",
    "distinct",
    "entry_text_of",
    "fetch",
    "fetch_where",
    "few_in",
    "few_sql",
    "give_back",
    "has_few",
    "holds_others",
    "holds_text",
    "ids",
    "insert",
    "is_long",
    "is_still_expected",
    "login_rows",
    "normal_address",
    "pages",
    "part",
    "read_rows",
    "rows_for",
    "run",
    "select",
    "spelled",
    "state",
    "stream",
    "text_counts",
    "update",
    "within",
    "writing",
]
