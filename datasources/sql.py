"""SQL fragments that operators share. `{v}` is replaced by a value, every `%s` by a parameter."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from .values.codec import dumps


class Sql(NamedTuple):
    """SQL text with `%s` for each of its parameters."""

    text: str
    params: tuple[Any, ...] = ()


ALWAYS: Final = Sql("1=1")
NEVER: Final = Sql("1=0")

TEXT_SQLITE: Final = "CASE json_type({v}) WHEN 'text' THEN json_extract({v},'$') END"
NUMBER_SQLITE: Final = (
    "CASE json_type({v}) WHEN 'integer' THEN json_extract({v},'$') "
    "WHEN 'real' THEN rowkeeper_real({v}) END"
)
BOOLEAN_SQLITE: Final = "CASE {v} WHEN 'false' THEN 0 WHEN 'true' THEN 1 END"
TEXT_POSTGRESQL: Final = "CASE jsonb_typeof({v}) WHEN 'string' THEN {v}#>>'{}' END COLLATE \"C\""
NUMBER_POSTGRESQL: Final = "CASE jsonb_typeof({v}) WHEN 'number' THEN ({v})::numeric END"
BOOLEAN_POSTGRESQL: Final = "CASE jsonb_typeof({v}) WHEN 'boolean' THEN ({v})::boolean END"


def equal_postgresql(operand: Any) -> Sql:
    """Return the SQL of `$eq`; missing and null are equal."""
    value = "coalesce({v},'null')" if operand is None else "{v}"
    return Sql(f"{value}=%s::jsonb", (dumps(operand),))


def text_array(texts: Iterable[str]) -> str:
    """Return texts in PostgreSQL's array syntax, a parameter that the driver need not convert."""
    quoted = (text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    return "{" + ",".join(f'"{text}"' for text in quoted) + "}"


def joined(items: list[Sql], word: str, empty: Sql) -> Sql:
    """Join conditions with `word` (` AND ` or ` OR `); without any, return `empty`.

    The result is a balanced tree, because SQLite refuses expressions that are a thousand levels
    deep.
    """
    if not items:
        return empty
    while len(items) > 1:
        items = [_pair(items[at : at + 8], word) for at in range(0, len(items), 8)]
    return items[0]


def _pair(items: list[Sql], word: str) -> Sql:
    if len(items) == 1:
        return items[0]
    return Sql(f"({word.join(item.text for item in items)})", _params(items))


def _params(items: Iterable[Sql]) -> tuple[object, ...]:
    return tuple(param for item in items for param in item.params)
