"""Clients that are slow on purpose. Time moves by `Server.pass_time`; nothing needs flushing."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from pigpen.http.body import FileBody
from pigpen.http.message import Response
from tests.web_kit import (
    GET,
    KIB,
    Chunks,
    Held,
    MemoryFile,
    Recorder,
    Server,
    answering,
    put_head,
    statuses,
)


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
        transport.send(put_head(3, b"Expect: 100-continue\r\n"))
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

    def test_file_idle(self) -> None:
        """A file may allow its reader less time than others have, but not more."""
        for idle, seconds in ((10.0, 10), (1800.0, 120)):
            body = FileBody(
                MemoryFile(bytes(1000 * KIB), cached=False), 0, 1000 * KIB, lambda: None, idle=idle
            )
            server = Server(answering(Response(200, None, body)))
            transport = server.connect(room=KIB)
            transport.send(GET)
            server.pass_time(seconds - 1)
            self.assertFalse(transport.aborted)
            server.pass_time(3)
            self.assertTrue(transport.aborted)

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
