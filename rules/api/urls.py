"""The URLs of the API, without a trailing slash. All others are answered by a 404 in JSON."""

from __future__ import annotations

from typing import Any

from django.urls import path, re_path, register_converter
from django.urls.converters import StringConverter

from .base import Unknown
from .commit import EntriesAndCommits
from .data_sources import DataSources
from .entries import Entries
from .schema import Schema
from .session import SessionViewSet


class Columns(StringConverter):
    """Names of columns: they may hold slashes, and ends of lines."""

    regex = r"[\s\S]+"


register_converter(Columns, "columns")
_ONE = "data-sources/<str:reference>"
_ANY: Any = dict.fromkeys(
    ("get", "post", "put", "patch", "delete", "head", "options", "trace"), "nothing"
)

urlpatterns = [
    path("", Unknown.as_view(_ANY), name="rowkeeper-api-root"),
    path("user", SessionViewSet.as_view({"get": "user"})),
    path("session", SessionViewSet.as_view({"get": "session"})),
    path("session/authorize", SessionViewSet.as_view({"post": "authorize"})),
    path("session/logout", SessionViewSet.as_view({"post": "logout"})),
    path("data-sources", DataSources.as_view({"get": "list", "post": "create"})),
    path(_ONE, DataSources.as_view({"get": "retrieve", "put": "update", "delete": "destroy"})),
    path(f"{_ONE}/data/query", Entries.as_view({"post": "query"})),
    path(
        f"{_ONE}/data",
        EntriesAndCommits.as_view({"get": "list", "put": "insert", "post": "bulk"}),
    ),
    path(
        f"{_ONE}/data/<str:entry_id>",
        Entries.as_view({"get": "retrieve", "put": "update", "delete": "destroy"}),
    ),
    path(f"{_ONE}/commit", EntriesAndCommits.as_view({"post": "commit"})),
    path(f"{_ONE}/indexes/<columns:names>", Entries.as_view({"get": "indexes"})),
    path("schema", Schema.as_view({"get": "document"})),
    re_path(r"^[\s\S]*\Z", Unknown.as_view(_ANY)),
]
