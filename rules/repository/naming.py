"""Names of data sources that rules test as the user's `Source`.

A rule that lets in the users of `Users` means the data source that has this name now. Renaming it
therefore changes those rules too, or is refused. No other data source can get a name that rules
test, since its users would get what the rules give.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Q, TextField
from django.db.models.functions import Cast

from rowkeeper.datasources.catalog.saving import naming
from rowkeeper.datasources.models import DataSource
from rowkeeper.datasources.permissions.rights import may
from rowkeeper.datasources.values.validation import join_some, printable

from ..models import AccessRule, Revision
from .rules import rules_of, save_rules

_SOURCE = re.compile(r"\bSource\b")
TAKEN = "this name cannot be used"


@dataclass(frozen=True, slots=True)
class Tested:
    """The rules of a data source that test a name: their positions, and those of scripts."""

    data_source: DataSource
    positions: tuple[int, ...]
    scripts: tuple[int, ...]

    def __str__(self) -> str:
        found = sorted({*self.positions, *self.scripts})
        listed = ", ".join(map(str, found[:8])) + (" and more" if len(found) > 8 else "")
        return (
            f"rule{'s' if len(found) > 1 else ''} {listed} of `{printable(self.data_source.name)}`"
        )


def tested(name: str, contained: bool = True) -> list[Tested]:
    """The data sources with rules that test this name, ordered by id.

    `contained`: include rules that test for a part of it (`contains`).
    """
    rows = AccessRule.objects.annotate(
        allow_text=Cast("allow", TextField()), script_text=Cast("script", TextField())
    ).filter(Q(allow_text__contains='"Source"') | Q(script_text__contains="Source"))
    by_source: dict[int, tuple[list[int], list[int]]] = {}
    for row in rows.values("data_source_id", "position", "allow", "script"):
        positions, scripts = by_source.setdefault(row["data_source_id"], ([], []))
        if isinstance(row["script"], str):
            if _script_names(row["script"], name):
                scripts.append(row["position"])
        elif _conditions_name(row["allow"], name, contained):
            positions.append(row["position"])
    models = DataSource.objects.in_bulk([key for key, found in by_source.items() if any(found)])
    return [
        Tested(model, tuple(sorted(by_source[key][0])), tuple(sorted(by_source[key][1])))
        for key, model in sorted(models.items())
    ]


def _conditions_name(allow: Any, name: str, contained: bool) -> bool:
    user = allow.get("user") if isinstance(allow, dict) else None
    conditions = user.get("Source") if isinstance(user, dict) else None
    if not isinstance(conditions, dict):
        return False
    found = conditions.get("contains")
    if contained and isinstance(found, str) and found in name:
        return True
    return name in (conditions.get("equals"), conditions.get("notequals"))


def _script_names(script: str, name: str) -> bool:
    """Whether a script mentions `Source`, and contains the name as a string."""
    if not _SOURCE.search(script) or name not in script:
        return False
    try:
        nodes = list(ast.walk(ast.parse(script)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return True
    return any(isinstance(node, ast.Constant) and node.value == name for node in nodes)


# -- renaming


def check_rename(
    source: DataSource, old: str, user: Any, change_rules: bool, how: str
) -> list[Tested]:
    """The rules that are to be changed together with the name, by `rename_in_rules`.

    `user` None: the operator of the site. `how`: what a person does to have the rules changed too,
    such as "Add the option".

    Raises `ValidationError` if rules test the old name and are not to be changed, or cannot be
    changed by this user or at all.
    """
    found = tested(old)
    if not found:
        return []
    mine = [each for each in found if user is None or may(user, "change_rules", each.data_source)]
    if len(mine) < len(found):
        raise ValidationError(
            {"name": "you cannot change this name; ask a user with permission to change all rules"}
        )
    scripts = [str(each) for each in found if each.scripts or _only_contains(each, old)]
    if scripts:
        raise ValidationError(
            {
                "name": f"rules test the name `{printable(old)}` as `Source` in a way that you "
                f"must change first: {join_some(scripts)}"
            }
        )
    if not change_rules:
        raise ValidationError(
            {
                "name": f"rules test the name `{printable(old)}` as `Source`: "
                f"{join_some([str(each) for each in found])}. They would no longer let these "
                f"people in. {how} to change the name in these rules as well"
            }
        )
    vars(source)["rowkeeper_rename_agreed"] = True
    return found


def _only_contains(found: Tested, name: str) -> bool:
    rules = rules_of(found.data_source)
    return any(
        not _conditions_name(rules[position - 1].get("allow"), name, False)
        for position in found.positions
    )


def rename_in_rules(
    found: Sequence[Tested], old: str, new: str, user: Any, origin: str = Revision.Origin.CODE
) -> None:
    """Replace the old name by the new one in the rules that test it.

    Raises `RulesInvalid` and `PermissionMissing` as a save does.
    """
    for each in found:
        rules = [_renamed(rule, old, new) for rule in rules_of(each.data_source)]
        note = f"`{old}` is now called `{new}`"
        save_rules(each.data_source, rules, user, origin=origin, note=note)


def _renamed(rule: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    if not _conditions_name(rule.get("allow"), old, False):
        return rule
    allow = rule["allow"]
    conditions = {
        op: new if op in ("equals", "notequals") and value == old else value
        for op, value in allow["user"]["Source"].items()
    }
    return {**rule, "allow": {**allow, "user": {**allow["user"], "Source": conditions}}}


def _check_name(sender: object, source: DataSource, before: str | None, **kwargs: Any) -> None:
    """Raise `ValidationError` if rules test the new name, or the old one would be lost to them."""
    if tested(source.name, contained=False):
        raise ValidationError({"name": TAKEN})
    is_agreed = vars(source).pop("rowkeeper_rename_agreed", False)
    if before is not None and not is_agreed and source.definition.get("login") and tested(before):
        raise ValidationError(
            {"name": f"rules test the name `{printable(before)}` as `Source`; change them first"}
        )


def connect() -> None:
    """Connect the signal. Called once, when the app is ready."""
    naming.connect(_check_name, dispatch_uid="rowkeeper-naming")
