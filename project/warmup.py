"""Steps of a process of the site before its first request."""

from __future__ import annotations

import gc
import sys

from django.urls import get_resolver

from rowkeeper.rules.engine.templates import warm_up

# The seconds after which a computing thread lets others of its process run. A request waits for
# that after each of its reads and writes, about ten times; Python's default of 5 ms would add up to
# 50 ms.
SWITCH_INTERVAL = 0.001


def prepare_process() -> None:
    """Import all code that answers requests, and exempt existing objects from garbage collection.

    Also lets threads switch more often.

    A request with many objects makes the collector scan all objects again and again, which is most
    of the time for a body of a hundred thousand objects.
    """
    sys.setswitchinterval(SWITCH_INTERVAL)
    # Otherwise, the URLs would be loaded by the first request.
    _ = get_resolver().url_patterns
    warm_up()
    gc.collect()
    gc.freeze()
    # Python collects the oldest generation when it has grown by a quarter since its last
    # collection. It is nearly empty now, so that the next collections come soon. Requests need
    # them, since request objects refer to themselves and would keep their buffers in memory.
    gc.collect()
