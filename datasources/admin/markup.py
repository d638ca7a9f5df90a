"""What the project says in backquotes, as HTML: names and values are code, the rest is words."""

from __future__ import annotations

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

_WORDS, _CODE = "<bdi>{}</bdi>", "<code><bdi>{}</bdi></code>"


def code_spans(text: str) -> SafeString:
    """A line for a page: between two backquotes stands a name, or a value that was written."""
    *parts, last = text.split("`")
    # A backquote without another one is a backquote.
    if len(parts) % 2:
        parts[-1:], last = [], f"{parts[-1]}`{last}"
    told = [(_CODE if at % 2 else _WORDS, part) for at, part in enumerate([*parts, last])]
    made = [(format_html(form, part),) for form, part in told if part]
    return format_html_join("", "{}", made)
