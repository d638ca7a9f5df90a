"""The differences of two lists of rules, in words: rules that moved, are new, gone or changed.

Takes rules as they are stored, so that any JSON value is accepted.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Any

from rowkeeper.datasources.values.codec import canonical
from rowkeeper.datasources.values.validation import join_some, printable

from .rule import allowed_in_words, requirements_in_words, sentence, summaries

# Rules that share a smaller part of their properties than this are different rules.
ALIKE = 0.5
# Comparing all pairs of rules takes time. In longer lists, rules are matched by position.
MAX_COMPARED = 60


def differences(before: Sequence[Any], after: Sequence[Any]) -> list[str]:
    """One line for each difference; an empty list without any."""
    pairs = _pairs(before, after)
    came = [at for at in range(len(after)) if at not in pairs]
    went = [at for at in range(len(before)) if at not in pairs.values()]
    still = _in_order([pairs[at] for at in sorted(pairs)])
    words = [sentence(each) for each in summaries(before)]
    lines = [f"rule {at + 1} was removed: {words[at]}" for at in went]
    words = [sentence(each) for each in summaries(after)]
    for at in range(len(after)):
        if at in came:
            lines.append(f"rule {at + 1} is new: {words[at]}")
            continue
        if pairs[at] not in still:
            lines.append(f"rule {pairs[at] + 1} moved to {at + 1}")
        if canonical(before[pairs[at]]) != canonical(after[at]):
            changed = list(_changes(before[pairs[at]], after[at])) or ["is written differently"]
            lines.extend(f"rule {at + 1} {text}" for text in changed)
    return lines


# -- which rule is which


def _pairs(before: Sequence[Any], after: Sequence[Any]) -> dict[int, int]:
    """{index in `after`: index in `before`} of the rules that are in both lists."""
    pairs: dict[int, int] = {}
    left = dict(enumerate(map(canonical, before)))
    for at, text in enumerate(map(canonical, after)):
        found = _nearest(at, [old for old, other in left.items() if other == text])
        if found is not None:
            pairs[at] = found
            del left[found]
    open_places = [at for at in range(len(after)) if at not in pairs]
    for at, old in _alike(before, list(left), after, open_places):
        if at not in pairs and old in left:
            pairs[at] = old
            del left[old]
    return pairs


def _nearest(at: int, places: list[int]) -> int | None:
    return min(places, key=lambda place: abs(place - at), default=None)


def _alike(
    before: Sequence[Any], olds: list[int], after: Sequence[Any], news: list[int]
) -> list[tuple[int, int]]:
    """Pairs of rules that are probably the same, as (new index, old index), best match first."""
    if len(olds) > MAX_COMPARED or len(news) > MAX_COMPARED:
        return [(at, at) for at in news if at in olds]
    scored = [
        (_likeness(before[old], after[at]), -abs(old - at), at, old) for at in news for old in olds
    ]
    return [(at, old) for score, _, at, old in sorted(scored, reverse=True) if score >= ALIKE]


def _likeness(old: Any, new: Any) -> float:
    """The share of properties that are equal; 2 for rules with the same name."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return 0
    if old.get("name") and old.get("name") == new.get("name"):
        return 2
    names = {*old, *new} - {"enabled"}
    equal = [n for n in names if n in old and n in new and canonical(old[n]) == canonical(new[n])]
    return len(equal) / len(names) if names else 0


def _in_order(places: list[int]) -> set[int]:
    """A longest increasing subsequence of distinct numbers: the rules that did not move."""
    ends: list[int] = []
    kept: list[list[int]] = []
    for place in places:
        at = bisect_left(ends, place)
        chain = [*(kept[at - 1] if at else []), place]
        if at == len(ends):
            ends.append(place)
            kept.append(chain)
        else:
            ends[at], kept[at] = place, chain
    return set(kept[-1]) if kept else set()


# -- what changed about one


def _changes(old: Any, new: Any) -> Iterator[str]:
    if not isinstance(old, dict) or not isinstance(new, dict):
        yield "was replaced"
        return
    if _is_on(old) != _is_on(new):
        yield f"is {'enabled' if _is_on(new) else 'disabled'}"
    if old.get("name") != new.get("name"):
        yield (
            (f"is now named “{printable(new['name'])}”")
            if new.get("name")
            else "no longer has a name"
        )
    yield from _list_changes("type", old, new, "is now also for", "is no longer for")
    if _differs("allow", old, new) or _differs("appId", old, new):
        yield f"is now for {allowed_in_words(new)}; before, for {allowed_in_words(old)}"
    for key in ("include", "exclude"):
        yield from _column_changes(key, old, new)
    yield from _requirement_changes(old, new)
    if _differs("script", old, new):
        yield _script_change(old.get("script"), new.get("script"))
    others = {*old, *new} - _KNOWN
    yield from (
        f"has a different `{printable(key)}`" for key in sorted(others) if _differs(key, old, new)
    )


_KNOWN = {
    "enabled",
    "name",
    "type",
    "allow",
    "appId",
    "include",
    "exclude",
    "require",
    "script",
}


def _is_on(rule: dict[str, Any]) -> bool:
    return rule.get("enabled") is not False


def _differs(key: str, old: dict[str, Any], new: dict[str, Any]) -> bool:
    if key not in old or key not in new:
        return (key in old) != (key in new)
    return canonical(old[key]) != canonical(new[key])


def _list_changes(
    key: str, old: dict[str, Any], new: dict[str, Any], more: str, less: str
) -> Iterator[str]:
    was, now = _texts(old.get(key)), _texts(new.get(key))
    added = [f"`{printable(item)}`" for item in now if item not in was]
    removed = [f"`{printable(item)}`" for item in was if item not in now]
    if added:
        yield f"{more} {join_some(added)}"
    if removed:
        yield f"{less} {join_some(removed)}"
    if _differs(key, old, new) and not added and not removed:
        yield f"has its `{key}` written differently"


def _column_changes(key: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    if key in old and key not in new:
        yield f"no longer has `{key}`, which was {_names(old[key])}"
    elif key in new and key not in old:
        yield f"now has `{key}`: {_names(new[key])}"
    else:
        yield from _list_changes(key, old, new, f"now has in `{key}`", f"no longer has in `{key}`")


def _names(value: Any) -> str:
    return join_some([f"`{printable(item)}`" for item in _texts(value)]) or "empty"


def _requirement_changes(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    was, now = requirements_in_words(old), requirements_in_words(new)
    yield from (f"now requires that {text}" for text in now if text not in was)
    yield from (f"no longer requires that {text}" for text in was if text not in now)
    if _differs("require", old, new) and sorted(was) == sorted(now):
        yield "has its `require` written differently"


def _script_change(old: Any, new: Any) -> str:
    if new is None:
        return "no longer has a script"
    lines = str(new).strip().count("\n") + 1
    now = f"of {lines} {'line' if lines == 1 else 'lines'}"
    return f"now has a script, {now}" if old is None else f"has a different script, {now}"


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list):
        return [] if value is None else [canonical(value)]
    return [item if isinstance(item, str) else canonical(item) for item in value]
