"""Find the scripts that a new list of rules adds: saving those needs `write_scripts`.

A script runs code and reads other data sources, so the right to change rules does not include the
right to write scripts. It does include moving, disabling and removing them, as with any rule.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from rowkeeper.accounts.errors import PermissionMissing
from rowkeeper.datasources.models import DataSource
from rowkeeper.datasources.permissions.rights import may
from rowkeeper.datasources.values.codec import canonical


def require_right_to_scripts(
    user: Any,
    source: DataSource,
    before: Sequence[dict[str, Any]],
    after: Any,
    take_over: Collection[str] = (),
) -> None:
    """Return if the user may save `after` in place of `before`; `user` None: a command's operator.

    `after` need not be valid; a script that is not text does not count. `take_over`: the texts of
    scripts whose look-ups are to run with this user's permissions.

    Raises `PermissionMissing`, which names the rules.
    """
    if user is None:
        return
    if take_over and not may(user, "write_scripts", source):
        raise PermissionMissing("the permission `write_scripts` is required to take over a script")
    new = new_scripts(before, after)
    if new and not may(user, "write_scripts", source):
        raise PermissionMissing(
            f"the permission `write_scripts` is required for the script of {_named(new)}: it is "
            "new, changed, newly enabled, or for different apps"
        )


def new_scripts(before: Sequence[dict[str, Any]], after: Any) -> list[int]:
    """The positions, from 1, of rules whose script was not active in the same way in `before`."""
    stood = Counter(_key(rule) for _, rule in _scripted(before))
    there = _scripted(after)
    moved = [at for at, rule in there if _take(stood, _key(rule))]
    # A disabled script only needs to have existed before, in any state.
    off = [
        at
        for at, rule in there
        if at not in moved and _is_off(rule) and _take_any(stood, rule["script"])
    ]
    return [at for at, _ in there if at not in moved and at not in off]


def _scripted(rules: Any) -> list[tuple[int, dict[str, Any]]]:
    """The rules with a script, as (position from 1, rule). Accepts any value."""
    return [
        (at, rule)
        for at, rule in enumerate(rules if isinstance(rules, list | tuple) else (), 1)
        if isinstance(rule, dict) and isinstance(rule.get("script"), str)
    ]


_Key = tuple[Any, bool, str]


def _is_off(rule: dict[str, Any]) -> bool:
    return rule.get("enabled") is False


def _key(rule: dict[str, Any]) -> _Key:
    """What determines the effect of a script: its text, whether it is enabled, and its apps."""
    return rule["script"], _is_off(rule), canonical(rule.get("appId"))


def _take(stood: Counter[_Key], key: _Key) -> bool:
    if not stood[key]:
        return False
    stood[key] -= 1
    return True


def _take_any(stood: Counter[_Key], script: Any) -> bool:
    found = next((key for key in +stood if key[0] == script), None)
    return found is not None and _take(stood, found)


def _named(positions: list[int]) -> str:
    listed = ", ".join(map(str, positions[:8])) + (" and more" if len(positions) > 8 else "")
    return f"rule{'s' if len(positions) > 1 else ''} {listed}"
