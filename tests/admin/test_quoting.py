"""What the project says in backquotes is code on a page, and nothing that was written is HTML."""

from __future__ import annotations

import pytest

from rowkeeper.datasources.admin.markup import code_spans


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("", ""),
        ("all of them", "<bdi>all of them</bdi>"),
        ("`Salary`", "<code><bdi>Salary</bdi></code>"),
        ("has `a`", "<bdi>has </bdi><code><bdi>a</bdi></code>"),
        ("one ` alone", "<bdi>one ` alone</bdi>"),
        ("`a` and ` alone", "<code><bdi>a</bdi></code><bdi> and ` alone</bdi>"),
        ("`<b>` & <i>", "<code><bdi>&lt;b&gt;</bdi></code><bdi> &amp; &lt;i&gt;</bdi>"),
    ],
)
def test_backquotes_become_code(text: str, html: str) -> None:
    assert code_spans(text) == html
