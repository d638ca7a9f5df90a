"""The admin's pages on the entries of one data source, guarded by Django's permissions.

Access rules do not apply here, but secret columns are never shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters

from .. import store
from ..catalog import registry
from ..catalog.registry import Source
from ..database.connection import atomic
from ..database.hashing import any_number, outside_transactions
from ..errors import Failure, Malformed
from ..models import DataSource
from ..permissions.rights import may
from ..store import StoredEntry
from ..transfer.display import Cell, cell
from ..values.codec import canonical
from ..values.format import pretty
from ..values.validation import MAX_INTEGER
from .base import GuardedPages
from .confirmations import NOTHING_SAVED, Question, entry_lines, guesses
from .entry_table import EntryList
from .forms import EntryForm

_SKELETON_COLUMNS = 30


class EntryPages(GuardedPages):
    """Entries as a table, a form for one entry, and a confirmation before entries are deleted."""

    def get_urls(self) -> list[Any]:
        """Return the URLs, including those of the pages on entries."""
        name = self.url_name
        pages: list[tuple[str, Any, str]] = [
            ("entries/", self.entries_view, "entries"),
            ("entries/add/", self.entry_view, "entry_add"),
            ("entries/delete/", self.entries_delete_view, "entries_delete"),
            ("entries/<int:entry_id>/", self.entry_view, "entry"),
        ]
        own = [
            path(
                f"<int:source_id>/{address}",
                self.admin_site.admin_view(view),
                name=name(page).removeprefix("admin:"),
            )
            for address, view, page in pages
        ]
        return [*own, *super().get_urls()]

    def entries_view(self, request: HttpRequest, source_id: int) -> HttpResponse:
        """Show a page of entries: searched, ordered, fifty at a time."""
        obj = self.own_source(request, source_id, "view", "change")
        entries = EntryList(registry.source_of(obj), request.GET.dict())
        return self.page(
            request,
            obj,
            "entries",
            "Entries",
            subtitle=obj.name,
            entries=entries,
            may_change=may(request.user, "change", obj),
            links=[link for link in self.page_links(request, obj) if link[0] != "Entries"],
        )

    # -- one entry

    @method_decorator(sensitive_post_parameters("row"))
    def entry_view(
        self, request: HttpRequest, source_id: int, entry_id: int | None = None
    ) -> HttpResponse:
        """Show a new or an existing entry as JSON, to be read or changed."""
        new = entry_id is None
        rights = ("change",) if new or request.method == "POST" else ("view", "change")
        obj = self.own_source(request, source_id, *rights)
        source = registry.source_of(obj)
        entry = None if entry_id is None else _entry(source, entry_id)
        if request.method == "POST":
            form = EntryForm(request.POST)
            if form.is_valid() and self._save_entry(request, obj, entry, form):
                return self._after_saving(request, obj)
        else:
            form = EntryForm(initial=_initial(source, entry))
        may_change = may(request.user, "change", obj)
        return self.page(
            request,
            obj,
            "entry_form",
            f"Add an entry to {obj.name}" if entry is None else f"Entry {entry.id} of {obj.name}",
            entry=entry,
            form=form,
            text=pretty(_shown_row(source, entry)) if entry else "",
            secret=sorted(source.secret),
            may_change=may_change,
        )

    def _save_entry(
        self, request: HttpRequest, obj: DataSource, entry: StoredEntry | None, form: EntryForm
    ) -> bool:
        """Save what was typed; return False if the form has to show an error."""
        try:
            words = outside_transactions(
                lambda: self._written(request, obj, entry, form), allow=any_number
            )
        except Unconfirmed as parameters:
            # The transaction has ended, so nobody waits while names are compared.
            more = guesses(parameters.columns, form.cleaned_data["row"])
            form.question = replace(parameters.question, lines=(*parameters.question.lines, *more))
            form.add_error("row", NOTHING_SAVED)
            return False
        except Failure as error:
            form.add_error("row", error.message)
            return False
        messages.success(request, words or "Nothing was changed.")
        return True

    def _written(
        self, request: HttpRequest, obj: DataSource, entry: StoredEntry | None, form: EntryForm
    ) -> str:
        with atomic():
            words = _write(obj, entry, form)
            if words:
                self.log_change(request, obj, words)
        return words

    def _after_saving(self, request: HttpRequest, obj: DataSource) -> HttpResponse:
        page = "entry_add" if "_addanother" in request.POST else "entries"
        return HttpResponseRedirect(reverse(self.url_name(page), args=[obj.pk]))

    # -- deleting

    def entries_delete_view(self, request: HttpRequest, source_id: int) -> HttpResponse:
        """Ask for confirmation to delete the entries named by `entry`; on POST, delete them."""
        obj = self.own_source(request, source_id, "change")
        parameters = request.POST if request.method == "POST" else request.GET
        chosen = [int(text) for text in parameters.getlist("entry") if _is_id(text)]
        back = reverse(self.url_name("entries"), args=[obj.pk])
        if not chosen:
            messages.warning(request, "Select at least one entry first.")
            return HttpResponseRedirect(back)
        source = registry.source_of(obj)
        if request.method == "POST":
            self._delete_entries(request, obj, source, chosen)
            return HttpResponseRedirect(back)
        found = store.fetch(source, chosen).values()
        return self.page(
            request,
            obj,
            "entries_delete",
            "Delete entries",
            lines=[(entry.id, _preview(source, entry)) for entry in found],
        )

    def _delete_entries(
        self, request: HttpRequest, obj: DataSource, source: Source, chosen: list[int]
    ) -> None:
        with store.writing(source, (), whole=True):
            found = sorted(store.fetch(source, chosen))
            gone = store.delete(source, found)
            words = f"Deleted {gone} {'entry' if gone == 1 else 'entries'}"
            if gone:
                self.log_change(request, obj, f"{words}: {', '.join(map(str, found))}.")
        messages.success(request, f"{words}.")


def _entry(source: Source, entry_id: int) -> StoredEntry:
    """Return an entry of this data source. Raises `Http404` if there is none with this id."""
    found = store.fetch(source, [entry_id]).get(entry_id) if entry_id <= MAX_INTEGER else None
    if found is None:
        raise Http404
    return found


class Unconfirmed(Exception):
    """A change has effects that have to be confirmed first. Nothing was written."""

    def __init__(self, question: Question, columns: Sequence[str]) -> None:
        super().__init__()
        self.question = question
        # The columns of the data source.
        self.columns = columns


def _check_meant(
    source: Source, before: dict[str, Any] | None, row: dict[str, Any], about: Any, form: EntryForm
) -> None:
    """Raise `Unconfirmed` for a row that deletes values or creates columns without confirmation."""
    lines = entry_lines(source.columns, source.declared, before, row)
    question = Question.of(lines, [source.id, about, row])
    if not question.is_answered(form.data):
        raise Unconfirmed(question, source.columns)


def _write(obj: DataSource, entry: StoredEntry | None, form: EntryForm) -> str:
    """Write the row, and describe what was done; return "" if nothing was changed.

    Raises `Malformed` if somebody else has changed or deleted the entry in the meantime, and
    `Unconfirmed`.
    """
    typed = form.cleaned_data
    registry.lock(obj.pk)
    source = registry.source_of(obj)
    row, order = typed["row"], typed["order"] or 0
    if entry is None:
        _check_meant(source, None, row, None, form)
        made = store.admin_save(source, None, row, order)
        assert made is not None
        return f"Added entry {made.id}."
    now = store.fetch(source, [entry.id], lock=True).get(entry.id)
    if now is None:
        raise Malformed("this entry was deleted in the meantime")
    if now.updated_at.isoformat() != typed["opened"]:
        raise Malformed(
            "this entry was changed after you opened it, so nothing was saved: open it again "
            "to see its current state, and repeat your change there"
        )
    if canonical(row) == canonical(_shown_row(source, now)) and order == now.order:
        return ""
    _check_meant(source, _shown_row(source, now), row, [entry.id, typed["opened"]], form)
    store.admin_save(source, entry.id, row, order)
    return f"Changed entry {entry.id}."


def _initial(source: Source, entry: StoredEntry | None) -> dict[str, Any]:
    if entry is None:
        current = {source.login.password_column} if source.login else set()
        hidden = source.secret - current
        columns = [name for name in source.columns if name not in hidden]
        return {"row": dict.fromkeys(columns[:_SKELETON_COLUMNS])}
    return {
        "row": _shown_row(source, entry),
        "order": entry.order,
        "opened": entry.updated_at.isoformat(),
    }


def _shown_row(source: Source, entry: StoredEntry) -> dict[str, Any]:
    """Return the row without secrets, in column order, which PostgreSQL does not keep."""
    names = [*(name for name in source.columns if name in entry.data), *entry.data]
    return {name: entry.data[name] for name in names if name not in source.secret}


def _preview(source: Source, entry: StoredEntry) -> list[Cell]:
    return [cell(value) for value in list(_shown_row(source, entry).values())[:3]]


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= MAX_INTEGER
