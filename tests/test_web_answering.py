"""A connection's output: handlers that fail, bodies that fail, clients that do not read."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from pigpen.errors import BodyAborted, ConnectFailed, TimedOut, TooLarge, Unauthorized, Unavailable
from pigpen.http.body import BytesBody, StreamBody
from pigpen.http.message import Request, Response
from tests.web_kit import (
    GET,
    KIB,
    Chunks,
    Function,
    Recorder,
    Server,
    answering,
    put_head,
    responses,
    statuses,
)


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
