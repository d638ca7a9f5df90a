"""`limit` and `after` of `GET data-sources`: pages in the order of `id`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest

from rowkeeper.datasources.errors import Malformed
from rowkeeper.datasources.models import DataSource
from rowkeeper.datasources.values.validation import printable, whole_number

from .switches import only_value

# A page of more is as long as all data sources, and a database takes no greater number.
MAX_LIMIT = 2**31


@dataclass(frozen=True, slots=True)
class SourcePage:
    """At most `limit` data sources (None: all) whose ID is greater than `after`."""

    limit: int | None = None
    after: int = 0
    # Whether the request names one of the two.
    is_paged: bool = False

    @classmethod
    def of(cls, request: HttpRequest) -> SourcePage:
        """Read the query string. Raises `Malformed`."""
        limit, after = only_value(request, "limit"), only_value(request, "after")
        return cls(
            None if limit is None else min(_whole(limit, "limit"), MAX_LIMIT),
            _whole(after, "after") if after else 0,
            limit is not None or after is not None,
        )

    def read(self, sources: QuerySet[DataSource]) -> tuple[Sequence[DataSource], dict[str, Any]]:
        """The data sources of the page, and the `pagination` of the response, if it was requested.

        `sources` are in the order of `id`.
        """
        if not self.is_paged:
            return list(sources), {}
        if self.after:
            sources = sources.filter(pk__gt=self.after)
        if self.limit is None:
            found, following = list(sources), None
        else:
            # One more says whether there is another page.
            found = list(sources[: self.limit + 1])
            is_last = len(found) <= self.limit or not self.limit
            found = found[: self.limit]
            following = None if is_last else str(found[-1].pk)
        return found, {"pagination": {"limit": self.limit, "next": following}}


def _whole(text: str, name: str) -> int:
    found = whole_number(text)
    if found is None:
        raise Malformed(f"`{name}` must be a whole number from 0, not `{printable(text)}`")
    return found
