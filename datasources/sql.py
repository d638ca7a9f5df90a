"""SQL fragments with their parameters, and those that operators share.

`concat` and `separated` put fragments together, and keep the parameters in the order of the text.
In the text of an operator, `{v}` is replaced by a value.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from .values.codec import dumps


class Sql(NamedTuple):
    """SQL text with `%s` for each of its parameters."""

    text: str
    params: tuple[Any, ...] = ()

    def filled(self, value: Sql) -> Sql:
        """Replace `{v}` by a value, with its parameters where the text has them."""
        if not value.params:
            return Sql(self.text.replace("{v}", value.text), self.params)
        parts = self.text.split("{v}")
        params: list[Any] = []
        own = list(self.params)
        for index, part in enumerate(parts):
            if index:
                params.extend(value.params)
            count = part.count("%s")
            params.extend(own[:count])
            del own[:count]
        return Sql(value.text.join(parts), tuple(params))


_new = tuple.__new__


def concat(*pieces: str | Sql) -> Sql:
    """Concatenate pieces; a string is SQL text without parameters."""
    text, params = "", ()
    for piece in pieces:
        if piece.__class__ is str:
            text += piece
        else:
            text += piece[0]
            params += piece[1]  # type: ignore[operator]
    # Every request makes many of these: the constructor of the class takes three times as long.
    return _new(Sql, (text, params))


def separated(separator: str, pieces: Iterable[Sql]) -> Sql:
    """Concatenate pieces, with a separator between them."""
    texts: list[str] = []
    params: list[Any] = []
    for text, own in pieces:
        texts.append(text)
        params.extend(own)
    return Sql(separator.join(texts), tuple(params))


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


def balanced(items: list[Sql], operator: str, empty: Sql) -> Sql:
    """Combine items by an operator such as ` AND `; without any, return `empty`.

    The result is a balanced tree, because SQLite refuses expressions that are a thousand levels
    deep.
    """
    if not items:
        return empty
    while len(items) > 1:
        items = [_pair(items[at : at + 8], operator) for at in range(0, len(items), 8)]
    return items[0]


def _pair(items: list[Sql], operator: str) -> Sql:
    if len(items) == 1:
        return items[0]
    return concat("(", separated(operator, items), ")")
