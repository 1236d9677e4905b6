"""CatalogWriter: PUT. Small bodies go into the catalog, others through here to a host (CLD-32)."""

from __future__ import annotations

from typing import Final

from pigpen.coordinator.catalog import writes
from pigpen.coordinator.catalog.writes import WriteWish
from pigpen.coordinator.catalog_namespace import rules
from pigpen.coordinator.catalog_namespace.tools import NamespaceTools
from pigpen.coordinator.counted_body import read_ahead
from pigpen.coordinator.openings import Opening, Order
from pigpen.env import sleep
from pigpen.errors import (
    BadRequest,
    Conflict,
    DigestMismatch,
    InsufficientStorage,
    Locked,
    NotFound,
    OutcomeUnknown,
    PigpenError,
    PreconditionFailed,
    QuotaExceeded,
    RequestTimeout,
    ShortBody,
    TooLarge,
    Unavailable,
)
from pigpen.http import wire
from pigpen.http.body import Body, read_all
from pigpen.http.fields import OCTET_STREAM
from pigpen.http.key import Key
from pigpen.http.message import Request
from pigpen.http.namespace import Node, When, WriteMeta, Written

#: a host says that bytes are durable but cannot tell us: so long we wait for its receipt
SETTLE_SECONDS: Final = 15.0
ASK_SECONDS: Final = 0.5


class CatalogWriter:
    """Writes for the account of one request."""

    def __init__(self, tools: NamespaceTools, request: Request, login: str) -> None:
        self._tools = tools
        self._request = request
        self._login = login

    async def write(self, key: Key, body: Body, meta: WriteMeta, when: When) -> Written:
        """See `Namespace.write`."""
        wish = WriteWish(
            key=key,
            when=when,
            content_type=meta.content_type or OCTET_STREAM,
            length=meta.length if body.length is None else body.length,
            modified=meta.modified,
            digest=meta.sha256,
        )
        if wish.length is not None and wish.length <= wire.INLINE_BYTES:
            if body.held_back:
                await self._judge(wish)
            return await self._store(wish, await read_all(body, wire.INLINE_BYTES))
        if wish.length is None:
            # it may be small; strangers are refused before it is read
            await self._judge(wish)
            begin = await read_ahead(body, wire.INLINE_BYTES)
            if isinstance(begin, bytes):
                return await self._store(wish, begin)
            body = begin
        return await self._send(wish, body)

    async def _judge(self, wish: WriteWish) -> None:
        await self._tools.entrance.read(self._request, self._login, writes.judge, wish)

    async def _store(self, wish: WriteWish, data: bytes) -> Written:
        if wish.length not in {None, len(data)}:
            raise ShortBody(received=len(data), expected=wish.length)
        self._tools.metrics.bytes_in.inc(len(data))
        with self._tools.metrics.committing(self._tools.env.clock):
            node, created = await self._tools.entrance.write(
                self._request, self._login, rules.store, wish, data
            )
        return Written(node, created)

    # -- to a host --------------------------------------------------------------------------------

    async def _send(self, wish: WriteWish, body: Body) -> Written:
        order = Order(self._request, self._login, wish, secure=False)
        opening = await self._tools.openings.open_stream(order)
        answer = await self._tools.passthrough.send(opening, body)
        if answer.status == 202:
            answer = await self._settled(opening)
        if answer.status >= 400:
            await self._refuse(wish, opening, answer)
        return Written(await self._node(wish, opening, answer), answer.status == 201)

    async def _settled(self, opening: Opening) -> wire.ReceiptAnswer:
        """How a write ended that is durable on a host.

        :raises OutcomeUnknown: its receipt does not come.
        """
        clock, write = self._tools.env.clock, opening.write.write
        end = clock.seconds() + SETTLE_SECONDS
        while clock.seconds() < end:
            await sleep(self._tools.env, ASK_SECONDS)
            state = await self._tools.catalog.read(writes.write_state, opening.principal, write)
            if state.state != "open":
                status = state.status or 409
                return wire.ReceiptAnswer(write, status, etag=state.etag, error=state.error)
        raise OutcomeUnknown(reason="the host that has the bytes cannot reach the coordinator")

    async def _refuse(self, wish: WriteWish, opening: Opening, answer: wire.ReceiptAnswer) -> None:
        """:raises PigpenError: always."""
        if answer.status in {409, 412, 423}:
            await self._judge(wish)  # says it with all there is to say, if it still holds
        raise _error(answer, opening.write.max_bytes)

    async def _node(self, wish: WriteWish, opening: Opening, answer: wire.ReceiptAnswer) -> Node:
        """The version that was written, even if the next one is there already."""
        try:
            node = await self._tools.entrance.read(
                self._request, self._login, rules.stored_now, wish
            )
            if node.etag == answer.etag:
                return node
        except NotFound:
            pass
        return Node(
            Key(wish.key.names),
            answer.modified or wish.modified or int(self._tools.env.wall() * 1000),
            length=opening.write.length or 0,
            etag=answer.etag,
            content_type=wish.content_type,
            sha256=wish.digest,
        )


def _error(answer: wire.ReceiptAnswer, limit: int) -> PigpenError:
    """What a host refused, or its commit."""
    reason = answer.message or "the host refused the bytes"
    match answer.status, answer.error:
        case 412, _:
            return PreconditionFailed()
        case 423, _:
            return Locked(roots=())
        case 422, _:
            return DigestMismatch()
        case 408, _:
            return RequestTimeout()
        case 413, _:
            return TooLarge(limit=limit)
        case 507, QuotaExceeded.code:
            return QuotaExceeded()
        case 507, _:
            return InsufficientStorage(reason=reason)
        case 400, _:
            return BadRequest(reason=reason)
        case ((409 | 410), _):
            return Conflict(reason=reason)
    return Unavailable(reason=reason)
