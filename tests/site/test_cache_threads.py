"""A cache while several threads use it."""

from __future__ import annotations

from collections import OrderedDict
from threading import Thread
from typing import Any

from rowkeeper.datasources.caching import Cache


def test_a_full_cache_takes_values_of_two_threads() -> None:
    cache: Cache[str, int] = Cache("", 1)
    threads: list[Thread] = []

    class Meeting(OrderedDict[Any, Any]):
        """Lets another thread put a key just after the first one has stored its own."""

        def __setitem__(self, key: Any, value: Any) -> None:
            super().__setitem__(key, value)
            if not threads:
                threads.append(Thread(target=cache.put, args=("other", 2)))
                threads[0].start()
                threads[0].join(0.3)

    cache._values = Meeting()
    cache.put("own", 1)
    threads[0].join()
    assert len(cache) == 1 and cache.get("other") == 2
