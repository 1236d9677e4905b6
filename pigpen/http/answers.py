"""Responses with a small body: JSON, and the one way a `PigpenError` becomes an answer."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from pigpen.errors import BadRequest, MethodNotAllowed, PigpenError, UnsupportedMediaType
from pigpen.http import wire
from pigpen.http.body import BytesBody, read_all
from pigpen.http.message import Headers, Request, Response

T = TypeVar("T")

JSON = "application/json"
NDJSON = "application/x-ndjson"
BASIC = 'Basic realm="pigpen", charset="UTF-8"'
#: how an access key may be shown
KEY_CHALLENGES = ('Bearer realm="pigpen"', BASIC)


def json_answer(status: int, value: object, headers: Headers | None = None) -> Response:
    """An answer with a JSON body that no cache keeps."""
    headers = Headers() if headers is None else headers
    headers.setdefault("Cache-Control", "no-store")
    headers["Content-Type"] = JSON
    return Response(status, headers, BytesBody(wire.encode(value)))


def error_answer(error: PigpenError) -> Response:
    """What a face answers when `handle` raised."""
    roots = error.facts.get("roots", ())
    paths = [root.to_path() for root in roots] if isinstance(roots, tuple) else []
    problem = wire.Problem(error.code, error.message, paths)
    return json_answer(error.status, problem, error_headers(error))


def error_headers(error: PigpenError) -> Headers:
    """The fields that an error's answer needs, whatever its body looks like.

    A 401's challenges (RFC 9110 11.6.1) are its fact ``challenges``, or those for access keys.
    """
    headers = Headers()
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.facts.get("retry_after", error.retry_after))
    if error.status == 401:
        challenges = error.facts.get("challenges")
        for challenge in challenges if isinstance(challenges, tuple) else KEY_CHALLENGES:
            headers.add("WWW-Authenticate", challenge)
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = str(error.facts["allow"])
    if error.status == 416:
        headers["Content-Range"] = f"bytes */{error.facts['length']}"
    return headers


def check_method(request: Request, *allowed: str) -> None:
    """:raises MethodNotAllowed: the method is not among `allowed`."""
    if request.method not in allowed:
        raise MethodNotAllowed(method=request.method, allow=", ".join(allowed))


async def read_json(request: Request, shape: type[T], limit: int = wire.MAX_BATCH_BYTES) -> T:
    """The body of a request, checked against a type.

    :raises BadRequest: it is no such JSON. :raises TooLarge: over `limit` bytes.
    """
    sent_type = request.headers.get("Content-Type", JSON).partition(";")[0].strip().lower()
    if sent_type not in {JSON, "", "application/x-www-form-urlencoded"}:
        raise UnsupportedMediaType(reason="send application/json")
    return decode_json(await read_all(request.body, limit), shape)


def decode_json(data: bytes, shape: type[T]) -> T:
    """:raises BadRequest: `data` is no JSON of this shape; says where."""
    try:
        return msgspec.json.decode(data, type=shape)
    except msgspec.MsgspecError as error:
        raise BadRequest(reason=str(error)) from None
    except UnicodeDecodeError:
        raise BadRequest(reason="the JSON is not UTF-8") from None
    except RecursionError:
        raise BadRequest(reason="the JSON is nested too deep") from None
