"""What a script returns, how it spells columns, and what the text of things tells it."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest

from rowkeeper.rules.engine.parse import parse_rules
from rowkeeper.rules.sandbox import check
from tests.support.sandboxing import ask

# -- a list of columns that is not there


@pytest.mark.parametrize("name", ["include", "exclude"])
@pytest.mark.parametrize(
    "value", ["None", 'user.get("Columns")', "user.Columns", "1", '"Name"', "[None]", "{}", "True"]
)
def test_a_malformed_list_of_columns_does_not_grant(name: str, value: str) -> None:
    verdict = ask(f'return {{"granted": True, "{name}": {value}}}')
    assert not verdict.granted and verdict.error is None
    assert verdict.note == f"its `{name}` is not a list of text, so it does not grant the request"


def test_a_record_is_held_to_the_same() -> None:
    script = "user.clear()\nuser.granted = True\nuser.include = None\nreturn user"
    assert not ask(script).granted
    assert ask(script.replace("None", '["Name"]')).include == ("Name",)


# -- the spelling of columns

MICRO, MU = "\u00b5", "\u03bc"
COMPOSED = "Pre\u0301nom"
SPELLINGS = {
    "read": (f"return {{'granted': entry.data.Gesperrt_{MICRO}}}", 1, 31),
    "write": (f"x = 1\nquery.Wert_{MICRO} = 5", 2, 7),
    "delete": (f"del query.Wert_{MICRO}", 1, 11),
    "in place": (f"query.Wert_{MICRO} += 5", 1, 7),
    "decomposed": (f"x = user.{COMPOSED}", 1, 10),
    "full width": ("x = user.\uff21dmin", 1, 10),
    "ligature": ("x = user.pro\ufb01le", 1, 10),
    "method": ("query.\uff50op('a')", 1, 7),
    "below": (f"x = user.Wert_{MICRO}.b.c", 1, 10),
    "two lines": (f"x = (user\n  .Wert_{MICRO})", 2, 4),
    "after wide text": (f"x = 'äöü€'; y = user.Wert_{MICRO}", 1, 22),
    "keyword": (f"query.update(Wert_{MICRO}=5)", 1, 14),
    "keyword of dict": (f"x = dict(Wert_{MICRO}=5)", 1, 10),
    "keyword of a function": (f"f = lambda **k: k\nx = f(a=1, Wert_{MICRO}=5)", 2, 12),
}
IN_TEXTS = {
    "f-string": f"x = f'{{user.Wert_{MICRO}}}'",
    "format": f"x = f'{{user.Name:{{user.Wert_{MICRO}}}}}'",
    "over lines": f"x = f'''\n\n{{user.Name}} {{user.Wert_{MICRO}!r}}'''",
    "joined": f"x = ('a'\n  f'b {{user.Wert_{MICRO}}}')",
    "nested": f"x = f'{{[y.Wert_{MICRO} for y in (user,)]}}'",
    "keyword": f"x = f'{{dict(Wert_{MICRO}=1)}}'",
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_name_that_python_reads_as_another_is_refused(name: str) -> None:
    script, line, column = SPELLINGS[name]
    (problem,) = check(script)
    assert (problem.line, problem.column) == (line, column)
    assert "a different name" in problem.message and '"' in problem.message
    verdict = ask(script)
    assert not verdict.granted and "is not valid" in (verdict.error or "")


@pytest.mark.parametrize("name", IN_TEXTS)
def test_inside_texts(name: str) -> None:
    (problem,) = check(IN_TEXTS[name])
    assert "a different name" in problem.message


def test_the_message_says_what_to_write() -> None:
    (problem,) = check(f"query.Wert_{MICRO} = 5")
    assert f'`query["Wert_{MICRO}"]`' in problem.message
    (problem,) = check(f"x = entry.data.Wert_{MICRO}")
    assert f'`entry.data["Wert_{MICRO}"]`' in problem.message
    (problem,) = check(f"x = dict(Wert_{MICRO}=1)")
    assert f'`**{{"Wert_{MICRO}": ...}}`' in problem.message


@pytest.mark.parametrize(
    "script",
    [
        f'x = user["Wert_{MICRO}"]',
        f"x = user.Wert_{MU}  # {MICRO}, Wert_{MICRO}",
        f'x = user.Wert_{MU}, user["Wert_{MICRO}"]',
        f'x = f"{{user.Name}} costs 5 {MICRO}g"',
        "x = user." + unicodedata.normalize("NFC", COMPOSED),
        "x = user.名前, user.Größe",
        f"{COMPOSED} = 1\nx = {COMPOSED}",
    ],
)
def test_what_is_spelled_as_it_is_read_is_taken(script: str) -> None:
    assert check(script) == []


def test_a_list_of_rules_with_such_a_script_is_not_saved() -> None:
    rules = [{"script": f"return {{'granted': user.Wert_{MICRO} == 1}}"}]
    (problem,) = parse_rules(rules, frozenset())[1]
    assert "script" in problem.path and f'`user["Wert_{MICRO}"]`' in str(problem)


# -- the text of things

THINGS = [
    *("DataSources", "DataSources(1)", 'DataSources("Users")', 'DataSources("Users").find'),
    *('DataSources("Users").find()', "now", "now_ms", "print", "range", "enumerate", "zip"),
    *("reversed", "len", "str", "dict", "isinstance", "Exception", "KeyError", "lambda: 1"),
    *("(x for x in [1])", "[].append", '"".join', "{}.get", "user", "query"),
    *("user.keys()", "{}.items()", "range(3)", "{1}", "(1,)", "None", "user.Home", "own"),
    *("[own, now]", '{"a": now}', "(now,)", "{now}", "{now: 1}.keys()", "e", "user.Nope"),
    *('DataSources("Users").find_one', "{(y for y in [1])}", "entry", "type"),
]
TEXTS = [
    *("str({})", 'f"{{{}}}"', 'f"{{{}!r}}"', 'f"{{{}!s}}"', 'f"{{{}!a}}"', '"%s" % ({},)'),
    *('"%r" % ({},)', '"%a" % ({},)', "str([{}])", "str(KeyError({}))", "str(Exception({}, 1))"),
    *("print({})", "print([{}], Exception({}))", '"%s" % {{"a": {}}}', "str({}) + 1"),
]
# What raises, with the thing in what is told of it.
RAISES = [
    *("raise KeyError({})", "raise Exception([{}])", "[1].index({})", "[1].remove({})"),
    *("(1,).index({})", "{{}}[{}]", "{{}}.pop({})", "set([1]).remove({})", "int({})", "float({})"),
    *("{} + 1", "1 + {}", "-({})", "({})()", "({})(1, 2, 3, 4, a=5)", "({}).nope", "({}).nope()"),
    *("({})[0]", "({})[now]", "for x in {}: x + ''", "1 in ({})", "({}) < 1", "sum([{}])"),
    *(
        '"".join([{}])',
        "sorted([{}, 1])",
        "max({}, 1)",
        "len({})",
        "range({})",
        "isinstance(1, {})",
    ),
    *("query.a = {}", "raise {}", "dict({})", "dict([{}])", "round({})", "abs({})", "[1][{}]"),
    *('"%d" % ({},)', '"a" * ({})', 'f"{{{}:d}}"', "zip({}, strict=3)", "a, b, c = {}"),
    *("DataSources({})", "DataSources(1).find({})", "DataSources(1).find(where={})"),
    *(
        "DataSources(1).find(limit={})",
        "DataSources(1).count(where={{'a': {}}})",
        "print(1, sep={})",
    ),
    *("assert False, {}", "str.x({})", "try:\n    1 / 0\nexcept {}:\n    pass", "[].sort(key={})"),
    *('"a".replace({}, {})', "({}).a = 1", "({})[0] = 1", "({}).a += 1", "(lambda a: a)({}, 1)"),
]
BEFORE = (
    "def own(a):\n    return a\ntry:\n    {}[now]\nexcept KeyError as problem:\n    e = problem\n"
)
BAD = ("0x", "inside", "RestrictedPython", "rules.", "functools", "site-packages", "<locals>")


def clean(text: str) -> bool:
    """Whether there is no address and no path of a module in it."""
    return not any(part in text for part in BAD)


@pytest.mark.parametrize("thing", THINGS)
def test_no_text_of_a_thing_has_an_address(thing: str) -> None:
    lines = "\n".join(
        f"try:\n    print({text.format('t', 't')})\nexcept Exception as z:\n    print(str(z))"
        for text in TEXTS
    )
    verdict = ask(
        f"{BEFORE}t = {thing}\n{lines}\nreturn {{'granted': True}}", entry={"id": 1, "data": {}}
    )
    assert verdict.granted, verdict
    assert clean(verdict.printed), verdict.printed


@pytest.mark.parametrize("thing", THINGS)
def test_no_message_has_an_address(thing: str) -> None:
    tries = []
    for text in RAISES:
        body = text.format("t", "t").replace("\n", "\n    ")
        tries.append(f"try:\n    {body}\nexcept Exception as z:\n    print(str(z))\n    print(z)")
    entry = {"id": 1, "data": {}}
    for at in range(0, len(tries), 20):
        lines = "\n".join(tries[at : at + 20])
        script = f"{BEFORE}t = {thing}\n{lines}\nreturn {{'granted': True}}"
        assert check(script) == []
        verdict = ask(script, entry=entry)
        assert clean(verdict.printed), verdict.printed
        assert verdict.granted or clean(verdict.error or ""), verdict


@pytest.mark.parametrize("thing", THINGS)
def test_no_failure_has_an_address(thing: str) -> None:
    grants = "\nreturn {'granted': True}"
    for text in ("raise KeyError(t)", "[].index(t)", "t()", f"query.a = t{grants}", "t + 1"):
        verdict = ask(f"{BEFORE}t = {thing}\n{text}", entry={"id": 1, "data": {}})
        told: Any = (verdict.error, verdict.note, verdict.printed, verdict.lookups)
        assert clean(repr(told)), told


def test_functions_work_as_before() -> None:
    script = """
def twice(f, *a, **k):
    return f(f(*a, **k))
add = lambda n, by=1: n + by
def deep(n):
    return n if n == 0 else deep(n - 1)
get = {"Email": user.Email}.get
found = [twice(add, 1), sorted([3, 1], key=lambda x: -x), deep(100), get("Email")]
found.append(sum(x for x in (y * 2 for y in [1, 2])))
a, b = (x for x in "ab")
found.append([a, b, *(x for x in [1])])
found.append(max([1, 2], key=add))
push = found.append
push(str(add))
print(found)
return {"granted": twice == twice}
"""
    verdict = ask(script)
    assert verdict.granted, verdict
    expected = "[3, [3, 1], 0, 'bob@acme.com', 6, ['a', 'b', 1], 2, '<function>']\n"
    assert verdict.printed == expected
