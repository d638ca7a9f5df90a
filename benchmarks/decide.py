"""How long a decision takes: the two example lists of rules, every case, medians in microseconds.

python -m benchmarks.decide
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rowkeeper.accounts.identity import ANONYMOUS, Identity
from rowkeeper.datasources.query.where import parse_where
from rowkeeper.rules.engine.decide import (
    Ruleset,
    compile_rules,
    decide_delete,
    decide_insert,
    decide_select,
    decide_update,
)
from rowkeeper.rules.engine.requests import Change, EntryRequest, Insert, QueryRequest, Update

CASES = Path(__file__).parent.parent / "tests" / "cases"
ROUNDS, CALLS = 200, 100


def call_of(example: dict[str, Any], ruleset: Ruleset, case: dict[str, Any]) -> Callable[[], Any]:
    """The decision of a case, with everything that is no decision done before."""
    identity = Identity(user=example["users"][case["as"]]) if case["as"] else ANONYMOUS
    rows = {row["Email"]: row for row in example["entries"]}
    if case["operation"] == "find":
        query = QueryRequest(parse_where(case.get("where")))
        return lambda: decide_select(ruleset, identity, query)
    if case["operation"] == "insert":
        insert = Insert([case["data"]])
        return lambda: decide_insert(ruleset, identity, insert)
    if case["operation"] == "update":
        update = Update([Change(case["data"], rows[case["entry"]])])
        return lambda: decide_update(ruleset, identity, update)
    remove = EntryRequest([rows[case["entry"]]])
    return lambda: decide_delete(ruleset, identity, remove)


def median(call: Callable[[], Any]) -> float:
    """Microseconds of one call, the median over rounds."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(CALLS):
            call()
        times.append((time.perf_counter() - start) / CALLS * 1e6)
    return statistics.median(times)


def main() -> None:
    everything = []
    for name in ("employees", "staff"):
        example = json.loads((CASES / f"{name}.json").read_text())
        ruleset = compile_rules(example["rules"], example["columns"])
        print(f"{example['name']}: microseconds per decision")
        for case in example["cases"]:
            took = median(call_of(example, ruleset, case))
            everything.append(took)
            print(f"  {took:6.2f}  {case['name']}")
    print(f"median {statistics.median(everything):.2f}, slowest {max(everything):.2f}")


if __name__ == "__main__":
    main()
