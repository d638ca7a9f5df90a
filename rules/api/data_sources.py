"""The management of data sources, by Django's permissions (site-wide or for one), not by rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from django.http import HttpResponse
from rest_framework.request import Request

from rowkeeper.accounts import permissions
from rowkeeper.accounts.errors import SIGN_IN, LoginRequired, PermissionMissing
from rowkeeper.accounts.identity import Identity
from rowkeeper.datasources import store
from rowkeeper.datasources.catalog import registry
from rowkeeper.datasources.catalog.etags import source_tag
from rowkeeper.datasources.database.connection import atomic
from rowkeeper.datasources.errors import Malformed, NotFound
from rowkeeper.datasources.models import DataSource
from rowkeeper.datasources.query.select import parse_bool
from rowkeeper.datasources.query.select import parse_natural as whole_number
from rowkeeper.datasources.values.validation import problem_with_text

from ..access.guard import Guard
from ..access.idempotency import Repeated
from ..access.parsing import row_of
from ..describe.history import first_changes
from ..repository.conflicts import require_revision
from .base import Endpoint, hashes_outside, json_answer
from .bodies import json_body
from .data_source_bodies import (
    SETTABLE,
    app_id_of,
    body_of,
    check_right_to_set_login,
    check_rights_to_change,
    check_rights_to_create,
    fields_of,
    fill,
    new_of,
    number_of,
    save,
    save_named,
    set_rules,
    short_of,
    warnings_of,
    whole_of,
)
from .idempotent import IdempotentRequest, replayed
from .preconditions import Precondition, refuse_precondition, with_tag
from .source_pages import SourcePage
from .switches import only_value


class DataSources(Endpoint):
    """Endpoints for data sources. Their entries have endpoints of their own."""

    def list(self, request: Request) -> HttpResponse:
        """`GET data-sources`: the data sources that the caller may see."""
        identity = self.identity(request)
        if identity.is_anonymous:
            raise LoginRequired(SIGN_IN)
        query = request._request.GET
        if identity.django_user_id is None:
            raise PermissionMissing("the permission `view` is required for this request")
        found = permissions.visible_sources(identity).order_by("id")
        if "appId" in query:
            found = found.filter(app_id=number_of(query["appId"], "appId"))
        for key in ("type", "excludeTypes"):
            problem = problem_with_text(query.get(key, ""))
            if problem:
                raise Malformed(f"`{key}` {problem}")
        if "type" in query:
            found = found.filter(type=query["type"])
        if "excludeTypes" in query:
            found = found.exclude(type__in=query["excludeTypes"].split(","))
        fields = fields_of(query.get("attributes"))
        page = SourcePage.of(request._request)
        models, pagination = page.read(found)
        return json_answer(
            {"dataSources": [body_of(model, fields) for model in models], **pagination}
        )

    @hashes_outside
    def create(self, request: Request) -> HttpResponse:
        """`POST data-sources`: create a data source. The caller gets every permission on it."""
        refuse_precondition(request._request)
        if self.identity(request).is_anonymous:
            raise LoginRequired(SIGN_IN)
        body = self.bulk_body(request, lambda: permissions.may(self.identity(request), "add"))
        identity = self.identity(request)
        check_rights_to_create(identity, body)
        entries = [] if body.get("entries") is None else body["entries"]
        if not isinstance(entries, list):
            raise Malformed("`entries` must be a list of rows")
        rows = [row_of(row, f"`entries[{at}]`") for at, row in enumerate(entries)]
        app_id = app_id_of(body.get("appId"), only_value(request._request, "appId"))
        model = DataSource(app_id=app_id, owner_id=identity.django_user_id)
        if "name" not in body:
            raise Malformed("`name` is missing")
        fill(model, body)
        idempotent = IdempotentRequest.of(request._request, identity)
        try:
            with atomic():
                idempotent.take()
                whole = self._created(request, model, rows, body)
                idempotent.keep({"id": model.pk})
        except Repeated as repeated:
            return replayed(_whole_answer(identity, _model_of(repeated, identity), body, 201))
        idempotent.clean_up()
        return _answer(whole, model, warnings_of(identity, model, body), 201)

    def _created(
        self,
        request: Request,
        model: DataSource,
        rows: Sequence[dict[str, Any]],
        body: dict[str, Any],
    ) -> dict[str, Any]:
        """Save a new data source with its rows and rules in a transaction. Returns the response."""
        save(model)
        identity = self.caller_now(request)
        check_rights_to_create(identity, body)
        source = registry.source_of(model)
        keys = dict.fromkeys(key for row in rows for key in row)
        with store.writing(source, keys, declares=True):
            store.insert(source, rows)
        if identity.django_user_id is not None:
            permissions.grant_all(identity.django_user_id, model)
        if body.get("accessRules") is not None:
            set_rules(identity, model, body["accessRules"])
        model.refresh_from_db()
        return new_of(model)

    def retrieve(self, request: Request, reference: str) -> HttpResponse:
        """`GET data-sources/:id`: complete for callers who may view it, short for callers whom a
        rule lets in.
        """
        identity = self.identity(request)
        guard = self.guard(request, reference)
        model = _model(guard)
        if model is not None and permissions.may_see(identity, model):
            return _whole_answer(identity, model, {})
        if guard.is_known:
            return json_answer({"dataSource": short_of(guard)})
        _refuse(identity, "view")

    @hashes_outside
    def update(self, request: Request, reference: str) -> HttpResponse:
        """`PUT data-sources/:id`: change the properties that are in the body."""
        identity = self.identity(request)
        body = json_body(request._request)
        idempotent = IdempotentRequest.of(request._request, identity)
        try:
            # The first time, the data source may have been given another name.
            seen = idempotent.seen()
            if seen is not None:
                raise seen
            model = self._managed(request, reference, "change")
            whole = self._changed(request, model, body, idempotent)
        except Repeated as repeated:
            model = _model_of(repeated, identity)
            check_rights_to_change(identity, model, body)
            return replayed(_whole_answer(identity, model, body))
        idempotent.clean_up()
        return _answer(whole, model, warnings_of(identity, model, body))

    def _changed(
        self,
        request: Request,
        model: DataSource,
        body: dict[str, Any],
        idempotent: IdempotentRequest,
    ) -> dict[str, Any]:
        """Change a data source under its lock, and return the response."""
        precondition = Precondition.of(request._request)
        revision = whole_number(body, "revision")
        # Only has an effect with a new name, but must be a valid switch in any case.
        parse_bool(body, "renameInRules")
        check_rights_to_change(self.identity(request), model, body)
        with atomic():
            registry.lock(model.pk)
            model.refresh_from_db()
            identity = self.caller_now(request)
            check_rights_to_change(identity, model, body)
            after = body.get("definition", model.definition)
            check_right_to_set_login(identity, model.definition, after)
            if model.definition.get("login") and body.get("name", model.name) != model.name:
                # Rules of other data sources test the name as `Source`.
                permissions.require(identity, "set_login")
            idempotent.take()
            precondition.check(source_tag(model))
            if revision is not None:
                require_revision(model, revision, first_changes)
            old, has_login = model.name, bool(model.definition.get("login"))
            if any(key in body for key in SETTABLE):
                fill(model, body)
                save_named(identity, model, body, old if has_login else None)
            if "accessRules" in body:
                set_rules(identity, model, body["accessRules"])
            idempotent.keep({"id": model.pk})
            model.refresh_from_db()
            return whole_of(identity, model)

    def destroy(self, request: Request, reference: str) -> HttpResponse:
        """`DELETE data-sources/:id`, with its entries, rules and sessions."""
        precondition = Precondition.of(request._request)
        idempotent = IdempotentRequest.of(request._request, self.identity(request))
        if idempotent.seen():
            return replayed(json_answer({}))
        model = self._managed(request, reference, "delete")
        permissions.require(self.identity(request), "delete", model)
        try:
            with atomic():
                registry.lock(model.pk)
                # Inserts wait for this. Otherwise, their entries would have no data source.
                DataSource.objects.select_for_update().filter(pk=model.pk).first()
                permissions.require(self.caller_now(request), "delete", model)
                idempotent.take()
                model.refresh_from_db()
                precondition.check(source_tag(model))
                model.delete()
                idempotent.keep({})
        except Repeated:
            return replayed(json_answer({}))
        idempotent.clean_up()
        return json_answer({})

    def _managed(self, request: Request, reference: str, action: str) -> DataSource:
        """The data source, if the caller may see it or do this to it.

        Other callers get the same error whether it exists or not: the permission is missing.
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
    """Raise the same exception for a data source that does not exist and one that is hidden from
    the caller.
    """
    permissions.require(identity, action)
    raise NotFound("there is data source not found")


def _model(guard: Guard) -> DataSource | None:
    if guard.source is None:
        return None
    return DataSource.objects.filter(pk=guard.source.id).first()


def _model_of(repeated: Repeated, identity: Identity) -> DataSource:
    """The data source of an earlier request, if it exists and the caller may still see it."""
    model = DataSource.objects.filter(pk=repeated.outcome["id"]).first()
    if model is None or not permissions.may_see(identity, model):
        _refuse(identity, "view")
    return model


def _whole_answer(
    identity: Identity, model: DataSource, body: dict[str, Any], status: int = 200
) -> HttpResponse:
    whole = whole_of(identity, model)
    return _answer(whole, model, warnings_of(identity, model, body), status)


def _answer(
    whole: dict[str, Any], model: DataSource, warnings: dict[str, Any], status: int = 200
) -> HttpResponse:
    """The response with one whole data source and its `ETag`."""
    answer = json_answer({"dataSource": whole, **warnings}, status)
    with_tag(answer, source_tag(model))
    return answer
