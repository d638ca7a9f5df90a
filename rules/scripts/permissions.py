"""Which scripts a new list of rules brings: saving those needs `write_scripts`.

A script runs code and reads other data sources, so that whoever may change rules need not be
let write one. They may move a script, switch it off, or take it away, as they may any rule.
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
    """Nothing where the user may save these rules in place of those; `user` None: the operator.

    `after` need not have been checked; what is not a script as text is none. `take_over`: the
    texts of scripts whose look-ups shall have the rights of this user. Raises `PermissionMissing`,
    naming the rules.
    """
    if user is None:
        return
    if take_over and not may(user, "write_scripts", source):
        raise PermissionMissing("the permission `write_scripts` is needed to take over a script")
    new = new_scripts(before, after)
    if new and not may(user, "write_scripts", source):
        raise PermissionMissing(
            f"the permission `write_scripts` is needed for the script of {_named(new)}: it is new, "
            "changed, switched on, or for other apps than before"
        )


def new_scripts(before: Sequence[dict[str, Any]], after: Any) -> list[int]:
    """The positions, from 1, of rules whose script did not stand and run in `before`."""
    stood = Counter(_key(rule) for _, rule in _scripted(before))
    there = _scripted(after)
    moved = [at for at, rule in there if _take(stood, _key(rule))]
    # What does not run need only have been there.
    off = [
        at
        for at, rule in there
        if at not in moved and _is_off(rule) and _take_any(stood, rule["script"])
    ]
    return [at for at, _ in there if at not in moved and at not in off]


def _scripted(rules: Any) -> list[tuple[int, dict[str, Any]]]:
    """The rules with a script, each with its position from 1. Takes any value."""
    return [
        (at, rule)
        for at, rule in enumerate(rules if isinstance(rules, list | tuple) else (), 1)
        if isinstance(rule, dict) and isinstance(rule.get("script"), str)
    ]


_Key = tuple[Any, bool, str]


def _is_off(rule: dict[str, Any]) -> bool:
    return rule.get("enabled") is False


def _key(rule: dict[str, Any]) -> _Key:
    """What makes a script do what it does: its text, whether it is on, and for which apps."""
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
