"""How a Response becomes bytes: its head, its framing, its body."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

import msgspec

from pigpen.errors import ShortBody, TooLarge
from pigpen.http.body import CHUNK_BYTES, Body, BytesBody, FileBody
from pigpen.http.field_lines import FieldLines
from pigpen.http.message import Response
from pigpen.web.outlet import SENDFILE_BYTES, WRITE_BYTES, Outlet, SocketOutlet

#: a file part this small is read and sent with the head, if it is in memory; sendfile takes less
#: time for larger ones
SMALL_FILE_BYTES = 16 * 1024

_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus
}
# they have no body, whatever the handler gave (RFC 9112 6.3)
_BODILESS = frozenset({204, 304})
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Exchange(msgspec.Struct):
    """What the framing of a response depends on."""

    method: str
    http11: bool
    keep_alive: bool


class Plan(msgspec.Struct):
    """``head``: the response's first bytes. ``body``: whether one follows; ``length``: how many
    bytes, if known; ``chunked``: how it is sent. ``keep_alive``: False if closing ends it."""

    head: bytes
    body: bool
    length: int | None
    chunked: bool
    keep_alive: bool


def plan_response(
    response: Response, exchange: Exchange, common: Callable[[FieldLines], str]
) -> Plan:
    """Judge what a handler answered.

    :param common: gives the header lines that every response has.
    :raises ValueError: it cannot be sent: status, a field's text, or two different lengths.
    """
    status = response.status
    if not 200 <= status <= 599:
        raise ValueError(f"a handler cannot answer {status}")
    line = _STATUS_LINES.get(status) or f"HTTP/1.1 {status} \r\n"
    fields = response.lines
    plan = _plan_body(response, exchange, fields.length)
    framing = ""
    if plan.length is not None and status != 204:
        framing = f"Content-Length: {plan.length}\r\n"
    if plan.chunked:
        framing += "Transfer-Encoding: chunked\r\n"
    if not plan.keep_alive:
        framing += "Connection: close\r\n"
    elif not exchange.http11:
        framing += "Connection: keep-alive\r\n"
    plan.head = f"{line}{common(fields)}{fields.text}{framing}\r\n".encode("latin-1")
    return plan


def _plan_body(response: Response, exchange: Exchange, announced: int | None) -> Plan:
    length = response.body.length
    if exchange.method == "HEAD" or response.status in _BODILESS:
        # what GET would say; unknown is left out rather than computed (CMB-3)
        stated = announced if announced is not None else length or None
        if response.status == 304 and announced is None:
            stated = None
        return Plan(b"", False, stated, False, exchange.keep_alive)
    if length is None:
        length = announced
    elif announced is not None and announced != length:
        raise ValueError("a handler's Content-Length is not its body's length")
    if length is not None:
        return Plan(b"", length > 0, length, False, exchange.keep_alive)
    return Plan(b"", True, None, exchange.http11, exchange.keep_alive and exchange.http11)


def body_now(body: Body) -> bytes | None:
    """A small body's bytes if they are in memory; the body is then used up."""
    if type(body) is BytesBody:
        return body.data
    if type(body) is not FileBody or body.sent:
        return None
    length = body.length or 0
    if length > SMALL_FILE_BYTES:
        return None
    try:
        data = body.file.read_now(body.offset, length)
    except OSError:
        return None  # the slow way meets the same error, and says so
    if data is not None:
        body.sent = length
        body.close()
    return data


def begin_file(outlet: Outlet, body: Body, plan: Plan) -> bool:
    """Send the head and what the socket takes of a file in memory, without waiting.

    :return: whether all is out; else `send_body` does the rest, and the head if ``plan`` has one.
    """
    if not isinstance(body, FileBody) or not isinstance(outlet, SocketOutlet) or outlet.blocked:
        return False
    descriptor = body.file.fileno()
    if descriptor is None:
        return False
    try:
        stretch = _in_memory(body)
        if not stretch:
            return False
        outlet.write(plan.head, more=True)
        plan.head = b""
        if not outlet.blocked:
            body.sent = max(0, outlet.sendfile(descriptor, body.offset, stretch))
    except OSError:
        return False  # `send_body` meets it again, and says so
    if body.sent == body.length:
        body.close()
        return True
    return False


async def send_body(outlet: Outlet, body: Body, plan: Plan) -> None:
    """Send a body, at the peer's pace; the caller closes it.

    :raises Exception: it failed, or was shorter or longer than planned: then abort.
    """
    if isinstance(body, FileBody) and isinstance(outlet, SocketOutlet):
        descriptor = body.file.fileno()
        if descriptor is not None:
            await _send_file(outlet, body, descriptor)
            return
    await _send_stream(outlet, body, plan)


async def _send_stream(outlet: Outlet, body: Body, plan: Plan) -> None:
    sent = 0
    async for chunk in body:
        sent += len(chunk)
        if plan.length is not None and sent > plan.length:
            raise TooLarge(limit=plan.length)
        if plan.chunked:
            await _send_bytes(outlet, b"%x\r\n%b\r\n" % (len(chunk), chunk))
        else:
            await _send_bytes(outlet, chunk)
    if plan.length is not None and sent < plan.length:
        raise ShortBody(received=sent, expected=plan.length)
    if plan.chunked:
        await _send_bytes(outlet, b"0\r\n\r\n")


async def _send_bytes(outlet: Outlet, data: bytes) -> None:
    if outlet.blocked:
        await outlet.ready()
    for start in range(0, len(data), WRITE_BYTES):
        outlet.write(data[start : start + WRITE_BYTES])
        if outlet.blocked:
            await outlet.ready()


async def _send_file(outlet: SocketOutlet, body: FileBody, descriptor: int) -> None:
    """By sendfile what is in memory; the rest is read in a thread, as sendfile would block."""
    if outlet.blocked:
        await outlet.ready()
    while (left := (body.length or 0) - body.sent) > 0:
        stretch = _in_memory(body)
        if not stretch:
            await _send_bytes(outlet, await body.read(min(left, CHUNK_BYTES)))
        else:
            _send_cached(outlet, body, descriptor, stretch)
        if body.sent < (body.length or 0):
            await outlet.turn()


def _send_cached(outlet: SocketOutlet, body: FileBody, descriptor: int, size: int) -> None:
    try:
        count = outlet.sendfile(descriptor, body.offset + body.sent, size)
    except OSError as error:
        body.failed(error)
        raise
    if count == 0:
        body.became_shorter()
    body.sent += max(0, count)


def _in_memory(body: FileBody) -> int:
    """How many of a file's next bytes are cached. As the system reads ahead, the last byte stands
    for a short stretch, both ends for a long one."""
    offset = body.offset + body.sent
    left = (body.length or 0) - body.sent
    read_now = body.file.read_now
    stretch = min(left, SENDFILE_BYTES)
    if stretch > CHUNK_BYTES:
        if read_now(offset, 1) is None:
            return 0
        if read_now(offset + stretch - 1, 1) is not None:
            return stretch
    stretch = min(left, CHUNK_BYTES)
    return stretch if read_now(offset + stretch - 1, 1) is not None else 0
