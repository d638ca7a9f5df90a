"""Workbooks: any text goes out and comes back, and parts that nobody reads are no hindrance."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rowkeeper.datasources.transfer.lines import Line
from rowkeeper.datasources.transfer.problems import Unreadable
from rowkeeper.datasources.transfer.xlsx import file
from rowkeeper.datasources.transfer.xlsx.file import XlsxFile, write
from rowkeeper.datasources.transfer.xlsx.parts import Archive
from rowkeeper.datasources.transfer.xlsx.texts import plain, spelled_out
from tests.transfer.test_transfer import changed_part

SHARED_FOLDER = [HealthCheck.function_scoped_fixture]
EXAMPLES = 2_000 if os.environ.get("ROWKEEPER_TEST_LONG") else 60
TEXTS = st.one_of(
    st.text(st.sampled_from("_x0041F5 \r\n\t\x01\uffff\ufffea<&'\"="), min_size=1, max_size=24),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12),
    st.sampled_from(
        [
            "SKU_x0041\rrest",
            "_x0041_",
            "_x005F_x0041_",
            "x005F_",
            "_x005F_",
            "a_x005f_b",
            "_x0041\x01_",
            "_x000D_\r\n",
            " blank ",
            "_",
        ]
    ),
)
SHEET = "xl/worksheets/sheet1.xml"


def cells(path: Path) -> list[list[Any]]:
    found = []
    for line in XlsxFile(path).lines():
        assert isinstance(line, Line), line
        found.append(list(line.cells))
    return found


def book(folder: Path, *rows: list[Any]) -> Path:
    path = folder / "book.xlsx"
    made = openpyxl.Workbook()
    for row in rows:
        made.active.append(row)
    made.save(path)
    return path


# -- texts


@given(text=TEXTS)
@settings(max_examples=10 * EXAMPLES, deadline=None)
def test_what_is_spelled_out_is_read_as_it_was(text: str) -> None:
    assert plain(spelled_out(text)) == text


@given(rows=st.lists(st.lists(TEXTS, min_size=1, max_size=3), min_size=1, max_size=3))
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=SHARED_FOLDER)
def test_texts_of_our_own_workbooks(rows: list[list[str]], tmp_path: Path) -> None:
    """In headers and in cells."""
    rows = [[text.replace("=", "") or "-" for text in row] for row in rows]
    path = tmp_path / "own.xlsx"
    write(path, rows[0], rows[1:])
    assert cells(path) == rows


@given(texts=st.lists(TEXTS, min_size=1, max_size=5))
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=SHARED_FOLDER)
def test_texts_of_the_table_of_texts(texts: list[str], tmp_path: Path) -> None:
    """Spreadsheets write them there, and spell them out in the same way."""
    items = [f"<t xml:space='preserve'>{escape(spelled_out(text))}</t>" for text in texts]
    path = with_texts(tmp_path, *(item.encode() for item in items))
    assert cells(path) == [[text] for text in texts]


def with_texts(folder: Path, *items: bytes) -> Path:
    path = book(folder, *(["x"] for _ in items))
    main = b"http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    table = b'<sst xmlns="%s">%s</sst>' % (main, b"".join(b"<si>%s</si>" % i for i in items))
    changed_part(path, "xl/sharedStrings.xml", lambda _: table)
    kind = b"application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
    named = b'<Override PartName="/xl/sharedStrings.xml" ContentType="%s"/></Types>' % kind
    changed_part(path, "[Content_Types].xml", lambda xml: xml.replace(b"</Types>", named))
    rows = b"".join(b'<row><c t="s"><v>%d</v></c></row>' % at for at in range(len(items)))
    sheet = b'<worksheet xmlns="%s"><sheetData>%s</sheetData></worksheet>' % (main, rows)
    changed_part(path, SHEET, lambda _: sheet)
    return path


def test_texts_of_several_runs(tmp_path: Path) -> None:
    path = with_texts(
        tmp_path,
        b"<t>_x005F_x0041_</t>",
        b"<t>_x0041_</t>",
        b"<t>&#95;x005F_</t>",
        b"<t>x005F_ x005F_</t>",
        b"<r><t>one </t></r><r><rPr><b/></rPr><t>two</t></r><rPh><t>sound</t></rPh>",
        b"<t/>",
        b"<t>last</t>",
    )
    assert cells(path) == [
        ["_x0041_"],
        ["A"],
        ["_"],
        ["x005F_ x005F_"],
        ["one two"],
        [""],
        ["last"],
    ]


def test_inline_texts_and_texts_of_formulas(tmp_path: Path) -> None:
    path = book(tmp_path, ["x"])
    main = b"http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    row = (
        b'<row><c t="inlineStr"><is><t>_x005F_x0041_</t></is></c>'
        b'<c t="str"><f>A1</f><v>_x005F_x0041__x000D_</v></c></row>'
    )
    sheet = b'<worksheet xmlns="%s"><sheetData>%s</sheetData></worksheet>' % (main, row)
    changed_part(path, SHEET, lambda _: sheet)
    assert cells(path) == [["_x0041_", "_x0041_\r"]]


# -- times


def test_fractions_of_seconds_are_kept(tmp_path: Path) -> None:
    path = book(
        tmp_path,
        [
            time(9, 5, 7, 250_000),
            time(9, 5, 0, 5_000),
            time(9, 5),
            datetime(2026, 1, 31, 9, 5, 7, 250_000),
        ],
        [
            timedelta(hours=30, milliseconds=500),
            timedelta(seconds=-1.25),
            timedelta(hours=2),
            timedelta(minutes=1, seconds=59, milliseconds=999),
        ],
    )
    # A negative duration is written as one only where the cell is formatted so.
    assert cells(path) == [
        ["09:05:07.250", "09:05:00.005", "09:05", "2026-01-31T09:05:07.250"],
        ["30:00:00.500", "-00:00:01.250", "02:00:00", "00:01:59.999"],
    ]


# -- parts that are not read


def with_part(path: Path, name: str, content: bytes) -> None:
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)


EVIL = b'<!DOCTYPE svg [<!ENTITY e "eeee">]><svg>&e;</svg>'
RECORDS = b"<pivotCacheRecords>" + b'<r><x v="0"/><n v="1"/></r>' * 200_000
UNREAD: dict[str, Callable[[], tuple[str, bytes]]] = {
    "what Power Query loaded": lambda: (
        "customXml/item1.xml",
        '<?xml version="1.0" encoding="utf-16"?><DataMashup/>'.encode("utf-16"),
    ),
    "a picture with a document type": lambda: ("xl/media/image1.svg", EVIL),
    "a photograph": lambda: ("xl/media/image2.jpeg", os.urandom(1_000) * 11_000),
    "the records of a pivot table": lambda: (
        "xl/pivotCache/pivotCacheRecords1.xml",
        RECORDS + b"</pivotCacheRecords>",
    ),
    "properties": lambda: ("docProps/custom.xml", EVIL),
    "a sheet of a chart": lambda: ("xl/chartsheets/sheet1.xml", EVIL),
}


@pytest.mark.parametrize("part", UNREAD)
def test_a_part_that_is_not_read_is_not_judged(part: str, tmp_path: Path) -> None:
    path = book(tmp_path, ["A"], ["x"])
    with_part(path, *UNREAD[part]())
    assert cells(path) == [["A"], ["x"]]


@pytest.mark.parametrize("name", ["docProps/core.xml", "xl/theme/theme1.xml"])
def test_the_library_does_not_read_what_it_could(name: str, tmp_path: Path) -> None:
    path = book(tmp_path, ["A"], ["x"])
    changed_part(path, name, lambda _: EVIL)
    assert cells(path) == [["A"], ["x"]]


def test_a_sheet_of_a_chart_that_the_workbook_lists_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "book.xlsx"
    made = openpyxl.Workbook()
    made.active.append(["A"])
    made.create_chartsheet("Chart", 0)
    made.save(path)
    changed_part(path, "xl/chartsheets/sheet1.xml", lambda _: EVIL)
    assert cells(path) == [["A"]]


def test_the_archive_gives_out_no_other_part(tmp_path: Path) -> None:
    path = book(tmp_path, ["A"])
    with Archive(path, {SHEET, "xl/never.xml"}) as archive:
        assert archive.namelist() == [SHEET]
        assert archive.read(SHEET)
        for name in ("xl/workbook.xml", "xl/never.xml"):
            with pytest.raises(KeyError):
                archive.read(name)
        with pytest.raises(KeyError):
            archive.open(archive.getinfo("xl/workbook.xml"))


def test_parts_that_are_not_read_count_together(tmp_path: Path) -> None:
    path = book(tmp_path, ["A"])
    with_part(path, "xl/media/bomb.png", b"\0" * 501_000_000)
    with pytest.raises(Unreadable, match="unpacks to more than 500 MB"):
        XlsxFile(path)


READ = [SHEET, "xl/workbook.xml", "xl/_rels/workbook.xml.rels", "xl/styles.xml"]


@pytest.mark.parametrize("name", [*READ, "[Content_Types].xml", "xl/sharedStrings.xml"])
def test_parts_that_are_read_are_judged(name: str, tmp_path: Path) -> None:
    path = with_texts(tmp_path, b"<t>A</t>")
    changed_part(path, name, lambda xml: EVIL + xml)
    with pytest.raises(Unreadable, match="declares XML entities"):
        XlsxFile(path)


# -- blank cells


def test_blank_cells_far_to_the_right_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "book.xlsx"
    made = openpyxl.Workbook()
    made.active.append(["A", "B"])
    made.active.append([1, 2])
    for cell in ("XFD1", "XFD2", "XFD9"):
        made.active[cell].fill = openpyxl.styles.PatternFill("solid", fgColor="FFFF00")
    made.save(path)
    assert cells(path) == [["A", "B"], [1, 2]]
    made.active["XFD2"] = "far"
    made.save(path)
    problem = list(XlsxFile(path).lines())[1]
    assert str(problem) == "line 2: reaches beyond 2000 columns"


def test_only_so_many_lines_have_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "_MAX_WIDE", 3)
    path = tmp_path / "book.xlsx"
    made = openpyxl.Workbook()
    for number in range(1, 9):
        made.active.append([number])
        made.active[f"XFD{number}"].fill = openpyxl.styles.PatternFill("solid")
    made.save(path)
    *read, problem = XlsxFile(path).lines()
    assert [line.cells for line in read if isinstance(line, Line)] == [[1], [2], [3]]
    assert "delete the columns to the right of the table" in str(problem)


# -- what to do


def test_a_strict_workbook_is_named(tmp_path: Path) -> None:
    path = book(tmp_path, ["A"])
    main = b"http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    strict = b"http://purl.oclc.org/ooxml/spreadsheetml/main"
    for part in (SHEET, "xl/workbook.xml"):
        changed_part(path, part, lambda xml: xml.replace(main, strict))
    with pytest.raises(Unreadable, match="saved as “Strict Open XML”"):
        XlsxFile(path)


@pytest.mark.parametrize(
    ("part", "content"),
    [("xl/workbook.xml", b"<torn"), ("xl/_rels/workbook.xml.rels", b""), (SHEET, b"torn")],
)
def test_a_workbook_that_cannot_be_opened_says_what_to_do(
    part: str, content: bytes, tmp_path: Path
) -> None:
    path = book(tmp_path, ["A"])
    changed_part(path, part, lambda _: content)
    with pytest.raises(Unreadable, match="not as “Strict Open XML”, or as “CSV UTF-8”"):
        list(XlsxFile(path).lines())


def test_what_is_no_archive_says_so_too(tmp_path: Path) -> None:
    path = tmp_path / "book.xlsx"
    path.write_bytes(b"PK\x03\x04" + io.BytesIO(b"junk").read())
    with pytest.raises(Unreadable, match="save it as “Excel Workbook"):
        XlsxFile(path)
