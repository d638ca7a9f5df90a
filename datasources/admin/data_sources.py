"""Data sources in Django's admin, without their rules.

`rules.admin.data_sources` adds the rules and registers the page.

Users with permissions on single data sources see and edit only those. The pages on entries and on
permissions are in the modules that this one builds on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.db.models import Case, F, QuerySet, Value, When
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from .. import store
from ..catalog import registry, saving
from ..database.connection import atomic
from ..database.hashing import any_number, outside_transactions
from ..definition import login_of
from ..errors import Failure
from ..models import DataSource, is_name_taken
from ..permissions.rights import SEEING, having, may, may_see
from ..values.format import pretty
from .forms import FIELDS, WRITTEN, DataSourceForm
from .indexes import index_states
from .sharing import SharingPage
from .transfer import TransferPages


class Refused(Exception):
    """Errors that were only found while saving: nothing is saved, and the form shows them."""

    def __init__(self, errors: Sequence[tuple[str | None, str]]) -> None:
        super().__init__()
        self.errors = errors


class DataSourceAdmin(TransferPages, SharingPage):
    """The list of data sources, and a page for each."""

    form = DataSourceForm
    list_display = ["name", "shown_app", "column_count", "signs_in", "entries_link", "updated_at"]
    list_select_related = ["app"]
    search_fields = ["name", "shown_type", "shown_app_name"]
    search_help_text = "Search by name, type or app"
    list_per_page = 50

    # -- the list

    def get_queryset(self, request: HttpRequest) -> QuerySet[DataSource]:
        """Return the data sources with the fields that the list shows and searches.

        If the user may only see the name of a data source, the other fields are empty.
        """
        seen = having(request.user, SEEING, DataSource.objects.order_by())
        return (
            super()
            .get_queryset(request)
            .annotate(is_seen=Case(When(pk__in=seen.values("pk"), then=True), default=False))
            .annotate(
                shown_type=Case(When(is_seen=True, then=F("type")), default=Value("")),
                shown_app_name=Case(When(is_seen=True, then=F("app__name")), default=None),
            )
        )

    @admin.display(description="app", ordering="shown_app_name", empty_value="–")
    def shown_app(self, obj: DataSource) -> Any:
        """Return the app; None for users who may only see the name."""
        return obj.app if _is_seen(obj) else None

    @admin.display(description="columns", empty_value="–")
    def column_count(self, obj: DataSource) -> int | None:
        """Return the number of columns; None for users who may only see the name."""
        return len(obj.columns) if _is_seen(obj) else None

    @admin.display(description="people sign in", empty_value="–")
    def signs_in(self, obj: DataSource) -> str | None:
        """Return whether users can sign in; None for users who may only see the name."""
        if not _is_seen(obj):
            return None
        return "yes" if login_of(obj.definition) else "no"

    @admin.display(description="entries")
    def entries_link(self, obj: DataSource) -> SafeString:
        """Return the link to the entries."""
        url = reverse(self.url_name("entries"), args=[obj.pk])
        return format_html('<a href="{}" aria-label="Entries of {}">Entries</a>', url, obj.name)

    # -- the page: its fields, and which of them can be changed

    def get_fieldsets(self, request: HttpRequest, obj: DataSource | None = None) -> Any:
        """Return the fields: as text if the user may not change them, or only the name."""
        if obj is not None and not may_see(request.user, obj):
            return [(None, {"fields": ["name"]})]
        main = ["name", "type", "app", self._shown("columns", request, obj)]
        if obj is not None and obj.written_columns:
            main.append(self._shown(WRITTEN, request, obj))
        definition = self._shown("definition", request, obj)
        marks = ["indexed_columns"] if self._may_edit(request, obj, "change") else []
        return [
            (None, {"fields": main}),
            ("Indexes", {"fields": [*marks, "indexes_shown"] if obj else marks}),
            ("Definition", {"fields": [definition]}),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: DataSource | None = None) -> list[str]:
        """Return the fields that the user may not change.

        Rules can name the app of signed-in users, and the data source that they signed in against.
        So for a sign-in data source, both can only be changed by users who may change the sign-in.
        """
        readonly = [
            "columns_shown",
            "written_columns_shown",
            "indexes_shown",
            "definition_shown",
        ]
        if not self._may_edit(request, obj, "change"):
            return [*readonly, "name", "type", "app"]
        if not any(
            request.user.has_perm(f"rowkeeper_accounts.{right}_app") for right in ("view", "change")
        ):
            readonly.append("app")
        if obj is not None and login_of(obj.definition) and not may(request.user, "set_login"):
            readonly.extend(["name", "app"])
        return readonly

    def _shown(self, field: str, request: HttpRequest, obj: DataSource | None) -> str:
        right = "change_rules" if field == "definition" else "change"
        return field if self._may_edit(request, obj, right) else f"{field}_shown"

    def _may_edit(self, request: HttpRequest, obj: DataSource | None, right: str) -> bool:
        """Whether the user may edit; a user who creates a data source may edit all of it."""
        return obj is None or may(request.user, right, obj)

    def get_form(
        self,
        request: HttpRequest,
        obj: DataSource | None = None,
        change: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Return the form with exactly the fields that can be changed."""
        form: Any = super().get_form(request, obj, change, **kwargs)
        shown = flatten_fieldsets(self.get_fieldsets(request, obj))
        dropped = dict.fromkeys(name for name in form.declared_fields if name not in shown)
        own = {
            "may_set_login": may(request.user, "set_login"),
            "refused": getattr(request, "rowkeeper_refused", ()),
        }
        return type(form)(form.__name__, (form,), {**own, **dropped})

    @admin.display(description="columns")
    def columns_shown(self, obj: DataSource) -> SafeString:
        """Return the columns, for users who may not change them."""
        return _listed(obj.declared_columns)

    @admin.display(description="Columns added by writers")
    def written_columns_shown(self, obj: DataSource) -> SafeString:
        """Return the columns that nobody declared, for users who may not change them."""
        return _listed(obj.written_columns)

    @admin.display(description="state")
    def indexes_shown(self, obj: DataSource) -> SafeString:
        """Return the state of each index, and advice from recent queries."""
        return index_states(obj)

    @admin.display(description="definition")
    def definition_shown(self, obj: DataSource) -> SafeString:
        """Return the definition, for users who may not change it."""
        return format_html('<pre class="rowkeeper-json">{}</pre>', pretty(obj.definition))

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any
    ) -> Any:
        """Add links to the entries and to the permissions."""
        obj = kwargs.get("obj")
        if obj is not None and obj.pk is not None:
            context["page_links"] = self.page_links(request, obj)
        return super().render_change_form(request, context, *args, **kwargs)

    # -- saving

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> DataSource | None:
        """Return the data source; for a change, its state after concurrent writes have ended."""
        obj = super().get_object(request, object_id, from_field)
        if obj is None or request.method != "POST":
            return obj
        with atomic():
            registry.lock(obj.pk)
            return super().get_object(request, object_id, from_field)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show errors of saving on the form, with what was typed.

        Passwords are hashed outside the transaction of Django's own view.
        """
        change = partial(super().changeform_view, request, *args, **kwargs)
        try:
            return outside_transactions(change, allow=any_number)
        except Refused as refused:
            vars(request)["rowkeeper_refused"] = refused.errors
            return super().changeform_view(request, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: DataSource, form: Any, change: bool) -> None:
        """Save the data source through `catalog.saving`, if anything was changed."""
        if not change and request.user.pk is not None:
            obj.owner_id = request.user.pk
        if change and not set(form.changed_data) & {*FIELDS, WRITTEN}:
            return
        try:
            with atomic():
                saving.save(obj)
        except ValidationError as error:
            raise Refused([(None, message) for message in error.messages]) from None
        except Failure as error:
            raise Refused([("definition", error.message)]) from None
        except IntegrityError:
            if not is_name_taken(obj):
                raise
            raise Refused([("name", "another data source was just given this name")]) from None

    # -- deleting

    def get_deleted_objects(
        self, objs: Iterable[DataSource], request: HttpRequest
    ) -> tuple[list[Any], dict[Any, int], set[Any], list[Any]]:
        """Count the objects to delete; Django would read and list every entry."""
        selected = list(objs)
        entries = store.counts([obj.pk for obj in selected])
        lines: list[Any] = []
        for obj in selected:
            lines.append(format_html("Data source: {}", obj.name))
            lines.append([self.goes_along(obj, entries.get(obj.pk, 0))])
        lacking = {
            str(self.opts.verbose_name)
            for obj in selected
            if not self.has_delete_permission(request, obj)
        }
        counted = {"data sources": len(selected), "entries": sum(entries.values())}
        return lines, counted, lacking, []

    def goes_along(self, obj: DataSource, entries: int) -> str:
        """Describe what is deleted together with a data source."""
        words = f"{entries} {'entry' if entries == 1 else 'entries'}"
        return f"{words}, and everybody's session" if login_of(obj.definition) else words

    def delete_model(self, request: HttpRequest, obj: DataSource) -> None:
        """Delete the data source, and with it the permissions on it."""
        obj.delete()

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[DataSource]) -> None:
        """Delete several data sources, with the permissions on them."""
        for obj in queryset:
            self.delete_model(request, obj)


def _is_seen(obj: DataSource) -> bool:
    return bool(getattr(obj, "is_seen", False))


def _listed(names: Iterable[str]) -> SafeString:
    return format_html_join("", "<div><bdi>{}</bdi></div>", ((name,) for name in names))
