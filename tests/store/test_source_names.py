"""Names of data sources: those of every script are taken, those that nobody can tell apart not."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse

from rowkeeper.datasources.models import DataSource, check_name
from rowkeeper.datasources.values.validation import printable
from tests.support.calls import READ, Api, place

pytestmark = pytest.mark.django_db

TAKEN = {
    "Persian": "می\u200cخواهم",
    "Hindi": "क्\u200dष",
    "Hindi, apart": "क्\u200cष",
    "Bengali": "র\u200d্য",
    "Malayalam": "ന്\u200d എന്ന",
    "Malayalam, at the end": "അവന്\u200d",
    "Japanese": "顧客\u3000一覧",
    "a family": "👩\u200d👩\u200d👧 family",
    "a technologist": "👩🏽\u200d💻",
    "a flag": "🏳\ufe0f\u200d🌈",
    "plain": "Tea & Cake",
    "French": "Salariés",
}
REFUSED = {
    "a joiner in front": ("\u200dUsers", "begins with U+200D (ZERO WIDTH JOINER)"),
    "a joiner behind": ("کاربر\u200c", "ends with U+200C (ZERO WIDTH NON-JOINER)"),
    "a joiner between Latin letters": ("Us\u200ders", "contains U+200D (ZERO WIDTH JOINER)"),
    "a joiner behind an accent": ("e\u0301\u200du", "contains U+200D"),
    "a joiner between ideographs": ("顧\u200c客", "contains U+200C"),
    "a joiner beside a letter": ("می\u200cx", "contains U+200C"),
    "a joiner in front, and one that may be": ("\u200dഅവന്\u200d", "begins with U+200D"),
    "two joiners at the end": ("അവന്\u200d\u200d", "ends with U+200D"),
    "two joiners": ("می\u200c\u200cخواهم", "contains U+200C"),
    "a joiner beside a blank": ("می\u200c خ", "contains U+200C"),
    "a wide blank in front": ("\u3000客", "begins with U+3000 (IDEOGRAPHIC SPACE)"),
    "a blank behind": ("Users ", "ends with U+0020 (SPACE)"),
    "a blank that is none": ("My\u00a0Users", "contains U+00A0 (NO-BREAK SPACE), which looks like"),
    "a blank of no width": (
        "Us\u200bers",
        "contains U+200B (ZERO WIDTH SPACE), which is invisible",
    ),
    "a soft hyphen": ("Us\u00aders", "contains U+00AD (SOFT HYPHEN), which is invisible"),
    "a change of direction": ("Us\u202eers", "contains U+202E (RIGHT-TO-LEFT OVERRIDE)"),
    "a tab": ("Us\ters", "contains the control character U+0009"),
    "a line separator": ("Us\u2028ers", "contains the control character U+2028 (LINE SEPARATOR)"),
    "a private character": ("Us\ue000ers", "contains U+E000, which is not a character"),
    "NUL": ("Us\x00ers", "contains the character NUL"),
    "a slash": ("a/b", "contains a `/`"),
}


@pytest.mark.parametrize("name", TAKEN.values(), ids=TAKEN)
def test_it_is_taken(name: str) -> None:
    check_name(name)
    there = place([READ], [{"A": 1}], name)
    for reference in (there.model.pk, name):
        asked = Api()("GET", f"data-sources/{reference}/data")
        assert asked.rows == [{"A": 1}]
    assert printable(name) == name
    with pytest.raises(ValidationError):
        check_name(f"{name}\u200b")


@pytest.mark.parametrize(("name", "said"), REFUSED.values(), ids=REFUSED)
def test_it_is_refused_and_said_why(name: str, said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        check_name(name)
    assert f"the name {said}" in refused.value.messages[0]


def test_the_admin_and_the_api_say_what_is_wrong() -> None:
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    answer: Any = Api(client=client)("POST", "data-sources", {"name": "Us\u200bers"})
    assert answer.failure == (400, "request.invalid")
    assert "U+200B (ZERO WIDTH SPACE)" in answer.json["message"]
    page = reverse("admin:rowkeeper_datasources_datasource_add")
    sent = {"name": "Us\u200bers", "columns": "", "definition": "{}", "rules": ""}
    assert "U+200B (ZERO WIDTH SPACE)" in client.post(page, sent).content.decode()
    assert not DataSource.objects.exists()
