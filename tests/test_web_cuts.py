"""Our server and our client with the connection cut at every byte of request and answer (N1, N3).

Three ends are right: the exchange is whole; the client hears an error; the server's handler hears
one. Nothing ever ends cleanly with other bytes than were sent, and both sides let go of everything.
All on simulated time: `World.run` advances it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from pigpen.errors import PigpenError
from pigpen.http.body import BytesBody, StreamBody, read_all
from pigpen.http.message import Headers, Request, Response
from pigpen.testing import World
from pigpen.web.client import HttpClient
from pigpen.web.server import HttpFactory

SIZE = 3000
URL = "http://server:2575/key"


class Recorder:
    """Answers GET with bytes of known or unknown length, and keeps what PUT brought."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.outcomes: list[bytes | str] = []

    async def handle(self, request: Request) -> Response:
        if request.method == "PUT":
            try:
                self.outcomes.append(await read_all(request.body, 10**6))
            except (PigpenError, CancelledError) as error:
                self.outcomes.append(type(error).__name__)
                raise
            return Response(201, body=BytesBody(b"stored"))
        if request.query_string == "chunked":
            return Response(200, body=StreamBody(self.pieces()))
        headers = Headers({"Content-Length": str(len(self.data))})
        return Response(200, headers, StreamBody(self.pieces(), len(self.data)))

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        for start in range(0, len(self.data), 700):
            yield self.data[start : start + 700]


class Exchange:
    """One world with a server, a client, and one request that is cut."""

    def __init__(self, seed: int) -> None:
        self.world = World(seed, latency=(0.001, 0.02))
        self.server, self.client = self.world.node("server"), self.world.node("client")
        self.data = self.world.random.randbytes(SIZE)
        self.recorder = Recorder(self.data)
        self.factory = HttpFactory(self.server, self.recorder)
        self.http = HttpClient(self.client)

    async def request(self, method: str, query: str) -> tuple[int, bytes]:
        body = BytesBody(self.data) if method == "PUT" else None
        if query == "upload-chunked":
            body = StreamBody(self.recorder.pieces())
        response = await self.http.request(method, f"{URL}?{query}", body=body)
        return response.status, await read_all(response.body, 10**6)

    async def run(self, method: str, query: str, cut: tuple[int, str, str] | None) -> object:
        port = await self.server.server_endpoint("tcp:2575").listen(self.factory)
        if cut is not None:
            self.world.network.cut_after(*cut)
        try:
            outcome: object = await self.request(method, query)
        except PigpenError as error:
            outcome = error
        await self.http.close()
        await port.stopListening()
        await self.factory.drain(600)
        return outcome


class CutTests(SynchronousTestCase):
    def whole(self, method: str, query: str) -> dict[str, int]:
        """How many bytes each side sends when nothing is cut."""
        exchange = Exchange(0)
        counted = {"client": 0, "server": 0}
        network = exchange.world.network
        carry = network.carry

        def count(link, data: bytes) -> None:
            counted[link.source.name] += len(data)
            carry(link, data)

        network.carry = count
        outcome = exchange.world.run(exchange.run(method, query, None))
        self.check(exchange, method, outcome)
        self.assertNotIsInstance(outcome, PigpenError)
        return counted

    def cuts(self, count: int) -> Iterator[int]:
        """Every byte of a head, each eleventh of the rest, and the last ones."""
        return iter(sorted({*range(0, min(count, 260), 3), *range(0, count, 97),
                            *range(max(0, count - 8), count)}))  # fmt: skip

    def check(self, exchange: Exchange, method: str, outcome: object) -> None:
        if isinstance(outcome, tuple):
            right = (201, b"stored") if method == "PUT" else (200, exchange.data)
            self.assertEqual(outcome, right)
        for seen in exchange.recorder.outcomes:
            if isinstance(seen, bytes):
                self.assertEqual(seen, exchange.data)
        exchange.world.settle(1000)
        exchange.world.assert_clean(collect=False)
        self.assertEqual(exchange.factory.connections, 0)

    def sweep(self, method: str, query: str, how: str) -> None:
        failed = 0
        for source, count in self.whole(method, query).items():
            for n in self.cuts(count):
                exchange = Exchange(n)
                outcome = exchange.world.run(exchange.run(method, query, (n, source, how)), 3000)
                try:
                    self.check(exchange, method, outcome)
                except AssertionError as error:
                    raise AssertionError(f"{method} {query} {how} {source} {n}: {error}") from error
                failed += isinstance(outcome, PigpenError)
        self.assertGreater(failed, 20)

    def test_get_reset(self) -> None:
        """GET, reset."""
        self.sweep("GET", "", "reset")

    def test_get_closed(self) -> None:
        """GET, closed cleanly: an answer that is too short is no answer."""
        self.sweep("GET", "", "fin")

    def test_get_chunked_closed(self) -> None:
        """GET without length, closed cleanly at a chunk's end or anywhere."""
        self.sweep("GET", "chunked", "fin")

    def test_get_silent(self) -> None:
        """GET, and the network falls silent: each phase has its limit."""
        self.sweep("GET", "", "silence")

    def test_put_reset(self) -> None:
        """PUT, reset."""
        self.sweep("PUT", "", "reset")

    def test_put_closed(self) -> None:
        """PUT, closed cleanly: the handler never takes a part for the whole."""
        self.sweep("PUT", "", "fin")

    def test_put_chunked_closed(self) -> None:
        """PUT without length, closed cleanly."""
        self.sweep("PUT", "upload-chunked", "fin")

    def test_put_silent(self) -> None:
        """PUT, and the network falls silent."""
        self.sweep("PUT", "", "silence")
