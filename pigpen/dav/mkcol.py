"""MKCOL, with first properties or without (DAV-15; RFC 5689)."""

from __future__ import annotations

from typing import Final

from pigpen.dav import xml_bodies
from pigpen.dav.call import Call
from pigpen.dav.multistatus import DECLARATION, xml_answer
from pigpen.dav.preconditions import body_of, placed
from pigpen.dav.property_changes import Plan, plan_of
from pigpen.dav.xml import dav
from pigpen.errors import MethodNotAllowed, UnsupportedMediaType
from pigpen.http.body import Body
from pigpen.http.key import Key
from pigpen.http.message import Response
from pigpen.http.namespace import Changes

_TYPES: Final = frozenset({"application/xml", "text/xml"})


async def mkcol(call: Call) -> Response:
    """201; or 424 if a property cannot be set, and nothing is made.

    :raises MethodNotAllowed: something is there. :raises Conflict: there is no parent.
    :raises UnsupportedMediaType: a body of another kind.
    """
    plan = plan_of(await _properties(call), call.namespace.abilities, making=True)
    if plan.failures:
        return _failed(plan)
    await call.namespace.make_collection(Key(call.key.names, True), plan.changes, call.when)
    return Response(201)


def _failed(plan: Plan) -> Response:
    body = f'<D:mkcol-response xmlns:D="DAV:">{plan.propstats()}</D:mkcol-response>'
    return xml_answer(424, DECLARATION + body)


async def _properties(call: Call) -> Changes:
    body = call.request.body
    sent_type = call.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if sent_type not in _TYPES:
        await _refuse_any(body)
        return ()
    root = await body_of(call, _makeable)
    if root is None:
        return ()
    if root.tag != dav("mkcol"):
        raise _unsupported()
    return xml_bodies.mkcol(root)


async def _makeable(call: Call) -> None:
    """:raises MethodNotAllowed: something is there."""
    if await placed(call) is not None:
        raise MethodNotAllowed(method="MKCOL", allow="")


async def _refuse_any(body: Body) -> None:
    """:raises UnsupportedMediaType: there is a body; it is not asked for if its length is known."""
    try:
        if body.length is None:
            async for _ in body:
                raise _unsupported()
        elif body.length:
            raise _unsupported()
    finally:
        await body.aclose()


def _unsupported() -> UnsupportedMediaType:
    return UnsupportedMediaType(reason="send none, or a DAV:mkcol as application/xml")
