"""The query language: a where is parsed once into a small tree, which has three meanings that
agree: in memory, on SQLite and on PostgreSQL. Nothing else lives here, and no Django.
"""

from .limits import Budget
from .match import matches
from .nodes import EVERYTHING, And, Elem, Field, Made, Node, Not, Or, all_of, any_of, narrowed
from .parse import parse_where

__all__ = [
    "EVERYTHING",
    "And",
    "Budget",
    "Elem",
    "Field",
    "Made",
    "Node",
    "Not",
    "Or",
    "all_of",
    "any_of",
    "matches",
    "narrowed",
    "parse_where",
]
