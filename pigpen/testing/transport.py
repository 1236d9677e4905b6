"""One end of a simulated TCP connection: buffers, window, push-back, and all ways to end.

What the protocol writes waits in ``_outgoing``; at most `WINDOW_BYTES` of it travel or lie unread
at the peer. So a peer that pauses stops the writer's producer, as in the real world.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableProtocol,
    IPushProducer,
    ITCPTransport,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

if TYPE_CHECKING:
    from pigpen.testing.links import Link

#: bytes sent that the peer's program has not read
WINDOW_BYTES = 64 * 1024
#: bytes waiting to be sent at which a producer is paused, as in Twisted
SEND_BUFFER_BYTES = 64 * 1024


class End(enum.Enum):
    """What travels behind the bytes."""

    FIN = "fin"
    RESET = "reset"


FIN = End.FIN
RESET = End.RESET


@implementer(ITCPTransport, IConsumer, IPushProducer)
class SimTransport:
    """A connected socket."""

    log = Logger()

    def __init__(self, link: Link, host: IPv4Address, peer: IPv4Address) -> None:
        """:param link: carries our bytes to the other end."""
        self.link = link
        self.protocol: Any = None
        self.connected = False
        self.disconnecting = False
        self.disconnected = False
        #: bytes the protocol was given, and bytes it wrote
        self.received = 0
        self.written = 0
        self.producer: Any = None
        self._host = host
        self._peer = peer
        self._streaming = False
        self._producer_paused = False
        self._reading = True
        self._outgoing: deque[bytes] = deque()
        self._waiting = 0
        self._unread = 0
        self._incoming: deque[bytes | End] = deque()
        self._flushing = False
        self._draining = False
        self._half_closing = False
        self._fin_sent = False
        self._no_delay = False
        self._keep_alive = False

    def __repr__(self) -> str:
        return f"<SimTransport {self.link.name}>"

    def begin(self, protocol: Any) -> None:
        """The connection stands."""
        self.protocol = protocol
        self.connected = True
        self._guard(protocol.makeConnection, self)
        self._later_drain()

    # -- what a protocol calls --------------------------------------------------------------------

    def getHost(self) -> IPv4Address:
        return self._host

    def getPeer(self) -> IPv4Address:
        return self._peer

    def getTcpNoDelay(self) -> bool:
        return self._no_delay

    def setTcpNoDelay(self, enabled: bool) -> None:
        self._no_delay = enabled

    def getTcpKeepAlive(self) -> bool:
        return self._keep_alive

    def setTcpKeepAlive(self, enabled: bool) -> None:
        self._keep_alive = enabled

    def write(self, data: bytes) -> None:
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"Data must be bytes, not {type(data)}")
        if not self.connected or self._fin_sent or not data:
            return
        self._outgoing.append(bytes(data))
        self._waiting += len(data)
        self.written += len(data)
        if self._streaming and self.producer is not None and not self._producer_paused:
            if self._waiting > SEND_BUFFER_BYTES:
                self._producer_paused = True
                self.producer.pauseProducing()
        self.startWriting()

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        self.write(b"".join(iovec))

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        if self.producer is not None:
            raise RuntimeError(f"{self.producer} was never unregistered")
        if self.disconnected:
            producer.stopProducing()
            return
        self.producer = producer
        self._streaming = streaming
        self._producer_paused = False
        if not streaming:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        self.producer = None
        if self.connected and self.disconnecting:
            self.startWriting()

    def startWriting(self) -> None:
        """Send, or ask a pull producer, in the next turn."""
        if not self._flushing and self.connected:
            self._flushing = True
            self.link.soon(self._flush)

    def pauseProducing(self) -> None:
        self._reading = False

    def resumeProducing(self) -> None:
        if self.connected and not self.disconnecting:
            self._reading = True
            self._later_drain()

    def stopProducing(self) -> None:
        self.loseConnection()

    def loseConnection(self) -> None:
        """Close once all is sent and no producer is registered."""
        if self.connected and not self.disconnecting:
            self._reading = False
            self.disconnecting = True
            self.startWriting()

    def loseWriteConnection(self) -> None:
        if self.connected:
            self._half_closing = True
            self.startWriting()

    def abortConnection(self) -> None:
        """Close now; the peer sees a reset."""
        if self.connected:
            self._reset_peer()
            self.link.soon(self._lost, ConnectionAborted())
            self._go_deaf()

    # -- sending ----------------------------------------------------------------------------------

    def _flush(self) -> None:
        self._flushing = False
        if not self.connected:
            return
        if self._reset_waits():
            self._lost(ConnectionLost())
            return
        # no tiny segments into a nearly full window (RFC 9293 3.8.6.2)
        while self._waiting and WINDOW_BYTES - self._unread >= min(
            self._waiting, WINDOW_BYTES // 2
        ):
            segment = self._take(min(self._waiting, WINDOW_BYTES - self._unread))
            self._unread += len(segment)
            self.link.send(segment)
        if not self._waiting:
            self._all_sent()

    def _take(self, most: int) -> bytes:
        size = self.link.segment_size(most)
        parts: list[bytes] = []
        while size:
            part = self._outgoing.popleft()
            if len(part) > size:
                self._outgoing.appendleft(part[size:])
                part = part[:size]
            parts.append(part)
            size -= len(part)
            self._waiting -= len(part)
        return b"".join(parts)

    def _all_sent(self) -> None:
        if self.producer is not None and (not self._streaming or self._producer_paused):
            self._producer_paused = False
            self._guard(self.producer.resumeProducing)
        elif self.producer is not None and self.disconnecting:
            return
        elif self.disconnecting:
            self._close()
        elif self._half_closing and not self._fin_sent:
            self._send_fin()
            if IHalfCloseableProtocol.providedBy(self.protocol):
                self._guard(self.protocol.writeConnectionLost)

    def _close(self) -> None:
        # a socket closed with bytes unread resets its peer (RFC 2525 2.17)
        if self.unread:
            self._reset_peer()
        else:
            self._send_fin()
        self._lost(ConnectionDone())

    def _send_fin(self) -> None:
        if not self._fin_sent:
            self._fin_sent = True
            self.link.send(FIN)

    def _reset_peer(self) -> None:
        self._fin_sent = True
        self.link.send(RESET)

    def acknowledged(self, count: int) -> None:
        """The peer's program has read bytes of ours: the window opens."""
        self._unread -= count
        if self._waiting:
            self.startWriting()

    # -- receiving --------------------------------------------------------------------------------

    def arrived(self, item: bytes | End) -> None:
        """Bytes, a FIN or a reset came in."""
        if self.disconnected:
            if isinstance(item, bytes):
                self.link.refuse()
            return
        if item is RESET and self.link.reset_eats_data():
            self._incoming.clear()
        self._incoming.append(item)
        self._drain()
        if item is RESET and self.connected and self._waiting:
            self._lost(ConnectionLost())

    @property
    def unread(self) -> bool:
        """Whether bytes came that the protocol has not read."""
        return any(isinstance(item, bytes) for item in self._incoming)

    def _reset_waits(self) -> bool:
        return bool(self._incoming) and self._incoming[-1] is RESET

    def _later_drain(self) -> None:
        if not self._draining:
            self._draining = True
            self.link.soon(self._drain)

    def _drain(self) -> None:
        self._draining = False
        while self._incoming and self._reading and self.connected:
            item = self._incoming.popleft()
            if isinstance(item, bytes):
                self.received += len(item)
                self.link.acknowledge(len(item))
                self._guard(self.protocol.dataReceived, item)
            elif item is RESET:
                self._lost(ConnectionLost())
            else:
                self._peer_finished()

    def _peer_finished(self) -> None:
        if IHalfCloseableProtocol.providedBy(self.protocol):
            self._guard(self.protocol.readConnectionLost)
        else:
            self._send_fin()
            self._lost(ConnectionDone())

    # -- ends -------------------------------------------------------------------------------------

    def reset(self) -> None:
        """The network breaks the connection: this end sees a loss."""
        if self.connected:
            self._lost(ConnectionLost())

    def vanish(self) -> None:
        """This end is gone without a word, its protocol hears nothing any more."""
        self._go_deaf()
        self.disconnected = True
        self.connected = False
        self.producer = None

    def _go_deaf(self) -> None:
        self._reading = False
        self._incoming.clear()
        self._outgoing.clear()
        self._waiting = 0
        self.connected = False

    def _lost(self, reason: Exception) -> None:
        if self.disconnected:
            return
        self._go_deaf()
        self.disconnected = True
        producer, self.producer = self.producer, None
        self.link.ended(reason)
        if producer is not None:
            self._guard(producer.stopProducing)
        if self.protocol is not None:
            self._guard(self.protocol.connectionLost, Failure(reason))  # type: ignore[no-untyped-call]

    def _guard(self, function: Any, *args: Any) -> None:
        """As a reactor: an exception out of a protocol ends its connection."""
        try:
            function(*args)
        except Exception as error:  # noqa: BLE001
            self.log.failure("Unhandled Error")
            if self.connected:
                self._reset_peer()
                self._lost(error)
