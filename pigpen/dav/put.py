"""PUT (DAV-13, 23 to 25, 45, 54, 55)."""

from __future__ import annotations

import mimetypes
from typing import Final

from pigpen.dav.call import Call
from pigpen.dav.integrity import announced_of, checked
from pigpen.dav.lock_refresh import kept_locked
from pigpen.http.fields import format_date
from pigpen.http.message import Headers, Response
from pigpen.http.namespace import Ability, WriteMeta, Written
from pigpen.http.request_fields import modified_of, refuse_content_range, sent_content_type

#: the types the standard library knows by itself, without what this machine's files add
_TYPES: Final = {
    **mimetypes.types_map,
    ".avif": "image/avif",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".flac": "audio/flac",
    ".md": "text/markdown",
    ".odp": "application/vnd.oasis.opendocument.presentation",
    ".ods": "application/vnd.oasis.opendocument.spreadsheet",
    ".odt": "application/vnd.oasis.opendocument.text",
    ".ogg": "audio/ogg",
    ".ogv": "video/ogg",
    ".opus": "audio/opus",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ".webp": "image/webp",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}


async def put(call: Call) -> Response:
    """Store the whole body, or nothing of it.

    :raises MethodNotAllowed: a collection. :raises Conflict: no parent, or a final slash.
    """
    request = call.request
    refuse_content_range(request)
    announced = announced_of(request)
    meta = WriteMeta(
        content_type=sent_content_type(request) or type_by_name(call.key.name),
        length=announced.length,
        sha256=announced.sha256,
        modified=modified_of(request),
    )
    async with kept_locked(call):
        body = checked(request.body, announced)
        written = await call.namespace.write(call.key, body, meta, call.when)
    return _answer(call, meta, written)


def type_by_name(name: str) -> str | None:
    """The content type that a name's suffix stands for (DAV-55)."""
    return _TYPES.get(name[name.rfind(".") :].lower()) if "." in name else None


def _answer(call: Call, meta: WriteMeta, written: Written) -> Response:
    node = written.node
    headers = Headers({"Last-Modified": format_date(node.modified // 1000)})
    if node.etag is not None:
        headers["ETag"] = node.etag
    if meta.modified is not None and Ability.MODIFIED in call.namespace.abilities:
        headers["X-OC-Mtime"] = "accepted"
    return Response(201 if written.created else 204, headers)
