"""Machines, listening sockets and connections in the making, on a simulated network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import (
    CannotListenError,
    ConnectBindError,
    ConnectingCancelledError,
    DNSLookupError,
    TimeoutError,
)
from twisted.internet.interfaces import IListeningPort, IStreamClientEndpoint
from zope.interface import implementer

from pigpen.testing.clock import NodeClock

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IProtocol, IProtocolFactory

    from pigpen.testing.links import Link
    from pigpen.testing.network import Network
    from pigpen.testing.transport import SimTransport

CONNECT_SECONDS = 30
ANY = "0.0.0.0"  # noqa: S104
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Host:
    """A machine on the network."""

    def __init__(self, name: str, address: str, clock: NodeClock) -> None:
        self.name = name
        self.address = address
        self.clock = clock
        #: False: nothing answers here, not even a reset
        self.up = True
        self.ports: dict[int, list[SimPort]] = {}
        self.transports: list[SimTransport] = []
        self.next_port = 49152

    def free_port(self) -> int:
        self.next_port += 1
        return self.next_port

    def port(self, number: int, *, from_itself: bool) -> SimPort | None:
        """Who listens here, and can be reached."""
        for port in self.ports.get(number, []):
            if from_itself or port.interface not in LOOPBACK:
                return port
        return None


@implementer(IListeningPort)
class SimPort:
    """A listening socket."""

    def __init__(
        self, network: Network, host: Host, number: int, factory: Any, interface: str
    ) -> None:
        self.factory = factory
        self.interface = interface
        self.number = number or host.free_port()
        self._network = network
        self._host = host
        self.startListening()

    def startListening(self) -> None:
        error = self._network.check("listen")
        if error is not None:
            raise _made(CannotListenError, self.interface, self.number, error)
        taken = self._host.ports.setdefault(self.number, [])
        if any(port.interface == self.interface for port in taken):
            taken_error = OSError("Address in use")
            raise _made(CannotListenError, self.interface, self.number, taken_error)
        taken.append(self)
        self.factory.doStart()

    def stopListening(self) -> Deferred[None]:
        taken = self._host.ports.get(self.number, [])
        if self in taken:
            taken.remove(self)
            self.factory.doStop()
        return succeed(None)

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", self.interface or ANY, self.number)


class Attempt:
    """A connection that is being made."""

    def __init__(self, clock: NodeClock, factory: IProtocolFactory, seconds: float) -> None:
        self.done: Deferred[IProtocol] = Deferred(self._cancelled)
        self.over = False
        self.link: Link | None = None
        self._clock = clock
        self._factory = factory
        self._timer: IDelayedCall = clock.callLater(seconds, self.failed, _made(TimeoutError))

    @property
    def alive(self) -> bool:
        """Whether the process that wants it lives; another one may have its machine by now."""
        return self._clock.alive

    def _cancelled(self, done: Deferred[IProtocol]) -> None:
        self.failed(_made(ConnectingCancelledError, IPv4Address("TCP", ANY, 0)))

    def failed(self, error: Exception) -> None:
        if self._end():
            if self.link is not None:
                self.link.abandon()
            self.done.errback(error)

    def succeeded(self, transport: SimTransport) -> None:
        protocol = self._factory.buildProtocol(transport.getPeer())
        if protocol is None:
            transport.begin(_NOBODY)
            transport.abortConnection()
            self.failed(_made(ConnectBindError))
            return
        self._end()
        transport.begin(protocol)
        self.done.callback(protocol)

    def _end(self) -> bool:
        first, self.over = not self.over and self._clock.alive, True
        if first and self._timer.active():
            self._timer.cancel()
        return first


class _Nobody:
    def makeConnection(self, transport: object) -> None:
        """Nobody cares."""

    def connectionLost(self, reason: object) -> None:
        """Nobody cares."""


_NOBODY = _Nobody()


@implementer(IStreamClientEndpoint)
class SimClientEndpoint:
    """A TCP connection to be."""

    def __init__(self, network: Network, host: Host, name: str, port: int) -> None:
        self._network = network
        self._host = host
        self._name = name
        self._port = port

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        attempt = Attempt(self._host.clock, factory, CONNECT_SECONDS)
        target = self._network.find(self._host, self._name)
        error = self._network.check("connect")
        if error is None and target is None:
            error = DNSLookupError(f"no such name: {self._name}")
        if error is not None or target is None:
            self._host.clock.callLater(0, attempt.failed, error)
        else:
            self._network.connect(self._host, target, self._port, attempt)
        return attempt.done


def _made(error: Any, *args: object) -> Exception:
    made: Exception = error(*args)
    return made
