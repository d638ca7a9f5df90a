"""What is true where a check of rules speaks, and where it is silent: by brute force.

`READINGS` holds both by the code of a check. Each reading looks at every decision of a small world.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from rowkeeper.rules.analysis.sensitive_names import looks_sensitive
from rowkeeper.rules.engine.decide import Decision, exclusion_reason
from rowkeeper.rules.engine.problems import Problem
from rowkeeper.rules.engine.rule import OPERATIONS, Rule
from tests.reference.random_lists import Request
from tests.reference.small_world import COLUMNS, PEOPLE, World, stopped_at

Speaks = Callable[[World, Problem], bool]
Silent = Callable[[World], bool]


def rule_of(world: World, problem: Problem) -> Rule:
    return world.ruleset.rules[problem.rule - 1]


def active(world: World) -> list[Rule]:
    return [rule for rule in world.ruleset.rules if rule.enabled]


def operations_in(text: str) -> list[str]:
    return [operation for operation in OPERATIONS if f"`{operation}`" in text]


# -- the order of the rules


def unreachable(world: World, problem: Problem) -> bool:
    """No request for these operations is granted by the rule, or denied by it at once."""
    rule = rule_of(world, problem)
    operations = operations_in(problem.message) or list(rule.operations)
    return not any(
        decision.rule is rule or (noted is rule and reason.final)
        for _, decision in world.every(*operations)
        for noted, reason in decision.notes
    )


def stops_later(world: World, problem: Problem) -> bool:
    """Some write is denied by the rule while a later rule is for the same people."""
    rule = rule_of(world, problem)
    return any(_stopped(world, rule, *each) for each in _writes(world, problem.message))


def _writes(world: World, text: str) -> Iterator[tuple[Request, Decision]]:
    yield from world.every("insert" if "an insert" in text else "update")


def _stopped(world: World, rule: Rule, asked: Request, decision: Decision) -> bool:
    if decision.granted or stopped_at(decision) != rule.position:
        return False
    return decision.notes[-1][1].final and any(
        later.position > rule.position
        and asked.operation in later.operations
        and exclusion_reason(later, asked.who) is None
        for later in active(world)
    )


def nothing_stops(world: World) -> bool:
    """No write is denied that is granted without the rule that denies it; of later rules that no
    request gets as far as, that is said elsewhere.
    """
    said = {problem.rule for problem in world.said("stops-later")}
    unreached = {problem.rule for problem in world.said("unreachable")}
    for rule in active(world):
        if rule.position in said | unreached:
            continue
        left_out = {rule.position, *unreached}
        others = [each for at, each in enumerate(world.rules, 1) if at not in left_out]
        without = world.with_rules(others).ruleset
        for asked, decision in world.every("insert", "update"):
            if _stopped(world, rule, asked, decision) and asked(without).granted:
                return False
    return True


def nobody(world: World, problem: Problem) -> bool:
    """No request for these operations is granted."""
    operations = operations_in(problem.message) or OPERATIONS
    return not any(decision.granted for _, decision in world.every(*operations))


def somebody(world: World) -> bool:
    """Where nothing is said of an operation, some rule is about it and is for some app."""
    said = {op for p in world.said("nobody") for op in operations_in(p.message) or OPERATIONS}
    about = {op for r in active(world) if r.app_ids != frozenset() for op in r.operations}
    return said | about == set(OPERATIONS)


# -- people


def compared_with_themselves(world: World, problem: Problem) -> bool:
    """The test is true for nobody, or for everyone who has a value."""
    op = problem.path.rsplit(".", 1)[-1]
    (test,) = [each for each in rule_of(world, problem).allow.conditions if each.op == op]
    users = [who.user for who in PEOPLE if who.user is not None]
    met = [test.met_by(user, user) for user in users]
    return met == [op != "notequals" and "Role" in user for user in users]


def no_test_of_themselves(world: World) -> bool:
    said = {problem.rule for problem in world.said("template-in-allow")}
    return all(
        rule.position in said
        for rule in active(world)
        if any("{{" in str(getattr(t.operand, "source", "")) for t in rule.allow.conditions)
    )


def app_without_login(world: World, problem: Problem) -> bool:
    """No anonymous request is ever granted by the rule."""
    return not any(
        decision.rule is rule_of(world, problem) and asked.who.is_anonymous
        for asked, decision in world.every()
    )


def no_app_without_login(world: World) -> bool:
    """Each rule for everyone admits an anonymous request, or something is said about its apps."""
    said = {problem.rule for problem in world.problems if problem.path == "appId"}
    return all(
        rule.position in said or exclusion_reason(rule, PEOPLE[0]) is None
        for rule in active(world)
        if rule.allow.kind == "all"
    )


def _shown(world: World, who: Any, column: str) -> bool | None:
    """Whether a select shows a column to somebody; None where they can read nothing."""
    reads = [d for asked, d in world.every("select") if asked.who == who and d.granted]
    return any(decision.shown.shows(column) for decision in reads) if reads else None


def _hidden_writes(world: World) -> Iterator[tuple[Rule, str]]:
    """Each rule and column that somebody can write and cannot read, though they can read."""
    hidden = {
        (str(who), column)
        for who in PEOPLE
        for column in COLUMNS
        if column not in world.place.secret and _shown(world, who, column) is False
    }
    for asked, decision in world.every("insert", "update"):
        if not decision.granted:
            continue
        assert decision.rule is not None
        sent = asked.ask.rows[0] if asked.operation == "insert" else asked.ask.changes[0].submitted
        stored = {} if asked.operation == "insert" else asked.ask.changes[0].stored
        for column, value in sent.items():
            changes = stored.get(column) != value and (str(asked.who), column) in hidden
            if changes and not _is_pinned(decision.rule, column, asked.operation):
                yield decision.rule, column


def _is_pinned(rule: Rule, column: str, operation: str) -> bool:
    pinned = rule.pinned_on_insert if operation == "insert" else rule.pinned_on_update
    return column in pinned


def hidden_and_writable(world: World, problem: Problem) -> bool:
    """Somebody can write one of the columns and can read others, but not this column."""
    rule = rule_of(world, problem)
    if world.said("unreachable") or world.said("required-and-hidden"):
        return True  # what cannot be met is said there
    if any(len(each.require) > 1 for each in active(world)):
        return True  # requirements that contradict each other are not looked at
    return any(
        found is rule and f"`{column}`" in problem.message
        for found, column in _hidden_writes(world)
    )


def nothing_hidden_is_written(world: World) -> bool:
    said = {
        (problem.rule, column)
        for problem in world.said("hidden-and-writable")
        for column in COLUMNS
        if f"`{column}`" in problem.message
    }
    return all((rule.position, column) in said for rule, column in _hidden_writes(world))


def sensitive(world: World, problem: Problem) -> bool:
    """The rule by itself shows the column to everyone it names."""
    (column,) = [name for name in COLUMNS if looks_sensitive(name)]
    everyone = problem.message.startswith("everyone can")
    return any(
        decision.granted and decision.shown.shows(column) and asked.who.is_anonymous is everyone
        for asked, decision in world.alone(problem.rule, require=None).every("select")
    )


def nothing_sensitive(world: World) -> bool:
    """No anonymous select shows such a column where nothing is said of the rule."""
    said = {problem.rule for problem in world.said("sensitive")}
    return all(
        decision.rule is None or decision.rule.position in said
        for asked, decision in world.every("select")
        if asked.who.is_anonymous and decision.granted and decision.shown.shows("Salary")
    )


def any_kind(world: World, problem: Problem) -> bool:
    """Users of another data source pass: `Source` makes no difference, another column does."""
    rule = rule_of(world, problem)
    tested = {test.column for test in rule.allow.conditions}
    templates = any(
        "{{user" in str(item) for item in world.rules[problem.rule - 1].get("require", [])
    )
    return "Source" not in tested and (bool(tested) or templates)


def one_kind(world: World) -> bool:
    """Where nothing is said, the rule does not look at the user, or only one kind signs in."""
    said = {problem.rule for problem in world.said("any-kind-of-user")}
    return not world.place.several_kinds or all(
        rule.position in said
        for rule in active(world)
        if rule.allow.conditions
        or (
            rule.allow.kind != "tokens"
            and "{{user" in str(world.rules[rule.position - 1].get("require"))
        )
    )


# -- what is required


def any_record(world: World, problem: Problem) -> bool:
    """By the rule alone and with its columns opened, some update is granted on every stored record
    or on none.
    """
    open_rule = world.alone(problem.rule, include=None, exclude=None, enabled=None)
    answers: dict[str, bool] = {}
    for asked, decision in open_rule.every("update"):
        stored = str(asked.ask.changes[0].stored)
        answers[stored] = answers.get(stored, False) or decision.granted
    return len(set(answers.values())) == 1


def some_records(world: World) -> bool:
    """Every other update rule passes over some stored record."""
    said = {problem.rule for problem in world.said("any-record")}
    for rule in active(world):
        if rule.position in said or "update" not in rule.operations:
            continue
        alone = world.alone(rule.position).every("update")
        if not any(reason.code == "require" for _, d in alone for _, reason in d.notes):
            return not any(who for who in PEOPLE if exclusion_reason(rule, who) is None)
    return True


def required_and_hidden(world: World, problem: Problem) -> bool:
    """No request fits; or only one that sends back what is stored; or that says the same."""
    rule = rule_of(world, problem)
    if "no " in problem.message and "matches this rule" in problem.message:
        operations = [op for op in OPERATIONS if f"no {WAYS[op]}" in problem.message]
        assert operations
        return not any(d.rule is rule for _, d in world.every(*operations))
    (column,) = [name for name in COLUMNS if f"`{name}`" in problem.message]
    if "sends back" in problem.message:
        return all(
            asked.ask.changes[0].submitted[column] == asked.ask.changes[0].stored.get(column)
            for asked, decision in world.every("update")
            if decision.rule is rule
        )
    return not rule.columns.shows(column)


WAYS = {"select": "read", "insert": "insert", "update": "update", "delete": "delete"}


def everything_fits(world: World) -> bool:
    """A rule that some request fits once its columns are opened is fitted as it is, too."""
    said = {
        (problem.rule, operation)
        for problem in world.said("required-and-hidden")
        for operation in OPERATIONS
        if f"no {WAYS[operation]}" in problem.message or "sends back" in problem.message
    }
    for rule in active(world):
        for operation in rule.operations:
            if (rule.position, operation) in said or not rule.require:
                continue
            # A delete by query needs a select, and an update sends back what one shows.
            read = {"type": ["select"], "allow": "all"}
            own = world.with_rules([world.rules[rule.position - 1], read])
            opened = {**world.rules[rule.position - 1]}
            opened.pop("exclude", None)
            opened["include"] = list(COLUMNS)
            fits = any(
                d.rule is not None and d.rule.position == 1
                for _, d in world.with_rules([opened, read]).every(operation)
            )
            if fits and not any(
                d.rule is not None and d.rule.position == 1 for _, d in own.every(operation)
            ):
                return False
    return True


# -- lists


def same_decisions(world: World, other: World) -> bool:
    return all(
        (mine.granted, mine.conditions, mine.shown, mine.rows)
        == (others.granted, others.conditions, others.shown, others.rows)
        for (_, mine), (_, others) in zip(world.every(), other.every(), strict=True)
    )


def hides_nothing(world: World, problem: Problem) -> bool:
    """Nothing changes without the list; an empty `include` shows no column, `appId` no app."""
    if problem.path == "include":
        return all(
            not any(map(decision.shown.shows, COLUMNS))
            for _, decision in world.alone(problem.rule).every("select")
        )
    if problem.path == "appId":
        return not any(d.granted for _, d in world.alone(problem.rule).every())
    rules = [dict(rule) for rule in world.rules]
    del rules[problem.rule - 1][problem.path]
    return same_decisions(world, world.with_rules(rules))


def both_lists(world: World, problem: Problem) -> bool:
    return hides_nothing(world, problem)


def no_both_lists(world: World) -> bool:
    said = {problem.rule for problem in world.said("both-lists")}
    both = {
        r.position
        for r in active(world)
        if {"include", "exclude"} <= world.rules[r.position - 1].keys()
    }
    return said == both


def no_empty_lists(world: World) -> bool:
    said = {(problem.rule, problem.path) for problem in world.said("empty-list")}
    found = {
        (rule.position, name)
        for rule in active(world)
        for name in ("include", "exclude", "require", "appId")
        if world.rules[rule.position - 1].get(name) == []
        and not (name == "exclude" and "include" in world.rules[rule.position - 1])
    }
    return said == found


def unknown_column(world: World, problem: Problem) -> bool:
    return "`Missing`" in problem.message


def no_unknown_column(world: World) -> bool:
    said = {problem.rule for problem in world.said("unknown-column")}
    named = {r.position for r in active(world) if "'Missing'" in str(world.rules[r.position - 1])}
    return said == named


READINGS: dict[str, tuple[Speaks, Silent | None]] = {
    "any-kind-of-user": (any_kind, one_kind),
    "any-record": (any_record, some_records),
    "app-without-login": (app_without_login, no_app_without_login),
    "both-lists": (both_lists, no_both_lists),
    "empty-list": (hides_nothing, no_empty_lists),
    "hidden-and-writable": (hidden_and_writable, nothing_hidden_is_written),
    "nobody": (nobody, somebody),
    "required-and-hidden": (required_and_hidden, everything_fits),
    "sensitive": (sensitive, nothing_sensitive),
    "stops-later": (stops_later, nothing_stops),
    "template-in-allow": (compared_with_themselves, no_test_of_themselves),
    "unknown-column": (unknown_column, no_unknown_column),
    # That nothing is said is no proof.
    "unreachable": (unreachable, None),
}
