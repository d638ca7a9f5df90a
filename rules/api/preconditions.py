"""`ETag` and `If-Match`: a write that requires a certain state of an entry or a data source."""

from __future__ import annotations

import re
from dataclasses import dataclass

from django.http import HttpRequest, HttpResponseBase

from rowkeeper.datasources.errors import Failure, Malformed

# RFC 9110: the characters of a tag. A weak tag counts as a strong one: proxies that compress an
# answer make its tag weak, and the tag says nothing about the bytes of an answer here.
_TAG = re.compile(r'(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_LIST = re.compile(rf"\s*{_TAG.pattern}\s*(?:,\s*{_TAG.pattern}\s*)*\Z")


class PreconditionFailed(Failure):
    """The state in `If-Match` is not the stored one."""

    code = "request.precondition"


@dataclass(frozen=True, slots=True)
class Precondition:
    """The `If-Match` of a request. `tags` is None if there is none, or if it is `*`."""

    tags: frozenset[str] | None = None

    @classmethod
    def of(cls, request: HttpRequest) -> Precondition:
        """Read the header. Raises `Malformed` if it is not a list of entity tags."""
        text = request.META.get("HTTP_IF_MATCH")
        if text is None or text.strip() == "*":
            return cls()
        if not _LIST.match(text):
            raise Malformed('`If-Match` must be `*` or a list of entity tags, such as `"5f3a"`')
        return cls(frozenset(_TAG.findall(text)))

    def check(self, tag: str) -> None:
        """Raise `PreconditionFailed` unless `If-Match` contains the tag of the stored state.

        Call it under the lock of the write, after the write is granted.
        """
        if self.tags is not None and tag not in self.tags:
            raise PreconditionFailed(
                "this was changed after you read it, so nothing was written: read it again, "
                "and send its new `ETag` as `If-Match`"
            )


def refuse_precondition(request: HttpRequest) -> None:
    """Reject `If-Match` for a write that does not concern one stored entry or data source.

    Raises `Malformed` if the request has `If-Match`, which would otherwise have no effect.
    """
    if "HTTP_IF_MATCH" in request.META:
        raise Malformed(
            "`If-Match` is only supported for the PUT and DELETE of one entry or one data source"
        )


def with_tag(response: HttpResponseBase, tag: str) -> HttpResponseBase:
    """The response with its `ETag`."""
    response["ETag"] = f'"{tag}"'
    return response
