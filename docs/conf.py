"""The configuration of the documentation site: `make docs` builds it into `build/docs`.

The source folder of the build is the checkout, not `docs/`. The pages link to the README and to
other files at the top, and these links lead to the same files on GitHub and on the site.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[1]
# The words of the contributors' glossary that users do not meet.
INTERNAL = {"guard", "look-up", "plan", "worker"}

project = "Rowkeeper"
project_copyright = "Rowkeeper contributors"
html_title = "Rowkeeper"
language = "en"

extensions = ["myst_parser"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 4

root_doc = "docs/index"
include_patterns = ["docs/**", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"]
exclude_patterns = ["docs/images"]

html_theme = "furo"
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}
pygments_style = "friendly"
pygments_dark_style = "monokai"
# The address of the site itself leads to its first page.
html_additional_pages = {"index": "redirect.html"}
templates_path = ["templates"]


def glossary_of(table: str) -> str:
    """Return the glossary as a MyST directive, from the table of the contributors' glossary."""
    rows = re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|", table, re.M)[1:]
    terms = [
        "\n".join(term.split(", ")) + f"\n  {meaning}\n"
        for term, meaning in rows
        if term not in INTERNAL
    ]
    return "```{glossary}\n" + "\n".join(terms) + "```\n"


def fill_glossary(app: Sphinx, docname: str, content: list[str]) -> None:
    """Put the glossary where its page has the mark for it."""
    if docname == "docs/reference/glossary":
        table = (ROOT / "docs/development/glossary.md").read_text(encoding="utf-8")
        content[0] = content[0].replace("<!-- glossary -->", glossary_of(table))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register what the configuration adds to Sphinx."""
    app.connect("source-read", fill_glossary)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
