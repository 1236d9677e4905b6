"""A connection's input: requests, their bodies, 100 Continue, refusals, slow clients.

Time moves by `Server.pass_time`; nothing needs flushing.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from pigpen.errors import BodyAborted
from pigpen.http.body import BytesBody, FileBody, read_all
from pigpen.http.message import Headers, Request, Response
from tests.fake_web import (
    GET,
    KIB,
    Chunks,
    Function,
    Held,
    MemoryFile,
    Recorder,
    Server,
    answering,
    put,
    put_head,
    responses,
    statuses,
)


class RequestTests(SynchronousTestCase):
    """What reaches a handler."""

    def test_everything_arrives(self) -> None:
        """A handler sees the method, key, query, headers, body and the client's address."""
        handler = Recorder()
        transport = Server(handler).connect("192.0.2.77")
        transport.send(
            b"PUT /a/b%20c?q=1&r HTTP/1.1\r\nHost: a\r\nX-Y: \xe9\r\nContent-Length: 3\r\n\r\nabc"
        )
        self.assertEqual(handler.seen, [("PUT", "/a/b%20c", b"abc")])
        request = handler.requests[0]
        self.assertEqual(request.query_string, "q=1&r")
        self.assertEqual(request.headers["x-y"], "é")
        self.assertEqual(request.caller.address, "192.0.2.77")
        self.assertFalse(request.secure)
        self.assertTrue(request.http11)

    def test_hop_by_hop_is_dropped(self) -> None:
        """What concerns the connection, or is named in Connection, goes no further; Authorization
        and Host cannot be taken away."""
        handler = Recorder()
        Server(handler).connect().send(
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Mine, host, authorization, close\r\n"
            b"X-Mine: 1\r\nKeep-Alive: 5\r\nTE: gzip\r\nUpgrade: h2c\r\nAuthorization: Bearer k\r\n"
            b"Proxy-Authorization: p\r\n\r\n"
        )
        self.assertEqual(
            dict(handler.requests[0].headers), {"Host": "a", "Authorization": "Bearer k"}
        )

    def test_target_names_the_host(self) -> None:
        """The host of an absolute target counts, not the Host field (RFC 9112 3.2.2)."""
        handler = Recorder()
        Server(handler).connect().send(b"GET http://b:8/x?y HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(handler.requests[0].headers["Host"], "b:8")
        self.assertEqual(handler.seen, [("GET", "/x", b"")])

    def test_bad_keys_are_refused_and_the_connection_stays(self) -> None:
        """A key that cannot be used is a 400 or 414 in JSON; the next request is served."""
        handler = Recorder()
        transport = Server(handler).connect()
        for target in (b"/a//b", b"/..", b"/%00", b"/%c0%ae", b"/" + b"a" * 256):
            transport.send(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target)
        transport.send(GET)
        self.assertEqual(statuses(transport), [400, 400, 400, 400, 414, 200])
        self.assertFalse(transport.closed)

    def test_body_streams(self) -> None:
        """A handler gets bytes as they arrive, long before the last."""
        got: list[bytes] = []

        async def handle(request: Request) -> Response:
            got.extend([chunk async for chunk in _noting(request, got)])
            return Response(201)

        async def _noting(request: Request, into: list[bytes]) -> AsyncGenerator[bytes, None]:
            async for chunk in request.body:
                into.append(chunk)
            return
            yield b""

        transport = Server(Function(handle)).connect()
        transport.send(put_head(6) + b"ab")
        self.assertEqual(got, [b"ab"])
        transport.send(b"cd")
        self.assertEqual(got, [b"ab", b"cd"])
        transport.send(b"ef")
        self.assertEqual(statuses(transport), [201])

    def test_a_handler_that_does_not_read_stops_the_client(self) -> None:
        """Of an upload that nobody reads one window is taken; reading takes the rest."""
        server = Server(Held())
        handler = server.factory.handler
        assert isinstance(handler, Held)
        transport = server.connect()
        transport.send(put_head(10_000 * KIB))
        for _ in range(10_000 * KIB // (64 * KIB) + 1):
            transport.send(bytes(64 * KIB))
        body = handler.requests[0].body
        self.assertLessEqual(body.buffered, 192 * KIB)  # type: ignore[attr-defined]
        self.assertTrue(transport.paused)
        whole = Deferred.fromCoroutine(read_all(body, 2**30))
        while transport.waiting and not transport.paused:
            transport.deliver()
        self.assertEqual(len(self.successResultOf(whole)), 10_000 * KIB)

    def test_client_leaves_in_the_body(self) -> None:
        """A handler that waits for bytes learns that the client left, and may clean up."""
        ends: list[str] = []
        cleaning: Deferred[None] = Deferred()

        async def handle(request: Request) -> Response:
            try:
                await read_all(request.body, 100)
            except BodyAborted as error:
                ends.append(str(error))
                await cleaning
                ends.append("clean")
                raise
            return Response(201)

        server = Server(Function(handle))
        transport = server.connect()
        transport.send(put_head(6) + b"ab")
        transport.lose()
        cleaning.callback(None)
        self.assertEqual(ends, ["The transfer was cut after 2 bytes: the client left.", "clean"])
        self.assertEqual(server.factory.connections, 0)

    def test_client_leaves_before_the_answer(self) -> None:
        """A handler is cancelled when nobody waits for its answer (CMB-11)."""
        handler = Held()
        server = Server(handler)
        transport = server.connect()
        transport.send(GET)
        transport.lose()
        self.assertEqual(handler.ended, ["cancelled"])
        self.assertEqual(server.env.clock.getDelayedCalls(), [])

    def test_one_at_a_time(self) -> None:
        """Requests of one connection are answered in order, and what comes behind is bounded."""
        handler = Held()
        transport = Server(handler).connect()
        transport.send(GET * 3)
        self.assertEqual(len(handler.waits), 1)
        for size in range(4):
            transport.send(GET * 200)
            self.assertEqual(transport.paused, size > 1)
        handler.waits[0].callback(Response(200))
        self.assertEqual(len(handler.waits), 2)
        handler.waits[1].callback(Response(404))
        self.assertEqual(statuses(transport), [200, 404])


class ContinueTests(SynchronousTestCase):
    """Expect: 100-continue."""

    HEAD = put_head(3, b"Expect: 100-continue\r\n")

    def test_sent_when_asked(self) -> None:
        """100 goes out when the handler first asks for the body, not before."""
        held: list[bool] = []
        go: Deferred[None] = Deferred()

        async def handle(request: Request) -> Response:
            held.append(request.body.held_back)
            await go
            data = await read_all(request.body, 10)
            held.append(request.body.held_back)
            return Response(201, body=BytesBody(data))

        transport = Server(Function(handle)).connect()
        transport.send(self.HEAD)
        self.assertEqual(bytes(transport.written), b"")
        go.callback(None)
        self.assertEqual(bytes(transport.written), b"HTTP/1.1 100 Continue\r\n\r\n")
        transport.send(b"abc")
        self.assertEqual(responses(bytes(transport.written))[1][2], b"abc")
        self.assertEqual(held, [True, False])

    def test_refusal_costs_nothing(self) -> None:
        """A refusal comes without 100, then the connection ends; no body was sent."""
        transport = Server(answering(Response(307, Headers(Location="http://b/")))).connect()
        transport.send(self.HEAD)
        ((status, fields, _),) = responses(bytes(transport.written))
        self.assertEqual((status, fields["connection"]), (307, "close"))

    def test_not_sent_after_bytes(self) -> None:
        """A client that did not wait needs no 100."""
        transport = Server(Recorder()).connect()
        transport.send(self.HEAD + b"abc")
        self.assertEqual(statuses(transport), [200])

    def test_http10_has_none(self) -> None:
        """In HTTP/1.0 the field is ignored (RFC 9110 10.1.1)."""
        transport = Server(Recorder()).connect()
        transport.send(self.HEAD.replace(b"/1.1", b"/1.0"))
        self.assertEqual(bytes(transport.written), b"")
        transport.send(b"abc")
        self.assertEqual(statuses(transport), [200])


class RefusalTests(SynchronousTestCase):
    """Answers that come before the request's body has."""

    def test_body_is_never_a_request(self) -> None:
        """A 401 with the body in the same packet, later, or chunked: one answer, and what looks
        like a request in the body is not run."""
        smuggled = b"GET /s HTTP/1.1\r\nHost: a\r\n\r\n"
        chunked = b"PUT /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        for pieces in (
            [put(smuggled)],
            [put_head(len(smuggled)), smuggled],
            [chunked, b"%x\r\n%b\r\n" % (len(smuggled), smuggled), b"0\r\n\r\n"],
            [put_head(3, b"Expect: 100-continue\r\n"), smuggled],
        ):
            server = Server(answering(Response(401)))
            transport = server.connect()
            for piece in pieces:
                transport.send(piece)
            self.assertEqual(statuses(transport), [401])

    def test_lingers(self) -> None:
        """The rest of a refused upload is read for 5 s and 256 KiB, so that no reset eats the
        answer; then the connection closes."""
        server = Server(answering(Response(413)))
        transport = server.connect()
        transport.send(put_head(10_000_000))
        for _ in range(10):
            transport.send(bytes(64 * KIB))
        self.assertEqual(statuses(transport), [413])
        self.assertEqual(responses(bytes(transport.written))[0][1]["connection"], "close")
        self.assertEqual(len(transport.waiting), 5)
        server.pass_time(4)
        self.assertFalse(transport.closed)
        server.pass_time(2)
        self.assertTrue(transport.closed)
        self.assertEqual(server.env.clock.getDelayedCalls(), [])

    def test_handler_that_leaves_the_body(self) -> None:
        """A handler that closes the body and still thinks costs the client at most 64 KiB."""
        wait: Deferred[Response] = Deferred()

        async def handle(request: Request) -> Response:
            await request.body.aclose()
            return await wait

        transport = Server(Function(handle)).connect()
        transport.send(put_head(10_000_000))
        for _ in range(10):
            transport.send(bytes(32 * KIB))
        self.assertTrue(transport.paused)
        self.assertEqual(len(transport.waiting), 7)
        wait.callback(Response(413))
        self.assertEqual(statuses(transport), [413])
        self.assertFalse(transport.paused)

    def test_unread_small_body_keeps_the_connection(self) -> None:
        """If all of a body has come, a refusal costs no new connection."""
        transport = Server(answering(Response(405))).connect()
        transport.send(put(b"abc") * 2)
        self.assertEqual(statuses(transport), [405, 405])
        self.assertFalse(transport.closed)


class LimitTests(SynchronousTestCase):
    """Peers that are slow on purpose (E1, E2)."""

    def test_slow_headers(self) -> None:
        """20 s from accept for the first head, whatever trickles in; then 408."""
        server = Server(Recorder())
        transport = server.connect()
        for byte in b"GET / HTTP/1.1\r\nX":
            transport.send(bytes([byte]))
            server.pass_time(1)
        self.assertEqual(statuses(transport), [])
        server.pass_time(4)
        self.assertEqual(statuses(transport), [408])
        server.pass_time(6)
        self.assertTrue(transport.closed)

    def test_silent_from_the_start(self) -> None:
        """A connection without a request closes after 20 s, without an answer."""
        server = Server(Recorder())
        transport = server.connect()
        server.pass_time(19)
        self.assertFalse(transport.closed)
        server.pass_time(2)
        self.assertTrue(transport.closed)
        self.assertEqual(bytes(transport.written), b"")

    def test_idle(self) -> None:
        """A kept-alive connection closes after 60 s; a request in time keeps it."""
        server = Server(Recorder())
        transport = server.connect()
        for _ in range(3):
            transport.send(GET)
            server.pass_time(58)
        self.assertFalse(transport.closed)
        server.pass_time(3)
        self.assertTrue(transport.closed)

    def test_later_head(self) -> None:
        """A later request's head has 20 s from its first byte."""
        server = Server(Recorder())
        transport = server.connect()
        transport.send(GET)
        server.pass_time(30)
        transport.send(b"GET")
        server.pass_time(18)
        self.assertEqual(statuses(transport), [200])
        server.pass_time(4)
        self.assertEqual(statuses(transport), [200, 408])

    def test_slow_body(self) -> None:
        """Less than 1 KiB a second over 30 s is a 408; the handler's read fails."""
        server = Server(Recorder())
        transport = server.connect()
        transport.send(put_head(10**6))
        for _ in range(29):
            transport.send(bytes(KIB // 2))
            server.pass_time(1)
        self.assertEqual(statuses(transport), [])
        server.pass_time(2)
        self.assertEqual(statuses(transport), [408])

    def test_steady_body(self) -> None:
        """A body at 2 KiB a second may take its time."""
        server = Server(Recorder())
        transport = server.connect()
        transport.send(put_head(200 * 2 * KIB))
        for _ in range(200):
            transport.send(bytes(2 * KIB))
            server.pass_time(1)
        self.assertEqual(statuses(transport), [200])

    def test_our_own_pause_does_not_count(self) -> None:
        """A client that we paused for ten minutes is not late."""
        handler = Held()
        server = Server(handler)
        transport = server.connect()
        transport.send(put_head(10**6))
        for _ in range(10):
            transport.send(bytes(64 * KIB))
        server.pass_time(600, transport)
        self.assertFalse(transport.closed)
        self.assertEqual(handler.ended, [])

    def test_waiting_for_100_does_not_count(self) -> None:
        """Nor is one that waits for 100 Continue."""
        handler = Held()
        server = Server(handler)
        transport = server.connect()
        transport.send(ContinueTests.HEAD)
        server.pass_time(100)
        self.assertFalse(transport.closed)
        self.assertEqual(handler.ended, [])

    def test_stalled_reader(self) -> None:
        """A client that takes nothing for 120 s is cut, and the body closed."""
        body = Chunks(*[bytes(100 * KIB)] * 5)
        server = Server(answering(Response(200, None, body)))
        transport = server.connect(room=KIB)
        transport.send(GET)
        server.pass_time(119)
        self.assertFalse(transport.closed)
        server.pass_time(3)
        self.assertTrue(transport.aborted)
        self.assertEqual(body.closed, 1)

    def test_slow_handler(self) -> None:
        """A handler may take as long as it takes."""
        handler = Held()
        server = Server(handler)
        transport = server.connect()
        transport.send(GET)
        server.pass_time(1000)
        handler.waits[0].callback(Response(200))
        self.assertEqual(statuses(transport), [200])

    def test_file_deadline(self) -> None:
        """A file's deadline cuts a transfer that is still going on."""
        released: list[int] = []
        body = FileBody(
            MemoryFile(bytes(1000 * KIB), cached=False), 0, 1000 * KIB,
            lambda: released.append(1), deadline=10.0,
        )  # fmt: skip
        server = Server(answering(Response(200, None, body)))
        transport = server.connect(room=KIB)
        transport.send(GET)
        server.pass_time(9)
        self.assertFalse(transport.aborted)
        server.pass_time(2)
        self.assertTrue(transport.aborted)
        self.assertEqual(released, [1])
