"""Retired words do not come back. The glossary lists them with the words to use instead."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

# The wheel does not have the sources where they are looked for.
pytestmark = pytest.mark.checkout
ROOT = Path(__file__).parents[2]
PACKAGES = ("accounts", "datasources", "rules", "project")
GLOSSARY = ROOT / "docs/development/glossary.md"

_ROW = re.compile(r"^\| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

# The bundle of the script editor and the licenses in it are not written here.
_BUILT = ("script-editor.js", "script-editor.licences.txt")


def retired_words() -> dict[str, str]:
    """The retired words of the glossary, each with its replacement."""
    table = GLOSSARY.read_text().split("## Retired words")[1].split("| Do not use ", 1)[1]
    return {
        word: better
        for words, better in _ROW.findall(table)
        if "Use instead" not in better and not words.startswith("--")
        for word in words.split(", ")
    }


def problems_of(place: str, text: str, words: dict[str, str]) -> Iterator[str]:
    """A line for each retired word in a text. Parts of identifiers count as words."""
    for part in _PART.findall(text):
        if part.lower() in words:
            yield f"{place}: `{part}` in {text.strip()[:60]!r}: use {words[part.lower()]}"


def texts_of_module(path: Path) -> Iterator[tuple[int, str]]:
    """The identifiers that a module defines and its strings that are not docstrings, by line."""
    tree = ast.parse(path.read_text())
    docstrings: set[ast.expr] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            docstrings.add(node.value)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr
        elif isinstance(node, ast.keyword) and node.arg:
            yield node.lineno, node.arg
        elif isinstance(node, ast.alias) and node.asname:
            yield node.lineno, node.asname
        elif (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and node not in docstrings
        ):
            yield node.lineno, node.value


def python_files() -> list[Path]:
    """The modules of the packages. Migrations are not edited after their release."""
    found = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return sorted(path for path in found if path.parent.name != "migrations")


def page_files() -> list[Path]:
    """The templates, and the scripts and styles of the admin pages."""
    places = [ROOT / "templates", *(ROOT / package / "static" for package in PACKAGES)]
    found = [path for place in places for path in place.rglob("*") if path.is_file()]
    return sorted(path for path in found if path.name not in _BUILT)


def problems() -> Iterator[str]:
    """A line for each retired word in the packages and the pages."""
    words = retired_words()
    for path in python_files():
        place = str(path.relative_to(ROOT))
        yield from problems_of(place, path.stem, words)
        for line, text in texts_of_module(path):
            yield from problems_of(f"{place}:{line}", text, words)
    for path in page_files():
        place = str(path.relative_to(ROOT))
        yield from problems_of(place, path.stem, words)
        for line, text in enumerate(path.read_text().splitlines(), 1):
            yield from problems_of(f"{place}:{line}", text, words)


def test_no_retired_word_comes_back() -> None:
    found = list(problems())
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "source",
    [
        "told = 1",
        "def told_row(): pass",
        "def f(told): pass",
        "class Told: pass",
        "self.wasTold = 1",
        "raise Malformed('the caller is told why')",
        "f'{name} is told'",
        "f(told=1)",
        "import x as told",
    ],
)
def test_it_finds_them(source: str, tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(f'"""A docstring, which may say told."""\n\n{source}\n')
    (text,) = [
        problem
        for line, text in texts_of_module(path)
        for problem in problems_of(f"module.py:{line}", text, retired_words())
    ]
    assert text.startswith("module.py:3: `") and "use show, report" in text


def test_the_glossary_lists_them() -> None:
    words = retired_words()
    assert words["told"] and words["whoever"] and "rules" not in words
    assert len(python_files()) > 100 and len(page_files()) > 20
