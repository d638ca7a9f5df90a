"""The Python syntax that a script may use. Everything else is refused by name.

Checks the parsed tree without recursion, before other code walks it recursively.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import Any, Final

from RestrictedPython.transformer import INSPECT_ATTRIBUTES

from .names import INPUTS, KNOWN_NAMES, UNKNOWN_NAMES

MAX_DEPTH: Final = 100
# RestrictedPython visits a node once more for each node around it. This is the largest sum of the
# depths of all nodes; a typical script of the longest allowed size has 70,000.
MAX_DEPTHS: Final = 150_000
# Python compiles a `finally` once for every exit from its `try`. This is the limit of these nodes.
MAX_COPIED: Final = 2_000

ALLOWED: Final = frozenset(
    (
        # statements
        *(ast.Module, ast.Expr, ast.Assign, ast.AugAssign, ast.Delete, ast.Pass, ast.Return),
        *(ast.If, ast.For, ast.While, ast.Break, ast.Continue),
        *(ast.Try, ast.ExceptHandler, ast.Raise, ast.Assert),
        *(ast.FunctionDef, ast.Lambda, ast.arguments, ast.arg),
        # expressions
        *(ast.Name, ast.Attribute, ast.Subscript, ast.Slice, ast.Starred, ast.Load, ast.Store),
        *(ast.Del, ast.Constant, ast.JoinedStr, ast.FormattedValue, ast.Call, ast.keyword),
        *(ast.List, ast.Tuple, ast.Set, ast.Dict, ast.IfExp, ast.NamedExpr),
        *(ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.comprehension),
        # operators
        *(ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.UAdd, ast.USub, ast.Invert),
        *(ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow),
        *(ast.BitOr, ast.BitAnd, ast.BitXor, ast.LShift, ast.RShift),
        *(ast.Compare, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE),
        *(ast.Is, ast.IsNot, ast.In, ast.NotIn),
    )
)

_NO_IMPORT = "imports are not supported; everything that a script can use is already defined"
_NO_ASYNC = "asynchronous code is not supported; look-ups do not need `await`"
_NO_TYPES = "type declarations are not supported"
# By the name of the node's class, since not every Python version has all of them.
REFUSED: Final = {
    "Import": _NO_IMPORT,
    "ImportFrom": _NO_IMPORT,
    "Await": _NO_ASYNC,
    "AsyncFunctionDef": _NO_ASYNC,
    "AsyncFor": _NO_ASYNC,
    "AsyncWith": _NO_ASYNC,
    "Yield": "`yield` is not supported; build a list and return it",
    "YieldFrom": "`yield from` is not supported; build a list and return it",
    "ClassDef": "classes cannot be defined; use dicts and functions",
    "With": "`with` is not supported; scripts do not open or lock anything",
    "Global": "`global` is not supported; return the value, or store it in a dict",
    "Nonlocal": "`nonlocal` is not supported; return the value, or store it in a dict",
    "Match": "`match` is not supported; use `if` and `elif`",
    "TryStar": "`except*` is not supported; use `except`",
    "AnnAssign": _NO_TYPES,
    "TypeAlias": _NO_TYPES,
    "TypeVar": _NO_TYPES,
    "TypeVarTuple": _NO_TYPES,
    "ParamSpec": _NO_TYPES,
    "MatMult": "`@` is not supported",
}


def refusals(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    """The constructs that a script may not use, as (node, problem)."""
    known = KNOWN_NAMES | _bound_names(tree)
    depths = 0
    for node, depth in _nodes(tree):
        depths += depth
        if depth > MAX_DEPTH or depths > MAX_DEPTHS:
            yield node, "is nested too deeply; split it"
            return
        if type(node) not in ALLOWED:
            name = type(node).__name__
            yield node, REFUSED.get(name, f"`{name}` is not supported in scripts")
            continue
        for problem in (*_names(node), *_in_particular(node, known)):
            yield node, problem


def _nodes(tree: ast.AST) -> Iterator[tuple[ast.AST, int]]:
    """All nodes as (node, depth), in source order. A node without a position gets its parent's.

    Nothing below a refused node is returned.
    """
    waiting: list[tuple[ast.AST, int]] = [(tree, 0)]
    while waiting:
        node, depth = waiting.pop()
        yield node, depth
        if type(node) not in ALLOWED:
            continue
        children = list(ast.iter_child_nodes(node))
        for child in children:
            if not hasattr(child, "lineno") and hasattr(node, "lineno"):
                child.lineno, child.col_offset = node.lineno, node.col_offset  # type: ignore[attr-defined]
        waiting += [(child, depth + 1) for child in reversed(children)]


def _bound_names(tree: ast.Module) -> frozenset[str]:
    """The names that are bound anywhere in the script."""
    bound: set[str] = set()
    for node, depth in _nodes(tree):
        if depth > MAX_DEPTH:
            break
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            bound.add(node.id)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.FunctionDef | ast.ExceptHandler) and node.name:
            bound.add(node.name)
    return frozenset(bound)


def _names(node: ast.AST) -> Iterator[str]:
    """Problems with names that start with an underscore; `_` alone may be a variable."""
    if isinstance(node, ast.Attribute):
        if node.attr.startswith("_"):
            yield f'`{node.attr}` starts with an underscore; write a column as `row["{node.attr}"]`'
        elif node.attr in INSPECT_ATTRIBUTES:
            yield (
                f"`{node.attr}` gives access to the interpreter; write a column as "
                f'`row["{node.attr}"]`'
            )
        return
    for field in ("id", "name", "arg"):
        name = getattr(node, field, None)
        if isinstance(name, str) and name.startswith("_") and name != "_":
            yield f"`{name}` starts with an underscore; choose another name"


def _in_particular(node: ast.AST, known: frozenset[str]) -> Iterator[str]:
    look = _LOOKS.get(type(node))
    if look is not None:
        yield from look(node)
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id not in known:
        hint = UNKNOWN_NAMES.get(node.id, "is not defined")
        if not node.id.startswith("_"):
            yield f"`{node.id}` {hint}"


def _name(node: ast.Name) -> Iterator[str]:
    if isinstance(node.ctx, ast.Load):
        return
    if node.id == "query":
        yield (
            "`query` cannot be replaced, but it can be changed: `query.Office = ...`, "
            "`query.clear()`, `query.update(...)`"
        )
    elif node.id in ("print", "printed", *INPUTS[-1:]):
        yield f"`{node.id}` cannot be redefined"


def _constant(node: ast.Constant) -> Iterator[str]:
    if isinstance(node.value, bytes):
        yield "bytes are not supported; use text"
    elif isinstance(node.value, complex) or node.value is ...:
        yield f"`{ast.unparse(node)}` is not a JSON value"


def _function(node: ast.FunctionDef) -> Iterator[str]:
    if node.decorator_list:
        yield f"`{node.name}` has a decorator; call the function instead"
    if node.name in ("query", "print", "printed"):
        yield f"`{node.name}` cannot be redefined"


def _handler(node: ast.ExceptHandler) -> Iterator[str]:
    if node.name in ("query", "print", "printed"):
        yield f"`{node.name}` cannot be redefined"


def _comprehension(node: ast.comprehension) -> Iterator[str]:
    if node.is_async:
        yield _NO_ASYNC


def _compare(node: ast.Compare) -> Iterator[str]:
    if len(node.ops) > 1 and any(isinstance(op, ast.In | ast.NotIn) for op in node.ops):
        yield "`in` is not supported in a chain of comparisons; use `and` between them"


def _list(node: ast.List) -> Iterator[str]:
    if isinstance(node.ctx, ast.Store):
        yield "unpacking into brackets is not supported; write `a, b = ...`"


def _several(node: ast.Assign) -> Iterator[str]:
    """RestrictedPython copies the value for each target, and so evaluates it once for each."""
    if len(node.targets) > 1 and any(isinstance(target, ast.Tuple) for target in node.targets):
        yield (
            "an assignment to several targets cannot unpack; write a separate assignment for "
            "each target"
        )


def _finally(node: ast.Try) -> Iterator[str]:
    """Nested copies grow exponentially: twenty levels would fill the web server's memory."""
    if not node.finalbody:
        return
    inside = list(ast.walk(node))
    if sum(isinstance(part, ast.Try) and bool(part.finalbody) for part in inside) > 1:
        yield "a `try` with `finally` cannot be nested in another one; split it"
        return
    exits = sum(isinstance(part, ast.Return | ast.Break | ast.Continue) for part in inside)
    copied = sum(1 for statement in node.finalbody for _ in ast.walk(statement))
    if exits * copied > MAX_COPIED:
        yield "`finally` is too long for so many `return`, `break` and `continue`; split it"


def _assigned(node: ast.AugAssign) -> Iterator[str]:
    target = node.target
    if isinstance(target, ast.Subscript) and any(
        isinstance(part, ast.Slice) for part in ast.walk(target.slice)
    ):
        yield "a slice cannot be changed in place; assign a new value to it"


_LOOKS: Final[dict[type[ast.AST], Callable[[Any], Iterator[str]]]] = {
    ast.Name: _name,
    ast.Constant: _constant,
    ast.FunctionDef: _function,
    ast.ExceptHandler: _handler,
    ast.comprehension: _comprehension,
    ast.Compare: _compare,
    ast.List: _list,
    ast.Assign: _several,
    ast.Try: _finally,
    ast.AugAssign: _assigned,
}
