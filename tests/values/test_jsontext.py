"""JSON text from PostgreSQL: doubles beyond 64 bits are doubles again, wherever they stand."""

from __future__ import annotations

import pytest

from rowkeeper.datasources.values.codec import restore_large_doubles


@pytest.mark.parametrize("before", range(9))
@pytest.mark.parametrize("digits", [18, 19, 20, 21, 22, 40, 300])
def test_a_double_is_one_wherever_it_stands(before: int, digits: int) -> None:
    number = 10 ** (digits - 1)
    text = f'{{"a":"{"x" * before}","b":{number},"c":"é{number}"}}'
    found = restore_large_doubles(text)
    if number < 2**63:
        assert found == text
    else:
        assert found == f'{{"a":"{"x" * before}","b":{float(number)!r},"c":"é{number}"}}'


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63)])
def test_an_integer_of_64_bits_is_left_as_it_is(number: int) -> None:
    text = f'[{{"createdAt":"2026-01-31T12:00:00.123Z","a":{number},"b":[1.5,{number}]}}]'
    assert restore_large_doubles(text) == text
