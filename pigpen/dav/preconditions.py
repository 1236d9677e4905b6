"""Preconditions: the node a call is about, if its conditions hold; only then its body is read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from typing import Any, Final, TypeVar

from pigpen.dav.call import Call
from pigpen.dav.xml import XmlElement, parse_xml, read_xml
from pigpen.errors import Conflict, NotFound
from pigpen.http.body import BytesBody
from pigpen.http.namespace import NOTHING, Lock, Node, Want, check_conditions
from pigpen.http.namespace_rules import in_the_way

T = TypeVar("T")

#: programs send the same few bodies again and again: as many as these, of so many bytes at most,
#: are read once
REMEMBERED_BODIES: Final = 64
REMEMBERED_BYTES: Final = 1024


async def found(call: Call, want: Want = NOTHING) -> Node:
    """What the call is about, if its conditions hold (DAV-30).

    :raises NotFound: :raises PreconditionFailed: they do not.
    """
    method = call.request.method
    try:
        node = await call.namespace.stat(call.key, want)
    except NotFound:
        check_conditions(call.when, method, None)
        raise
    check_conditions(call.when, method, node.validators)
    if call.when.if_field is not None:
        await call.namespace.check(call.key, call.when)
    return node


async def body_of(call: Call, judge: Callable[[Call], Awaitable[object]]) -> XmlElement | None:
    """Its XML, asked for only where the header alone refuses nothing (DAV-24).

    :param judge: what the header decides: for a client that waits for 100 Continue, so that it
        sends nothing in vain.
    :raises BadRequest: it is none. :raises TooLarge: over 64 KiB. Else as ``judge``.
    """
    if call.request.body.held_back:
        await judge(call)
    return await read_xml(call.request.body)


async def body_as(
    call: Call,
    judge: Callable[[Call], Awaitable[object]],
    read: Callable[[XmlElement | None], T],
) -> T:
    """What its XML means, as `body_of` for a method whose bodies repeat.

    :param read: the same XML always means the same to it; what it returns does not change.
    :raises BadRequest: as `body_of`; and what ``read`` raises.
    """
    body = call.request.body
    if type(body) is BytesBody and 0 < len(body.data) <= REMEMBERED_BYTES:
        meaning: T = _remembered(read, body.data)
        return meaning
    return read(await body_of(call, judge))


@lru_cache(maxsize=REMEMBERED_BODIES)
def _remembered(read: Callable[[XmlElement], Any], data: bytes) -> Any:
    return read(parse_xml(data))


async def placed(call: Call, want: Want = NOTHING) -> Node | None:
    """What is where the call wants to make something: None: nothing yet, but a collection for it.

    :raises PreconditionFailed: its conditions do not hold. :raises Conflict: there is no parent.
    """
    try:
        return await found(call, want)
    except NotFound:
        pass
    try:
        await call.namespace.stat(call.key.parent)
    except NotFound:
        raise Conflict(reason="the collection it would lie in does not exist") from None
    return None


def submits_token(call: Call, locks: Sequence[Lock]) -> bool:
    """Whether the call sends a token of one of these locks; it counts only from its holder."""
    field = call.when.if_field
    submitted = frozenset[str]() if field is None else field.tokens
    return not in_the_way(locks, submitted, call.when.principal)
