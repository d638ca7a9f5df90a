"""The only package that reads or writes entries.

Access is decided before this package is called. It receives the where to run and the columns to
show, and returns JSON texts or rows. Other packages import from here, not from its modules.
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
from .embedded import EMBED_LIMIT, embedded_sql, parse_embedded, supports_embedding
from .paging import PAGE, is_long, pages, stream
from .planner import plan_scan
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
from .scan import Scan, ScanRequest
from .statements import (
    TABLE,
    StoredEntry,
    dialect,
    read_time_limit,
    release_connection,
    restore_numbers,
    run,
)
from .uniqueness import login_rows, normal_address
from .write import Confirm, WriteTransaction, delete, delete_where, insert, update, writing

__all__ = [
    "EMBED_LIMIT",
    "PAGE",
    "TABLE",
    "Confirm",
    "Found",
    "Others",
    "Scan",
    "ScanRequest",
    "StoredEntry",
    "WriteTransaction",
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
    "embedded_sql",
    "entry_text_of",
    "fetch",
    "fetch_where",
    "holds_others",
    "holds_text",
    "ids",
    "insert",
    "is_long",
    "is_still_expected",
    "login_rows",
    "normal_address",
    "pages",
    "parse_embedded",
    "part",
    "plan_scan",
    "read_rows",
    "read_time_limit",
    "release_connection",
    "restore_numbers",
    "run",
    "select",
    "state",
    "stream",
    "supports_embedding",
    "text_counts",
    "update",
    "writing",
]
