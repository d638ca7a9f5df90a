"""Script rules over HTTP, in real workers: the scripts of `docs/reference/scripts.md` decide as
they say, in every way in which entries are read and written.
"""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from guardian.shortcuts import assign_perm, remove_perm

from rowkeeper.datasources import store
from rowkeeper.datasources.catalog import registry, saving
from rowkeeper.datasources.models import DataSource
from rowkeeper.rules import sandbox
from rowkeeper.rules.engine import parse
from rowkeeper.rules.models import AccessRule
from rowkeeper.rules.repository.rules import rules_of, save_rules
from rowkeeper.rules.sandbox.protocol import ScriptCall, ScriptVerdict
from tests.docs.test_docs_scripts import scripts
from tests.support import calls
from tests.support.calls import DENIED, INVALID, LOGIN, SourceApi, data_source, failure_of, json_of
from tests.support.people import headers_of, sign_in_source

pytestmark = pytest.mark.django_db

OPEN = {"type": ["select", "insert", "update", "delete"], "allow": "all"}
PEOPLE = [
    {"Email": "sam@x.y", "Department": "Sales", "Office": "Rome", "Manager": "Ann", "Admin": "No"},
    {"Email": "lee@x.y", "Department": "Legal", "Office": "Oslo", "Manager": "Bob", "Admin": "Yes"},
]
ROWS = [
    {"Name": "a", "Department": "Sales", "Office": "Rome", "Active": True, "CreatedBy": "sam@x.y"},
    {"Name": "b", "Department": "Sales", "Office": "Oslo", "Active": False, "CreatedBy": "sam@x.y"},
    {"Name": "c", "Department": "Legal", "Office": "Oslo", "Active": True, "CreatedBy": "lee@x.y"},
]


class Place:
    """A data source under a script, and who asks: nobody, Sam of Sales, Lee of Legal."""

    def __init__(self, *rules: Any, by: Any = None, rows: Any = ROWS) -> None:
        columns = list(dict.fromkeys(key for row in rows for key in row))
        self.model = data_source("Staff", columns, rows, [])
        save_rules(self.model, [{"script": r} if isinstance(r, str) else r for r in rules], by)
        users = sign_in_source("Logins", PEOPLE)
        self.nobody = SourceApi(self.model)
        self.sam = SourceApi(self.model, headers_of(Client(), users, "sam@x.y"))
        self.lee = SourceApi(self.model, headers_of(Client(), users, "lee@x.y"))
        self.ids = self.nobody.ids()
        self.before = self.stored

    @property
    def stored(self) -> dict[int, Any]:
        return dict(self.model.entries.order_by("id").values_list("id", "data"))

    @property
    def unchanged(self) -> bool:
        return self.stored == self.before


def staff_user(**fields: Any) -> Any:
    return get_user_model().objects.create_user(fields.pop("username", "boss"), **fields)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[ScriptCall]:
    """Every call that goes to a worker."""
    found: list[ScriptCall] = []
    run = sandbox.run

    def spied(call: ScriptCall, *others: Any) -> ScriptVerdict:
        found.append(call)
        return run(call, *others)

    monkeypatch.setattr(sandbox, "run", spied)
    return found


# -- the scripts of the page


def test_all_operations() -> None:
    place = Place(scripts()["All operations"])
    sales, legal = {"Department": "Sales"}, {"Department": "Legal"}
    sam = place.sam
    assert [row["Name"] for row in sam.rows(where=sales)] == ["a", "b"]
    assert [row["Name"] for row in sam.rows(where={**sales, "Office": "Oslo"})] == ["b"]
    for ask in (
        {"where": legal},
        {},
        {"where": {"$or": [sales]}},
        {"where": legal, "countOnly": True},
    ):
        assert failure_of(sam.query(**ask)) == DENIED
        assert failure_of(place.nobody.query(**ask)) == LOGIN
    for url in ("/data", f"/data/{place.ids[0]}", "/indexes/Name"):
        assert failure_of(sam.send("GET", url)) == DENIED
    # One, and several.
    assert failure_of(sam.send("PUT", "/data", legal)) == DENIED
    many = [{"data": sales}, {"data": legal}]
    assert failure_of(sam.send("POST", "/commit", {"entries": many, "append": True})) == DENIED
    assert failure_of(place.nobody.send("PUT", "/data", sales)) == LOGIN
    first, second, third = place.ids
    changes: list[tuple[int, Any, tuple[int, str | None]]] = [
        (first, {**sales, "Name": "A"}, (200, None)),
        (second, {**sales, "Name": "B"}, DENIED),  # not active
        (second, {"Name": "A"}, DENIED),
        (first, legal, DENIED),
    ]
    for key, sent, wanted in changes[1:]:
        assert failure_of(sam.send("PUT", f"/data/{key}", sent)) == wanted
    commit = [{"id": first, "data": {"Name": "x"}}, {"id": second, "data": sales}]
    assert failure_of(sam.send("POST", "/commit", {"entries": commit, "append": True})) == DENIED
    for key in (third, 10**9):
        assert failure_of(sam.send("DELETE", f"/data/{key}")) == DENIED
        assert failure_of(place.nobody.send("DELETE", f"/data/{key}")) == LOGIN
    both = {"entries": [], "delete": [first, third], "append": True}
    assert failure_of(sam.send("POST", "/commit", both)) == DENIED
    assert failure_of(sam.query(type="delete", where=legal)) == DENIED
    assert (
        failure_of(sam.query(type="delete", where={"CreatedBy": "sam@x.y"})) == DENIED
    )  # no such select
    assert failure_of(sam.send("POST", "/data", {"entries": []})) == DENIED
    assert place.unchanged

    assert json_of(sam.send("PUT", "/data", sales))["data"] == sales
    commit: list[dict[str, Any]] = [{"id": first, "data": {**sales, "Name": "n"}}, {"data": sales}]
    asked = {"entries": commit, "append": True, "extend": True, "delete": []}
    assert failure_of(sam.send("POST", "/commit", asked)) == (200, None)
    assert place.stored[first] == {**ROWS[0], "Name": "n"}
    key, sent, _ = changes[0]
    assert json_of(sam.send("PUT", f"/data/{key}", sent))["data"] == sent
    assert failure_of(sam.send("DELETE", f"/data/{first}")) == (200, None)
    assert json_of(sam.query(type="delete", where={**sales, "Name": "b"})) == {"deletedCount": 1}
    assert first not in place.stored and second not in place.stored


def test_columns_that_are_hidden() -> None:
    rows = [{"Name": "a", "Phone": "1", "NextOfKin": "x"}]
    place = Place(scripts()["Hide from others"], rows=rows)
    assert place.lee.rows() == rows and place.sam.rows() == [{"Name": "a"}]
    assert failure_of(place.nobody.query()) == LOGIN
    assert json_of(place.sam.send("GET", f"/data/{place.ids[0]}"))["data"] == {"Name": "a"}
    assert json_of(place.sam.send("GET", "/data"))["entries"][0]["data"] == {"Name": "a"}
    named: list[dict[str, Any]] = [
        {"where": {"Phone": "1"}},
        {"order": [["data.Phone", "ASC"]]},
        {"attributes": ["Phone"]},
        {"where": {"NextOfKin": {"$exists": True}}, "countOnly": True},
        {"aggregate": [{"$project": {"Phone": 1}}]},
        {"distinct": True, "attributes": ["Phone"]},
    ]
    for asked in named:
        assert failure_of(place.sam.query(**asked)) == DENIED, asked
        assert place.lee.query(**asked).status_code == 200, asked
    assert failure_of(place.sam.send("GET", "/indexes/Phone")) == DENIED
    assert failure_of(place.lee.send("PUT", "/data", {"Name": "b"})) == DENIED


def test_the_query_is_changed() -> None:
    place = Place(scripts()["Same office"])
    sam = place.sam
    names = lambda rows: [row["Name"] for row in rows]  # noqa: E731
    assert names(sam.rows()) == names(sam.rows(where={"Office": "Oslo"})) == ["a"]
    assert names(place.lee.rows(where={"Name": {"$in": ["a", "b"]}})) == ["b"]
    assert json_of(sam.query(countOnly=True)) == {"count": 1}
    assert json_of(sam.query(limit=0, includePagination=True))["pagination"]["total"] == 1
    assert len(json_of(sam.send("GET", "/data"))["entries"]) == 1
    assert json_of(sam.send("GET", "/indexes/Name")) == {"indexes": {"Name": ["a"]}}
    aggregate = [{"$group": {"_id": "$Office", "n": {"$sum": 1}}}]
    assert len(json_of(sam.query(aggregate=aggregate))["entries"]) == 1
    first, second, _ = place.ids
    assert failure_of(sam.send("GET", f"/data/{first}")) == (200, None)
    for key in (second, 10**9):
        assert failure_of(sam.send("GET", f"/data/{key}")) == DENIED
    assert failure_of(place.nobody.send("GET", f"/data/{first}")) == LOGIN

    made = json_of(sam.send("PUT", "/data", {"Name": "d", "Office": "Oslo"}))
    # What was set is not told but for the column that was sent.
    assert made["data"] == {"Name": "d", "Office": "Rome"}
    row = place.stored[made["id"]]
    assert row["Office"] == "Rome" and isinstance(row["CreatedAt"], int)
    place.model.refresh_from_db()
    assert place.model.columns[-1] == "CreatedAt"
    # The script sets a column of a list, and fails.
    commit = {"entries": [{"data": {"Name": "e"}}], "append": True}
    assert failure_of(sam.send("POST", "/commit", commit)) == DENIED
    assert len(place.stored) == 4


def test_commits() -> None:
    rows = [{"Name": name, "Owner": f"{who}@x.y"} for name, who in (("a", "sam"), ("b", "lee"))]
    place = Place(scripts()["Commits"], {"type": ["select"], "allow": "all"}, rows=rows)
    first, second = place.ids
    new = {"entries": [{"data": {"Name": "n"}, "clientId": "1"}], "append": True}
    answer = json_of(place.sam.send("POST", "/commit", new))
    assert place.stored[answer["clientIds"][0]["id"]] == {"Name": "n", "CreatedBy": "sam@x.y"}
    assert len(answer["entries"]) == 3
    for keys, wanted in (([first], (200, None)), ([first, second], DENIED), ([second], DENIED)):
        commit = [{"id": key, "data": {"Name": "z"}} for key in keys]
        asked = {"entries": commit, "append": True, "extend": True}
        assert failure_of(place.sam.send("POST", "/commit", asked)) == wanted
        assert failure_of(place.nobody.send("POST", "/commit", asked)) == LOGIN
    assert place.stored[first]["Name"] == "z" and place.stored[second] == rows[1]
    gone = {"entries": [], "append": True, "delete": [first, second]}
    assert failure_of(place.sam.send("POST", "/commit", gone)) == DENIED
    assert failure_of(place.sam.query(type="delete", where={"Name": {"$in": ["z", "b"]}})) == DENIED
    assert json_of(place.sam.query(type="delete", where={"Name": "z"})) == {"deletedCount": 1}
    # The bulk POST is a commit that takes everything else away: that is denied, and so is all.
    bulk = {"entries": [{"Name": "q"}]}
    assert failure_of(place.sam.send("POST", "/data", bulk)) == DENIED
    assert failure_of(place.sam.send("POST", "/data", {**bulk, "append": True})) == (200, None)


# -- look-ups


@pytest.fixture
def offices() -> DataSource:
    model = DataSource.objects.create(pk=123, name="Offices", columns=["Office"])
    row = {"Office": "Rome", "Managers": ["Ann"], "Country": "In the United Kingdom, say"}
    with store.writing(registry.source_of(model), []):
        store.insert(registry.source_of(model), [row])
    data_source("Users", ["Email"], [{"Email": f"{n}@x.y"} for n in range(9)], [])
    return model


def test_look_ups_by_id_and_by_name(offices: DataSource) -> None:
    place = Place(scripts()["Managers"], by=staff_user(is_superuser=True))
    assert len(place.sam.rows()) == 3
    assert failure_of(place.lee.query()) == DENIED
    assert failure_of(place.nobody.query()) == LOGIN
    assert failure_of(place.sam.send("PUT", "/data", {"Name": "n"})) == (200, None)
    save_rules(DataSource.objects.get(name="Users"), [OPEN])
    users = SourceApi(DataSource.objects.get(name="Users"))
    assert failure_of(users.send("PUT", "/data", {"Email": "9@x.y"})) == (200, None)
    assert failure_of(place.sam.send("PUT", "/data", {"Name": "n"})) == DENIED


def test_look_ups_are_those_of_the_writer(offices: DataSource) -> None:
    ann = staff_user(username="ann")
    place = Place(OPEN | {"enabled": False}, by=ann)
    for right in ("write_scripts", "change_rules"):
        assign_perm(f"rowkeeper_datasources.{right}_datasource", ann, place.model)
    save_rules(place.model, [{"script": scripts()["Managers"]}], ann)
    assert failure_of(place.sam.query()) == DENIED
    assign_perm("rowkeeper_datasources.view_datasource", ann, offices)
    assert len(place.sam.rows()) == 3
    # Not the right of somebody else who saves the rules around it.
    remove_perm("rowkeeper_datasources.view_datasource", ann, offices)
    boss = staff_user(is_superuser=True)
    save_rules(place.model, [{"name": "x", "script": scripts()["Managers"]}], boss)
    assert failure_of(place.sam.query()) == DENIED
    save_rules(place.model, [{"script": scripts()["Managers"] + "\n"}], boss)
    assert len(place.sam.rows()) == 3
    boss.delete()
    assert failure_of(place.sam.query()) == DENIED


def test_a_writer_by_way_of_the_api_and_the_admin(offices: DataSource) -> None:
    place = Place(OPEN)
    boss = staff_user(is_superuser=True, is_staff=True)
    client = Client()
    client.force_login(boss)
    url = f"/admin/rowkeeper_datasources/datasource/{place.model.pk}/change/"
    page = client.get(url)
    form = page.context["adminform"].form
    sent = {name: form[name].value() or "" for name in form.fields}
    sent["rules"] = json.dumps([{"script": scripts()["Managers"]}])
    asked = client.post(url, sent)
    # A script may let in more people than before: that is confirmed.
    client.post(url, {**sent, "confirmed": asked.context["adminform"].form.digest})
    assert "Managers" in rules_of(place.model)[0]["script"]
    assert len(place.sam.rows()) == 3


def test_a_look_up_that_is_slow_ends_the_run(offices: DataSource, settings: Any) -> None:
    # As many look-ups as any machine can do in that time: only the time ends the run.
    settings.ROWKEEPER = {"SCRIPTS": {"SECONDS": 0.3, "LOOKUPS": 100_000}}
    many = [{"Text": "a" * 3_000} for _ in range(2_000)]
    data_source("Many", ["Text"], many, [])
    script = """
for n in range(100_000):
    DataSources("Many").count(where={"Text": {"$regex": "(a|aa|aaa)*b$"}})
return {"granted": True}
"""
    place = Place(script, OPEN, by=staff_user(is_superuser=True))
    assert failure_of(place.sam.query()) == DENIED
    assert failure_of(place.sam.send("PUT", "/data", {"Name": "x"})) == DENIED
    # The connection is as it was.
    save_rules(place.model, [OPEN])
    assert len(place.sam.rows()) == 3


# -- what a script leaves, and what others see of it


def test_a_client_sees_nothing_of_a_trace() -> None:
    place = Place("print('tell-tale')\nraise ValueError('tell-tale')", OPEN)
    answer = place.sam.query()
    assert failure_of(answer) == DENIED
    assert b"tell-tale" not in answer.content and "tell-tale" not in str(answer.headers)


def test_a_script_that_leaves_what_cannot_run() -> None:
    place = Place("query.Name = {'$nope': 1}\nreturn {'granted': True}", OPEN)
    assert failure_of(place.sam.query()) == DENIED
    assert failure_of(place.sam.send("GET", f"/data/{place.ids[0]}")) == DENIED
    assert failure_of(place.sam.send("PUT", "/data", {"Name": "x"})) == DENIED
    assert failure_of(place.sam.send("PUT", f"/data/{place.ids[0]}", {"Name": "x"})) == DENIED
    # A delete is not changed.
    assert failure_of(place.sam.send("DELETE", f"/data/{place.ids[0]}")) == (200, None)


def test_an_update_with_a_column_that_is_new() -> None:
    script = (
        "query.EditedBy = user.Email\nreturn {'granted': type != 'select', 'exclude': ['Name']}"
    )
    place = Place(script)
    first = place.ids[0]
    assert failure_of(place.sam.send("PUT", f"/data/{first}", {"Name": "x"})) == DENIED
    answer = json_of(place.sam.send("PUT", f"/data/{first}", {"Office": "Kyiv"}))
    assert answer["data"] == {"Office": "Kyiv"}
    assert place.stored[first] == {**ROWS[0], "Office": "Kyiv", "EditedBy": "sam@x.y"}
    place.model.refresh_from_db()
    assert place.model.columns[-1] == "EditedBy"
    commit = "for row in query:\n    row.Batch = 1\nreturn {'granted': type != 'select'}"
    save_rules(place.model, [{"script": commit}])
    entries = [{"id": key, "data": {"Office": "Bonn"}} for key in place.ids[1:]]
    sent = {"entries": entries, "append": True, "extend": True}
    assert json_of(place.sam.send("POST", "/commit", sent)) == {"entries": [], "clientIds": []}
    assert [row.get("Batch") for row in place.stored.values()] == [None, 1, 1]
    place.model.refresh_from_db()
    assert place.model.columns[-1] == "Batch"


def test_a_view_counts_as_the_clients_where() -> None:
    place = Place("return {'granted': query.Office == 'Oslo' and query.Name == 'b'}")
    place.model.definition = {"views": {"Oslo": {"where": {"Office": "Oslo"}}}}
    saving.save(place.model)
    assert [row["Name"] for row in place.sam.rows(where={"Name": "b"}, view="Oslo")] == ["b"]
    assert failure_of(place.sam.query(where={"Name": "b"})) == DENIED


def test_joins_are_asked_of_the_scripts_of_the_joined() -> None:
    place = Place(scripts()["Same office"])
    main = data_source("Main", ["Office"], [{"Office": "Rome"}, {"Office": "Oslo"}], [OPEN])
    join = {"S": {"dataSourceName": "Staff", "on": {"Office": "Office"}, "count": True}}
    asked = SourceApi(main, place.sam.headers).query(join=join)
    assert [entry["joins"]["S"] for entry in json_of(asked)["entries"]] == [1, 0]
    assert failure_of(SourceApi(main).query(join=join)) == DENIED


def test_a_delete_by_query_deletes_what_the_script_saw_and_the_select_shows() -> None:
    deletes = (
        "if type == 'delete':\n    return {'granted': all(r.Department == 'Sales' for r in query)}"
    )
    place = Place(deletes, {"type": ["select"], "allow": "all"})
    where: dict[str, Any] = {"Office": {"$exists": True}}
    assert failure_of(place.sam.query(type="delete", where=where)) == DENIED
    assert place.unchanged
    sales = {"Department": "Sales"}
    assert json_of(place.sam.query(type="delete", where=sales)) == {"deletedCount": 2}
    assert [row["Name"] for row in place.stored.values()] == ["c"]


def test_a_delete_by_query_is_narrowed_by_the_select() -> None:
    script = """
if type == 'delete':
    return {'granted': True}
if type == 'select':
    query.Department = 'Sales'
    return {'granted': True}
"""
    place = Place(script)
    answer = place.sam.query(type="delete", where={"Office": "Oslo"})
    assert json_of(answer) == {"deletedCount": 1}
    assert [row["Name"] for row in place.stored.values()] == ["a", "c"]
    assert json_of(place.sam.query(type="delete", where={})) == {"deletedCount": 1}
    assert [row["Name"] for row in place.stored.values()] == ["c"]


def test_no_script_sees_passwords() -> None:
    script = """
print(query, entry, entries, user)
if type == 'select':
    return {'granted': True}
return {'granted': type == 'update' and 'Password' not in query and 'Password' not in entry.data}
"""
    people = sign_in_source("People", [{"Email": "a@x.y"}])
    save_rules(people, [{"script": script}])
    own = SourceApi(people, headers_of(Client(), people, "a@x.y"))
    key = own.ids()[0]
    assert own.rows() == [{"Email": "a@x.y"}]
    assert failure_of(own.send("PUT", f"/data/{key}", {"Password": "another"})) == (200, None)
    assert failure_of(SourceApi(people).send("PUT", f"/data/{key}", {"Password": "x"})) == LOGIN
    found = own.query(where={"Password": {"$exists": True}})
    assert found.status_code != 200


# -- what it costs


def test_a_commit_asks_a_select_script_twice_at_most(runs: list[ScriptCall]) -> None:
    script = """
if type == 'select':
    return {'granted': True, 'exclude': ['Office']}
return {'granted': True, 'exclude': ['Name']}
"""
    rows = [{"Name": "n", "Office": "o"} for _ in range(50)]
    place = Place(script, rows=rows)
    # `Name` is closed: each entry has to be one whose `Name` the caller was shown.
    entries = [{"id": key, "data": {"Name": "n", "A": 1}} for key in place.ids]
    sent = {"entries": entries, "append": True, "extend": True}
    assert len(json_of(place.sam.send("POST", "/commit", sent))["entries"]) == 50
    assert [call.operation for call in runs] == ["update", "select", "select"]
    runs.clear()
    assert failure_of(place.sam.send("PUT", f"/data/{place.ids[0]}", {"A": 2})) == (200, None)
    assert [call.operation for call in runs] == ["update", "select", "select"]
    runs.clear()
    assert failure_of(place.sam.send("PUT", "/data", {"A": 2})) == (200, None)
    assert [call.operation for call in runs] == ["insert"]


def test_a_script_costs_no_statement_and_is_checked_once(
    monkeypatch: pytest.MonkeyPatch, runs: list[ScriptCall]
) -> None:
    checked: list[str] = []
    check = parse.check
    monkeypatch.setattr(parse, "check", lambda source: checked.append(source) or check(source))
    place = Place("return {'granted': True}")
    checked.clear()
    place.sam.rows()
    assert len(checked) == 1
    with CaptureQueriesContext(
        connection,
    ) as asked:
        place.sam.rows()
        place.sam.rows()
    assert len(asked) == 4 and len(checked) == 1 and len(runs) == 3


# -- saving, and explaining


def test_what_is_wrong_with_a_script_is_told_with_its_place() -> None:
    place = Place(OPEN)
    rules = [OPEN, {"script": "if user:\n    import os\nreturn {'granted': user.__class__}"}]
    answer = calls.superuser()("PUT", f"data-sources/{place.model.pk}", {"accessRules": rules})
    assert answer.failure == INVALID
    first, second = answer.json["message"].split("; rule ")
    assert first.startswith("rule 2, `script`: line 2, column 5: ")
    assert second.startswith("2, `script`: line 3, column 20: ")
    assert rules_of(place.model) == [OPEN]


def test_a_stored_script_that_is_not_valid_ends_all_operations() -> None:
    place = Place("return {'granted': True}", OPEN)
    AccessRule.objects.filter(position=1).update(script="import os")
    registry.bump_rules_version(place.model.pk)
    assert failure_of(place.sam.query()) == DENIED
    assert failure_of(place.sam.send("PUT", "/data", {"Name": "x"})) == DENIED


def test_explain_tells_what_a_script_did() -> None:
    script = """
print("hello")
found = DataSources("Staff").count(where={"Office": "Oslo"})
query.Office = user.Office
return {"granted": found == 2, "exclude": ["Name"]}
"""
    place = Place(OPEN | {"enabled": False}, script, by=staff_user(is_superuser=True))
    out = StringIO()
    words = ["Staff", "--operation", "select", "--user", '{"Office": "Rome"}']
    call_command("explain", *words, stdout=out)
    lines = out.getvalue().splitlines()
    assert lines[:4] == [
        "granted by rule 2",
        "  columns: all but `Name`",
        "rule 1: is disabled",
        "rule 2: grants",
    ]
    assert lines[4].startswith("  took ")
    assert lines[5:] == [
        "  changed `Office` in `query`",
        '  asks for {"Office":"Rome"}',
        "  hides `Name`",
        '  looked up DataSources(\'Staff\').count(where={"Office": "Oslo"}): 2',
        "  printed: hello",
    ]
    save_rules(place.model, [{"script": "x = 1\nreturn {'granted': user.Nope.x}"}])
    out = StringIO()
    call_command("explain", *words, stdout=out)
    assert "line 2: AttributeError: `x` of `Nope`, which is missing" in out.getvalue()
    save_rules(place.model, [{"script": "return {'granted': len(query) == 2}"}, OPEN])
    out = StringIO()
    asked = '{"where": {"Office": "Oslo"}}'
    call_command("explain", "Staff", "--operation", "delete", "--query", asked, stdout=out)
    assert "rule 1: grants" in out.getvalue() and place.unchanged


def test_minus_nought_of_a_script_is_nought() -> None:
    """Else SQLite, which compares texts, shows it where a rule keeps nought from being seen."""
    script = "query.A = -0.0\nquery.B = [{'C': -0.0}, '-0.0', -0.05]\nreturn {'granted': True}"
    rules = [
        {"script": f"if type != 'insert':\n    return\n{script}"},
        {"type": ["select"], "allow": "all", "require": [{"A": {"notequals": 0}}]},
    ]
    there = calls.place(rules, columns=["A", "B"])
    api = calls.bare_token()[1]
    assert api("PUT", there.data, {"N": 1}).status == 200
    (row,) = there.stored.values()
    assert row["B"] == [{"C": 0}, "-0.0", -0.05] and "-0.0" not in str((row["A"], row["B"][0]))
    assert api("POST", f"{there.data}/query", {"where": {"A": {"$ne": 0}}}).entries == []
