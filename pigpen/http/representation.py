"""One stored version as the answer to a GET or HEAD: conditions, one byte range, headers."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from pigpen.errors import PreconditionFailed
from pigpen.http.body import Body
from pigpen.http.conditions import NO_CONDITIONS, Conditions, Validators, if_range_holds
from pigpen.http.fields import format_date
from pigpen.http.message import Headers, Request, Response
from pigpen.http.ranges import ByteRange, parse_range


class Selection(msgspec.Struct, frozen=True):
    """What a request selects of a version: 200, 206 or 304, and `length` bytes from `offset`."""

    status: int
    offset: int
    length: int
    total: int

    def answer(self, validators: Validators, headers: Headers, body: Body | None) -> Response:
        """:param body: exactly the selected bytes; None for HEAD and 304.
        :param headers: Content-Type and what else the version has; taken over and added to."""
        headers["ETag"] = validators.etag
        headers["Last-Modified"] = format_date(validators.modified)
        if self.status == 304:
            headers.pop("Content-Type", None)
            return Response(304, headers)
        headers["Accept-Ranges"] = "bytes"
        headers["Content-Length"] = str(self.length)
        if self.status == 206:
            part = ByteRange(self.offset, self.offset + self.length - 1)
            headers["Content-Range"] = part.content_range(self.total)
        return Response(self.status, headers, body)


def select(request: Request, validators: Validators, length: int) -> Selection:
    """Judge a GET or HEAD of a version of `length` bytes (RFC 9110 13.2.2).

    :raises PreconditionFailed: If-Match or If-Unmodified-Since does not hold.
    :raises RangeNotSatisfiable: the one range lies outside.
    """
    if not_modified(request, validators):
        return Selection(304, 0, 0, length)
    part = None
    # Range means nothing but on GET (RFC 9110 14.2)
    if request.method == "GET" and "Range" in request.headers:
        if if_range_holds(request.headers.get("If-Range"), validators):
            part = parse_range(request.headers["Range"], length)
    if part is None:
        return Selection(200, 0, length, length)
    return Selection(206, part.first, part.length, length)


def answer_get(
    request: Request,
    validators: Validators,
    length: int,
    open_body: Callable[[int, int], Body],
    headers: Headers | None = None,
) -> Response:
    """Answer a GET or HEAD of a version that is at hand.

    :param length: of the whole version, in bytes.
    :param open_body: called at most once with offset and length, never for HEAD or 304. Where
        opening must wait, use `select`, open, and `Selection.answer`.
    :param headers: what the version has of its own; taken over.
    :raises PreconditionFailed: as `select`. :raises RangeNotSatisfiable: as `select`.
    """
    selection = select(request, validators, length)
    body = None
    if request.method == "GET" and selection.status != 304:
        body = open_body(selection.offset, selection.length)
    return selection.answer(validators, Headers() if headers is None else headers, body)


def not_modified(request: Request, current: Validators | None) -> bool:
    """Judge the conditions of any request.

    :param current: None: nothing is stored under the key.
    :return: whether to answer 304; always False but for GET and HEAD.
    :raises PreconditionFailed: a condition does not hold. :raises BadField: it is malformed.
    """
    conditions = Conditions.from_headers(request.headers)
    if conditions is NO_CONDITIONS:
        return False
    verdict = conditions.verdict(request.method, current)
    if verdict == 412:
        raise PreconditionFailed
    return verdict == 304
