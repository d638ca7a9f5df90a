"""The site's addresses: the API under `/v1/`, the admin, and a start page that leads to it."""

from __future__ import annotations

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

admin.site.site_header = admin.site.site_title = "Rowkeeper"
admin.site.index_title = "Administration"

urlpatterns: list[URLPattern | URLResolver] = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("v1/", include("rules.api.urls")),
]
