"""No text of an export is a formula, whatever a spreadsheet takes for a delimiter."""

from __future__ import annotations

import csv
import io
import json
import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rowkeeper.datasources.transfer.cells import CSV, csv_cell, header_cell, name_of
from rowkeeper.datasources.transfer.csv import written
from rowkeeper.datasources.transfer.formulas import BEGINNINGS
from rowkeeper.datasources.values.validation import same

EXAMPLES = 20_000 if os.environ.get("ROWKEEPER_TEST_LONG") else 300
DELIMITERS = ",;\t|"
TEXTS = st.text(st.sampled_from("=+-@\uff1d'\",;\t|\r\n ax15._[]{}:"), max_size=14)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-20, 20), st.floats(-2, 2), TEXTS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)


def cells_of(file: str, delimiter: str) -> list[str]:
    """The cells that a spreadsheet with this delimiter finds."""
    lines = io.StringIO(file.removeprefix("\ufeff"), newline="")
    return [cell for line in csv.reader(lines, delimiter=delimiter) for cell in line]


def is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def check(file: str) -> None:
    for delimiter in DELIMITERS:
        for cell in cells_of(file, delimiter):
            bare = cell.lstrip("\t\r\n")
            # A number of ours, up to the commas that this reader knows nothing of.
            if bare[:1] in BEGINNINGS and not is_number(bare.split(",")[0]):
                pytest.fail(f"{cell!r} is a formula where {delimiter!r} delimits: {file!r}")


@pytest.mark.parametrize("delimiter", [*DELIMITERS, "\n", "\r", "\r\n"])
@pytest.mark.parametrize("sign", [*"=@", "+cmd", "-cmd", "\uff1d", '"=', "'=", "''\"="])
def test_a_formula_behind_a_delimiter_is_guarded(delimiter: str, sign: str) -> None:
    text = f"a{delimiter}{sign}cmd|' /C calc'!A0"
    assert CSV.text(text) != text
    assert CSV.read(CSV.text(text)) == text
    assert name_of(header_cell(text)) == text
    for row in ([text], ["b", text], [text, "b"], ["b", text, "c"]):
        check("".join(written(["A", "B", "C"], [[csv_cell(cell) for cell in row]])))
    check("".join(written([header_cell(text), "B"], [])))


def test_what_is_no_formula_stays_as_it_is() -> None:
    for text in ("47.3,-8.5", "a,b;c", "a;b", "1;2", "x = y; z - 1", "a, -b", "tel;0041"):
        assert CSV.text(text) == text
    for value in ([1, -2], {"a": -1.5}, ["a", "b=c"]):
        assert json.loads(csv_cell(value)) == value
        assert "\\u" not in csv_cell(value)


def test_a_text_in_a_list_or_an_object_is_guarded_as_json() -> None:
    value = {"a;=b": ["x;+cmd", "=y", ";@z"]}
    cell = csv_cell(value)
    assert json.loads(cell) == value
    check("".join(written(["A", "B"], [["b", cell]])))
    assert CSV.read(cell) == value


@given(rows=st.lists(st.lists(VALUES, min_size=1, max_size=3), max_size=3), names=TEXTS)
@settings(max_examples=EXAMPLES, deadline=None)
def test_no_reader_finds_a_formula(rows: list[list[Any]], names: str) -> None:
    cells = [[csv_cell(value) for value in row] for row in rows]
    check("".join(written([header_cell(names), "B", "C"], cells)))
    for row, line in zip(rows, cells, strict=True):
        for value, cell in zip(row, line, strict=True):
            assert same(CSV.read(cell), value)


@given(text=TEXTS)
@settings(max_examples=EXAMPLES, deadline=None)
def test_every_text_is_read_as_it_was_written(text: str) -> None:
    assert CSV.read(CSV.text(text)) == text
    assert CSV.read(CSV.text(text), recognize=False) == text
    assert name_of(header_cell(text)) == text
