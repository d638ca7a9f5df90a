"""Detects fields of a form that two users have changed at the same time.

The form has the value that each field had when it was opened. A field that the user did not change
keeps the stored value; a field that both have changed is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from ..values.validation import same

MESSAGE = (
    "somebody else changed this after you opened the page, so nothing was saved: open the page "
    "again to see the current state, and repeat your change there"
)


def changed_by_both(form: Any, stored: dict[str, Any]) -> Iterator[str]:
    """Yield the names of fields that the user and somebody else have changed.

    Their value in `stored` differs from the one when the form was opened. Fields that both have
    changed to the same value are left out.
    """
    for name, now in stored.items():
        if name not in form.changed_data or name not in form.cleaned_data:
            continue
        key = form.add_initial_prefix(name)
        if key not in form.data or _are_same(form.cleaned_data[name], now):
            continue
        if not _is_as_opened(form.fields[name], form.data.get(key), now):
            yield name


def _is_as_opened(field: forms.Field, text: Any, now: Any) -> bool:
    try:
        opened = field.to_python(text)
    except ValidationError:
        return False
    if isinstance(now, list) and isinstance(opened, list):
        # Names that were only added are kept: the form adds them to what was typed.
        now = _among(now, opened)
    return _are_same(opened, now)


def _among(names: Iterable[Any], known: list[Any]) -> list[Any]:
    return [name for name in names if name in known]


def _are_same(left: Any, right: Any) -> bool:
    return same(left, right) or (left.__class__ is right.__class__ and bool(left == right))
