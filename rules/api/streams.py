"""Entries as an answer: at once where they are one page, and streamed where they are more."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import cast

from asgiref.sync import sync_to_async
from django.http import HttpResponse, StreamingHttpResponse

from datasources.store import PAGE

from .base import text_answer


class Streamed(StreamingHttpResponse):
    """JSON text, sent as it is read, under ASGI as well: Django would hold all of it there first,
    as what is read comes from an iterator that waits.
    """

    async def __aiter__(self) -> AsyncIterator[bytes]:
        parts = cast(Iterator[bytes], self.streaming_content)

        def following() -> bytes | None:
            return next(parts, None)

        while (part := await sync_to_async(following)()) is not None:
            yield part


def entries_answer(pages: Iterator[list[str]]) -> HttpResponse | Streamed:
    """`{"entries": [...]}` of the pages of `store.pages`. The first one is read before there is an
    answer, so that what is wrong with the whole is told in its place. Raises what reading raises.
    """
    first = next(pages)
    if len(first) < PAGE:
        return text_answer(f'{{"entries":[{",".join(first)}]}}')
    return Streamed(_joined(first, pages), content_type="application/json")


def _joined(first: list[str], pages: Iterator[list[str]]) -> Iterator[str]:
    yield '{"entries":[' + ",".join(first)
    for page in pages:
        if page:
            yield "," + ",".join(page)
    yield "]}"
