"""The admin's page on who has which permissions on one data source.

A user who may share gives and takes only permissions that they have themselves, and only for this
data source. `set_login` is site-wide and cannot be given here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.contrib import messages
from django.contrib.auth import get_user_model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path
from guardian.shortcuts import assign_perm, remove_perm

from ..database.connection import atomic
from ..models import DataSource
from ..permissions.rights import OBJECT_RIGHTS, given, permission, rights_on
from .entries import EntryPages
from .forms import PersonForm, RightsForm


@dataclass(slots=True)
class Holder:
    """A user or a group with permissions on a data source."""

    name: str
    rights: list[str] = field(default_factory=list)


class SharingPage(EntryPages):
    """Shows who has which permissions on a data source, and edits those of one user."""

    def get_urls(self) -> list[Any]:
        """Return the URLs, including that of the page on permissions."""
        view = self.admin_site.admin_view(self.rights_view)
        name = self.url_name("rights").removeprefix("admin:")
        return [path("<int:source_id>/rights/", view, name=name), *super().get_urls()]

    def rights_view(self, request: HttpRequest, source_id: int) -> HttpResponse:
        """Show everybody with permissions; with `?user=`, edit those of that user."""
        obj = self.own_source(request, source_id, "share")
        chosen = PersonForm(request.GET if "user" in request.GET else None)
        person = _person(chosen) if chosen.is_bound else None
        offered = rights_on(request.user, obj)
        form = None
        if person is not None:
            form = _form(request, obj, person, offered)
            if form.is_bound and form.is_valid():
                self._give(request, obj, person, offered, form.cleaned_data["rights"])
                return HttpResponseRedirect(request.path)
        return self.page(
            request,
            obj,
            "rights",
            "Permissions",
            subtitle=obj.name,
            chosen=chosen,
            person=person,
            form=form,
            fixed=[OBJECT_RIGHTS[r] for r in _held(obj, person) if r not in offered],
            people=_holders("user", obj),
            groups=_holders("group", obj),
        )

    def _give(
        self, request: HttpRequest, obj: DataSource, person: Any, offered: list[str], wanted: Any
    ) -> None:
        with atomic():
            held = _held(obj, person)
            gained = [right for right in offered if right in wanted and right not in held]
            lost = [right for right in offered if right not in wanted and right in held]
            for right in gained:
                assign_perm(permission(right), person, obj)
            for right in lost:
                remove_perm(permission(right), person, obj)
            name = person.get_username()
            words = [f"gave {name} `{right}`" for right in gained]
            words += [f"took `{right}` from {name}" for right in lost]
            if words:
                self.log_change(request, obj, f"Permissions: {', '.join(words)}.")
        messages.success(
            request, f"Permissions of {name}: {', '.join(_held(obj, person)) or 'none'}."
        )


def _person(chosen: PersonForm) -> Any:
    """Return the active user with the typed name, or None, with an error on the form."""
    if not chosen.is_valid():
        return None
    users = get_user_model()._default_manager.filter(is_active=True)
    name = chosen.cleaned_data["user"]
    person = users.filter(**{get_user_model().USERNAME_FIELD: name}).first()
    if person is None:
        chosen.add_error("user", "there is no active user of this name")
    return person


def _form(request: HttpRequest, obj: DataSource, person: Any, offered: list[str]) -> RightsForm:
    choices = [(right, OBJECT_RIGHTS[right]) for right in offered]
    if request.method == "POST":
        return RightsForm(request.POST, choices=choices)
    return RightsForm(initial={"rights": _held(obj, person)}, choices=choices)


def _held(obj: DataSource, person: Any) -> list[str]:
    """Return the permissions that this user has on this data source, without those of groups."""
    if person is None:
        return []
    rows = given("user", obj.pk).filter(user_id=person.pk)
    names = set(rows.values_list("permission__codename", flat=True))
    return [right for right in OBJECT_RIGHTS if f"{right}_datasource" in names]


def _holders(kind: str, obj: DataSource) -> list[Holder]:
    """Return all users or groups with permissions on this data source, by one query."""
    found: dict[Any, Holder] = {}
    for row in given(kind, obj.pk).select_related(kind, "permission").order_by(f"{kind}_id"):
        holder = getattr(row, kind)
        name = holder.get_username() if kind == "user" else str(holder)
        right = row.permission.codename.removesuffix("_datasource")
        if right in OBJECT_RIGHTS:
            found.setdefault(holder.pk, Holder(name)).rights.append(right)
    order = list(OBJECT_RIGHTS)
    for each in found.values():
        each.rights.sort(key=order.index)
    return sorted(found.values(), key=lambda each: each.name)
