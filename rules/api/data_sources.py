"""The management of data sources: by Django's permissions, site-wide or for one, never by rules."""

from __future__ import annotations

from typing import Any, NoReturn

from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.http import HttpResponse
from rest_framework.request import Request

from accounts import permissions
from accounts.django_users import user_behind
from accounts.failures import SIGN_IN, LoginRequired, PermissionMissing
from accounts.identity import Identity
from accounts.models import App
from datasources import sources, store
from datasources.db import atomic
from datasources.definition import changes_login
from datasources.errors import Malformed, NotFound
from datasources.models import DataSource
from datasources.queries import whole as whole_number
from datasources.tags import source_tag
from datasources.values import MAX_INTEGER, problem_with_text, shown

from ..authorship import without_writer
from ..checking import MAX_PROBLEMS, as_json
from ..checks import check
from ..conflicts import require_revision
from ..engine.decide import keeps_out
from ..engine.problems import Problem
from ..guard import Guard
from ..models import Revision
from ..saving import rules_and_writers, rules_of, save_rules
from .answering import WARNINGS_OMITTED, after_write
from .base import Endpoint, json_answer
from .bodies import json_body, row_of
from .entries import iso_time
from .preconditions import Precondition, refuse_precondition, with_tag
from .switches import contradiction, only_value

FIELDS = ("id", "name", "columns", "type", "appId", "definition", "createdAt", "updatedAt")
_SETTABLE = ("name", "type", "columns", "definition")


class DataSources(Endpoint):
    """Data sources themselves; their entries are guarded elsewhere."""

    def list(self, request: Request) -> HttpResponse:
        """`GET data-sources`: those that the caller may see."""
        identity = self.identity(request)
        if identity.is_anonymous:
            raise LoginRequired(SIGN_IN)
        query = request._request.GET
        if identity.django_user_id is None:
            raise PermissionMissing("the permission `view` is needed for this")
        found = permissions.visible_sources(identity).order_by("id")
        if "appId" in query:
            found = found.filter(app_id=_number(query["appId"], "appId"))
        for key in ("type", "excludeTypes"):
            problem = problem_with_text(query.get(key, ""))
            if problem:
                raise Malformed(f"`{key}` {problem}")
        if "type" in query:
            found = found.filter(type=query["type"])
        if "excludeTypes" in query:
            found = found.exclude(type__in=query["excludeTypes"].split(","))
        fields = _fields(query.get("attributes"))
        return json_answer({"dataSources": [_body(model, fields) for model in found]})

    def create(self, request: Request) -> HttpResponse:
        """`POST data-sources`: who makes one gets every right on it."""
        refuse_precondition(request._request)
        if self.identity(request).is_anonymous:
            raise LoginRequired(SIGN_IN)
        large = self.receive_large(request, lambda: permissions.may(self.identity(request), "add"))
        body = json_body(request._request, bulk=large)
        identity = self.identity(request)
        _fit_to_create(identity, body)
        entries = [] if body.get("entries") is None else body["entries"]
        if not isinstance(entries, list):
            raise Malformed("`entries` is a list of rows")
        rows = [row_of(row, f"`entries[{at}]`") for at, row in enumerate(entries)]
        app_id = _app_id(body.get("appId"), only_value(request._request, "appId"))
        model = DataSource(app_id=app_id, owner_id=identity.django_user_id)
        if "name" not in body:
            raise Malformed("`name` is missing")
        _fill(model, body)
        with atomic():
            _save(model)
            identity = self.caller_now(request)
            _fit_to_create(identity, body)
            source = sources.source_of(model)
            keys = dict.fromkeys(key for row in rows for key in row)
            with store.writing(source, keys, declares=True):
                store.insert(source, rows)
            if identity.django_user_id is not None:
                permissions.grant_all(identity.django_user_id, model)
            if body.get("accessRules") is not None:
                _save_rules(identity, model, body["accessRules"])
            model.refresh_from_db()
            whole = {**_body(model, FIELDS), **_rules(model)}
            tag = source_tag(model)
        answer = json_answer({"dataSource": whole, **_warnings(identity, model, body)}, 201)
        with_tag(answer, tag)
        return answer

    def retrieve(self, request: Request, reference: str) -> HttpResponse:
        """`GET data-sources/:id`: whole for those who may view it, short for those let in."""
        identity = self.identity(request)
        door = self.guard(request, reference)
        model = _model(door)
        if model is not None and permissions.may_see(identity, model):
            answer = json_answer({"dataSource": _whole(identity, model)})
            with_tag(answer, source_tag(model))
            return answer
        if door.is_known:
            return json_answer({"dataSource": _short(door)})
        _refuse(identity, "view")

    def update(self, request: Request, reference: str) -> HttpResponse:
        """`PUT data-sources/:id`: what is absent stays."""
        precondition = Precondition.of(request._request)
        identity = self.identity(request)
        body = json_body(request._request)
        model = self._managed(request, reference, "change")
        _fit_to_change(identity, model, body)
        revision = whole_number(body, "revision")
        with atomic():
            sources.lock(model.pk)
            model.refresh_from_db()
            identity = self.caller_now(request)
            _fit_to_change(identity, model, body)
            _fit_to_set_login(identity, model.definition, body.get("definition", model.definition))
            if model.definition.get("login") and body.get("name", model.name) != model.name:
                # Rules of other data sources test the name as `Source`.
                permissions.require(identity, "set_login")
            precondition.check(source_tag(model))
            if revision is not None:
                require_revision(model, revision)
            if any(key in body for key in _SETTABLE):
                _fill(model, body)
                _save(model)
            if "accessRules" in body:
                _save_rules(identity, model, body["accessRules"])
            model.refresh_from_db()
            whole = _whole(identity, model)
            tag = source_tag(model)
        answer = json_answer({"dataSource": whole, **_warnings(identity, model, body)})
        with_tag(answer, tag)
        return answer

    def destroy(self, request: Request, reference: str) -> HttpResponse:
        """`DELETE data-sources/:id`, with its entries, rules and sessions."""
        precondition = Precondition.of(request._request)
        model = self._managed(request, reference, "delete")
        permissions.require(self.identity(request), "delete", model)
        with atomic():
            # Whoever adds an entry waits; else that entry would be left without its data source.
            sources.lock(model.pk)
            DataSource.objects.select_for_update().filter(pk=model.pk).first()
            permissions.require(self.caller_now(request), "delete", model)
            model.refresh_from_db()
            precondition.check(source_tag(model))
            model.delete()
        return json_answer({})

    def _managed(self, request: Request, reference: str, action: str) -> DataSource:
        """The data source, for a caller who may see it or do this to it; who may not is told that
        the right is missing, whether it exists or not.
        """
        identity = self.identity(request)
        if identity.is_anonymous:
            raise LoginRequired(SIGN_IN)
        model = _model(self.guard(request, reference))
        if model is not None:
            known = permissions.may_see(identity, model)
            if known or permissions.may(identity, action, model):
                return model
        _refuse(identity, action)


def _refuse(identity: Identity, action: str) -> NoReturn:
    """The same for a data source that is not there and for one that is none of the caller's."""
    permissions.require(identity, action)
    raise NotFound("there is no such data source")


def _model(door: Guard) -> DataSource | None:
    if door.source is None:
        return None
    return DataSource.objects.filter(pk=door.source.id).first()


# -- reading the body


def _fill(model: DataSource, body: dict[str, Any]) -> None:
    for key in _SETTABLE:
        if key not in body:
            continue
        value = body[key]
        if key in ("name", "type") and not isinstance(value, str):
            raise Malformed(f"`{key}` is text")
        if key == "definition" and value is None:
            value = {}
        setattr(model, key, value)
    if "columns" in body:
        model.written_columns = []


def _save(model: DataSource) -> None:
    try:
        with atomic():
            sources.save(model)
    except ValidationError as error:
        raise Malformed(_told(error)) from None
    except IntegrityError:
        raise Malformed("`name`: there is a data source of that name already") from None


def _told(error: ValidationError) -> str:
    if not hasattr(error, "error_dict"):
        return "; ".join(error.messages)
    return "; ".join(
        f"`{key}`: {message}" for key, texts in error.message_dict.items() for message in texts
    )


def _fit_to_create(identity: Identity, body: dict[str, Any]) -> None:
    permissions.require(identity, "add")
    _fit_to_set_login(identity, {}, body.get("definition"))


def _fit_to_change(identity: Identity, model: DataSource, body: dict[str, Any]) -> None:
    if any(key in body for key in _SETTABLE):
        permissions.require(identity, "change", model)
    if "accessRules" in body or "definition" in body or body.get("revision") is not None:
        permissions.require(identity, "change_rules", model)


def _fit_to_set_login(identity: Identity, before: Any, after: Any) -> None:
    if changes_login(before, after):
        permissions.require(identity, "set_login")


def _app_id(in_body: Any, in_query: str | None) -> int | None:
    """The id of the app from the body or the query string, or None. Raises `Malformed`."""
    numbers = {_number(value, "appId") for value in (in_body, in_query) if value is not None}
    if not numbers:
        return None
    if len(numbers) > 1:
        raise contradiction("appId")
    number = numbers.pop()
    if not App.objects.filter(pk=number).exists():
        raise Malformed(f"`appId`: there is no app {number}")
    return number


def _number(value: Any, place: str) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:30])
    if value.__class__ is not int or not 0 < value <= MAX_INTEGER:
        raise Malformed(f"`{place}` is a whole number from 1, not `{shown(value)}`")
    return int(value)


def _fields(attributes: str | None) -> tuple[str, ...]:
    if attributes is None:
        return FIELDS
    names = attributes.split(",")
    for name in names:
        if name not in FIELDS:
            raise Malformed(
                f"`attributes`: there is no `{shown(name)}`; there are {', '.join(FIELDS)}"
            )
    return tuple(names)


# -- the answer


def _body(model: DataSource, fields: tuple[str, ...]) -> dict[str, Any]:
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


def _rules(model: DataSource) -> dict[str, Any]:
    return {"accessRules": rules_of(model), "revision": model.revision}


def _whole(identity: Identity, model: DataSource) -> dict[str, Any]:
    """All fields, and the rules for those who may change them."""
    rules = _rules(model) if permissions.may(identity, "change_rules", model) else {}
    return {**_body(model, FIELDS), **rules}


def _save_rules(identity: Identity, model: DataSource, rules: Any) -> None:
    save_rules(model, rules, user_behind(identity), origin=Revision.Origin.API)


def _warnings(identity: Identity, model: DataSource, body: dict[str, Any]) -> dict[str, Any]:
    """What the checks say about the rules that were set, if any were. They are stored by now."""
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


def _short(door: Guard) -> dict[str, Any]:
    """For those whom some rule could let in: the columns that such a rule opens."""
    assert door.source is not None
    opened = [
        rule
        for rule in door.ruleset.rules
        if rule.enabled and rule.broken is None and keeps_out(rule, door.identity) is None
    ]
    columns = [
        column
        for column in door.source.columns
        if any(rule.script is None and rule.columns.shows(column) for rule in opened)
    ]
    return {"id": door.source.id, "name": door.source.name, "columns": columns}
