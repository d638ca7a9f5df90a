"""The site, a bare DRF view that returns the same bytes as a guarded select, and the peer."""

from __future__ import annotations

from pathlib import Path

from django.http import HttpResponse
from django.urls import path
from rest_framework.request import Request
from rest_framework.views import APIView

from benchmarks.peer.views import Members
from project.urls import urlpatterns as site

BYTES = Path(__file__).parent / "var"


class Bare(APIView):
    """Nobody is asked, nothing is decided, nothing is read."""

    authentication_classes = ()
    permission_classes = ()
    bodies: dict[int, bytes] = {}

    def post(self, request: Request, name: int) -> HttpResponse:
        if name not in self.bodies:
            self.bodies[name] = (BYTES / f"{name}.json").read_bytes()
        return HttpResponse(self.bodies[name], content_type="application/json")


urlpatterns = [
    path("bare/<int:name>", Bare.as_view()),
    path("peer/", Members.as_view({"get": "list"})),
    *site,
]
