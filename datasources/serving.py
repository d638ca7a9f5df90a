"""What happens before and after each request of the site: one receiver for each of the two signals.

Django calls receivers in Python, and each one costs every request.
"""

from __future__ import annotations

from typing import Any

from .health import replace_broken
from .indexing.wanted import wake
from .waiting import begin, end


def started(environ: Any = None, **kwargs: object) -> None:
    """Receives `request_started`."""
    replace_broken()
    begin(environ)


def finished(**kwargs: object) -> None:
    """Receives `request_finished`."""
    end()
    wake()
