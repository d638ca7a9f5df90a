"""Scripts of a data source that have broken their limits recently, from the decision log."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from django.utils import timezone

from rowkeeper.datasources.models import DataSource

from ..engine.problems import Problem
from ..models import LoggedDecision

LATELY = timedelta(hours=1)
# The number of decisions, the latest ones, that are examined.
LOOKED_AT = 300


def over_limit(data_source: DataSource) -> list[Problem]:
    """A problem for each rule whose script broke a limit within the last hour."""
    rows = LoggedDecision.objects.filter(data_source=data_source).order_by("-pk")
    recent = rows.values_list("at", "status", "trace")[:LOOKED_AT]
    since = timezone.now() - LATELY
    found: Counter[int] = Counter()
    for at, status, trace in recent:
        if at >= since and status >= 400:
            found.update(line[0] for line in trace if line[2] == "script-limit")
    return [
        Problem(position, "script", _text(times), "script-over-limit", "warning")
        for position, times in sorted(found.items())
    ]


def _text(times: int) -> str:
    return (
        f"broke a limit of scripts {'once' if times == 1 else f'{times} times'} within the last "
        "hour, such as the time limit; a script that does so repeatedly runs after all others, "
        "and its requests are answered with 503 while the workers are busy"
    )
