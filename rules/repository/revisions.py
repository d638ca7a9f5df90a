"""The history of a data source's rules: each save is a revision, with who, when, why and how."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.utils import timezone

from rowkeeper.datasources.models import DataSource

from ..models import Revision, Unreadable

MAX_NOTE = 1_000
# Rules that code saves one by one within this time are one revision.
TOGETHER = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Saving:
    """How a list of rules was saved. `by` None: by the operator of the site."""

    by: Any = None
    origin: str = Revision.Origin.CODE
    note: str = ""
    # The number of the revision whose rules were restored.
    reverts: int | None = None


def keep_found(data_source: DataSource, rules: Any) -> None:
    """Before the first change of rules without a revision: store them as a revision."""
    known = Revision.objects.filter(data_source=data_source, number=data_source.revision)
    if rules and not known.exists():
        Revision.objects.create(
            data_source=data_source,
            number=data_source.revision,
            rules=plain(rules),
            origin=Revision.Origin.FOUND,
        )


def record(data_source: DataSource, rules: Any, saving: Saving) -> None:
    """Store the rules that were just saved as the data source's current revision."""
    name = "" if saving.by is None else saving.by.get_username()
    Revision.objects.create(
        data_source=data_source,
        number=data_source.revision,
        rules=rules,
        saved_by_id=None if saving.by is None else saving.by.pk,
        saved_by_name=name[:254],
        origin=saving.origin,
        note=saving.note[:MAX_NOTE],
        reverts=saving.reverts,
    )


def record_by_rows(data_source_id: int, number: int, rules: Any) -> None:
    """Store rules that code saved one by one. Saves in quick succession share a revision."""
    mine = Revision.objects.filter(data_source_id=data_source_id)
    last = mine.order_by("-number").first()
    if last is not None and last.origin == Revision.Origin.ROWS:
        mine.filter(pk=last.pk, saved_at__gte=timezone.now() - TOGETHER).delete()
    mine.create(
        data_source_id=data_source_id,
        number=number,
        rules=plain(rules),
        origin=Revision.Origin.ROWS,
    )


def plain(rules: Any) -> Any:
    """A stored list as plain JSON, with the original text in place of unreadable values."""
    if isinstance(rules, Unreadable):
        return rules.text
    if isinstance(rules, dict):
        return {key: plain(value) for key, value in rules.items()}
    return [plain(item) for item in rules] if isinstance(rules, list) else rules
