"""What a process of the site does once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_the_collector_has_little_to_go_through(interface: str) -> None:
    code = (
        f"import gc, sys; from project.{interface} import application;"
        "print(gc.get_freeze_count(), len(gc.get_objects()), 'rules.api.entries' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    frozen, left, loaded = run.stdout.split()
    assert int(frozen) > 50_000 and int(left) < 5_000 and loaded == "True"
