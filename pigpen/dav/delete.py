"""DELETE (DAV-14)."""

from __future__ import annotations

from pigpen.dav.call import Call
from pigpen.dav.refusals import members_refusal
from pigpen.errors import BadField, Locked
from pigpen.http.message import Response


async def delete(call: Call) -> Response:
    """All of it, or nothing. :raises NotFound: nothing there."""
    depth = call.request.headers.get("Depth", "infinity").strip().lower()
    if depth != "infinity" and (await call.namespace.stat(call.key)).is_collection:
        raise BadField(field="Depth", reason="a DELETE takes all that lies below")
    try:
        await call.namespace.delete(call.key, call.when)
    except Locked as error:
        return members_refusal(error, call, itself=False)
    return Response(204)
