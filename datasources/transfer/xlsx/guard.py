"""Checks an XLSX file before a parser reads it: it is a ZIP archive of XML, and both can be bombs.

Every part that is read later (`parts`) is unpacked once, in pieces that are discarded. This ensures
that unpacked sizes are within what the archive states, that only sheets are large (they are read
line by line), that no XML declares a document type or an entity, and that no part has more elements
than fit in memory. For parts that are not read, only the size counts.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from ...values.validation import printable
from ..problems import Unreadable
from .elements import ROW, TEXT, Elements
from .parts import NO_WORKBOOK, Parts, parts_of

# The most bytes of all parts together, of the table of texts, and of any other part but a sheet.
MAX_UNPACKED = 500_000_000
MAX_TEXTS = 50_000_000
MAX_PART = 10_000_000
MAX_PARTS = 5_000
_PIECE = 1 << 18
_OVERLAP = 64
_DECLARATION = re.compile(rb"<!\s*(?:DOCTYPE|ENTITY)", re.IGNORECASE)
_ENCODING = re.compile(rb"""^<\?xml[^>]*?encoding\s*=\s*["']([^"']*)""")
# The XML namespace of workbooks that are saved as “Strict Open XML”.
_STRICT = b"http://purl.oclc.org/ooxml/spreadsheetml/main"
STRICT = (
    "the workbook is saved as “Strict Open XML”, which is not supported: save it as “Excel "
    "Workbook (.xlsx)”, or as “CSV UTF-8”"
)
_FORMULA = re.compile(rb"<(?:[\w.-]+:)?f[\s/>]")


@dataclass(frozen=True, slots=True)
class Looked:
    """The parts to read, and whether they can contain formulas."""

    parts: Parts
    has_formulas: bool


def look_through(path: Path) -> Looked:
    """Check every part that is read. Raises `Unreadable` for a file that must not be opened."""
    try:
        with zipfile.ZipFile(path) as archive:
            _check_size(archive)
            parts = parts_of(archive)
            found = [
                _look_at(archive, part, parts)
                for part in archive.infolist()
                if part.filename in parts.lines
            ]
            return Looked(parts, any(found))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError):
        raise Unreadable(NO_WORKBOOK) from None


def _check_size(archive: zipfile.ZipFile) -> None:
    """Check the size of all parts together, including those that are not read."""
    parts = archive.infolist()
    if len(parts) > MAX_PARTS or sum(part.file_size for part in parts) > MAX_UNPACKED:
        raise Unreadable(
            f"the workbook unpacks to more than {MAX_UNPACKED // 1_000_000} MB or to more than "
            f"{MAX_PARTS} parts; a CSV file can be larger"
        )


def _check_part(part: zipfile.ZipInfo, line: str | None) -> None:
    limit = MAX_TEXTS if line == TEXT else MAX_PART
    if part.file_size > limit and line != ROW:
        raise Unreadable(
            f"a part of the workbook unpacks to {part.file_size // 1_000_000} MB "
            f"(`{printable(part.filename)}`), at most {limit // 1_000_000} are allowed; a CSV "
            "file can be larger"
        )


def _look_at(archive: zipfile.ZipFile, part: zipfile.ZipInfo, parts: Parts) -> bool:
    """Return whether a part may have formulas.

    Raises `Unreadable` for declarations, and for more than fits in memory.
    """
    found, end = False, b""
    line = parts.lines[part.filename]
    _check_part(part, line)
    elements = Elements(line)
    with archive.open(part) as source:
        while piece := source.read(_PIECE):
            if not end:
                _check_encoding(piece)
            text = end + piece
            if _DECLARATION.search(text):
                raise Unreadable("the workbook declares XML entities or a document type")
            if part.filename == parts.book and _STRICT in text:
                raise Unreadable(STRICT)
            elements.feed(piece)
            found = found or _FORMULA.search(text) is not None
            end = text[-_OVERLAP:]
    return found


def _check_encoding(head: bytes) -> None:
    """Refuse any encoding other than UTF-8, in which a declaration could be hidden."""
    declared = _ENCODING.match(head.removeprefix(b"\xef\xbb\xbf"))
    wide = head[:2] in (b"\xff\xfe", b"\xfe\xff") or (b"<" in head[:4] and b"\x00" in head[:4])
    if wide or (declared and declared[1].lower() != b"utf-8"):
        raise Unreadable("the workbook contains XML in an encoding other than UTF-8")
