"""Static checks of scripts: for which operations do they return anything?

A script that ends without `return` does not grant, and later rules are tried. That is often
intended ("nothing else"), but often a case was forgotten.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from textwrap import indent

from ..engine.problems import Problem, Severity
from ..engine.rule import OPERATIONS, Operation, Rule


def script_problems(rule: Rule) -> Iterator[Problem]:
    """The problems of one rule; none if its script cannot be parsed, which a save refuses."""
    body = _body(rule.script or "")
    if not body:
        return
    try:
        found = {operation: _walk(body, operation) for operation in OPERATIONS}
        blind = [f"{name}s" for name, looks in _STORED.items() if is_blind(body, name, looks)]
    except RecursionError:
        return
    never = [f"`{name}`" for name, paths in found.items() if not paths.returns]
    some = [f"`{name}`" for name, paths in found.items() if paths.returns and paths.ends]
    if len(never) == len(OPERATIONS):
        yield _problem(
            rule,
            "does not return a value, so it never grants; to grant, use `return {'granted': True}`",
            "warning",
        )
    elif never:
        yield _problem(
            rule, f"does not return a value for {', '.join(never)}, so it does not grant it"
        )
    if some:
        yield _problem(
            rule,
            f"can end without a `return` for {', '.join(some)}; in this case, it does not grant it",
        )
    if blind:
        yield Problem(
            rule.position,
            "script",
            f"can grant {' and '.join(blind)} without checking the stored entry, so people can "
            f"{' or '.join(_VERBS[name] for name in blind)} the entries of others: compare "
            "`entry`, and each of `entries` if `query` is a list",
            "script-ignores-entry",
            "warning",
        )


_VERBS = {"updates": "change", "deletes": "delete"}
# The names that hold stored data. For an update, `query` is the submitted data.
_STORED: dict[Operation, frozenset[str]] = {
    "update": frozenset(("entry", "entries")),
    "delete": frozenset(("entry", "entries", "query")),
}


def is_blind(statements: Sequence[ast.stmt], operation: Operation, looks: frozenset[str]) -> bool:
    """Whether some path through the statements grants the operation without reading the names.

    A loop, `with` or `try` that reads one of the names counts as reading it.
    """
    for statement in statements:
        if isinstance(statement, ast.Return):
            return not _reads(statement, looks) and _may_grant(statement)
        branches = _paths_on(statement, operation)
        tested = isinstance(statement, ast.If) and _reads(statement.test, looks)
        if tested or (not isinstance(statement, ast.If) and _reads(statement, looks)):
            return False
        if any(is_blind(branch, operation, looks) for branch in branches):
            return True
        if not _paths(statement, operation).ends:
            return False
        on = [branch for branch in branches if _walk(branch, operation).ends]
        if on and all(any(_reads(each, looks) for each in branch) for branch in on):
            return False
    return False


def _paths_on(statement: ast.stmt, operation: Operation) -> list[list[ast.stmt]]:
    """The blocks of a statement that can run for the operation."""
    if isinstance(statement, ast.If):
        verdict = _described(statement.test, operation)
        on = [statement.body] if verdict is not False else []
        return [*on, *([statement.orelse] if verdict is not True else [])]
    if isinstance(statement, ast.Try):
        handlers = [handler.body for handler in statement.handlers]
        return [statement.body, statement.orelse, *handlers, statement.finalbody]
    if isinstance(statement, ast.For | ast.While):
        return [statement.body, statement.orelse]
    return [statement.body] if isinstance(statement, ast.With) else []


def _reads(node: ast.AST, names: frozenset[str]) -> bool:
    return any(isinstance(each, ast.Name) and each.id in names for each in ast.walk(node))


def _may_grant(statement: ast.Return) -> bool:
    """Whether a `return` may grant; false if its value plainly does not."""
    value = statement.value
    if value is None or isinstance(value, ast.Constant):
        return False
    if not isinstance(value, ast.Dict):
        return True
    given = {
        k.value: v
        for k, v in zip(value.keys, value.values, strict=True)
        if isinstance(k, ast.Constant)
    }
    granted = given.get("granted")
    return granted is not None and not (isinstance(granted, ast.Constant) and not granted.value)


def _problem(rule: Rule, text: str, severity: Severity = "info") -> Problem:
    return Problem(rule.position, "script", text, "script-no-return", severity)


def _body(script: str) -> Sequence[ast.stmt]:
    """The statements of a script, which is the body of a function; empty if it is not valid."""
    text = script.replace("\r\n", "\n").replace("\r", "\n")
    try:
        module = ast.parse(f"def rule():\n{indent(text, ' ', lambda line: True)}\n")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    function = module.body[0]
    return function.body if isinstance(function, ast.FunctionDef) else []


@dataclass(frozen=True, slots=True)
class _Paths:
    """Whether some statements can return, and whether execution can continue after them."""

    returns: bool
    ends: bool

    def __or__(self, other: _Paths) -> _Paths:
        return _Paths(self.returns or other.returns, self.ends or other.ends)


_PASSES = _Paths(False, True)


def _walk(statements: Sequence[ast.stmt], operation: Operation) -> _Paths:
    returns = False
    for statement in statements:
        paths = _paths(statement, operation)
        returns = returns or paths.returns
        if not paths.ends:
            return _Paths(returns, False)
    return _Paths(returns, True)


def _paths(statement: ast.stmt, operation: Operation) -> _Paths:
    if isinstance(statement, ast.Return):
        return _Paths(True, False)
    if isinstance(statement, ast.Raise):
        return _Paths(False, False)
    if isinstance(statement, ast.If):
        return _branches(statement, operation)
    if isinstance(statement, ast.For | ast.While):
        body = _walk(statement.body, operation)
        return _Paths(body.returns, True) | _walk(statement.orelse, operation)
    if isinstance(statement, ast.Try):
        return _tries(statement, operation)
    return _walk(statement.body, operation) if isinstance(statement, ast.With) else _PASSES


def _branches(statement: ast.If, operation: Operation) -> _Paths:
    verdict = _described(statement.test, operation)
    if verdict is True:
        return _walk(statement.body, operation)
    if verdict is False:
        return _walk(statement.orelse, operation)
    return _walk(statement.body, operation) | _walk(statement.orelse, operation)


def _tries(statement: ast.Try, operation: Operation) -> _Paths:
    last = _walk(statement.finalbody, operation)
    whole = _walk([*statement.body, *statement.orelse], operation)
    for handler in statement.handlers:
        whole = whole | _walk(handler.body, operation)
    return _Paths(whole.returns or last.returns, whole.ends and last.ends)


def _described(test: ast.expr, operation: Operation) -> bool | None:
    """The value of a test of the operation; None if it depends on anything else."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        verdict = _described(test.operand, operation)
        return None if verdict is None else not verdict
    if isinstance(test, ast.BoolOp):
        deciding = isinstance(test.op, ast.Or)
        verdicts = [_described(value, operation) for value in test.values]
        if deciding in verdicts:
            return deciding
        return None if None in verdicts else not deciding
    return _compared(test, operation) if isinstance(test, ast.Compare) else None


def _compared(test: ast.Compare, operation: Operation) -> bool | None:
    if len(test.ops) != 1 or not _is_type(test.left):
        return None
    try:
        value = ast.literal_eval(test.comparators[0])
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
    if isinstance(test.ops[0], ast.Eq | ast.NotEq):
        return (operation == value) is isinstance(test.ops[0], ast.Eq)
    if isinstance(test.ops[0], ast.In | ast.NotIn) and isinstance(value, list | tuple | set):
        return (operation in value) is isinstance(test.ops[0], ast.In)
    return None


def _is_type(value: ast.expr) -> bool:
    return isinstance(value, ast.Name) and value.id == "type"
