"""What a process of the site does once, before its first request."""

from __future__ import annotations

import gc
import sys

from django.urls import get_resolver

from rowkeeper.rules.engine.templates import warm_up

# Seconds for which a thread that computes may keep the others of its process waiting. A request
# waits again after each of its reads and writes, some ten times; Python's own 5 ms make 50 ms then.
SWITCH_INTERVAL = 0.001


def settle() -> None:
    """Load all that answers requests, take it out of what Python's collector goes through, and let
    threads take turns more often.

    A request of many objects makes the collector look at everything there is, again and again:
    that is most of what a body of a hundred thousand of them takes.
    """
    sys.setswitchinterval(SWITCH_INTERVAL)
    # The addresses are loaded with the first request otherwise.
    _ = get_resolver().url_patterns
    warm_up()
    gc.collect()
    gc.freeze()
    # Python collects the oldest generation when it has grown by a quarter since it was last
    # collected. It is nearly empty here, so the next collections come soon. Requests need them:
    # they refer to themselves, and would keep their buffers in memory.
    gc.collect()
