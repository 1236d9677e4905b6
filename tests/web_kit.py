"""What the tests of `pigpen.web` share: a transport with real push-back, a handler that records."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IConsumer, ITransport
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from pigpen.http.body import read_all
from pigpen.http.message import Request, Response
from pigpen.web.limits import ServerLimits
from pigpen.web.proxies import Proxies
from pigpen.web.server import HttpFactory

GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
KIB = 1024


class FakeEnv:
    """Env with a clock to advance, and no disk or network."""

    def __init__(self) -> None:
        self.clock: Any = Clock()
        self.random = random.Random(0)
        self.disk: Any = None

    def wall(self) -> float:
        return 1_800_000_000 + self.clock.seconds()


@implementer(ITransport, IConsumer)
class FakeTransport:
    """One end of a connection. ``room``: bytes it takes before it pauses its producer; the peer
    makes room by `take`. Bytes sent while we paused it wait."""

    def __init__(self, address: str = "192.0.2.1", room: int = 2**60) -> None:
        self.address = address
        self.room = room
        self.protocol: Any = None
        self.producer: Any = None
        self.written = bytearray()
        self.taken = 0
        self.waiting: list[bytes] = []
        self.paused = False
        self.producer_paused = False
        self.closing = False
        self.aborted = False
        self.closed = False

    # -- what the protocol calls --

    def write(self, data: bytes) -> None:
        assert isinstance(data, bytes)
        if self.closed or self.closing:
            return
        self.written += data
        if len(self.written) - self.taken > self.room and self.producer is not None:
            self.producer_paused = True
            self.producer.pauseProducing()

    def writeSequence(self, data: Any) -> None:
        self.write(b"".join(data))

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert streaming and self.producer is None
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None
        self._maybe_close()

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False

    def loseConnection(self) -> None:
        self.closing = True
        self._maybe_close()

    def abortConnection(self) -> None:
        self.aborted = True
        self.lose(ConnectionAborted())

    def getPeer(self) -> Any:
        return IPv4Address("TCP", self.address, 40_000)

    def getHost(self) -> Any:
        return IPv4Address("TCP", "192.0.2.9", 80)

    # -- what the peer does --

    def send(self, data: bytes) -> None:
        """The peer sends."""
        self.waiting.append(data)
        self.deliver()

    def deliver(self) -> None:
        while self.waiting and not self.paused and not self.closed:
            self.protocol.dataReceived(self.waiting.pop(0))

    def take(self, count: int = 2**60) -> None:
        """The peer reads up to `count` bytes."""
        self.taken = min(len(self.written), self.taken + count)
        if self.producer_paused and self.taken == len(self.written):
            self.producer_paused = False
            if self.producer is not None:
                self.producer.resumeProducing()
        self._maybe_close()

    def lose(self, reason: Exception | None = None) -> None:
        """The connection ends."""
        if not self.closed:
            self.closed = True
            if self.producer is not None:
                self.producer.stopProducing()
            self.protocol.connectionLost(Failure(reason or ConnectionDone()))

    def _maybe_close(self) -> None:
        flushed = len(self.written) - self.taken <= self.room
        if self.closing and self.producer is None and flushed:
            self.lose()


class Recorder:
    """A handler that reads each request to its end, notes it, and answers "ok"."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, bytes]] = []
        self.requests: list[Request] = []

    async def handle(self, request: Request) -> Response:
        self.requests.append(request)
        body = await read_all(request.body, 2**30)
        self.seen.append((request.method, request.key.to_path(), body))
        return Response(200)


class Function:
    """A function as a handler."""

    def __init__(self, function: Callable[[Request], Awaitable[Response]]) -> None:
        self.function = function

    async def handle(self, request: Request) -> Response:
        return await self.function(request)


class Server:
    """A factory on a fake Env, and connections to it."""

    def __init__(self, handler: Any, *, proxies: Proxies | None = None, **limits: Any) -> None:
        self.env = FakeEnv()
        self.factory = HttpFactory(self.env, handler, ServerLimits(**limits), proxies)  # type: ignore[arg-type]

    def connect(self, address: str = "192.0.2.1", room: int = 2**60) -> FakeTransport:
        transport = FakeTransport(address, room)
        protocol = self.factory.buildProtocol(transport.getPeer())
        if protocol is None:
            transport.closed = True
        else:
            transport.protocol = protocol
            protocol.makeConnection(transport)  # type: ignore[arg-type]
        return transport

    def pass_time(self, seconds: int, *transports: FakeTransport) -> None:
        for _ in range(seconds):
            self.env.clock.advance(1)
            for transport in transports:
                transport.deliver()


def responses(data: bytes) -> list[tuple[int, dict[str, str], bytes]]:
    """Split what a server wrote, as a strict client would: (status, fields in lower case, body)."""
    found = []
    while data:
        head, blank, data = data.partition(b"\r\n\r\n")
        assert blank, head
        line, *lines = head.decode("latin-1").split("\r\n")
        fields = {}
        for text in lines:
            name, _, value = text.partition(": ")
            assert name.lower() not in fields or name == "WWW-Authenticate", name
            fields[name.lower()] = value
        status = int(line.split(" ")[1])
        length = int(fields.get("content-length", 0))
        if fields.get("transfer-encoding") == "chunked":
            body, data = _dechunk(data)
        else:
            body, data = data[:length], data[length:]
            assert len(body) == length, "a body is short"
        found.append((status, fields, body))
    return found


def _dechunk(data: bytes) -> tuple[bytes, bytes]:
    body = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        count = int(size, 16)
        if not count:
            assert data.startswith(b"\r\n"), "the last chunk is cut"
            return body, data[2:]
        body += data[:count]
        assert data[count : count + 2] == b"\r\n"
        data = data[count + 2 :]


def put(body: bytes, fields: bytes = b"") -> bytes:
    return b"PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n%b\r\n%b" % (
        len(body),
        fields,
        body,
    )


def put_head(length: int, fields: bytes = b"") -> bytes:
    return b"PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n%b\r\n" % (length, fields)


def statuses(transport: FakeTransport) -> list[int]:
    return [status for status, _, _ in responses(bytes(transport.written))]


def answering(response: Response) -> Function:
    async def handle(request: Request) -> Response:
        return response

    return Function(handle)


class Held:
    """A handler that waits until told how to go on; it notes being cancelled."""

    def __init__(self) -> None:
        self.waits: list[Deferred[Response]] = []
        self.ended: list[str] = []
        self.requests: list[Request] = []

    async def handle(self, request: Request) -> Response:
        self.requests.append(request)
        self.waits.append(Deferred())
        try:
            response = await self.waits[-1]
        except CancelledError:
            self.ended.append("cancelled")
            raise
        self.ended.append("answered")
        return response


class Chunks:
    """A body that gives chunks on demand and notes when it is closed."""

    length: int | None = None
    replayable = False
    held_back = False

    def __init__(self, *chunks: bytes | Exception, length: int | None = None) -> None:
        self.left = list(chunks)
        self.length = length
        self.asked = 0
        self.closed = 0
        self.wait: Deferred[None] | None = None

    def replay(self) -> Chunks:
        raise AssertionError

    def __aiter__(self) -> Chunks:
        return self

    async def __anext__(self) -> bytes:
        self.asked += 1
        if self.wait is not None:
            await self.wait
        if not self.left:
            raise StopAsyncIteration
        chunk = self.left.pop(0)
        if isinstance(chunk, Exception):
            raise chunk
        return chunk

    async def aclose(self) -> None:
        self.closed += 1


class MemoryFile:
    """A file in memory; ``cached``: whether reading needs no thread; ``reads``: in threads."""

    def __init__(self, data: bytes, cached: bool = True) -> None:
        self.data = data
        self.cached = cached
        self.reads: list[tuple[int, int]] = []

    def fileno(self) -> int | None:
        return None

    def read_now(self, offset: int, size: int) -> bytes | None:
        return self.data[offset : offset + size] if self.cached else None

    async def read_at(self, offset: int, size: int) -> bytes:
        self.reads.append((offset, size))
        return self.data[offset : offset + size]
