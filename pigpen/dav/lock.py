"""LOCK and UNLOCK (DAV-19, DAV-20, DAV-40 to DAV-47)."""

from __future__ import annotations

import re

from pigpen.dav import xml_bodies
from pigpen.dav.call import Call
from pigpen.dav.multistatus import lock_answer
from pigpen.dav.preconditions import body_as, placed
from pigpen.dav.refusals import members_refusal
from pigpen.dav.xml_bodies import LockInfo
from pigpen.errors import BadField, BadRequest, LockConflict
from pigpen.http.message import Headers, Request, Response
from pigpen.http.namespace import LOCK_SECONDS, MAX_LOCK_SECONDS, LockWish, Want
from pigpen.http.request_fields import deep_of

_SECONDS = re.compile(r"second-([0-9]{1,30})", re.ASCII)


async def lock(call: Call) -> Response:
    """Take a lock; without a body, give one that is held new time.

    :raises LockConflict: another is in the way.
    """
    info = await body_as(call, _lockable, xml_bodies.lockinfo)
    return await (_refresh(call) if info is None else _take(call, info))


async def _lockable(call: Call) -> None:
    """:raises LockConflict: an exclusive one is in the way of any."""
    node = await placed(call, Want(locks=True))
    exclusive = [lock for lock in (node and node.locks) or () if lock.exclusive]
    # a body of unknown length may turn out to be empty: a refresh
    if exclusive and call.request.body.length:
        raise LockConflict(roots=tuple(lock.root for lock in exclusive))


async def _take(call: Call, info: LockInfo) -> Response:
    infinite, seconds = deep_of(call.request), seconds_of(call.request)
    wish = LockWish(info.exclusive, infinite, info.owner, seconds)
    try:
        taken, created = await call.namespace.lock(call.key, wish, call.when)
    except LockConflict as error:
        return members_refusal(error, call, itself=True)
    headers = Headers({"Lock-Token": f"<{taken.token}>"})
    status = 201 if created else 200
    return lock_answer(status, taken, call.href(taken.root), call.env.wall(), headers)


async def _refresh(call: Call) -> Response:
    """:raises PreconditionFailed: the token is unknown, or does not cover this key."""
    field = call.when.if_field
    if field is None:
        raise BadRequest(reason="a LOCK needs a body, or the token of a lock in an If field")
    if len(field.tokens) != 1:
        raise BadField(field="If", reason="to refresh a lock, send its token alone")
    taken = await call.namespace.refresh(call.key, seconds_of(call.request), call.when)
    return lock_answer(200, taken, call.href(taken.root), call.env.wall())


async def unlock(call: Call) -> Response:
    """:raises WrongLock: no such lock covers the key. :raises Forbidden: another user's."""
    await call.namespace.unlock(call.key, token_of(call.request), call.when)
    return Response(204)


def seconds_of(request: Request) -> int:
    """How long a lock is wished for: the first wish that makes sense, at most an hour (DAV-43)."""
    for value in ",".join(request.headers.getall("Timeout", [])).lower().split(","):
        wish = value.strip()
        if wish == "infinite":
            return MAX_LOCK_SECONDS
        match = _SECONDS.fullmatch(wish)
        if match is not None:
            return max(1, min(int(match.group(1)), MAX_LOCK_SECONDS))
    return LOCK_SECONDS


def token_of(request: Request) -> str:
    """The token of an UNLOCK; Windows leaves the <> out.

    :raises BadField: there is none, or several.
    """
    values = request.headers.getall("Lock-Token", [])
    text = values[0].strip() if len(values) == 1 else ""
    if text.startswith("<") and text.endswith(">"):
        text = text[1:-1].strip()
    if not text or any(c in text for c in "<> \t"):
        raise BadField(field="Lock-Token", reason="an UNLOCK needs one, as <TOKEN>")
    return text
