"""Refusals: what the face answers when a method raised (DAV-4).

A failed condition of RFC 4918 is named in XML, with the keys it is about; all else is said in JSON,
as everywhere in pigpen.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pigpen.dav import multistatus
from pigpen.dav.call import Call
from pigpen.dav.multistatus import Refusal
from pigpen.errors import DigestMismatch, Locked, NoAnswer, PigpenError
from pigpen.http import wire
from pigpen.http.answers import error_headers, json_answer
from pigpen.http.key import Key
from pigpen.http.message import Response

#: seconds after which a client may ask again for what gave no answer
RETRY_SECONDS: Final = 5


def refusal(error: PigpenError, call: Call | None = None) -> Response:
    """:param call: None: it was refused before its key was looked at."""
    status = _status_of(error)
    headers = error_headers(error)
    if status in {503, 504}:
        headers.setdefault("Retry-After", str(RETRY_SECONDS))
    if error.condition is None:
        return json_answer(status, wire.Problem(error.code, error.message), headers)
    hrefs = () if call is None else tuple(map(call.href, roots_of(error)))
    return multistatus.error_answer(status, error.condition, hrefs, headers)


def _status_of(error: PigpenError) -> int:
    if isinstance(error, DigestMismatch):
        return 400  # DAV-25
    if isinstance(error, NoAnswer) and error.status == 502:
        return 503  # that it came from further away is not the client's concern
    return error.status


def roots_of(error: PigpenError) -> tuple[Key, ...]:
    """The keys whose locks are in the way."""
    roots = error.facts.get("roots", ())
    return roots if isinstance(roots, tuple) else ()


def members_refusal(error: Locked, call: Call, *, itself: bool) -> Response:
    """Locks kept a method from being done with all below a collection: 423, or 207 if they are all
    those of members (RFC 4918 9.6.1, 9.10.9).

    :param itself: name the collection too, as failed by its members.
    """
    roots = roots_of(error)
    if not roots or not all(_lies_below(call.key, root) for root in roots):
        return refusal(error, call)
    found = [Refusal(call.href(root), error.status, error.condition) for root in roots]
    return multistatus.refusals_answer([*found, *_dependent(call, itself)])


def _dependent(call: Call, itself: bool) -> Iterable[Refusal]:
    if itself:
        yield Refusal(call.href(Key(call.key.names, True)), 424)


def _lies_below(collection: Key, key: Key) -> bool:
    return collection.contains(key) and len(key.names) > len(collection.names)
