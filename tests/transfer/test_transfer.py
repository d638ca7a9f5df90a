"""Import and export: what goes out comes in again, and what cannot is said by line."""

from __future__ import annotations

import io
import json
import os
import re
import stat
import time
import zipfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import openpyxl
import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.hashers import check_password
from django.contrib.auth.models import Permission, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from guardian.shortcuts import assign_perm
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rowkeeper.accounts.models import LoginSession
from rowkeeper.datasources import store
from rowkeeper.datasources.catalog import registry, saving
from rowkeeper.datasources.errors import Failure
from rowkeeper.datasources.models import DataSource, Entry
from rowkeeper.datasources.transfer import lines, problems, uploads
from rowkeeper.datasources.transfer.apply import Changed, carry_out
from rowkeeper.datasources.transfer.cells import CSV, MISSING, XLSX, csv_cell, header_cell, name_of
from rowkeeper.datasources.transfer.csv import CsvFile, written
from rowkeeper.datasources.transfer.export import Export
from rowkeeper.datasources.transfer.job import Job
from rowkeeper.datasources.transfer.preview import in_words, preview
from rowkeeper.datasources.transfer.problems import Refused, Unreadable
from rowkeeper.datasources.transfer.table import Reading
from rowkeeper.datasources.transfer.xlsx import elements, guard
from rowkeeper.datasources.transfer.xlsx import file as xlsxfile
from rowkeeper.datasources.values.validation import MAX_INTEGER, MIN_INTEGER, same

pytestmark = pytest.mark.django_db

CASES = json.loads((Path(__file__).parents[1] / "cases" / "imports.json").read_text("utf-8"))
LOGIN = {"login": {"emailColumn": "Email", "passwordColumn": "Password"}}
FORMATS = ("csv", "xlsx")


def make(name: str, rows: Any = (), **fields: Any) -> DataSource:
    source = DataSource(name=name, **{"columns": ["A", "B"], **fields})
    saving.save(source)
    for row in rows:
        store.admin_save(registry.source_of(source), None, row)
    return DataSource.objects.get(pk=source.pk)


def rows(source: DataSource) -> list[dict[str, Any]]:
    found = Entry.objects.filter(data_source=source).order_by("id")
    return list(found.values_list("data", flat=True))


def ids(source: DataSource) -> list[int]:
    return store.ids(registry.source_of(source))


def file_of(folder: Path, content: str | bytes, name: str = "file.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def export(source: DataSource, folder: Path, kind: str, with_ids: bool = False) -> Path:
    path = folder / f"export.{kind}"
    made = Export(registry.source_of(source), with_ids)
    if kind == "xlsx":
        made.as_xlsx(path)
    else:
        path.write_bytes("".join(made.as_csv()).encode())
    return path


# -- cases


@pytest.mark.parametrize("case", CASES, ids=[case["case"] for case in CASES])
def test_cases(case: dict[str, Any], tmp_path: Path) -> None:
    source = make("Cases", case.get("stored", ()), columns=["A"])
    for at, entry_id in enumerate(ids(source)):
        case = json.loads(json.dumps(case).replace(f"{{{at}}}", str(entry_id)))
    content = bytes.fromhex(case["bytes"]) if "bytes" in case else case["file"]
    reading = Reading(
        recognize=case.get("recognize", True), text_columns=frozenset(case.get("text", ()))
    )
    path = file_of(tmp_path, content)
    job = Job(path, case.get("mode", "append"), case.get("key"), reading)
    before = rows(source)
    if "refused" in case:
        for attempt in (carry_out, lambda job, pk: preview(job, registry.source_of(source))):
            with pytest.raises(Unreadable) as refused:
                attempt(job, source.pk)
            assert str(refused.value) == case["refused"]
    elif "problems" in case:
        assert preview(job, registry.source_of(source)).problems == case["problems"]
        with pytest.raises(Refused) as wrong:
            carry_out(job, source.pk)
        assert [str(problem) for problem in wrong.value.problems] == case["problems"]
    if "refused" in case or "problems" in case:
        assert rows(source) == before
        return
    seen = preview(job, registry.source_of(source))
    assert seen.problems == []
    assert rows(source) == before
    done = carry_out(job, source.pk, seen.seen)
    assert in_words(done) == in_words(seen)
    assert same(rows(source), case["rows"])
    assert in_words(done) == case.get("done", in_words(done))
    declared = DataSource.objects.get(pk=source.pk).columns
    assert {key for row in case["rows"] for key in row} <= set(declared) | {"Note", "V"}


def test_cells_say_what_the_page_says() -> None:
    docs = Path(__file__).parents[2] / "docs"
    page = (docs / "reference" / "import-export.md").read_text("utf-8")
    told = re.findall(r"^\| `(.+)` \| `(.+)` \|$", page[page.index("| Cell | Value |") :], re.M)
    assert len(told) > 10
    for cell, value in told:
        assert same(CSV.read(cell), json.loads(value)), cell


# -- round trips


AWKWARD = ["", "'", "''", "true", "null", "TRUE", "1", "-1.0", "1e+21", "#missing", "#N/A"]
AWKWARD += ["#REF!", "[1]", "{}", "[", "_x000D_", "_x005F_x000D_", "=1+1", "'=1", "sep=;"]
AWKWARD += ["1e5", "007", "\r", "\\", "a\\", '"', "\\'\"", "$id"]
TEXTS = st.one_of(
    st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=12),
    st.text(
        st.sampled_from("'=+-@\t\r\n,;\"[]{}0123456789.eE_x nulltrue\ufeff\uffff#"), max_size=10
    ),
    st.sampled_from(AWKWARD),
)
NUMBERS = st.one_of(
    st.integers(MIN_INTEGER, MAX_INTEGER),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda number: number or 0.0),
)
KEYS = TEXTS.filter(lambda text: text and not text.startswith("$"))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=5,
)
ROWS = st.lists(st.dictionaries(KEYS, VALUES, max_size=4), max_size=6)


@given(text=TEXTS, value=VALUES, name=KEYS)
@settings(max_examples=500, deadline=None)
def test_a_cell_says_what_was_written(text: str, value: Any, name: str) -> None:
    for notation in (CSV, XLSX):
        assert notation.read(notation.text(text)) == text
        assert notation.read(notation.text(text), recognize=False) == text
        assert notation.text(text)[:1] not in {*"=+-@\t\r\n"}
    assert same(CSV.read(csv_cell(value)), value)
    assert name_of(header_cell(name)) == name
    assert CSV.read(csv_cell(MISSING)) is MISSING


@given(header=st.lists(TEXTS, min_size=1, max_size=4), body=st.lists(st.lists(TEXTS, max_size=4)))
@settings(max_examples=200, deadline=None)
def test_a_csv_file_is_read_as_it_was_written(
    header: list[str], body: list[list[str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("csv") / "file.csv"
    path.write_bytes("".join(written(header, body)).encode())
    found = [line.cells for line in CsvFile(path).lines() if isinstance(line, lines.Line)]
    assert found == [header, *(line for line in body if line)]


@pytest.mark.parametrize("kind", FORMATS)
@given(stored=ROWS)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_an_export_is_imported_as_the_same_rows(
    kind: str, stored: list[dict[str, Any]], tmp_path: Path
) -> None:
    DataSource.objects.all().delete()
    source = make("From", columns=[])
    with store.writing(registry.source_of(source), [key for row in stored for key in row]):
        store.insert(registry.source_of(source), stored)
    before = rows(source)
    plain = export(source, tmp_path, kind)
    with_ids = export(source, tmp_path, kind, with_ids=True)
    if any(before):
        other = make("To", columns=[])
        plain = export(source, tmp_path, kind)
        assert carry_out(Job(plain), other.pk).new == len(before)
        assert same(rows(other), before)
    with_ids = export(source, tmp_path, kind, with_ids=True)
    for mode in ("update", "replace"):
        found = preview(Job(with_ids, mode), registry.source_of(source))
        assert (found.problems, found.same) == ([], len(before))
        assert found.changes_nothing


@pytest.mark.parametrize("kind", FORMATS)
def test_numbers_keep_their_digits(kind: str, tmp_path: Path) -> None:
    numbers: list[Any] = [
        MAX_INTEGER,
        MIN_INTEGER,
        2**53 + 1,
        10**15 - 1,
        10**16,
        10**16 - 1,
        -(10**17) - 1,
    ]
    numbers += [0.1 + 0.2, 5e-324, 1.7976931348623157e308, 4.3407056498392216e16, 1e21, 1e-7]
    source = make("From", [{"A": number} for number in numbers])
    other = make("To")
    carry_out(Job(export(source, tmp_path, kind)), other.pk)
    found = store.fetch(registry.source_of(other), ids(other)).values()
    assert same([entry.data["A"] for entry in found], numbers)


@pytest.mark.parametrize("kind", FORMATS)
def test_columns_that_are_not_declared_are_exported(kind: str, tmp_path: Path) -> None:
    source = make("From", [{"A": 1, 'a "quoted" one': 2, "back\\slash": 3, "ends\\": 5, "Ü": 4}])
    DataSource.objects.filter(pk=source.pk).update(columns=["B"])
    other = make("To", columns=[])
    carry_out(Job(export(source, tmp_path, kind)), other.pk)
    assert rows(other) == rows(source)


# -- formulas


FORMULAS = ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "=cmd|' /C calc'!A0"]
FORMULAS += ["\uff1d1+1", "\uff0b1", "\uff0d1", "\uff20A", "'=1+1"]


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_begins_like_a_formula(text: str, tmp_path: Path) -> None:
    source = make("Evil", [{text: text, "N": -5, "List": [text]}], columns=[text, "N", "List"])
    lines_read = list(CsvFile(export(source, tmp_path, "csv")).lines())
    header, row = [line.cells for line in lines_read if isinstance(line, lines.Line)]
    # Behind a tab or line end there is one more, as these delimit cells and lines, too.
    cell = f"'{text[0]}'{text[1:]}" if text[0] in "\t\r\n" else f"'{text}"
    assert header == [cell, "N", "List"]
    assert row[:2] == [cell, "-5"]
    assert row[2].startswith("[")
    book = openpyxl.load_workbook(export(source, tmp_path, "xlsx"))
    for cell in next(book.active.iter_rows()):
        assert cell.data_type == "s"
    first, number, *_ = list(book.active.iter_rows())[1]
    assert first.data_type == "s"
    assert first.value.startswith("'")
    assert (number.data_type, number.value) == ("n", -5)


# -- XLSX


def workbook(folder: Path, *lines: list[Any], name: str = "book.xlsx") -> Path:
    book = openpyxl.Workbook()
    for line in lines:
        book.active.append(line)
    path = folder / name
    book.save(path)
    return path


def changed_part(path: Path, part: str, change: Any) -> Path:
    """The workbook with one part of it made another one."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts[part] = change(parts.get(part, b""))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def with_shared_text(path: Path, text: bytes) -> Path:
    """The same, with `x` in the table of texts, where spreadsheets write texts to."""
    namespace = b"http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    table = b'<sst xmlns="%s"><si><t xml:space="preserve">%s</t></si></sst>' % (namespace, text)
    changed_part(path, "xl/sharedStrings.xml", lambda _: table)
    kind = b"application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
    named = b'<Override PartName="/xl/sharedStrings.xml" ContentType="%s"/></Types>' % kind
    changed_part(path, "[Content_Types].xml", lambda xml: xml.replace(b"</Types>", named))
    cell = rb' t="inlineStr"><is><t>x</t></is>'
    return changed_part(
        path,
        "xl/worksheets/sheet1.xml",
        lambda xml: re.sub(cell, b' t="s"><v>0</v>', xml),
    )


def test_texts_that_spreadsheets_spell_out(tmp_path: Path) -> None:
    path = with_shared_text(workbook(tmp_path, ["A"], ["x"]), b" one_x000D_\ntwo &lt;_x0041_ ")
    source = make("Shared", columns=[])
    carry_out(Job(path), source.pk)
    assert rows(source) == [{"A": " one\r\ntwo <A "}]
    for wrong, said in ((b"_x0000_", "NUL"), (b"_xD800_", "lone surrogate")):
        path = with_shared_text(workbook(tmp_path, ["A"], ["x"]), wrong)
        (problem,) = preview(Job(path), registry.source_of(source)).problems
        assert said in problem


def test_a_spreadsheet_keeps_its_types(tmp_path: Path) -> None:
    from datetime import date, datetime, time, timedelta

    path = workbook(
        tmp_path,
        ["Text", "Number", "Whole", "Bool", "Day", "Moment", "Clock", "Span", 2026],
        ["42", 1.5, 7, True, date(2026, 1, 31), datetime(2026, 1, 31, 9, 5), time(9, 5), None, "x"],
        ["true", -1, 0, False, None, datetime(2026, 1, 31), time(9, 5, 7), timedelta(hours=30)],
    )
    source = make("Types", columns=[])
    carry_out(Job(path), source.pk)
    assert rows(source) == [
        {
            "Text": "42",
            "Number": 1.5,
            "Whole": 7,
            "Bool": True,
            "Day": "2026-01-31",
            "Moment": "2026-01-31T09:05:00",
            "Clock": "09:05",
            "2026": "x",
        },
        {
            "Text": "true",
            "Number": -1,
            "Whole": 0,
            "Bool": False,
            "Moment": "2026-01-31T00:00:00",
            "Clock": "09:05:07",
            "Span": "30:00:00",
        },
    ]


def test_what_a_sheet_cannot_say_is_reported_by_line(tmp_path: Path) -> None:
    path = workbook(tmp_path, ["A", "B"], [1, "=A2+1"], [], ["#DIV/0!", 2], [1, 2, 3])
    found = preview(Job(path), registry.source_of(make("Sheet")))
    assert found.problems == [
        "line 2, `B`: a formula without a result: open the file in a spreadsheet program and "
        "save it",
        "line 4, `A`: the cell shows the error `#DIV/0!`",
        "line 5: has 3 cells, but the header has 2",
    ]


def test_results_of_formulas_are_read(tmp_path: Path) -> None:
    path = workbook(tmp_path, ["A", "B", "C"], [1, "=A2+1", '=""'])

    def with_results(xml: bytes) -> bytes:
        xml = xml.replace(b"<f>A2+1</f><v />", b"<f>A2+1</f><v>2</v>")
        xml = xml.replace(b"<f>A2+1</f><v></v>", b"<f>A2+1</f><v>2</v>")
        return re.sub(rb'<c r="C2"', b'<c r="C2" t="str"', xml)

    changed_part(path, "xl/worksheets/sheet1.xml", with_results)
    source = make("Results", columns=[])
    carry_out(Job(path), source.pk)
    assert rows(source) == [{"A": 1, "B": 2}]


def test_other_sheets_are_named(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["A"])
    book.create_sheet("Second").append(["B"])
    book.save(tmp_path / "book.xlsx")
    found = preview(Job(tmp_path / "book.xlsx"), registry.source_of(make("Two")))
    assert found.notes == ["Only the sheet “Sheet” is imported; 1 other sheet is ignored."]


def refused(path: Path, source: DataSource) -> str:
    with pytest.raises(Unreadable) as caught:
        preview(Job(path), registry.source_of(source))
    return str(caught.value)


@pytest.mark.parametrize(
    "declaration",
    [
        b'<!DOCTYPE x [<!ENTITY e "eeee">]>',
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd">',
        b"<!doctype x>",
        b"<! ENTITY x>",
    ],
)
def test_xml_that_declares_entities_is_not_parsed(declaration: bytes, tmp_path: Path) -> None:
    source = make("Xml")
    for part in ("xl/worksheets/sheet1.xml", "xl/workbook.xml", "xl/styles.xml"):
        path = workbook(tmp_path, ["A"], ["x"])
        changed_part(path, part, lambda xml: b"<?xml version='1.0'?>" + declaration + xml)
        assert "declares XML entities" in refused(path, source)


def test_a_declaration_cannot_hide_in_another_encoding(tmp_path: Path) -> None:
    source = make("Xml")
    evil = '<!DOCTYPE x [<!ENTITY e "e">]><x/>'
    for content in (
        evil.encode("utf-16"),
        evil.encode("utf-16-be"),
        b'<?xml version="1.0" encoding="utf-7"?>' + evil.encode("utf-7"),
        b'<?xml version="1.0" encoding="cp037"?>' + evil.encode("cp037"),
    ):
        path = workbook(tmp_path, ["A"], ["x"])
        changed_part(path, "xl/styles.xml", lambda _, content=content: content)
        assert "an encoding other than UTF-8" in refused(path, source)


def test_a_declaration_across_two_pieces_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "_PIECE", 5)
    path = workbook(tmp_path, ["A"], ["x"])
    changed_part(path, "xl/styles.xml", lambda xml: b"<!DOCTYPE x>" + xml)
    assert "declares XML entities" in refused(path, make("Xml"))


def test_bombs_are_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make("Bomb")
    path = workbook(tmp_path, ["A"], ["x"])
    changed_part(path, "xl/styles.xml", lambda _: b"\0" * 40_000_000)
    assert path.stat().st_size < 100_000
    assert "a part of the workbook unpacks to 40 MB" in refused(path, source)
    monkeypatch.setattr(guard, "MAX_UNPACKED", 30_000_000)
    assert "unpacks to more than 30 MB" in refused(path, source)
    monkeypatch.setattr(guard, "MAX_PARTS", 3)
    path = workbook(tmp_path, ["A"], ["x"])
    assert "more than 3 parts" in refused(path, source)


SHEET = "xl/worksheets/sheet1.xml"
MANY = elements.MAX_OUTSIDE + 1
EMPTY_CELLS = b"<row>" + b"<c/>" * MANY + b"</row>"
BEHIND = b"</sheetData>" + b"<a/>" * MANY + b"<sheetData>"
FOREIGN = b'</sheetData><x xmlns="urn:x">' + b"<row/>" * MANY + b"</x><sheetData>"
ROWS_IN_A_ROW = b"<row>" + b"<row/>" * MANY + b"</row>"
LONG_TEXT = b'<row><c t="str"><v>' + b"a" * 21_000_000 + b"</v></c></row>"
LONG_ATTRIBUTE = b'<row><c x="' + b"a" * 21_000_000 + b'"/></row>'
BETWEEN = b"".join(b"<row/>" + b" " * 3_000_000 for _ in range(7))


@pytest.mark.parametrize(
    "inside",
    [
        pytest.param(value, id=name)
        for name, value in {
            "cells": EMPTY_CELLS,
            "elements beside rows": BEHIND,
            "rows of another kind": FOREIGN,
            "rows in a row": ROWS_IN_A_ROW,
            "a long text": LONG_TEXT,
            "a long attribute": LONG_ATTRIBUTE,
            "blanks between rows": BETWEEN,
        }.items()
    ],
)
def test_a_sheet_of_more_than_can_be_held_is_not_parsed(inside: bytes, tmp_path: Path) -> None:
    path = workbook(tmp_path, ["A"], ["x"])
    changed_part(path, SHEET, lambda xml: xml.replace(b"<sheetData>", b"<sheetData>" + inside))
    assert path.stat().st_size < 100_000
    assert "needs too much memory" in refused(path, make("Held"))


HOSTILE_CELLS = [
    "[" * 101 + '"' + '\\"' * 400_000 + "]",
    "[" * 101 + '"' + '\\"' * 400_000 + "\\]",
    "[" * 101 + '"\\' * 400_000 + "]",
    "{" * 101 + '""' * 400_000 + "}",
    "[" * 400_000 + "]",
    "'" * 800_000,
    "[" * 101 + "]" * 101 + '"' * 799_001 + "]",
]


@pytest.mark.parametrize("text", HOSTILE_CELLS, ids=range(len(HOSTILE_CELLS)))
def test_no_stored_text_holds_up_an_export(text: str, tmp_path: Path) -> None:
    source = make("Stored", [{"A": text}])
    began = time.monotonic()
    path = export(source, tmp_path, "csv")
    other = make("Read")
    carry_out(Job(path), other.pk)
    assert time.monotonic() - began < 5
    assert rows(other) == [{"A": text}]


def test_no_workbook_holds_up_who_looks_at_it(tmp_path: Path) -> None:
    source = make("Slow")
    path = workbook(tmp_path, ["A"], [datetime(2026, 1, 31)])
    changed_part(
        path,
        "xl/styles.xml",
        lambda xml: re.sub(rb'formatCode="[^"]*"', b'formatCode="%s"' % (b"[" * 300_000), xml),
    )
    began = time.monotonic()
    assert "a number format of more than 255 characters" in refused(path, source)
    path = workbook(tmp_path, ["A"], ["x"])
    many = b"<Override " * 400_000 + b"</Types>"
    changed_part(path, "[Content_Types].xml", lambda xml: xml.replace(b"</Types>", many))
    refused(path, source)
    assert time.monotonic() - began < 5


def test_what_is_read_whole_is_no_sheet_whatever_is_said_of_it(tmp_path: Path) -> None:
    sheet = b"application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"
    texts = sheet.replace(b"worksheet", b"sharedStrings")
    source = make("Said")
    for part in ("xl/styles.xml", "xl/worksheets/_rels/sheet1.xml.rels"):
        for kind in (sheet, texts):
            path = workbook(tmp_path, ["A"], ["x"])
            said = b'<Override PartName="/%s" ContentType="%s"/></Types>' % (part.encode(), kind)
            changed_part(
                path,
                "[Content_Types].xml",
                lambda xml, said=said: re.sub(
                    rb'<Override PartName="/xl/styles.xml"[^>]*>', b"", xml
                ).replace(b"</Types>", said),
            )
            changed_part(path, part, lambda xml: b"<a>" + b" " * 11_000_000 + b"</a>")
            assert "a part of the workbook unpacks to 11 MB" in refused(path, source)
            changed_part(path, part, lambda xml: b"<a>" + b"<row/>" * MANY + b"</a>")
            assert "needs too much memory" in refused(path, source)


def test_a_sheet_that_says_it_is_huge_is_not_believed(tmp_path: Path) -> None:
    path = workbook(tmp_path, ["A"], ["x"])
    part = "xl/worksheets/sheet1.xml"
    changed_part(path, part, lambda xml: re.sub(rb'ref="[A-Z0-9:]+"', b'ref="A1:XFD1048576"', xml))
    source = make("Huge")
    assert preview(Job(path), registry.source_of(source)).new == 1
    changed_part(path, part, lambda xml: xml.replace(b'r="A2"', b'r="XFD2"'))
    assert preview(Job(path), registry.source_of(source)).problems == [
        "line 2: reaches beyond 2000 columns"
    ]
    changed_part(path, part, lambda xml: xml.replace(b'<row r="2"', b'<row r="999999999999"'))
    assert preview(Job(path), registry.source_of(source)).problems == [
        "line 1048577: a sheet can have at most 1048576 lines"
    ]


@pytest.mark.parametrize(
    "content",
    [
        b"PK\x03\x04",
        b"PK\x03\x04" + b"\0" * 500,
        pytest.param("other", id="another archive"),
        pytest.param("torn", id="torn"),
    ],
)
def test_what_is_no_workbook(content: bytes | str, tmp_path: Path) -> None:
    path = workbook(tmp_path, ["A"], ["x"])
    if content == "other":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("../../etc/passwd", "x")
    elif content == "torn":
        path.write_bytes(path.read_bytes()[:-300])
    else:
        assert isinstance(content, bytes)
        path.write_bytes(content)
    assert refused(path, make("None")).startswith("the file is not an XLSX workbook")


def test_a_sheet_that_is_damaged_halfway(tmp_path: Path) -> None:
    path = workbook(tmp_path, ["A"], ["x"], ["y"])
    changed_part(path, "xl/worksheets/sheet1.xml", lambda xml: xml.replace(b"y</t>", b"y"))
    found = preview(Job(path), registry.source_of(make("Damaged")))
    assert found.problems
    assert "damaged" in found.problems[0]


def test_a_text_that_no_sheet_holds_is_not_cut(tmp_path: Path) -> None:
    source = make("Long", [{"A": "x" * 40_000}])
    with pytest.raises(Unreadable, match=r"line 2, `A`: the text has 40000 characters"):
        export(source, tmp_path, "xlsx")
    other = make("Other")
    carry_out(Job(export(source, tmp_path, "csv")), other.pk)
    assert rows(other) == rows(source)


def test_without_openpyxl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = workbook(tmp_path, ["A"], ["x"])
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    source = make("Without")
    message = "XLSX needs the package openpyxl, which is not installed"
    assert message in refused(path, source)
    with pytest.raises(Unreadable, match=message):
        export(source, tmp_path, "xlsx")
    assert not xlsxfile.is_installed()


# -- limits


def test_a_huge_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = registry.source_of(make("Huge"))
    path = file_of(tmp_path, f"A,B\n1,2\n{'x' * (lines.MAX_CELL + 5)},1\n")
    (problem,) = preview(Job(path), source).problems
    assert problem.startswith("line 3: a cell has over 1000000 characters")
    path = workbook(tmp_path, ["A"], ["x"])
    with_shared_text(path, b"x" * (lines.MAX_CELL + 5))
    (problem,) = preview(Job(path), source).problems
    assert problem == "line 2, `A`: has 1000005 characters; at most 1000000 are allowed"


def test_limits_of_rows_columns_and_bytes(tmp_path: Path, settings: Any) -> None:
    settings.ROWKEEPER = {"MAX_IMPORT_ROWS": 2, "MAX_IMPORT_FILE": 30_000}
    model = make("Limits")
    source = registry.source_of(model)
    path = file_of(tmp_path, "A\n1\n2\n3\n4\n")
    assert preview(Job(path), source).problems == ["line 4: a file can have at most 2 rows"]
    path = file_of(tmp_path, ",".join(map(str, range(1001))) + "\n1\n")
    (problem,) = preview(Job(path), source).problems
    assert problem == "line 1: names 1001 columns; at most 1000 are allowed"
    path = file_of(tmp_path, "A\n" + "x" * 30_000)
    assert "at most 30000 are allowed" in refused(path, model)


def test_problems_are_not_counted_for_ever(tmp_path: Path) -> None:
    path = file_of(tmp_path, "A\n" + "1,2\n" * 10_000)
    found = preview(Job(path), registry.source_of(make("Many")))
    assert len(found.problems) == problems.MAX_PROBLEMS
    assert found.stopped


# -- many


@pytest.mark.parametrize("mode", ["append", "update", "replace"])
def test_many_rows_take_few_queries(mode: str, tmp_path: Path) -> None:
    stored = [{"K": n, "V": f"value {n}"} for n in range(5_000)]
    source = make("Many", columns=["K", "V"])
    store.insert(registry.source_of(source), stored)
    texts = "".join(f"{n},changed {n}\n" for n in range(2_500, 7_500))
    job = Job(file_of(tmp_path, f"K,V\n{texts}"), mode, None if mode == "append" else "K")
    with CaptureQueriesContext(connection) as captured:
        found = preview(job, registry.source_of(source))
        done = carry_out(job, source.pk, found.seen)
    assert len(captured) < 120, [query["sql"][:100] for query in captured]
    expected = {
        "append": "5000 added",
        "update": "2500 added, 2500 changed",
        "replace": "2500 added, 2500 changed, 2500 deleted",
    }
    assert in_words(done) == in_words(found) == expected[mode]
    assert Entry.objects.count() == {"append": 10_000, "update": 7_500, "replace": 5_000}[mode]


def test_a_problem_in_the_last_line_undoes_everything(tmp_path: Path) -> None:
    source = make("All", [{"A": "old"}])
    path = file_of(tmp_path, "A,B,New\n" + "1,2,3\n" * 5_000 + "1,2,3,4\n")
    with pytest.raises(Refused, match="line 5002: has 4 cells, but the header has 3"):
        carry_out(Job(path, "replace"), source.pk)
    assert rows(source) == [{"A": "old"}]
    assert DataSource.objects.get().columns == ["A", "B"]


# -- what was seen is what is done


@pytest.mark.parametrize("what", ["changed", "added", "deleted", "columns"])
def test_what_changed_since_the_preview_is_not_overwritten(what: str, tmp_path: Path) -> None:
    source = make("Seen", [{"A": 1}, {"A": 2}])
    job = Job(file_of(tmp_path, "A,B\n1,x\n"), "replace", "A")
    seen = preview(job, registry.source_of(source)).seen
    now = registry.source_of(source)
    first, second = ids(source)
    if what == "changed":
        store.admin_save(now, first, {"A": 1, "B": "new"})
    elif what == "added":
        store.admin_save(now, None, {"A": 3})
    elif what == "deleted":
        store.delete(now, [second])
    else:
        store.admin_save(now, first, {"A": 1})
        seen = preview(job, now).seen
        DataSource.objects.update(columns=["A", "B", "C"])
    before = rows(source)
    with pytest.raises(Changed):
        carry_out(job, source.pk, seen)
    assert rows(source) == before
    seen = preview(job, registry.source_of(source)).seen
    carry_out(job, source.pk, seen)
    assert rows(source) == [{"A": 1, "B": "x"}]


def test_another_file_or_another_way_is_not_what_was_seen(tmp_path: Path) -> None:
    source = make("Seen", [{"A": 1}])
    path = file_of(tmp_path, "A\n1\n")
    seen = preview(Job(path, "replace", "A"), registry.source_of(source)).seen
    other = file_of(tmp_path, "A\n2\n", "other.csv")
    for job in (Job(other, "replace", "A"), Job(path, "replace"), Job(path)):
        with pytest.raises(Changed):
            carry_out(job, source.pk, seen)


def test_rows_may_come_while_rows_are_added(tmp_path: Path) -> None:
    source = make("Seen")
    job = Job(file_of(tmp_path, "A\n1\n"))
    seen = preview(job, registry.source_of(source)).seen
    store.admin_save(registry.source_of(source), None, {"A": 0})
    carry_out(job, source.pk, seen)
    assert rows(source) == [{"A": 0}, {"A": 1}]


def test_text_that_would_become_a_number_is_pointed_out(tmp_path: Path) -> None:
    source = make("Zip", [{"A": "01234"}, {"A": "12345"}])
    path = file_of(tmp_path, "A\n12345\n01234\n")
    (note,) = preview(Job(path), registry.source_of(source)).notes
    assert note.startswith("`A` has only had text so far; in 1 row of this file, it is not.")
    text = Reading(text_columns=frozenset(["A"]))
    assert preview(Job(path, reading=text), registry.source_of(source)).notes == []


# -- data sources that people sign in against


@pytest.fixture
def users(db: None) -> DataSource:
    people = [
        {"Email": "ann@x.com", "Name": "Ann", "Password": "open sesame"},
        {"Email": "bob@x.com", "Name": "Bob", "Password": "hunter2"},
    ]
    return make("Users", people, columns=["Email", "Name"], definition=LOGIN)


@pytest.mark.parametrize("kind", FORMATS)
def test_passwords_are_not_exported(kind: str, users: DataSource, tmp_path: Path) -> None:
    path = export(users, tmp_path, kind, with_ids=True)
    if kind == "csv":
        text = path.read_text("utf-8")
    else:
        cells = openpyxl.load_workbook(path).active.iter_rows(values_only=True)
        text = repr(list(cells))
    assert "ann@x.com" in text
    assert "Password" not in text
    assert "md5" not in text


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("mode", ["update", "replace"])
def test_passwords_that_a_file_leaves_out_stay(
    kind: str, mode: str, users: DataSource, tmp_path: Path
) -> None:
    session = LoginSession.objects.count()
    path = export(users, tmp_path, kind, with_ids=True)
    DataSource.objects.filter(pk=users.pk).update(columns=["Email", "Name", "Password", "X"])
    found = preview(Job(path, mode), registry.source_of(users))
    assert found.changes_nothing
    file = file_of(tmp_path, "Email,Name\nann@x.com,Anna\nbob@x.com,Bob\n")
    done = carry_out(Job(file, mode, "Email"), users.pk)
    assert in_words(done) == "1 changed, 1 unchanged"
    assert [row["Name"] for row in rows(users)] == ["Anna", "Bob"]
    assert check_password("open sesame", rows(users)[0]["Password"])
    assert LoginSession.objects.count() == session


def test_passwords_are_hashed_and_never_shown(users: DataSource, tmp_path: Path) -> None:
    file = file_of(
        tmp_path,
        "Email,Name,Password\nann@x.com,Ann,12345678\nbob@x.com,Bob,\ncyd@x.com,Cyd,'=secret\n",
    )
    job = Job(file, "update", "Email")
    found = preview(job, registry.source_of(users))
    said = json.dumps(found.as_json())
    assert "12345678" not in said
    assert "secret" not in said
    assert "md5" not in said
    assert in_words(found) == "1 added, 1 changed, 1 unchanged"
    carry_out(job, users.pk, found.seen)
    ann, bob, cyd = [row["Password"] for row in rows(users)]
    assert check_password("12345678", ann)
    assert check_password("hunter2", bob)
    assert check_password("'=secret", cyd)


def test_a_secret_column_is_no_key(users: DataSource, tmp_path: Path) -> None:
    file = file_of(tmp_path, "Email,Password\nann@x.com,x\n")
    with pytest.raises(Unreadable, match="`Password` is secret and cannot be the key"):
        preview(Job(file, "update", "Password"), registry.source_of(users))


def test_an_address_stands_in_one_row(users: DataSource, tmp_path: Path) -> None:
    source = registry.source_of(users)
    file = file_of(tmp_path, "Email,Name\n ANN@x.com,1\ncyd@x.com,2\nCyd@x.com,3\n")
    with pytest.raises(Refused) as caught:
        carry_out(Job(file), users.pk)
    assert [str(problem) for problem in caught.value.problems] == [
        "line 2, `Email`: another entry also has this email address",
        "line 4, `Email`: line 3 also has this email address",
    ]
    first, second = ids(users)
    swapped = file_of(tmp_path, f"$id,Email\n{first},bob@x.com\n{second},ann@x.com\n,new@x.com\n")
    assert preview(Job(swapped, "update"), source).problems == []
    carry_out(Job(swapped, "update"), users.pk)
    assert [row["Email"] for row in rows(users)] == ["bob@x.com", "ann@x.com", "new@x.com"]
    taken = file_of(tmp_path, f"$id,Email\n{first},x@x.com\n,bob@x.com\n")
    carry_out(Job(taken, "replace"), users.pk)
    assert [row["Email"] for row in rows(users)] == ["x@x.com", "bob@x.com"]


def test_not_everybody_gets_a_password_at_once(users: DataSource, tmp_path: Path) -> None:
    many = "".join(f"u{n}@x.com,pw\n" for n in range(501))
    found = preview(Job(file_of(tmp_path, f"Email,Password\n{many}")), registry.source_of(users))
    assert found.problems == ["line 502, `Password`: only 500 passwords can be set in one import"]


# -- the admin


def url(page: str, *args: Any) -> str:
    return reverse(f"admin:rowkeeper_datasources_datasource_{page}", args=args)


def signed_in(name: str, source: DataSource | None = None, *rights: str) -> Client:
    user = User.objects.create_user(name, password="pw", is_staff=True)
    for right in rights:
        if source is None:
            user.user_permissions.add(Permission.objects.get(codename=f"{right}_datasource"))
        else:
            assign_perm(f"rowkeeper_datasources.{right}_datasource", user, source)
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def boss(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("boss", "boss@example.com", "pw"))
    return client


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, settings: Any) -> Iterator[Path]:
    settings.ROWKEEPER = {"IMPORT_DIR": str(tmp_path / "uploads")}
    yield tmp_path / "uploads"


def upload(client: Client, source: DataSource, content: str | bytes, **fields: Any) -> Any:
    raw = content if isinstance(content, bytes) else content.encode()
    name = fields.pop("name", "people.csv")
    sent = {"file": SimpleUploadedFile(name, raw), "mode": "append", "recognize": "on", **fields}
    return client.post(url("import", source.pk), sent)


def token_of(response: Any) -> str:
    assert response.status_code == 302, response.content.decode()
    return str(re.search(r"upload=([0-9a-f]+)", response["Location"])[1])  # type: ignore[index]


def confirm(client: Client, source: DataSource, address: str) -> Any:
    html = client.get(address).content.decode()
    hidden = dict(re.findall(r'<input type="hidden" name="(upload|seen)" value="(\w+)">', html))
    return client.post(url("import_preview", source.pk), hidden)


def text_of(response: Any) -> str:
    from html import unescape

    return unescape(re.sub(r"<[^>]+>", " ", response.content.decode()))


def test_a_file_is_uploaded_looked_at_and_imported(boss: Client, own_folder: Path) -> None:
    source = make("People", [{"A": 1, "B": "x"}, {"A": 2, "B": "y"}])
    assert url("import", source.pk) in boss.get(url("entries", source.pk)).content.decode()
    assert "File:" in text_of(boss.get(url("import", source.pk)))
    answer = upload(boss, source, "A,B,C\n1,z,\n3,w,5\n", mode="replace", key="A")
    page = boss.get(answer["Location"])
    said = " ".join(text_of(page).split())
    assert "New 1 Changed 1 Deleted 1 Unchanged 0" in said
    assert "New columns: C" in said
    assert rows(source) == [{"A": 1, "B": "x"}, {"A": 2, "B": "y"}]
    done = confirm(boss, source, answer["Location"])
    assert done["Location"] == url("entries", source.pk)
    assert "Imported people.csv: 1 added, 1 changed, 1 deleted." in text_of(
        boss.get(done["Location"])
    )
    assert rows(source) == [{"A": 1, "B": "z"}, {"A": 3, "B": "w", "C": 5}]
    logged = LogEntry.objects.get()
    assert logged.change_message == "Imported people.csv: 1 added, 1 changed, 1 deleted."
    assert list(own_folder.iterdir()) == []


def test_it_is_imported_once(boss: Client) -> None:
    source = make("People")
    answer = upload(boss, source, "A\n1\n")
    html = boss.get(answer["Location"]).content.decode()
    hidden = dict(re.findall(r'<input type="hidden" name="(upload|seen)" value="(\w+)">', html))
    boss.post(url("import_preview", source.pk), hidden)
    again = boss.post(url("import_preview", source.pk), hidden)
    assert again["Location"] == url("import", source.pk)
    assert "upload the file again" in text_of(boss.get(again["Location"]))
    assert rows(source) == [{"A": 1}]


def test_two_confirmations_at_once(boss: Client, own_folder: Path) -> None:
    source = make("People")
    token = token_of(upload(boss, source, "A\n1\n"))
    user = User.objects.get(username="boss")
    first, second = [uploads.find(token, user.pk, source.pk) for _ in range(2)]
    first.claim()
    with pytest.raises(uploads.Gone):
        second.claim()
    first.release()
    second.claim()


def test_a_script_is_told_where_to_go(boss: Client) -> None:
    source = make("People")
    headers = {"Accept": "application/json"}
    sent = {"file": SimpleUploadedFile("p.csv", b"A\n1\n"), "mode": "append", "recognize": "on"}
    went = boss.post(url("import", source.pk), sent, headers=headers).json()["next"]
    assert boss.get(went, headers=headers).json() == {"next": went}
    token = went.partition("upload=")[2]
    progress = f"{url('import_progress', source.pk)}?upload={token}"
    assert boss.get(progress).status_code == 200
    hidden = {
        "upload": token,
        "seen": re.search(r'name="seen" value="(\w+)"', boss.get(went).content.decode())[1],  # type: ignore[index]
    }
    done = boss.post(went, hidden, headers=headers).json()
    assert done == {"next": url("entries", source.pk)}
    wrong = boss.post(url("import", source.pk), {"mode": "x"}, headers=headers)
    assert wrong.status_code == 400
    assert any("File: This field is required." in text for text in wrong.json()["errors"])


def test_progress_is_noted(own_folder: Path, boss: Client) -> None:
    source = make("People")
    token = token_of(upload(boss, source, "A\n" + "1\n" * 2_000))
    boss.get(f"{url('import_preview', source.pk)}?upload={token}")
    noted = boss.get(f"{url('import_progress', source.pk)}?upload={token}").json()
    assert noted["step"] == "reading"
    assert 0 < noted["fraction"] <= 1
    assert noted["rows"] > 0


def test_problems_are_shown_and_nothing_can_be_confirmed(boss: Client) -> None:
    source = make("People")
    answer = upload(boss, source, "A,B\n1,2,3\n4,5,<script>\n")
    html = boss.get(answer["Location"]).content.decode()
    assert "line 2: has 3 cells, but the header has 2" in html
    assert 'name="seen"' not in html
    token = token_of(answer)
    seen = preview(
        uploads.find(token, User.objects.get().pk, source.pk).job, registry.source_of(source)
    ).seen
    done = boss.post(url("import_preview", source.pk), {"upload": token, "seen": seen})
    assert "import/preview" in done["Location"]
    assert rows(source) == []


def test_what_changed_meanwhile_is_previewed_again(boss: Client) -> None:
    source = make("People", [{"A": 1}])
    answer = upload(boss, source, "A,B\n1,x\n", mode="update", key="A")
    html = boss.get(answer["Location"]).content.decode()
    hidden = dict(re.findall(r'<input type="hidden" name="(upload|seen)" value="(\w+)">', html))
    store.admin_save(registry.source_of(source), ids(source)[0], {"A": 1, "B": "theirs"})
    done = boss.post(url("import_preview", source.pk), hidden)
    page = boss.get(done["Location"])
    assert "changed after the preview, so nothing was imported" in text_of(page)
    assert "theirs" in text_of(page)
    assert rows(source) == [{"A": 1, "B": "theirs"}]
    confirm(boss, source, done["Location"])
    assert rows(source) == [{"A": 1, "B": "x"}]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "The submitted file is empty."),
        (b"\xff\xfeA\0", "the file is UTF-16 text"),
        (b"PK\x03\x04junk", "the file is not an XLSX workbook"),
    ],
)
def test_what_is_no_table_is_not_kept(
    boss: Client, own_folder: Path, content: bytes, said: str
) -> None:
    answer = upload(boss, make("People"), content)
    assert said in text_of(answer)
    assert not own_folder.exists() or list(own_folder.iterdir()) == []


def test_uploads_are_private(boss: Client, settings: Any, tmp_path: Path) -> None:
    settings.ROWKEEPER = {}
    settings.FILE_UPLOAD_TEMP_DIR = None
    import tempfile

    tempfile.tempdir = str(tmp_path)
    try:
        token_of(upload(boss, make("People"), "A\nsecret\n"))
        (folder,) = [path for path in tmp_path.iterdir() if path.name.startswith("rowkeeper-")]
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
        folder.chmod(0o755)
        answer = upload(boss, DataSource.objects.get(), "A\nsecret\n")
        assert "is accessible to other users of this machine" in text_of(answer)
        folder.rename(tmp_path / "elsewhere")
        folder.symlink_to(tmp_path / "elsewhere")
        assert "is accessible to other users of this machine" in text_of(
            upload(boss, DataSource.objects.get(), "A\nsecret\n")
        )
    finally:
        tempfile.tempdir = None


@pytest.mark.parametrize(
    "name", ["../../../etc/cron.d/evil", "/etc/passwd", "..\\..\\x", "\x00x.csv", "a" * 300]
)
def test_a_file_name_leads_nowhere(boss: Client, own_folder: Path, name: str) -> None:
    answer = upload(boss, make("People"), "A\n1\n", name=name)
    if answer.status_code == 302:
        assert all(re.fullmatch(r"[0-9a-f]{64}\.\w+", path.name) for path in own_folder.iterdir())


@pytest.mark.parametrize("token", ["", "..", "../x", "0" * 64, "0" * 63 + "/", "\x00", "%00"])
def test_a_token_that_is_none(boss: Client, own_folder: Path, token: str) -> None:
    source = make("People")
    for answer in (
        boss.get(f"{url('import_preview', source.pk)}?upload={quote(token)}"),
        boss.post(url("import_preview", source.pk), {"upload": token, "seen": ""}),
    ):
        assert answer["Location"] == url("import", source.pk)
    progress = boss.get(f"{url('import_progress', source.pk)}?upload={quote(token)}")
    assert progress.json() == {}


def test_an_upload_is_for_its_user_and_its_data_source_alone(boss: Client) -> None:
    source, other = make("People"), make("Other")
    token = token_of(upload(boss, source, "A\nsecret\n"))
    ann = signed_in("ann", None, "change")
    for client, target in ((ann, source), (boss, other)):
        for answer in (
            client.get(f"{url('import_preview', target.pk)}?upload={token}"),
            client.post(url("import_preview", target.pk), {"upload": token, "seen": ""}),
        ):
            assert answer["Location"] == url("import", target.pk)
        progress = client.get(f"{url('import_progress', target.pk)}?upload={token}")
        assert progress.json() == {}
    assert boss.get(f"{url('import_preview', source.pk)}?upload={token}").status_code == 200
    assert rows(source) == rows(other) == []


def test_uploads_do_not_stay(boss: Client, own_folder: Path) -> None:
    source = make("People")
    token = token_of(upload(boss, source, "A\n1\n"))
    assert len(list(own_folder.iterdir())) == 2
    for path in own_folder.iterdir():
        os.utime(path, (0, 0))
    answer = boss.get(f"{url('import_preview', source.pk)}?upload={token}")
    assert answer["Location"] == url("import", source.pk)
    assert list(own_folder.iterdir()) == []
    for _ in range(8):
        upload(boss, source, "A\n1\n")
    assert len({path.stem for path in own_folder.iterdir()}) == 5


def test_rights(boss: Client) -> None:
    source = make("People", [{"A": 1}])
    missing = source.pk + 1000
    pages = ["import", "import_preview", "import_progress", "export"]
    nobody = signed_in("nobody", make("Other"), "view", "change")
    for page in pages:
        for method in ("get", "post"):
            here = getattr(nobody, method)(url(page, source.pk))
            there = getattr(nobody, method)(url(page, missing))
            assert here.status_code == there.status_code == 404
        anonymous = Client().get(url(page, source.pk))
        assert anonymous.status_code == 302
        assert "login" in anonymous["Location"]
    viewer = signed_in("viewer", source, "view")
    changer = signed_in("changer", source, "change")
    assert [viewer.get(url(page, source.pk)).status_code for page in ("import", "export")] == [
        403,
        200,
    ]
    assert [changer.get(url(page, source.pk)).status_code for page in ("import", "export")] == [
        200,
        403,
    ]
    links = viewer.get(url("entries", source.pk)).content.decode()
    assert url("import", source.pk) not in links
    assert url("export", source.pk) in links
    links = changer.get(url("entries", source.pk)).content.decode()
    assert url("import", source.pk) in links
    assert url("export", source.pk) not in links
    assert upload(viewer, source, "A\n2\n").status_code == 403
    token_of(upload(changer, source, "A\n2\n"))
    assert rows(source) == [{"A": 1}]


def test_a_right_that_was_taken_ends_an_upload(boss: Client) -> None:
    from guardian.shortcuts import remove_perm

    source = make("People")
    ann = signed_in("ann", source, "view", "change")
    address = upload(ann, source, "A\n2\n")["Location"]
    remove_perm("rowkeeper_datasources.change_datasource", User.objects.get(username="ann"), source)
    assert ann.get(address).status_code == 403


def test_forms_need_their_csrf_token(boss: Client) -> None:
    source = make("People")
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.get(username="boss"))
    assert upload(strict, source, "A\n1\n").status_code == 403
    token = token_of(upload(boss, source, "A\n1\n"))
    assert strict.post(url("import_preview", source.pk), {"upload": token}).status_code == 403


def test_nothing_in_a_file_becomes_markup(boss: Client) -> None:
    evil = "<script>alert(1)</script>"
    source = make("People", [{"A": "k", "B": evil}])
    name = "<img src=x>.csv"
    file = f'A,B,"{evil}"\nk,"{evil}2",1\nn,"{evil}",1\n'
    answer = upload(boss, source, file, mode="update", key="A", name=name)
    html = boss.get(answer["Location"]).content.decode()
    assert evil not in html
    assert "<img src=x" not in html
    assert "&lt;script&gt;" in html
    answer = upload(boss, source, f'A,B\n{evil},"{evil}",{evil}\n', mode="update", key="A")
    assert evil not in boss.get(answer["Location"]).content.decode()


def test_no_page_has_inline_scripts_or_styles(boss: Client) -> None:
    source = make("People", [{"A": 1}])
    preview_page = upload(boss, source, "A\n2\n", mode="replace")["Location"]
    for page in (url("import", source.pk), url("export", source.pk), preview_page):
        html = boss.get(page).content.decode()
        assert not re.search(r"<script(?![^>]*\bsrc=)[^>]*>", html)
        assert not re.search(r"<style|\sstyle=|\son\w+=", html[html.index('id="content"') :])


def test_exports_are_files(boss: Client) -> None:
    source = make('People: "1"', [{"A": "ü", "B": 1}])
    html = boss.get(url("export", source.pk)).content.decode()
    assert "1 entry" in html
    answer = boss.get(url("export", source.pk), {"format": "csv"})
    content = b"".join(answer.streaming_content)
    assert content.decode() == '\ufeff"A","B"\r\nü,1\r\n'
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"] == 'attachment; filename="People_ _1_.csv"'
    answer = boss.get(url("export", source.pk), {"format": "xlsx", "ids": "on"})
    book = openpyxl.load_workbook(io.BytesIO(b"".join(answer.streaming_content)))
    assert list(book.active.values) == [("$id", "A", "B"), (ids(source)[0], "ü", 1)]
    assert boss.get(url("export", source.pk), {"format": "exe"}).status_code == 200
    long = make("Long", [{"A": "x" * 40_000}])
    answer = boss.get(url("export", long.pk), {"format": "xlsx"})
    assert "a cell of a spreadsheet can have at most 32767" in text_of(answer)


def test_an_export_streams(boss: Client) -> None:
    source = make("Many")
    store.insert(registry.source_of(source), [{"A": "x" * 100, "B": n} for n in range(5_000)])
    answer = boss.get(url("export", source.pk), {"format": "csv"})
    assert len(list(answer.streaming_content)) > 5


# -- commands


def run(*args: Any) -> str:
    out = io.StringIO()
    call_command(*args, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def test_commands(tmp_path: Path) -> None:
    source = make("People", [{"A": 1, "B": "=1"}])
    assert run("exportentries", "People") == '\ufeff"A","B"\r\n1,\'=1\r\n'
    for kind in FORMATS:
        path = tmp_path / f"people.{kind}"
        run("exportentries", str(source.pk), path, "--ids")
        assert [each.name for each in tmp_path.iterdir() if each.is_file()] == [path.name]
        assert run("importentries", "People", path, "--mode", "update") == "1 unchanged\n"
        path.unlink()
    path = file_of(tmp_path, "A,B,C\n1,x,2\n5,y,3\n")
    check = run("importentries", "People", path, "--mode", "update", "--key", "A", "--check")
    (entry_id,) = ids(source)
    assert check == (
        "1 added, 1 changed\nnew columns: C\n"
        f"entry {entry_id}, B: =1 -> x\nentry {entry_id}, C: – -> 2\n"
    )
    assert rows(source) == [{"A": 1, "B": "=1"}]
    run("importentries", "People", path, "--mode", "replace", "--text", "A")
    assert rows(source) == [{"A": "1", "B": "x", "C": 2}, {"A": "5", "B": "y", "C": 3}]


@pytest.mark.parametrize("check", [[], ["--check"]])
def test_commands_say_what_is_wrong_by_line(check: list[str], tmp_path: Path) -> None:
    source = make("People")
    path = file_of(tmp_path, "A,B\n1,2,3\n1,2,3,4\n")
    err = io.StringIO()
    with pytest.raises(CommandError, match="nothing was imported: 2 problems") as caught:
        call_command("importentries", "People", path, *check, stderr=err)
    assert caught.value.returncode == 1
    assert err.getvalue().splitlines() == [
        "line 2: has 3 cells, but the header has 2",
        "line 3: has 4 cells, but the header has 2",
    ]
    assert rows(source) == []


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["importentries", "Nothing", __file__], "there is no data source `Nothing`"),
        (["importentries", "People", "/nowhere.csv"], "there is no file"),
        (["importentries", "People", __file__, "--format", "xlsx"], "the file is CSV"),
        (["importentries", "People", __file__, "--mode", "update"], "an update requires a key"),
        (["exportentries", "9" * 30], "there is no data source"),
        (["exportentries", "People", "/nowhere/file.csv"], "cannot be written"),
    ],
)
def test_commands_that_cannot_run(args: list[str], said: str) -> None:
    make("People")
    with pytest.raises(CommandError, match=re.escape(said)):
        call_command(*args)


def test_failures_are_failures() -> None:
    assert issubclass(Refused, Failure)
    assert issubclass(Unreadable, Failure)
