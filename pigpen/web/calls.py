"""Calls: requests that are whole in memory, over connections that are kept; answers stream.

What the parts of a cloud say to each other many times a second: with httptools (llhttp) for the
answers, and nothing between request and socket, it takes a tenth of the time of an `Exchange`,
which streams what is sent.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.protocol import Factory

from pigpen.errors import ConnectionLost, PigpenError, TimedOut
from pigpen.http.body import WINDOW_BYTES
from pigpen.http.message import Response
from pigpen.web.call_protocol import CallProtocol, Keeper
from pigpen.web.connections import Connector, Origin
from pigpen.web.exchange import (
    CONNECTING,
    FAILED,
    QUEUED,
    ClientLimits,
    Order,
    Shared,
    not_connected,
)
from pigpen.web.watch import Watch

#: bytes that may wait for the readers of all answers; of one, at least and at most
SHARED_BYTES: Final = 2 * 1024 * 1024
LEAST_BYTES: Final = 32 * 1024

#: methods for which a server expects to hear that there is no body (RFC 9110 8.6)
_WITH_BODY: Final = frozenset({"PATCH", "POST", "PUT"})


class Calls:
    """Makes calls over as many connections as run at once, and keeps them."""

    def __init__(self, shared: Shared, limits: ClientLimits) -> None:
        self.keep_seconds = limits.keep_seconds
        self._shared = shared
        self._idle: dict[Origin, list[CallProtocol]] = {}
        self._live: dict[CallProtocol, None] = {}
        #: who has no connection yet, and what they are told if there will be none
        self._waiting: dict[Deferred[Any], tuple[list[PigpenError], PigpenError]] = {}
        self._gone: list[Deferred[None]] = []
        self._closed = False

    @property
    def busy(self) -> int:
        """Calls that wait, or have a connection."""
        return len(self._waiting) + sum(connection.busy for connection in self._live)

    @property
    def window(self) -> int:
        """Many slow readers at once hold less each."""
        share = SHARED_BYTES // max(1, len(self._live))
        return min(WINDOW_BYTES, max(LEAST_BYTES, share))

    async def call(self, order: Order, body: bytes) -> Response:
        """Send a request, and once more if a kept connection was closed before anything came back
        and the order allows it (N5).

        :raises NoAnswer: see `HttpClient.request`.
        """
        data = _request_bytes(order, body)
        await self._slot(order)
        kept = self._take(order.origin)
        if kept is not None:
            try:
                return await kept.call(order, data)
            except ConnectionLost:
                if self._closed or kept.received or not _may_repeat(order):
                    raise
            await self._slot(order)
        return await (await self._connect(order)).call(order, data)

    async def close(self) -> None:
        """Cut all; returns when the connections are gone."""
        self._closed = True
        for waiting, (errors, lost) in list(self._waiting.items()):
            errors.append(lost)
            waiting.cancel()
        for connection in list(self._live):
            connection.cut(connection.lost())
        if self._live:
            gone: Deferred[None] = Deferred()
            self._gone.append(gone)
            await gone

    # -- connections -------------------------------------------------------------------------------

    async def _slot(self, order: Order) -> None:
        """Wait until there may be one connection more; `done` gives it back."""
        slot = self._shared.slots.acquire(order.origin)
        if not slot.called:
            await self._in_time(slot, order, QUEUED, None)

    def _take(self, origin: Origin) -> CallProtocol | None:
        """The connection that was used last."""
        kept = self._idle.get(origin)
        while kept:
            connection = kept.pop()
            if connection.open:
                return connection
        return None

    async def _connect(self, order: Order) -> CallProtocol:
        shared, origin = self._shared, order.origin
        factory = Factory.forProtocol(lambda: CallProtocol(shared.env.clock, origin, self))
        factory.noisy = False
        connector = Connector(shared.env, origin, shared.trust, lambda _: None)
        connection: CallProtocol | None = None
        try:
            connecting = connector.connect(factory)
            limit = order.limits.connect_seconds
            connection = await self._in_time(connecting, order, CONNECTING, limit)
            assert connection is not None
            return connection
        except (CancelledError, ConnectingCancelledError):
            raise CancelledError from None
        except FAILED as error:
            raise not_connected(origin.peer, error) from None
        finally:
            if connection is None:
                shared.slots.release(origin)

    async def _in_time(
        self, waiting: Deferred[Any], order: Order, phase: str, seconds: float | None
    ) -> Any:
        """:raises TimedOut: it took longer. :raises ConnectionLost: the client was closed."""
        errors: list[PigpenError] = []

        def late(took: float) -> None:
            errors.append(TimedOut(peer=order.origin.peer, seconds=took, phase=phase))
            waiting.cancel()

        watch = Watch(self._shared.env.clock, order.deadline, late)
        if seconds is None:
            watch.rest(phase)
        else:
            watch.expect(phase, seconds)
        self._waiting[waiting] = errors, ConnectionLost(peer=order.origin.peer, phase=phase)
        try:
            return await waiting
        except FAILED:
            if errors:
                raise errors[0] from None
            raise
        finally:
            watch.stop()
            del self._waiting[waiting]

    # -- Keeper ------------------------------------------------------------------------------------

    def made(self, connection: CallProtocol) -> None:
        self._live[connection] = None

    def done(self, connection: CallProtocol) -> None:
        if connection.open:
            self._idle.setdefault(connection.origin, []).append(connection)
        self._shared.slots.release(connection.origin)

    def lost(self, connection: CallProtocol) -> None:
        self._live.pop(connection, None)
        kept = self._idle.get(connection.origin, [])
        if connection in kept:
            kept.remove(connection)
            if not kept:
                del self._idle[connection.origin]
        if not self._live:
            gone, self._gone = self._gone, []
            for waiter in gone:
                waiter.callback(None)


def _may_repeat(order: Order) -> bool:
    return order.repeatable or order.method in {"GET", "HEAD"}


def _request_bytes(order: Order, body: bytes) -> bytes:
    """A request as it is sent."""
    origin = order.origin
    usual = 443 if origin.secure else 80
    host = origin.peer.rpartition(":")[0] if origin.port == usual else origin.peer
    lines = [f"{order.method} {order.target} HTTP/1.1\r\nHost: {host}\r\n".encode("ascii")]
    lines += [b"%b: %b\r\n" % field for field in order.fields]
    if body or order.method in _WITH_BODY:
        lines.append(b"Content-Length: %d\r\n" % len(body))
    lines.append(b"\r\n")
    lines.append(body)
    return b"".join(lines)


_is_keeper: type[Keeper] = Calls
