"""The indexes of a data source, as the admin shows them."""

from __future__ import annotations

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from ..database.connection import features
from ..indexes.advice import RECENT_DAYS, advice
from ..indexes.status import statuses
from ..models import DataSource


def index_states(source: DataSource) -> SafeString:
    """Return a list of the marked columns with their states, and a list of useful indexes."""
    return format_html("{}{}", _states(source), _advice(source))


def _states(source: DataSource) -> SafeString:
    found = statuses(source)
    if not found:
        equality = " Tests for equality can use an index for every column anyway."
        also = equality if features().has_whole_row_index else ""
        return format_html("<p>No column is marked.{}</p>", also)
    rows = format_html_join(
        "",
        '<li class="rowkeeper-index rowkeeper-index-{}"><bdi>{}</bdi>: {}</li>',
        ((status.state, status.column, str(status)) for status in found),
    )
    unready = any(status.state != "ready" for status in found)
    hint = (
        format_html(
            "<p>Builds take a while: reload this page to see the current state. To retry a "
            "failed build, save the data source or run <code>manage.py indexes {} "
            "--build</code>.</p>",
            source.pk,
        )
        if unready
        else ""
    )
    return format_html('<ul class="rowkeeper-indexes">{}</ul>{}', rows, hint)


def _advice(source: DataSource) -> SafeString:
    found = advice(source)[:10]
    if not found:
        return SafeString("")
    rows = format_html_join(
        "",
        "<li><bdi>{}</bdi>: {}</li>",
        ((column, ", ".join(f"{kind} ({n})" for kind, n in kinds)) for column, kinds in found),
    )
    return format_html(
        "<p>Indexes that would have helped queries of the last {} days:</p><ul "
        'class="rowkeeper-indexes">{}</ul>',
        RECENT_DAYS,
        rows,
    )
