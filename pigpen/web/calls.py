"""Calls: small requests that may be repeated, and their small answers, whole in memory both ways.

What the parts of a cloud say to each other many times a second goes over plain connections that are
kept, with httptools (llhttp) for the answers: a tenth of the time an `Exchange` takes, which
streams, and knows TLS.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httptools
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from pigpen.errors import BadAnswer, ConnectFailed, ConnectionLost, PigpenError, TimedOut
from pigpen.http.body import BytesBody
from pigpen.http.message import Headers, Response
from pigpen.web.connections import Origin
from pigpen.web.exchange import (
    CONNECTING,
    FAILED,
    QUEUED,
    WAITING,
    ClientLimits,
    Order,
    Shared,
    why,
)
from pigpen.web.watch import Watch

#: an answer's head and body together
MAX_ANSWER_BYTES = 4 * 1024 * 1024


class CallProtocol(Protocol):
    """One connection, one call at a time."""

    def __init__(self, origin: Origin, on_lost: Callable[[CallProtocol], None]) -> None:
        self.origin = origin
        self._peer = origin.peer
        self._on_lost = on_lost
        self._parser: Any = httptools.HttpResponseParser(self)
        self._waiter: Deferred[Response] | None = None
        self._fields: list[tuple[str, str]] = []
        self._pieces: list[bytes] = []
        self._whole: Response | None = None
        #: whether the connection can be kept
        self._keep = True
        #: bytes of the answer so far
        self.received = 0
        #: when it became idle
        self.idle_since = 0.0
        self.open = True

    def call(self, data: bytes) -> Deferred[Response]:
        """Send a request and wait for its answer; cancelling it cuts the connection."""
        assert self._waiter is None and self.transport is not None
        self.received = 0
        waiter = self._waiter = Deferred(self._leave)
        self.transport.write(data)
        return waiter

    def fail(self, error: PigpenError) -> None:
        """Cut the connection; whoever waits is told why."""
        waiter, self._waiter = self._waiter, None
        self.open = False
        transport: Any = self.transport
        transport.abortConnection()
        if waiter is not None:
            waiter.errback(error)

    def _leave(self, _: Deferred[Response]) -> None:
        self._waiter = None
        self.fail(ConnectionLost(peer=self._peer, phase=WAITING))

    # -- the transport's calls ---------------------------------------------------------------------

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.setTcpKeepAlive(True)  # finds out about peers that vanished

    def dataReceived(self, data: bytes) -> None:
        self.received += len(data)
        if self._waiter is None:
            self.fail(self._bad("it answers what nobody asked"))
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.fail(self._bad("it is not HTTP/1.1"))
            return
        if self._whole is not None:
            self._answer(self._waiter, self._whole)
        elif self.received > MAX_ANSWER_BYTES:
            self.fail(self._bad("it is too long"))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.open = False
        self._on_lost(self)
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.errback(ConnectionLost(peer=self._peer, phase=WAITING))

    def _answer(self, waiter: Deferred[Response], response: Response) -> None:
        if not 200 <= response.status <= 599:
            self.fail(self._bad("its status has no meaning"))
            return
        self._waiter = self._whole = None
        if not self._keep:
            self.open = False
            transport: Any = self.transport
            transport.abortConnection()
        waiter.callback(response)

    def _bad(self, reason: str) -> BadAnswer:
        return BadAnswer(peer=self._peer, reason=reason)

    # -- called by httptools -----------------------------------------------------------------------

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_body(self, data: bytes) -> None:
        self._pieces.append(data)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        fields, self._fields = self._fields, []
        pieces, self._pieces = self._pieces, []
        if 100 <= status < 200:  # the answer is still to come
            return
        if self._whole is not None:  # nobody asked for a second one
            self._keep = False
            return
        self._keep = self._parser.should_keep_alive()
        self._whole = Response(status, Headers(fields), BytesBody(b"".join(pieces)))


class Calls:
    """Makes calls over as many connections as run at once, and keeps them."""

    def __init__(self, shared: Shared, limits: ClientLimits) -> None:
        self._shared = shared
        self._keep_seconds = limits.keep_seconds
        self._idle: dict[Origin, list[CallProtocol]] = {}
        self._live: dict[CallProtocol, None] = {}
        self._gone: list[Deferred[None]] = []

    async def call(self, order: Order, body: bytes) -> Response:
        """Send a request, and once more if a kept connection was closed before anything came back.

        :raises NoAnswer: see `HttpClient.request`.
        """
        data = _request_bytes(order, body)
        await self._shared.slots.acquire(order.origin)
        try:
            kept = self._take(order.origin)
            if kept is not None:
                try:
                    return await self._on(kept, order, data)
                except ConnectionLost:
                    if kept.received:
                        raise
            return await self._on(await self._connect(order), order, data)
        finally:
            self._shared.slots.release(order.origin)

    async def close(self) -> None:
        """Cut all; returns when the connections are gone."""
        self._idle.clear()
        for protocol in list(self._live):
            protocol.fail(ConnectionLost(peer="the server", phase=QUEUED))
        if self._live:
            gone: Deferred[None] = Deferred()
            self._gone.append(gone)
            await gone

    def _take(self, origin: Origin) -> CallProtocol | None:
        """The connection that was used last, unless its peer is about to close it."""
        kept = self._idle.get(origin, [])
        oldest = self._shared.env.clock.seconds() - self._keep_seconds
        while kept:
            protocol = kept.pop()
            if protocol.open and protocol.idle_since >= oldest:
                return protocol
            if protocol.open:
                protocol.fail(ConnectionLost(peer=origin.peer, phase=QUEUED))
        return None

    async def _on(self, protocol: CallProtocol, order: Order, data: bytes) -> Response:
        clock = self._shared.env.clock

        def late(seconds: float) -> None:
            protocol.fail(TimedOut(peer=order.origin.peer, seconds=seconds, phase=WAITING))

        watch = Watch(clock, order.deadline, late)
        watch.expect(WAITING, order.limits.first_byte_seconds)
        try:
            response = await protocol.call(data)
        finally:
            watch.stop()
        if protocol.open:
            protocol.idle_since = clock.seconds()
            self._idle.setdefault(order.origin, []).append(protocol)
        return response

    async def _connect(self, order: Order) -> CallProtocol:
        env, origin = self._shared.env, order.origin
        factory = Factory.forProtocol(lambda: CallProtocol(origin, self._lost))
        factory.noisy = False
        asking: Deferred[Any] = env.client_endpoint(origin.host, origin.port).connect(factory)
        errors: list[PigpenError] = []

        def late(seconds: float) -> None:
            errors.append(TimedOut(peer=origin.peer, seconds=seconds, phase=CONNECTING))
            asking.cancel()

        watch = Watch(env.clock, order.deadline, late)
        watch.expect(CONNECTING, order.limits.connect_seconds)
        try:
            protocol: CallProtocol = await asking
        except FAILED as error:
            if errors:
                raise errors[0] from None
            if isinstance(error, CancelledError | ConnectingCancelledError):
                raise CancelledError from None
            raise ConnectFailed(peer=origin.peer, reason=why(error)) from None
        finally:
            watch.stop()
        self._live[protocol] = None
        return protocol

    def _lost(self, protocol: CallProtocol) -> None:
        self._live.pop(protocol, None)
        kept = self._idle.get(protocol.origin, [])
        if protocol in kept:
            kept.remove(protocol)
            if not kept:
                del self._idle[protocol.origin]
        if not self._live:
            gone, self._gone = self._gone, []
            for waiter in gone:
                waiter.callback(None)


def _request_bytes(order: Order, body: bytes) -> bytes:
    """A request as it is sent."""
    origin = order.origin
    target = order.url.partition("://")[2].partition("#")[0]
    path = "/" + target.partition("/")[2]
    host = origin.peer if origin.port != 80 else origin.peer.rpartition(":")[0]
    lines = [f"{order.method} {path} HTTP/1.1\r\nHost: {host}\r\n".encode("ascii")]
    for name, values in order.headers.getAllRawHeaders():
        lines += [b"%b: %b\r\n" % (name, value) for value in values]
    lines.append(b"Content-Length: %d\r\n\r\n" % len(body))
    lines.append(body)
    return b"".join(lines)
