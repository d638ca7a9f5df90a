"""Read and write the rules in the database: as a list, checked as a whole, in one transaction.

The admin, the API, fixtures and commands all use this module.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from django.db.models.signals import post_delete, post_save, pre_save

from rowkeeper.datasources.catalog import registry
from rowkeeper.datasources.database.connection import alias, atomic
from rowkeeper.datasources.errors import Malformed
from rowkeeper.datasources.models import DataSource

from ..engine.parse import PROPERTIES, Problem, parse_rules, too_much
from ..models import AccessRule, Revision, ScriptWriter
from ..scripts.permissions import require_right_to_scripts
from . import authorship
from .revisions import Saving, keep_found, record, record_by_rows

# {property of a rule: the model field that holds it}.
FIELDS = {name: "app_id" if name == "appId" else name for name in PROPERTIES}


class RulesInvalid(Malformed):
    """A list of rules that was not saved, with all its problems."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems[:20]))
        self.problems = tuple(problems)


def rules_of(data_source: DataSource | int) -> list[dict[str, Any]]:
    """The rules as they were written, in order. A property that was not written is absent."""
    key = data_source if isinstance(data_source, int) else data_source.pk
    rows = AccessRule.objects.filter(data_source_id=key).order_by("position")
    return [_written(row) for row in rows.values(*FIELDS.values())]


def rules_of_all(data_source_ids: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
    """The stored rules of several data sources, as `{data source id: rules}`, with one query."""
    found: dict[int, list[dict[str, Any]]] = {key: [] for key in data_source_ids}
    rows = AccessRule.objects.filter(data_source_id__in=data_source_ids).order_by("position")
    for row in rows.values(*FIELDS.values(), "data_source_id"):
        found[row.pop("data_source_id")].append(_written(row))
    return found


class RulesRead(NamedTuple):
    """A data source's rules, as a single statement read them."""

    rules: list[dict[str, Any]]
    # {script text: id of the Django user who wrote it}. None if unknown, or if two rules with the
    # text disagree.
    writers: dict[str, int | None]
    # The data source's tag, read by the same statement; None if there are no rules.
    tag: str | None


def rules_and_writers(data_source_id: int) -> RulesRead:
    """The rules, with the writers of their scripts and the tag that they belong to."""
    rows = AccessRule.objects.filter(data_source_id=data_source_id).order_by("position")
    rules: list[dict[str, Any]] = []
    writers: dict[str, int | None] = {}
    tag = None
    for row in rows.values(*FIELDS.values(), "script_by_id", "data_source__rules_tag"):
        by, tag = row.pop("script_by_id"), row.pop("data_source__rules_tag")
        rules.append(_written(row))
        script = row["script"]
        if isinstance(script, str):
            writers[script] = by if writers.get(script, by) == by else None
    return RulesRead(rules, writers, tag)


def _written(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[field] for name, field in FIELDS.items() if row[field] is not None}


def problems_with(rules: Any, columns: Sequence[str], secret: Sequence[str] = ()) -> list[Problem]:
    """All problems of a list of rules for a data source with these columns.

    `secret` are the columns that hold passwords. A list beyond the limits is not parsed.
    """
    much = too_much(rules) if isinstance(rules, list) else []
    if much:
        return [Problem(0, "", text) for text in much]
    return parse_rules(rules, frozenset(columns), frozenset(secret))[1]


def problems_for(
    user: Any,
    data_source: DataSource,
    rules: Any,
    *,
    before: Sequence[dict[str, Any]] | None = None,
    columns: Sequence[str] | None = None,
    take_over: Collection[str] = (),
) -> list[Problem]:
    """All problems of a list of rules that `user` (None: the operator) wants to save.

    `before`: the stored rules, if they have been read; `columns`: the declared columns, if they
    are changing as well.

    Raises `PermissionMissing` for scripts that the user may not save. This is checked before the
    scripts are compiled, since compiling takes time.
    """
    much = too_much(rules) if isinstance(rules, list) else []
    if not much:
        before = rules_of(data_source) if before is None and user is not None else before
        require_right_to_scripts(user, data_source, before or (), rules, take_over)
    columns = data_source.declared_columns if columns is None else columns
    return problems_with(rules, columns, data_source.secret_columns)


def save_rules(
    data_source: DataSource,
    rules: Any,
    by: Any = None,
    *,
    origin: str = Revision.Origin.CODE,
    note: str = "",
    reverts: int | None = None,
    typed: bool = True,
    take_over: Collection[str] = (),
) -> bool:
    """Replace the list of rules, and store it as a revision. Returns False if nothing changed.

    `by` is the Django user who saves, None the operator; `reverts` is the revision whose rules are
    restored. `typed`: whether `by` wrote the scripts that are new to the site; false if the rules
    come from a file or from the history. `take_over`: the texts of scripts that `by` has read, and
    whose look-ups have the permissions of `by` from now on.

    Raises `RulesInvalid`, and `PermissionMissing` for scripts that `by` may not write. Nothing is
    saved then.

    Concurrent saves wait, so that the positions 1, 2, 3… are those of a single list.
    """
    rules = [] if rules is None else rules
    with atomic():
        registry.lock(data_source.pk)
        data_source.refresh_from_db(
            fields=["columns", "written_columns", "secret_columns", "revision"]
        )
        before, writers, _ = rules_and_writers(data_source.pk)
        take_over = _to_take_over(take_over, rules, writers, by)
        problems = problems_for(by, data_source, rules, before=before, take_over=take_over)
        if problems:
            raise RulesInvalid(problems)
        if before == rules and _kinds(before) == _kinds(rules) and not take_over:
            return False
        author = by if typed and reverts is None else None
        after = authorship.writers_of(data_source.pk, rules, writers, author, take_over, by)
        authorship.remember(data_source.pk, {**writers, **after})
        keep_found(data_source, before)
        # Not the manager of `data_source`, which would send a signal, and run a query, for each
        # rule.
        AccessRule.objects.filter(data_source_id=data_source.pk)._raw_delete(alias())
        AccessRule.objects.bulk_create(
            AccessRule(
                data_source_id=data_source.pk,
                position=position,
                script_by_id=after.get(rule.get("script")),
                **{FIELDS[name]: value for name, value in rule.items()},
            )
            for position, rule in enumerate(rules, 1)
        )
        registry.bump_rules_version(data_source.pk)
        data_source.refresh_from_db(fields=["revision", "rules_tag", "updated_at"])
        note = "; ".join(filter(None, [note, authorship.taken_over(rules, take_over)]))
        record(data_source, rules, Saving(by, origin, note, reverts))
    return True


def _to_take_over(
    texts: Collection[str], rules: Sequence[Any], writers: authorship.Writers, by: Any
) -> set[str]:
    """The texts that are in the rules and do not belong to the user already."""
    if by is None or not texts or not isinstance(rules, list):
        return set()
    there = authorship.scripts_of(rules)
    return {text for text in texts if text in there and writers.get(text) != by.pk}


def _kinds(value: Any) -> Any:
    """The types of all values, which distinguish `1` from `True`; Python considers them equal."""
    if isinstance(value, dict):
        return {key: _kinds(item) for key, item in value.items()}
    return [_kinds(item) for item in value] if isinstance(value, list) else value.__class__


# -- other code that writes rules: fixtures, a shell


def _check(sender: object, instance: AccessRule, raw: bool = False, **kwargs: object) -> None:
    """Validate a rule that is saved by itself, together with the rest of its list."""
    if raw:
        # A user id in a fixture may belong to somebody else on this site.
        instance.script_by_id = None
    source = DataSource.objects.only("columns", "written_columns", "secret_columns").get(
        pk=instance.data_source_id
    )
    rows = AccessRule.objects.filter(data_source_id=instance.data_source_id)
    others = rows.exclude(pk=instance.pk).values("position", *FIELDS.values())
    this = {field: getattr(instance, field) for field in ("position", *FIELDS.values())}
    ordered = sorted([*others, this], key=lambda row: row["position"])
    found = problems_with(
        [_written(row) for row in ordered], source.declared_columns, source.secret_columns
    )
    place = ordered.index(this) + 1
    problems = [problem for problem in found if problem.rule in (0, place)]
    if problems:
        raise RulesInvalid(problems)


def _changed(sender: object, instance: AccessRule, raw: bool = False, **kwargs: object) -> None:
    """Close gaps in the positions, except while a fixture loads its rules one by one.

    A fixture may contain its revisions. If it does not, the next save stores the rules it finds.
    """
    if not raw:
        _close_gaps(instance.data_source_id)
        if isinstance(instance.script, str) and instance.script_by_id is not None:
            authorship.remember(instance.data_source_id, {instance.script: instance.script_by_id})
    registry.bump_rules_version(instance.data_source_id)
    if not raw and _is_about_rules(kwargs.get("origin")):
        _record(instance.data_source_id)


def _is_about_rules(origin: object) -> bool:
    """Whether rules were changed themselves, and not deleted along with their data source."""
    return origin is None or getattr(origin, "model", origin.__class__) is AccessRule


def _record(data_source_id: int) -> None:
    number = DataSource.objects.values_list("revision", flat=True).get(pk=data_source_id)
    record_by_rows(data_source_id, number, rules_of(data_source_id))


def _close_gaps(data_source_id: int) -> None:
    rows = AccessRule.objects.filter(data_source_id=data_source_id).order_by("position")
    for position, (key, stored) in enumerate(rows.values_list("pk", "position"), 1):
        if position != stored:
            AccessRule.objects.filter(pk=key).update(position=position)


def _forget_writer(
    sender: object, instance: ScriptWriter, raw: bool = False, **kwargs: object
) -> None:
    """Ignore the writer that a fixture names for a script."""
    if raw:
        instance.writer_id = None


def connect() -> None:
    """Connect the signals. Called once, when the app is ready."""
    pre_save.connect(_forget_writer, sender=ScriptWriter, dispatch_uid="rowkeeper-script-writer")
    pre_save.connect(_check, sender=AccessRule, dispatch_uid="rowkeeper-rule-check")
    post_save.connect(_changed, sender=AccessRule, dispatch_uid="rowkeeper-rule-saved")
    post_delete.connect(_changed, sender=AccessRule, dispatch_uid="rowkeeper-rule-deleted")
