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


DOCS = ROOT / "docs"
SITE = {
    path.relative_to(DOCS).with_suffix("").as_posix()
    for path in DOCS.rglob("*.md")
    if path.name != "index.md"
}


def test_each_page_is_in_the_navigation_of_the_site() -> None:
    listed = []
    for index in DOCS.rglob("index.md"):
        for toctree in re.findall(
            r"^```{toctree}\n(.*?)^```", index.read_text("utf-8"), re.M | re.S
        ):
            for name in re.findall(r"^/?\w[\w/-]*$", toctree, re.M):
                page = (ROOT if name.startswith("/") else index.parent) / name.lstrip("/")
                assert page.with_suffix(".md").exists(), name
                if DOCS in page.parents and page.name != "index":
                    listed.append(page.relative_to(DOCS).as_posix())
    assert sorted(listed) == sorted(SITE)


def test_the_index_describes_each_page_for_users() -> None:
    text = (DOCS / "index.md").read_text("utf-8")
    described = set(re.findall(r"^- \[[^]]+\]\(([^)]+)\.md\)", text, re.M))
    assert SITE - described == {name for name in SITE if name.startswith("decisions/")}


def test_images_have_alternative_texts_and_are_small() -> None:
    shown = set()
    for page in DOCS.rglob("*.md"):
        for alt, link in re.findall(r"!\[([^]]*)\]\(([^)]+)\)", page.read_text("utf-8")):
            image = (page.parent / link).resolve()
            assert len(alt) > 30 and image.stat().st_size < 150_000, (page, link)
            shown.add(image)
    assert shown == set((DOCS / "images").iterdir())


def test_the_site_has_the_glossary() -> None:
    spec = importlib.util.spec_from_file_location("docs_conf", DOCS / "conf.py")
    assert spec and spec.loader
    conf = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(conf)
    table = (DOCS / "development/glossary.md").read_text("utf-8")
    glossary = conf.glossary_of(table)
    terms = {
        term for row in re.findall(r"^\| ([^|]+?) \|", table, re.M)[1:] for term in row.split(", ")
    }
    assert terms > conf.INTERNAL
    found = set(re.findall(r"^(\w.*)$", glossary, re.M))
    assert found == terms - conf.INTERNAL
    assert {"access rule", "rule", "app", "where"} < found
    assert "<!-- glossary -->" in (DOCS / "reference/glossary.md").read_text("utf-8")
