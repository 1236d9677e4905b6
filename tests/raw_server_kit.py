"""A server whose every byte the test writes, and a client that talks to it on a memory network."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from pigpen.http.body import read_all
from pigpen.http.message import Response
from pigpen.testing import World
from pigpen.web.client import ClientLimits, HttpClient

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class RawConnection(Protocol):
    """Keeps what it receives; says nothing by itself."""

    factory: RawServer

    def __init__(self) -> None:
        self.data = b""
        self.lost: Failure | None = None

    def connectionMade(self) -> None:
        self.factory.connections.append(self)

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        answer = self.factory.answer
        if answer is not None:
            self.send(answer)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason

    def send(self, data: bytes) -> None:
        self.transport.write(data)


class RawServer(Factory):
    protocol = RawConnection
    noisy = False
    #: sent for each segment received, if not None
    answer: bytes | None = None

    def __init__(self) -> None:
        self.connections: list[RawConnection] = []


class ClientCase(SynchronousTestCase):
    """Time passes only in `go`. At the end nothing may be left."""

    limits = ClientLimits()

    def setUp(self) -> None:
        self.world = World(1, latency=(0.001, 0.001))
        self.near, self.far = self.world.node("near"), self.world.node("far")
        self.server = RawServer()
        self.port = self.world.run(self.far.server_endpoint("tcp:80").listen(self.server))
        self.client = HttpClient(self.near, self.limits)

    def tearDown(self) -> None:
        self.world.network.heal()
        closing = Deferred.fromCoroutine(self.client.close())
        for connection in self.server.connections:
            connection.transport.abortConnection()
        self.go()
        self.successResultOf(closing)
        self.world.run(self.port.stopListening())
        self.go()
        self.world.assert_clean()

    def go(self, seconds: float = 0.02) -> None:
        with self.world.watching():
            self.world.clock.advance(seconds)

    def start(self, method: str = "GET", **options: Any) -> Deferred[Response]:
        """Send a request; returns when the server has what there is."""
        done = Deferred.fromCoroutine(self.client.request(method, "http://far/x", **options))
        self.go()
        return done

    @property
    def connection(self) -> RawConnection:
        """The newest."""
        return self.server.connections[-1]

    def answer(self, data: bytes = OK) -> None:
        self.connection.send(data)
        self.go()

    def read(self, response: Response) -> bytes:
        return self.world.run(read_all(response.body, 1 << 30))

    def fetch(self, method: str = "GET", data: bytes = OK, **options: Any) -> bytes:
        """One request, and its answer read to the end."""
        done = self.start(method, **options)
        self.answer(data)
        return self.read(self.successResultOf(done))
