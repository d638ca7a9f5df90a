"""What a process of the site does once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_the_collector_has_little_to_go_through(interface: str) -> None:
    frozen, left, loaded = _printed(
        interface,
        "gc.get_freeze_count(), len(gc.get_objects()), "
        "'rowkeeper.rules.api.entries' in sys.modules",
    )
    assert int(frozen) > 50_000 and int(left) < 5_000 and loaded == "True"


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_a_thread_that_computes_soon_lets_others_go_on(interface: str) -> None:
    (seconds,) = _printed(interface, "sys.getswitchinterval()")
    assert float(seconds) <= 0.001


def test_what_refers_to_itself_is_collected_soon() -> None:
    """Else the buffers of requests, which do, would fill the memory."""
    code = """
from collections import deque
from project.wsgi import application

class Buffer(list):
    alive = most = 0

    def __init__(self):
        self.append(self)
        Buffer.alive += 1
        Buffer.most = max(Buffer.most, Buffer.alive)

    def __del__(self):
        Buffer.alive -= 1

under_way = deque(maxlen=300)
for _ in range(1_500_000):
    under_way.append(Buffer())
print(Buffer.most)
"""
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert int(run.stdout) < 15_000


def _printed(interface: str, values: str) -> list[str]:
    """The values, as a process of the site prints them before its first request."""
    code = f"import gc, sys; from project.{interface} import application; print({values})"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return run.stdout.split()
