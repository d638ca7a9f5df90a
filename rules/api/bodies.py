"""Read a request into values: its media type, its size, its JSON, its data source."""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import sha256
from io import BytesIO
from typing import Any

from django.http import HttpRequest, QueryDict
from django.http.multipartparser import MultiPartParser, MultiPartParserError
from django.utils.datastructures import MultiValueDict

from rowkeeper.accounts.authentication import read_again
from rowkeeper.accounts.identity import Identity
from rowkeeper.accounts.providers.django_user import is_read
from rowkeeper.datasources.conf import setting
from rowkeeper.datasources.errors import Malformed, TooLarge
from rowkeeper.datasources.values.bulk import Limits, loads_bulk
from rowkeeper.datasources.values.codec import loads
from rowkeeper.datasources.values.validation import MAX_COLUMNS, printable

from ..access.parsing import entry_id_of, row_of
from .errors import WrongMedia
from .parsing_turns import in_turn
from .switches import QUERY_SWITCHES, names_switch

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
# The cached body, for further reads.
_READ, _PARSED = "_rowkeeper_body", "_rowkeeper_parsed_body"
# The digest of a body that is parsed while it arrives, and not kept in memory.
_DIGEST = "_rowkeeper_body_digest"
# The header that makes a request happen once: only then is the digest of its body asked for.
IDEMPOTENCY_KEY = "HTTP_IDEMPOTENCY_KEY"
# The longest body of a query, in bytes, whose plan is made before the credential is looked up. A
# longer one is hardly a select of a few entries, and would take its time to be parsed twice.
MAX_REPEATABLE = 8_192
# The limit of parameters in a header of a form part, including `name`.
_MAX_PARAMETERS = 20


def is_large(request: HttpRequest) -> bool:
    """Whether the body is longer than the limit for requests that are not bulk writes."""
    limit: int = setting("MAX_BODY")
    return _length(request) > limit


def receive(request: HttpRequest) -> None:
    """Read the body of a POST or PUT, unless it is over the limit for requests that are not bulk
    writes.

    This comes before the caller is identified, because a client can take its time to send a body,
    and lose a permission in the meantime. The functions that parse the body report what is wrong
    with it.
    """
    if _READ in request.__dict__ or request.method not in ("POST", "PUT"):
        return
    limit: int = setting("MAX_BODY")
    if not 0 < _length(request) <= limit:
        return
    # A middleware may have asked who is signed in to the site before the body was there.
    is_identified = "user" in request.__dict__ and is_read(request)
    request.__dict__[_READ] = request.read(limit + 1)
    if is_identified:
        read_again(request)


def release(request: HttpRequest) -> None:
    """Drop the body of a request that is answered.

    Django's request refers to itself, for example by its messages. It stays in memory until the
    next garbage collection, which is rare after `gc.freeze`.
    """
    for name in (_READ, _PARSED, _DIGEST):
        request.__dict__.pop(name, None)


def digest_of_body(request: HttpRequest) -> bytes:
    """The SHA-256 digest of the complete body, or of an empty one if the body was not read."""
    streamed: Any = request.__dict__.get(_DIGEST)
    if streamed is not None:
        return bytes(streamed.digest())
    return sha256(request.__dict__.get(_READ, b"")).digest()


def _length(request: HttpRequest) -> int:
    """The length of the body according to its header, or 0 if there is none."""
    length = str(request.META.get("CONTENT_LENGTH") or "")
    return int(length[:30]) if length.isascii() and length.isdigit() else 0


def json_bytes(request: HttpRequest) -> bytes:
    """The body of a JSON request, as bytes. Raises `WrongMedia` and `TooLarge`."""
    return _read(request, (JSON,))


def json_body(request: HttpRequest) -> dict[str, Any]:
    """The body as a JSON object; an empty one is `{}`.

    Raises `WrongMedia`, `TooLarge` and `Malformed`.
    """
    return json_in(json_bytes(request))


def repeatable_body(request: HttpRequest) -> bytes | None:
    """The body of a query, if it is short and says everything that the client asks for.

    None if it is long, or if the query string has a switch. Raises as `json_bytes`.
    """
    if request.META.get("QUERY_STRING") and names_switch(request, QUERY_SWITCHES):
        return None
    data = json_bytes(request)
    return data if len(data) <= MAX_REPEATABLE else None


def json_in(data: bytes) -> dict[str, Any]:
    """A body as a JSON object; an empty one is `{}`. Raises `Malformed`."""
    return _object(loads(data) if data.strip() else {})


def bulk_body(request: HttpRequest, large: bool, identity: Identity) -> dict[str, Any]:
    """The body of a bulk write. `large`: whether it can be over the usual limit.

    Raises the exceptions of `json_body`, and `TooLarge` for more rows or values than the caller can
    send.
    """
    found: dict[str, Any] | None = request.__dict__.get(_PARSED)
    if found is None:
        limits = _limits(identity)
        if large:
            _check(request, (JSON,))
            if _length(request) > setting("MAX_BULK_BODY"):
                raise _too_large(setting("MAX_BULK_BODY"))
            with in_turn(_reader(request)) as read:
                value = loads_bulk(read, limits)
        else:
            data = _read(request, (JSON,))
            with in_turn(BytesIO(data).read) as read:
                value = loads_bulk(read, limits) if data.strip() else {}
        found = request.__dict__[_PARSED] = _object(value)
    return found


def _limits(identity: Identity) -> Limits:
    rows, values = "MAX_ROWS", "MAX_VALUES"
    if identity.is_anonymous:
        rows, values = "MAX_ANONYMOUS_ROWS", "MAX_ANONYMOUS_VALUES"
    return Limits(setting(rows), setting(values), setting("MAX_BODY"))


def _reader(request: HttpRequest) -> Callable[[int], bytes]:
    """A `request.read` that also computes the digest of the body, if it will be needed."""
    if IDEMPOTENCY_KEY not in request.META:
        return request.read
    digest = request.__dict__[_DIGEST] = sha256()

    def read(size: int) -> bytes:
        data = request.read(size)
        digest.update(data)
        return data

    return read


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Malformed("the body must be a JSON object")
    return value


def row_body(request: HttpRequest) -> dict[str, Any]:
    """The body as a row, from JSON or from a form, whose values are text. Raises as `json_body`."""
    media = _media(request)
    if media == JSON or not media:
        return row_of(json_body(request), "the body")
    data = _read(request, (JSON, FORM, MULTIPART))
    if media == FORM:
        return row_of(_form(data), "the form")
    return row_of(_multipart(request, data), "the form")


def _media(request: HttpRequest) -> str:
    return str(request.content_type or "").lower()


def _read(request: HttpRequest, taken: tuple[str, ...]) -> bytes:
    """The body. Raises as `_check`, and `TooLarge`."""
    _check(request, taken)
    data: bytes | None = request.__dict__.get(_READ)
    if data is None:
        receive(request)
        data = request.__dict__.get(_READ, b"")
        if is_large(request):
            raise _too_large(setting("MAX_BODY"))
    if len(data) > setting("MAX_BODY"):
        raise _too_large(setting("MAX_BODY"))
    return data


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"the body is over the limit of {limit} bytes")


def _check(request: HttpRequest, taken: tuple[str, ...]) -> None:
    """Check the headers of a body. Raises `Malformed` and `WrongMedia`."""
    length = request.META.get("CONTENT_LENGTH") or ""
    if not length and request.META.get("HTTP_TRANSFER_ENCODING"):
        raise Malformed("a request with a body needs a `Content-Length`")
    empty = length in ("", "0")
    charset = (request.content_params or {}).get("charset", "utf-8").lower()
    if not empty and (_media(request) not in taken or charset not in ("utf-8", "utf8")):
        raise WrongMedia(f"the body must be {' or '.join(taken)} in UTF-8")


# What the parser would split a text at, again and again, to leave it as it is.
_BARE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_MAX_BARE = 1_000


def _form(data: bytes) -> dict[str, Any]:
    data, bare = _BARE.subn(b"%25", data, count=_MAX_BARE + 1)
    if bare > _MAX_BARE:
        raise Malformed("the form is not URL-encoded text: write `%` as `%25`")
    try:
        text = data.decode("utf-8")
        return _single(QueryDict(text.encode("ascii"), encoding="utf-8", mutable=False))
    except UnicodeError:
        raise Malformed("the form is not URL-encoded text") from None


def _multipart(request: HttpRequest, data: bytes) -> dict[str, Any]:
    # Django does not report a form that ends early.
    boundary = (request.content_params or {}).get("boundary", "")
    if not boundary.isascii() or f"--{boundary}--".encode() not in data:
        raise Malformed(
            "the form is incomplete: the last boundary of multipart/form-data is missing"
        )
    parts = data.split(f"--{boundary}".encode())
    # There is one separator before the first field and one after the last.
    if len(parts) > MAX_COLUMNS + 2:
        raise Malformed(f"the form has more than {MAX_COLUMNS} fields")
    for part in parts:
        # The parser takes a time that is quadratic in the number of parameters, and Python keeps
        # each encoding that one with `*` names, which no browser sends.
        _, *parameters = part.partition(b"\r\n\r\n")[0].split(b";")
        if len(parameters) > _MAX_PARAMETERS:
            raise Malformed(f"a part of the form has more than {_MAX_PARAMETERS} parameters")
        if any(b"*" in parameter.partition(b"=")[0] for parameter in parameters):
            raise Malformed("a part of the form has a parameter whose name has a `*`")
    try:
        fields, files = MultiPartParser(
            request.META, BytesIO(data), request.upload_handlers, "utf-8"
        ).parse()
    except MultiPartParserError:
        raise Malformed("the form cannot be read as multipart/form-data") from None
    if files:
        raise Malformed("the form has a file; files are not supported")
    return _single(fields)


def _single(form: MultiValueDict[str, str]) -> dict[str, Any]:
    for key, values in form.lists():
        if len(values) != 1:
            raise Malformed(f"the key `{printable(key)}` is in the form twice")
    return {key: str(value) for key, value in form.items()}


def entry_id_in(text: str) -> int:
    """The ID in a URL. Raises `Malformed`."""
    digits = text.isascii() and text.isdigit()
    return entry_id_of(int(text[:30]) if digits else text, "the entry's ID")
