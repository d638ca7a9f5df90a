"""The order of JSON values of different types: null, false, true, numbers, texts, then the rest.

Missing values sort like null. Lists and objects are equal to each other.
"""

from __future__ import annotations

from typing import Any

NULL, FALSE, TRUE, NUMBER, TEXT, OTHER = range(6)


def rank(value: Any) -> int:
    """Return the place of a value's type in the order."""
    if value is None:
        return NULL
    if value.__class__ is bool:
        return TRUE if value else FALSE
    if value.__class__ is str:
        return TEXT
    return OTHER if value.__class__ in (list, dict) else NUMBER


def rank_sqlite(kind: str) -> str:
    """Return the SQL of a rank on SQLite; `kind` is a call of `json_type`."""
    return (
        f"CASE {kind} WHEN 'false' THEN {FALSE} WHEN 'true' THEN {TRUE} "
        f"WHEN 'integer' THEN {NUMBER} WHEN 'real' THEN {NUMBER} WHEN 'text' THEN {TEXT} "
        f"WHEN 'array' THEN {OTHER} WHEN 'object' THEN {OTHER} ELSE {NULL} END"
    )


def rank_postgresql(kind: str, value: str) -> str:
    """Return the SQL of a rank on PostgreSQL; `kind` is a call of `jsonb_typeof` with `value`."""
    return (
        f"CASE {kind} WHEN 'boolean' THEN CASE WHEN {value}='true' THEN {TRUE} ELSE {FALSE} END "
        f"WHEN 'number' THEN {NUMBER} WHEN 'string' THEN {TEXT} "
        f"WHEN 'array' THEN {OTHER} WHEN 'object' THEN {OTHER} ELSE {NULL} END"
    )
