"""GET and HEAD (DAV-12), and their redirect to a host (DAV-80 to DAV-83)."""

from __future__ import annotations

from typing import Final

from pigpen.dav.call import Call
from pigpen.dav.page import directory_page
from pigpen.dav.presentation import presentation_headers
from pigpen.errors import MethodNotAllowed, NotFound
from pigpen.http.conditions import Validators
from pigpen.http.fields import OCTET_STREAM, Link, format_digest, format_links
from pigpen.http.message import Headers, Response
from pigpen.http.namespace import Node, Reading
from pigpen.http.representation import not_modified, select

#: a browser asks again before it shows what it kept
_CACHE: Final = "no-cache"
#: bytes whose type nobody said


async def get(call: Call) -> Response:
    """The bytes of an object, or the page of a collection.

    :raises PreconditionFailed: :raises RangeNotSatisfiable: :raises NotFound: nothing there.
    """
    if call.key.collection:
        return await _collection(call, await _found(call))
    try:
        reading = await call.namespace.open(call.key)
    except MethodNotAllowed:
        return await _collection(call, await _found(call))
    except NotFound:
        not_modified(call.request, None)
        raise
    body_taken = False
    try:
        node = reading.node
        selection = select(call.request, node.validators, node.length)
        await _check_if(call)
        if selection.status == 304:
            return selection.answer(node.validators, _fields(node), None)
        where = _locations(call, reading)
        if where:
            return _redirect(node, where)
        body_taken = True
        body = await reading.body(selection.offset, selection.length)
        return selection.answer(node.validators, _fields(node), body)
    finally:
        if not body_taken:
            await reading.close()


async def head(call: Call) -> Response:
    """What GET would say, without opening anything."""
    node = await _found(call)
    if node.is_collection:
        return await _collection(call, node)
    selection = select(call.request, node.validators, node.length)
    await _check_if(call)
    return selection.answer(node.validators, _fields(node), None)


async def _found(call: Call) -> Node:
    try:
        return await call.namespace.stat(call.key)
    except NotFound:
        not_modified(call.request, None)  # If-Match of what is gone is 412
        raise


async def _collection(call: Call, node: Node) -> Response:
    """The page of a collection; it has no version that a condition could name, but it is there."""
    unchanged = not_modified(call.request, Validators("", node.modified // 1000 + 0.5))
    await _check_if(call)
    if unchanged:
        return Response(304, Headers({"Cache-Control": _CACHE}))
    return await directory_page(call, node)


async def _check_if(call: Call) -> None:
    if call.when.if_field is not None:
        await call.namespace.check(call.key, call.when)


def _fields(node: Node) -> Headers:
    content_type = node.content_type or OCTET_STREAM
    headers = presentation_headers(content_type, node.key.name)
    headers["Content-Type"] = content_type
    headers["Cache-Control"] = _CACHE
    if node.sha256 is not None:
        headers["Repr-Digest"] = format_digest(node.sha256)
    return headers


# -- redirect mode --------------------------------------------------------------------------------


def _locations(call: Call, reading: Reading) -> list[str]:
    """Where this client may read instead; none: it gets the bytes here."""
    agents = call.settings.redirected_agents
    if not agents or not call.request.headers.get("User-Agent", "").startswith(agents):
        return []
    secure = call.request.secure
    return [url for url in reading.locations if url.startswith("https:") or not secure]


def _redirect(node: Node, urls: list[str]) -> Response:
    headers = Headers(
        {
            "Location": urls[0],
            "Cache-Control": "no-store",
            "ETag": node.validators.etag,
            "Content-Length": "0",
        }
    )
    others = [Link(url, {"rel": "duplicate", "pri": str(n)}) for n, url in enumerate(urls[1:], 2)]
    if others:
        headers["Link"] = format_links(others)
    return Response(307, headers)
