"""Script rules in the engine: their place in the order, what they see, what becomes of what they
say. Whoever runs them is a fake here, so that the engine is tested by itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from rowkeeper.accounts.identity import ANONYMOUS, Identity
from rowkeeper.datasources.query.where import EVERYTHING, matches, parse_where
from rowkeeper.rules.engine.decide import (
    Decision,
    Ruleset,
    answered,
    compile_rules,
    decide_delete,
    decide_insert,
    decide_select,
    decide_update,
    login_could_help,
    may_let_in,
)
from rowkeeper.rules.engine.requests import Change, EntryRequest, Insert, QueryRequest, Update
from rowkeeper.rules.sandbox.protocol import ScriptCall, ScriptVerdict

BOB = Identity(user={"Email": "bob@acme.com"}, app_id=3)
COLUMNS = ["Name", "Office", "Salary"]
SCRIPT = {"script": "return None"}
OPEN = {"type": ["select", "insert", "update", "delete"], "allow": "all"}
# Password columns are secret whatever rules and scripts say.
SECRET = ["Password"]

Say = Callable[[ScriptCall], ScriptVerdict]


class Fake:
    """Runs no script: says what the test wants, and remembers what it was asked."""

    def __init__(self, *say: Say) -> None:
        self.say, self.calls = list(say), []

    def __call__(self, call: ScriptCall) -> ScriptVerdict:
        call = replace(call, **{k: json.loads(json.dumps(getattr(call, k))) for k in ("query",)})
        self.calls.append(call)
        return self.say[min(len(self.calls), len(self.say)) - 1](call)


def grants(change: Callable[[Any], Any] | None = None, **more: Any) -> Say:
    """Grants, after `change` has had the query (and may have put another in its place)."""

    def say(call: ScriptCall) -> ScriptVerdict:
        query = call.query if change is None else change(call.query)
        return ScriptVerdict(True, query=query, **more)

    return say


def does_not(call: ScriptCall) -> ScriptVerdict:
    return ScriptVerdict(False, query=call.query)


def fails(call: ScriptCall) -> ScriptVerdict:
    return ScriptVerdict(False, error="line 2: ValueError: no")


def with_(**columns: Any) -> Callable[[Any], Any]:
    return lambda query: {**query, **columns}


def by(where: dict[str, Any], *names: str) -> QueryRequest:
    return QueryRequest(parse_where(where), names, written=where)


def ruleset(*rules: dict[str, Any], secret: list[str] = SECRET, **more: Any) -> Ruleset:
    found = compile_rules(list(rules), COLUMNS, secret, **more)
    assert not found.problems
    return found


def said(decision: Decision) -> list[str]:
    return [line.code for line in decision.trace]


# -- the place in the order

ASKS: list[tuple[Any, Any]] = [
    (decide_select, by({})),
    (decide_select, EntryRequest([{"Name": "x"}])),
    (decide_insert, Insert([{"Name": "x"}])),
    (decide_update, Update([Change({"Name": "y"}, {"Name": "x"}, id=1)])),
    (decide_delete, EntryRequest([{"Name": "x"}])),
    (decide_delete, QueryRequest(EVERYTHING, written={}, rows=lambda limit: [{"Name": "x"}])),
]


@pytest.mark.parametrize(("decide", "ask"), ASKS)
def test_the_order_of_rules(decide: Any, ask: Any) -> None:
    both = ruleset(SCRIPT, OPEN)
    granting = decide(both, BOB, ask, Fake(grants()))
    assert granting.granted and granting.rule.position == 1
    skipped = decide(both, BOB, ask, Fake(does_not))
    assert said(skipped) == ["script", "granted"]
    for failing in (fails, lambda call: ScriptVerdict(True, error="x", query=call.query)):
        ended = decide(both, BOB, ask, Fake(failing))
        assert not ended.granted and said(ended) == ["script-error", "unreached"]
        assert ended.rows == () and not ended.shown.shows("Name")
    busy = decide(both, BOB, ask, Fake(lambda call: ScriptVerdict(False, error="x", busy=True)))
    assert not busy.granted and said(busy) == ["busy", "unreached"]
    none = decide(both, BOB, ask)
    assert not none.granted and said(none)[0] == "script-error"
    unasked = Fake(fails)
    first = decide(ruleset(OPEN, SCRIPT), BOB, ask, unasked)
    assert first.granted and not unasked.calls


@pytest.mark.parametrize(("decide", "ask"), ASKS)
def test_what_a_script_rule_has_beside_its_script(decide: Any, ask: Any) -> None:
    closed = {"type": ["insert"], "allow": {"tokens": [9]}, "exclude": COLUMNS, "require": ["Name"]}
    rules = ruleset({**SCRIPT, **closed, "include": []})
    assert decide(rules, ANONYMOUS, ask, Fake(grants())).granted
    for off in ({"enabled": False}, {"appId": [4]}):
        unasked = Fake(grants())
        assert not decide(ruleset({**SCRIPT, **off}), BOB, ask, unasked).granted
        assert not unasked.calls
    assert decide(ruleset({**SCRIPT, "appId": [3]}), BOB, ask, Fake(grants())).granted


@pytest.mark.parametrize(("decide", "ask"), ASKS)
@pytest.mark.parametrize("granted", [1, "true", [True], None])
def test_true_alone_grants(decide: Any, ask: Any, granted: Any) -> None:
    say = lambda call: ScriptVerdict(granted, query=call.query)  # noqa: E731
    assert said(decide(ruleset(SCRIPT), BOB, ask, Fake(say))) == ["script"]


def test_a_script_may_ask_for_a_login_and_could_let_anyone_in() -> None:
    rules = ruleset({**SCRIPT, "type": ["select"]})
    for operation in ("select", "insert", "update", "delete"):
        assert login_could_help(rules, ANONYMOUS, operation)
        assert may_let_in(rules, ANONYMOUS, operation)
    assert not login_could_help(ruleset({**SCRIPT, "enabled": False}), ANONYMOUS, "select")


# -- reads


def test_what_a_select_hands_over() -> None:
    run = Fake(does_not)
    decide_select(ruleset(SCRIPT), BOB, by({"Name": {"$like": "b%"}}), run)
    decide_select(ruleset(SCRIPT), ANONYMOUS, EntryRequest([{"Name": "x"}]), run)
    decide_select(ruleset(SCRIPT), BOB, QueryRequest(EVERYTHING), run)
    first, second, third = run.calls
    assert first == ScriptCall(
        "return None", "select", BOB.user, {"Name": {"$like": "b%"}}, None, None
    )
    assert (second.user, second.query, third.query) == (None, {}, {})


def test_a_where_that_is_not_at_hand_is_not_taken_for_none() -> None:
    run = Fake(grants())
    decision = decide_select(ruleset(SCRIPT), BOB, QueryRequest(parse_where({"Name": "x"})), run)
    assert said(decision) == ["script-error"] and not run.calls


def test_what_a_script_leaves_in_the_where_is_what_runs() -> None:
    asked = by({"Name": "x"})
    added = decide_select(ruleset(SCRIPT), BOB, asked, Fake(grants(with_(Office="Rome"))))
    assert added.where(asked.where) == parse_where({"Name": "x", "Office": "Rome"})
    taken = decide_select(ruleset(SCRIPT), BOB, asked, Fake(grants(lambda query: {})))
    assert taken.where(asked.where) == EVERYTHING
    left = decide_select(ruleset(SCRIPT), BOB, asked, Fake(grants()))
    assert left.where(asked.where) == asked.where
    assert [line.script.changed for line in added.trace if line.script] == [("Office",)]
    assert [line.script.changed for line in left.trace if line.script] == [()]


@pytest.mark.parametrize(
    "left",
    [
        None,
        [],
        "x",
        {"$where": "1"},
        {"Name": {"$nope": 1}},
        {"Name": {"$in": "x"}},
        {"$or": []},
        {"Name": "\ud800"},
        {"Name": 2**64},
        {"Name": float("nan")},
        {"Password": {"$like": "a%"}},
        {"Password.x": 1},
        {"data.Password": "x"},
        {"$nor": [{"Password": "x"}]},
        {"$filters": [{"column": "Password", "condition": "empty"}]},
    ],
)
def test_a_where_that_no_client_may_send_ends_the_evaluation(left: Any) -> None:
    for ask in (by({}), EntryRequest([{"Name": "x", "Password": "x"}])):
        decision = decide_select(ruleset(SCRIPT, OPEN), BOB, ask, Fake(grants(lambda query: left)))
        assert said(decision) == ["script-error", "unreached"], left


@pytest.mark.parametrize(
    ("verdict", "shows", "hides"),
    [
        ({}, {"Name", "Salary", "New"}, {"Password"}),
        ({"exclude": ("Salary",)}, {"Name", "New"}, {"Salary", "Password"}),
        ({"include": ("Name", "Password")}, {"Name"}, {"Salary", "New", "Password"}),
        ({"include": ("Name",), "exclude": ("Name",)}, {"Name"}, {"Salary"}),
        ({"include": ()}, set(), {"Name", "Salary"}),
    ],
)
def test_the_columns_that_a_script_opens(verdict: Any, shows: Any, hides: Any) -> None:
    for ask in (by({}), EntryRequest([{"Name": "x"}])):
        shown = decide_select(ruleset(SCRIPT), BOB, ask, Fake(grants(**verdict))).shown
        assert all(shown.shows(name) for name in shows)
        assert not any(shown.shows(name) for name in hides)


def test_a_hidden_column_that_the_client_names_does_not_fit_and_one_of_the_script_does() -> None:
    hides = grants(with_(Salary={"$lt": 5}), exclude=("Salary",))
    rules = ruleset(SCRIPT, {**OPEN, "include": ["Name"]})
    assert decide_select(rules, BOB, by({"Name": "x"}), Fake(hides)).rule.position == 1  # type: ignore[union-attr]
    for ask in (by({"Salary": 1}), by({}, "Salary"), by({"Salary.x": {"$exists": False}})):
        decision = decide_select(rules, BOB, ask, Fake(hides))
        assert said(decision) == ["hidden", "hidden"]


def test_what_a_script_puts_in_by_id_is_a_condition_on_the_entry() -> None:
    run = grants(with_(Office="Rome"))
    here, there = {"Office": ["Rome", "Oslo"]}, {"Office": "Oslo"}
    rules = ruleset(SCRIPT)
    assert decide_select(rules, BOB, EntryRequest([here]), Fake(run)).granted
    assert said(decide_select(rules, BOB, EntryRequest([there]), Fake(run))) == ["script"]
    assert said(decide_select(rules, BOB, EntryRequest([None]), Fake(run))) == ["script"]
    assert not decide_select(rules, BOB, EntryRequest([here, there]), Fake(run)).granted
    # Who may see every entry may be told that one is not there.
    assert decide_select(rules, BOB, EntryRequest([None]), Fake(grants())).granted


# -- inserts


def test_what_an_insert_hands_over_and_stores() -> None:
    run = Fake(grants(with_(Office="Rome", Made=7)))
    decision = decide_insert(ruleset(SCRIPT), BOB, Insert([{"Name": "x"}]), run)
    assert run.calls[0].query == {"Name": "x"} and run.calls[0].entry is None
    assert decision.rows == ({"Name": "x", "Office": "Rome", "Made": 7},)
    assert decision.trace[0].script.changed == ("Office", "Made")  # type: ignore[union-attr]


def test_a_batch_is_a_list_even_of_one() -> None:
    run = Fake(grants(lambda query: [{**row, "Office": "Rome"} for row in query]))
    decision = decide_insert(ruleset(SCRIPT), BOB, Insert([{"Name": "x"}], batch=True), run)
    assert run.calls[0].query == [{"Name": "x"}]
    assert decision.rows == ({"Name": "x", "Office": "Rome"},)


@pytest.mark.parametrize(
    "left", [[], [{}], [{}, {}, {}], {}, None, [{}, 1], [{}, {"$x": 1}], [{}, {"": 1}]]
)
def test_the_number_of_rows_stays(left: Any) -> None:
    ask = Insert([{"Name": "x"}, {"Name": "y"}], batch=True)
    decision = decide_insert(ruleset(SCRIPT, OPEN), BOB, ask, Fake(grants(lambda query: left)))
    assert said(decision) == ["script-error", "unreached"]
    change = Change({"Name": "y"}, {"Name": "x"}, id=1)
    many = Update([change, change], batch=True)
    updated = decide_update(ruleset(SCRIPT, OPEN), BOB, many, Fake(grants(lambda query: left)))
    assert said(updated) == ["script-error", "unreached"]


@pytest.mark.parametrize("left", [None, [], "x", {"$x": 1}, {"a": 2**70}, {"a": {"$b": 1}}])
def test_a_row_that_no_client_may_send_ends_the_evaluation(left: Any) -> None:
    run = Fake(grants(lambda query: left))
    decision = decide_insert(ruleset(SCRIPT, OPEN), BOB, Insert([{"Name": "x"}]), run)
    assert said(decision) == ["script-error", "unreached"]


def test_a_column_that_the_script_closes_may_not_be_sent_but_set() -> None:
    closes = grants(with_(Office="Rome"), exclude=("Office",))
    rules = ruleset(SCRIPT, OPEN)
    assert decide_insert(rules, BOB, Insert([{"Name": "x"}]), Fake(closes)).rows[0]["Office"]
    sent = Insert([{"Name": "x", "Office": "Oslo"}])
    assert said(decide_insert(rules, BOB, sent, Fake(closes))) == ["column", "unreached"]


# -- passwords


def test_no_script_sees_or_sets_a_password() -> None:
    run = Fake(grants(include=("Name", "Password")))
    sent = {"Name": "x", "Password": "pw"}
    inserted = decide_insert(ruleset(SCRIPT), BOB, Insert([sent]), run)
    assert run.calls[0].query == {"Name": "x"} and inserted.rows == (sent,)
    stored = {"Name": "a", "Password": "hash"}
    change = Change(sent, stored, id=5)
    updated = decide_update(ruleset(SCRIPT), BOB, Update([change]), run)
    assert run.calls[1].entry == {"id": 5, "data": {"Name": "a"}}
    assert run.calls[1].query == {"Name": "x"} and updated.rows == (sent,)
    decide_delete(ruleset(SCRIPT), BOB, EntryRequest([stored]), run)
    decide_delete(ruleset(SCRIPT), BOB, EntryRequest([stored], batch=True), run)
    assert (run.calls[2].query, run.calls[3].query) == ({"Name": "a"}, [{"Name": "a"}])
    sets = Fake(grants(with_(Password="mine"), include=("Name", "Password")))
    for decide, ask in (
        (decide_insert, Insert([{"Name": "x"}])),
        (decide_update, Update([Change({"Name": "x"}, stored, id=5)])),
    ):
        assert said(decide(ruleset(SCRIPT), BOB, ask, sets)) == ["script-error"]


def test_a_password_is_written_only_where_it_is_named_or_ones_own() -> None:
    change = Change({"Password": "pw"}, {"Password": "hash"}, id=5)
    rules = ruleset(SCRIPT)
    assert said(decide_update(rules, BOB, Update([change]), Fake(grants()))) == ["column"]
    own = Update([replace(change, own_row=True)])
    assert decide_update(rules, BOB, own, Fake(grants())).rows == ({"Password": "pw"},)
    keeps = Fake(grants(exclude=("Password",)))
    assert said(decide_update(rules, BOB, own, keeps)) == ["column"]


def test_rows_that_people_sign_in_with_have_declared_columns_alone() -> None:
    rules = ruleset(SCRIPT, sign_in=True)
    made = Fake(grants(with_(Made=1)))
    assert said(decide_insert(rules, BOB, Insert([{"Name": "x"}]), made)) == ["column"]
    change = Change({"Name": "x"}, {"Name": "y"}, id=1)
    assert said(decide_update(rules, BOB, Update([change]), made)) == ["column"]


# -- updates


def test_what_an_update_hands_over_and_stores() -> None:
    run = Fake(grants(with_(Office="Rome")))
    change = Change({"Name": "y"}, {"Name": "x", "Salary": 1}, id=8)
    decision = decide_update(ruleset(SCRIPT), BOB, Update([change]), run)
    call = run.calls[0]
    assert (call.query, call.entries) == ({"Name": "y"}, None)
    assert call.entry == {"id": 8, "data": {"Name": "x", "Salary": 1}}
    assert decision.rows == ({"Name": "y", "Salary": 1, "Office": "Rome"},)


def test_an_update_in_a_commit() -> None:
    run = Fake(grants(lambda query: [{**row, "Office": "Rome"} for row in query]))
    changes = [Change({"Name": str(n)}, {"Name": "x", "Salary": n}, id=n) for n in (1, 2)]
    merged = decide_update(ruleset(SCRIPT), BOB, Update(changes, batch=True), run)
    call = run.calls[0]
    assert (call.query, call.entry) == ([{"Name": "1"}, {"Name": "2"}], None)
    assert call.entries == [
        {"id": 1, "data": {"Name": "x", "Salary": 1}},
        {"id": 2, "data": {"Name": "x", "Salary": 2}},
    ]
    assert merged.rows[1] == {"Name": "2", "Salary": 2, "Office": "Rome"}
    ask = Update(changes, replaces=True, batch=True)
    # The second call is of the select: what it does not show is kept.
    hides = grants(exclude=("Salary",))
    replaced = decide_update(ruleset(SCRIPT), BOB, ask, Fake(run.say[0], hides))
    assert replaced.rows[1] == {"Name": "2", "Salary": 2, "Office": "Rome"}
    shows = decide_update(ruleset(SCRIPT), BOB, ask, Fake(run.say[0], grants()))
    assert shows.rows[1] == {"Name": "2", "Office": "Rome"}


def test_a_form_may_send_back_what_a_select_showed() -> None:
    closes = grants(exclude=("Salary",))
    change = Change({"Name": "y", "Salary": 1}, {"Name": "x", "Salary": 1}, id=1)
    rules = ruleset(SCRIPT)
    assert decide_update(rules, BOB, Update([change]), Fake(closes, grants())).granted
    assert not decide_update(rules, BOB, Update([change]), Fake(closes, closes)).granted
    changed = replace(change, submitted={"Salary": 2})
    assert not decide_update(rules, BOB, Update([changed]), Fake(closes, grants())).granted


def test_what_a_write_answers() -> None:
    rules = ruleset(SCRIPT)
    after = {"Name": "y", "Office": "Rome", "Salary": 1}
    first = decide_select(rules, BOB, EntryRequest([after]), Fake(grants())).shown
    hides = Fake(grants(exclude=("Salary",)))
    assert answered(rules, BOB, {"Name": "y"}, first, after, hides).of(after) == {
        "Name": "y",
        "Office": "Rome",
    }
    assert answered(rules, BOB, {"Name": "y"}, first, after, Fake(fails)).of(after) == {"Name": "y"}


# -- deletes


def test_what_a_script_changes_in_a_delete_is_nothing() -> None:
    run = Fake(grants(lambda query: {"$nope": 1}))
    decision = decide_delete(ruleset(SCRIPT), BOB, EntryRequest([{"Name": "x"}]), run)
    assert decision.granted and run.calls[0].query == {"Name": "x"}
    assert decision.trace[0].script.changed == ()  # type: ignore[union-attr]


def test_a_delete_by_query_is_shown_the_rows_and_needs_the_select() -> None:
    rows = [{"Name": "x", "Password": "p"}, {"Name": "y"}]
    where = {"Office": "Rome"}
    ask = replace(by(where), rows=lambda limit: rows)
    rules = ruleset(SCRIPT)
    run = Fake(grants(), grants(with_(Salary=1)))
    decision = decide_delete(rules, BOB, ask, run)
    assert [(call.operation, call.query) for call in run.calls] == [
        ("delete", [{"Name": "x"}, {"Name": "y"}]),
        ("select", where),
    ]
    both = decision.where(ask.where)
    assert matches(both, {"Office": "Rome", "Salary": 1})
    assert not matches(both, {"Office": "Rome"}) and not matches(both, {"Salary": 1})
    # A select that reads more than was asked deletes no more.
    wider = decide_delete(rules, BOB, ask, Fake(grants(), grants(lambda query: {})))
    assert not matches(wider.where(ask.where), {"Office": "Oslo"})
    for select in (does_not, fails, grants(exclude=("Office",))):
        refused = decide_delete(rules, BOB, ask, Fake(grants(), select))
        assert not refused.granted and said(refused) == ["select"]
    hidden = decide_delete(rules, BOB, ask, Fake(grants(exclude=("Office",)), grants()))
    assert said(hidden) == ["hidden"]


def test_a_delete_of_very_many_ends_the_evaluation() -> None:
    asked: list[int] = []

    def decided(number: int) -> list[str]:
        def rows(limit: int) -> list[dict[str, Any]]:
            asked.append(limit)
            return [{}] * min(limit, number)

        ask = replace(by({}), rows=rows)
        return said(decide_delete(ruleset(SCRIPT, OPEN), BOB, ask, Fake(grants())))

    assert decided(10_000) == ["granted", "unreached"]
    assert decided(10_001) == decided(20_000) == ["script-error", "unreached"]
    many = EntryRequest([{}] * 10_001, batch=True)
    assert said(decide_delete(ruleset(SCRIPT, OPEN), BOB, many, Fake(grants()))) == [
        "script-error",
        "unreached",
    ]
    assert asked == [10_001] * 3
    without = decide_delete(ruleset(SCRIPT, OPEN), BOB, by({}), Fake(grants()))
    assert said(without) == ["script-error", "unreached"]


# -- the trace


def test_the_trace_tells_what_a_script_did() -> None:
    verdict = ScriptVerdict(
        False,
        error="line 3: KeyError: 'x'",
        printed="hello",
        lookups=("`Users` find: 2 found",),
        milliseconds=4.5,
    )
    line = decide_select(ruleset({**SCRIPT, "name": "own"}), BOB, by({}), lambda call: verdict)
    (told,) = line.trace
    assert "line 3: KeyError: 'x'" in str(told) and told.name == "own"
    assert told.script is not None
    assert (told.script.printed, told.script.lookups, told.script.milliseconds) == (
        "hello",
        ("`Users` find: 2 found",),
        4.5,
    )
