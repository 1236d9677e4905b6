"""The HTTP server: bodies, responses, refusals, limits, ends. Time moves by `Server.pass_time`."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from pigpen.errors import BodyAborted, ConnectFailed, TimedOut, TooLarge, Unauthorized, Unavailable
from pigpen.http.body import BytesBody, FileBody, StreamBody, read_all
from pigpen.http.message import Headers, Request, Response
from tests.fake_web import FakeTransport, Function, Recorder, Server, responses

GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
KIB = 1024


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


class ResponseTests(SynchronousTestCase):
    """What reaches a client."""

    def answer(
        self, response: Response, request: bytes = GET
    ) -> tuple[int, dict[str, str], bytes, bool]:
        transport = Server(answering(response)).connect()
        transport.send(request)
        ((status, fields, body),) = responses(bytes(transport.written))
        return status, fields, body, transport.closed

    def test_plain(self) -> None:
        """A response says who, when, how long; the connection stays."""
        status, fields, body, closed = self.answer(
            Response(200, Headers({"X": "y"}), BytesBody(b"hello"))
        )
        self.assertEqual((status, body, closed), (200, b"hello", False))
        self.assertEqual(
            fields,
            {"server": "pigpen", "date": "Fri, 15 Jan 2027 08:00:00 GMT", "x": "y",
             "content-length": "5"},
        )  # fmt: skip

    def test_head(self) -> None:
        """HEAD has GET's fields and no body, which is closed unread."""
        body = Chunks(b"abc", length=3)
        head = GET.replace(b"GET", b"HEAD")
        transport = Server(answering(Response(200, None, body))).connect()
        transport.send(head)
        self.assertTrue(transport.written.endswith(b"Content-Length: 3\r\n\r\n"))
        self.assertEqual((body.asked, body.closed), (0, 1))
        transport = Server(answering(Response(200, Headers({"Content-Length": "9"})))).connect()
        transport.send(head)
        self.assertIn(b"Content-Length: 9\r\n", transport.written)
        transport = Server(answering(Response(200))).connect()
        transport.send(head)
        self.assertNotIn(b"Content-Length", transport.written)

    def test_no_body_statuses(self) -> None:
        """204 and 304 have no body, whatever the handler gave."""
        for status in (204, 304):
            body = Chunks(b"abc", length=3)
            _, fields, _, closed = self.answer(Response(status, Headers(ETag='"x"'), body))
            self.assertNotIn("content-length", fields)
            self.assertEqual((body.closed, closed), (1, False))

    def test_unknown_length(self) -> None:
        """Chunks for HTTP/1.1, the connection's end for HTTP/1.0."""
        _, fields, data, closed = self.answer(Response(200, None, Chunks(b"ab", b"c")))
        self.assertEqual((fields["transfer-encoding"], data, closed), ("chunked", b"abc", False))
        transport = Server(answering(Response(200, None, Chunks(b"ab", b"c")))).connect()
        transport.send(b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        self.assertTrue(transport.written.endswith(b"Connection: close\r\n\r\nabc"))
        self.assertTrue(transport.closed)

    def test_http10_keeps_alive_if_asked(self) -> None:
        """HTTP/1.0 clients that ask for it may send the next request."""
        request = b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
        _, fields, _, closed = self.answer(Response(200), request)
        self.assertEqual((fields["connection"], closed), ("keep-alive", False))
        _, fields, _, closed = self.answer(Response(200), b"GET /a HTTP/1.0\r\n\r\n")
        self.assertEqual((fields["connection"], closed), ("close", True))

    def test_handlers_hop_by_hop_is_dropped(self) -> None:
        """Framing is ours: what a relayed answer says of its own connection is not passed on."""
        _, fields, body, _ = self.answer(
            Response(
                200,
                Headers(
                    {
                        "Transfer-Encoding": "gzip",
                        "Connection": "close",
                        "Server": "x",
                        "Date": "then",
                        "Content-Length": "3",
                    }
                ),
                Chunks(b"abc", length=3),
            )
        )
        self.assertEqual(body, b"abc")
        self.assertEqual(fields, {"server": "pigpen", "date": "then", "content-length": "3"})

    def test_small_file(self) -> None:
        """A small file in memory is one write; it is given back once."""
        file, released = _File(b"0123456789"), []
        body = FileBody(file, 2, 5, lambda: released.append(1))
        self.assertEqual(self.answer(Response(206, None, body))[2], b"23456")
        self.assertEqual((released, file.reads), ([1], []))

    def test_slow_file(self) -> None:
        """A file that must be read from disk is read in a thread."""
        file, released = _File(b"0123456789", cached=False), []
        body = FileBody(file, 2, 5, lambda: released.append(1))
        self.assertEqual(self.answer(Response(206, None, body))[2], b"23456")
        self.assertEqual((released, file.reads), ([1], [(2, 5)]))

    def test_unsafe_fields(self) -> None:
        """No handler can split a response or send what a field cannot hold (F1)."""
        for name, value in [
            ("X", "a\r\nY: b"), ("X", "a\nb"), ("X", "a\0b"), ("X", "a\rb"), ("X", "☃"),
            ("X Y", "a"), ("X:", "a"), ("", "a"), ("Content-Length", "x"), ("Content-Length", "7"),
        ]:  # fmt: skip
            body = Chunks(b"abc", length=3)
            status, _, text, _ = self.answer(Response(200, Headers([(name, value)]), body))
            self.assertEqual((status, body.closed), (500, 1))
            self.assertNotIn(b"splitting", text)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 10)

    def test_impossible_responses(self) -> None:
        """A handler that returns no final response is a 500, not a hang."""
        for wrong in (Response(100), Response(99), None):
            self.assertEqual(self.answer(wrong)[0], 500)  # type: ignore[arg-type]
        self.assertEqual(len(self.flushLoggedErrors()), 3)


class _File:
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


class FailureTests(SynchronousTestCase):
    """What a client gets when a handler fails (CMB-1)."""

    def test_named_errors(self) -> None:
        """A PigpenError is answered with its status, code and sentence."""

        for error, status in [
            (Unauthorized(), 401), (TooLarge(limit=3), 413), (Unavailable(reason="x"), 503),
            (ConnectFailed(peer="a", reason="b"), 502),
            (TimedOut(peer="a", seconds=3.0, phase="b"), 504),
        ]:  # fmt: skip

            async def handle(request: Request, error: Exception = error) -> Response:
                raise error

            transport = Server(Function(handle)).connect()
            transport.send(GET)
            ((got, fields, body),) = responses(bytes(transport.written))
            self.assertEqual((got, fields["content-type"]), (status, "application/json"))
            self.assertIn(b'"message":', body)
            self.assertFalse(transport.closed)

    def test_bugs(self) -> None:
        """Any other exception is logged once and answered by a text without details."""
        for later in (False, True):
            wait: Deferred[None] = Deferred()

            async def handle(
                request: Request, later: bool = later, wait: Deferred[None] = wait
            ) -> Response:
                if later:
                    await wait
                raise RuntimeError("secret")

            transport = Server(Function(handle)).connect()
            transport.send(GET)
            wait.callback(None)
            ((status, _, body),) = responses(bytes(transport.written))
            self.assertEqual(status, 500)
            self.assertNotIn(b"secret", body)
            self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_body_fails(self) -> None:
        """After the head, a failed, short or long body aborts: it never ends cleanly (P3)."""
        for body in (
            Chunks(b"ab", BodyAborted(received=2, reason="x"), length=4),
            Chunks(b"ab", OSError("x")),
            Chunks(b"ab", length=4),
            Chunks(b"abcde", length=4),
        ):
            transport = Server(answering(Response(200, None, body))).connect()
            transport.send(GET)
            self.assertTrue(transport.aborted)
            self.assertFalse(transport.written.endswith(b"0\r\n\r\n"))
            self.assertEqual(body.closed, 1)

    def test_body_has_a_bug(self) -> None:
        """An unexpected failure of a body is logged once, and aborts."""
        transport = Server(answering(Response(200, None, Chunks(RuntimeError("x"))))).connect()
        transport.send(GET)
        self.assertTrue(transport.aborted)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_bad_chunk_in_an_upload(self) -> None:
        """The handler's read fails, the client gets a 400 and the connection ends."""
        transport = (server := Server(Recorder())).connect()
        transport.send(b"PUT /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        transport.send(b"3\r\nabc\r\n")
        transport.send(b"xyz\r\n")
        self.assertEqual(statuses(transport), [400])
        server.pass_time(6, transport)
        self.assertTrue(transport.closed)


class PushBackTests(SynchronousTestCase):
    """A client that does not read."""

    def test_slow_reader(self) -> None:
        """A body is not asked for more than the client takes."""
        body = Chunks(*[bytes(100 * KIB)] * 50, length=5000 * KIB)
        transport = Server(answering(Response(200, None, body))).connect(room=64 * KIB)
        transport.send(GET)
        self.assertLessEqual(body.asked, 2)
        while not body.closed:
            transport.take()
        transport.take()
        self.assertEqual(len(responses(bytes(transport.written))[0][2]), 5000 * KIB)

    def test_pipelined_responses_wait(self) -> None:
        """Many requests in one packet do not pile up responses that nobody reads."""
        body = b"x" * 10_000
        handled = []

        async def handle(request: Request) -> Response:
            handled.append(request)
            return Response(200, None, BytesBody(body))

        transport = Server(Function(handle)).connect(room=64 * KIB)
        transport.send(GET * 1000)
        self.assertLess(len(handled), 10)
        while len(handled) < 1000:
            transport.take()
        transport.take()
        self.assertEqual(statuses(transport), [200] * 1000)

    def test_client_leaves_in_the_response(self) -> None:
        """The body is closed at once when the client leaves (CMB-11)."""
        for wait in (None, Deferred[None]()):
            body = Chunks(*[bytes(100 * KIB)] * 50)
            body.wait = wait
            server = Server(answering(Response(200, None, body)))
            transport = server.connect(room=KIB)
            transport.send(GET)
            self.assertEqual(body.closed, 0)
            transport.lose()
            self.assertEqual(body.closed, 1)
            self.assertEqual(server.env.clock.getDelayedCalls(), [])

    def test_client_leaves_as_the_handler_answers(self) -> None:
        """A response that nobody waits for is closed unsent."""
        body = Chunks(b"abc")

        async def handle(request: Request) -> Response:
            with contextlib.suppress(BodyAborted):
                await request.body.__anext__()
            return Response(200, None, body)

        transport = Server(Function(handle)).connect()
        transport.send(put_head(3))
        transport.lose()
        self.assertEqual((bytes(transport.written), body.asked, body.closed), (b"", 0, 1))

    def test_generator_bodies_are_closed(self) -> None:
        """A generator's own cleaning runs when the client leaves."""
        ends = []

        async def chunks() -> AsyncGenerator[bytes, None]:
            try:
                while True:
                    yield bytes(100 * KIB)
            finally:
                ends.append(1)

        transport = Server(answering(Response(200, None, StreamBody(chunks())))).connect(room=KIB)
        transport.send(GET)
        transport.lose()
        self.assertEqual(ends, [1])


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
            _File(bytes(1000 * KIB), cached=False), 0, 1000 * KIB,
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

    def test_too_many_connections(self) -> None:
        """Over the limit, in all or of one address or IPv6 /64, a connection is closed at once; a
        closed one makes room; loopback is exempt from the second limit."""
        server = Server(Recorder(), connections=6, connections_per_address=2)
        first = server.connect("192.0.2.1")
        self.assertFalse(server.connect("192.0.2.1").closed)
        self.assertTrue(server.connect("192.0.2.1").closed)
        first.lose()
        self.assertFalse(server.connect("192.0.2.1").closed)
        self.assertFalse(server.connect("2001:db8::1").closed)
        self.assertFalse(server.connect("2001:db8::2").closed)
        self.assertTrue(server.connect("2001:db8::3").closed)
        self.assertFalse(server.connect("127.0.0.1").closed)
        self.assertFalse(server.connect("127.0.0.1").closed)
        self.assertTrue(server.connect("192.0.2.3").closed)


class DrainTests(SynchronousTestCase):
    """A clean stop."""

    def test_drain(self) -> None:
        """Idle connections close, requests under way end, nothing new is taken."""
        handler = Held()
        server = Server(handler)
        idle, busy = server.connect(), server.connect()
        busy.send(GET)
        done = Deferred.fromCoroutine(server.factory.drain(10))
        self.assertTrue(idle.closed)
        self.assertTrue(server.connect().closed)
        self.assertNoResult(done)
        handler.waits[0].callback(Response(200))
        self.assertEqual(responses(bytes(busy.written))[0][1]["connection"], "close")
        self.assertTrue(busy.closed)
        self.successResultOf(done)
        self.assertEqual(server.env.clock.getDelayedCalls(), [])

    def test_cut(self) -> None:
        """What has not ended in the time is cut."""
        handler = Held()
        server = Server(handler)
        transport = server.connect()
        transport.send(GET)
        done = Deferred.fromCoroutine(server.factory.drain(10))
        server.pass_time(9)
        self.assertNoResult(done)
        server.pass_time(1)
        self.successResultOf(done)
        self.assertTrue(transport.aborted)
        self.assertEqual(handler.ended, ["cancelled"])

    def test_nothing_to_drain(self) -> None:
        """Without connections it returns at once."""
        self.successResultOf(Deferred.fromCoroutine(Server(Recorder()).factory.drain(10)))
