"""How many columns are marked as indexed on the whole site is bounded, as every insert looks at
each of their indexes.
"""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.core.management.base import CommandError

from rowkeeper.datasources.catalog import saving
from rowkeeper.datasources.database.connection import alias
from rowkeeper.datasources.indexes.marks import marks
from rowkeeper.datasources.models import DataSource
from tests.admin.test_admin import form_of, url

pytestmark = pytest.mark.django_db
COLUMNS = [f"c{n}" for n in range(6)]


@pytest.fixture(autouse=True)
def five(settings: Any) -> None:
    """The site may have five marks."""
    settings.ROWKEEPER = {**settings.ROWKEEPER, "MAX_INDEXES": 5}


def made(name: str, marked: int) -> DataSource:
    """A data source with so many marks."""
    source = DataSource(name=name, columns=COLUMNS, indexed_columns=COLUMNS[:marked])
    saving.save(source, build=False)
    return source


def test_marks_beyond_the_bound_are_refused() -> None:
    first, second = made("A", 3), made("B", 2)
    with pytest.raises(ValidationError, match="6 indexed columns, 3 of them in other"):
        second.indexed_columns = COLUMNS[:3]
        saving.save(second, build=False)
    with pytest.raises(ValidationError, match="MAX_INDEXES"):
        made("C", 1)
    with pytest.raises(CommandError, match="at most 5 are allowed"):
        call_command("indexes", "B", mark=["c5"], stdout=StringIO())
    first.indexed_columns = []
    saving.save(first, build=False)
    second.refresh_from_db()
    second.indexed_columns = COLUMNS[:5]
    saving.save(second, build=False)
    assert marks() == 5 and marks(second.pk) == 0


def test_marks_that_are_there_stay_when_the_bound_is_lowered(settings: Any) -> None:
    source = made("A", 4)
    settings.ROWKEEPER = {**settings.ROWKEEPER, "MAX_INDEXES": 2}
    source.type = "changed"
    saving.save(source, build=False)
    source.indexed_columns = COLUMNS[1:4]
    saving.save(source, build=False)
    assert marks() == 3


def test_the_admin_says_so_beside_the_field(admin_client: Any) -> None:
    made("A", 3)
    source = made("B", 2)
    address = url("change", source.pk)
    answer = admin_client.post(
        address, {**form_of(admin_client, address), "indexed_columns": "\n".join(COLUMNS)}
    )
    page = answer.content.decode()
    assert answer.status_code == 200 and "9 indexed columns, 3 of them in other" in page
    source.refresh_from_db()
    assert source.indexed_columns == COLUMNS[:2]


def test_the_system_check_warns_of_more(settings: Any) -> None:
    made("A", 4)

    def warned() -> str:
        told = StringIO()
        call_command("check", databases=[alias()], stdout=told, stderr=told)
        return told.getvalue()

    assert "W022" not in warned()
    settings.ROWKEEPER = {**settings.ROWKEEPER, "MAX_INDEXES": 3}
    assert "W022) 4 columns of all data sources are marked" in warned()
