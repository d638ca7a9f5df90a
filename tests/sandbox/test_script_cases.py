"""Scripts as data: honest ones do what they say, hostile ones get nothing and stop nobody.

Each hostile script grants if it gets its way. In the environment, in a file, behind a socket and in
another rule's run lies a marker; nothing that a hostile script causes may show it.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rowkeeper.rules.sandbox import check
from tests.support.sandboxing import GRANTS, HONEST, HOSTILE, USER, ask, limits

MARKER = "kept-from-scripts-6f1c"


@pytest.mark.filterwarnings("ignore::SyntaxWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("case", HONEST, ids=[case["name"] for case in HONEST])
def test_honest_script(case: dict[str, Any]) -> None:
    sent: Any = case.get("query", {})
    if "many" in case:
        sent = [{"Name": f"row {n}", "Age": n} for n in range(case["many"])]
    before = json.dumps(sent)
    names = ("operation", "user", "entry", "entries")
    assert check(case["script"]) == []
    verdict = ask(case["script"], query=sent, **{n: case[n] for n in names if n in case})

    assert verdict.granted is case["granted"], verdict
    assert verdict.error == case.get("error")
    assert verdict.note == case.get("note", "")
    assert list(verdict.include or []) == case.get("include", [])
    assert list(verdict.exclude or []) == case.get("exclude", [])
    assert json.dumps(sent) == before, "what was sent is changed"
    if case.get("untouched"):
        assert verdict.query is sent
    if "after" in case:
        assert json.dumps(verdict.query) == json.dumps(case["after"])
    if "after_many" in case:
        assert verdict.query == [{**row, "By": USER["Email"]} for row in sent]
    if "printed" in case:
        assert verdict.printed == case["printed"]
    if "printed_length" in case:
        assert len(verdict.printed) == case["printed_length"]
    if "lookups" in case:
        assert list(verdict.lookups) == case["lookups"]
    assert verdict.milliseconds > 0 and not verdict.busy


def test_empty_include_opens_nothing() -> None:
    assert ask('return {"granted": True, "include": []}').include == ()
    assert ask('return {"granted": True}').include is None


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A third of a second for a script; markers lie where one that broke out would look."""
    folder = tmp_path_factory.mktemp("marked")
    (folder / "marker").write_text(MARKER)
    os.environ["ROWKEEPER_MARKER"] = MARKER
    here = os.getcwd()
    os.chdir(folder)
    with limits(seconds=0.3):
        yield
    os.chdir(here)
    del os.environ["ROWKEEPER_MARKER"]


@pytest.mark.parametrize("case", HOSTILE, ids=[case["name"] for case in HOSTILE])
def test_hostile_script(case: dict[str, Any], quick: None) -> None:
    other = f'd = {{"secret": "{MARKER}"}}\nd["d"] = d\nuser.secret = d\nreturn {{"granted": True}}'
    assert ask(other, user={**USER, "Secret": MARKER}).granted

    refused = bool(check(case["script"]))
    start = time.monotonic()
    verdict = ask(
        case["script"],
        operation=case.get("operation", "select"),
        query=case.get("query", {}),
        user={"Email": "mallory@acme.com"},
    )
    took = time.monotonic() - start

    assert ("refused" if refused else "denied") == case["ends"]
    assert not verdict.granted and not verdict.busy
    assert (verdict.error or "").startswith("is not valid") is refused
    assert took < 4
    assert MARKER not in repr(verdict)
    assert not verdict.error or (verdict.error.isprintable() and len(verdict.error) <= 1_001)
    assert ask(GRANTS).granted, "the next one is not answered"


def test_there_are_enough() -> None:
    assert len(HOSTILE) >= 120 and len(HONEST) >= 100
    for ends in ("refused", "denied"):
        assert sum(case["ends"] == ends for case in HOSTILE) >= 100


PLACES = {
    "import os": (1, 1),
    "x = 1\nif x:\n    import os": (3, 5),
    "x = 'é'; y = x.__class__": (1, 14),
    "def f(_a): pass": (1, 7),
    "return {'granted': await f()}": (1, 20),
    "x = (\n  1,\n  open)": (3, 3),
    "return (": (1, 8),
    "\n\nreturn }": (3, 8),
    "": (1, 1),
}


@pytest.mark.parametrize("script", PLACES)
def test_the_place_of_a_problem(script: str) -> None:
    problem = check(script)[0]
    assert (problem.line, problem.column) == PLACES[script], problem
    assert (problem.message and problem.message[0].islower()) or problem.message[0] == "`"


def test_all_problems_are_told_at_once() -> None:
    problems = check("import os\nx = open\nclass A: pass\nyield 1\n" + "import re\n" * 50)
    assert [problem.line for problem in problems[:4]] == [1, 2, 3, 4]
    assert len(problems) == 20


@pytest.mark.parametrize("length", [19_980, 20_000, 20_001])
def test_the_length_of_a_script(length: int) -> None:
    script = 'return {"granted": True} #'
    script += "x" * (length - len(script))
    assert bool(check(script)) is (length > 20_000)
    assert ask(script).granted is (length <= 20_000)


SPOILS = [
    *("", "\n", "\t", "\r", " ", "\\", "(", "[", "{", ")", '"', '"' * 3, "f'{", ":", "=", "\0"),
    *("\ud800", "\ufeff", "\x0c", "é", "𝔘", "0x", "1_", "lambda:", "not ", "\nif x:\n", "*", "#"),
    *("# coding: utf-7\n", "# -*- coding: nonsense -*-\n", "\\N{", "\u202e", "9" * 5_000, ";"),
]


@pytest.mark.filterwarnings("ignore::SyntaxWarning", "ignore::DeprecationWarning")
def test_no_text_makes_the_check_raise() -> None:
    """Cut, doubled and spoilt scripts: problems or none, but never an exception."""
    chance = random.Random(11)
    scripts = [case["script"] for case in (*HONEST, *HOSTILE) if len(case["script"]) < 1_000]
    refused = 0
    for _ in range(600):
        one, other = chance.choice(scripts), chance.choice(scripts)
        cut, back = chance.randrange(len(one) + 1), chance.randrange(len(other) + 1)
        spoilt = one[:cut] + chance.choice(SPOILS) + other[back:]
        refused += bool(check(spoilt))
    assert refused > 100


def test_files_of_the_case_lists() -> None:
    """Each name once, so that a failure says which one it was."""
    for cases in (HONEST, HOSTILE):
        names = [case["name"] for case in cases]
        assert len(set(names)) == len(names)
    assert {path.name for path in Path(__file__).parents[1].glob("cases/*_scripts.json")} == {
        "honest_scripts.json",
        "hostile_scripts.json",
    }
