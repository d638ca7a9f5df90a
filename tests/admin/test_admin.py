"""The admin's pages on data sources, entries and rules: what they promise, and to whom."""

from __future__ import annotations

import json
import re
from html import unescape
from html.parser import HTMLParser
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from guardian.shortcuts import assign_perm

from rowkeeper.accounts.models import App, LoginSession
from rowkeeper.datasources import store
from rowkeeper.datasources.catalog import registry, saving
from rowkeeper.datasources.models import DataSource, Entry
from rowkeeper.datasources.values.format import pretty, read
from rowkeeper.rules.describe.rule import access, summaries
from rowkeeper.rules.repository.rules import rules_of, save_rules

pytestmark = pytest.mark.django_db

RULES: list[dict[str, Any]] = [
    {"name": "all read", "type": ["select"], "allow": "all", "exclude": ["Salary"]},
    {
        "type": ["update"],
        "allow": "loggedIn",
        "require": [{"Email": {"equals": "{{user.[Email]}}"}}],
    },
]
LOGIN = {"login": {"emailColumn": "Email", "passwordColumn": "Password"}}
EVIL = "<script>alert('x')</script>"
OBJECT_RIGHTS = (
    *("view", "change", "delete", "change_rules"),
    *("write_scripts", "simulate", "view_log", "share"),
)


def url(page: str, *args: Any) -> str:
    return reverse(f"admin:rowkeeper_datasources_datasource_{page}", args=args)


def make(name: str, rows: Any = (), rules: Any = (), **fields: Any) -> DataSource:
    source = DataSource(name=name, **{"columns": ["Email", "Name", "Salary"], **fields})
    saving.save(source)
    for row in rows:
        store.admin_save(registry.source_of(source), None, row)
    save_rules(source, list(rules))
    return DataSource.objects.get(pk=source.pk)


def rows(source: DataSource) -> list[dict[str, Any]]:
    return list(Entry.objects.filter(data_source=source).values_list("data", flat=True))


def staff(name: str, source: DataSource | None = None, *rights: str) -> Client:
    user = User.objects.create_user(name, password="pw", is_staff=True)
    for right in rights:
        if source is None:
            user.user_permissions.add(Permission.objects.get(codename=f"{right}_datasource"))
        else:
            assign_perm(f"rowkeeper_datasources.{right}_datasource", user, source)
    return signed_in(user)


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def boss(db: None) -> Client:
    return signed_in(User.objects.create_superuser("boss", "boss@example.com", "pw"))


@pytest.fixture
def source(db: None) -> DataSource:
    return make("People", [{"Email": "a@x.com", "Name": "Ann", "Salary": 5}], RULES)


@pytest.fixture
def users(db: None) -> DataSource:
    row = {"Email": "a@x.com", "Name": "Ann", "Password": "open sesame"}
    return make("Users", [row], columns=["Email", "Name"], definition=LOGIN)


class Fields(HTMLParser):
    """The fields of a page's forms with their values, line ends as browsers send them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self.name, self.is_select = "", False

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        named = dict(attrs)
        name, kind = named.get("name"), named.get("type")
        if tag == "option" and "selected" in named:
            self.found[self.name] = named["value"]
        if not name or kind == "submit" or (kind == "checkbox" and "checked" not in named):
            return
        if tag in ("textarea", "select"):
            self.name, self.found[name], self.is_select = name, "", tag == "select"
        elif tag == "input":
            self.found[name] = named.get("value") or ""

    def handle_data(self, data: str) -> None:
        if self.name and not self.is_select:
            self.found[self.name] += data

    def handle_endtag(self, tag: str) -> None:
        if tag in ("textarea", "select") and self.name:
            # The line end behind the opening tag is no part of a text area's value.
            self.found[self.name] = self.found[self.name].removeprefix("\n")
            self.name = ""


def form_of(client: Client, address: str) -> dict[str, str]:
    """What a browser would send back if nothing was touched."""
    html = client.get(address).content.decode()
    fields = Fields()
    fields.feed(html[html.index('id="content"') :])
    return {name: value.replace("\n", "\r\n") for name, value in fields.found.items()}


def errors(response: Any) -> str:
    html = response.content.decode()
    lists = re.findall(r'<ul class="errorlist[^"]*"[^>]*>(.*?)</ul>', html, re.S)
    # A name is marked as code: it is read in backquotes here.
    text = re.sub(r"</?bdi>", "", re.sub(r"</?code>", "`", " ".join(lists)))
    return unescape(re.sub(r"<[^>]+>", " ", text))


def save(client: Client, source: DataSource, **changes: Any) -> Any:
    """As somebody does who means what they save: what is to be confirmed is."""
    address = url("change", source.pk)
    sent = {**form_of(client, address), **changes}
    return post(client, address, sent)


def post(client: Client, address: str, sent: dict[str, Any]) -> Any:
    """Send a form, and again with each confirmation that it asks for."""
    response = client.post(address, sent)
    asked = {
        name: found[1]
        for name in ("confirmed", "meant")
        if (found := re.search(rf'name="{name}" value="(\w+)"', response.content.decode()))
    }
    return client.post(address, {**sent, **asked}) if asked else response


def confirmation(response: Any) -> str:
    """The text that confirms the change of rules that a page asks about; empty for no question."""
    found = re.search(r'name="confirmed" value="(\w+)"', response.content.decode())
    return found[1] if found else ""


# -- the list


def test_the_list_counts_columns_and_rules(boss: Client, source: DataSource) -> None:
    app = App.objects.create(name="Front desk")
    DataSource.objects.filter(pk=source.pk).update(app=app)
    html = boss.get(url("changelist")).content.decode()
    assert 'class="field-column_count">3<' in html
    assert 'class="field-rule_count">2<' in html
    assert 'class="field-signs_in">no<' in html
    assert "Front desk" in html
    assert url("entries", source.pk) in html


def test_the_list_is_searched_by_name_and_app(boss: Client, source: DataSource) -> None:
    make("Other", app=App.objects.create(name="Front desk"))
    assert b">People<" in boss.get(url("changelist") + "?q=peop").content
    found = boss.get(url("changelist") + "?q=front").content
    assert b">Other<" in found
    assert b">People<" not in found


def queries(client: Client, address: str) -> int:
    client.get(address)
    with CaptureQueriesContext(connection) as captured:
        assert client.get(address).status_code == 200
    return len(captured)


@pytest.mark.parametrize("who", ["boss", "delegate"])
def test_lists_cost_the_same_number_of_queries_however_long(boss: Client, who: str) -> None:
    first = make("One", [{"Email": "1@x.com"}], RULES)
    client = boss if who == "boss" else staff("ann", first, "view", "change")
    pages = [
        url("changelist"),
        url("entries", first.pk),
        url("entries", first.pk) + "?q=x&o=c:Name",
    ]
    before = [queries(client, page) for page in pages]
    store.insert(registry.source_of(first), [{"Email": f"{n}@x.com"} for n in range(120)])
    for n in range(20):
        more = make(f"More {n}", rules=RULES)
        assign_perm("rowkeeper_datasources.view_datasource", User.objects.last(), more)
    assert [queries(client, page) for page in pages] == before


# -- a data source and its rules


def test_rules_are_shown_in_one_order_of_properties(boss: Client, source: DataSource) -> None:
    save_rules(source, [{"allow": "all", "type": ["select"], "enabled": True, "name": "x"}])
    text = form_of(boss, url("change", source.pk))["rules"]
    names = re.findall(r'"(name|enabled|type|allow)":', text)
    assert names == ["name", "enabled", "type", "allow"]


def test_saving_without_a_change_changes_nothing(boss: Client, source: DataSource) -> None:
    before = DataSource.objects.values().get(pk=source.pk)
    response = save(boss, source)
    assert response.status_code == 302, errors(response)
    assert DataSource.objects.values().get(pk=source.pk) == before


def test_names_of_columns_survive_the_form(boss: Client) -> None:
    names = [
        'a"b',
        '"quoted"',
        " blank ",
        "two\nlines",
        "x\ry",
        "a.b",
        "100%",
        "é",
        "2024",
        "{{x}}",
    ]
    odd = make("Odd", columns=names)
    assert save(boss, odd, type="t").status_code == 302
    odd.refresh_from_db()
    assert (odd.columns, odd.type) == (names, "t")


def test_rules_are_saved_and_the_revision_grows(boss: Client, source: DataSource) -> None:
    rule = {"type": ["delete"], "allow": "loggedIn"}
    assert save(boss, source, rules=json.dumps([rule, *RULES])).status_code == 302
    assert rules_of(source) == [rule, *RULES]
    assert DataSource.objects.get(pk=source.pk).revision == source.revision + 1


def test_the_save_warns(boss: Client, source: DataSource) -> None:
    rule = {"type": ["update"], "allow": "loggedIn", "name": EVIL, "require": ["Name"]}
    response = save(boss, source, rules=json.dumps([rule]))
    html = boss.get(response.url).content.decode()
    assert 'class="warning"><bdi>Rule 1' in html
    assert EVIL not in html
    assert "Please check" in boss.get(url("change", source.pk)).content.decode()


def test_no_text_means_no_rules(boss: Client, source: DataSource) -> None:
    assert save(boss, source, rules=" \r\n").status_code == 302
    assert rules_of(source) == []


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (
            '[{"type": ["select"], "allow": "all"}, {"type": "select", "allow": "all"}]',
            "rule 2, `type`",
        ),
        (
            '[{"type": ["select"], "allow": "all", "require": [{"A": {"is": 1}}]}]',
            "`require[0].A.is`",
        ),
        (
            '[{"type": ["select"], "allow": "all", "allow": "all"}]',
            "`allow` is in the same object twice",
        ),
        ('[{"type": ["select"],\r\n "allow": all}]', "line 2, column 11"),
        ('{"type": ["select"]}', "a list of objects"),
        ('[{"type": ["select"], "allow": "all", "enabled": 1}]', "`enabled`"),
        ('[{"type": ["select"], "allow": "all", "exclude": ["a.b"]}]', "`exclude[0]`"),
    ],
)
def test_rules_that_are_none_are_refused(
    boss: Client, source: DataSource, typed: str, said: str
) -> None:
    response = save(boss, source, name="Renamed", rules=typed)
    assert response.status_code == 200
    assert said in errors(response)
    assert typed.replace("\r", "") in unescape(response.content.decode()).replace("\r", "")
    assert '<a href="#id_rules">Rules</a>' in response.content.decode()
    assert '<a href="#id_name">' not in response.content.decode()
    source.refresh_from_db()
    assert (source.name, rules_of(source)) == ("People", RULES)


def test_the_page_of_a_new_data_source_explains_itself(boss: Client) -> None:
    html = unescape(boss.get(url("add")).content.decode())
    assert '[{"type": ["select"], "allow": "loggedIn"}]' in html
    assert "Any word, such as" in html
    assert ">View site<" not in html


def test_an_entry_is_named_with_its_data_source(boss: Client, source: DataSource) -> None:
    key = Entry.objects.filter(data_source=source).values_list("pk", flat=True)[0]
    html = boss.get(url("entry", source.pk, key)).content.decode()
    assert f"<h1>Entry {key} of People</h1>" in html
    assert (
        "<h1>Add an entry to People</h1>" in boss.get(url("entry_add", source.pk)).content.decode()
    )


def test_true_and_one_are_different_rules(boss: Client, source: DataSource) -> None:
    save_rules(source, [{"type": ["select"], "allow": {"user": {"A": {"equals": True}}}}])
    text = form_of(boss, url("change", source.pk))["rules"].replace("true", "1")
    assert save(boss, source, rules=text).status_code == 302
    assert rules_of(source)[0]["allow"]["user"]["A"]["equals"] is not True


def test_rules_that_changed_meanwhile_are_not_overwritten(boss: Client, source: DataSource) -> None:
    address = url("change", source.pk)
    opened = form_of(boss, address)
    save_rules(source, RULES[:1])
    typed = json.dumps([RULES[1]])
    response = boss.post(address, {**opened, "name": "Renamed", "rules": typed})
    assert "somebody else changed the rules" in errors(response)
    assert typed in unescape(response.content.decode())
    source.refresh_from_db()
    assert (source.name, rules_of(source)) == ("People", RULES[:1])
    # Sending it again is not enough: whoever has read that says so, and for this revision alone.
    assert boss.post(address, {**opened, "rules": typed}).status_code == 200
    assert boss.post(address, {**opened, "rules": typed, "replaces": "1"}).status_code == 200
    sent = {**opened, "rules": typed, "replaces": str(source.revision)}
    response = boss.post(address, sent)
    sent["confirmed"] = confirmation(response)
    assert boss.post(address, sent).status_code == 302
    assert rules_of(source) == [RULES[1]]


def test_a_column_that_came_meanwhile_stays(boss: Client, source: DataSource) -> None:
    address = url("change", source.pk)
    opened = form_of(boss, address)
    store.admin_save(registry.source_of(source), None, {"New": 1})
    assert boss.post(address, {**opened, "type": "t"}).status_code == 302
    source.refresh_from_db()
    assert source.columns == ["Email", "Name", "Salary", "New"]
    assert post(boss, address, {**opened, "columns": "Name\r\nEmail"}).status_code == 302
    source.refresh_from_db()
    assert source.columns == ["Name", "Email", "New"]


def test_a_definition_that_cannot_be_carried_out_is_refused(
    boss: Client, source: DataSource
) -> None:
    store.admin_save(registry.source_of(source), None, {"Email": "b@x.com", "Password": 7})
    response = save(boss, source, name="Renamed", definition=json.dumps(LOGIN))
    assert response.status_code == 200
    assert "a password must be text" in errors(response)
    assert '"emailColumn"' in unescape(response.content.decode())
    source.refresh_from_db()
    assert (source.name, source.definition) == ("People", {})
    assert {"Email": "b@x.com", "Password": 7} in rows(source)


@pytest.mark.parametrize(
    ("field", "typed", "said"),
    [
        ("definition", "[]", "must be an object"),
        ("definition", '{"a": 1, "a": 2}', "same object twice"),
        ("definition", "{", "this is not valid JSON"),
        ("columns", "A\r\nA", "is listed twice"),
        ("columns", '$x"', "begins with `$`"),
        ("columns", '"x', "line 1"),
        ("name", "People", "already exists"),
    ],
)
def test_fields_are_checked(boss: Client, field: str, typed: str, said: str) -> None:
    make("People")
    other = make("Other")
    response = save(boss, other, **{field: typed})
    assert said in errors(response)


def test_a_new_data_source_belongs_to_its_maker(source: DataSource) -> None:
    client = staff("ann", None, "add")
    typed = {"name": "Mine", "columns": "A\r\nB", "rules": json.dumps(RULES), "definition": "{}"}
    assert client.post(url("add"), typed).status_code == 302
    mine = DataSource.objects.get(name="Mine")
    ann = User.objects.get(username="ann")
    assert (mine.owner, mine.columns, rules_of(mine)) == (ann, ["A", "B"], RULES)
    assert held("ann", mine) == set(OBJECT_RIGHTS)
    assert client.get(url("change", mine.pk)).status_code == 200
    assert client.get(url("change", source.pk)).status_code == 302


def test_the_page_says_in_words_who_gets_in(boss: Client, source: DataSource) -> None:
    html = unescape(boss.get(url("change", source.pk)).content.decode())
    assert "everyone, signed in or not (rule 1)" in html
    assert "everyone who is signed in (rule 2), if Email is the user's Email" in html
    assert "all but Salary" in html
    assert ">nobody<" in html


def test_the_summary_takes_whatever_is_stored() -> None:
    odd = [7, {}, {"type": 5, "allow": []}, {"allow": {"user": 3}}, {"require": {"a": [None]}}]
    odd += [{"allow": {"user": {"a": 5}}, "include": "x", "appId": []}, {"script": 1}, None]
    assert len(summaries(odd)) == len(odd)
    assert len(access(summaries(odd))) == 4
    off = summaries([{"type": ["select"], "allow": "all", "enabled": False}])
    assert access(off)[0].lines == ()


# -- deleting a data source


def test_deleting_asks_with_a_number_and_reads_no_entry(boss: Client, source: DataSource) -> None:
    store.insert(registry.source_of(source), [{"Name": f"row {n}"} for n in range(300)])
    with CaptureQueriesContext(connection) as captured:
        html = boss.get(url("delete", source.pk)).content.decode()
    assert "301 entries, 2 rules" in html
    assert "row 7" not in html
    assert len(captured) < 15
    assert boss.post(url("delete", source.pk), {"post": "yes"}).status_code == 302
    assert not Entry.objects.exists()


def test_rights_go_with_the_data_source(boss: Client, source: DataSource) -> None:
    staff("ann", source, "view")
    boss.post(url("delete", source.pk), {"post": "yes"})
    assert not DataSource.objects.exists()
    assert not User.objects.get(username="ann").userobjectpermission_set.exists()


def test_several_are_deleted_only_with_the_right_on_each(source: DataSource) -> None:
    other = make("Other")
    client = staff("ann", source, "delete")
    assign_perm("rowkeeper_datasources.view_datasource", User.objects.get(), other)
    action = {"action": "delete_selected", "_selected_action": [source.pk, other.pk], "post": "yes"}
    assert client.post(url("changelist"), action).status_code == 403
    action["_selected_action"] = [source.pk]
    assert client.post(url("changelist"), action).status_code == 302
    assert list(DataSource.objects.all()) == [other]


# -- entries


def test_entries_are_searched_ordered_and_paged(boss: Client) -> None:
    many = make("Many", columns=["Name", "N", "T"])
    store.insert(
        registry.source_of(many),
        [{"Name": f"Name {n}", "N": n, "T": ["in a list"] if n == 7 else None} for n in range(120)],
    )
    page = url("entries", many.pk)

    def names(query: str) -> list[str]:
        return re.findall(r"<bdi>(Name \d+)<", boss.get(page + query).content.decode())

    assert names("") == [f"Name {n}" for n in range(50)]
    assert names("?p=3") == [f"Name {n}" for n in range(100, 120)]
    assert names("?p=99") == names("?p=3")
    assert names("?o=-c:N")[:2] == ["Name 119", "Name 118"]
    assert names("?q=NAME 11&o=-f:id")[0] == "Name 119"
    assert names("?q=in a LIST") == ["Name 7"]
    assert names("?q=42") == ["Name 42"]
    assert names("?q=zzz") == []
    assert names("?q=%00") == []
    assert names("?o=c:Nope&p=x") == names("")


def test_many_columns_are_cut_short_and_can_be_searched(boss: Client) -> None:
    columns = [f"Column {n}" for n in range(1000)]
    wide = make("Wide", [{"Column 999": "needle"}, {"Column 1": "hay"}], columns=columns)
    html = boss.get(url("entries", wide.pk) + "?q=needle").content.decode()
    assert "1 found" in html
    assert "<bdi>Column 9</bdi>" in html
    assert "<bdi>Column 10</bdi>" not in html
    assert (
        "<bdi>Column 10</bdi>"
        in boss.get(url("entries", wide.pk) + "?columns=all").content.decode()
    )


def test_an_entry_is_added_changed_and_deleted(boss: Client, source: DataSource) -> None:
    new = {"Email": "b@x.com", "Born": 1990, "Tags": ["a", {"b": None}]}
    sent = {"row": json.dumps(new), "order": "-3"}
    assert post(boss, url("entry_add", source.pk), sent).status_code == 302
    entry = Entry.objects.get(data__Born=1990)
    assert (entry.data, entry.order) == (new, -3)
    source.refresh_from_db()
    assert source.columns == ["Email", "Name", "Salary", "Born", "Tags"]
    address = url("entry", source.pk, entry.pk)
    opened = form_of(boss, address)
    assert read(opened["row"]) == new
    assert post(boss, address, {**opened, "row": '{"Email": "c@x.com"}'}).status_code == 302
    entry.refresh_from_db()
    assert entry.data == {"Email": "c@x.com"}
    asked = url("entries_delete", source.pk)
    assert f"Entry {entry.pk}" in boss.get(asked, {"entry": entry.pk}).content.decode()
    assert Entry.objects.filter(pk=entry.pk).exists()
    boss.post(asked, {"entry": [entry.pk, 10**18]})
    assert not Entry.objects.filter(pk=entry.pk).exists()
    assert boss.get(address).status_code == 404
    history = boss.get(url("history", source.pk)).content.decode()
    assert f"Changed entry {entry.pk}." in history
    assert f"Deleted 1 entry: {entry.pk}." in history


def test_saving_an_entry_without_a_change_changes_nothing(boss: Client, source: DataSource) -> None:
    before = Entry.objects.values().get()
    address = url("entry", source.pk, before["id"])
    assert boss.post(address, form_of(boss, address)).status_code == 302
    assert Entry.objects.values().get() == before
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ('{"a": 1,\r\n "a": 2}', "`a` is in the same object twice"),
        ('{"a": 1,\r\n b}', "line 2"),
        ("[]", "a row must be an object"),
        ('{"$a": 1}', "begins with `$`"),
        ('{"a": 1e999}', "too large"),
        ('{"a": "\\u0000"}', "NUL"),
        ("", "required"),
    ],
)
def test_rows_are_checked(boss: Client, source: DataSource, typed: str, said: str) -> None:
    response = boss.post(url("entry_add", source.pk), {"row": typed})
    assert response.status_code == 200
    assert said in errors(response)
    assert typed.replace("\r", "") in unescape(response.content.decode()).replace("\r", "")
    assert Entry.objects.count() == 1


def test_an_entry_that_changed_meanwhile_is_not_overwritten(
    boss: Client, source: DataSource
) -> None:
    entry = Entry.objects.get()
    address = url("entry", source.pk, entry.pk)
    opened = form_of(boss, address)
    store.admin_save(registry.source_of(source), entry.pk, {"Name": "Anna"})
    response = boss.post(address, {**opened, "row": '{"Name": "Bob"}'})
    assert "was changed after" in errors(response)
    assert rows(source) == [{"Name": "Anna"}]


def test_entries_of_another_data_source_are_not_reached(boss: Client, source: DataSource) -> None:
    other = make("Other", [{"Name": "far away"}])
    far = Entry.objects.get(data_source=other)
    assert boss.get(url("entry", source.pk, far.pk)).status_code == 404
    assert boss.post(url("entry", source.pk, far.pk), {"row": "{}"}).status_code == 404
    boss.post(url("entries_delete", source.pk), {"entry": far.pk})
    assert (
        "far away"
        not in boss.get(url("entries_delete", source.pk), {"entry": far.pk}).content.decode()
    )
    assert rows(other) == [{"Name": "far away"}]


@pytest.mark.parametrize("number", [0, 2**63, 10**30])
def test_numbers_that_no_row_has(boss: Client, source: DataSource, number: int) -> None:
    assert boss.get(url("entries", number)).status_code == 404
    assert boss.get(url("entry", source.pk, number)).status_code == 404
    assert boss.get(url("entries_delete", source.pk), {"entry": number}).status_code in (200, 302)
    assert boss.get(url("change", number)).status_code == 302


# -- passwords


def all_pages(source: DataSource) -> list[str]:
    entry = Entry.objects.filter(data_source=source).first()
    assert entry is not None
    return [
        url("changelist"),
        url("change", source.pk),
        url("history", source.pk),
        url("delete", source.pk),
        url("entries", source.pk),
        url("entries", source.pk) + "?columns=all&q=pbkdf2",
        url("entries", source.pk) + "?o=c:Password",
        url("entry_add", source.pk),
        url("entry", source.pk, entry.pk),
        url("entries_delete", source.pk) + f"?entry={entry.pk}",
        url("rights", source.pk),
        url("rights", source.pk) + "?user=boss",
    ]


def test_no_page_shows_a_password(boss: Client, users: DataSource) -> None:
    stored = rows(users)[0]["Password"]
    for page in all_pages(users):
        html = unescape(boss.get(page).content.decode())
        assert stored not in html
        assert stored.split("$")[0] + "$" not in html
        assert "open sesame" not in html


def test_passwords_cannot_be_searched_or_ordered_by(boss: Client, users: DataSource) -> None:
    found = boss.get(url("entries", users.pk), {"q": rows(users)[0]["Password"][:3]})
    assert b"No entry contains" in found.content
    assert (
        b'aria-sort="ascending"' not in boss.get(url("entries", users.pk) + "?o=c:Password").content
    )
    for lookup in (
        "entries__data__Password__startswith",
        "rules__name__startswith",
        "owner__password",
    ):
        assert boss.get(url("changelist"), {lookup: "m"}).status_code in (302, 400)


def test_a_password_is_kept_or_set_anew(boss: Client, users: DataSource) -> None:
    entry = Entry.objects.get()
    before = entry.data["Password"]
    address = url("entry", users.pk, entry.pk)
    opened = form_of(boss, address)
    boss.post(address, {**opened, "row": '{"Email": "a@x.com", "Name": "Anna"}'})
    assert rows(users) == [{"Email": "a@x.com", "Name": "Anna", "Password": before}]
    opened = form_of(boss, address)
    post(boss, address, {**opened, "row": '{"Email": "a@x.com", "Password": "new one"}'})
    after = rows(users)[0]["Password"]
    assert after not in (before, "new one")
    response = boss.post(url("entry_add", users.pk), {"row": '{"Email": "A@x.com "}'})
    assert "another row has that email address" in errors(response)


def test_who_signed_in_goes_with_the_row(boss: Client, users: DataSource) -> None:
    entry = Entry.objects.get()
    LoginSession.objects.create(digest="d", data_source=users, entry=entry, fingerprint="f")
    boss.post(url("entries_delete", users.pk), {"entry": entry.pk})
    assert not LoginSession.objects.exists()


# -- texts of strangers


def test_nothing_that_is_stored_becomes_markup(boss: Client) -> None:
    rule = {"name": EVIL, "type": ["select"], "allow": {"user": {EVIL: {"equals": EVIL}}}}
    rule |= {"exclude": [EVIL], "require": [EVIL, {EVIL: {"contains": EVIL}}]}
    row = {EVIL: EVIL, "</textarea>": ["</textarea>" + EVIL], "j": "javascript:alert(1)"}
    definition = {"note": "</textarea>" + EVIL}
    evil = make(
        EVIL.replace("/", ""), [row], [rule], columns=[EVIL], type="<b>", definition=definition
    )
    group = Group.objects.create(name=EVIL)
    assign_perm("rowkeeper_datasources.view_datasource", group, evil)
    for page in [*all_pages(evil), url("rights", evil.pk) + f"?user={EVIL}"]:
        for client in (boss, staff(f"u{page}", evil, "view", "share", "delete")):
            response = client.get(page)
            if response.status_code == 403:
                continue
            html = response.content.decode()
            assert response.status_code == 200
            assert EVIL not in html
            assert "<script>" not in html
            assert "</textarea>" not in re.sub(r"<textarea[^>]*>[^<]*</textarea>", "", html)
            assert 'href="javascript' not in html
    for page in (url("change", evil.pk), url("entry_add", evil.pk)):
        sent = {**form_of(boss, page), "rules": f'[{{"{EVIL}": 1}}]', "row": f'{{"${EVIL}": 1}}'}
        response = boss.post(page, sent)
        assert response.status_code == 200
        assert EVIL not in response.content.decode()


def test_no_page_has_inline_scripts_or_styles(boss: Client, users: DataSource) -> None:
    for page in all_pages(users):
        html = boss.get(page).content.decode()
        assert not re.search(r"<script(?![^>]*\bsrc=)[^>]*>", html)
        assert "<style" not in html
        assert not re.search(r"\son\w+=|\sstyle=", html)


# -- rights on one data source alone


def test_a_delegate_sees_one_data_source(source: DataSource) -> None:
    make("Secret plans", [{"Name": "x"}])
    client = staff("ann", source, "view")
    index = client.get(reverse("admin:index")).content.decode()
    assert url("changelist") in index
    html = client.get(url("changelist")).content.decode()
    assert "People" in html
    assert "Secret plans" not in html
    assert "1 data source" in html


def test_staff_without_any_right_see_nothing(source: DataSource) -> None:
    client = staff("ann")
    assert url("changelist") not in client.get(reverse("admin:index")).content.decode()
    for number in (source.pk, source.pk + 99):
        assert client.get(url("changelist")).status_code == 403
        assert client.get(url("change", number)).status_code == 403
        assert client.get(url("entries", number)).status_code == 404


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("rights", [("view",), OBJECT_RIGHTS])
def test_of_others_every_page_answers_as_if_there_were_none(
    source: DataSource, rights: tuple[str, ...], method: str
) -> None:
    hidden = make("Hidden", [{"Name": "x"}], RULES)
    entry = Entry.objects.get(data_source=hidden)
    client = staff("ann", source, *rights)
    absent = hidden.pk + 1000
    answers: dict[int, list[Any]] = {}
    for number in (hidden.pk, absent):
        pages = [url(page, number) for page in ("change", "delete", "history", "entries")]
        pages += [url("entry_add", number), url("entry", number, entry.pk)]
        pages += [url("entries_delete", number) + f"?entry={entry.pk}", url("rights", number)]
        pages += [url("rights", number) + "?user=ann", url("changelist") + f"{number}/"]
        found = [
            getattr(client, method)(page, {"post": "yes", "entry": entry.pk, "row": "{}"})
            for page in pages
        ]
        assert b"Hidden" not in b"".join(response.content for response in found)
        answers[number] = [
            (r.status_code, r.headers.get("Location", "").replace(str(number), "#")) for r in found
        ]
        shown = client.get(reverse("admin:index")).content.decode()
        assert "Hidden" not in shown
    assert answers[hidden.pk] == answers[absent]
    assert {status for status, _ in answers[absent]} <= {302, 403, 404}
    hidden.refresh_from_db()
    assert rows(hidden) == [{"Name": "x"}]


def test_who_may_view_reads_and_changes_nothing(source: DataSource) -> None:
    entry = Entry.objects.get()
    client = staff("ann", source, "view")
    html = client.get(url("change", source.pk)).content.decode()
    assert "Salary" in html
    assert 'name="rules"' not in html
    assert "Access rules" not in html
    assert "all read" not in html
    assert "<textarea" not in html
    assert client.post(url("change", source.pk), {"name": "Mine"}).status_code == 403
    page = client.get(url("entry", source.pk, entry.pk)).content.decode()
    assert "a@x.com" in page
    assert "<textarea" not in page
    assert client.post(url("entry", source.pk, entry.pk), {"row": "{}"}).status_code == 403
    assert client.get(url("entry_add", source.pk)).status_code == 403
    assert client.post(url("entries_delete", source.pk), {"entry": entry.pk}).status_code == 403
    assert client.get(url("delete", source.pk)).status_code == 403
    assert client.get(url("rights", source.pk)).status_code == 403
    assert rows(source) == [entry.data]


def test_who_may_change_does_not_touch_rules_or_definition(source: DataSource) -> None:
    client = staff("ann", source, "change")
    html = client.get(url("change", source.pk)).content.decode()
    assert 'name="rules"' not in html
    assert 'name="definition"' not in html
    sent = {"rules": "[]", "opened_revision": source.revision, "definition": json.dumps(LOGIN)}
    assert save(client, source, name="New name", **sent).status_code == 302
    source.refresh_from_db()
    assert (source.name, source.definition) == ("New name", {})
    assert rules_of(source) == RULES
    assert client.post(url("entry_add", source.pk), {"row": '{"Name": "B"}'}).status_code == 302


def test_who_may_change_rules_touches_nothing_else(source: DataSource) -> None:
    client = staff("ann", source, "change_rules")
    html = client.get(url("change", source.pk)).content.decode()
    assert 'name="rules"' in html
    assert 'name="name"' not in html
    sent = {"name": "Mine", "columns": "A", "app": "", "type": "t", "rules": "[]"}
    assert save(client, source, **sent).status_code == 302
    source.refresh_from_db()
    assert (source.name, source.type, len(source.columns)) == ("People", "", 3)
    assert rules_of(source) == []
    assert client.get(url("entries", source.pk)).status_code == 403


def test_sign_in_is_settled_site_wide(source: DataSource, users: DataSource) -> None:
    client = staff("ann", source, *OBJECT_RIGHTS)
    response = save(client, source, definition=json.dumps(LOGIN))
    assert "set_login_datasource" in errors(response)
    source.refresh_from_db()
    assert source.definition == {}
    assert save(client, source, definition='{"note": 1}').status_code == 302
    ann = User.objects.get(username="ann")
    # Given for one data source, it counts for nothing.
    assign_perm("rowkeeper_datasources.set_login_datasource", ann, source)
    assert "set_login_datasource" in errors(save(client, source, definition=json.dumps(LOGIN)))
    ann.user_permissions.add(Permission.objects.get(codename="set_login_datasource"))
    assert save(client, source, definition=json.dumps(LOGIN)).status_code == 302


def test_name_and_app_of_a_sign_in_source_are_settled_site_wide(users: DataSource) -> None:
    app = App.objects.create(name="Front desk")
    client = staff("ann", users, *OBJECT_RIGHTS)
    ann = User.objects.get(username="ann")
    ann.user_permissions.add(Permission.objects.get(codename="view_app"))
    assert save(client, users, name="Admins", app=app.pk, type="t").status_code == 302
    users.refresh_from_db()
    assert (users.name, users.app, users.type) == ("Users", None, "t")
    ann.user_permissions.add(Permission.objects.get(codename="set_login_datasource"))
    assert save(client, users, name="Admins", app=app.pk).status_code == 302
    users.refresh_from_db()
    assert (users.name, users.app) == ("Admins", app)


def test_groups_count_as_well(source: DataSource) -> None:
    group = Group.objects.create(name="Editors")
    assign_perm("rowkeeper_datasources.change_datasource", group, source)
    user = User.objects.create_user("ann", is_staff=True)
    user.groups.add(group)
    client = signed_in(user)
    assert b"People" in client.get(url("changelist")).content
    assert client.post(url("entry_add", source.pk), {"row": '{"Name": "B"}'}).status_code == 302


# -- giving rights on


def held(name: str, source: DataSource) -> set[str]:
    user = User.objects.get(username=name)
    names = ("set_login", *OBJECT_RIGHTS)
    return {r for r in names if user.has_perm(f"rowkeeper_datasources.{r}_datasource", source)}


def test_rights_are_given_and_taken(boss: Client, source: DataSource) -> None:
    other = make("Other")
    User.objects.create_user("ben")
    address = url("rights", source.pk) + "?user=ben"
    assert boss.post(address, {"rights": ["view", "share"]}).status_code == 302
    assert held("ben", source) == {"view", "share"}
    assert held("ben", other) == set()
    assert 'value="share" id="id_rights_7" checked' in boss.get(address).content.decode()
    assert "ben" in boss.get(url("rights", source.pk)).content.decode()
    boss.post(address, {"rights": ["change"]})
    assert held("ben", source) == {"change"}
    assert "gave ben `view`" in boss.get(url("history", source.pk)).content.decode()


def test_one_gives_only_what_one_holds(source: DataSource) -> None:
    client = staff("ann", source, "view", "share")
    staff("ben", source, "change_rules")
    address = url("rights", source.pk) + "?user=ben"
    html = client.get(address).content.decode()
    assert 'value="view"' in html
    assert 'value="change"' not in html
    for right in ("change", "delete", "change_rules", "set_login", "add"):
        response = client.post(address, {"rights": ["view", right]})
        assert response.status_code == 200
    assert held("ben", source) == {"change_rules"}
    assert client.post(address, {"rights": ["view", "share"]}).status_code == 302
    assert held("ben", source) == {"view", "share", "change_rules"}
    client.post(address, {})
    assert held("ben", source) == {"change_rules"}


@pytest.mark.parametrize("name", ["nobody", "", "\x00", "gone"])
def test_a_user_who_is_none_gets_nothing(boss: Client, source: DataSource, name: str) -> None:
    User.objects.create_user("gone", is_active=False)
    response = boss.post(
        url("rights", source.pk), {"rights": ["view"]}, query_params={"user": name}
    )
    assert response.status_code == 200
    assert errors(response)


# -- JSON for people


def test_what_fits_on_a_line_stays_on_one() -> None:
    assert pretty({"a": [1, {"b": None}], "c": {}}) == '{\n  "a": [1, {"b": null}],\n  "c": {}\n}'
    assert pretty([]) == "[]"
    deep: Any = {"x": ["long enough to be broken, surely" * 2] * 3, "f": 1e21, "t": True}
    assert read(pretty(deep)) == deep
    assert max(map(len, pretty(deep).splitlines())) < 88
