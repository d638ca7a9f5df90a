"""Processor time of requests in this checkout, beside an earlier commit of it.

    python -m benchmarks.against COMMIT [--rounds 40] [--bound 1.05] [--cases NAME …]
                                 [--rows 20000] [--database postgres://…]

Two processes, one for each commit, have a database of their own each and answer the same requests
through the site's WSGI application, in turn: first the one, then the other, and in the next round
the other way about. It compares the processor time of these processes, on which other work of the
machine has little influence. The elapsed time, which includes the database's, is printed as well.
The table has medians of the rounds' ratios. The exit code is 1 where one of processor time is
beyond the bound.

The rules, people and rows are those of `benchmarks.http`, the commits those of `benchmarks.commit`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parent.parent


class Spent(NamedTuple):
    """What one request took: microseconds."""

    processor: float
    clock: float


class Side:
    """One of the commits, in a process of its own."""

    def __init__(self, checkout: Path, options: argparse.Namespace) -> None:
        self.process = subprocess.Popen(
            [
                sys.executable,
                str(Path(__file__).with_name("against_side.py")),
                str(options.rows),
                options.database,
            ],
            cwd=checkout,
            env={**os.environ, "PYTHONPATH": str(checkout), "PYTHONHASHSEED": "0"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def cases(self) -> dict[str, int]:
        """The requests' names, and how many of each make a turn. Waits for the database."""
        found: dict[str, int] = self._read()
        return found

    def spent(self, case: str, count: int) -> Spent:
        assert self.process.stdin
        self.process.stdin.write(f"{json.dumps([case, count])}\n")
        self.process.stdin.flush()
        return Spent(*self._read())

    def end(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()

    def _read(self) -> Any:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("one of the two processes has ended; its error stands above")
        return json.loads(line)


@contextmanager
def checkout(commit: str) -> Iterator[Path]:
    """The files of a commit, in a folder that is removed afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(
            ["git", "archive", commit], cwd=ROOT, check=True, stdout=subprocess.PIPE
        )
        subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
        yield Path(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("commit")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--bound", type=float, default=1.05)
    parser.add_argument("--cases", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--database", default="postgres://postgres@127.0.0.1:5432")
    options = parser.parse_args()
    with ExitStack() as stack:
        earlier = Side(stack.enter_context(checkout(options.commit)), options)
        stack.callback(earlier.end)
        now = Side(ROOT, options)
        stack.callback(now.end)
        cases = earlier.cases()
        now.cases()
        if unknown := set(options.cases) - set(cases):
            parser.error(f"no case is named {sorted(unknown)}; the names are {list(cases)}")
        chosen = options.cases or list(cases)
        print(f"{'':24}{'then':>9}{'now':>9}{'ratio':>7}  middle half{'by the clock':>14}")
        beyond = False
        for case in chosen:
            count = cases[case]
            for side in (earlier, now):
                side.spent(case, count)
            rounds = []
            for number in range(options.rounds):
                if number % 2:
                    second, first = now.spent(case, count), earlier.spent(case, count)
                else:
                    first, second = earlier.spent(case, count), now.spent(case, count)
                rounds.append((first, second))
            then, today = (
                statistics.median(each.processor for each in side)
                for side in zip(*rounds, strict=True)
            )
            ratios = [b.processor / a.processor for a, b in rounds]
            low, ratio, high = statistics.quantiles(ratios, method="inclusive")
            clock = statistics.median(b.clock / a.clock for a, b in rounds)
            beyond |= ratio > options.bound
            print(
                f"{case:24}{then:9.0f}{today:9.0f}{ratio:7.3f}  {low:.3f}-{high:.3f}{clock:14.3f}",
                flush=True,
            )
        print(f"microseconds of processor time, {options.rounds} rounds; bound {options.bound}")
    sys.exit(1 if beyond else 0)


if __name__ == "__main__":
    main()
