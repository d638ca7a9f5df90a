"""The language wall: RestrictedPython compiles a script under this policy, or refuses it.

`check` finds the problems when a script is saved. The worker compiles with the same function, so
that what was checked is what runs. It needs no settings and no process.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from itertools import islice
from types import CodeType
from typing import Any, Final, NamedTuple, TypeVar

from RestrictedPython.compile import compile_restricted_function
from RestrictedPython.transformer import IOPERATOR_TO_STR, RestrictingNodeTransformer

from .grammar import refusals
from .names import PARAMETERS
from .spelling import MAX_MARKS, has_too_many_marks, misspelled

MAX_SOURCE: Final = 20_000
MAX_PROBLEMS: Final = 20
FUNCTION: Final = "script"
FILE_NAME: Final = "<script>"

Node = TypeVar("Node", bound=ast.AST)


class ScriptProblem(NamedTuple):
    """A problem of a script and its position. Line and column are counted from 1."""

    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}: {self.message}"


class ScriptRefused(Exception):
    """The script cannot be stored and does not run."""

    def __init__(self, problems: Iterable[ScriptProblem]) -> None:
        self.problems = list(problems)[:MAX_PROBLEMS]
        super().__init__("; ".join(map(str, self.problems)))


def check(source: str) -> list[ScriptProblem]:
    """The problems of a script; empty if it can be stored. Never raises."""
    try:
        compile_script(source)
    except ScriptRefused as refused:
        return refused.problems
    return []


def compile_script(source: str) -> CodeType:
    """Compile the code that defines the function `script`. Raises `ScriptRefused`."""
    try:
        return _compile(source)
    except SyntaxError as error:
        line, column = error.lineno or 1, error.offset or 1
        raise ScriptRefused([ScriptProblem(line, max(column, 1), _said(error))]) from None
    except (RecursionError, MemoryError):
        raise _refused("is nested too deeply; split it") from None
    except UnicodeError:
        raise _refused("contains a lone surrogate, which is not valid Unicode text") from None
    except (ValueError, OverflowError) as error:
        raise _refused(str(error)) from None


def _compile(source: str) -> CodeType:
    if len(source) > MAX_SOURCE:
        raise _refused(f"has {len(source):,} characters; at most {MAX_SOURCE:,} are allowed")
    if "\0" in source:
        raise _refused("contains a NUL character")
    if has_too_many_marks(source):
        raise _refused(f"has more than {MAX_MARKS} combining characters (accents) in a row")
    tree = ast.parse(source, FILE_NAME)
    if not tree.body:
        raise _refused('is empty; to grant a request, write `return {"granted": True}`')
    places = _Places(source)
    problems = places.problems(refusals(tree)) or places.problems(misspelled(tree, source))
    if problems:
        raise ScriptRefused(problems)
    return _restricted(tree, places)


def _restricted(tree: ast.Module, places: _Places) -> CodeType:
    found: list[ScriptProblem] = []

    class Policy(ScriptTransformer):
        def error(self, node: ast.AST, info: str) -> None:
            super().error(node, info)
            if len(found) < MAX_PROBLEMS:
                found.append(places.problem(node, info[:1].lower() + info[1:]))

    compiled = compile_restricted_function(
        ", ".join(PARAMETERS), tree, FUNCTION, filename=FILE_NAME, policy=Policy
    )
    if found or compiled.errors or compiled.code is None:
        raise ScriptRefused(found or [ScriptProblem(1, 1, "; ".join(compiled.errors))])
    return compiled.code


class ScriptTransformer(RestrictingNodeTransformer):
    """RestrictedPython's rewriting, extended by constructs that it trusts and we do not."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        # Ids of nodes. The caller keeps the tree alive, so that no id is reused.
        self._called: set[int] = set()
        # The number of functions around the node.
        self._depth = 0

    def visit_Name(self, node: ast.Name) -> Any:  # noqa: N802
        """`print` is an ordinary function here, whose output goes to the trace."""
        if node.id == "print" and isinstance(node.ctx, ast.Load):
            return node
        return super().visit_Name(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:  # noqa: N802
        """Wrap a function that the script defines, since its repr would contain an address."""
        self._depth += 1
        guarded: Any = super().visit_FunctionDef(node)
        self._depth -= 1
        # The outermost function is the script itself, which the worker uses without a wrapper.
        if self._depth:
            guarded.decorator_list = [_placed(ast.Name("_function_", ast.Load()), node)]
        return guarded

    def visit_Lambda(self, node: ast.Lambda) -> Any:  # noqa: N802
        """Wrap a lambda like a function."""
        guarded: Any = super().visit_Lambda(node)
        return _placed(_call("_function_", guarded), node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> Any:  # noqa: N802
        """Wrap a generator expression like a function."""
        guarded: Any = super().visit_GeneratorExp(node)
        return _placed(_call("_generator_", guarded), node)

    def visit_Call(self, node: ast.Call) -> Any:  # noqa: N802
        """Note attributes that are called: `row.items()` is a method, `row.items` a column."""
        if isinstance(node.func, ast.Attribute):
            self._called.add(id(node.func))
        return super().visit_Call(node)

    def visit_Attribute(self, node: ast.Attribute) -> Any:  # noqa: N802
        """Send reads to the guard of attributes or to that of methods."""
        called = id(node) in self._called
        guarded = super().visit_Attribute(node)
        if called:
            guarded.func.id = "_method_"  # type: ignore[union-attr]
        return guarded

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:  # noqa: N802
        """Send `row.n += 1` and `row["n"] += 1` through the guards of reading and of writing."""
        target = node.target
        if isinstance(target, ast.Name):
            return super().visit_AugAssign(node)
        if isinstance(target, ast.Attribute):
            key: ast.expr = ast.Constant(target.attr)
            guard = "_change_attribute_"
        else:
            key, guard = self.visit(target.slice), "_change_item_"
        operator = ast.Constant(IOPERATOR_TO_STR[type(node.op)])
        arguments = [operator, self.visit(target.value), key, self.visit(node.value)]
        return _placed(ast.Expr(_call(guard, *arguments)), node)

    def visit_Compare(self, node: ast.Compare) -> Any:  # noqa: N802
        """Send `in` through a guard, since a missing column is in no container."""
        if not isinstance(node.ops[0], ast.In | ast.NotIn):
            return super().visit_Compare(node)
        left, right = self.visit(node.left), self.visit(node.comparators[0])
        found: ast.expr = _call("_in_", left, right)
        if isinstance(node.ops[0], ast.NotIn):
            found = ast.UnaryOp(ast.Not(), found)
        return _placed(found, node)

    def visit_Try(self, node: ast.Try) -> Any:  # noqa: N802
        """Make each handler check what it caught first, as broken limits must not be caught."""
        super().visit_Try(node)
        for body in (*(handler.body for handler in node.handlers), node.finalbody):
            if body:
                body.insert(0, _placed(ast.Expr(_call("_caught_")), body[0]))
        return node


def _call(name: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(name, ast.Load()), list(arguments), [])


def _placed(new: Node, old: ast.AST) -> Node:
    return ast.fix_missing_locations(ast.copy_location(new, old))


class _Places:
    """The positions of nodes in the text. The tree counts bytes, while people count characters."""

    def __init__(self, source: str) -> None:
        self._lines = source.replace("\r\n", "\n").replace("\r", "\n").split("\n")

    def problems(self, found: Iterable[tuple[ast.AST, str]]) -> list[ScriptProblem]:
        """The first problems only, since each of them reads a whole line."""
        return [self.problem(node, message) for node, message in islice(found, MAX_PROBLEMS)]

    def problem(self, node: ast.AST, message: str) -> ScriptProblem:
        line = getattr(node, "lineno", 1)
        offset = getattr(node, "col_offset", 0)
        text = self._lines[line - 1] if line <= len(self._lines) else ""
        before = text.encode("utf-8", "replace")[:offset].decode("utf-8", "replace")
        return ScriptProblem(line, len(before) + 1, message)


def _refused(message: str) -> ScriptRefused:
    return ScriptRefused([ScriptProblem(1, 1, message)])


def _said(error: SyntaxError) -> str:
    """Python's message in lower case, with backquotes around what it quotes."""
    message = (error.msg or "invalid syntax").replace("'", "`")
    return message[:1].lower() + message[1:]
