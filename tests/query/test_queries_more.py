"""Distinct, aggregates, joins, views and cursors: as the cases say, as a model in memory has it,
and without a way to what a rule hides.
"""

from __future__ import annotations

import json
import random
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from rowkeeper.datasources.definition import login_of, problem_with_definition
from rowkeeper.datasources.errors import Malformed
from rowkeeper.datasources.models import DataSource, Entry
from rowkeeper.datasources.query.views import NOTHING, views_of
from rowkeeper.datasources.query.where import matches
from rowkeeper.datasources.store import statements
from rowkeeper.rules.repository.rules import save_rules
from tests.reference import model_of_queries as model
from tests.support.calls import OPEN, READ, Answer, Api, Place, place
from tests.support.people import headers_of, sign_in_source

pytestmark = pytest.mark.django_db

SEED = 20_261_121
FILE = json.loads((Path(__file__).parents[1] / "cases" / "queries_more.json").read_text())
DENIED = (400, "datasource.access")
INVALID = (400, "request.invalid")


@pytest.fixture
def api() -> Api:
    return Api()


def query(api: Api, there: Place, **body: Any) -> Answer:
    return api("POST", f"{there.data}/query", body)


# -- the cases


def sources_of(group: dict[str, Any]) -> dict[str, Place]:
    return {
        name: place(
            source.get("rules", [OPEN]),
            source["rows"],
            name=name,
            columns=source.get("columns"),
            definition=source.get("definition", {}),
        )
        for name, source in group["sources"].items()
    }


def bare(entry: Any) -> Any:
    """An entry without what differs from run to run."""
    if isinstance(entry, list):
        return [bare(item) for item in entry]
    if not isinstance(entry, dict):
        return entry
    found = {"data": entry["data"]} if "data" in entry and "dataSourceId" in entry else entry
    if "joins" in entry:
        found = {**found, "joins": {name: bare(item) for name, item in entry["joins"].items()}}
    return found


CASES = [
    pytest.param(group, case, id=f"{group['name']}: {case['name']}")
    for group in FILE
    for case in group["cases"]
]


@pytest.mark.parametrize(("group", "case"), CASES)
def test_cases(api: Api, group: dict[str, Any], case: dict[str, Any]) -> None:
    there = sources_of(group)
    main = there[case.get("of", next(iter(there)))]
    answer = query(api, main, **case["query"])
    if "refused" in case:
        assert answer.failure == INVALID, answer.text
        assert answer.json["message"] == case["refused"]
    elif "denied" in case:
        assert answer.failure == DENIED, answer.text
        assert answer.json["payload"] == {"dataSourceId": main.model.pk}
    else:
        assert answer.status == 200, answer.text
        found = {**answer.json}
        if "entries" in found:
            found["entries"] = bare(found["entries"])
        expected = case["answer"]
        expected = {"entries": expected} if isinstance(expected, list) else expected
        assert model.alike(found, expected), answer.text


# -- the page


PAGE = Path(__file__).parents[2] / "docs" / "reference" / "query-language-more.md"
FENCED = re.compile(r"^```json (rows|query|gives)(?: (\w+))?\n(.*?)^```$", re.M | re.S)


def test_the_page_says_what_is_so(api: Api) -> None:
    there: dict[str, Place] = {}
    asked, count = None, 0
    for kind, name, text in FENCED.findall(PAGE.read_text(encoding="utf-8")):
        value = json.loads(text)
        if kind == "rows":
            there[name] = place([OPEN], value, name=name)
        elif kind == "query":
            asked = query(api, there[name], **value)
        else:
            assert asked is not None and asked.status == 200, asked
            found = {**asked.json, "entries": bare(asked.json["entries"])}
            assert model.alike(found, value), found
            count += 1
    assert count == 6


# -- against the model


AWKWARD = ['q"x', "a b", "data.z", "ünï"]
COLUMNS = ["A", "B", "C", *AWKWARD]
VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    1,
    1.0,
    -1,
    2,
    2.5,
    0.1,
    0.2,
    0.3,
    1e300,
    -1e300,
    5e-324,
    1e21,
    2**63 - 1,
    -(2**53),
    "",
    "1",
    " 2.50 ",
    "1e3",
    "1e999",
    "0x10",
    "NaN",
    "1_0",
    "-.5",
    "5.",
    "\u0661",
    "a",
    "B",
    "é",
    "\U0001f98a",
    "\uffff",
    'say "hi"\\',
    [],
    [1],
    [1.0, "a"],
    ["a", None],
    {},
    {"k": 1},
    {"k": 1.0},
    {"k": {"z": "a"}, "j": 2},
    {"k": [1, {"k": 3}]},
]


def random_rows(rng: random.Random, count: int) -> list[dict[str, Any]]:
    few = rng.sample(VALUES, 6)
    return [
        {
            column: rng.choice(few if rng.random() < 0.7 else VALUES)
            for column in COLUMNS
            if rng.random() < 0.75
        }
        for _ in range(count)
    ]


def entries_of(there: Place, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"id": entry, "order": 0, "data": row} for entry, row in zip(there.ids, rows, strict=True)
    ]


def random_pipeline(rng: random.Random) -> list[dict[str, Any]]:
    """Stages that fit on each other."""
    fields: list[str] | None = None
    stages: list[dict[str, Any]] = []

    def name() -> str:
        if fields is None:
            column = rng.choice([*COLUMNS[:3], *COLUMNS])
            written = rng.choice([column, f"data.{column}"])
            return rng.choice([written, written, f"{column}.k", "id", "A.k.z"])
        field = rng.choice(fields)
        return rng.choice([field, field, f"{field}.k"])

    def expression() -> Any:
        kind = rng.random()
        if kind < 0.6:
            return f"${name()}"
        if kind < 0.85:
            return {"$convertToNumber": f"${name()}"}
        return rng.choice([None, 1, 2.5, "text", -3])

    for _ in range(rng.randint(1, 5)):
        kind = rng.choice(["$project", "$group", "$group", "$sort"])
        body: dict[str, Any] = {}
        if kind == "$sort":
            body = {name(): rng.choice([1, -1]) for _ in range(rng.randint(1, 3))}
        elif kind == "$group":
            by: Any = expression()
            if rng.random() < 0.4:
                by = {f"k{at}": expression() for at in range(rng.randint(1, 3))}
            body = {
                "_id": by,
                **{
                    f"t{at}": {rng.choice(["$sum", "$avg", "$min", "$max"]): expression()}
                    for at in range(rng.randint(0, 4))
                },
            }
            fields = list(body)
        elif fields and len(fields) > 1 and rng.random() < 0.3:
            body = {rng.choice(fields): 0}
            fields = [field for field in fields if field not in body]
        else:
            for number in range(rng.randint(1, 4)):
                value = expression()
                # A number by itself would mean that the field is wanted.
                body[f"p{number}"] = "text" if isinstance(value, int | float) else value
            if fields and rng.random() < 0.5:
                body[rng.choice(fields)] = 1
            kept = ["_id"] if fields and "_id" in fields and "_id" not in body else []
            fields = [*kept, *body]
        stages.append({kind: body})
    return stages


def test_random_pipelines_mean_what_the_model_says(api: Api) -> None:
    rng = random.Random(SEED)
    for run in range(6):
        rows = random_rows(rng, 40)
        there = place([OPEN], rows, name=f"Things {run}")
        entries = entries_of(there, rows)
        for _ in range(60):
            pipeline = random_pipeline(rng)
            answer = query(api, there, aggregate=pipeline)
            assert answer.status == 200, (pipeline, answer.text)
            expected = model.aggregate(entries, pipeline)
            found = answer.json["entries"]
            if not any("$sort" not in stage for stage in pipeline):
                found = [{"id": e["id"], "order": 0, "data": e["data"]} for e in found]
            assert model.alike(found, expected), (pipeline, found, expected)


def test_random_distincts_mean_what_the_model_says(api: Api) -> None:
    rng = random.Random(SEED + 1)
    rows = random_rows(rng, 60)
    there = place([OPEN], rows)
    entries = entries_of(there, rows)
    for _ in range(80):
        columns = rng.sample(COLUMNS, rng.randint(1, 3))
        expected = model.distinct(entries, columns)
        order = [
            [rng.choice(columns), rng.choice(["ASC", "DESC"])] for _ in range(rng.randint(0, 2))
        ]
        for column, direction in reversed(order):
            # Python keeps what is alike as it was, also where `reverse` turns the rest round.
            expected.sort(
                key=lambda row: model.place(row[column]),
                reverse=direction == "DESC",
            )
        limit, offset = rng.choice([None, 2, 5]), rng.choice([0, 1, 3])
        answer = query(
            api,
            there,
            distinct=True,
            attributes=columns,
            order=order,
            limit=limit,
            offset=offset,
            includePagination=True,
        )
        part = expected[offset:] if limit is None else expected[offset : offset + limit]
        assert model.alike(answer.json["entries"], [{"data": row} for row in part]), answer.text
        assert answer.json["pagination"]["total"] == len(expected)
        counted = query(api, there, distinct=True, attributes=columns, countOnly=True)
        assert counted.json == {"count": len(expected)}


def test_random_joins_mean_what_the_model_says(api: Api) -> None:
    rng = random.Random(SEED + 2)
    for run in range(5):
        ours, theirs = random_rows(rng, 25), random_rows(rng, 30)
        main = place([OPEN], ours, name=f"Ours {run}")
        other = place([OPEN], theirs, name=f"Theirs {run}")
        entries, others = entries_of(main, ours), entries_of(other, theirs)
        for _ in range(15):
            on = {rng.choice(COLUMNS): rng.choice(COLUMNS) for _ in range(rng.randint(1, 2))}
            required = rng.random() < 0.4
            about = {"dataSourceId": other.model.pk, "on": on}
            limit = rng.choice([None, 0, 1, 3])
            answer = query(
                api,
                main,
                join={
                    "All": {**about, "order": ["A", "DESC"], "limit": limit, "required": required},
                    "Some": {**about, "has": True},
                    "Many": {**about, "count": True},
                    "Total": {**about, "sum": "B"},
                },
                includePagination=True,
            )
            assert answer.status == 200, answer.text
            expected = []
            for entry in entries:
                beside = model.joined(entry, others, on)
                beside.sort(key=lambda found: model.place(found["data"].get("A")), reverse=True)
                if required and not beside:
                    continue
                numbers = [found["data"].get("B") for found in beside]
                total = sum((model.exact(n) for n in numbers if model.is_number(n)), Fraction())
                expected.append(
                    {
                        "id": entry["id"],
                        "All": [found["id"] for found in beside][:limit],
                        "Some": bool(beside),
                        "Many": len(beside),
                        "Total": model.number(total),
                    }
                )
            found = [
                {
                    "id": entry["id"],
                    **entry["joins"],
                    "All": [item["id"] for item in entry["joins"]["All"]],
                }
                for entry in answer.json["entries"]
            ]
            assert model.alike(found, expected), (on, found, expected)
            assert answer.json["pagination"]["total"] == len(expected)


# -- cursors


def pages(api: Api, there: Place, **body: Any) -> Iterator[list[dict[str, Any]]]:
    after: str | None = ""
    while after is not None:
        answer = query(api, there, after=after, **body)
        assert answer.status == 200, answer.text
        after = answer.json["pagination"]["next"]
        yield answer.json["entries"]


ORDERS: list[Any] = [
    [],
    [["id", "DESC"]],
    [["A", "ASC"]],
    [["A", "DESC"], ["B", "ASC"]],
    [["createdAt", "ASC"], ['q"x', "DESC"]],
    [["order", "DESC"], ["updatedAt", "DESC"], ["C", "ASC"]],
    [["A", "ASC"], ["id", "DESC"], ["B", "ASC"]],
]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("limit", [1, 7])
def test_pages_by_cursor_are_the_whole_in_its_order(api: Api, order: Any, limit: int) -> None:
    rng = random.Random(SEED + 3)
    there = place([OPEN], random_rows(rng, 40))
    for entry in Entry.objects.all():
        Entry.objects.filter(pk=entry.pk).update(order=rng.randint(-2, 2))
    whole = [entry["id"] for entry in query(api, there, order=order).json["entries"]]
    by_page = [
        [entry["id"] for entry in page] for page in pages(api, there, order=order, limit=limit)
    ]
    assert [entry for page in by_page for entry in page] == whole
    assert all(len(page) == limit for page in by_page[:-1])


@pytest.mark.parametrize("order", ORDERS)
def test_pages_stay_where_they_are_while_rows_come_and_go(api: Api, order: Any) -> None:
    rng = random.Random(SEED + 4)
    there = place([OPEN], random_rows(rng, 40))
    url = there.data
    lasting, seen = set(there.ids), []
    for page in pages(api, there, order=order, limit=5):
        seen += [entry["id"] for entry in page]
        gone = [page[-1]["id"], rng.choice(there.ids)]
        for entry in gone:
            Entry.objects.filter(pk=entry).delete()
            lasting.discard(entry)
        if len(seen) < 100:
            for row in random_rows(rng, 2):
                assert api("PUT", url, row).status == 200
    assert len(seen) == len(set(seen))
    assert lasting <= set(seen)


def test_a_cursor_goes_with_a_where_joins_and_a_total(api: Api) -> None:
    rows = [{"N": n, "K": n % 3} for n in range(10)]
    there = place([OPEN], rows)
    join = {"Same": {"dataSourceId": there.model.pk, "on": {"K": "K"}, "count": True}}
    answer = query(
        api,
        there,
        where={"K": {"$ne": 2}},
        join=join,
        limit=2,
        order=[["N", "DESC"]],
        after="",
        includePagination=True,
    )
    assert [(e["data"]["N"], e["joins"]["Same"]) for e in answer.json["entries"]] == [
        (9, 4),
        (7, 3),
    ]
    page = answer.json["pagination"]
    assert (page["total"], page["limit"], "offset" in page) == (7, 2, False)


def cursor(*content: Any) -> str:
    text = json.dumps(content, separators=(",", ":")).encode()
    return urlsafe_b64encode(text).decode().rstrip("=")


def test_a_cursor_that_is_none_is_refused(api: Api) -> None:
    there = place([OPEN], [{"A": n, "B": -n} for n in range(5)])
    order = [["A", "ASC"], ["createdAt", "ASC"]]
    taken = query(api, there, order=order, limit=2, after="").json["pagination"]["next"]
    content = json.loads(urlsafe_b64decode(taken + "=="))
    mark, *place_ = content
    bad: list[Any] = [
        1,
        True,
        [],
        {},
        "x",
        "====",
        "é",
        "A" * 200_000,
        cursor(),
        cursor(mark),
        cursor(mark, *place_, 1),
        cursor("000000000000", *place_),
        cursor(mark, {"a": 1}, *place_[1:]),
        cursor(mark, [1], *place_[1:]),
        cursor(mark, 1, 5, place_[2]),
        cursor(mark, 1, "2026-13-01 00:00:00", place_[2]),
        cursor(mark, 1, "now'--", place_[2]),
        cursor(mark, *place_[:2], 0),
        cursor(mark, *place_[:2], 2**63),
        cursor(mark, *place_[:2], "1"),
        cursor(mark, *place_[:2], True),
        urlsafe_b64encode(b'["a",' + b"[" * 50_000).decode(),
        urlsafe_b64encode(f'["{mark}",1e400,"{place_[1]}",1]'.encode()).decode(),
        urlsafe_b64encode(f'["{mark}","\\u0000","{place_[1]}",1]'.encode()).decode(),
        urlsafe_b64encode(f'["{mark}","\\ud800","{place_[1]}",1]'.encode()).decode(),
    ]
    for after in bad:
        answer = query(api, there, order=order, limit=2, after=after)
        assert answer.failure == INVALID, (after, answer.text)
        assert "after" in answer.json["message"]
    # One of another order names other columns, and is not taken.
    assert query(api, there, order=[["B", "ASC"]], limit=2, after=taken).failure == INVALID
    assert query(api, there, order=order, limit=2, after=taken, offset=1).failure == INVALID
    # What it holds are values to compare with: any place may be asked for, as by a where.
    moved = cursor(mark, "text", *place_[1:])
    assert query(api, there, order=order, limit=2, after=moved).json["entries"] == []


# -- views


MINE = {"views": {"Mine": {"where": {"Owner": "session.Email"}}}}
NOTES = [
    {"Owner": "ann@x.org", "Text": "a", "Team": "Red"},
    {"Owner": "bob@x.org", "Text": "b", "Team": "Red"},
    {"Owner": "session.Email", "Text": "c"},
    {"Text": "d"},
]


def notes(rules: list[Any], definition: dict[str, Any]) -> Place:
    return place(rules, NOTES, name="Notes", definition=definition)


def signed_in(user: dict[str, Any]) -> Api:
    client = Client()
    people = sign_in_source("People", [user])
    return Api(headers_of(client, people, user["Email"]), client)


def texts(answer: Answer) -> list[str]:
    return [row["Text"] for row in answer.rows]


@pytest.mark.parametrize(
    ("definition", "user", "found"),
    [
        (MINE, {"Email": "ann@x.org"}, ["a"]),
        ({"views": [{"name": "Mine", "filter": MINE["views"]["Mine"]["where"]}]}, {}, ["a"]),
        ({"views": {"Mine": {"where": {"Team": "session.Team"}}}}, {"Team": "Red"}, ["a", "b"]),
        (
            {"views": {"Mine": {"where": {"Team": {"$ne": "session.Team"}}}}},
            {"Team": "Red"},
            ["c", "d"],
        ),
        ({"views": {"Mine": {"where": {"Team": {"$ne": "session.Team"}}}}}, {}, []),
        ({"views": {"Mine": {"where": {"$nor": [{"Team": "session.Team"}]}}}}, {}, []),
        ({"views": {"Mine": {"where": {"Team": {"$ne": "session.Team"}}}}}, {"Team": ""}, []),
        (
            {"views": {"Mine": {"where": {"Team": {"$not": "session.Team"}}}}},
            {"Team": "Red"},
            ["c", "d"],
        ),
        ({"views": {"Mine": {"where": {"Team": {"$not": "session.Team"}}}}}, {}, []),
        ({"views": {"Mine": {"where": {"Team": {"$not": ["session.Team"]}}}}}, {}, []),
        ({"views": {"Mine": {"where": {"Team": {"$nin": ["session.T"]}}}}}, {"T": ["Red"]}, []),
        (
            {"views": {"Mine": {"where": {"Owner": {"$in": ["session.Email", None]}}}}},
            {},
            ["a", "d"],
        ),
        ({"views": {"Mine": {"where": {"Owner": "session.Pattern"}}}}, {"Pattern": "%"}, []),
        ({"views": {"Mine": {"where": {"Owner": "session.P"}}}}, {"P": {"$ne": 1}}, []),
        ({"views": {"Mine": {"where": {"Owner": "session.P"}}}}, {"P": "session.Email"}, ["c"]),
    ],
)
def test_a_view_takes_its_values_from_the_session(
    definition: dict[str, Any], user: dict[str, Any], found: list[str]
) -> None:
    there = notes([OPEN], definition)
    api = signed_in({"Email": "ann@x.org", **user})
    assert texts(query(api, there, view="Mine")) == found
    assert texts(query(api, there, view="Mine", where={"Text": "a"})) == found[: "a" in found]
    answer = query(api, there, view="Mine", type="delete", where={})
    assert answer.json == {"deletedCount": len(found)}


def test_a_view_of_the_session_is_empty_for_nobody(api: Api) -> None:
    there = notes([OPEN], MINE)
    assert query(api, there, view="Mine").rows == []
    assert query(api, there, view="Mine", type="delete", where={}).json == {"deletedCount": 0}


def test_what_a_view_says_counts_as_said_by_the_client() -> None:
    rule = {**READ, "allow": "loggedIn", "require": [{"Owner": {"equals": "{{user.[Email]}}"}}]}
    there = notes([rule], MINE)
    api = signed_in({"Email": "ann@x.org"})
    assert query(api, there).failure == DENIED
    assert texts(query(api, there, view="Mine")) == ["a"]


def test_a_view_may_not_name_what_the_rule_hides() -> None:
    definition = {"views": {"Red": {"where": {"Team": "Red"}}, "All": {"where": {}}}}
    there = notes([{**READ, "exclude": ["Team"]}], definition)
    api = Api()
    assert query(api, there, view="Red").failure == DENIED
    assert len(query(api, there, view="All").rows) == 4


def test_views_are_told_of_to_those_who_are_let_in_alone() -> None:
    shut = notes([{**READ, "allow": {"tokens": [10**6]}}], MINE)
    api = Api()
    for view in ("Mine", "None"):
        assert query(api, shut, view=view).failure == (401, "auth.required")
    open_ = place([OPEN], [], name="Open", columns=["A"])
    answer = query(api, open_, view="None")
    assert answer.failure == INVALID and "there is no view `None`" in answer.json["message"]
    answer = query(api, open_, views=["None"])
    assert "`views[0]`: there is no view `None`" in answer.json["message"]


BAD_VIEWS: list[Any] = [
    [],
    {"Mine": {}},
    {"Mine": {"where": []}},
    {"Mine": {"where": {"A": {"$foo": 1}}}},
    {"Mine": {"where": {}, "order": []}},
    {"": {"where": {}}},
    {"Mine": {"where": {"A": {"$like": "session.Email"}}}},
    {"Mine": {"where": {"$or": [{"A": {"$not": {"$iLike": "session.Email"}}}]}}},
    {"Mine": {"where": {"A": {"$in": "session.Email"}}}},
    {"Mine": {"where": {"A": "session."}}},
    [{"name": "Mine"}],
    [{"filter": {}}],
    [{"name": "Mine", "filter": {}}, {"name": "Mine", "filter": {}}],
    {str(n): {"where": {}} for n in range(101)},
    1,
]


@pytest.mark.parametrize("views", BAD_VIEWS[1:])
def test_a_view_is_checked_when_it_is_saved(views: Any) -> None:
    problem = problem_with_definition({"views": views})
    assert problem and "\n" not in problem
    for view in views_of({"views": views}):
        with pytest.raises(Malformed):
            view.where({"Email": "%"}, ())
    # What got in some other way takes nobody's sign-in away.
    login = {"emailColumn": "E", "passwordColumn": "P"}
    assert login_of({"views": views, "login": login}) is not None


@pytest.mark.parametrize("views", BAD_VIEWS[1:])
def test_a_view_that_no_save_has_let_pass_is_none(views: Any) -> None:
    there = notes([OPEN], MINE)
    DataSource.objects.filter(pk=there.model.pk).update(definition={"views": views})
    api = signed_in({"Email": "%"})
    for _ in range(2):
        answer = query(api, there, view="Mine")
        assert answer.failure == INVALID and "there is no view `Mine`" in answer.json["message"]
    assert len(query(api, there).rows) == 4


def test_the_filters_of_all_views_are_bounded_together() -> None:
    # Each is as large as one may be, less than that there is no place for.
    sets = ["".join(chr(0x10000 + 19 * n + 2 * at) for at in range(90)) for n in range(40)]
    wide = {f"V{n}": {"where": {"A": {"$regex": f"[{sets[n]}]{{255}}"}}} for n in range(40)}
    assert problem_with_definition({"views": dict([*wide.items()][:20])}) is None
    many = {
        f"{name} {turn}": {"where": {"A": {"$regex": view["where"]["A"]["$regex"] + f"{turn}{n}"}}}
        for turn in range(3)
        for n, (name, view) in enumerate([*wide.items()][:33])
    }
    problem = problem_with_definition({"views": many})
    assert problem and "the filters of `views` are too large in total, including `V" in problem
    long = {f"V{n}": {"where": {"A": {"$in": [*range(9_000)]}}} for n in range(12)}
    assert "including `V11`" in str(problem_with_definition({"views": long}))
    del long["V11"]
    assert problem_with_definition({"views": long}) is None


def test_a_view_without_its_value_matches_nothing_in_memory_either() -> None:
    (view,) = views_of(MINE)
    assert view.where(None, ()) is NOTHING
    assert not matches(NOTHING, {"Owner": None})


def test_a_long_text_does_not_stand_in_one_statement_over_and_over(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statements, "_MAX_REPEATED", 30_000)
    there = place([READ], [{"A": 1, "N": 1}], name="There", columns=["A", "N"])
    on = {"dataSourceName": "There", "on": {"A": "A", "N": "N"}, "required": True}
    long = {"A": {"$ne": "x" * 2_000}}
    assert len(query(api, there, where=long, join={"J": on}).rows) == 1
    answer = query(api, there, where=long, join={f"J{n}": on for n in range(10)})
    assert answer.failure == INVALID and "too complex" in answer.json["message"]
    # Many long ones that are each there once are what was sent.
    values = [f"{n}{'x' * 2_000}" for n in range(5)]
    several = {"$and": [{"A": {"$not": {"$like": f"{value}%"}}} for value in values]}
    assert len(query(api, there, where=several).rows) == 1


# -- what a rule hides


ROWS = [
    {"Name": "Ann", "Salary": 1, "Home": {"City": "Rome"}},
    {"Name": "Bob", "Salary": 2, "Home": {"City": "Bern"}},
]
HIDING: dict[str, dict[str, Any]] = {
    "exclude": {"exclude": ["Salary", "Home"]},
    "include": {"include": ["Name"]},
}
SPELLINGS = ["Salary", "data.Salary", "Home", "data.Home"]
PATHS = [*SPELLINGS, "Home.City", "data.Home.City", "Salary.x"]


def attempts(name: str) -> Iterator[dict[str, Any]]:
    """Each clause that can name a column, naming it."""
    yield {"distinct": True, "attributes": [name]}
    yield {"distinct": True, "attributes": ["Name", name], "countOnly": True}
    yield {"after": "", "order": [[name, "ASC"]]}
    yield {"join": {"J": {"dataSourceName": "Other", "on": {name: "Name"}, "has": True}}}
    yield {"join": {"J": {"dataSourceName": "Other", "on": {name: "Name"}, "required": True}}}


def pipelines(name: str) -> Iterator[list[dict[str, Any]]]:
    yield [{"$project": {"x": f"${name}"}}]
    yield [{"$project": {"x": {"$convertToNumber": f"${name}"}}}]
    yield [{"$group": {"_id": f"${name}"}}]
    yield [{"$group": {"_id": {"n": "$Name", "x": f"${name}"}}}]
    yield [{"$group": {"_id": {"n": {"$convertToNumber": f"${name}"}}}}]
    for accumulator in ("$sum", "$avg", "$min", "$max"):
        yield [{"$group": {"_id": None, "x": {accumulator: f"${name}"}}}]
        yield [{"$group": {"_id": None, "x": {accumulator: {"$convertToNumber": f"${name}"}}}}]
    yield [{"$sort": {name: 1}}]
    yield [{"$sort": {"Name": -1}}, {"$sort": {name: -1}}, {"$project": {"n": "$Name"}}]


def joined_attempts(name: str) -> Iterator[dict[str, Any]]:
    """The same, of the data source that is joined."""
    about: dict[str, Any] = {"dataSourceName": "Staff", "on": {"Name": "Name"}}
    yield {**about, "on": {"Name": name}}
    yield {**about, "on": {"Name": name}, "has": True}
    yield {**about, "on": {"Name": "Name", "Other": name}, "count": True}
    yield {**about, "on": {"Name": name}, "required": True}
    yield {**about, "sum": name}
    yield {**about, "where": {name: 1}}
    yield {**about, "where": {"$nor": [{name: {"$gt": 0}}]}, "count": True}
    yield {**about, "order": [[name, "ASC"]], "limit": 1}
    yield {**about, "order": [name, "ASC"]}
    yield {**about, "attributes": [name]}
    yield {"dataSourceName": "Staff", "order": [name, "ASC"]}


@pytest.mark.parametrize("hiding", HIDING)
def test_a_hidden_column_is_named_in_no_clause(api: Api, hiding: str) -> None:
    staff = place([{**READ, **HIDING[hiding]}], ROWS, name="Staff")
    other = place([OPEN], ROWS, name="Other")
    for name in SPELLINGS:
        for asked in attempts(name):
            assert query(api, staff, **asked).failure == DENIED, asked
        for join in joined_attempts(name):
            answer = query(api, other, join={"J": join})
            assert answer.failure == DENIED, join
            assert answer.json["payload"] == {"dataSourceId": other.model.pk}
    for name in PATHS:
        for pipeline in pipelines(name):
            assert query(api, staff, aggregate=pipeline).failure == DENIED, pipeline
            # The same is answered where nothing is hidden.
            assert query(api, other, aggregate=pipeline).status == 200, pipeline


@pytest.mark.parametrize("hiding", HIDING)
def test_hidden_columns_are_in_no_answer(api: Api, hiding: str) -> None:
    staff = place([{**READ, **HIDING[hiding]}], ROWS, name="Staff")
    join = {"J": {"dataSourceName": "Staff", "on": {"Name": "Name"}}}
    clauses: list[dict[str, Any]] = [
        {"aggregate": []},
        {"aggregate": [{"$sort": {"Name": -1}}]},
        {"after": "", "limit": 2},
        {"join": join},
        {"join": {"J": {"dataSourceName": "Staff"}}},
        {"join": {"J": {**join["J"], "required": True}}, "after": "", "limit": 1},
    ]
    for asked in clauses:
        answer = query(api, staff, **asked)
        assert answer.status == 200, answer.text
        assert b"Salary" not in answer.text and b"Rome" not in answer.text, asked


def test_the_password_column_is_named_in_no_clause() -> None:
    api = signed_in({"Email": "ann@x.org", "Name": "Ann"})
    people = DataSource.objects.get(name="People")
    save_rules(people, [OPEN])
    other = place([OPEN], ROWS, name="Other")
    there = Place(people, [])
    for asked in attempts("Password"):
        assert query(api, there, **asked).failure == DENIED, asked
    for pipeline in pipelines("Password"):
        assert query(api, there, aggregate=pipeline).failure == DENIED, pipeline
    for join in joined_attempts("Password"):
        join["dataSourceName"] = "People"
        assert query(api, other, join={"J": join}).failure == DENIED, join
    shown = query(api, other, join={"J": {"dataSourceName": "People", "on": {"Name": "Name"}}})
    assert shown.status == 200 and b"Password" not in shown.text


# -- whose rows are joined


def test_a_joined_row_is_one_that_the_identity_could_have_listed() -> None:
    main = place([OPEN], [{"K": 1}], name="Main")
    rules = [
        {**READ, "allow": "loggedIn", "require": [{"Owner": {"equals": "{{user.[Email]}}"}}]},
        {**READ, "allow": "all", "require": [{"Open": {"equals": True}}], "exclude": ["Owner"]},
    ]
    rows: list[dict[str, Any]] = [
        {"K": 1, "Owner": "ann@x.org", "V": 1},
        {"K": 1, "Owner": "bob@x.org", "V": 10},
        {"K": 1, "Open": True, "V": 100},
        {"K": 1, "Open": [True], "V": 1000},
    ]
    place(rules, rows, name="Theirs")
    ann, nobody = signed_in({"Email": "ann@x.org"}), Api()
    about: dict[str, Any] = {"dataSourceName": "Theirs", "on": {"K": "K"}, "sum": "V"}

    def total(api: Api, where: Any) -> Any:
        answer = query(api, main, join={"T": {**about, "where": where}})
        return answer.json["entries"][0]["joins"]["T"] if answer.status == 200 else answer.failure

    assert total(ann, {"Owner": "ann@x.org"}) == 1
    assert total(ann, {"Owner": "bob@x.org"}) == DENIED
    assert total(ann, {}) == DENIED
    assert total(ann, None) == DENIED
    assert total(ann, {"Open": True}) == 1100
    assert total(nobody, {"Open": True}) == 1100
    assert total(nobody, {"Owner": "ann@x.org"}) == DENIED
    # A rule's condition holds for the rows, whatever the where lets through.
    assert total(ann, {"$or": [{"Open": True, "V": 100}, {"Open": {"$in": [True]}}]}) == 1100


def test_a_join_does_not_tell_whether_the_other_data_source_exists() -> None:
    main = place([OPEN], [{"K": 1}], name="Main")
    guards: dict[str, list[Any]] = {
        "Shut": [],
        "For others": [{**READ, "allow": {"tokens": [10**6]}}],
        "Members": [{**READ, "allow": "loggedIn"}],
        "Unread": [{"type": ["insert"], "allow": "all"}],
        "Narrow": [{**READ, "require": ["Code"]}],
    }
    for name, rules in guards.items():
        place(rules, [{"K": 1, "data.": 1}], name=name)
    told = set()
    for name in ("Shut", "For others", "Members", "Unread", "Narrow", "Nothing", "", " "):
        for join in (
            {"on": {"K": "K"}},
            {"on": {"K": "K"}, "where": {"a.b": 1}, "count": True},
            {"on": {"K": "K"}, "required": True},
            {},
        ):
            answer = query(Api(), main, join={"J": {"dataSourceName": name, **join}})
            told.add((answer.status, answer.text))
        bad = {"dataSourceName": name, "on": {"K": "data."}}
        if name not in ("Unread", "Narrow"):
            assert query(Api(), main, join={"J": bad}).failure == INVALID
    number = query(Api(), main, join={"J": {"dataSourceId": 2**62, "on": {"K": "K"}}})
    told.add((number.status, number.text))
    assert len(told) == 1
    ((status, text),) = told
    assert status == 400 and json.loads(text)["payload"] == {"dataSourceId": main.model.pk}


def test_a_denied_join_asks_for_a_login_only_where_the_main_data_source_does() -> None:
    rules = [READ, {**READ, "allow": "loggedIn"}]
    main = place(rules, [{"K": 1}], name="Main")
    join = {"J": {"dataSourceName": "Nothing", "on": {"K": "K"}}}
    assert query(Api(), main, join=join).failure == (401, "auth.required")


def test_the_number_of_queries_does_not_grow_with_the_entries(
    django_assert_max_num_queries: Any,
) -> None:
    few = place([OPEN], [{"K": n} for n in range(3)], name="Few")
    many = place([OPEN], [{"K": n % 50} for n in range(300)], name="Many")
    api = Api()
    join = {"J": {"dataSourceName": "Few", "on": {"K": "K"}, "count": True}}
    query(api, many, join=join)
    for there in (few, many):
        with django_assert_max_num_queries(5):
            assert query(api, there, join=join).status == 200


# -- too much


def test_what_is_too_much_is_refused_or_answered(api: Api) -> None:
    there = place([OPEN], [{"A": "1", "B": {"k": 1}}, {"A": 2}], name="Main")
    deep: Any = "$A"
    for _ in range(50):
        deep = {"$convertToNumber": deep}
    one = {"dataSourceName": "Main", "on": {"A": "A"}}
    refused: list[dict[str, Any]] = [
        {"aggregate": [{"$sort": {"A": 1}}] * 21},
        {"aggregate": [{"$project": {f"f{n}": "$A" for n in range(101)}}]},
        {"aggregate": [{"$group": {"_id": {f"f{n}": "$A" for n in range(51)}}}]},
        {"aggregate": [{"$group": {"_id": deep}}]},
        {"aggregate": [{"$group": {"_id": "$" + "a." * 200 + "a"}}]},
        {"aggregate": [{"$project": {"x" * 256: "$A"}}]},
        {"aggregate": [{"$project": {"x": "$" + "A" * 256}}]},
        {"aggregate": [{"$project": {"x": "nul \u0000"}}]},
        {"distinct": True, "attributes": [f"c{n}" for n in range(101)]},
        {"join": {f"J{n}": one for n in range(11)}},
        {"join": {"J": {**one, "on": {f"c{n}": "A" for n in range(11)}}}},
        {"after": "", "order": [["A", "ASC"]] * 21},
    ]
    for asked in refused:
        assert query(api, there, **asked).failure == INVALID, asked
    back = {"$project": {"x": {"$convertToNumber": "$x"}, "y": {"$convertToNumber": "$x"}}}
    grouped = {"$group": {"_id": {"x": "$x"}, "x": {"$max": "$x"}}}
    answered: list[dict[str, Any]] = [
        {"aggregate": [{"$project": {"x": "$A"}}, *[back] * 19]},
        {"aggregate": [{"$project": {"x": "$A"}}, *[grouped] * 19]},
        {"aggregate": [{"$project": {"x": "$A"}}, *[{"$sort": {"x": 1}}] * 19]},
        {"aggregate": [{"$project": {f"f{n}": "$A" for n in range(100)}}, {"$sort": {"f1": 1}}]},
        {"aggregate": [{"$group": {"_id": None, **{f"f{n}": {"$avg": "$A"} for n in range(99)}}}]},
        {"aggregate": [{"$group": {"_id": {f"f{n}": "$A" for n in range(50)}}}]},
        {"distinct": True, "attributes": [f"c{n}" for n in range(100)]},
        {"join": {f"J{n}": one for n in range(10)}},
        {"join": {"J": {**one, "on": {f"c{n}": "A" for n in range(10)}}}},
        {"after": "", "order": [["A", "ASC"]] * 20, "limit": 1},
        {"after": "", "limit": 2**63 - 1},
        {"after": "", "limit": 0},
    ]
    for asked in answered:
        answer = query(api, there, **asked)
        assert answer.status == 200, (asked, answer.text)
        following = answer.json.get("pagination", {}).get("next")
        if following:
            assert query(api, there, **{**asked, "after": following}).status == 200


def test_texts_that_are_too_long_for_a_cursor_are_refused(api: Api) -> None:
    there = place([OPEN], [{"A": "x" * 100_000}, {"A": "y"}])
    answer = query(api, there, order=[["A", "ASC"]], limit=1, after="")
    assert answer.failure == INVALID and "too long" in answer.json["message"]
    assert query(api, there, order=[["A", "ASC"]], limit=2, after="").status == 200


def test_sums_beyond_a_double_are_null(api: Api) -> None:
    there = place([OPEN], [{"A": 1e308}, {"A": 1e308}, {"A": 2**63 - 1}])
    answer = query(
        api, there, aggregate=[{"$group": {"_id": None, "s": {"$sum": "$A"}, "a": {"$avg": "$A"}}}]
    )
    assert answer.json["entries"] == [{"_id": None, "s": None, "a": None}]
    join = {"T": {"dataSourceId": there.model.pk, "on": {"A": "A"}, "sum": "A"}}
    totals = [entry["joins"]["T"] for entry in query(api, there, join=join).json["entries"]]
    assert totals == [None, None, 2**63 - 1]
