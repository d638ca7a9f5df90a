"""The documents for contributors name what is there."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.checkout

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *(ROOT / "docs").glob("de*/*.md")]
# A file or a folder, and a function or class that is named before it.
_PATH = re.compile(r"`([a-z_]+/[a-z_/]*(?:\.\w+)?)`")
_PACKAGE = re.compile(r"`((?:accounts|datasources|rules)(?:\.[a-z_]+)*)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_paths_lead_somewhere(page: Path) -> None:
    text = page.read_text("utf-8")
    for link in re.findall(r"\]\(([^)#]+)", text.replace("\n", " ")):
        assert (page.parent / link).exists(), link
    for path in _PATH.findall(text):
        assert (ROOT / path).exists(), path


def test_functions_are_in_the_files_that_are_named() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    found = 0
    for line in text.splitlines():
        files = re.findall(r"`([a-z_/]+\.py)`", line)
        code = "".join((ROOT / path).read_text("utf-8") for path in files)
        for name in re.findall(r"`(?:[A-Z]\w+\.)?(_[a-z]+|[a-z]+_[a-z_]+)`", line) if files else ():
            found += 1
            assert f"def {name}(" in code, (name, files)
    assert found >= 5


def test_each_package_is_described() -> None:
    text = (ROOT / "docs/development/architecture.md").read_text("utf-8")
    for name in _PACKAGE.findall(text):
        assert importlib.util.find_spec(f"rowkeeper.{name}"), name
    for app in ("datasources", "rules"):
        for folder in (ROOT / app).iterdir():
            if (folder / "__init__.py").exists() and folder.name not in (
                "management",
                "migrations",
                "templatetags",
                "checks",
            ):
                assert f"{app}.{folder.name}" in text, folder


def test_the_glossary_is_in_order() -> None:
    text = (ROOT / "docs/development/glossary.md").read_text("utf-8")
    for table, least in zip(text.split("## Retired words"), (25, 15), strict=True):
        terms = [term.lower() for term in re.findall(r"^\| ([^|]+?) \|", table, re.M)][1:]
        terms = [term for term in terms if not term.startswith("---")]
        assert len(terms) > least
        assert terms == sorted(terms, key=lambda term: term.replace("-", " "))


def test_the_code_has_the_names_of_the_glossary() -> None:
    text = (ROOT / "docs/development/glossary.md").read_text("utf-8")
    apps = ("accounts", "datasources", "rules")
    code = "\n".join(p.read_text("utf-8") for app in apps for p in (ROOT / app).rglob("*.py"))
    rows = re.findall(r"^\| [^|]+ \| [^|]+ \| ([^|]+) \|", text, re.M)[1:]
    names = {name for row in rows for name in re.findall(r"`([A-Z]\w+)", row)}
    assert len(names) > 25
    for name in names:
        assert re.search(rf"^(class {name}\b|{name}(: TypeAlias)? = )", code, re.M), name


def test_docstrings_can_be_read_alone() -> None:
    """One that begins "The same" says nothing in a tooltip, or once functions are moved."""
    found = [
        f"{path.name}: {line.strip()}"
        for app in ("accounts", "datasources", "rules", "project")
        for path in (ROOT / app).rglob("*.py")
        for line in path.read_text("utf-8").splitlines()
        if re.match(r'\s*"""(The same\b|See above|See `|As above|And )', line)
    ]
    assert found == []
