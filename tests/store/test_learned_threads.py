"""The memory of queries while several threads use it."""

from __future__ import annotations

from collections import OrderedDict
from threading import Thread
from typing import Any

import pytest

from rowkeeper.datasources.store import statistics


def test_a_full_memory_takes_values_of_two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "MAX_KEPT", 1)
    memory: statistics.Memory[int] = statistics.Memory()
    threads: list[Thread] = []

    class Meeting(OrderedDict[Any, Any]):
        """Lets another thread put a key just after the first one has stored its own."""

        def __setitem__(self, key: Any, value: Any) -> None:
            super().__setitem__(key, value)
            if not threads:
                threads.append(Thread(target=memory.put, args=(("other",), 2)))
                threads[0].start()
                threads[0].join(0.3)

    memory._kept = Meeting()
    memory.put(("own",), 1)
    threads[0].join()
    assert len(memory) == 1 and memory.get(("other",)) == (2, False)
