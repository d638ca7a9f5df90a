"""Whole numbers of any length in texts that clients send."""

from __future__ import annotations

import pytest
from django.core.management.base import CommandError

from rowkeeper.datasources.values.validation import MAX_INTEGER, whole_number
from rowkeeper.rules.management.referring import data_source
from tests.support import calls

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("text", ["9" * 31, "0" * 30 + "9" * 30, "1" * 5_000, str(MAX_INTEGER + 1)])
def test_a_number_that_is_too_great_is_refused(text: str) -> None:
    api = calls.superuser()
    for name in ("limit", "after"):
        assert api("GET", f"data-sources?{name}={text}").status == 400
    with pytest.raises(CommandError, match="there is no data source"):
        data_source(text)
    assert whole_number(text) is None


@pytest.mark.parametrize("text", [str(MAX_INTEGER), "0" * 40 + "7"])
def test_a_number_that_fits_is_taken(text: str) -> None:
    api = calls.superuser()
    for name in ("limit", "after"):
        assert api("GET", f"data-sources?{name}={text}").status == 200
    assert whole_number(text) == int(text)
