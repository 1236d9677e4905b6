"""COPY and MOVE (DAV-18, DAV-29)."""

from __future__ import annotations

from pigpen.dav.call import Call
from pigpen.dav.targets import destination_of
from pigpen.errors import BadField
from pigpen.http.message import Response
from pigpen.http.request_fields import deep_of, overwrite_of


async def copy(call: Call) -> Response:
    """:raises ElsewhereDestination: :raises Forbidden: onto or into itself, or what it lies in."""
    destination = destination_of(call)
    deep, overwrite = deep_of(call.request), overwrite_of(call.request)
    created = await call.namespace.copy(
        call.key, destination, deep=deep, overwrite=overwrite, when=call.when
    )
    return Response(201 if created else 204)


async def move(call: Call) -> Response:
    """:raises ElsewhereDestination: :raises Forbidden: onto or into itself, or what it lies in."""
    destination = destination_of(call)
    deep, overwrite = deep_of(call.request), overwrite_of(call.request)
    if not deep and (await call.namespace.stat(call.key)).is_collection:
        raise BadField(field="Depth", reason="a MOVE takes all that lies below")
    created = await call.namespace.move(call.key, destination, overwrite=overwrite, when=call.when)
    return Response(201 if created else 204)
