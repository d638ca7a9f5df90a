"""The rows, and who may view which: each by one of many people, as in a site of that size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType
from guardian.models import UserObjectPermission
from rest_framework.authtoken.models import Token

from .models import Member

OTHERS = 1_000


def fill(rows: Sequence[dict[str, Any]], people: dict[str, Any]) -> dict[str, str]:
    """Write the rows; `people`: who, and a test of the rows that they may view. Their tokens."""
    members = Member.objects.bulk_create(
        [
            Member(
                email=row["Email"],
                name=row["Name"],
                role=row["Role"],
                department=row["Department"],
                salary=row["Salary"],
                manager_notes=row.get("ManagerNotes") or "",
            )
            for row in rows
        ],
        batch_size=5_000,
    )
    view = Permission.objects.get(codename="view_member")
    kind = ContentType.objects.get_for_model(Member)
    users = {name: User.objects.create(username=f"peer-{name}") for name in people}
    others = User.objects.bulk_create([User(username=f"other-{n}") for n in range(OTHERS)])
    granted = [(others[at % OTHERS], member) for at, member in enumerate(members)]
    for name, may_view in people.items():
        granted += [
            (users[name], member)
            for row, member in zip(rows, members, strict=True)
            if may_view(row)
        ]
    UserObjectPermission.objects.bulk_create(
        [
            UserObjectPermission(
                permission=view, content_type=kind, object_pk=str(member.pk), user=user
            )
            for user, member in granted
        ],
        batch_size=5_000,
    )
    return {name: Token.objects.create(user=user).key for name, user in users.items()}
