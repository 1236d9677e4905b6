"""A connection's input: requests, their bodies, 100 Continue, refusals, clients that leave."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from pigpen.errors import BodyAborted
from pigpen.http.body import BytesBody, StreamBody, read_all
from pigpen.http.message import Headers, Request, Response
from tests.web_kit import (
    GET,
    KIB,
    Chunks,
    Function,
    Held,
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

    def test_target_beyond_ascii(self) -> None:
        """Who types an umlaut into an address for curl is told what to write instead."""
        transport = Server(Recorder()).connect()
        transport.send("GET /\xfc HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        [(status, _, body)] = responses(bytes(transport.written))
        self.assertEqual(status, 400)
        self.assertIn(b"%XX", body)

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

    def test_fields_that_repeat(self) -> None:
        """The same fields on one connection mean the same each time, whatever a handler did to the
        last request's, and whatever host an absolute target named."""
        handler = Recorder()
        transport = Server(handler).connect()
        for target in (b"http://b/", b"/1", b"/2?q", b"/3"):
            transport.send(b"GET %b HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n" % target)
            self.assertEqual(handler.requests[-1].headers.popall("X"), ["y"])
        transport.send(b"GET /4 HTTP/1.1\r\nHost: a\r\nX: z\r\n\r\n")
        self.assertEqual([request.headers["Host"] for request in handler.requests], [*"baaaa"])
        self.assertEqual(
            [(request.key.name, request.query_string) for request in handler.requests],
            [("", ""), ("1", ""), ("2", "q"), ("3", ""), ("4", "")],
        )
        self.assertEqual(dict(handler.requests[4].headers), {"Host": "a", "X": "z"})

    def test_fields_that_repeat_with_a_body(self) -> None:
        """Each request has its own body, whether it comes with its head, in parts, or later."""
        handler = Recorder()
        transport = Server(handler).connect()
        head = b"PUT /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"
        transport.send(head % 1 + b"abc")
        transport.send(head % 2 + b"def" + head % 3 + b"g")
        transport.send(b"hi")
        transport.send(head % 4)
        transport.send(b"jkl" + head % 5 + b"mno")
        bodies = [b"abc", b"def", b"ghi", b"jkl", b"mno"]
        expected = [("PUT", f"/{number}", body) for number, body in enumerate(bodies, 1)]
        self.assertEqual(handler.seen, expected)
        self.assertEqual(statuses(transport), [200] * 5)

    def test_fields_that_repeat_with_any_method(self) -> None:
        """A method is the one that was sent, whatever the last request's was."""
        handler = Recorder()
        transport = Server(handler).connect()
        methods = ["GET", "PROPFIND", "LOCK", "UNLOCK", "MKCOL", "POST", "OPTIONS", "REPORT", "PUT"]
        for method in methods:
            transport.send(b"%b /x HTTP/1.1\r\nHost: a\r\nDepth: 0\r\n\r\n" % method.encode())
        self.assertEqual([method for method, _, _ in handler.seen], methods)

    def test_bad_keys_are_refused_and_the_connection_stays(self) -> None:
        """A key that cannot be used is a 400 or 414 in JSON; the next request is served."""
        handler = Recorder()
        transport = Server(handler).connect()
        for target in (b"/a//b", b"/..", b"/%00", b"/%c0%ae", b"/" + b"a" * 256):
            transport.send(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target)
        transport.send(GET)
        self.assertEqual(statuses(transport), [400, 400, 400, 400, 414, 200])
        self.assertFalse(transport.closed)

    def test_methods(self) -> None:
        """WebDAV's methods reach a handler; a method nobody knows is 501, and TRACE 405."""
        methods = [b"PROPFIND", b"MKCOL", b"LOCK", b"REPORT", b"M-SEARCH", b"OPTIONS"]
        handler = Recorder()
        transport = Server(handler).connect()
        for method in methods:
            transport.send(b"%b /a HTTP/1.1\r\nHost: a\r\n\r\n" % method)
        self.assertEqual([method.encode() for method, _, _ in handler.seen], methods)
        for method, status in ((b"FROB", 501), (b"GETX", 501), (b"CONNECT", 501), (b"TRACE", 405)):
            transport = Server(handler).connect()
            transport.send(b"%b /a HTTP/1.1\r\nHost: a\r\n\r\n" % method)
            self.assertEqual(statuses(transport), [status])
        self.assertEqual(len(handler.seen), len(methods))

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
        transport.lose()
        self.assertEqual(handler.ended, ["answered", "answered", "cancelled"])


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


class LossTests(SynchronousTestCase):
    """The client's connection ends at every point (N1, Y7)."""

    REQUEST = (
        b"PUT /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n"
    )

    def test_in_the_request(self) -> None:
        """After any byte: the handler sees a cut body, or none, and nothing is left over."""
        for count in range(len(self.REQUEST) + 1):
            handler = Recorder()
            server = Server(handler)
            transport = server.connect()
            transport.send(self.REQUEST[:count])
            transport.lose()
            whole = count == len(self.REQUEST)
            self.assertEqual(handler.seen, [("PUT", "/a", b"abc0123456789abcdef")] * whole)
            self.assertEqual(server.factory.connections, 0)
            self.assertEqual(server.env.clock.getDelayedCalls(), [])

    def test_in_the_response(self) -> None:
        """After any chunk: the body is closed once, and nothing is written any more."""
        for count in range(6):
            body = Chunks(*[b"x" * 2000] * 5)
            server = Server(answering(Response(200, None, body)))
            transport = server.connect(room=KIB)
            transport.send(GET)
            for _ in range(count):
                transport.take()
            written = len(transport.written)
            transport.lose()
            self.assertEqual((len(transport.written), body.closed), (written, 1))
            self.assertEqual(server.env.clock.getDelayedCalls(), [])

    def test_in_an_echo(self) -> None:
        """A response made of the request's body ends with it."""
        ends: list[str] = []

        async def echo(request: Request) -> AsyncGenerator[bytes, None]:
            try:
                async for chunk in request.body:
                    yield chunk
            finally:
                ends.append("closed")

        async def handle(request: Request) -> Response:
            return Response(200, None, StreamBody(echo(request)))

        transport = Server(Function(handle)).connect()
        transport.send(put_head(6) + b"abc")
        self.assertTrue(transport.written.endswith(b"3\r\nabc\r\n"))
        transport.lose()
        self.assertEqual(ends, ["closed"])

    def test_loss_timeout_and_answer_together(self) -> None:
        """The end, a limit and the answer in one turn, in any order: one outcome, no late call."""
        for order in itertools.permutations(("lose", "limit", "answer")):
            handler = Held()
            server = Server(handler, body_rate_seconds=1)
            transport = server.connect()
            transport.send(put_head(6) + b"abc")
            for step in order:
                if step == "lose":
                    transport.lose()
                elif step == "limit":
                    server.pass_time(3)
                elif not handler.waits[0].called:
                    handler.waits[0].callback(Response(200))
            self.assertEqual(len(handler.ended), 1)
            server.pass_time(10)
            self.assertEqual(server.env.clock.getDelayedCalls(), [])
