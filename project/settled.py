"""What a process of the site does once, before its first request."""

from __future__ import annotations

import gc

from django.urls import get_resolver

from rules.engine.templates import warm_up


def settle() -> None:
    """Load all that answers requests, and take it out of what Python's collector goes through.

    A request of many objects makes the collector look at everything there is, again and again:
    that is most of what a body of a hundred thousand of them takes.
    """
    # The addresses are loaded with the first request otherwise.
    _ = get_resolver().url_patterns
    warm_up()
    gc.collect()
    gc.freeze()
