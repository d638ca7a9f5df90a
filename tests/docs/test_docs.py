"""What the pages show is so: their examples are read out of the Markdown and run.

- ```` ```json rules ````: a list of rules; the tables `| Who | Asks | Answer |` below are about it.
- ```` ```json entries ````: rows; the tables `| where | finds |` and `| order | gives |` below are
  about them.
- ```` ```console ````: lines that begin with `$ curl`, each followed by the answer, in which `…`
  stands for anything, and its status; or with `manage.py`, followed by what it prints. The demo is
  loaded; `$BOB`, `$ALICE` and `$TOKEN` are its credentials.
- ```` ```json rule 2 of Employees ````: that rule is replaced, as the reader is told to.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from rowkeeper.accounts.identity import ANONYMOUS, Identity
from rowkeeper.datasources import store
from rowkeeper.datasources.catalog import registry
from rowkeeper.datasources.models import DataSource
from rowkeeper.datasources.query.select import Projection, Select, parse_order, parse_query
from rowkeeper.datasources.query.where import EVERYTHING, matches, parse_where
from rowkeeper.rules.engine.decide import Decision, compile_rules, login_could_help
from rowkeeper.rules.engine.requests import (
    Change,
    DecisionRequest,
    EntryRequest,
    Insert,
    QueryRequest,
    Update,
)
from rowkeeper.rules.repository.rules import rules_of, save_rules
from rowkeeper.rules.sandbox import check
from rowkeeper.rules.scripts.run import Scripts
from rowkeeper.rules.simulator.run import DECIDE

ROOT = Path(__file__).parents[2]
PARTS = ("tutorial", "how-to", "reference", "explanation")
PAGES = [
    ROOT / "README.md",
    ROOT / "docs" / "index.md",
    *(page for part in PARTS for page in sorted((ROOT / "docs" / part).glob("*.md"))),
]
FENCE = re.compile(r"^```(\S*) ?(.*)\n((?:.*\n)*?)```$", re.M)
TABLE = re.compile(r"^\|(.+)\|\n\|[-|]+\|\n((?:\|.*\|\n?)+)", re.M)


@dataclass(frozen=True)
class Block:
    """A fenced block or a table of a page."""

    page: Path
    line: int
    # ("json", "rules"), ("console", ""), or ("table", "Who Asks Answer").
    kind: tuple[str, str]
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def rows(self) -> list[list[str]]:
        return [
            [cell.strip() for cell in line.strip().strip("|").split(" | ")]
            for line in self.text.strip().splitlines()
        ]


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = [
        (match.start(), (match[1], match[2].strip()), match[3]) for match in FENCE.finditer(text)
    ]
    fences = [(match.start(), match.end()) for match in FENCE.finditer(text)]
    for match in TABLE.finditer(text):
        if not any(start < match.start() < end for start, end in fences):
            head = " ".join(cell.strip() for cell in match[1].split("|"))
            found.append((match.start(), ("table", head), match[2]))
    return [
        Block(page, text.count("\n", 0, start) + 1, kind, body)
        for start, kind, body in sorted(found)
    ]


def below(kind: tuple[str, str], *heads: str) -> Iterator[tuple[Block, Block]]:
    """Each table with one of these heads, beside the last block of that kind above it."""
    for page in PAGES:
        above = None
        for block in blocks(page):
            if block.kind == kind:
                above = block
            elif block.kind[0] == "table" and block.kind[1] in heads:
                assert above is not None, block
                yield above, block


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


# -- JSON is JSON


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_json_block_is_json(page: Path) -> None:
    for block in blocks(page):
        if block.kind[0] == "json":
            json.loads(block.text)


def test_every_python_block_is_python() -> None:
    found = [block for page in PAGES for block in blocks(page) if block.kind[0] == "python"]
    assert found
    for block in found:
        if block.kind[1].startswith("script "):
            assert check(block.text) == [], block
        else:
            compile(block.text, str(block), "exec")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", text):
        path, anchor = target
        aim = (page.parent / path).resolve() if path else page
        assert aim.exists(), (page, target)
        if anchor:
            heads = re.findall(r"^#+ (.*)$", aim.read_text(encoding="utf-8"), re.M)
            slugs = [re.sub(r"[^\w -]", "", head).lower().replace(" ", "-") for head in heads]
            assert anchor in slugs, (page, target, slugs)


# -- rules


RULE_ROWS = [
    pytest.param(rules, row, id=f"{table}-{number}")
    for rules, table in below(("json", "rules"), "Who Asks Answer")
    for number, row in enumerate(table.rows, 1)
]


def identity_of(text: str) -> Identity:
    app = re.search(r" in app (\d+)$", text)
    app_id = int(app[1]) if app else None
    if text.startswith("token "):
        return Identity(token_id=int(text.split()[1]), app_id=app_id)
    if text == "nobody":
        return ANONYMOUS
    return Identity(user=json.loads(quoted(text)[0]), app_id=app_id)


def ask_of(text: str) -> tuple[Any, DecisionRequest]:
    verb = text.split()[0].strip(",")
    if "naming" in text:
        return "select", QueryRequest(EVERYTHING, tuple(quoted(text)))
    values = [json.loads(value) for value in quoted(text)]
    if verb in ("select", "delete"):
        written = values[0] if values else {}
        return verb, QueryRequest(parse_where(written), written=written)
    if verb in ("read", "remove"):
        return {"read": "select", "remove": "delete"}[verb], EntryRequest([values[0]])
    if verb == "insert":
        return "insert", Insert([values[0]])
    assert verb == "update", text
    return "update", Update([Change(values[1], values[0])])


@pytest.mark.parametrize(("rules", "row"), RULE_ROWS)
def test_rules_answer_as_the_page_says(rules: Block, row: list[str]) -> None:
    who, asks, answer = row
    ruleset = compile_rules(json.loads(rules.text), [])
    assert not ruleset.problems, (str(rules), ruleset.problems)
    identity = identity_of(who)
    operation, ask = ask_of(asks)
    decision: Decision = DECIDE[operation](ruleset, identity, ask, Scripts({}))
    if decision.granted:
        assert decision.rule is not None
        said = f"rule {decision.rule.position}"
    elif identity.is_anonymous and login_could_help(ruleset, identity, operation):
        said = "login"
    else:
        said = "denied"
    wanted, _, hides = answer.partition("; hides ")
    assert said == wanted, [str(line) for line in decision.trace]
    assert not any(decision.shown.shows(column) for column in quoted(hides))


def test_every_property_of_a_rule_has_an_example() -> None:
    from rowkeeper.rules.engine.parse import PROPERTIES

    shown = {
        key
        for rules, _ in below(("json", "rules"), "Who Asks Answer")
        for rule in json.loads(rules.text)
        for key in rule
    }
    assert shown == set(PROPERTIES)
    assert len(RULE_ROWS) > 60


# -- the query language


def _where_rows() -> Iterator[Any]:
    for entries, table in below(("json", "entries"), "where finds", "order gives"):
        for number, row in enumerate(table.rows, 1):
            yield pytest.param(entries, table.kind[1].split()[0], row, id=f"{table}-{number}")


@pytest.fixture
def stored(db: None) -> Any:
    def make(rows: list[dict[str, Any]]) -> registry.Source:
        columns = list(dict.fromkeys(key for row in rows for key in row))
        source = registry.source_of(DataSource.objects.create(name="Docs", columns=columns))
        with store.writing(source, []):
            store.insert(source, rows)
        return source

    return make


@pytest.mark.parametrize(("entries", "kind", "row"), list(_where_rows()))
def test_queries_find_what_the_page_says(
    stored: Any, entries: Block, kind: str, row: list[str]
) -> None:
    rows = json.loads(entries.text)
    source = stored(rows)
    query, names = json.loads(quoted(row[0])[0]), [] if row[1] == "none" else row[1].split(", ")
    if kind == "where":
        where, order = parse_where(query, source.columns), ()
        assert [item["Name"] for item in rows if matches(where, item)] == names
    else:
        where, order = EVERYTHING, parse_order(query, source.columns)
    found = store.select(source, Select(where=where, order=order), where, Projection())
    assert [json.loads(text)["data"]["Name"] for text in found.entries] == names


def test_every_operator_has_an_example() -> None:
    from rowkeeper.datasources.query.where.operators import LOGICAL, OPERATORS

    page = (ROOT / "docs" / "reference" / "query-language.md").read_text(encoding="utf-8")
    tables = " ".join(
        row[0] for _, table in below(("json", "entries"), "where finds") for row in table.rows
    )
    for name in {*LOGICAL, *(name for name, row in OPERATORS.items() if row.public)}:
        assert f'"{name}"' in tables and f"`{name}`" in page, name


def test_refused_queries_are_refused() -> None:
    from rowkeeper.datasources.errors import Malformed

    tables = [
        table
        for page in PAGES
        for table in blocks(page)
        if table.kind == ("table", "query why it is refused")
    ]
    assert tables
    for table in tables:
        for row in table.rows:
            with pytest.raises(Malformed) as raised:
                parse_query(json.loads(quoted(row[0])[0]), frozenset())
            assert raised.value.message == re.sub(r"^``? ?| ?``?$", "", row[1])


# -- the API


# The tutorial is not about the demo: `test_docs_tutorial.py` follows it.
CONSOLES = [
    page
    for page in PAGES
    if page.parent.name != "tutorial" and any(b.kind[0] == "console" for b in blocks(page))
]
RULE_OF = re.compile(r"rule (\d+) of (\w+)")
OWN_PAGES = ("README.md", "api.md")


def test_the_pages_with_requests() -> None:
    assert {page.name for page in CONSOLES} >= set(OWN_PAGES)


@pytest.mark.django_db(transaction=True, reset_sequences=True)
@pytest.mark.parametrize("page", CONSOLES, ids=lambda page: page.name)
def test_requests_are_answered_as_the_page_says(
    page: Path, client: Client, tmp_path: Path, settings: Any
) -> None:
    from project.demo.load import load

    demo = load(tmp_path / "demo.json")
    assert demo.people_password
    words = {"TOKEN": demo.api_token, "PASSWORD": demo.people_password}
    for name in ("alice", "bob", "dave"):
        words[name.upper()] = _sign_in(client, f"{name}@acme.com", demo.people_password)
    asked = 0
    for block in blocks(page):
        replaced = RULE_OF.fullmatch(block.kind[1])
        if replaced:
            _replace(replaced[2], int(replaced[1]), json.loads(block.text))
        if block.kind[0] == "console":
            for request, status, body in _requests(block, words):
                response = _send(client, request)
                text = b"".join(response) if response.streaming else response.content
                assert response.status_code == status, (str(block), request, text)
                assert _like(json.loads(text), body), (str(block), request, text.decode())
                asked += 1
            for words_of, told in _commands(block):
                output = StringIO()
                call_command(*words_of, stdout=output)
                assert output.getvalue() == told, str(block)
    assert asked


def _sign_in(client: Client, email: str, password: str) -> str:
    body = {
        "passport": "dataSource",
        "dataSourceName": "Users",
        "where": {"Email": email, "Password": password},
    }
    response = client.post("/v1/session/authorize", body, content_type="application/json")
    token: str = response.json()["session"]["auth_token"]
    return token


def _replace(name: str, position: int, rule: dict[str, Any]) -> None:
    model = DataSource.objects.get(name=name)
    rules = rules_of(model)
    rules[position - 1] = rule
    save_rules(model, rules)


def _lines(block: Block) -> Iterator[tuple[str, str]]:
    """Each `$ ` line, joined where it goes on, and what stands below it."""
    for part in re.split(r"^\$ ", block.text.replace("\\\n", " "), flags=re.M)[1:]:
        line, _, told = part.partition("\n")
        yield line, told


def _commands(block: Block) -> Iterator[tuple[list[str], str]]:
    for line, told in _lines(block):
        words = shlex.split(line)
        if "manage.py" in words:
            yield words[words.index("manage.py") + 1 :], told


def _requests(block: Block, words: dict[str, Any]) -> Iterator[tuple[dict[str, Any], int, Any]]:
    """Each `$ curl` line with the status and the body below it."""
    for line, told in _lines(block):
        if not line.startswith("curl "):
            continue
        body, _, status = told.strip().rpartition("\n")
        yield _curl(_expanded(line, words)), int(status), json.loads(body)


def _expanded(line: str, words: dict[str, Any]) -> list[str]:
    """The words of a line as a shell reads it, which expands nothing in single quotes."""
    answer = subprocess.run(
        ["bash", "-uc", f"printf '%s\\0' {line}"],
        env={name: str(value) for name, value in words.items()},
        capture_output=True,
        check=True,
        text=True,
    )
    return answer.stdout.split("\0")[:-1]


def _curl(words: list[str]) -> dict[str, Any]:
    request: dict[str, Any] = {"headers": {}, "data": "", "method": None}
    rest = iter(words[1:])
    for word in rest:
        if word == "-X":
            request["method"] = next(rest)
        elif word == "-H":
            name, _, value = next(rest).partition(": ")
            request["headers"][name] = value
        elif word in ("-d", "--json"):
            request["data"] = next(rest)
            if word == "--json":
                request["headers"]["Content-Type"] = "application/json"
        elif word in ("-w",):
            next(rest)
        elif word != "-s":
            assert word.startswith("http://127.0.0.1:8000/"), word
            request["url"] = word.removeprefix("http://127.0.0.1:8000")
    request["method"] = request["method"] or ("POST" if request["data"] else "GET")
    return request


def _send(client: Client, request: dict[str, Any]) -> Any:
    headers = dict(request["headers"])
    kind = headers.pop("Content-Type", "application/json")
    return client.generic(
        request["method"], request["url"], request["data"], content_type=kind, headers=headers
    )


def _like(found: Any, told: Any) -> bool:
    """The same, but that `…` stands for anything."""
    if told == "…":
        return True
    if isinstance(told, dict) and isinstance(found, dict):
        if "…" in told:
            found = {key: found[key] for key in found if key in told}
            told = {key: told[key] for key in told if key != "…"}
        return found.keys() == told.keys() and all(_like(found[key], told[key]) for key in told)
    if isinstance(told, list) and isinstance(found, list):
        if told and told[-1] == "…":
            told, found = told[:-1], found[: len(told) - 1]
        return len(found) == len(told) and all(map(_like, found, told))
    return bool(found == told) and type(found) is type(told)


# -- tables of names


def table(page: Path, head: str) -> list[list[str]]:
    (found,) = [block for block in blocks(page) if block.kind == ("table", head)]
    return found.rows


def test_the_table_of_failures_is_whole() -> None:
    from rowkeeper.rules.api.errors import STATUS

    rows = table(ROOT / "docs" / "reference" / "api.md", "Status `type` Means")
    assert {row[1].strip("`"): int(row[0]) for row in rows} == STATUS


def test_the_table_of_settings_is_whole() -> None:
    from rowkeeper.datasources.conf import DEFAULTS

    rows = table(ROOT / "docs" / "reference" / "settings.md", "Setting Default Meaning")
    told = {row[0].strip("`"): eval(row[1].strip("`")) for row in rows}
    assert told == DEFAULTS


def test_the_table_of_variables_is_that_of_the_settings() -> None:
    from project import settings

    rows = table(ROOT / "docs" / "reference" / "settings.md", "Variable Default Meaning")
    assert settings.__doc__ is not None
    listed = re.findall(r"^\| ([A-Z_]+) +\| (.*?) +\|$", settings.__doc__, re.M)
    assert listed == [(name.strip("`"), default) for name, default, _ in rows]


def test_the_table_of_properties_is_whole() -> None:
    from rowkeeper.rules.engine.parse import PROPERTIES

    rows = table(ROOT / "docs" / "reference" / "rules.md", "Property Says Where it is absent")
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row[0])} == set(PROPERTIES)
