"""The where of a query: parsed once into a small tree, and matched in memory.

`compiler.where` compiles the same tree to SQL. This package does not import Django.
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
