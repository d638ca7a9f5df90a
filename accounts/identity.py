"""Who asks, as a value. Made on the server from the presented credential, and from nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Identity:
    """The one who asks, as rules see it.

    `user`: column -> value of the session, or None where nobody is signed in.
    `token_id`: the API token's integer id. `app_id`: the app of the token or session.
    `entry_id`, `source_id`: the row that a session of a sign-in data source stands for.
    `django_user_id`: whose rights count on the elevated endpoints; `django_user` is that user, read
    when first looked at. Rules never see it, and it makes no difference to who is who.
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
        """True where no credential was presented at all."""
        return self.user is None and self.token_id is None


ANONYMOUS = Identity()
