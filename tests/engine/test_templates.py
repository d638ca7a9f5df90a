"""Templates: what is taken, what is refused, and what a rendered value can and cannot do."""

from __future__ import annotations

import json
import random
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pybars
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rowkeeper.datasources.caching import Cache
from rowkeeper.rules.engine import templates
from rowkeeper.rules.engine.js_text import js_text
from rowkeeper.rules.engine.templates import (
    UNMET,
    Template,
    TemplateError,
    compile_template,
    is_template,
)

HOSTILE: list[dict[str, str]] = json.loads(
    (Path(__file__).parents[1] / "cases" / "hostile_templates.json").read_text()
)

MARK = "open('MARKER','w').close()"


def render(text: str, user: Any) -> object:
    return compile_template(text).render(user)


def refused(text: str) -> str:
    with pytest.raises(TemplateError) as caught:
        compile_template(text)
    return str(caught.value)


# What is taken


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("{{user.Email}}", [("Email",)]),
        ("{{{user.Email}}}", [("Email",)]),
        ("{{ user.Email }}", [("Email",)]),
        ("{{{   user.[First Name]   }}}", [("First Name",)]),
        ("{{user.[First Name]}}", [("First Name",)]),
        ("{{user.a.[b c].d-e.f_1.2024}}", [("a", "b c", "d-e", "f_1", "2024")]),
        ("{{user.[this]}}", [("this",)]),
        ("{{user.thistle}}", [("thistle",)]),
        ("{{user.user}}", [("user",)]),
        ("{{user.[a.b]}}", [("a.b",)]),
        ("{{user.[ ]}}", [(" ",)]),
        ("{{user.[a}}b]}}", [("a}}b",)]),
        ("{{user.[{{user.x}}]}}", [("{{user.x}}",)]),
        ("{{user.Größe}}", [("Größe",)]),
        ("{{user.Имя}}{{user.名前}}", [("Имя",), ("名前",)]),
        ("{{user.नाम_हिन्दी}}", [("नाम_हिन्दी",)]),
        ("{{user.e\u0301}}", [("e\u0301",)]),
        ("{{user.٣}}", [("٣",)]),
        ("{{user.[🙂]}}", [("🙂",)]),
        ("{ {{user.a}} } {x} {{user.b}}{c}", [("a",), ("b",)]),
        ("C:\\dir {{user.a}}\\", [("a",)]),
        ("{{user.a}}" * 20, [("a",)] * 20),
        ("{{user.a}}" + "x" * 1990, [("a",)]),
        ("{{user.[" + "x" * 255 + "]}}", [("x" * 255,)]),
        ("{{" + " " * 1000 + "user.a" + " " * 990 + "}}", [("a",)]),
    ],
)
def test_taken(text: str, paths: list[tuple[str, ...]]) -> None:
    template = compile_template(text)
    assert template.source == text
    assert template.paths == tuple(paths)


@pytest.mark.parametrize("text", ["", "Admin", "{x}", "100%", "{ {user.a} }", "a\\b"])
def test_a_text_without_braces_is_no_template_and_stays_as_it_is(text: str) -> None:
    assert not is_template(text)
    assert compile_template(text).render(None) == text


@pytest.mark.parametrize("text", ["{{user.a}}", "x {{", "}} x", "{{{"])
def test_what_has_to_be_compiled_or_refused(text: str) -> None:
    assert is_template(text)


# What is refused


@pytest.mark.parametrize("case", HOSTILE, ids=[case["name"] for case in HOSTILE])
def test_hostile_templates_are_refused_and_run_nothing(
    case: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_template(case["template"])
    started = time.perf_counter()
    message = refused(case["template"])
    assert time.perf_counter() - started < 0.5
    assert message.isprintable()
    assert len(message) < 300
    assert list(tmp_path.iterdir()) == []


def test_the_list_is_long_enough() -> None:
    assert len(HOSTILE) >= 60


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "abc {{#if user.a}}",
            "`{{#if user.a}}` at character 5 is a block, which is not supported",
        ),
        (
            "{{user}}",
            "`{{user}}` at character 1 refers to the whole user, expected one of its columns",
        ),
        ("abc{{user.Email", "`{{user.Email` at character 4 is not closed"),
        ("a }} b", "`}}` at character 3 does not close an expression"),
        ("{{user.a\nb}}", "`\\nb}}` at character 9 is not allowed in an expression"),
        (
            "{{{{user.a}}}}",
            "`{{{{user.a}}}}` at character 1 opens with 4 braces, expected two or three",
        ),
        ("{{{user.a}}", "`{{{user.a}}` at character 1 opens with 3 braces and closes with 2"),
    ],
)
def test_a_refusal_says_what_where_and_what_may_be_written(text: str, message: str) -> None:
    assert refused(text).startswith(message + "; write `{{user.Email}}`, `{{user.[First Name]}}`")


@pytest.mark.parametrize(
    "name",
    [
        f"a', {MARK}) or ('b",
        f"a'); {MARK}; ('",
        f"'+str({MARK})+'",
        f"{{{{{MARK}}}}}",
        f"a')}}}}{{{{user.b}}}} # {MARK}",
        "x') OR 1=1 --",
        'a"b',
        "it's",
        "100%",
        "Email__startswith",
        "_connector",
        "$where",
        "{v0}",
        "\u2028",
    ],
)
def test_a_column_name_that_looks_like_code_is_a_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    template, mixed = f"{{{{user.[{name}]}}}}", f"<{{{{{{user.[{name}]}}}}}}>"
    assert render(template, {name: "value"}) == "value"
    assert render(mixed, {name: "value"}) == "<value>"
    assert render(template, {"other": "value"}) is UNMET
    assert render(mixed, {"other": "value"}) is UNMET
    assert list(tmp_path.iterdir()) == []


# What is rendered

USER: dict[str, object] = {
    "Email": "o'brien@acme.com",
    "Age": 42,
    "Score": 3.0,
    "Admin": True,
    "Blocked": False,
    "Zero": 0,
    "None": None,
    "Empty": "",
    "List": ["a"],
    "Object": {"City": "Köln", "Deep": {"er": {"still": {"more": 1}}}},
    "NaN": float("nan"),
    "Infinite": float("inf"),
    "Markup": "<b>&\"'`</b>",
    "Template": "{{user.Email}}{{{v0}}}",
    "keys": "K",
    "items": "I",
    "get": "G",
    "__class__": "C",
    "constructor": "N",
    "v0": "V",
    "length": 7,
    "this": "T",
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{user.Email}}", "o'brien@acme.com"),
        ("{{{user.Email}}}", "o'brien@acme.com"),
        ("{{user.Age}}", 42),
        ("{{user.Score}}", 3.0),
        ("{{user.Admin}}", True),
        ("{{user.Blocked}}", False),
        ("{{user.Zero}}", 0),
        ("{{user.Object.City}}", "Köln"),
        ("{{user.Object.Deep.er.still.more}}", 1),
        ("{{user.Template}}", "{{user.Email}}{{{v0}}}"),
        ("{{user.keys}}", "K"),
        ("{{user.items}}", "I"),
        ("{{user.get}}", "G"),
        ("{{user.__class__}}", "C"),
        ("{{user.constructor}}", "N"),
        ("{{user.length}}", 7),
        ("{{user.[this]}}", "T"),
    ],
)
def test_one_expression_keeps_its_type(text: str, value: object) -> None:
    for user in (USER, MappingProxyType(USER)):
        rendered = render(text, user)
        assert rendered == value
        assert type(rendered) is type(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a {{user.Email}}", "a o'brien@acme.com"),
        (" {{user.Age}}", " 42"),
        ("{{user.Age}}{{user.Score}}", "423"),
        ("{{user.Admin}}/{{user.Blocked}}/{{user.Zero}}", "true/false/0"),
        ("{{user.Markup}}{{{user.Markup}}}", "<b>&\"'`</b>" * 2),
        ("{{user.Template}} {{user.Age}}", "{{user.Email}}{{{v0}}} 42"),
        ("{v0} {{user.v0}} v1", "{v0} V v1"),
        ("%s \\n {{user.keys}}\n'\"", "%s \\n K\n'\""),
        ("{{user.__class__}}.{{user.items}}", "C.I"),
        ("x{{user.Age}}" * 20 + "x", "x42" * 20 + "x"),
    ],
)
def test_mixed_text_is_written_out(text: str, value: str) -> None:
    assert render(text, USER) == value


UNMET_PATHS = [
    "Missing",
    "None",
    "Empty",
    "List",
    "Object",
    "NaN",
    "Infinite",
    "Email.length",
    "Email.upper",
    "Age.real",
    "List.0",
    "List.length",
    "Object.Missing",
    "Object.keys",
    "None.x",
    "values",
    "__init__",
    "__dict__",
    "pop",
    "Object.__class__.__mro__",
]


@pytest.mark.parametrize("path", UNMET_PATHS)
@pytest.mark.parametrize(
    "text", ["{{user.%s}}", "{{{user.%s}}}", "x{{user.%s}}", "{{user.Age}}{{user.%s}}"]
)
def test_what_has_no_value_leaves_the_condition_unmet(path: str, text: str) -> None:
    assert render(text % path, USER) is UNMET


@pytest.mark.parametrize("text", ["{{user.Email}}", "x{{user.Email}}"])
@pytest.mark.parametrize("user", [None, {}, [], "Email", 1, object()])
def test_nobody_has_no_value(text: str, user: object) -> None:
    assert render(text, user) is UNMET


def test_no_code_of_a_mapping_runs() -> None:
    class Trap(dict[str, object]):
        Email = "attribute"

        def get(self, *_: object) -> object:  # type: ignore[override]
            raise AssertionError

        __getitem__ = __missing__ = __getattr__ = get

    assert render("{{user.Email}}", Trap()) is UNMET
    assert render("{{user.Email}} ", Trap(Email="own")) == "own "


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (True, "true"), (False, "false"), (0, "0"), (-5, "-5"),
        (3.0, "3"), (-3.0, "-3"), (0.0, "0"), (-0.0, "0"), (1.5, "1.5"), (0.1, "0.1"),
        (0.1 + 0.2, "0.30000000000000004"), (100.0, "100"), (1e20, "100000000000000000000"),
        (123456789012345680000.0, "123456789012345680000"), (1e21, "1e+21"), (1.5e21, "1.5e+21"),
        (1e-6, "0.000001"), (1.5e-6, "0.0000015"), (1e-7, "1e-7"), (1.25e-7, "1.25e-7"),
        (-1e-7, "-1e-7"), (5e-324, "5e-324"), (1.7976931348623157e308, "1.7976931348623157e+308"),
        (2**53 + 1, "9007199254740993"), (2**63 - 1, "9223372036854775807"), (10**21, "1e+21"),
        pytest.param(10**400, None, id="400 digits"),
        pytest.param(10**5000, None, id="5,000 digits"),
        (float("nan"), None), (float("inf"), None), (float("-inf"), None),
    ],
)  # fmt: skip
def test_numbers_are_written_as_javascript_does(value: float, written: str | None) -> None:
    assert js_text(value) == written
    assert render("<{{user.x}}>", {"x": value}) == (UNMET if written is None else f"<{written}>")


@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_written_number_reads_back_as_itself(value: float) -> None:
    written = js_text(value)
    assert written is not None
    assert float(written) == value


# An independent reading

_SEGMENT = r"(?:(?!this(?![\w-]))[\w-]+|\[[^\[\]\\\x00-\x1f\x7f-\x9f\ud800-\udfff]+\])"
_INSIDE = rf" *user(?:\.{_SEGMENT}){{1,5}} *"
_EXPRESSION = re.compile(rf"(\{{\{{\{{{_INSIDE}\}}\}}\}}|\{{\{{{_INSIDE}\}}\}})")


def readable(text: str) -> bool:
    """The grammar once more, by a regular expression that is too slow for foreign text."""
    pieces = _EXPRESSION.split(text)
    texts, expressions = pieces[::2], pieces[1::2]
    return (
        len(text) <= 2000
        and len(expressions) <= 20
        and not any("{{" in piece or "}}" in piece for piece in texts)
        and not any(piece.endswith(("{", "\\")) for piece in texts[:-1])
        and not any(piece.startswith("}") for piece in texts[1:])
    )


SCRAPS = st.sampled_from(
    ["{{", "}}", "{", "}", "{{{", "}}}", "user", "user.", ".", "Email", "this", "[", "]", "[a b]",
     "[}}]", " ", "\\", "\n", "#", "~", "é", "-", "{{user.a}}", "{{{user.[b c]}}}", "{{ user.", "x"]
)  # fmt: skip


@settings(deadline=None)
@given(st.lists(SCRAPS, max_size=12).map("".join))
def test_exactly_the_grammar_is_taken(text: str) -> None:
    if readable(text):
        compile_template(text)
    else:
        assert refused(text).isprintable()


@settings(deadline=None)
@given(st.text(max_size=100) | st.text("{}u.ser[]\\ ", max_size=60))
def test_any_text_is_taken_or_refused(text: str) -> None:
    try:
        template = compile_template(text)
    except TemplateError as error:
        assert str(error).isprintable()
    else:
        template.render({"a": "b"})


HOSTILE_TEXT = st.sampled_from(
    ["", "{{user.a}}", "{{{v0}}}", "{{v1}}", "}}", "%", "'", '"', "\\", "\x00", "<b>&", "\ud800",
     "\n", "{% x %}", "v0", MARK]
) | st.text(max_size=10)  # fmt: skip
NAMES = st.sampled_from(
    [
        "a",
        "v0",
        "v1",
        "keys",
        "items",
        "get",
        "__class__",
        "constructor",
        "First Name",
        "it's",
        "}}",
    ]
)
VALUES = st.none() | st.booleans() | st.integers(-99, 99) | HOSTILE_TEXT | st.lists(HOSTILE_TEXT)
USERS = st.none() | st.dictionaries(NAMES, VALUES | st.dictionaries(NAMES, VALUES))
LITERALS = HOSTILE_TEXT.filter(lambda text: text and not re.search(r"\{\{|\}\}|^\}|[{\\]\Z", text))
PARTS = st.lists(LITERALS | st.lists(NAMES, min_size=1, max_size=2), min_size=1, max_size=8)


@settings(deadline=None)
@given(PARTS, USERS)
def test_a_rendering_is_what_a_small_reading_says(
    parts: list[str | list[str]], user: dict[str, Any] | None
) -> None:
    text, expected = "", []
    for part in parts:
        if isinstance(part, str):
            text += part
            expected.append(part)
            continue
        text += "{{user" + "".join(f".[{name}]" for name in part) + "}}"
        value: Any = user
        for name in part:
            value = value[name] if isinstance(value, dict) and name in value else None
        expected.append(value if isinstance(value, (str, int)) and value != "" else UNMET)
    if not readable(text):  # two runs of text beside each other may have made braces
        return
    if any(value is UNMET for value in expected):
        assert render(text, user) is UNMET
    elif len(parts) == 1:
        assert render(text, user) == expected[0]
    else:
        names = {True: "true", False: "false"}
        written = [names[v] if isinstance(v, bool) else str(v) for v in expected]
        assert render(text, user) == "".join(written)


# How pybars is held


@pytest.fixture
def given_to_pybars(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every source that pybars compiles while the test runs, from nothing compiled before."""
    sources: list[str] = []
    precompile = pybars.Compiler.precompile

    def spy(self: Any, source: str) -> Any:
        sources.append(source)
        return precompile(self, source)

    monkeypatch.setattr(pybars.Compiler, "precompile", spy)
    monkeypatch.setattr(templates, "_joiners", Cache("", 50))
    return sources


def test_pybars_sees_generated_names_alone_and_once_for_each_number(
    given_to_pybars: list[str],
) -> None:
    for text in ("evil {{user.[evil]}}", "more {{user.more}}", "{{user.a}} and {{user.b}}", "x"):
        render(text, {"evil": "evil", "more": "{{evil}}", "a": 1, "b": 2})
    assert given_to_pybars == ["{{{v0}}}{{{v1}}}", "{{{v0}}}{{{v1}}}{{{v2}}}"]


def test_a_compiled_template_leaves_no_module_behind(given_to_pybars: list[str]) -> None:
    before = set(sys.modules)
    compile_template("a {{user.a}}")
    assert given_to_pybars
    assert set(sys.modules) == before


def test_templates_can_be_made_and_rendered_in_many_threads(given_to_pybars: list[str]) -> None:
    texts = [f"t{n} " + f"{{{{user.c{n}}}}}|" * (n % 20 + 1) for n in range(20)]
    user = {f"c{n}": f"value {n}" for n in range(20)}
    wanted = {text: f"t{n} " + f"value {n}|" * (n % 20 + 1) for n, text in enumerate(texts)}

    def work(seed: int) -> list[tuple[str, object]]:
        mine = texts * 10
        random.Random(seed).shuffle(mine)
        return [(text, render(text, user)) for text in mine]

    with ThreadPoolExecutor(8) as pool:
        for results in pool.map(work, range(8)):
            assert all(rendered == wanted[text] for text, rendered in results)
    assert len(given_to_pybars) == len(set(given_to_pybars))


def test_templates_are_values() -> None:
    one, other = compile_template("{{user.a}}"), compile_template("{{user.a}}")
    assert isinstance(one, Template)
    assert one == other
    assert hash(one) == hash(other)
    with pytest.raises(AttributeError):
        one.source = "x"  # type: ignore[misc]
