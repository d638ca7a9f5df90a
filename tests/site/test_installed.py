"""Where the code comes from that the tests run."""

from __future__ import annotations

import os
import pkgutil
import sysconfig
from importlib.util import find_spec
from pathlib import Path

import rowkeeper

APPS = ("accounts", "datasources", "rules")


def test_every_module_is_from_one_place() -> None:
    """With `ROWKEEPER_TEST_WHEEL=1` the installed wheel, otherwise the checkout."""
    root = Path(__file__).parents[2]
    if os.environ.get("ROWKEEPER_TEST_WHEEL"):
        root = Path(sysconfig.get_path("purelib"))
    found = [name for _, name, _ in pkgutil.walk_packages(rowkeeper.__path__, "rowkeeper.")]
    assert len(found) > 300 and {name.split(".")[1] for name in found} == set(APPS)
    for name in found:
        spec = find_spec(name)
        assert spec is not None and spec.origin is not None
        assert Path(spec.origin).resolve().is_relative_to(root.resolve()), spec.origin
