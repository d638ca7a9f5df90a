"""The places that use API tokens.

Rules name tokens, but the admin of tokens must not import rules. The app of the rules registers
here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from .models import ApiToken

# Takes a token and the user who sees the result. Returns lines of text, and whether there may be
# more that this user may not see.
Uses: TypeAlias = Callable[[ApiToken, Any], tuple[list[str], bool]]
_registered: list[Uses] = []


def register(uses: Uses) -> None:
    """Add a function that finds uses of a token. Adding it twice has no further effect."""
    if uses not in _registered:
        _registered.append(uses)


@dataclass(frozen=True, slots=True)
class UsesOfToken:
    """The uses of a token that a user may see. `hidden`: there may be others."""

    lines: list[str]
    hidden: bool

    @classmethod
    def of(cls, token: ApiToken, user: Any) -> UsesOfToken:
        """Collect the uses from all registered functions."""
        found = [uses(token, user) for uses in _registered]
        return cls([line for lines, _ in found for line in lines], any(more for _, more in found))
