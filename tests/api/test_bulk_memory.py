"""What a bulk body can make the server hold: no more of it than can still be right."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, repeat

import pytest

from rowkeeper.datasources.conf import DEFAULTS
from rowkeeper.datasources.errors import Malformed, TooLarge
from rowkeeper.datasources.values.bulk import Limits, _between, _Values, loads_bulk

LIMITS = Limits(100_000, DEFAULTS["MAX_VALUES"], 1_048_576)


class Sent:
    """A body that is made while it is read; `taken` says how much was."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self.parts, self.held, self.taken = parts, b"", 0

    def read(self, size: int) -> bytes:
        while len(self.held) < size:
            part = next(self.parts, b"")
            if not part:
                break
            self.held += part
        data, self.held = self.held[:size], self.held[size:]
        self.taken += len(data)
        return data


@pytest.mark.parametrize(
    "start",
    [
        '{"entries":[{"b":x😀',
        '{"entries":[{"b":1 😀',
        '{"entries":[{"b":"\\q😀',
        '{"entries":[{"b" 1 😀',
        '{"entries":[{1:1 😀',
        '{"other":[1,2 x😀',
        '{"entries":[{}],"o\\q😀',
    ],
)
def test_nothing_is_read_behind_an_error(start: str) -> None:
    sent = Sent(chain([start.encode()], repeat(b"y" * 65_536, 160)))
    with pytest.raises(Malformed, match="not valid JSON"):
        loads_bulk(sent.read, LIMITS)
    assert sent.taken < 300_000


@pytest.mark.parametrize("value", [b"{}", b"[]", b'{"k":{}}', b"[[]]", b'{"k":1}'])
def test_small_nested_values_take_bounded_memory(value: bytes) -> None:
    """Less than 130 bytes a value, and the text; with a tenth of what a body may have."""
    limits = replace(LIMITS, values=LIMITS.values // 10)
    row = b'{"Name":[' + b",".join([value] * 5_000) + b"]},"
    sent = Sent(chain([b'{"entries":['], repeat(row, 1_000)))
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge, match=f"the rows have more than {limits.values} values"):
            loads_bulk(sent.read, limits)
        assert tracemalloc.get_traced_memory()[1] < 130 * limits.values + limits.characters
    finally:
        tracemalloc.stop()


def test_many_rows_of_usual_columns_pass() -> None:
    """A hundredth of the rows and values of a request, with marks in texts that are no values."""
    limits = replace(LIMITS, rows=LIMITS.rows // 100, values=LIMITS.values // 100)
    row = b"{" + b",".join(b'"C%d":"a, [b] {c}"' % n for n in range(10)) + b"}"
    rows = b",".join([row] * 1_000)
    sent = Sent(iter([b'{"entries":[' + rows + b"]}"]))
    assert len(loads_bulk(sent.read, limits)["entries"]) == 1_000


def test_where_rows_end_is_looked_for_by_a_short_text() -> None:
    """A long one that is nearly there again and again would take seconds to be found."""
    for text in ("}" + " " * 50 + ",{", "}," + "\n" * 50 + "{", '},{"' + "a" * 1_000 + '":1'):
        found = _between(text, 1)
        assert found is None or found.end() < 40


def test_escapes_of_an_unfinished_row_take_bounded_memory() -> None:
    """The row has more commas than values may follow, and they stand in a text."""
    values, row = _Values(1), '{"a":"' + ",\\n" * 300_000
    tracemalloc.start()
    try:
        values.refuse(row, 0)
        assert tracemalloc.get_traced_memory()[1] < 10 * len(row)
    finally:
        tracemalloc.stop()
