"""How a PUT ends: one answer for every form of it (CLD-35)."""

from __future__ import annotations

from pigpen.http import wire
from pigpen.http.answers import json_answer
from pigpen.http.fields import format_date, format_modified
from pigpen.http.message import Headers, Response


def stored_answer(answer: wire.ReceiptAnswer, *, mtime: bool = False) -> Response:
    """201 for a new object, 204 for a replaced one.

    :param mtime: the writer has set Last-Modified: say that it counts (DAV-54).
    """
    headers = Headers({wire.WRITE: answer.write})
    if answer.etag is not None:
        headers["ETag"] = answer.etag
    if answer.modified is not None:
        headers["Last-Modified"] = format_date(answer.modified / 1000)
        headers[wire.MODIFIED] = format_modified(answer.modified)
    if mtime:
        headers["X-OC-Mtime"] = "accepted"
    if answer.status == 204:
        return Response(204, headers)
    body = wire.Stored(
        answer.etag or "", answer.version or "", replaced=False, modified=answer.modified
    )
    return json_answer(answer.status, body, headers)


def sent_answer(answer: wire.ReceiptAnswer, *, mtime: bool) -> Response:
    """What a host said to bytes that were passed on, in our words."""
    if answer.status == 202:
        # durable, not visible yet: the client asks here, as it knows no host
        where = {wire.WRITE: answer.write, "Location": f"?write={answer.write}"}
        return json_answer(202, wire.WriteState("open"), Headers(where))
    if answer.status >= 400:
        problem = wire.Problem(answer.error or "refused", answer.message or "")
        return json_answer(answer.status, problem)
    return stored_answer(answer, mtime=mtime)
