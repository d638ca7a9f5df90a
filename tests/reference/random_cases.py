"""Random rows, users, rules and wheres for the tests that compare readings; small pools, so that
things meet, and hostile members in each of them.
"""

from __future__ import annotations

import os
from random import Random
from typing import Any

# How many cases a comparison makes in all, and from which seed; both can be set from outside.
CASES = int(os.environ.get("READING_CASES", "10000"))
SEED = int(os.environ.get("READING_SEED", "2026"))
CHUNKS = 10

COLUMNS = ["Email", "Dept", "Age", "Tags", "a.b", "a", "data", "it's", "100%", "x') OR 1=1 --"]
KEYS = [*COLUMNS, "extra", "b", "0", "x.y", "Email__startswith", "😀"]
TEXTS = ["", "a", "A", "ab", "aXb", "b", "%", "a%b", "_", "1", "true", "null", "ä", "Ä", "ÄB", "İ"]
TEXTS += ["ΣΑΣ", "σας", "\\", '"', "o'brien", "{{user.Email}}", "a\nb", "ẞ", "\U00010400"]
NUMBERS = [0, 1, 1.0, 2, -1, 1.5, 0.1, 2**53 + 1, float(2**53), 2**63 - 1, -(2**63), 1e21, 1e-7]
SCALARS: list[Any] = [*TEXTS, *NUMBERS, True, False]
# These meet often.
COMMON: list[Any] = ["a", "A", "ab", "ΣΑΣ", "İ", "ä", "1", 1, 1.0, 0, 2, True, False, ""]
PATHS = ["a.b", "a.b.c", "a.0", "a.0.b", "data.Age", "data.a", "Tags.0", "Tags.1.b", "x.y", "b.a"]
PATHS += ["Email.a", "data.Email", "data.x", "Dept.b"]
TEMPLATES = [
    "{{user.Email}}",
    "{{user.[Dept]}}",
    "{{ user.Age }}",
    "{{user.Tags}}",
    "{{{user.Email}}}",
]
TEMPLATES += [
    "x{{user.Age}}",
    "{{user.Dept}}b",
    "{{user.a.b}}",
    "{{user.[it's]}}",
    "{{user.[a.b]}}",
]
OPERATIONS = ["select", "insert", "update", "delete"]
PATTERNS = [
    "a",
    "A",
    "%a",
    "a%",
    "%a%",
    "a%b",
    "%",
    "%%",
    "",
    "ä",
    "Ä%",
    "_",
    "i",
    "Σ%",
    "\\",
    "100%",
]


def chance(rnd: Random, share: float) -> bool:
    return rnd.random() < share


def some(rnd: Random, pool: list[Any], most: int) -> list[Any]:
    return rnd.sample(pool, min(len(pool), rnd.randint(0, most)))


def scalar(rnd: Random) -> Any:
    return rnd.choice(COMMON if chance(rnd, 0.7) else SCALARS)


def value(rnd: Random, depth: int = 0) -> Any:
    """Any JSON value, mostly a scalar."""
    dice = rnd.random()
    if dice < 0.66 or depth > 3:
        return scalar(rnd)
    if dice < 0.74:
        return None
    if dice < 0.9:
        return [value(rnd, depth + 1) for _ in range(rnd.randint(0, 3))]
    return {
        rnd.choice(["a", "b", "c", "0", "a.b", "Age"]): value(rnd, depth + 1)
        for _ in range(rnd.randint(0, 2))
    }


def row(rnd: Random) -> dict[str, Any]:
    return {
        rnd.choice(COLUMNS[:6] if chance(rnd, 0.6) else KEYS): value(rnd)
        for _ in range(rnd.randint(0, 7))
    }


def user(rnd: Random) -> dict[str, Any] | None:
    """A session's user, with values missing; or nobody."""
    if chance(rnd, 0.15):
        return None
    found = {key: scalar(rnd) for key in ("Email", "Dept", "it's", "a.b") if chance(rnd, 0.8)}
    if chance(rnd, 0.8):
        found["Age"] = rnd.choice([1, 1.0, 2, 1.5, True, None, "1"])
    if chance(rnd, 0.6):
        found["Tags"] = rnd.choice([["a", "b"], [], [["a"]], "a", None, {"a": 1}])
    if chance(rnd, 0.6):
        found["a"] = rnd.choice([{"b": "a"}, {"b": 1}, {}, None, "a", {"b": {"c": 1}}])
    return found


# -- wheres


def tests(rnd: Random, depth: int = 0) -> Any:
    """What may stand under a column."""
    if chance(rnd, 0.3):
        return value(rnd, 2)
    found: dict[str, Any] = {}
    for op in rnd.sample(OPS, rnd.choice([1, 1, 1, 2])):
        if op in ("$in", "$nin"):
            found[op] = [value(rnd, 2) for _ in range(rnd.randint(0, 3))]
        elif op == "$exists":
            found[op] = chance(rnd, 0.5)
        elif op in ("$like", "$iLike"):
            found[op] = rnd.choice(PATTERNS)
        elif op == "$not":
            found[op] = operators(rnd, depth + 1)
        elif op in ("$and", "$or", "$nor"):
            found[op] = [operators(rnd, depth + 1) for _ in range(rnd.randint(1, 2))]
        else:
            found[op] = value(rnd, 2) if chance(rnd, 0.9) else None
    return found


OPS = ["$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$exists", "$like", "$iLike"]
OPS += ["$eq", "$ne", "$in", "$nin", "$not", "$and", "$or", "$nor"]


def operators(rnd: Random, depth: int) -> dict[str, Any]:
    if depth > 2:
        return {rnd.choice(["$eq", "$ne", "$gt", "$lte"]): scalar(rnd)}
    found = tests(rnd, depth)
    while not (isinstance(found, dict) and any(key.startswith("$") for key in found)):
        found = tests(rnd, depth)
    return found


def where(rnd: Random, depth: int = 0) -> dict[str, Any]:
    if chance(rnd, 0.65) or depth > 2:
        keys = [rnd.choice(COLUMNS if chance(rnd, 0.6) else [*KEYS, *PATHS]) for _ in range(2)]
        return {key: tests(rnd) for key in keys[: rnd.choice([0, 1, 1, 1, 2])]}
    key = rnd.choice(["$and", "$or", "$nor", "$not"])
    if key == "$not":
        return {key: where(rnd, depth + 1)}
    return {key: [where(rnd, depth + 1) for _ in range(rnd.randint(1, 3))]}


# -- rules


def condition(rnd: Random) -> dict[str, Any]:
    op = rnd.choice(["equals", "equals", "notequals", "contains"])
    wanted = rnd.choice(TEMPLATES) if chance(rnd, 0.4) else scalar(rnd)
    if op == "contains" and wanted == "":
        wanted = "a"
    if isinstance(wanted, str) and wanted.startswith("{{") and wanted not in TEMPLATES:
        wanted = TEMPLATES[0]
    return {op: wanted}


def rule(rnd: Random, operation: str) -> dict[str, Any]:
    """A valid rule, mostly for one operation."""
    found: dict[str, Any] = {
        "type": [operation, *some(rnd, [o for o in OPERATIONS if o != operation], 2)],
        "allow": allow(rnd),
    }
    if chance(rnd, 0.1):
        found["type"] = rnd.sample(OPERATIONS, 2)
    if chance(rnd, 0.3):
        found["enabled"] = chance(rnd, 0.7)
    if chance(rnd, 0.15):
        found["appId"] = rnd.choice([[], [1], [1, 2], [2]])
    if chance(rnd, 0.65):
        found["require"] = [requirement(rnd) for _ in range(rnd.choice([1, 1, 2]))]
    if chance(rnd, 0.3):
        found["exclude"] = some(rnd, [*COLUMNS, "extra", "b"], 3)
    if chance(rnd, 0.25):
        found["include"] = some(rnd, [*COLUMNS, "extra", "b"], 8)
    return found


def allow(rnd: Random) -> Any:
    dice = rnd.random()
    if dice < 0.45:
        return "all"
    if dice < 0.7:
        return "loggedIn"
    if dice < 0.8:
        return {"tokens": rnd.choice([[1], [2], [1, 2]])}
    columns = rnd.sample(["Email", "Dept", "Age", "Tags", "a.b", "missing"], rnd.choice([1, 1, 2]))
    return {"user": {column: condition(rnd) for column in columns}}


def requirement(rnd: Random) -> Any:
    if chance(rnd, 0.2):
        return rnd.choice(COLUMNS)
    columns = rnd.sample(COLUMNS[:6] if chance(rnd, 0.7) else COLUMNS, rnd.choice([1, 1, 1, 2]))
    found = {}
    for column in columns:
        found[column] = condition(rnd)
        if chance(rnd, 0.15):
            found[column] |= condition(rnd)
    return found


# -- wheres that have a chance


def implying(rnd: Random, wants: list[Any]) -> dict[str, Any]:
    """A where that means to imply what a rule wants: its required names and rendered conditions."""
    parts = [implying_one(rnd, item) for item in wants]
    if chance(rnd, 0.5):
        parts.append(where(rnd, 1))
    rnd.shuffle(parts)
    if chance(rnd, 0.2):
        return {"$or": [{"$and": [*parts, where(rnd, 2)]} for _ in range(rnd.randint(1, 2))]}
    if len({key for part in parts for key in part}) == sum(map(len, parts)) and chance(rnd, 0.6):
        return {key: held for part in parts for key, held in part.items()}
    return {"$and": parts} if parts else {}


def implying_one(rnd: Random, item: Any) -> dict[str, Any]:
    if isinstance(item, str):
        return {item: scalar(rnd) if chance(rnd, 0.6) else tests(rnd)}
    column, op, wanted = item
    ways: list[Any]
    if op == "equals":
        ways = [wanted, {"$eq": wanted}, {"$in": [wanted]}, {"$and": [{"$eq": wanted}, {"$ne": 7}]}]
    elif op == "notequals":
        ways = [{"$ne": wanted}, {"$nin": [wanted, scalar(rnd)]}, scalar(rnd), [wanted]]
        ways += [{"$in": [scalar(rnd), value(rnd, 2)]}, {"$or": [{"$ne": wanted}, scalar_op(rnd)]}]
    else:
        text = str(wanted)
        ways = [f"x{text}y", text.upper(), {"$like": f"%{text}%"}, {"$iLike": text.upper()}]
        ways += [{"$iLike": f"a%{text}"}, {"$like": text[:1]}, wanted]
        ways += [{"$like": f"%{text[:1]}%{text[1:]}%"}]
    return {column: rnd.choice(ways)}


def scalar_op(rnd: Random) -> dict[str, Any]:
    return {"$eq": scalar(rnd)}
