"""What to tell an editor of stored rules: the engine's warnings, about this site as it is."""

from __future__ import annotations

from django.contrib.auth import get_user_model

from datasources.definition import login_of
from datasources.models import DataSource

from .engine.warn import warnings_with
from .saving import rules_of

MANY = 8


def advice_for(data_source: DataSource) -> list[str]:
    """Warnings about the stored rules, one line each; rules that share one stand together."""
    found = warnings_with(rules_of(data_source), data_source.columns, several_kinds_of_user())
    rules_by_text: dict[tuple[str, str], list[int]] = {}
    for warning in found:
        rules_by_text.setdefault((warning.path, warning.message), []).append(warning.rule)
    return [
        f"{_rules(positions)}{f', `{path}`' if path else ''}: {message}"
        for (path, message), positions in rules_by_text.items()
    ]


def _rules(positions: list[int]) -> str:
    if len(positions) == 1:
        return f"rule {positions[0]}"
    listed = ", ".join(str(position) for position in positions[:MANY])
    return f"rules {listed}{' and more' if len(positions) > MANY else ''}"


def several_kinds_of_user() -> bool:
    """Whether users of more than one kind can sign in: of data sources, and Django's own.

    Superusers do not count as a kind: they may change the rules anyway.
    """
    kinds = sum(
        login_of(definition) is not None
        for definition in DataSource.objects.values_list("definition", flat=True)
    )
    return kinds > 1 or (kinds == 1 and _has_site_users())


def _has_site_users() -> bool:
    users = get_user_model()._default_manager.all()
    fields = {field.name for field in get_user_model()._meta.get_fields()}
    if "is_superuser" in fields:
        users = users.filter(is_superuser=False)
    if "is_active" in fields:
        users = users.filter(is_active=True)
    return users.exists()
