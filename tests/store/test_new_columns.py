"""What a write can make of columns: never another meaning of a name, and not without limits."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.test import Client

from rowkeeper.accounts.identity import ANONYMOUS, Identity
from rowkeeper.datasources import store
from rowkeeper.datasources.catalog import registry, saving
from rowkeeper.datasources.checks.settings import check_dotted_columns
from rowkeeper.datasources.models import DataSource
from rowkeeper.datasources.query.column_names import column_of, path_of, row_path_of
from rowkeeper.datasources.transfer.apply import carry_out
from rowkeeper.datasources.transfer.job import Job
from rowkeeper.rules.engine.columns import Columns
from rowkeeper.rules.engine.decide import compile_rules, decide_insert
from rowkeeper.rules.engine.requests import Insert
from rowkeeper.rules.repository.rules import RulesInvalid, save_rules
from tests.admin.test_admin import form_of, staff
from tests.support.calls import OPEN, READ, Api, Place, place

pytestmark = pytest.mark.django_db

INSERT: dict[str, Any] = {"type": ["insert"], "allow": "all"}
SECRET = {"Text": "secret", "Meta": {"Private": True}}
OPEN_ROW = {"Text": "open", "Meta": {"Private": False}}
PUBLIC = {"Meta.Private": {"$ne": True}}


def columns_of(there: Place) -> tuple[list[str], list[str]]:
    """All columns, and those that writers made."""
    model = DataSource.objects.get(pk=there.model.pk)
    return model.columns, model.written_columns


def texts(api: Api, there: Place, **query: Any) -> list[str]:
    return [row["Text"] for row in api("POST", f"{there.data}/query", query).rows]


# -- a name keeps its meaning


@pytest.mark.parametrize(
    ("name", "declared", "where", "pipeline", "column"),
    [
        ("A", (), ("A",), ("A",), "A"),
        ("A.B", (), ("A", "B"), ("A", "B"), "A.B"),
        ("A.B", ("A.B",), ("A.B",), ("A.B",), "A.B"),
        ("data.A", (), ("data", "A"), ("A",), "A"),
        ("data.A", ("A",), ("data", "A"), ("A",), "A"),
        ("data.A", ("data.A",), ("data.A",), ("data.A",), "data.A"),
        ("data.A", ("data.A", "A"), ("data.A",), ("A",), "A"),
        ("data.A.B", ("A.B",), ("data", "A", "B"), ("A.B",), "A.B"),
    ],
)
def test_what_a_name_means(
    name: str,
    declared: tuple[str, ...],
    where: tuple[str, ...],
    pipeline: tuple[str, ...],
    column: str,
) -> None:
    assert path_of(name, declared) == where
    assert row_path_of(name, declared) == pipeline
    assert column_of(name, declared) == column


def ways_to_write(api: Api, there: Place, row: dict[str, Any]) -> dict[str, Any]:
    """Every way to write a row with a new name, each as a call."""
    entry = there.ids[1]
    return {
        "insert": lambda: api("PUT", there.data, row),
        "update": lambda: api("PUT", f"{there.data}/{entry}", row),
        "bulk": lambda: api("POST", there.data, {"append": True, "entries": [row]}),
        "commit": lambda: api(
            "POST", f"{there.url}/commit", {"append": True, "entries": [{"data": row}]}
        ),
        "commit of an update": lambda: api(
            "POST",
            f"{there.url}/commit",
            {"append": True, "extend": True, "entries": [{"id": entry, "data": row}]},
        ),
    }


WAYS = ["insert", "update", "bulk", "commit", "commit of an update"]


@pytest.mark.parametrize("way", WAYS)
def test_a_write_does_not_make_a_path_a_column(way: str) -> None:
    there = place([OPEN], [SECRET, OPEN_ROW])
    api = Api()
    before = texts(api, there, where=PUBLIC)
    written = ways_to_write(api, there, {"Text": "new", "Meta.Private": "x"})[way]()
    assert written.status == 200
    assert "secret" not in texts(api, there, where=PUBLIC)
    assert set(before) <= {*texts(api, there, where=PUBLIC), "open"}
    assert columns_of(there) == (["Text", "Meta", "Meta.Private"], ["Meta.Private"])


def test_every_clause_reads_a_name_as_before_the_write() -> None:
    rows = [{"A": {"B": n}, "X": 10 - n, "Text": str(n)} for n in (2, 1, 3)]
    there, other = place([OPEN], rows, "Here"), place([OPEN], rows, "There")
    api = Api()

    def answers() -> list[Any]:
        asked = [
            {"where": {"A.B": 2}},
            {"where": {"$filters": [{"column": "A.B", "condition": "==", "value": 2}]}},
            {"order": [["data.X", "ASC"]], "attributes": ["data.X"]},
            {"attributes": ["data.X"], "distinct": True},
            {"aggregate": [{"$group": {"_id": "$A.B", "n": {"$sum": "$data.X"}}}]},
            {
                "where": {"Text": "2"},
                "join": {"J": {"dataSourceId": other.model.pk, "on": {"data.X": "data.X"}}},
            },
            {
                "where": {"Text": "2"},
                "join": {
                    "J": {
                        "dataSourceId": other.model.pk,
                        "on": {"X": "X"},
                        "where": {"A.B": 2},
                    }
                },
            },
        ]
        found = [api("POST", f"{there.data}/query", {"limit": 3, **body}) for body in asked]
        return [answer.json for answer in [*found, api("GET", f"{there.url}/indexes/data.X")]]

    before = answers()
    assert all(before)
    for each in (there, other):
        assert api("PUT", each.data, {"A.B": 2, "data.X": 1, "data.A.B": 2}).status == 200
        model = DataSource.objects.get(pk=each.model.pk)
        # Only the columns stay: rows would change the answers by themselves.
        with store.writing(registry.source_of(model), ()):
            store.delete(registry.source_of(model), [max(store.ids(registry.source_of(model)))])
        assert "A.B" in model.columns
    assert answers() == before


def test_a_write_of_a_plain_name_does_not_change_what_a_prefix_means() -> None:
    """`data.X` means the column of that name where it is declared and `X` is not."""
    there = place([OPEN], [{"data.X": 2}, {"data.X": 1}])
    api = Api()
    ask = {"order": [["data.X", "ASC"]]}
    before = api("POST", f"{there.data}/query", ask).rows
    assert before == [{"data.X": 1}, {"data.X": 2}]
    assert api("PUT", there.data, {"X": 0, "data.X": 3}).status == 200
    assert api("POST", f"{there.data}/query", ask).rows == [*before, {"data.X": 3, "X": 0}]


def test_views_scripts_and_look_ups_read_a_name_as_before_the_write() -> None:
    views = {"views": {"Public": {"where": PUBLIC}}}
    script = 'query["Meta.Private"] = {"$ne": True}\nreturn {"granted": True}'
    there = place(
        [{"type": ["select"], "allow": {"tokens": [1]}}, INSERT, READ],
        [SECRET, OPEN_ROW],
        definition=views,
    )
    save_rules(there.model, [{"script": script}])
    api = Api()
    assert texts(api, there) == ["open"]
    save_rules(there.model, [INSERT, READ])
    assert api("PUT", there.data, {"Text": "new", "Meta.Private": "x"}).status == 200
    assert texts(api, there, view="Public") == ["open", "new"]
    save_rules(there.model, [{"script": script}])
    assert texts(api, there) == ["open", "new"]


def test_a_rule_names_a_dotted_column_once_it_is_declared() -> None:
    there = place([INSERT, READ], [SECRET])
    assert Api()("PUT", there.data, {"Meta.Private": "x"}).status == 200
    rules = [{**READ, "include": ["Text", "Meta.Private"]}]
    with pytest.raises(RulesInvalid):
        save_rules(there.model, rules)
    model = DataSource.objects.get(pk=there.model.pk)
    model.written_columns = []
    saving.save(model)
    assert save_rules(model, rules)


def test_an_administrator_declares_a_column() -> None:
    """Through the management endpoint, and what it declares means the column from then on."""
    there = place([OPEN], [SECRET, {"Text": "column", "Meta.Private": True}], columns=["Text"])
    made = columns_of(there)[1]
    assert made == ["Meta", "Meta.Private"]
    assert texts(Api(), there, where={"Meta.Private": True}) == ["secret"]
    boss = _boss()
    body = {"columns": ["Text", "Meta", "Meta.Private"]}
    assert boss("PUT", there.url, body).status == 200
    assert columns_of(there) == (body["columns"], [])
    assert texts(Api(), there, where={"Meta.Private": True}) == ["column"]


def _boss() -> Api:
    client = Client(raise_request_exception=False)
    client.force_login(User.objects.create_superuser("boss"))
    return Api(client=client)


def test_a_creation_and_an_import_declare_their_columns(tmp_path: Any) -> None:
    boss = _boss()
    body = {"name": "New", "entries": [{"A.B": 1}]}
    made = boss("POST", "data-sources", body).json["dataSource"]
    model = DataSource.objects.get(pk=made["id"])
    assert (model.columns, model.written_columns) == (["A.B"], [])
    model.written_columns = ["A.B"]
    saving.save(model)
    file = tmp_path / "rows.csv"
    file.write_text("A.B,C.D\n1,2\n")
    carry_out(Job(file), model.pk)
    model.refresh_from_db()
    assert (model.columns, model.written_columns) == (["A.B", "C.D"], [])


# -- a write of a dotted name names what is above it


@pytest.mark.parametrize(
    ("exclude", "name", "opens"),
    [
        (["Meta"], "Meta.Private", False),
        (["Meta"], "Meta.Private.Deep", False),
        (["Meta.A"], "Meta.A.B", False),
        (["Meta.A"], "Meta.B", True),
        (["Meta"], "Metal.Private", True),
        (["Other"], "Meta.Private", True),
    ],
)
def test_a_dotted_name_is_below_an_excluded_one(exclude: list[str], name: str, opens: bool) -> None:
    assert Columns.of(None, exclude).opens(name) is opens
    ruleset = compile_rules([{**INSERT, "exclude": exclude}], [*exclude, name])
    assert decide_insert(ruleset, ANONYMOUS, Insert([{name: 1}])).granted is opens


@pytest.mark.parametrize("way", WAYS)
def test_no_write_gets_below_an_excluded_column(way: str) -> None:
    """Whether a column of that name is declared or not."""
    hiding = {**OPEN, "type": ["insert", "update"], "exclude": ["Meta"]}
    for columns in (["Text", "Meta"], ["Text", "Meta", "Meta.Private"]):
        there = place(
            [hiding, READ], [SECRET, OPEN_ROW], f"{way} of {len(columns)}", columns=columns
        )
        stored = there.stored
        denied = ways_to_write(Api(), there, {"Text": "new", "Meta.Private": "x"})[way]()
        assert denied.failure == (400, "datasource.access")
        assert there.stored == stored
        assert columns_of(there)[0] == columns


# -- who makes columns, and how many


def default(settings: Any, **others: Any) -> None:
    kept = {k: v for k, v in settings.ROWKEEPER.items() if k != "ANONYMOUS_COLUMNS"}
    settings.ROWKEEPER = {**kept, **others}


@pytest.mark.parametrize("way", WAYS)
def test_callers_without_a_credential_make_no_columns(way: str, settings: Any) -> None:
    default(settings)
    there = place([OPEN], [{"A": 1}, {"A": 2}])
    stored = there.stored
    denied = ways_to_write(Api(), there, {"A": 3, "B": 4})[way]()
    assert denied.failure == (400, "datasource.access")
    assert "B" not in denied.json["message"]
    assert (there.stored, columns_of(there)) == (stored, (["A"], []))
    assert ways_to_write(Api(), there, {"A": 3})[way]().status == 200


def test_a_script_makes_no_columns_for_them_either(settings: Any) -> None:
    default(settings)
    there = place([{"script": 'query["New"] = 1\nreturn {"granted": True}'}], [{"A": 1}])
    # A script asks for a login, as somebody signed in may get further.
    assert Api()("PUT", there.data, {"A": 2}).failure == (401, "auth.required")
    assert columns_of(there)[0] == ["A"]


def test_callers_with_a_credential_make_columns(settings: Any) -> None:
    default(settings)
    there = place([OPEN], [{"A": 1}])
    assert _boss()("PUT", there.data, {"B": 2}).status == 200
    assert columns_of(there) == (["A", "B"], ["B"])


def test_a_setting_lets_everybody_make_columns(settings: Any) -> None:
    default(settings, ANONYMOUS_COLUMNS=True)
    there = place([OPEN], [{"A": 1}])
    assert Api()("PUT", there.data, {"B": 2}).status == 200
    assert columns_of(there) == (["A", "B"], ["B"])


def test_a_form_sends_back_a_column_that_is_no_longer_listed(settings: Any) -> None:
    default(settings)
    there = place([OPEN], [{"A": 1, "Old": 2}])
    there.model.columns = ["A"]
    saving.save(there.model)
    url = f"{there.data}/{there.ids[0]}"
    assert Api()("PUT", url, {"A": 3, "Old": 2}).status == 200
    assert Api()("PUT", url, {"A": 3, "Older": 2}).failure == (400, "datasource.access")


def test_the_engine_knows_who_is_anonymous() -> None:
    ruleset = compile_rules([INSERT], ["A"], existing=["A", "B"])
    for row, granted in (({"A": 1}, True), ({"B": 1}, True), ({"C": 1}, False)):
        assert decide_insert(ruleset, ANONYMOUS, Insert([row])).granted is granted
        assert decide_insert(ruleset, Identity(token_id=1), Insert([row])).granted


def test_names_of_columns_have_so_many_bytes_together(settings: Any) -> None:
    settings.ROWKEEPER = {**settings.ROWKEEPER, "MAX_COLUMN_NAMES": 100}
    there = place([OPEN], [{"A": 1}])
    api = Api()
    assert api("PUT", there.data, {"ä" * 49: 1}).status == 200
    refused = api("PUT", there.data, {"BC": 1})
    assert refused.failure == (400, "request.invalid")
    assert "101 bytes" in refused.json["message"]
    assert api("PUT", there.data, {"B": 1}).status == 200
    assert len(there.stored) == 3


def test_two_inserts_do_not_fill_the_columns() -> None:
    """Two rows of a thousand long names were all that it took."""
    there = place([OPEN], [{"A": 1}])
    for part in range(2):
        row = {f"{part}-{n}-{'x' * 240}": 1 for n in range(1_000)}
        assert Api()("PUT", there.data, row).failure == (400, "request.invalid")
    assert columns_of(there)[0] == ["A"]


def test_an_administrator_is_held_to_the_limit_as_well(settings: Any) -> None:
    settings.ROWKEEPER = {**settings.ROWKEEPER, "MAX_COLUMN_NAMES": 10}
    with pytest.raises(ValidationError, match="11 bytes"):
        saving.save(DataSource(name="Long", columns=["x" * 11]))
    model = DataSource(name="Short", columns=["x" * 10])
    saving.save(model)
    settings.ROWKEEPER = {**settings.ROWKEEPER, "MAX_COLUMN_NAMES": 5}
    # What is there already can be saved, and made shorter.
    saving.save(model)
    model.columns = ["x" * 9]
    saving.save(model)


# -- the admin shows them


def page_of(there: Place) -> str:
    return f"/admin/rowkeeper_datasources/datasource/{there.model.pk}/change/"


def send(client: Client, opened: dict[str, str], there: Place, **fields: Any) -> Any:
    """Send the form as a browser that opened it would, with some fields typed over."""
    return client.post(page_of(there), {**opened, **fields})


def made_by_a_writer(there: Place, *names: str) -> None:
    with store.writing(registry.source_of(there.model), names):
        pass


@pytest.fixture
def boss() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    return client


def test_the_admin_shows_which_columns_writers_made(boss: Client) -> None:
    there = place([], [{"A": 1}])
    assert "written_columns" not in form_of(boss, page_of(there))
    made_by_a_writer(there, "B")
    opened = form_of(boss, page_of(there))
    assert (opened["columns"], opened["written_columns"]) == ("A", "B")
    assert "Columns added by writers" in boss.get(page_of(there)).content.decode()


def test_a_column_is_declared_by_moving_it(boss: Client) -> None:
    there = place([], [{"A": 1}])
    made_by_a_writer(there, "B", "C.D")
    opened = form_of(boss, page_of(there))
    sent = send(boss, opened, there, columns="A\nB", written_columns="C.D")
    assert sent.status_code == 302
    assert columns_of(there) == (["A", "B", "C.D"], ["C.D"])
    opened = form_of(boss, page_of(there))
    sent = send(boss, opened, there, columns="A", written_columns="C.D\nB")
    assert sent.status_code == 302
    assert columns_of(there) == (["A", "C.D", "B"], ["C.D", "B"])


def test_a_column_that_a_writer_makes_meanwhile_stays(boss: Client) -> None:
    there = place([], [{"A": 1}])
    for name in ("B", "C"):
        opened = form_of(boss, page_of(there))
        made_by_a_writer(there, name)
        assert send(boss, opened, there, columns=f"A\nZ{name}").status_code == 302
    columns, made = columns_of(there)
    assert set(columns) == {"A", "ZC", "B", "C"}
    assert made == ["B", "C"]


def test_only_names_of_columns_are_taken(boss: Client) -> None:
    there = place([], [{"A": 1}])
    made_by_a_writer(there, "B")
    answer = send(boss, form_of(boss, page_of(there)), there, written_columns="B\nMade up")
    assert "is not one of the columns" in answer.content.decode()
    assert columns_of(there) == (["A", "B"], ["B"])


def test_saving_something_else_declares_nothing(boss: Client) -> None:
    there = place([], [{"A": 1}])
    made_by_a_writer(there, "B.C")
    opened = form_of(boss, page_of(there))
    assert send(boss, opened, there, name="Renamed").status_code == 302
    assert columns_of(there) == (["A", "B.C"], ["B.C"])


def test_who_may_only_look_sees_them_too() -> None:
    there = place([], [{"A": 1}])
    made_by_a_writer(there, "B")
    text = staff("reader", there.model, "view").get(page_of(there)).content.decode()
    assert "Columns added by writers" in text
    assert "<bdi>B</bdi>" in text


# -- what is declared already


def test_a_check_lists_declared_columns_with_dots() -> None:
    there = place([], [{"A": 1}], columns=["A", "Meta.Private"])
    made_by_a_writer(there, "Other.Path")
    place([], [{"A": 1}], "Plain")
    (found,) = check_dotted_columns(None, databases=["default"])
    assert found.id == "rowkeeper.I001"
    assert "`Things`" in found.msg
    assert "`Meta.Private`" in found.msg
    assert "Other.Path" not in found.msg
