"""Uploads: the three forms of a PUT (CLD-30 to CLD-32).

up to 4 KiB               stored in the catalog, at once
Expect: 100-continue      307 to a host, before a body byte
?redirect=false           the same as JSON; what pigpen's own client uses
  &check                  would it be stored now? 204, or the refusal
any other                 the bytes pass through here
"""

from __future__ import annotations

from pigpen.coordinator.catalog import writes
from pigpen.coordinator.catalog.accounts import Principal
from pigpen.coordinator.catalog.writes import WriteWish
from pigpen.coordinator.counted_body import read_ahead
from pigpen.coordinator.entrance import Entrance
from pigpen.coordinator.hosts import Host
from pigpen.coordinator.metrics import Metrics
from pigpen.coordinator.openings import START_SECONDS, Opening, Openings, Order
from pigpen.coordinator.passthrough import Passthrough
from pigpen.coordinator.put_answers import sent_answer, stored_answer
from pigpen.coordinator.request_terms import (
    Query,
    content_type_of,
    upload_length,
    when_of,
    write_id_of,
)
from pigpen.coordinator.settings import MAX_ALTERNATIVES, transfer_seconds
from pigpen.coordinator.user_agents import may_redirect, never_redirect
from pigpen.database.transaction import Transaction
from pigpen.env import Env
from pigpen.errors import BadRequest
from pigpen.http import wire
from pigpen.http.answers import json_answer
from pigpen.http.body import Body, BytesBody, read_all
from pigpen.http.key import Key
from pigpen.http.message import Headers, Request, Response
from pigpen.http.request_fields import digest_of, modified_of, refuse_content_range

_NOT_YET = b"not stored yet: follow the redirect (curl -L)\n"


class Uploads:
    """Answers PUT of objects."""

    def __init__(
        self,
        env: Env,
        entrance: Entrance,
        openings: Openings,
        passthrough: Passthrough,
        metrics: Metrics,
    ) -> None:
        self._env = env
        self._entrance = entrance
        self._openings = openings
        self._passthrough = passthrough
        self._metrics = metrics

    async def put(
        self, request: Request, login: str, key: Key, query: Query, *, secure: bool
    ) -> Response:
        """:raises PigpenError: it is not stored."""
        begun = self._env.clock.seconds()
        refuse_content_range(request)
        mode = query.redirect
        length = upload_length(request) if mode == "false" else request.body.length
        order = _order(request, login, key, query, length, secure=secure)
        if mode == "false":
            return await self._json(order, query)
        if length is not None and length <= wire.INLINE_BYTES:
            return await self._small(order, request.body)
        if mode != "never" and request.http11 and request.body.held_back:
            response = await self._expect(order)
            if response is not None:
                self._metrics.redirect_seconds.observe(self._env.clock.seconds() - begun)
                return response
        return await self._through(order)

    # -- small: into the catalog ------------------------------------------------------------------

    async def _small(self, order: Order, body: Body) -> Response:
        if body.held_back:
            # refused before it is sent, not after
            await self._entrance.read(order.request, order.login, _judge, order.wish)
        return await self._store(order, await read_all(body, wire.INLINE_BYTES))

    async def _store(self, order: Order, data: bytes) -> Response:
        self._metrics.bytes_in.inc(len(data))
        with self._metrics.committing(self._env.clock):
            answer = await self._entrance.write(
                order.request, order.login, writes.store_inline, order.wish, data
            )
        return stored_answer(answer, mtime=order.wish.modified is not None)

    # -- by redirect ------------------------------------------------------------------------------

    async def _expect(self, order: Order) -> Response | None:
        """307, before any body byte; None: this client is not to be redirected."""
        agent = order.request.headers.get("User-Agent", "")
        if never_redirect(agent):
            return None
        name = order.request.headers.get("Host", "")

        def suits(host: Host) -> bool:
            url = host.client_url(secure=order.secure)
            return url is not None and may_redirect(agent, name, url)

        if not self._openings.any_host(suits):
            return None
        opening = await self._openings.open(order, suits)
        if opening.write.answer is not None:
            return stored_answer(opening.write.answer)
        if not order.request.body.held_back:  # it did not wait: too late for a redirect
            return await self._send(order, opening, order.request.body)
        url = opening.first.host.client_url(secure=order.secure)
        headers = Headers(
            {
                "Location": f"{url}/x/{opening.first.expectation.uuid}",
                "Cache-Control": "no-store",
                "Referrer-Policy": "no-referrer",
                "Connection": "close",
                wire.WRITE: opening.write.write,
                "Content-Type": "text/plain; charset=utf-8",
            }
        )
        return Response(307, headers, BytesBody(_NOT_YET))

    # -- as JSON ----------------------------------------------------------------------------------

    async def _json(self, order: Order, query: Query) -> Response:
        length = order.wish.length
        if "check" in query:
            await self._entrance.read(order.request, order.login, _judge, order.wish)
            return Response(204)
        data = await read_all(order.request.body, wire.INLINE_BYTES)
        if data or length == 0:
            if len(data) != length:
                reason = "the body is not of Upload-Length; send all bytes of up to 4 KiB, or none"
                raise BadRequest(reason=reason)
            return await self._store(order, data)

        def suits(host: Host) -> bool:
            return host.pinned_url(secure=order.secure) is not None

        resumed = query.write_id()
        if resumed is not None:
            opening = await self._openings.renew(order, suits)
        else:
            opening = await self._openings.open(order, suits, at_once=1 + MAX_ALTERNATIVES)
        if opening.write.answer is not None:
            return stored_answer(opening.write.answer)
        return json_answer(200, _offer(opening, secure=order.secure))

    # -- through here -----------------------------------------------------------------------------

    async def _through(self, order: Order) -> Response:
        body = order.request.body
        if body.length is None:
            # it may be small enough for the catalog; strangers are refused before it is read
            await self._entrance.read(order.request, order.login, _judge, order.wish)
            begin = await read_ahead(body, wire.INLINE_BYTES)
            if isinstance(begin, bytes):
                return await self._store(order, begin)
            body = begin
        opening = await self._openings.open_stream(order)
        if opening.write.answer is not None:
            return stored_answer(opening.write.answer)
        return await self._send(order, opening, body)

    async def _send(self, order: Order, opening: Opening, body: Body) -> Response:
        answer = await self._passthrough.send(opening, body)
        return sent_answer(answer, mtime=order.wish.modified is not None)


def _order(
    request: Request, login: str, key: Key, query: Query, length: int | None, *, secure: bool
) -> Order:
    wish = WriteWish(
        key=key,
        when=when_of(request, query),
        content_type=content_type_of(request),
        length=length,
        modified=modified_of(request),
        digest=digest_of(request),
        write=write_id_of(request, query),
    )
    return Order(request, login, wish, secure)


def _offer(opening: Opening, *, secure: bool) -> wire.UploadOffer:
    targets: list[wire.Target] = []
    for one in opening.confirmed[: 1 + MAX_ALTERNATIVES]:
        base = one.host.pinned_url(secure=secure)
        assert base is not None, "hosts without one were left out"
        uuid = one.expectation.uuid
        targets.append(wire.Target(uuid, f"{base}/x/{uuid}", one.host.pin_of(base)))
    write = opening.write
    return wire.UploadOffer(
        write=write.write,
        uuid=targets[0].uuid,
        url=targets[0].url,
        start=START_SECONDS,
        end=transfer_seconds(write.max_bytes, START_SECONDS),
        max_bytes=write.max_bytes,
        pin=targets[0].pin,
        offset=opening.first.offset,
        alternatives=targets[1:],
    )


def _judge(transaction: Transaction, principal: Principal, wish: WriteWish) -> None:
    writes.judge(transaction, principal, wish)
