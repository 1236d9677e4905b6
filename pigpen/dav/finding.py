"""Finding: the node a call is about, if its conditions hold, and then its body."""

from __future__ import annotations

from pigpen.dav.call import Call
from pigpen.dav.xml import XmlElement, read_xml
from pigpen.errors import NotFound
from pigpen.http.conditions import Validators
from pigpen.http.namespace import NOTHING, Node, Want, check_conditions


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
    # no tag names a collection, but it is there
    validators = node.validators or Validators("", node.modified // 1000 + 0.5)
    check_conditions(call.when, method, validators)
    if call.when.if_field is not None:
        await call.namespace.check(call.key, call.when)
    return node


async def body_of(call: Call) -> XmlElement | None:
    """Its XML, asked for only where the header alone refuses nothing (DAV-24).

    :raises BadRequest: it is none. :raises TooLarge: over 64 KiB. Else as `found`.
    """
    if call.request.body.held_back:
        await found(call)
    return await read_xml(call.request.body)
