"""Texts with backquotes as HTML: names and values in backquotes become code."""

from __future__ import annotations

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

_WORDS, _CODE = "<bdi>{}</bdi>", "<code><bdi>{}</bdi></code>"


def code_spans(text: str) -> SafeString:
    """Return a line as HTML; a name or value between two backquotes is shown as code."""
    *parts, last = text.split("`")
    # A backquote without a partner is shown as a backquote.
    if len(parts) % 2:
        parts[-1:], last = [], f"{parts[-1]}`{last}"
    marked = [(_CODE if at % 2 else _WORDS, part) for at, part in enumerate([*parts, last])]
    made = [(format_html(form, part),) for form, part in marked if part]
    return format_html_join("", "{}", made)
