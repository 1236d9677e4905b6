"""The server as a whole: how many connections, and a clean stop."""

from __future__ import annotations

import gc
import weakref

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from pigpen.http.body import BytesBody
from pigpen.http.message import Response
from tests.web_kit import (
    GET,
    Held,
    Recorder,
    Server,
    answering,
    responses,
    statuses,
)


class ConnectionTests(SynchronousTestCase):
    """How many may come."""

    def test_too_many_connections(self) -> None:
        """Over the limit of one address or IPv6 /64 a connection is closed at once; a closed one
        makes room; loopback is exempt."""
        server = Server(Recorder(), connections_per_address=2)
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
        self.assertFalse(server.connect("127.0.0.1").closed)

    def test_as_told(self) -> None:
        """Unless told otherwise, 50 come from one address, and 1,000 in all, as the documentation
        says; of those that ask for nothing the first gives way."""
        server = Server(Recorder())
        first = [server.connect("192.0.2.1") for _ in range(50)]
        self.assertFalse(any(one.closed for one in first))
        self.assertTrue(server.connect("192.0.2.1").closed)
        for number in range(950):
            self.assertFalse(server.connect(f"198.51.{number // 50}.1").closed)
        self.assertFalse(first[0].closed)
        self.assertFalse(server.connect("203.0.113.1").closed)
        self.assertTrue(first[0].closed)

    def test_crowd(self) -> None:
        """A crowd that asks for nothing keeps nobody out: for each newcomer the connection that
        was used longest ago ends. Those with a request stay; if all have one, nobody is added."""
        handler = Held()
        server = Server(handler, connections=3)
        used, busy, silent = (server.connect() for _ in range(3))
        used.send(GET)
        handler.waits.pop().callback(Response(200))
        busy.send(GET)
        silent.send(b"GET / HTTP/1.1\r\nX")
        new = server.connect()
        self.assertEqual([one.aborted for one in (used, busy, silent)], [False, False, True])
        new.send(GET)
        self.assertFalse(server.connect().closed)
        self.assertTrue(used.aborted)
        server.connect().send(GET)
        self.assertTrue(server.connect().closed)
        self.assertFalse(busy.aborted or new.aborted)
        for wait in handler.waits:
            wait.callback(Response(200))
        self.assertEqual([statuses(one) for one in (busy, new)], [[200], [200]])
        self.assertEqual(server.factory.connections, 3)

    def test_no_remains(self) -> None:
        """What a connection held is free when it is lost, without a look for garbage."""
        server = Server(Recorder())
        gc.disable()
        self.addCleanup(gc.enable)
        for sent in (b"", b"GET / HT", GET):
            transport = server.connect()
            transport.send(sent)
            channel = weakref.ref(transport.protocol)
            transport.lose()
            del transport.protocol  # as Twisted's do
            self.assertIsNone(channel(), sent)

    def test_crowd_that_does_not_read(self) -> None:
        """Nobody's answer is cut off for a newcomer while it is on its way."""
        server = Server(answering(Response(200, None, BytesBody(bytes(1000)))), connections=1)
        slow = server.connect(room=100)
        slow.send(GET)
        self.assertTrue(server.connect().closed)
        self.assertFalse(slow.aborted)

    def test_mapped_addresses(self) -> None:
        """An IPv4 address counts as itself where it comes by an IPv6 socket."""
        server = Server(Recorder(), connections_per_address=1)
        self.assertFalse(server.connect("::ffff:192.0.2.1").closed)
        self.assertTrue(server.connect("::ffff:192.0.2.1").closed)
        self.assertTrue(server.connect("192.0.2.1").closed)
        self.assertFalse(server.connect("::ffff:192.0.2.2").closed)
        for _ in range(2):
            self.assertFalse(server.connect("::ffff:127.0.0.1").closed)


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
