"""The site's URLs: the API under `/v1/`, the admin, and a start page that leads to it."""

from __future__ import annotations

from django.contrib import admin
from django.templatetags.static import static
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

admin.site.site_header = admin.site.site_title = "Rowkeeper"
admin.site.index_title = "Administration"
# The start page only redirects to the admin.
admin.site.site_url = None

urlpatterns: list[URLPattern | URLResolver] = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    # Browsers request it on their own.
    path("favicon.ico", RedirectView.as_view(url=static("rowkeeper/favicon.svg"))),
    path("admin/", admin.site.urls),
    path("v1/", include("rowkeeper.rules.api.urls")),
]

handler500 = "project.faults.server_error"
