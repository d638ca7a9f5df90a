"""Responses with entries: in one piece if they are one page, streamed if they are more."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import cast
from weakref import finalize

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse

from rowkeeper.accounts.authentication import caller_now
from rowkeeper.accounts.client import client_address, network_of, site_of
from rowkeeper.accounts.errors import LoginRequired
from rowkeeper.datasources.catalog import registry
from rowkeeper.datasources.catalog.registry import SourceJoin
from rowkeeper.datasources.database.waiting import give, take, threads
from rowkeeper.datasources.errors import Busy
from rowkeeper.datasources.query.select import Projection
from rowkeeper.datasources.query.where import Node
from rowkeeper.datasources.store import PAGE, release_connection

from ..access.guard import Denied, Guard, guard_of
from ..engine.decide import Decision
from ..engine.requests import QueryRequest
from .base import text_answer

# A thread sends a long answer for as long as its client takes to read it.
SENDING = "send"
CHANGED = "the access to this data has just changed; send the request again"


class Streamed(StreamingHttpResponse):
    """JSON text that is sent while it is read, under ASGI as well. Django would read all of a
    synchronous iterator into memory first.
    """

    # Gives back one of the turns of long answers, once.
    sending: finalize[..., Streamed] | None = None

    def close(self) -> None:
        """Release resources. Called by the server after the response, or if the client has gone."""
        if self.sending is not None:
            self.sending()
        super().close()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        parts = cast(Iterator[bytes], self.streaming_content)

        def following() -> bytes | None:
            return next(parts, None)

        while (part := await sync_to_async(following)()) is not None:
            yield part


@dataclass(slots=True)
class Grant:
    """The authorization behind a streamed response, which is checked again before each page."""

    request: HttpRequest
    guard: Guard
    query: QueryRequest
    decision: Decision

    def again(self) -> tuple[Node, Projection]:
        """The where and the columns of the next page. Scripts decide for each page, because the
        data that they look up can change while the rules do not.

        Raises `Busy` if they no longer grant.
        """
        if self.guard.ruleset.has_scripts:
            guard = guard_of(self.guard.reference, self.guard.source, self.guard.identity)
            try:
                self.decision = guard.select(self.query)
            except (Denied, LoginRequired):
                raise Busy(CHANGED) from None
        return self.decision.where(self.query.where), self.decision.shown

    def shares(self) -> dict[object, int]:
        """The turns that a long response takes: one of all, one of the data source and one of the
        client's network, so that no client and no data source can take all of them. The /48
        around the network, which can be one client or many, has three quarters.
        """
        source, most = self.guard.source, max(1, threads() // 2)
        assert source is not None
        address = client_address(self.request)
        part = max(1, most // 2)
        shares: dict[object, int] = {
            SENDING: most,
            (SENDING, source.id): part,
            (SENDING, network_of(address)): part,
        }
        site = site_of(address)
        if site is not None:
            shares[SENDING, site] = max(1, most * 3 // 4)
        return shares

    def holds(self) -> bool:
        """Whether the request would still be granted. The rules are evaluated again only if they or
        the columns have changed.
        """
        source = self.guard.source
        assert source is not None
        caller = caller_now(self.request, SourceJoin(source.id, "id"))
        if caller is None or caller.identity != self.guard.identity:
            return False
        now = registry.find(source.id) if caller.source_join is None else caller.source
        if now is None or now.key == source.key:
            return now is not None
        guard = guard_of(self.guard.reference, now, self.guard.identity)
        try:
            decision = guard.select(self.query)
        except (Denied, LoginRequired):
            return False
        where, then = self.query.where, self.decision
        if (decision.where(where), decision.shown) != (then.where(where), then.shown):
            return False
        self.guard = guard
        return True


def always() -> bool:
    """An iterator for a response that nobody waits for."""
    return True


def entries_answer(
    pages: Iterator[list[str]], grant: Grant | None = None
) -> HttpResponse | Streamed:
    """Stream `{"entries": [...]}` from the pages of `store.pages`.

    The first page is read before the response begins, so that an error can be returned instead.
    Each further page is sent only if `grant` is still valid. Raises the exceptions of the read, and
    `Busy` for too many long responses.
    """
    first = next(pages)
    if len(first) < PAGE:
        return text_answer(f'{{"entries":[{",".join(first)}]}}')
    if grant is None:
        return Streamed(_joined(first, pages, always), content_type="application/json")
    shares = grant.shares()
    take(shares, "too many long responses are being sent at once")
    response = Streamed(_joined(first, pages, grant.holds), content_type="application/json")
    response.sending = finalize(response, give, shares)
    return response


def _joined(
    first: list[str], pages: Iterator[list[str]], holds: Callable[[], bool]
) -> Iterator[str]:
    # A client may read slowly: its database connection is released in the meantime.
    release_connection()
    yield '{"entries":[' + ",".join(first)
    for page in pages:
        # Checked after the page was read, so that nothing can change in between.
        if not holds():
            raise Busy(CHANGED)
        release_connection()
        if page:
            yield "," + ",".join(page)
    yield "]}"
