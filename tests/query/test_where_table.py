"""The page's operators, one by one: a row in the table, SQL for both databases, a meaning in
memory, cases, and a line in the documentation. And nothing is in the table that is not on the page.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from rowkeeper.datasources.compiler.where import POSTGRESQL, SQLITE, where_sql
from rowkeeper.datasources.query.where import matches, parse_where
from rowkeeper.datasources.query.where.nodes import Composite, ElemMatch, Field, Node, fields
from rowkeeper.datasources.query.where.operators import COMPOSED, LOGICAL, OPERATORS
from rowkeeper.datasources.query.where.paths import MISSING
from rowkeeper.datasources.sql import Sql
from tests.reference.differences import DIFFERENCES, line

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "reference" / "query-language.md").read_text(encoding="utf-8")
CASES: dict[str, list[dict[str, Any]]] = {
    group["operator"]: group["cases"]
    for group in json.loads(
        (Path(__file__).parents[1] / "cases" / "where.json").read_text(encoding="utf-8")
    )
}

# As the specification of the language lists them.
OF_VALUES = [
    "$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$exists", "$type", "$mod", "$size",
    "$regex", "$like", "$iLike",
]  # fmt: skip
OF_CONDITIONS = ["$and", "$or", "$nor", "$not"]
OF_OTHERS = ["$all", "$elemMatch", "$options", "$filters"]
FILTERS = [
    "==", "!=", ">", ">=", "<", "<=", "contains", "empty", "notempty", "between", "oneof",
    "dateis", "datebefore", "dateafter", "datebetween",
]  # fmt: skip
# What rules use, and what `{}` means under a column: no client writes them.
INTERNAL = {"contains", "anything"}
ALL = [*OF_VALUES, *OF_CONDITIONS, *OF_OTHERS, *(f"$filters {name}" for name in FILTERS)]


def test_nothing_else_is_in_the_table() -> None:
    rows = {*OF_VALUES, *(f"$filters {name}" for name in FILTERS)}
    assert set(OPERATORS) == rows | INTERNAL
    assert set(LOGICAL) == set(OF_CONDITIONS)
    assert set(COMPOSED) == set(OF_OTHERS)
    assert {name for name, row in OPERATORS.items() if row.public} == set(OF_VALUES)
    assert all(name == row.name for name, row in OPERATORS.items())


def test_no_client_can_write_what_is_internal() -> None:
    for name in [*INTERNAL, *(f"$filters {name}" for name in FILTERS)]:
        node = parse_where({"a": {name: 1}}) if name[0] != "$" else None
        # A plain key is an object's key: the value is asked to equal that object.
        assert node is None or (isinstance(node, Field) and node.op == "$eq")
        if name[0] == "$":
            with pytest.raises(Exception, match="is not an operator"):
                parse_where({"a": {name: 1}})


def wheres(name: str) -> list[Any]:
    """The wheres of an operator's cases that are taken."""
    return [case["where"] for case in CASES[name] if "finds" in case]


def uses(node: Node, name: str) -> bool:
    return any(field.op == name for field in fields(node) if isinstance(field, Field))


@pytest.mark.parametrize("name", ALL)
def test_every_operator_has_cases(name: str) -> None:
    assert len(CASES[name]) >= 5 and len(wheres(name)) >= 3
    key, _, condition = name.partition(" ")
    # `$eq` is also what a plain value means.
    written = [where for where in wheres(name) if f'"{key}"' in json.dumps(where)]
    assert len(written) >= (3 if name != "$eq" else 2)
    if condition:
        assert all(f'"condition": "{condition}"' in json.dumps(where) for where in written)
    answers = {tuple(case.get("finds", [])) for case in CASES[name]}
    assert len(answers) > 1


@pytest.mark.parametrize("name", ALL)
def test_every_operator_has_a_meaning_in_memory_and_on_both_databases(name: str) -> None:
    nodes = [parse_where(where) for where in wheres(name)]
    for node in nodes:
        assert matches(node, {}) in (True, False)
        for dialect in (SQLITE, POSTGRESQL):
            sql = where_sql(node, dialect)
            assert isinstance(sql, Sql) and sql.text.count("%s") == len(sql.params)
    if name in OPERATORS:
        row = OPERATORS[name]
        operands = [
            field.operand
            for node in nodes
            for field in fields(node)
            if isinstance(field, Field) and field.op == name
        ]
        assert operands
        for operand in operands:
            assert row.holds(MISSING, operand) in (True, False)
            for sql in (row.as_sqlite(operand), row.as_postgresql(operand)):
                assert sql.text.count("%s") == len(sql.params)


def test_composed_operators_become_nodes() -> None:
    assert isinstance(parse_where({"a": {"$all": [1]}}), Composite)
    assert isinstance(parse_where({"a": {"$elemMatch": {}}}), ElemMatch)
    assert uses(
        parse_where({"$filters": [{"column": "a", "condition": "empty"}]}), "$filters empty"
    )


# -- the documentation


def table(head: str) -> list[str]:
    """The lines of the page's table with this head."""
    found = re.search(rf"^\| {re.escape(head)} \|\n\|[-|]+\|\n((?:\|.*\|\n)+)", PAGE, re.M)
    assert found, head
    return found[1].splitlines()


def first_cells(head: str) -> list[str]:
    return [name for row in table(head) for name in re.findall(r"`([^`]+)`", row.split(" | ")[0])]


def test_every_operator_has_its_line_in_the_documentation() -> None:
    named = first_cells("Operator | Takes | Holds where")
    assert sorted(named) == sorted([*OF_VALUES, *OF_CONDITIONS, *OF_OTHERS])
    assert sorted(first_cells("Condition | Takes | Holds for")) == sorted(FILTERS)


@pytest.mark.parametrize("name", ALL)
def test_every_operator_has_an_example_in_the_documentation(name: str) -> None:
    examples = "".join(re.findall(r"^\| where \| finds \|\n\|[-|]+\|\n((?:\|.*\|\n)+)", PAGE, re.M))
    key, _, condition = name.partition(" ")
    assert (f'"condition": "{condition}"' if condition else f'"{key}"') in examples


def test_every_difference_from_sift_has_its_line_in_the_documentation() -> None:
    lines = table("Difference | Example | In sift | Here | Why")
    assert lines == [line(difference) for difference in DIFFERENCES]


def test_limits_are_as_the_documentation_says() -> None:
    from rowkeeper.datasources.query.regex import compile as regex
    from rowkeeper.datasources.query.regex import cost
    from rowkeeper.datasources.query.where import limits, parse

    told = re.sub(r"(?<=\d),(?=\d)", "", PAGE)
    for number, words in (
        (parse.MAX_DEPTH, "at most {} deep"),
        (parse.MAX_PATH, "at most {} keys"),
        (limits.MAX_CONDITIONS, "at most {} conditions"),
        (limits.MAX_OPERATORS, "at most {} logical operators"),
        (limits.MAX_NAMES, "at most {} columns and paths"),
        (limits.MAX_PATTERNS, "at most {} together"),
        (limits.A_PATTERN, "and {} for itself;"),
        (regex.MAX_LENGTH, "at most {} characters"),
        (regex.MAX_REPEAT, "at most {} times"),
        (cost.MAX_SIZE, "at most {} in all"),
    ):
        assert words.format(number) in told, words
