"""HandlerResource in a twisted.web Site, asked by our client over the memory network."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import Site

import pigpen
from pigpen.env import sleep
from pigpen.errors import BodyAborted, NoReplica
from pigpen.http.body import BytesBody, PushBody, StreamBody, read_all
from pigpen.http.key import Key
from pigpen.http.message import Headers, Request, Response
from pigpen.stores.memory import MemoryStore
from pigpen.testing import World
from pigpen.web.client import HttpClient
from pigpen.web.resource import HandlerResource, PlacedResource


class Scripted:
    def __init__(self) -> None:
        self.seen: list[Request] = []
        self.data = b""
        self.answer: Callable[[Request], Awaitable[Response]] = self.ok

    async def ok(self, request: Request) -> Response:
        self.data += await read_all(request.body, 99)
        return Response(200, Headers({"X-A": "b"}), BytesBody(b"ok"))

    async def handle(self, request: Request) -> Response:
        self.seen.append(request)
        return await self.answer(request)


class HandlerResourceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World(1)
        self.near, self.far = self.world.node("near"), self.world.node("far")
        self.handler = Scripted()
        root = Resource()
        root.putChild(b"remote", HandlerResource(self.handler, self.far))
        root.putChild(b"memory", HandlerResource(MemoryStore(self.far), self.far))
        self.places: list[Key] = []
        deep = Resource()
        for place in (root, deep):
            place.putChild(b"a b", PlacedResource(self.placed, self.far))
        root.putChild(b"deep", deep)
        self.site = Site(root, reactor=self.far.clock, timeout=None)
        self.site.displayTracebacks = False
        self.port = self.world.run(self.far.server_endpoint("tcp:80").listen(self.site))
        self.client = HttpClient(self.near)

    def tearDown(self) -> None:
        self.world.run(self.client.close())
        self.world.run(self.port.stopListening())
        with self.world.watching():
            self.world.clock.advance(20)
        self.world.assert_clean()

    def start(self, method: str, path: str, data: bytes = b"", **fields: str) -> Deferred[Response]:
        headers = Headers({name.replace("_", "-"): value for name, value in fields.items()})
        return Deferred.fromCoroutine(
            self.client.request(method, f"http://far{path}", headers=headers, body=BytesBody(data))
        )

    def ask(self, *arguments: Any, **fields: str) -> tuple[int, bytes]:
        response = self.world.run(self.start(*arguments, **fields), errors_allowed=True)
        return response.status, self.world.run(read_all(response.body, 1 << 30))

    def placed(self, place: Key) -> Scripted:
        self.places.append(place)
        return self.handler

    def test_placed(self) -> None:
        """A handler that must know where it is, such as WebDAV, is told, and sees whole paths."""
        for path in ("/a%20b/x%252Fy/", "/a%20b", "/a%20b/z", "/deep/a%20b/x"):
            self.assertEqual(self.ask("GET", path)[0], 200)
        self.assertEqual(self.places, [Key(("a b",), True), Key(("deep", "a b"), True)])
        seen = [request.key.names for request in self.handler.seen]
        self.assertEqual(seen[0], ("a b", "x%2Fy"))
        self.assertEqual(seen[3], ("deep", "a b", "x"))
        self.assertEqual(self.ask("GET", "/a%20b/%zz")[0], 400)

    def test_request(self) -> None:
        """The handler sees the path below its mount, decoded once, and all else as it was sent."""
        self.ask("PUT", "/remote/a%252Fb/c%20d/?x=%20&y", b"data", X_B="1")
        [request] = self.handler.seen
        self.assertEqual(request.method, "PUT")
        self.assertEqual(request.key.names, ("a%2Fb", "c d"))
        self.assertTrue(request.key.collection)
        self.assertEqual(request.query_string, "x=%20&y")
        self.assertEqual(request.headers["X-B"], "1")
        self.assertEqual(self.handler.data, b"data")
        self.ask("GET", "/remote")
        self.assertTrue(self.handler.seen[1].key.is_root)

    def test_store(self) -> None:
        """A store in a twisted.web tree works as one behind our own server."""
        data = bytes(range(256)) * 4000
        self.assertEqual(self.ask("PUT", "/memory/a", data), (201, b""))
        self.assertEqual(self.ask("GET", "/memory/a"), (200, data))
        self.assertEqual(self.ask("GET", "/memory/a", Range="bytes=1-2"), (206, b"\x01\x02"))
        self.assertEqual(self.ask("HEAD", "/memory/a"), (200, b""))
        self.assertEqual(self.ask("GET", "/memory/b")[0], 404)
        self.assertEqual(self.ask("GET", "/memory/../x")[0], 400)

    def test_errors(self) -> None:
        """What a handler raises is answered; a bug is 500, told only to the log."""

        async def refuse(_: Request) -> Response:
            raise NoReplica

        async def fail(_: Request) -> Response:
            raise RuntimeError("secret")

        self.handler.answer = refuse
        self.assertEqual(self.ask("GET", "/remote/a")[0], 503)
        self.handler.answer = fail
        status, data = self.ask("GET", "/remote/a")
        self.assertEqual(status, 500)
        self.assertNotIn(b"secret", data)
        self.assertEqual(len(self.world.errors), 1)
        self.world.errors.clear()
        self.flushLoggedErrors(RuntimeError)

    def test_body_breaks(self) -> None:
        """A body that fails after the first byte aborts the connection."""

        async def breaking() -> AsyncGenerator[bytes, None]:
            yield b"half"
            await sleep(self.far, 1)
            raise BodyAborted(received=4, reason="test")

        async def answer(_: Request) -> Response:
            return Response(200, body=StreamBody(breaking()))

        self.handler.answer = answer
        response = self.world.run(self.start("GET", "/remote/a"))
        self.assertRaises(BodyAborted, self.world.run, read_all(response.body, 99))

    def test_reader_stops(self) -> None:
        """A client that stops reading stops the source."""
        counted: list[int] = []

        async def endless() -> AsyncGenerator[bytes, None]:
            while True:
                counted.append(1)
                yield bytes(64 * 1024)

        async def answer(_: Request) -> Response:
            return Response(200, body=StreamBody(endless()))

        self.handler.answer = answer
        response = self.world.run(self.start("GET", "/remote/a"))
        with self.world.watching():
            self.world.clock.advance(20)
        self.assertLess(len(counted), 16)
        self.world.run(response.body.aclose())

    def test_upload_breaks(self) -> None:
        """An upload that is cut reaches no handler, and leaves the log clean (P13)."""
        source = PushBody(200_000)
        put = Deferred.fromCoroutine(self.client.request("PUT", "http://far/memory/a", body=source))
        source.push(bytes(150_000))  # twisted.web has begun a file of its own
        with self.world.watching():
            self.world.clock.advance(1)
            source.fail(BodyAborted(received=9, reason="test"))
            self.world.clock.advance(1)
        self.failureResultOf(put, BodyAborted)
        self.assertEqual(self.world.errors, [])
        self.assertEqual(self.ask("GET", "/memory/a")[0], 404)

    def test_no_reverse_proxy(self) -> None:
        """twisted.web's proxy reads whole bodies; nothing here is built on it (P3)."""
        for path in Path(pigpen.__file__).parent.rglob("*.py"):
            self.assertNotIn("ReverseProxyResource", path.read_text(), path)

    def test_client_leaves(self) -> None:
        """When the client is gone, the handler is cancelled, and its body closed."""
        closed: list[int] = []

        async def answer(_: Request) -> Response:
            return Response(200, body=PushBody(on_close=lambda: closed.append(1)))

        self.handler.answer = answer
        request = self.start("GET", "/remote/a")
        with self.world.watching():
            self.world.clock.advance(1)
            self.near.kill()
            self.world.clock.advance(1)
        self.assertEqual(closed, [1])
        self.client = HttpClient(self.near.boot())
        self.assertNoResult(request)
