"""What scripts may look up: as their writer, past the rules, never past passwords, in time."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.models import Group, UserManager
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connection, transaction
from django.db.utils import InternalError
from django.test.utils import CaptureQueriesContext
from guardian.shortcuts import assign_perm, remove_perm

from rowkeeper.datasources import store
from rowkeeper.datasources.catalog import registry, saving
from rowkeeper.datasources.errors import Busy
from rowkeeper.datasources.models import DataSource
from rowkeeper.datasources.permissions.by_user_id import has_any
from rowkeeper.datasources.sql import Sql
from rowkeeper.rules.models import AccessRule
from rowkeeper.rules.repository.rules import rules_and_writers, save_rules
from rowkeeper.rules.sandbox import LookupFailed
from rowkeeper.rules.scripts.lookups import LookupsOf
from tests.support.calls import data_source
from tests.support.people import sign_in_source

pytestmark = pytest.mark.django_db

SCRIPT = "return {'granted': bool(DataSources('Staff').find())}"
OTHER = "return {'granted': False}"


@pytest.fixture
def staff() -> DataSource:
    rows = [{"Name": name, "Office": office} for name, office in (("Ann", "Rome"), ("Bob", "Oslo"))]
    return data_source("Staff", ["Name", "Office"], rows, [])


def writer(*rights: tuple[str, Any], **fields: Any) -> Any:
    user = get_user_model().objects.create_user(fields.pop("username", "writer"), **fields)
    for right, model in rights:
        assign_perm(f"rowkeeper_datasources.{right}_datasource", user, model)
    return user


def found(lookups: LookupsOf, reference: Any, where: Any = None) -> list[str]:
    return [row["data"]["Name"] for row in lookups.find(reference, where or {}, 100, 0, 3.0)]


def refusal(lookups: LookupsOf, reference: Any, where: Any = None) -> str:
    with pytest.raises(LookupFailed) as raised:
        lookups.find(reference, where or {}, 100, 0, 3.0)
    with pytest.raises(LookupFailed) as counted:
        lookups.count(reference, where or {}, 3.0)
    assert str(counted.value) == str(raised.value)
    return str(raised.value)


# -- whose rights


@pytest.mark.parametrize("right", ["view", "change"])
def test_the_writer_may_see_it(staff: DataSource, right: str) -> None:
    lookups = LookupsOf(writer((right, staff)).pk)
    assert found(lookups, "Staff") == found(lookups, staff.pk) == ["Ann", "Bob"]
    assert lookups.count("Staff", {"Office": "Rome"}, 3.0) == 1


@pytest.mark.parametrize("model", [True, False], ids=["here", "everywhere"])
def test_rights_of_a_group_are_those_of_its_members(staff: DataSource, model: bool) -> None:
    group = Group.objects.create(name="readers")
    assign_perm("rowkeeper_datasources.view_datasource", group, staff if model else None)
    user, other = writer(), writer(username="other")
    user.groups.add(group)
    assert found(LookupsOf(user.pk), "Staff")
    assert refusal(LookupsOf(other.pk), "Staff")


def test_a_site_wide_right_is_one_here_and_another_s_is_none(staff: DataSource) -> None:
    other = data_source("Other", ["Name"], [], [])
    assert refusal(LookupsOf(writer(("view", other)).pk), "Staff")
    assert found(LookupsOf(writer(("view", None), username="all").pk), "Staff")


@pytest.mark.parametrize(
    "backends", [["django.contrib.auth.backends.ModelBackend"], [f"{__name__}.Own"]]
)
def test_the_backends_of_the_project_are_asked(
    staff: DataSource, settings: Any, backends: list[str]
) -> None:
    user = writer(("view", staff))
    settings.AUTHENTICATION_BACKENDS = backends
    assert "may view" in refusal(LookupsOf(user.pk), "Staff")


class Own(BaseBackend):
    """A backend of a project's own that gives nothing, whatever is stored."""


@pytest.mark.parametrize("model", [True, False], ids=["here", "everywhere"])
def test_whose_rights_are_is_one_statement(staff: DataSource, model: bool) -> None:
    key = writer(("view", staff if model else None)).pk
    ContentType.objects.get_for_model(DataSource)
    with CaptureQueriesContext(connection) as statements:
        found(LookupsOf(key), "Staff")
    # The data source, the rights, the rows; on PostgreSQL, its time limit stands round these.
    assert sum(" FROM " in each["sql"] for each in statements) == 3


def test_a_superuser_sees_all(staff: DataSource) -> None:
    assert found(LookupsOf(writer(is_superuser=True).pk), "Staff") == ["Ann", "Bob"]


@pytest.mark.parametrize("right", ["delete", "change_rules", "share", "write_scripts", "simulate"])
def test_other_rights_are_none_to_read(staff: DataSource, right: str) -> None:
    told = refusal(LookupsOf(writer((right, staff)).pk), "Staff")
    assert told == refusal(LookupsOf(writer(username="b").pk), "Staff")
    assert told.replace("Staff", "Nope") == refusal(LookupsOf(writer(username="c").pk), "Nope")


def test_a_right_that_is_lost_is_lost(staff: DataSource) -> None:
    user = writer(("view", staff))
    assert found(LookupsOf(user.pk), "Staff")
    remove_perm("rowkeeper_datasources.view_datasource", user, staff)
    assert "may view" in refusal(LookupsOf(user.pk), "Staff")


def test_who_is_no_longer_there_or_not_active_reads_nothing(staff: DataSource) -> None:
    user = writer(is_superuser=True)
    get_user_model().objects.filter(pk=user.pk).update(is_active=False)
    assert "may view" in refusal(LookupsOf(user.pk), "Staff")
    key = user.pk
    user.delete()
    assert "may view" in refusal(LookupsOf(key), "Staff")
    assert "writer of this script is unknown" in refusal(LookupsOf(None), "Staff")


@pytest.mark.parametrize("reference", ["", "x" * 300, "a\0b", "\ud800", 0, -1, 2**63, True, None])
def test_what_refers_to_nothing(staff: DataSource, reference: Any) -> None:
    assert "no data source" in refusal(LookupsOf(writer(is_superuser=True).pk), reference)


def test_digits_in_a_text_are_a_name(staff: DataSource) -> None:
    boss = LookupsOf(writer(is_superuser=True).pk)
    assert "no data source" in refusal(boss, str(staff.pk))
    data_source(str(staff.pk), ["Name"], [{"Name": "Cleo"}], [])
    assert found(boss, str(staff.pk)) == ["Cleo"]


# -- what is read


def test_every_operator_and_a_single_value_in_in(staff: DataSource) -> None:
    boss = LookupsOf(writer(is_superuser=True).pk)
    for where in (
        {"Office": {"$in": "Rome"}},
        {"Office": {"$in": ["Rome"]}},
        {"$or": [{"Office": {"$in": "Rome"}}, {"Name": {"$iLike": "AN%"}}]},
        {"$filters": [{"column": "Office", "condition": "==", "value": "rome"}]},
    ):
        assert found(boss, "Staff", where) == ["Ann"]
    # Null and what is no value would find whoever has none.
    for value in (None, {}, {"a": 1}):
        assert "must be a list" in refusal(boss, "Staff", {"Office": {"$in": value}})
    assert "`$where`" in refusal(boss, "Staff", {"$where": "1"})


def test_part_of_the_records(staff: DataSource) -> None:
    boss = LookupsOf(writer(is_superuser=True).pk)
    first, second = boss.find("Staff", {}, 100, 0, 3.0)
    assert set(first) == {"id", "data"} and first["id"] < second["id"]
    assert boss.find("Staff", {}, 1, 0, 3.0) == [first]
    assert boss.find("Staff", {}, 1, 1, 3.0) == [second]


def test_passwords_are_not_read_nor_asked_about() -> None:
    people = sign_in_source("People", [{"Email": "a@x.y"}])
    boss = LookupsOf(writer(is_superuser=True).pk)
    (record,) = boss.find("People", {}, 100, 0, 3.0)
    assert record["data"] == {"Email": "a@x.y"}
    for where in (
        {"Password": {"$exists": True}},
        {"data.Password": "x"},
        {"Password.x": 1},
        {"$nor": [{"Password": {"$like": "m%"}}]},
        {"$filters": [{"column": "Password", "condition": "empty"}]},
    ):
        assert "password column" in refusal(boss, "People", where)
    # Nor where it is one no longer.
    people.definition = {}
    saving.save(people)
    (record,) = boss.find("People", {}, 100, 0, 3.0)
    assert record["data"] == {"Email": "a@x.y"}


# -- in time, and nothing else


def slow() -> str:
    if connection.vendor == "postgresql":
        return "SELECT pg_sleep(2)"
    return (
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM n WHERE x<1000000000) "
        "SELECT count(*) FROM n"
    )


def test_a_look_up_ends_with_the_time_and_the_transaction_goes_on(staff: DataSource) -> None:
    with transaction.atomic():
        DataSource.objects.filter(pk=staff.pk).update(type="before")
        with pytest.raises(Busy), store.read_time_limit(0.05):
            store.run(Sql(slow()))
        with store.read_time_limit(3.0):
            assert store.run(Sql("SELECT 1")) == [(1,)]
        DataSource.objects.filter(pk=staff.pk, type="before").update(type="after")
    staff.refresh_from_db()
    assert staff.type == "after"


def test_the_limit_is_of_the_look_up_alone(staff: DataSource) -> None:
    with store.read_time_limit(0.05):
        store.run(Sql("SELECT 1"))
    assert store.count(registry.source_of(staff), _everything()) == 2
    if connection.vendor == "postgresql":
        assert store.run(Sql("SHOW statement_timeout")) == [("0",)]
        assert store.run(Sql("SHOW transaction_read_only")) == [("off",)]


def _everything() -> Any:
    from rowkeeper.datasources.query.where import EVERYTHING

    return EVERYTHING


def test_nothing_can_be_written_meanwhile(staff: DataSource) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no read-only transactions")
    with pytest.raises(InternalError), store.read_time_limit(3.0):
        DataSource.objects.filter(pk=staff.pk).update(type="x")


@pytest.mark.django_db(transaction=True)
def test_the_same_where_nothing_is_open(staff: DataSource) -> None:
    for _ in range(10):
        store.run(Sql("SELECT 1"))
    with store.read_time_limit(3.0):
        assert store.run(Sql("SELECT 1")) == [(1,)]
    if connection.vendor == "postgresql":
        assert store.run(Sql("SHOW statement_timeout")) == [("0",)]
        # What has been prepared is there still: every statement would be planned anew.
        assert store.run(Sql("SELECT count(*)>0 FROM pg_prepared_statements")) == [(True,)]
        with pytest.raises(InternalError), store.read_time_limit(3.0):
            DataSource.objects.filter(pk=staff.pk).update(type="x")
    with pytest.raises(Busy), store.read_time_limit(0.05):
        store.run(Sql(slow()))
    assert not connection.in_atomic_block
    DataSource.objects.filter(pk=staff.pk).update(type="after")


def test_the_rights_of_each_on_each(staff: DataSource) -> None:
    """The statement is written once; who and what it is about are another each time."""
    other = data_source("Other", ["Name"], [{"Name": "Eve"}], [])
    ann, ben = writer(("view", staff), username="ann"), writer(("view", other), username="ben")
    for _ in range(2):
        held = [
            (user.username, source.name)
            for user in (ann, ben)
            for source in (staff, other)
            if has_any(user.pk, ["view", "change"], source.pk)
        ]
        assert held == [("ann", "Staff"), ("ben", "Other")]
    assert not has_any(ann.pk, ["change"], staff.pk)


def test_a_manager_of_the_projects_own_is_asked_each_time(
    staff: DataSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it gives may depend on the time, or on whose request it is."""
    user = writer(is_superuser=True)
    assert has_any(user.pk, ["view"], staff.pk)

    class Nobody(UserManager[Any]):
        def get_queryset(self) -> Any:
            return super().get_queryset().none()

    manager = Nobody()
    manager.model = type(user)
    monkeypatch.setattr(type(user)._meta, "default_manager", manager)
    assert not has_any(user.pk, ["view"], staff.pk)


# -- who wrote a script


def writers(model: DataSource) -> dict[str, int | None]:
    return rules_and_writers(model.pk)[1]


def test_a_script_stays_theirs_who_wrote_it(staff: DataSource) -> None:
    ann, boss = writer(username="ann"), writer(username="boss", is_superuser=True)
    assign_perm("rowkeeper_datasources.write_scripts_datasource", ann, staff)
    save_rules(staff, [{"script": SCRIPT}], ann)
    assert writers(staff) == {SCRIPT: ann.pk}
    # Whoever moves it, names it or saves the rules around it gives it no rights of theirs.
    save_rules(staff, [{"script": OTHER}, {"name": "x", "script": SCRIPT}], boss)
    assert writers(staff) == {OTHER: boss.pk, SCRIPT: ann.pk}
    save_rules(staff, [{"script": SCRIPT + " "}, {"script": OTHER}])
    assert writers(staff) == {SCRIPT + " ": None, OTHER: boss.pk}
    boss.delete()
    assert writers(staff) == {SCRIPT + " ": None, OTHER: None}
    save_rules(staff, [{"script": OTHER}], ann)
    assert writers(staff) == {OTHER: None}


def test_a_rule_without_a_script_has_no_writer(staff: DataSource) -> None:
    boss = writer(is_superuser=True)
    save_rules(staff, [{"type": ["select"], "allow": "all"}], boss)
    assert writers(staff) == {}
    assert AccessRule.objects.get().script_by is None


def test_two_writers_of_one_script_are_none(staff: DataSource) -> None:
    boss = writer(is_superuser=True)
    save_rules(staff, [{"script": SCRIPT}, {"script": SCRIPT, "enabled": False}], boss)
    assert writers(staff) == {SCRIPT: boss.pk}
    AccessRule.objects.filter(position=2).update(script_by=None)
    assert writers(staff) == {SCRIPT: None}


def test_a_fixture_makes_nobody_a_writer(staff: DataSource, tmp_path: Any) -> None:
    boss = writer(is_superuser=True)
    save_rules(staff, [{"script": SCRIPT}], boss)
    dump = StringIO()
    call_command("dumpdata", "rowkeeper_rules.accessrule", stdout=dump)
    path = tmp_path / "rules.json"
    path.write_text(dump.getvalue())
    AccessRule.objects.all().delete()
    call_command("loaddata", str(path), verbosity=0)
    assert writers(staff) == {SCRIPT: None}
