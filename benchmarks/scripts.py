"""What a script rule costs: warm, with a look-up, two at once, with a worker yet to begin.

python -m benchmarks.scripts [--rounds 5000] [--hostile]

`--hostile` runs every hostile script of the tests under the limits as they are delivered.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
django.setup()

from rowkeeper.rules.sandbox import check, run  # noqa: E402
from rowkeeper.rules.sandbox.protocol import ScriptCall, ScriptVerdict  # noqa: E402
from rowkeeper.rules.sandbox.runner import close_pool  # noqa: E402

CASES = Path(__file__).parent.parent / "tests" / "cases" / "hostile_scripts.json"
USER = {"Email": "bob@acme.com", "First Name": "Bob", "Office": "London", "Role": "User"}
PLAIN = """
if not user:
    return {"granted": False}
if type == "select":
    query.Office = user.Office
    return {"granted": True, "exclude": ["Phone", "NextOfKin"]}
"""
LOOKING_UP = """
manager = DataSources("Managers").find_one(where={"Office": user.Office, "Email": user.Email})
return {"granted": bool(manager) and manager.data.Active == True}
"""
BUSY = """
total = 0
for number in range(300000):
    total += number % 7
return {"granted": total > 0}
"""


class InMemory:
    """Look-ups that cost nothing, so that the way there and back is what is measured; but those
    of the hostile scripts that are there to take their time.
    """

    def find(self, reference: int | str, *asked: Any) -> list[dict[str, Any]]:
        time.sleep({"slow": 0.1, "asleep": 3.0}.get(str(reference), 0))
        return [{"id": 1, "data": {"Email": "bob@acme.com", "Active": True}}]

    def count(self, *asked: Any) -> int:
        return 1


def ask(script: str, **parts: Any) -> ScriptVerdict:
    call = {"operation": "select", "user": USER, "query": {"Name": "x"}, **parts}
    return run(ScriptCall(script, **call), InMemory())


def milliseconds(script: str) -> float:
    start = time.perf_counter()
    verdict = ask(script)
    took = (time.perf_counter() - start) * 1_000
    assert verdict.granted, verdict
    return took


def spread(script: str, rounds: int) -> str:
    for _ in range(50):
        milliseconds(script)
    took = sorted(milliseconds(script) for _ in range(rounds))
    return f"p50 {took[rounds // 2]:.2f} ms, p99 {took[rounds * 99 // 100]:.2f} ms"


def two_at_once() -> str:
    """One long script alone, and two of them together, in turn."""
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(milliseconds, [BUSY] * 4))
        ratios, alone = [], []
        for _ in range(9):
            alone.append(milliseconds(BUSY))
            start = time.perf_counter()
            list(threads.map(milliseconds, [BUSY] * 2))
            ratios.append((time.perf_counter() - start) * 1_000 / alone[-1])
    ratio = statistics.median(ratios)
    return f"{ratio:.2f} times one ({statistics.median(alone):.0f} ms), least {min(ratios):.2f}"


def cold() -> str:
    """A script that has to wait for the first worker of the process."""
    took = []
    for _ in range(9):
        close_pool()
        took.append(milliseconds(PLAIN))
    return f"median {statistics.median(took):.0f} ms, least {min(took):.0f} ms"


def hostile() -> None:
    slowest, granted = 0.0, 0
    cases = json.loads(CASES.read_text())
    for case in cases:
        start = time.perf_counter()
        check(case["script"])
        parts = {name: case[name] for name in ("operation", "query") if name in case}
        granted += ask(case["script"], **parts).granted
        slowest = max(slowest, time.perf_counter() - start)
        assert ask(PLAIN).granted
    assert not granted
    print(f"{len(cases)} hostile scripts: {granted} granted, the slowest ended in {slowest:.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5_000)
    parser.add_argument("--hostile", action="store_true")
    given = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f}")
    print(f"warm, no look-up:   {spread(PLAIN, given.rounds)}")
    print(f"warm, one look-up:  {spread(LOOKING_UP, given.rounds)}")
    print(f"two at once:        {two_at_once()}")
    print(f"a worker to begin:  {cold()}")
    if given.hostile:
        hostile()


if __name__ == "__main__":
    main()
