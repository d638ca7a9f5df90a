"""A look at an XLSX file before a parser meets it: a ZIP archive of XML, and both can be bombs.

Every part is unpacked once, in pieces that are thrown away: what is unpacked later is bounded by
what the archive says of itself, sheets alone are large (they are read line by line), no XML
declares a document type or an entity, and none has more elements than can be held.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from pathlib import Path

from .problems import Unreadable
from .xlsxelements import ROW, TEXT, Elements

# Bytes: of all parts together, of the table of texts, and of any other part but a sheet.
MAX_UNPACKED = 500_000_000
MAX_TEXTS = 50_000_000
MAX_PART = 10_000_000
MAX_PARTS = 5_000
_PIECE = 1 << 18
_OVERLAP = 64
_TYPES = "[Content_Types].xml"
_SHEET, _TEXTS = b".worksheet+xml", b".sharedStrings+xml"
# The library reads other parts whole, whatever kind they are said to be of.
_SHEET_NAME = re.compile(r"xl/worksheets/[^/]+\.xml", re.IGNORECASE)
_TEXTS_NAME = re.compile(r"xl/[^/]*strings[^/]*\.xml", re.IGNORECASE)
_OVERRIDE = re.compile(rb"<(?:[\w.-]+:)?Override\b([^<>]*)>")
_ATTRIBUTE = re.compile(rb"""\b(PartName|ContentType)\s*=\s*["']([^"']*)["']""")
_DECLARATION = re.compile(rb"<!\s*(?:DOCTYPE|ENTITY)", re.IGNORECASE)
_ENCODING = re.compile(rb"""^<\?xml[^>]*?encoding\s*=\s*["']([^"']*)""")
_FORMULA = re.compile(rb"<(?:[\w.-]+:)?f[\s/>]")


def look_through(path: Path) -> bool:
    """Whether there may be formulas. Raises `Unreadable` for what is not to be opened."""
    try:
        with zipfile.ZipFile(path) as archive:
            lines = _check_sizes(archive)
            found = [
                _look_at(archive, part, lines.get(part.filename)) for part in archive.infolist()
            ]
            return any(found)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError):
        raise Unreadable("the file is no XLSX workbook, or it is damaged or encrypted") from None


def _check_sizes(archive: zipfile.ZipFile) -> dict[str, str]:
    """The element of which a part may have many, by the part's name."""
    parts = archive.infolist()
    if len(parts) > MAX_PARTS or sum(part.file_size for part in parts) > MAX_UNPACKED:
        raise Unreadable(
            f"the workbook unpacks to more than {MAX_UNPACKED // 1_000_000} MB or to more than "
            f"{MAX_PARTS} parts; a CSV file may be larger"
        )
    lines = _lines(_kinds(archive))
    for part in parts:
        line = lines.get(part.filename)
        limit = MAX_TEXTS if line == TEXT else MAX_PART
        if part.file_size > limit and line != ROW:
            raise Unreadable(
                f"a part of the workbook unpacks to {part.file_size // 1_000_000} MB, at most "
                f"{limit // 1_000_000} are allowed; a CSV file may be larger"
            )
    return lines


def _lines(kinds: dict[str, bytes]) -> dict[str, str]:
    """Sheets are read row by row, tables of texts text by text."""
    found = {}
    for name, kind in kinds.items():
        if kind.endswith(_SHEET) and _SHEET_NAME.fullmatch(name):
            found[name] = ROW
        elif kind.endswith(_TEXTS) and _TEXTS_NAME.fullmatch(name):
            found[name] = TEXT
    return found


def _kinds(archive: zipfile.ZipFile) -> dict[str, bytes]:
    """What kind each part is of that is said to be of one kind alone."""
    if _TYPES not in archive.namelist() or archive.getinfo(_TYPES).file_size > MAX_PART:
        return {}
    found: dict[str, bytes] = {}
    for text in _OVERRIDE.findall(archive.read(_TYPES)):
        said = dict(_ATTRIBUTE.findall(text))
        name = said.get(b"PartName", b"").decode(errors="replace").lstrip("/")
        found[name] = b"" if name in found else said.get(b"ContentType", b"")
    return found


def _look_at(archive: zipfile.ZipFile, part: zipfile.ZipInfo, line: str | None) -> bool:
    """Whether a part may hold formulas. Raises `Unreadable` for declarations, and for more than
    can be held.
    """
    found, end = False, b""
    elements = Elements(line)
    with archive.open(part) as source:
        while piece := source.read(_PIECE):
            if not end:
                _check_encoding(piece)
            text = end + piece
            if _DECLARATION.search(text):
                raise Unreadable("the workbook declares XML entities or a document type")
            elements.feed(piece)
            found = found or _FORMULA.search(text) is not None
            end = text[-_OVERLAP:]
    return found


def _check_encoding(head: bytes) -> None:
    """In any other encoding than UTF-8 a declaration could hide."""
    declared = _ENCODING.match(head.removeprefix(b"\xef\xbb\xbf"))
    wide = head[:2] in (b"\xff\xfe", b"\xfe\xff") or (b"<" in head[:4] and b"\x00" in head[:4])
    if wide or (declared and declared[1].lower() != b"utf-8"):
        raise Unreadable("the workbook holds XML in another encoding than UTF-8")
