"""Requests and answers of the management of data sources, and the permissions they need."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError

from rowkeeper.accounts import permissions
from rowkeeper.accounts.django_users import user_behind
from rowkeeper.accounts.identity import Identity
from rowkeeper.accounts.models import App
from rowkeeper.datasources.catalog import saving
from rowkeeper.datasources.database.connection import atomic
from rowkeeper.datasources.definition import changes_login
from rowkeeper.datasources.errors import Malformed
from rowkeeper.datasources.models import DataSource, is_name_taken
from rowkeeper.datasources.query.select import parse_bool
from rowkeeper.datasources.values.validation import MAX_INTEGER, printable

from ..access.guard import Guard
from ..analysis.site import check
from ..describe.editor import MAX_PROBLEMS, as_json
from ..engine.decide import exclusion_reason
from ..engine.problems import Problem
from ..models import Revision
from ..repository.authorship import without_writer
from ..repository.naming import check_rename, rename_in_rules
from ..repository.rules import rules_and_writers, rules_of, save_rules
from .answering import WARNINGS_OMITTED, after_write
from .entry_answers import iso_time
from .switches import contradiction

FIELDS = ("id", "name", "columns", "type", "appId", "definition", "createdAt", "updatedAt")
SETTABLE = ("name", "type", "columns", "definition")


# -- reading the body


def fill(model: DataSource, body: dict[str, Any]) -> None:
    """Set the fields that are in the body. Raises `Malformed`."""
    for key in SETTABLE:
        if key not in body:
            continue
        value = body[key]
        if key in ("name", "type") and not isinstance(value, str):
            raise Malformed(f"`{key}` must be text")
        if key == "definition" and value is None:
            value = {}
        setattr(model, key, value)
    if "columns" in body:
        model.written_columns = []


def save(model: DataSource) -> None:
    """Save a data source. Raises `Malformed` if it is not valid."""
    try:
        with atomic():
            saving.save(model)
    except ValidationError as error:
        raise Malformed(_words(error)) from None
    except IntegrityError:
        if not is_name_taken(model):
            raise
        raise Malformed("`name`: there is already a data source with that name") from None


def save_named(
    identity: Identity, model: DataSource, body: dict[str, Any], old: str | None
) -> None:
    """Save a data source together with the rules that test its name.

    `old` is the previous name, or None if nobody signs in against the data source. With
    `renameInRules`, the rules that test that name are changed as well. Raises `Malformed` if they
    must be changed first.
    """
    agreed = parse_bool(body, "renameInRules", False)
    if old is None or model.name == old:
        save(model)
        return
    user = user_behind(identity)
    try:
        found = check_rename(model, old, user, agreed, "Send `renameInRules: true`")
    except ValidationError as error:
        raise Malformed(_words(error)) from None
    save(model)
    rename_in_rules(found, old, model.name, user, Revision.Origin.API)


def _words(error: ValidationError) -> str:
    if not hasattr(error, "error_dict"):
        return "; ".join(error.messages)
    return "; ".join(
        f"`{key}`: {message}" for key, texts in error.message_dict.items() for message in texts
    )


def check_rights_to_create(identity: Identity, body: dict[str, Any]) -> None:
    """Raise `PermissionMissing` unless the caller may create such a data source."""
    permissions.require(identity, "add")
    check_right_to_set_login(identity, {}, body.get("definition"))


def check_rights_to_change(identity: Identity, model: DataSource, body: dict[str, Any]) -> None:
    """Raise `PermissionMissing` unless the caller may set everything that is in the body."""
    if any(key in body for key in SETTABLE):
        permissions.require(identity, "change", model)
    if "accessRules" in body or "definition" in body or body.get("revision") is not None:
        permissions.require(identity, "change_rules", model)


def check_right_to_set_login(identity: Identity, before: Any, after: Any) -> None:
    """Raise `PermissionMissing` if the body changes the sign-in and the caller may not."""
    if changes_login(before, after):
        permissions.require(identity, "set_login")


def app_id_of(in_body: Any, in_query: str | None) -> int | None:
    """The ID of the app from the body or the query string, or None. Raises `Malformed`."""
    numbers = {number_of(value, "appId") for value in (in_body, in_query) if value is not None}
    if not numbers:
        return None
    if len(numbers) > 1:
        raise contradiction("appId")
    number = numbers.pop()
    if not App.objects.filter(pk=number).exists():
        raise Malformed(f"`appId`: there is no app {number}")
    return number


def number_of(value: Any, place: str) -> int:
    """An ID, as a number or as digits. Raises `Malformed`."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:30])
    if value.__class__ is not int or not 0 < value <= MAX_INTEGER:
        raise Malformed(f"`{place}` must be a whole number from 1, not `{printable(value)}`")
    return int(value)


def fields_of(attributes: str | None) -> tuple[str, ...]:
    """The fields in `?attributes=`, or all fields without it. Raises `Malformed`."""
    if attributes is None:
        return FIELDS
    names = attributes.split(",")
    for name in names:
        if name not in FIELDS:
            raise Malformed(
                f"`attributes`: there is no attribute `{printable(name)}`; the attributes are "
                f"{', '.join(FIELDS)}"
            )
    return tuple(names)


# -- the answer


def body_of(model: DataSource, fields: tuple[str, ...]) -> dict[str, Any]:
    """The given fields of a data source."""
    everything = {
        "id": model.pk,
        "name": model.name,
        "columns": model.columns,
        "type": model.type,
        "appId": model.app_id,
        "definition": model.definition,
        "createdAt": iso_time(model.created_at),
        "updatedAt": iso_time(model.updated_at),
    }
    return {name: everything[name] for name in fields}


def _rules_of(model: DataSource) -> dict[str, Any]:
    return {"accessRules": rules_of(model), "revision": model.revision}


def new_of(model: DataSource) -> dict[str, Any]:
    """All fields of a data source that the caller has just created, and so can see."""
    return {**body_of(model, FIELDS), **_rules_of(model)}


def whole_of(identity: Identity, model: DataSource) -> dict[str, Any]:
    """All fields, and the rules for callers who may change them."""
    rules = _rules_of(model) if permissions.may(identity, "change_rules", model) else {}
    return {**body_of(model, FIELDS), **rules}


def set_rules(identity: Identity, model: DataSource, rules: Any) -> None:
    """Save the rules of a body. Raises as `save_rules`."""
    save_rules(model, rules, user_behind(identity), origin=Revision.Origin.API)


def warnings_of(identity: Identity, model: DataSource, body: dict[str, Any]) -> dict[str, Any]:
    """The warnings about the rules that the request set. The rules are already stored."""
    if body.get("accessRules") is None:
        return {}
    found = after_write(lambda: _found(identity, model))
    if found is None:
        return {"warnings": [], WARNINGS_OMITTED: True}
    return {"warnings": [as_json(problem) for problem in found[:MAX_PROBLEMS]]}


def _found(identity: Identity, model: DataSource) -> list[Problem]:
    rules, writers, _ = rules_and_writers(model.pk)
    user = user_behind(identity)
    return [*check(rules, model, user=user), *without_writer(rules, writers)]


def short_of(guard: Guard) -> dict[str, Any]:
    """The short form for callers whom a rule could let in: the columns that such a rule shows."""
    assert guard.source is not None
    opened = [
        rule
        for rule in guard.ruleset.rules
        if rule.enabled and rule.broken is None and exclusion_reason(rule, guard.identity) is None
    ]
    columns = [
        column
        for column in guard.source.columns
        if any(rule.script is None and rule.columns.shows(column) for rule in opened)
    ]
    return {"id": guard.source.id, "name": guard.source.name, "columns": columns}
