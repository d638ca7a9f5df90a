"""The query language: a where is parsed once into a small tree, which has three meanings that
agree: in memory, on SQLite and on PostgreSQL. Nothing else lives here, and no Django.
"""

from .limits import Budget
from .match import matches
from .nodes import (
    EVERYTHING,
    And,
    Composite,
    ElemMatch,
    Field,
    Node,
    Not,
    Or,
    all_of,
    any_of,
    conjoin,
)
from .parse import parse_where

__all__ = [
    "EVERYTHING",
    "And",
    "Budget",
    "Composite",
    "ElemMatch",
    "Field",
    "Node",
    "Not",
    "Or",
    "all_of",
    "any_of",
    "conjoin",
    "matches",
    "parse_where",
]
