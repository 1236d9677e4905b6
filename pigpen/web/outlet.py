"""Outlet: what leaves a connection, with the transport's back-pressure as something to await."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
import termios
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer, IPushProducer
from twisted.internet.tcp import Connection
from twisted.protocols.policies import ProtocolWrapper
from zope.interface import implementer

#: the most that is given to a transport at a time
WRITE_BYTES = 64 * 1024
_MORE = getattr(socket, "MSG_MORE", 0)
#: the most that one sendfile call takes, before other connections have their turn
SENDFILE_BYTES = 2 * 1024 * 1024


class Outlet(Protocol):
    """One connection's way out."""

    blocked: bool  # whether bytes wait for the peer; then `ready` before more is written

    @property
    def can_sendfile(self) -> bool: ...

    @property
    def can_half_close(self) -> bool: ...

    def write(self, data: bytes) -> None: ...

    def ready(self) -> Deferred[None]:
        """Fires when what was written is on its way; at once if nothing waits."""

    def detach(self) -> None:
        """Let go of the transport, so that it can close once it has sent all."""

    def stalled(self, now: float, seconds: float) -> bool:
        """Whether the peer took `seconds` to read not even 64 KiB of what waits; ask regularly."""

    @property
    def unread(self) -> bool:
        """Whether the peer has yet to take something, as far as the system tells."""


class _Waiting:
    """What both outlets share: one waiter, and the watch over a peer that does not read."""

    def __init__(self) -> None:
        self.blocked = False
        self._waiter: Deferred[None] | None = None
        #: bytes that the system or the transport has taken
        self._taken = 0
        #: when, and at how many bytes read by the peer, the watch began
        self._mark: tuple[float, int] | None = None

    def _wait(self) -> Deferred[None]:
        assert self._waiter is None, "a connection has one writer"
        self._waiter = Deferred(self._forget)
        return self._waiter

    def _forget(self, _: Deferred[None]) -> None:
        self._waiter = None

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.callback(None)

    def _unread(self) -> int:
        """Bytes in the kernel that the peer has not acknowledged."""
        return 0

    @property
    def unread(self) -> bool:
        return self.blocked or self._unread() > 0

    def stalled(self, now: float, seconds: float) -> bool:
        if not self.blocked:
            self._mark = None
            return False
        read = self._taken - self._unread()
        if self._mark is None or read - self._mark[1] >= WRITE_BYTES:
            self._mark = (now, read)
        return now - self._mark[0] >= seconds


@implementer(IPushProducer)
class TransportOutlet(_Waiting):
    """Over any transport: TLS, a simulated network. `transport.write` may pause us inside the call;
    a transport that never does is always ready."""

    can_sendfile = False
    can_half_close = False

    def __init__(self, transport: Any) -> None:
        super().__init__()
        self._transport = transport
        self._attached = True
        transport.registerProducer(self, True)

    def write(self, data: bytes) -> None:
        self._taken += len(data)
        self._transport.write(data)

    def ready(self) -> Deferred[None]:
        done = self._wait()
        if not self.blocked:
            self._wake()
        return done

    def detach(self) -> None:
        if self._attached:
            self._attached = False
            self._transport.unregisterProducer()

    def _unread(self) -> int:
        return _kernel_unread(self._below())

    @property
    def unread(self) -> bool:
        below = self._below()
        held = getattr(below, "_tempDataLen", 0) + len(getattr(below, "dataBuffer", b""))
        return super().unread or held > 0

    def _below(self) -> Any:
        below = self._transport
        while isinstance(below, ProtocolWrapper):
            below = below.transport
        return below

    def pauseProducing(self) -> None:
        self.blocked = True

    def resumeProducing(self) -> None:
        self.blocked = False
        self._wake()

    def stopProducing(self) -> None:
        """The connection is lost: the channel hears of it by `connectionLost`."""


@implementer(IPullProducer)
class SocketOutlet(_Waiting):
    """Over plain TCP: straight to the socket while it takes all, which spares the reactor two
    system calls and a turn for each response; what is left over goes by the transport."""

    can_sendfile = True
    can_half_close = True

    def __init__(self, transport: Connection) -> None:
        super().__init__()
        self._transport: Any = transport
        self._socket = transport.getHandle()
        self._attached = False
        #: bytes the transport holds
        self._queued = 0

    def write(self, data: bytes, *, more: bool = False) -> None:
        """:param more: more follows at once, so the system may wait to fill a packet."""
        if self.blocked:
            sent = 0
        else:
            try:
                sent = self._socket.send(data, _MORE if more else 0)
            except OSError:  # full, or lost: then the transport meets the same error and says so
                sent = 0
            self._taken += sent
            if sent == len(data):
                return
        rest = data[sent:] if sent else data
        self._queued += len(rest)
        self._transport.write(rest)
        self._watch()

    def _watch(self) -> None:
        """Have `resumeProducing` called when the transport's buffer is empty."""
        self.blocked = True
        if self._transport.disconnected:
            return
        if not self._attached:
            self._transport.registerProducer(self, False)  # calls resumeProducing at once
            self._attached = True
        self._transport.startWriting()

    def resumeProducing(self) -> None:
        if self._attached:
            self._taken += self._queued
            self._queued = 0
            self.blocked = False
            self._wake()

    def stopProducing(self) -> None:
        """The connection is lost: the channel hears of it by `connectionLost`."""

    def ready(self) -> Deferred[None]:
        done = self._wait()
        if not self.blocked:
            self._wake()
        return done

    def sendfile(self, descriptor: int, offset: int, count: int) -> int:
        """Give the socket bytes of a file; only while not `blocked`.

        :return: how many it took; 0 at the end of the file, -1 if the socket is full: `blocked`.
        :raises OSError: the file cannot be read, or the connection is lost.
        """
        try:
            sent = os.sendfile(self._socket.fileno(), descriptor, offset, count)
        except BlockingIOError:
            self._watch()
            return -1
        self._taken += sent
        return sent

    def turn(self) -> Deferred[None]:
        """Let other connections have their turn: fires when the socket takes more."""
        self._watch()
        return self._wait()

    def detach(self) -> None:
        if self._attached:
            self._attached = False
            self._transport.unregisterProducer()

    def _unread(self) -> int:
        return _kernel_unread(self._transport)


def _kernel_unread(transport: object) -> int:
    """Bytes in a socket's send buffer; 0 where the system does not tell."""
    if isinstance(transport, Connection):
        with contextlib.suppress(OSError, AttributeError, ValueError):
            answer = fcntl.ioctl(transport.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
            return int(struct.unpack("i", answer)[0])
    return 0


def make_outlet(transport: Any) -> TransportOutlet | SocketOutlet:
    """The outlet for a fresh connection's transport."""
    if isinstance(transport, Connection) and not transport.TLS:
        return SocketOutlet(transport)
    return TransportOutlet(transport)


_is_outlet: tuple[type[Outlet], ...] = (TransportOutlet, SocketOutlet)
