"""Abandoning: the sender of an upload gives it up, so nothing of it is kept (DELETE /x/UUID).

What is complete is never touched: its receipt may be on its way, and only the coordinator knows
whether it counts.
"""

from __future__ import annotations

from pigpen.errors import Conflict
from pigpen.host.live import Live
from pigpen.host.uploads import Upload, UploadTools
from pigpen.http.message import Response
from pigpen.http.wire import WriteState


async def abandon(tools: UploadTools, uuid: str, live: Live) -> Response:
    """End an expectation and its receiving, remove its part, give its room back.

    :return: 204, also if it was refused before. :raises Conflict: all of it is here.
    """
    if not live.spent and not live.complete:
        # the part is removed also if who asked for it leaves
        await tools.tasks.start(_abandon(tools, uuid, live))
    elif live.state.state != "refused":
        raise _too_late()
    return Response(204)


async def _abandon(tools: UploadTools, uuid: str, live: Live) -> None:
    blob = live.expectation.blob
    if live.running:
        upload = tools.running.get(blob)
        over = upload.abandon(_given_up()) if isinstance(upload, Upload) else None
        if over is None:
            raise _too_late()
        await over
    if live.spent:  # it ended otherwise before it was cut
        if live.state.state != "refused":
            raise _too_late()
        return
    if blob in tools.running:
        raise Conflict(reason="this upload goes on under another id")
    await _remove(tools, uuid, live, blob)


async def _remove(tools: UploadTools, uuid: str, live: Live, blob: str) -> None:
    # its `end` may have passed while its receiving ended
    known = tools.table.get(uuid) is live
    if known:
        tools.table.begin_put(live)
    try:
        await tools.remove_part(blob)
    finally:
        if known:
            error = _given_up()
            live.state = WriteState("refused", error.status, None, error.code, error.message)
            tools.table.end_put(live, spent=True)


def _given_up() -> Conflict:
    return Conflict(reason="its sender gave this upload up")


def _too_late() -> Conflict:
    return Conflict(reason="all of this upload is here; only the coordinator can give it up")
