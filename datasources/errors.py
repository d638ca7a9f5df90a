"""Failures below the HTTP layer. Each has a code; `rules.api.errors` maps it to a status."""

from __future__ import annotations

from typing import ClassVar


class Failure(Exception):
    """A failure that is reported to the caller: a `message` for people, a `code` for programs."""

    code: ClassVar[str] = "server.error"
    # The id that finds the request in the decision log, if it is logged.
    request_id: str = ""
    # The step of the request that failed, for the log only; clients never see it.
    step: str = ""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Malformed(Failure):
    """The request is not valid; the message names the place."""

    code = "request.invalid"


class NotJson(Malformed):
    """A text is not valid JSON, from `line` and `column` on, both counted from 1."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(message)
        self.line, self.column = line, column


class TooLarge(Failure):
    """The request, or a part of it, exceeds a size limit."""

    code = "request.size"


class NotFound(Failure):
    """The requested object does not exist, and the caller may know that."""

    code = "notfound"


class Busy(Failure):
    """There is no capacity at the moment; a later attempt can succeed."""

    code = "server.busy"


class Changed(Busy):
    """The data that a write was decided on has changed, so it has to be decided again."""

    def __init__(self) -> None:
        super().__init__("the data source was just changed; try again")


class AddressTaken(Failure):
    """A write would give two rows of a sign-in data source the same address."""

    code = "datasource.access"
