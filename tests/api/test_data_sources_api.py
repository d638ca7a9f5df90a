"""Managing data sources over HTTP: by Django's rights, whole or not at all, and telling nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import pytest
from django.contrib.auth.models import Group
from guardian.shortcuts import assign_perm

from rowkeeper.accounts.models import App
from rowkeeper.datasources.models import DataSource, Entry
from rowkeeper.rules.models import AccessRule
from rowkeeper.rules.repository.rules import rules_of, save_rules
from tests.support import calls
from tests.support.calls import OPEN, READ, Answer, Api, Place, fill, place
from tests.support.people import LOGIN, PASSWORD, sign_in_source

pytestmark = pytest.mark.django_db

PARTS = ["id", "name", "columns", "type", "appId", "definition", "createdAt", "updatedAt"]
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
ABSENT = 987_654
RIGHTS = ("view", "change", "delete", "change_rules", "share")


def ids(answer: Answer) -> list[int]:
    assert answer.status == 200, answer
    return [source["id"] for source in answer.json["dataSources"]]


# -- the list


def test_the_list_has_what_the_caller_may_see() -> None:
    app = App.objects.create(name="An app")
    first = place([OPEN], name="First", type="a", app=app).model
    second = place([], name="Second", type="b").model
    third = place([], name="Third").model
    assert ids(calls.manager("view")("GET", "data-sources")) == [first.pk, second.pk, third.pk]
    assert ids(calls.manager("view", on=second)("GET", "data-sources")) == [second.pk]
    for right in ("change", "change_rules"):
        assert ids(calls.manager(right, on=second)("GET", "data-sources")) == [second.pk]
    for right in ("delete", "share"):
        assert ids(calls.manager(right, on=second)("GET", "data-sources")) == []
    api = calls.superuser()
    for query, found in [
        ("", [first, second, third]),
        (f"?appId={app.pk}", [first]),
        (f"?appId={app.pk + 1}", []),
        ("?type=a", [first]),
        ("?type=", [third]),
        ("?excludeTypes=a,b", [third]),
        ("?excludeTypes=a", [second, third]),
        (f"?type=a&appId={app.pk}&excludeTypes=b", [first]),
    ]:
        assert ids(api("GET", f"data-sources{query}")) == [model.pk for model in found], query
    assert api("GET", "data-sources?attributes=id,name").json["dataSources"][0] == {
        "id": first.pk,
        "name": "First",
    }
    for query in ("attributes=accessRules", "attributes=owner", "appId=x", "appId=1.5"):
        assert api("GET", f"data-sources?{query}").failure == (400, "request.invalid")


def test_a_data_source_in_the_list() -> None:
    app = App.objects.create(name="An app")
    there = place([OPEN], [{"Name": "a"}], app=app, type="x", definition={"note": [1]})
    [found] = calls.manager("view")("GET", "data-sources").json["dataSources"]
    assert list(found) == PARTS
    assert TIME.fullmatch(found.pop("createdAt")) and TIME.fullmatch(found.pop("updatedAt"))
    assert found == {
        "id": there.model.pk,
        "name": "Things",
        "columns": ["Name"],
        "type": "x",
        "appId": app.pk,
        "definition": {"note": [1]},
    }


def test_rights_of_a_group_and_of_somebody_inactive() -> None:
    there = place([])
    user = calls.django_user()
    group = Group.objects.create(name="staff")
    user.groups.add(group)
    api = calls.bare_token(user=user)[1]
    assert ids(api("GET", "data-sources")) == []
    assign_perm("rowkeeper_datasources.view_datasource", group, there.model)
    assert ids(api("GET", "data-sources")) == [there.model.pk]
    assert api("GET", there.url).status == 200
    user.is_active = False
    user.save()
    assert api("GET", "data-sources").failure == (401, "auth.invalid")


# -- making one


def test_who_makes_one_gets_every_right_on_it() -> None:
    user = calls.django_user("add")
    api = calls.bare_token(user=user)[1]
    app = App.objects.create(name="An app")
    answer = api(
        "POST",
        "data-sources",
        {
            "name": "New",
            "columns": ["B", "A"],
            "appId": app.pk,
            "entries": [{"A": 1, "C": 2}, {}],
            "accessRules": [READ],
            "definition": {"note": 1},
            "type": "x",
            "unknown": 1,
        },
    )
    assert answer.status == 201
    made = answer.json["dataSource"]
    assert list(answer.json) == ["dataSource", "warnings"]
    assert set(made) == {*PARTS, "accessRules", "revision"}
    assert made["columns"] == ["B", "A", "C"]
    assert (made["appId"], made["type"], made["definition"]) == (app.pk, "x", {"note": 1})
    assert made["accessRules"] == [READ]
    path = f"data-sources/{made['id']}"
    assert calls.anonymous()("GET", f"{path}/data").rows == [{"A": 1, "C": 2}, {}]
    assert api("GET", path).json["dataSource"] == made
    assert api("PUT", path, {"name": "Newer", "accessRules": []}).status == 200
    assert api("GET", "data-sources/Newer").status == 200
    other = calls.manager("add")
    assert other("GET", path).failure == (403, "auth.forbidden")
    assert api("DELETE", path).json == {}
    assert not DataSource.objects.exists() and not Entry.objects.exists()


def test_a_name_is_all_that_is_needed() -> None:
    made = calls.manager("add")("POST", "data-sources", {"name": "New"}).json["dataSource"]
    assert made["columns"] == [] and made["definition"] == {} and made["accessRules"] == []
    assert made["appId"] is None and made["type"] == ""
    answer = calls.bare_token()[1]("GET", f"data-sources/{made['id']}/data")
    assert answer.failure == (400, "datasource.access")


BAD_FIELDS: list[dict[str, Any]] = [
    {"name": ""},
    {"name": " x"},
    {"name": "x" * 256},
    {"name": "a\nb"},
    {"name": 5},
    {"name": None},
    {"name": ["x"]},
    {"name": "Taken"},
    {"columns": "x"},
    {"columns": None},
    {"columns": ["a", "a"]},
    {"columns": ["$x"]},
    {"columns": [1]},
    {"columns": ["x" * 256]},
    {"columns": [""]},
    {"type": 1},
    {"type": "x" * 65},
    {"definition": []},
    {"definition": "x"},
    {"accessRules": {}},
    {"accessRules": [{}]},
    {"accessRules": [{"type": ["select"], "allow": "everyone"}]},
    {"accessRules": [OPEN, {**OPEN, "unknown": 1}]},
    {"accessRules": "[]"},
]


@pytest.mark.parametrize("part", BAD_FIELDS, ids=str)
def test_what_cannot_be_made_makes_nothing(part: dict[str, Any]) -> None:
    place([], name="Taken")
    body = {"name": "New", "entries": [{"A": 1}], **part}
    answer = calls.superuser()("POST", "data-sources", body)
    assert answer.failure == (400, "request.invalid")
    assert DataSource.objects.count() == 1 and not Entry.objects.exists()


@pytest.mark.parametrize(
    "part",
    [
        {"name": "New", "appId": 999},
        {"name": "New", "appId": "x"},
        {"name": "New", "appId": True},
        {"name": "New", "entries": {}},
        {"name": "New", "entries": "x"},
        {"name": "New", "entries": [1]},
        {"name": "New", "entries": [{"$x": 1}]},
        {},
    ],
    ids=str,
)
def test_a_creation_that_is_malformed_makes_nothing(part: dict[str, Any]) -> None:
    assert calls.superuser()("POST", "data-sources", part).failure == (400, "request.invalid")
    assert not DataSource.objects.exists()


# -- reading one


@pytest.mark.parametrize("right", RIGHTS)
@pytest.mark.parametrize("on_it", [True, False])
def test_what_each_right_shows(right: str, on_it: bool) -> None:
    there, other = place([OPEN], name="Mine"), place([], name="Other")
    model = there.model if on_it else None
    api = calls.manager(right, on=model)
    found = api("GET", there.url).json["dataSource"]
    if right in ("view", "change", "change_rules"):
        rules = ["accessRules", "revision"] if right == "change_rules" else []
        assert list(found) == [*PARTS, *rules]
    else:
        # Short, since an open rule lets everybody in.
        assert list(found) == ["id", "name", "columns"]
    elsewhere = api("GET", other.url)
    if right in ("view", "change", "change_rules") and not on_it:
        assert elsewhere.status == 200
    else:
        assert elsewhere.failure == (403, "auth.forbidden")


def test_rules_are_shown_to_those_who_may_change_them() -> None:
    there = place([OPEN])
    assert "accessRules" not in calls.manager("view")("GET", there.url).json["dataSource"]
    for api in (
        calls.manager("view", "change_rules"),
        calls.manager("view", "change_rules", on=there.model),
    ):
        found = api("GET", there.url).json["dataSource"]
        assert list(found) == [*PARTS, "accessRules", "revision"]
        assert found["accessRules"] == [OPEN]


SHORT: list[tuple[str, list[dict[str, Any]], list[str] | None]] = [
    ("open", [OPEN], ["Name", "Salary", "Office"]),
    ("hidden", [{**READ, "exclude": ["Salary"]}], ["Name", "Office"]),
    ("included", [{**READ, "include": ["Office", "Name"]}], ["Name", "Office"]),
    ("nothing", [{**READ, "include": []}], []),
    (
        "any operation",
        [
            {**READ, "include": ["Name"]},
            {"type": ["insert"], "allow": "all", "include": ["Office"]},
        ],
        ["Name", "Office"],
    ),
    ("requirements do not count", [{**READ, "require": [{"Name": {"equals": "x"}}]}], None),
    ("disabled", [{**READ, "include": ["Name"]}, {**OPEN, "enabled": False}], ["Name"]),
    ("another app", [{**READ, "include": ["Name"]}, {**OPEN, "appId": [10**9]}], ["Name"]),
    ("a login", [{**READ, "include": ["Name"]}, {**OPEN, "allow": "loggedIn"}], ["Name"]),
    ("a token", [{**READ, "include": ["Name"]}, {**OPEN, "allow": {"tokens": [10**9]}}], ["Name"]),
]


@pytest.mark.parametrize(("rules", "columns"), [s[1:] for s in SHORT], ids=[s[0] for s in SHORT])
def test_the_short_answer(rules: list[dict[str, Any]], columns: list[str] | None) -> None:
    there = place(rules, [{"Name": "a", "Salary": 1, "Office": "x"}], definition={"note": "n"})
    if columns is None:
        columns = ["Name", "Salary", "Office"]
    for api in (calls.anonymous(), calls.bare_token()[1], calls.manager()):
        for path in (there.url, "data-sources/Things"):
            assert api("GET", path).json == {
                "dataSource": {"id": there.model.pk, "name": "Things", "columns": columns}
            }


def test_the_short_answer_leaves_the_password_column_out() -> None:
    source = sign_in_source("Users", [{"Email": "a@b", "Name": "x"}])
    save_rules(source, [OPEN])
    answer = calls.anonymous()("GET", f"data-sources/{source.pk}")
    assert answer.json["dataSource"]["columns"] == ["Email", "Name"]


NOBODYS: list[tuple[str, list[dict[str, Any]]]] = [
    ("no rules", []),
    ("disabled", [{**OPEN, "enabled": False}]),
    ("another app", [{**OPEN, "appId": [10**9]}]),
    ("no app", [{**OPEN, "appId": []}]),
    ("another token", [{**OPEN, "allow": {"tokens": [10**9]}}]),
    ("another user", [{**OPEN, "allow": {"user": {"Role": {"equals": "boss"}}}}]),
]
CALLERS: dict[str, Callable[[], Api]] = {
    "anonymous": calls.anonymous,
    "bare token": lambda: calls.bare_token()[1],
    "token with an app": lambda: calls.bare_token(App.objects.create(name="Their app"))[1],
    "session": lambda: calls.person({"Role": "clerk"}),
    "site": lambda: calls.on_site(calls.django_user()),
    "powerless token": calls.manager,
    "another's manager": lambda: calls.manager(*RIGHTS, on=place([], name="Own").model),
    "revoked token": calls.revoked_token,
}


def every_ask(path: str) -> list[tuple[str, str, Any]]:
    return [
        ("GET", path, None),
        ("HEAD", path, None),
        ("PUT", path, {"name": "x"}),
        ("PUT", path, {"accessRules": []}),
        ("PUT", path, {"definition": {}}),
        ("PUT", path, {"definition": LOGIN}),
        ("PUT", path, {"definition": {"login": 1}, "accessRules": 7}),
        ("PUT", path, {}),
        ("DELETE", path, None),
        ("POST", f"{path}/data/query", {}),
        ("POST", f"{path}/data/query", {"where": {"Name": "a"}, "order": [["data.Name"]]}),
        ("POST", f"{path}/data/query", {"attributes": ["data.Name"], "countOnly": True}),
        ("POST", f"{path}/data/query", {"type": "delete", "where": {"data.Name": "a"}}),
        ("POST", f"{path}/data/query", {"where": {"$foo": 1}}),
        ("GET", f"{path}/data", None),
        ("PUT", f"{path}/data", {"Name": "x"}),
        ("POST", f"{path}/data", {"entries": [{"Name": "x"}]}),
        ("POST", f"{path}/data", {"entries": [], "append": True}),
        ("GET", f"{path}/data/1", None),
        ("PUT", f"{path}/data/1", {"Name": "x"}),
        ("DELETE", f"{path}/data/1", None),
        ("POST", f"{path}/commit", {"entries": []}),
        ("POST", f"{path}/commit", {"entries": [], "append": True}),
        ("POST", f"{path}/commit", {"entries": [{"id": 1, "data": {}}], "append": True}),
        ("POST", f"{path}/commit", {"entries": [], "delete": [1], "append": True}),
        ("GET", f"{path}/indexes/Name", None),
        ("PATCH", f"{path}/data", None),
    ]


# Every caller before one data source, and before each data source those that differ most.
ALIKE = [
    pytest.param(rules, who, id=f"{name}, {who}")
    for name, rules in NOBODYS
    for who in CALLERS
    if name == "no rules" or who in ("anonymous", "bare token", "session")
]


@pytest.mark.parametrize(("rules", "who"), ALIKE)
def test_what_exists_and_what_does_not_answer_alike(rules: list[dict[str, Any]], who: str) -> None:
    """Byte for byte, but for the reference that the caller sent."""
    there = place(rules, [{"Name": "a"}], name="Hidden one")
    entry = there.ids[0]
    api = CALLERS[who]()
    pairs = [
        (str(there.model.pk), str(ABSENT)),
        ("Hidden%20one", "Absent%20one"),
    ]
    for real, absent in pairs:
        for (method, path, body), (_, other_path, _) in zip(
            every_ask(f"data-sources/{real}"), every_ask(f"data-sources/{absent}"), strict=True
        ):
            path = path.replace("/data/1", f"/data/{entry}")
            other_path = other_path.replace("/data/1", f"/data/{entry}")
            first, second = api(method, path, body), api(method, other_path, body)
            label = (method, path, body)
            assert first.status == second.status, label
            assert masked(first, real) == masked(second, absent), label
            assert headers_of(first) == headers_of(second), label
            assert first.status >= 400, label
    assert there.stored == {entry: {"Name": "a"}}
    assert DataSource.objects.filter(name="Hidden one").exists()


def headers_of(answer: Answer) -> dict[str, str]:
    """The headers, but for the length; the id of a request is another each time."""
    found = {name: text for name, text in answer.headers.items() if name != "Content-Length"}
    return {**found, **({"X-Request-Id": ""} if "X-Request-Id" in found else {})}


def masked(answer: Answer, reference: str) -> bytes:
    plain = reference.replace("%20", " ")
    text = answer.text.replace(f'"{plain}'.encode(), b'"REF')
    return text.replace(f":{plain}}}".encode(), b":REF}").replace(
        f'\\"{plain}\\"'.encode(), b'\\"REF\\"'
    )


@pytest.mark.parametrize(
    "reference", ["007", "0", "0" * 40 + "1", "9" * 40, "a%22b%5C", "%F0%9F%A6%8A"]
)
def test_a_denial_quotes_the_reference_as_it_was_sent(reference: str) -> None:
    answer = calls.bare_token()[1]("GET", f"data-sources/{reference}/data")
    assert answer.failure == (400, "datasource.access")
    assert f'Data Source "{unquote(reference)}" do not' in answer.json["message"]
    assert str(answer.json["payload"]["dataSourceId"]) == unquote(reference)


def test_digits_with_noughts_in_front_tell_nothing() -> None:
    """`007` names the same data source as 7, and is quoted as it was sent."""
    there = place([], [{"Name": "a"}])
    api = calls.bare_token()[1]
    for sent in (f"00{there.model.pk}", f"00{ABSENT}"):
        answer = api("GET", f"data-sources/{sent}/data")
        assert f'"{sent}" do not' in answer.json["message"]


# -- changing one


def test_what_is_set_is_warned_of() -> None:
    there = place([READ], [{"A": 1}])
    api = calls.manager("change_rules", "change", on=there.model)
    rules = [OPEN, {**READ, "exclude": []}]
    answer = api("PUT", there.url, {"accessRules": rules})
    assert [(w["rule"], w["code"], w["severity"]) for w in answer.json["warnings"]] == [
        (1, "any-record", "warning"),
        (2, "unreachable", "warning"),
        (2, "empty-list", "info"),
    ]
    assert "warnings" not in api("PUT", there.url, {"columns": ["A"]}).json
    assert "warnings" not in api("PUT", there.url, {"accessRules": None}).json
    assert "warnings" not in api("GET", there.url).json


def test_what_is_absent_stays() -> None:
    there = place([READ], [{"A": 1}], type="x", definition={"note": 1})
    api = calls.manager("change", "view", "change_rules", on=there.model)
    for body, part in [
        ({"name": "Newer"}, {"name": "Newer"}),
        ({"columns": ["B", "A"]}, {"columns": ["B", "A"]}),
        ({"definition": {"note": 2}}, {"definition": {"note": 2}}),
        ({"accessRules": [OPEN]}, {"accessRules": [OPEN]}),
        ({}, {}),
        ({"unknown": 1, "id": 5, "entries": []}, {}),
    ]:
        before = api("GET", there.url).json["dataSource"]
        answer = api("PUT", there.url, body)
        assert answer.status == 200, answer
        after = answer.json["dataSource"]
        number = before["revision"] + ("accessRules" in part)
        assert {**before, **part, "updatedAt": after["updatedAt"], "revision": number} == after
        assert api("GET", there.url).json["dataSource"] == after
    assert there.stored == {there.ids[0]: {"A": 1}}


def test_null_and_an_empty_list_both_let_nobody_in() -> None:
    there = place([OPEN])
    api = calls.superuser()
    for empty in (None, []):
        api("PUT", there.url, {"accessRules": [OPEN]})
        answer = api("PUT", there.url, {"accessRules": empty})
        assert answer.json["dataSource"]["accessRules"] == []
        assert calls.anonymous()("GET", there.data).failure == (401, "auth.required")


def test_rules_are_replaced_as_one_list() -> None:
    there = place([OPEN, READ])
    api = calls.superuser()
    before = DataSource.objects.get(pk=there.model.pk).revision
    answer = api("PUT", there.url, {"accessRules": [READ, OPEN, {**READ, "name": "third"}]})
    assert answer.json["dataSource"]["accessRules"] == [READ, OPEN, {**READ, "name": "third"}]
    positions = AccessRule.objects.values_list("position", flat=True)
    assert list(positions) == [1, 2, 3]
    assert DataSource.objects.get(pk=there.model.pk).revision > before


@pytest.mark.parametrize(
    ("rights", "body"),
    [
        (("change",), {"name": "New", "accessRules": [OPEN]}),
        (("change",), {"name": "New", "accessRules": []}),
        (("change",), {"name": "New", "accessRules": None}),
        (("change",), {"name": "New", "definition": {}}),
        (("change",), {"name": "New", "definition": {"note": 1}}),
        (("change", "change_rules"), {"name": "New", "definition": LOGIN}),
        (
            ("change", "change_rules"),
            {"columns": ["x"], "accessRules": [OPEN], "definition": LOGIN},
        ),
        (("view",), {"name": "New"}),
        (("view", "change_rules", "share", "delete"), {"name": "New"}),
        (("set_login",), {"name": "New", "definition": LOGIN}),
    ],
)
@pytest.mark.parametrize("on_it", [True, False])
def test_without_the_right_nothing_of_the_request_is_saved(
    rights: tuple[str, ...], body: dict[str, Any], on_it: bool
) -> None:
    there = place([READ], [{"A": 1}], definition={"old": 1})
    if "set_login" in rights and on_it:
        return  # given site-wide alone
    before = DataSource.objects.values().get()
    api = calls.manager(*rights, on=there.model if on_it else None)
    assert api("PUT", there.url, body).failure == (403, "auth.forbidden")
    assert DataSource.objects.values().get() == before
    assert rules_of(there.model) == [READ]


def test_who_signs_in_where_is_a_right_for_the_whole_site() -> None:
    there = place([], [{"Email": "a@b", "Password": "x"}])
    delegate = calls.django_user("change", "change_rules", on=there.model)
    api = calls.bare_token(user=delegate)[1]
    assert api("PUT", there.url, {"definition": LOGIN}).failure == (403, "auth.forbidden")
    assert there.stored[there.ids[0]]["Password"] == "x"
    # Set by somebody else, it is as little the delegate's to change or to end.
    assert calls.superuser()("PUT", there.url, {"definition": LOGIN}).status == 200
    for definition in (
        {},
        None,
        {"login": None},
        {"login": {**LOGIN["login"], "sessionColumns": ["Email"]}},
        {"login": {**LOGIN["login"], "passwordColumn": "Other"}},
    ):
        answer = api("PUT", there.url, {"definition": definition})
        assert answer.failure == (403, "auth.forbidden"), definition
    assert api("PUT", there.url, {"definition": {**LOGIN, "note": 1}}).status == 200
    # Its name is what rules test as `Source`.
    assert api("PUT", there.url, {"name": "Newer"}).failure == (403, "auth.forbidden")
    assert api("PUT", there.url, {"name": "Things", "columns": ["x"]}).status == 200


def test_no_row_can_pass_for_a_django_user() -> None:
    """`Source` is `django` for Django's own users, and the data source's name for others."""
    api = calls.superuser()
    body = {"name": "django", "definition": LOGIN}
    made = api("POST", "data-sources", body)
    if made.status == 201:
        source = DataSource.objects.get()
        fill(Place(source, []), [{"Email": "a@b", "Password": PASSWORD, "Staff": True}])
        somebody = calls.session(source, "a@b")
        rule = {**READ, "allow": {"user": {"Source": {"equals": "django"}}}}
        there = place([rule], [{"Secret": 1}])
        assert somebody("GET", there.data).failure == (400, "datasource.access")
    else:
        assert made.failure == (400, "request.invalid")


def test_a_creation_needs_set_login_for_a_login() -> None:
    body = {"name": "Users", "definition": LOGIN}
    assert calls.manager("add")("POST", "data-sources", body).failure == (403, "auth.forbidden")
    assert not DataSource.objects.exists()
    assert calls.manager("add", "set_login")("POST", "data-sources", body).status == 201


@pytest.mark.parametrize("part", BAD_FIELDS, ids=str)
def test_a_failure_in_one_part_saves_no_other(part: dict[str, Any]) -> None:
    place([], name="Taken")
    there = place([READ], [{"A": 1}], definition={"old": 1})
    before = list(DataSource.objects.order_by("pk").values())
    body = {"name": "New", "columns": ["z"], "definition": {"new": 1}, "accessRules": [OPEN]}
    answer = calls.superuser()("PUT", there.url, {**body, **part})
    assert answer.failure == (400, "request.invalid")
    assert list(DataSource.objects.order_by("pk").values()) == before
    assert rules_of(there.model) == [READ]


@pytest.mark.parametrize(
    "login",
    [
        1,
        [],
        {},
        {"emailColumn": "Email"},
        {"passwordColumn": "Password"},
        {"emailColumn": "Email", "passwordColumn": "Email"},
        {"emailColumn": "", "passwordColumn": "Password"},
        {"emailColumn": "$x", "passwordColumn": "Password"},
        {"emailColumn": 1, "passwordColumn": "Password"},
        {**LOGIN["login"], "unknown": 1},
        {**LOGIN["login"], "sessionColumns": "x"},
    ],
)
def test_a_login_that_is_none_is_refused(login: Any) -> None:
    there = place([], [{"Email": "a@b", "Password": "x"}])
    answer = calls.superuser()("PUT", there.url, {"definition": {"login": login}})
    assert answer.failure == (400, "request.invalid")
    assert there.stored[there.ids[0]]["Password"] == "x"


def test_rules_that_are_wrong_are_told_with_rule_property_and_place() -> None:
    there = place([READ])
    body = {"accessRules": [READ, {**READ, "require": [{"Email": {"equal": 1}}]}]}
    answer = calls.superuser()("PUT", there.url, body)
    assert answer.failure == (400, "request.invalid")
    assert "rule 2" in answer.json["message"] and "require" in answer.json["message"]


# -- removing one


def test_delete_takes_entries_rules_and_sessions_along() -> None:
    source = sign_in_source("Users", [{"Email": "a@b"}])
    somebody = calls.session(source, "a@b")
    api = calls.manager("delete", on=source)
    assert api("DELETE", f"data-sources/{source.pk}").json == {}
    assert somebody("GET", "session").failure == (401, "auth.invalid")
    assert not Entry.objects.exists() and not AccessRule.objects.exists()
    assert api("DELETE", f"data-sources/{source.pk}").failure == (403, "auth.forbidden")
    everywhere = calls.manager("delete")
    assert everywhere("DELETE", f"data-sources/{source.pk}").failure == (404, "notfound")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_to_those_with_the_right_everywhere_what_is_missing_is_404(method: str) -> None:
    api = calls.superuser()
    for reference in (str(ABSENT), "Absent", "0", "9" * 30, "1?dsn"):
        assert api(method, f"data-sources/{reference}", {}).failure == (404, "notfound")


# -- by name, and `?dsn`


def test_every_method_takes_a_name() -> None:
    there = place([], name="Some name")
    api = calls.superuser()
    assert api("GET", "data-sources/Some%20name").json["dataSource"]["id"] == there.model.pk
    assert api("PUT", "data-sources/Some%20name", {"type": "x"}).status == 200
    assert api("DELETE", "data-sources/Some%20name").json == {}


def test_dsn_takes_digits_as_a_name() -> None:
    first = place([], name="First")
    second = place([], name=str(first.model.pk))
    api = calls.superuser()
    assert api("GET", first.url).json["dataSource"]["name"] == "First"
    for query in ("?dsn", "?dsn=true", "?dsn=0"):
        assert api("GET", first.url + query).json["dataSource"]["id"] == second.model.pk
    assert api("DELETE", f"{first.url}?dsn").json == {}
    assert DataSource.objects.get() == first.model


def test_the_site_itself_manages_with_its_csrf_token() -> None:
    there = place([READ])
    user = calls.django_user("view", "change", on=there.model)
    api = calls.on_site(user, csrf=True)
    assert api("GET", there.url).status == 200
    assert api("PUT", there.url, {"name": "x"}).failure == (403, "auth.csrf")
    api.client.cookies["csrftoken"] = "x" * 32
    headers = {"X-CSRFToken": "x" * 32}
    assert api("PUT", there.url, {"name": "New"}, headers=headers).status == 200
    assert api("DELETE", there.url, headers=headers).failure == (403, "auth.forbidden")


def test_a_bare_token_and_a_session_manage_nothing() -> None:
    there = place([OPEN], name="Open")
    for api in (calls.bare_token()[1], calls.person({"Role": "admin", "Staff": True})):
        assert api("GET", "data-sources").failure == (403, "auth.forbidden")
        assert api("POST", "data-sources", {"name": "x"}).failure == (403, "auth.forbidden")
        assert api("PUT", there.url, {"name": "x"}).failure == (403, "auth.forbidden")
        assert api("DELETE", there.url).failure == (403, "auth.forbidden")
        assert list(api("GET", there.url).json["dataSource"]) == ["id", "name", "columns"]
    assert calls.anonymous()("PUT", there.url, {"name": "x"}).failure == (401, "auth.required")


def test_who_may_change_rules_needs_no_other_right_for_it() -> None:
    there = place([])
    api = calls.manager("change_rules", on=there.model)
    answer = api("PUT", there.url, {"accessRules": [OPEN]})
    assert answer.json["dataSource"]["accessRules"] == [OPEN]
    assert api("PUT", there.url, {"name": "Other"}).failure == (403, "auth.forbidden")
    assert api("PUT", there.url, {"definition": {}}).failure == (403, "auth.forbidden")
    assert api("DELETE", there.url).failure == (403, "auth.forbidden")
