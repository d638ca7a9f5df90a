"""Who sends a request, as a value made on the server from the presented credential only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Identity:
    """Who sends a request, as rules see it.

    `user`: `{column: value}` of the session, or None if nobody is signed in.
    `token_id`: the API token's integer id. `app_id`: the app of the token or session.
    `entry_id`, `source_id`: the entry and the sign-in data source that a session belongs to.
    `django_user_id`: the user whose permissions count on the management endpoints. `django_user` is
    that user, read on first access. Rules never see it, and comparisons ignore it.
    """

    user: Mapping[str, Any] | None = None
    token_id: int | None = None
    app_id: int | None = None
    source_id: int | None = None
    entry_id: int | None = None
    django_user_id: int | None = None
    django_user: Any = field(default=None, compare=False, repr=False)

    @property
    def is_anonymous(self) -> bool:
        """True if no credential was presented."""
        return self.user is None and self.token_id is None


ANONYMOUS = Identity()
