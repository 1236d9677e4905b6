"""The simulated network: order, push-back, and all the ways in which connections end.

Every test runs on simulated time; `World.run` advances it until the work is done.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.error import (
    CannotListenError,
    ConnectBindError,
    ConnectingCancelledError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
    TimeoutError,
)
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from pigpen.env import sleep
from pigpen.testing import SEND_BUFFER_BYTES, WINDOW_BYTES, SimEnv, World

LATENCY = (0.001, 0.02)


class Peer(Protocol):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.data = b""
        self.pieces = 0
        self.lost: Exception | None = None

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        self.pieces += 1

    def connectionLost(self, reason) -> None:
        assert self.lost is None
        self.lost = reason.value


@implementer(IHalfCloseableProtocol)
class HalfPeer(Peer):
    halves: tuple[str, ...] = ()

    def readConnectionLost(self) -> None:
        self.halves += ("read",)

    def writeConnectionLost(self) -> None:
        self.halves += ("write",)


class Producer:
    """Writes without end, unless it is paused."""

    def __init__(self, transport, chunk: bytes = b"x" * 1000) -> None:
        self.transport = transport
        self.chunk = chunk
        self.calls: list[str] = []
        self.paused = False

    def pauseProducing(self) -> None:
        self.calls.append("pause")
        self.paused = True

    def resumeProducing(self) -> None:
        self.calls.append("resume")
        self.paused = False
        while not self.paused and self.transport.written < 2_000_000:
            self.transport.write(self.chunk)

    def stopProducing(self) -> None:
        self.calls.append("stop")
        self.paused = True


class PullProducer(Producer):
    def resumeProducing(self) -> None:
        self.calls.append("resume")
        if len(self.calls) < 10:
            self.transport.write(self.chunk)
        else:
            self.transport.unregisterProducer()
            self.transport.loseConnection()


class Case(SynchronousTestCase):
    """A server on node b, and a client on node a that is connected to it."""

    seed = 0
    server_class = Peer
    client_class = Peer

    def setUp(self) -> None:
        self.make(self.seed)

    def make(self, seed: int) -> None:
        self.world = World(seed, latency=LATENCY)
        self.a, self.b = self.world.node("a"), self.world.node("b")
        self.servers: list[Peer] = []

    def listen(self, env: SimEnv, description: str = "tcp:2573"):
        made = self.servers

        class Listening(Factory):
            def buildProtocol(self, address):
                made.append(type_())
                return made[-1]

        type_ = self.server_class
        return self.world.run(env.server_endpoint(description).listen(Listening()))

    def connect(self, env: SimEnv, host: str = "b", port: int = 2573) -> Peer:
        return self.world.run(
            env.client_endpoint(host, port).connect(Factory.forProtocol(self.client_class))
        )

    def pair(self) -> tuple[Peer, Peer]:
        self.port = self.listen(self.b)
        client = self.connect(self.a)
        return client, self.servers[-1]

    def wait(self, seconds: float = 1.0) -> None:
        self.world.run(sleep(self.a, seconds))

    def clean(self) -> None:
        self.world.run(self.port.stopListening())
        self.world.settle()
        self.world.assert_clean(collect=False)


class StreamTests(Case):
    def test_bytes(self) -> None:
        """Bytes arrive complete and in order, split at random places, both ways."""
        for seed in range(20):
            self.make(seed)
            client, server = self.pair()
            up = bytes(range(256)) * 800
            client.transport.write(up)
            server.transport.writeSequence([b"down", b"", b"wards"])
            self.wait(60)
            self.assertEqual((server.data, client.data), (up, b"downwards"))
            client.transport.loseConnection()
            self.wait()
            self.assertIsInstance(client.lost, ConnectionDone)
            self.assertIsInstance(server.lost, ConnectionDone)
            self.clean()

    def test_addresses(self) -> None:
        """Each end knows its own and the other's address; loopback is a node's own."""
        client, server = self.pair()
        self.assertEqual(client.transport.getPeer().host, self.b.host.address)
        self.assertEqual(client.transport.getPeer().port, 2573)
        self.assertEqual(client.transport.getHost(), server.transport.getPeer())
        self.assertEqual(self.connect(self.b, "127.0.0.1").transport.getPeer().host, "127.0.0.1")
        self.assertEqual(self.connect(self.a, self.b.host.address).connected, 1)

    def test_other_interface(self) -> None:
        """What listens on loopback cannot be reached from elsewhere."""
        self.listen(self.b, "tcp:2573:interface=127.0.0.1")
        self.assertRaises(ConnectionRefusedError, self.connect, self.a)
        self.connect(self.b, "localhost")

    def test_last_words(self) -> None:
        """What was written before losing the connection still arrives, however much it is."""
        client, server = self.pair()
        client.transport.write(b"x" * 300_000)
        client.transport.loseConnection()
        client.transport.loseConnection()
        self.wait(60)
        self.assertEqual(len(server.data), 300_000)
        self.clean()

    def test_latency(self) -> None:
        """Bytes need time."""
        client, server = self.pair()
        self.world.network.slow("a", "b", 5, 5)
        client.transport.write(b"x")
        self.wait(4.9)
        self.assertEqual(server.data, b"")
        self.wait(0.2)
        self.assertEqual(server.data, b"x")

    def test_ports(self) -> None:
        """A port that is taken is refused; port 0 takes a free one."""
        port = self.listen(self.b)
        self.assertRaises(CannotListenError, self.listen, self.b)
        free = self.listen(self.b, "tcp:0")
        self.assertNotEqual(free.getHost().port, 0)
        self.connect(self.a, "b", free.getHost().port)
        self.world.run(port.stopListening())
        self.listen(self.b)

    def test_not_bytes(self) -> None:
        """Text is refused, as by a real transport."""
        client, _ = self.pair()
        self.assertRaises(TypeError, client.transport.write, "text")


class PushBackTests(Case):
    def test_reader_pauses(self) -> None:
        """A reader who pauses stops the writer's producer; the buffers stay bounded."""
        client, server = self.pair()
        server.transport.pauseProducing()
        producer = Producer(client.transport)
        client.transport.registerProducer(producer, True)
        producer.resumeProducing()
        self.wait(600)
        self.assertEqual(server.data, b"")
        self.assertEqual(producer.calls, ["resume", "pause"])
        most = WINDOW_BYTES + SEND_BUFFER_BYTES + 1000
        self.assertLessEqual(client.transport.written, most)
        server.transport.resumeProducing()
        self.wait(600)
        self.assertEqual(len(server.data), 2_000_000)
        self.assertGreater(producer.calls.count("pause"), 10)
        client.transport.unregisterProducer()

    def test_pause_in_delivery(self) -> None:
        """A protocol that pauses while it gets bytes gets no more until it resumes."""
        client, server = self.pair()
        server.dataReceived = lambda data: (
            Peer.dataReceived(server, data),
            server.transport.pauseProducing(),
        )
        client.transport.write(b"x" * 200_000)
        self.wait(60)
        self.assertEqual(server.pieces, 1)
        server.transport.resumeProducing()
        self.wait(60)
        self.assertEqual(server.pieces, 2)

    def test_pull_producer(self) -> None:
        """A pull producer is asked when all before was sent."""
        client, server = self.pair()
        producer = PullProducer(client.transport, b"y" * 10_000)
        client.transport.registerProducer(producer, False)
        self.wait(60)
        self.assertEqual(len(server.data), 90_000)
        self.assertIsInstance(server.lost, ConnectionDone)

    def test_producer_is_stopped(self) -> None:
        """A lost connection stops its producer, and a late one at once."""
        client, server = self.pair()
        server.transport.pauseProducing()
        producer = Producer(client.transport)
        client.transport.registerProducer(producer, True)
        self.assertRaises(RuntimeError, client.transport.registerProducer, producer, True)
        server.transport.abortConnection()
        producer.resumeProducing()
        self.wait()
        self.assertEqual(producer.calls[-1], "stop")
        late = Producer(client.transport)
        client.transport.registerProducer(late, True)
        self.assertEqual(late.calls, ["stop"])

    def test_close_waits_for_producer(self) -> None:
        """Losing the connection waits until the producer is unregistered."""
        client, server = self.pair()
        client.transport.registerProducer(Producer(client.transport), True)
        client.transport.loseConnection()
        self.wait()
        self.assertIsNone(client.lost)
        client.transport.unregisterProducer()
        self.wait()
        self.assertIsInstance(server.lost, ConnectionDone)


class EndTests(Case):
    def test_abort(self) -> None:
        """An abort is a reset, not a polite end, for the other side."""
        client, server = self.pair()
        client.transport.write(b"never sent")
        client.transport.abortConnection()
        self.assertIsNone(client.lost)
        self.wait()
        self.assertIsInstance(client.lost, ConnectionAborted)
        self.assertIsInstance(server.lost, ConnectionLost)
        self.assertEqual(server.data, b"")
        self.clean()

    def test_unread_bytes_reset(self) -> None:
        """Closing with bytes unread resets the peer; it may lose the last answer."""
        kept = set()
        for seed in range(30):
            self.make(seed)
            client, server = self.pair()
            server.transport.pauseProducing()
            client.transport.pauseProducing()
            client.transport.write(b"x" * 1000)
            self.wait()
            server.transport.write(b"answer")
            server.transport.loseConnection()
            self.wait()
            client.transport.resumeProducing()
            self.wait()
            self.assertIsInstance(client.lost, ConnectionLost)
            kept.add(client.data)
        self.assertEqual(kept, {b"", b"answer"})

    def test_write_to_closed(self) -> None:
        """Writing to a peer that has closed brings a reset."""
        self.client_class = HalfPeer
        client, server = self.pair()
        server.transport.loseConnection()
        self.wait()
        self.assertEqual(client.halves, ("read",))
        client.transport.write(b"too late")
        self.wait()
        self.assertIsInstance(client.lost, ConnectionLost)

    def test_half_close(self) -> None:
        """One side may end its bytes and still hear the other."""
        self.client_class = self.server_class = HalfPeer
        client, server = self.pair()
        client.transport.write(b"question")
        client.transport.loseWriteConnection()
        self.wait()
        self.assertEqual((client.halves, server.halves), (("write",), ("read",)))
        server.transport.write(b"answer")
        server.transport.loseConnection()
        self.wait()
        self.assertEqual((server.data, client.data), (b"question", b"answer"))

    def test_paused_reader_hears_late(self) -> None:
        """Who does not read does not hear that the peer has closed."""
        client, server = self.pair()
        server.transport.pauseProducing()
        client.transport.loseConnection()
        self.wait(600)
        self.assertIsNone(server.lost)
        server.transport.resumeProducing()
        self.wait()
        self.assertIsInstance(server.lost, ConnectionDone)

    def test_reset_at_each_byte(self) -> None:
        """A connection can be cut at every byte; exactly the bytes before it arrive."""
        for count in range(20):
            for how, error in (("reset", ConnectionLost), ("fin", ConnectionDone)):
                self.make(count)
                client, server = self.pair()
                self.world.network.cut_after(count, "a", how)
                client.transport.write(bytes(range(20)))
                self.wait()
                self.assertEqual(server.data, bytes(range(count)))
                self.assertIsInstance(server.lost, error)
                self.assertIsInstance(client.lost, ConnectionLost)
                self.clean()

    def test_silence(self) -> None:
        """A connection can go silent: no bytes and no end, for either side."""
        client, server = self.pair()
        self.world.network.cut_after(3, "a", "silence")
        client.transport.write(b"abcdef")
        server.transport.write(b"hello")
        self.wait(600)
        self.assertEqual(server.data, b"abc")
        client.transport.abortConnection()
        self.wait(600)
        self.assertIsNone(server.lost)

    def test_half_open(self) -> None:
        """One end is gone and nobody was told; the first bytes to it bring a reset."""
        client, server = self.pair()
        self.world.network.half_open(server.transport)
        self.wait(600)
        self.assertEqual((client.lost, server.lost), (None, None))
        client.transport.write(b"anyone?")
        self.wait()
        self.assertIsInstance(client.lost, ConnectionLost)

    def test_nth_segment(self) -> None:
        """The n-th segment can break its connection."""
        client, server = self.pair()
        self.world.network.fail_next(OSError(), "segment")
        client.transport.write(b"x")
        self.wait()
        self.assertIsInstance(server.lost, ConnectionLost)
        self.assertEqual(server.data, b"")

    def test_bug_in_protocol(self) -> None:
        """An exception out of a protocol is logged and ends its connection."""
        client, server = self.pair()
        server.dataReceived = lambda data: 1 / 0
        client.transport.write(b"x")
        self.world.settle()
        self.assertIsInstance(server.lost, ZeroDivisionError)
        self.assertIsInstance(client.lost, ConnectionLost)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(len(self.world.errors), 1)


class ConnectTests(Case):
    def connecting(self) -> tuple[Deferred, list]:
        done = self.a.client_endpoint("b", 2573).connect(Factory.forProtocol(Peer))
        heard: list = []
        done.addErrback(lambda failure: heard.append(failure.type))
        return done, heard

    def test_failures(self) -> None:
        """Nobody listens; no such name; an error that was ordered."""
        self.assertRaises(ConnectionRefusedError, self.connect, self.a)
        self.assertRaises(DNSLookupError, self.connect, self.a, "nowhere")
        self.world.network.fail_next(OSError(101, "unreachable"), "connect")
        self.assertRaises(OSError, self.connect, self.a)
        self.world.network.fail_next(OSError(98, "in use"), "listen")
        self.assertRaises(CannotListenError, self.listen, self.b)
        self.world.settle()
        self.world.assert_clean(collect=False)

    def test_timeout(self) -> None:
        """A machine that is gone does not answer; the attempt ends after 30 s."""
        self.b.kill(silent=True)
        _, heard = self.connecting()
        self.wait(29)
        self.assertEqual(heard, [])
        self.wait(2)
        self.assertEqual(heard, [TimeoutError])

    def test_cancel(self) -> None:
        """A cancelled attempt ends at once; the server sees a short connection at most."""
        self.port = self.listen(self.b)
        done, heard = self.connecting()
        done.cancel()
        self.assertEqual(heard, [ConnectingCancelledError])
        self.wait()
        self.assertTrue(all(server.lost for server in self.servers))
        self.clean()

    def test_no_protocol(self) -> None:
        """A factory that builds nothing refuses the connection."""
        self.port = self.listen(self.b)
        factory = Factory.forProtocol(Peer)
        factory.buildProtocol = lambda address: None
        connecting = self.a.client_endpoint("b", 2573).connect(factory)
        self.assertRaises(ConnectBindError, self.world.run, connecting)
        self.wait()
        self.clean()


class PartitionTests(Case):
    def test_held(self) -> None:
        """A partition holds bytes and lets them arrive, in order, when it ends."""
        client, server = self.pair()
        self.world.network.partition("a", "b")
        client.transport.write(b"one ")
        self.wait(100)
        client.transport.write(b"two")
        server.transport.write(b"back")
        self.wait(100)
        self.assertEqual((server.data, client.data), (b"", b""))
        self.world.network.heal("a", "b")
        self.wait()
        self.assertEqual((server.data, client.data), (b"one two", b"back"))

    def test_one_way(self) -> None:
        """Only one direction may be cut."""
        client, server = self.pair()
        self.world.network.partition("a", "b", one_way=True)
        client.transport.write(b"up")
        server.transport.write(b"down")
        self.wait()
        self.assertEqual((server.data, client.data), (b"", b"down"))
        self.world.network.heal()
        self.wait()
        self.assertEqual(server.data, b"up")

    def test_clog(self) -> None:
        """A clogged node is cut from all others, new connections too, but not from itself."""
        client, server = self.pair()
        self.world.network.clog("b")
        client.transport.write(b"x")
        connecting = self.a.client_endpoint("b", 2573).connect(Factory.forProtocol(Peer))
        self.connect(self.b, "localhost")
        self.wait(20)
        self.assertEqual(server.data, b"")
        self.world.network.unclog("b")
        self.assertIsInstance(self.world.run(connecting), Peer)
        self.assertEqual(server.data, b"x")

    def test_reset_all(self) -> None:
        """All connections between two nodes can be broken, others not."""
        client, server = self.pair()
        own = self.connect(self.b, "localhost")
        self.world.network.reset_all("a", "b")
        self.assertIsInstance(client.lost, ConnectionLost)
        self.assertIsInstance(server.lost, ConnectionLost)
        self.assertIsNone(own.lost)


class KillTests(Case):
    def test_killed_process(self) -> None:
        """Peers of a killed process see the end; its own code hears nothing."""
        client, server = self.pair()
        self.b.kill()
        self.wait()
        self.assertIsInstance(client.lost, ConnectionDone)
        self.assertIsNone(server.lost)
        self.assertRaises(ConnectionRefusedError, self.connect, self.a)
        self.b = self.world.node("b").boot()
        self.listen(self.b)
        self.connect(self.a)

    def test_killed_with_unread_bytes(self) -> None:
        """Unread bytes make it a reset."""
        client, server = self.pair()
        server.transport.pauseProducing()
        client.transport.write(b"x")
        self.wait()
        self.b.kill()
        self.wait()
        self.assertIsInstance(client.lost, ConnectionLost)

    def test_power_cut(self) -> None:
        """Peers of a machine that lost power hear nothing, until it is back and knows nothing."""
        client, _ = self.pair()
        self.b.power_cut()
        client.transport.write(b"x")
        self.wait(600)
        self.assertIsNone(client.lost)
        self.b.boot()
        client.transport.write(b"y")
        self.wait()
        self.assertIsInstance(client.lost, ConnectionLost)

    def test_killed_client(self) -> None:
        """A node that dies while it connects never hears of it, nor does the one after it."""
        self.port = self.listen(self.b)
        heard: list = []
        for end in ("kill", "boot"):
            connecting = self.a.client_endpoint("b", 2573).connect(Factory.forProtocol(Peer))
            connecting.addBoth(heard.append)
            getattr(self.a, end)()
            self.world.settle()
            self.assertEqual(heard, [])
            self.assertEqual(self.world.nodes["a"].host.transports, [])
            self.a = self.world.nodes["a"].boot()
