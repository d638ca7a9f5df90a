"""The admin's pages that import a file into a data source, and export one from it.

An import has three steps: the file is uploaded and stored, its changes are shown, and what was
shown is carried out. A script shows the progress of each; the pages also work without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from tempfile import TemporaryFile
from typing import Any

from django.contrib import messages
from django.http import (
    FileResponse,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
    JsonResponse,
    StreamingHttpResponse,
)
from django.urls import path, reverse
from django.utils.http import content_disposition_header, urlencode

from .. import store
from ..catalog import registry
from ..catalog.registry import Source
from ..database.connection import atomic
from ..database.hashing import outside_transactions
from ..errors import Failure
from ..models import DataSource
from ..permissions.rights import may
from ..query.where import EVERYTHING
from ..transfer import uploads
from ..transfer.apply import Changed, carry_out
from ..transfer.export import CONTENT_TYPES, Export
from ..transfer.preview import Preview, in_words, preview
from ..transfer.problems import Unreadable
from ..transfer.uploads import Gone, Upload
from ..values.validation import printable
from .base import GuardedPages
from .transfer_forms import ExportForm, ImportForm


class TransferPages(GuardedPages):
    """Import and export of the entries of one data source."""

    def get_urls(self) -> list[Any]:
        """Return the URLs, including those of import and export."""
        pages: list[tuple[str, Any, str]] = [
            ("import/", self.import_view, "import"),
            ("import/preview/", self.preview_view, "import_preview"),
            ("import/progress/", self.progress_view, "import_progress"),
            ("export/", self.export_view, "export"),
        ]
        own = [
            path(
                f"<int:source_id>/{address}",
                self.admin_site.admin_view(view),
                name=self.url_name(page).removeprefix("admin:"),
            )
            for address, view, page in pages
        ]
        return [*own, *super().get_urls()]

    def page_links(self, request: HttpRequest, obj: DataSource) -> list[tuple[str, str]]:
        """Return the links, with those to import and export next to the one to the entries."""
        links = super().page_links(request, obj)
        own = [
            (text, reverse(self.url_name(page), args=[obj.pk]))
            for text, page, right in (("Import", "import", "change"), ("Export", "export", "view"))
            if may(request.user, right, obj)
        ]
        at = 1 if links and links[0][0] == "Entries" else 0
        return [*links[:at], *own, *links[at:]]

    # -- import

    def import_view(self, request: HttpRequest, source_id: int) -> HttpResponse:
        """Show the form; with a file, store it and continue with its preview."""
        obj = self.own_source(request, source_id, "change")
        source = registry.source_of(obj)
        form = ImportForm(source, request.POST or None, request.FILES or None)
        if request.method == "POST" and form.is_valid():
            try:
                upload = self._kept(request, source, form)
            except Failure as error:
                form.add_error("file", error.message)
            else:
                return self._go(request, self._preview_address(obj, upload))
        if request.method == "POST" and _wants_json(request):
            return JsonResponse({"errors": list(_errors(form))}, status=400)
        return self.page(
            request,
            obj,
            "import",
            "Import entries",
            subtitle=obj.name,
            form=form,
            progress_url=reverse(self.url_name("import_progress"), args=[obj.pk]),
        )

    def _kept(self, request: HttpRequest, source: Source, form: ImportForm) -> Upload:
        """Store the upload if it can be read as a table. Raises `Failure`."""
        file = form.cleaned_data["file"]
        name = printable(file.name)
        upload = uploads.keep(file.chunks(), name, request.user.pk, source.id, form.job_fields())
        try:
            upload.job.plan(source)
        except Failure:
            upload.forget()
            raise
        return upload

    def preview_view(self, request: HttpRequest, source_id: int) -> HttpResponse:
        """Show what the upload named by `upload` would change; on POST, carry it out."""
        obj = self.own_source(request, source_id, "change")
        try:
            upload = self._upload(request, obj)
            if request.method == "POST":
                return self._confirmed(request, obj, upload)
            source = registry.source_of(obj)
            found = _previewed(upload, source)
        except Gone as error:
            messages.error(request, _sentence(error.message))
            return self._go(request, reverse(self.url_name("import"), args=[obj.pk]))
        if _wants_json(request):
            return self._go(request, self._preview_address(obj, upload))
        return self.page(
            request,
            obj,
            "import_preview",
            "Import entries",
            subtitle=upload.name,
            upload=upload,
            found=found,
            progress_url=reverse(self.url_name("import_progress"), args=[obj.pk]),
            import_url=reverse(self.url_name("import"), args=[obj.pk]),
        )

    def _confirmed(self, request: HttpRequest, obj: DataSource, upload: Upload) -> HttpResponse:
        upload.claim()
        try:
            words = outside_transactions(lambda: self._imported(request, obj, upload))
        except Failure as error:
            upload.release()
            words = "Check the preview again." if isinstance(error, Changed) else ""
            messages.warning(request, f"{_sentence(error.message)} {words}".strip())
            return self._go(request, self._preview_address(obj, upload))
        except BaseException:
            upload.release()
            raise
        upload.forget()
        messages.success(request, f"Imported {upload.name}: {words}.")
        return self._go(request, reverse(self.url_name("entries"), args=[obj.pk]))

    def _imported(self, request: HttpRequest, obj: DataSource, upload: Upload) -> str:
        with atomic():
            seen, progress = request.POST.get("seen", ""), upload.progress("writing")
            words = in_words(carry_out(upload.job, obj.pk, seen, progress))
            self.log_change(request, obj, f"Imported {upload.name}: {words}.")
        return words

    def progress_view(self, request: HttpRequest, source_id: int) -> HttpResponse:
        """Return the progress of the upload's preview or import as JSON, for the script."""
        obj = self.own_source(request, source_id, "change")
        try:
            return JsonResponse(self._upload(request, obj).noted_progress())
        except Gone:
            return JsonResponse({})

    def _upload(self, request: HttpRequest, obj: DataSource) -> Upload:
        parameters = request.POST if request.method == "POST" else request.GET
        return uploads.find(parameters.get("upload", ""), request.user.pk, obj.pk)

    def _preview_address(self, obj: DataSource, upload: Upload) -> str:
        address = reverse(self.url_name("import_preview"), args=[obj.pk])
        return f"{address}?{urlencode({'upload': upload.id})}"

    def _go(self, request: HttpRequest, address: str) -> HttpResponse:
        """Redirect to another page; a script gets its URL as JSON."""
        if _wants_json(request):
            return JsonResponse({"next": address})
        return HttpResponseRedirect(address)

    # -- export

    def export_view(self, request: HttpRequest, source_id: int) -> HttpResponseBase:
        """Show the form; with `format`, return the file."""
        obj = self.own_source(request, source_id, "view")
        source = registry.source_of(obj)
        form = ExportForm(request.GET if "format" in request.GET else None)
        if form.is_bound and form.is_valid():
            try:
                return _file(Export(source, form.cleaned_data["ids"]), form.cleaned_data["format"])
            except Unreadable as error:
                form.add_error("format", error.message)
        return self.page(
            request,
            obj,
            "export",
            "Export entries",
            subtitle=obj.name,
            form=form,
            total=store.count(source, EVERYTHING),
            secret=sorted(source.secret & set(source.columns)),
        )


def _previewed(upload: Upload, source: Source) -> dict[str, Any]:
    """Return what the upload would change now; the result is stored until something changes."""
    kept = upload.kept_preview()
    try:
        if kept is not None and kept["seen"] == upload.job.seen(source):
            return kept
        found = preview(upload.job, source, upload.progress("reading"))
    except FileNotFoundError:
        raise Gone from None
    except Unreadable as error:
        return Preview(upload.job.mode, problems=[error.message]).as_json()
    upload.keep_preview(found.as_json())
    return found.as_json()


def _file(export: Export, kind: str) -> HttpResponseBase:
    """Return the response with the file. Raises `Unreadable` before any of it is sent."""
    headers = {
        "Content-Type": CONTENT_TYPES[kind],
        "Content-Disposition": content_disposition_header(True, f"{_safe(export)}.{kind}") or "",
        "Cache-Control": "no-store",
    }
    if kind == "csv":
        return StreamingHttpResponse(_bytes(export.as_csv()), headers=headers)
    # The response closes it.
    place = TemporaryFile()  # noqa: SIM115
    try:
        export.as_xlsx(place)
    except BaseException:
        place.close()
        raise
    place.seek(0)
    return FileResponse(place, headers=headers)


def _bytes(texts: Iterator[str]) -> Iterator[bytes]:
    return (text.encode() for text in texts)


def _safe(export: Export) -> str:
    """Return the data source's name in a form that is safe for a file name."""
    name = "".join(
        c if c not in '\\/:*?"<>|%' and c.isprintable() else "_" for c in export.source.name
    )
    return name.strip(" .")[:100] or "entries"


def _wants_json(request: HttpRequest) -> bool:
    return request.headers.get("Accept", "").startswith("application/json")


def _errors(form: ImportForm) -> Iterator[str]:
    for name, errors in form.errors.items():
        for error in errors:
            label = form.fields[name].label if name in form.fields else None
            yield f"{label}: {error}" if label else str(error)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
