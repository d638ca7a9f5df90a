"""Failures below HTTP. Each has a code; `rules.api.errors` gives it a status."""

from __future__ import annotations

from typing import ClassVar


class Failure(Exception):
    """Something that a caller is told about: a `message` for people, a `code` for programs."""

    code: ClassVar[str] = "server.error"
    # What finds the request in the decision log, where it is there.
    request_id: str = ""
    # What of the request failed, for the log only: the client is never told.
    step: str = ""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Malformed(Failure):
    """The request cannot be read as what it claims to be; the message names the place."""

    code = "request.invalid"


class NotJson(Malformed):
    """A text is no JSON from `line` and `column` on, both from 1."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(message)
        self.line, self.column = line, column


class TooLarge(Failure):
    """The request, or a part of it, is over a limit of size."""

    code = "request.size"


class NotFound(Failure):
    """What was asked for does not exist, and the caller may know that."""

    code = "notfound"


class Busy(Failure):
    """There is no capacity just now; trying again later will help."""

    code = "server.busy"


class Changed(Busy):
    """What a write was decided on has changed before the write: it has to be decided again."""

    def __init__(self) -> None:
        super().__init__("the data source has just been changed; try again")


class AddressTaken(Failure):
    """A write would give two rows of a sign-in data source the same address."""

    code = "datasource.access"
