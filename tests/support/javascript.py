"""Asking JavaScript, for the tests: sift, and JavaScript's own regular expressions.

Node is needed, and npm once, to install what `tests/sift/package.json` names. Where node is not
there, the tests that ask are skipped; in continuous integration (`CI=true`) they fail.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import pytest

HOME = Path(__file__).parents[1] / "sift"
VERSION = json.loads((HOME / "package.json").read_text(encoding="utf-8"))["dependencies"]["sift"]


def sift(batches: list[dict[str, Any]]) -> list[list[list[int] | str]]:
    """For each batch of `rows` and `wheres`, and each where: the numbers of the rows that sift
    finds, or the message with which it refuses. One process for all of them.
    """
    _installed()
    found: list[list[list[int] | str]] = _answer("answer.mjs", batches)
    return found


def regexps(patterns: list[dict[str, Any]]) -> list[list[bool] | str]:
    """For each `source` with its `flags`: in which of its `texts` it is found, or a refusal."""
    found: list[list[bool] | str] = _answer("regexp.mjs", patterns)
    return found


def _answer(script: str, asked: Any) -> Any:
    done = subprocess.run(
        [_node(), script],
        cwd=HOME,
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@cache
def _node() -> str:
    return shutil.which("node") or _absent("node is not installed")


@cache
def _installed() -> None:
    """Install sift, once, though several processes may ask for it."""
    _node()
    with (HOME / "package.json").open(encoding="utf-8") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if _found_version() == VERSION:
            return
        npm = shutil.which("npm") or _absent("npm is not installed")
        done = subprocess.run(
            [npm, "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"],
            cwd=HOME,
            capture_output=True,
            text=True,
            timeout=300,
        )
        if _found_version() != VERSION:
            _absent(f"sift {VERSION} could not be installed: {done.stderr.strip()}")


def _found_version() -> str | None:
    package = HOME / "node_modules" / "sift" / "package.json"
    if not package.exists():
        return None
    version: str = json.loads(package.read_text(encoding="utf-8"))["version"]
    return version


def _absent(why: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(f"{why}: what JavaScript says is not compared")
