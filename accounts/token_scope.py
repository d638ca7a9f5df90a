"""Where API tokens are used.

Rules name tokens, and the admin of tokens does not know rules: the app of the rules registers here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from .models import ApiToken

# Takes a token and the user who asks. Returns lines of text, and whether there can be more that
# this user may not see.
Uses: TypeAlias = Callable[[ApiToken, Any], tuple[list[str], bool]]
_registered: list[Uses] = []


def register(uses: Uses) -> None:
    """Add a place where tokens can be used. Adding it twice is the same as once."""
    if uses not in _registered:
        _registered.append(uses)


@dataclass(frozen=True, slots=True)
class UsesOfToken:
    """What uses a token, as far as a user may know; `hidden`: there can be more."""

    lines: list[str]
    hidden: bool

    @classmethod
    def of(cls, token: ApiToken, user: Any) -> UsesOfToken:
        """From all that is registered."""
        found = [uses(token, user) for uses in _registered]
        return cls([line for lines, _ in found for line in lines], any(more for _, more in found))
