"""The parts of a workbook that are read, and an archive that provides no others.

A workbook can have pictures, copies of data that Power Query loaded, and the records of pivot
tables. None of them affects cells, so they are neither opened nor checked.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ..problems import Unreadable
from .elements import ROW, TEXT

# The most bytes of the list of parts, which is read before anything else.
MAX_TYPES = 10_000_000
TYPES = "[Content_Types].xml"
# Where the library expects the formats of cells.
STYLES = "xl/styles.xml"
_SHEET, _TEXTS = b".worksheet+xml", b".sharedStrings+xml"
_BOOKS = (
    b".sheet.main+xml",
    b".template.main+xml",
    b".sheet.macroEnabled.main+xml",
    b".template.macroEnabled.main+xml",
)
# The library reads other parts as a whole, regardless of the type that is stated for them.
_SHEET_NAME = re.compile(r"xl/worksheets/[^/]+\.xml", re.IGNORECASE)
_TEXTS_NAME = re.compile(r"xl/[^/]*strings[^/]*\.xml", re.IGNORECASE)
_OVERRIDE = re.compile(rb"<(?:[\w.-]+:)?Override\b([^<>]*)>")
_ATTRIBUTE = re.compile(rb"""\b(PartName|ContentType)\s*=\s*["']([^"']*)["']""")


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts that are read.

    `lines`: by the part's name, the element that a part can have many of; None for a part that is
    read as a whole.
    """

    lines: dict[str, str | None]
    # The workbook itself, and the table of texts, if there is one.
    book: str
    texts: str | None


def parts_of(archive: zipfile.ZipFile) -> Parts:
    """Return the parts to read in a file that may be a workbook. Raises `Unreadable`."""
    names = set(archive.namelist())
    kinds = _kinds(archive, names)
    books = [name for name, kind in kinds.items() if kind.endswith(_BOOKS) and name in names]
    if len(books) != 1:
        raise Unreadable(NO_WORKBOOK)
    lines: dict[str, str | None] = {TYPES: None, books[0]: None, _relations_of(books[0]): None}
    texts = None
    for name, kind in kinds.items():
        if kind.endswith(_SHEET):
            lines[name] = ROW if _SHEET_NAME.fullmatch(name) else None
        elif kind.endswith(_TEXTS):
            lines[name] = TEXT if _TEXTS_NAME.fullmatch(name) else None
            texts = name
    lines.setdefault(STYLES, None)
    return Parts({name: line for name, line in lines.items() if name in names}, books[0], texts)


NO_WORKBOOK = (
    "the file is not an XLSX workbook, or it is damaged or encrypted: open it in a spreadsheet "
    "program and save it as “Excel Workbook (.xlsx)”, not as “Strict Open XML”, or as “CSV "
    "UTF-8”"
)


def _relations_of(name: str) -> str:
    folder, _, file = name.rpartition("/")
    return f"{folder}/_rels/{file}.rels".lstrip("/")


def _kinds(archive: zipfile.ZipFile, names: Collection[str]) -> dict[str, bytes]:
    """Return the stated type of each part; a part with two stated types has none."""
    if TYPES not in names or archive.getinfo(TYPES).file_size > MAX_TYPES:
        return {}
    found: dict[str, bytes] = {}
    for text in _OVERRIDE.findall(archive.read(TYPES)):
        said = dict(_ATTRIBUTE.findall(text))
        name = said.get(b"PartName", b"").decode(errors="replace").lstrip("/")
        found[name] = b"" if name in found else said.get(b"ContentType", b"")
    return found


class Archive(zipfile.ZipFile):
    """An archive that provides only some of its parts, for readers that look for others."""

    def __init__(self, path: Path, names: Collection[str]) -> None:
        super().__init__(path)
        self._given = frozenset(names)

    def namelist(self) -> list[str]:
        """Return the names of the parts that it provides."""
        return [name for name in super().namelist() if name in self._given]

    def open(self, name: Any, *args: Any, **kwargs: Any) -> IO[bytes]:
        """Open a part. Raises `KeyError` for one that it does not provide."""
        text = name.filename if isinstance(name, zipfile.ZipInfo) else name
        if text not in self._given:
            raise KeyError(f"the part `{text}` cannot be read")
        return super().open(name, *args, **kwargs)
