"""A ModelViewSet whose rows are those that the caller has guardian's permission to view."""

from __future__ import annotations

from typing import Any

from guardian.shortcuts import get_objects_for_user
from rest_framework.authentication import TokenAuthentication
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.serializers import ModelSerializer
from rest_framework.viewsets import ModelViewSet

from .models import Member


class MemberSerializer(ModelSerializer):
    """All but the salary."""

    class Meta:
        model = Member
        exclude = ["salary"]


class Members(ModelViewSet):
    """As the documentation of the two packages has it; no page, so that nothing is counted."""

    queryset = Member.objects.all()
    serializer_class = MemberSerializer
    authentication_classes = [TokenAuthentication]
    permission_classes = [IsAuthenticated]
    renderer_classes = [JSONRenderer]

    def filter_queryset(self, queryset: Any) -> Any:
        found = get_objects_for_user(
            self.request.user, "peer.view_member", queryset, accept_global_perms=False
        )
        asked = self.request.query_params
        for name in ("email", "department"):
            if name in asked:
                found = found.filter(**{name: asked[name]})
        return found[: int(asked.get("limit", 1_000))]
