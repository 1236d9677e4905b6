"""BodyProducer beside a transport that pauses and stops it at any moment: no clock."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from pigpen.http.body import Body, PushBody, StreamBody
from pigpen.web.producer import BodyProducer


class Recorder:
    """Sender and consumer at once; `during_write` is called inside each write."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.during_write: Callable[[], None] = lambda: None

    def write(self, data: bytes) -> None:
        self.log.append(data.decode())
        self.during_write()

    def peer_is_slow(self) -> None:
        self.log.append("slow")

    def peer_takes(self) -> None:
        self.log.append("takes")

    def all_sent(self) -> None:
        self.log.append("sent")


class BodyProducerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.closed = 0
        self.peer = Recorder()

    def body(self) -> Body:
        async def letters() -> AsyncGenerator[bytes, None]:
            try:
                for letter in (b"a", b"b", b"c"):
                    yield letter
            finally:
                self.closed += 1

        return StreamBody(letters(), 3)

    def start(self, body: Body) -> BodyProducer:
        self.producer = BodyProducer(body, self.peer)
        self.done: Deferred[None] = self.producer.startProducing(self.peer)
        return self.producer

    def test_paused_inside_write(self) -> None:
        """A write that pauses us is the last until we are resumed (P14)."""
        self.peer.during_write = lambda: self.producer.pauseProducing()
        self.producer = BodyProducer(self.body(), self.peer)
        self.done = self.producer.startProducing(self.peer)
        self.assertEqual(self.peer.log, ["a", "slow"])
        self.producer.pauseProducing()
        self.producer.resumeProducing()
        self.assertEqual(self.peer.log, ["a", "slow", "takes", "b", "slow"])
        self.peer.during_write = lambda: None
        self.producer.resumeProducing()
        self.producer.resumeProducing()
        self.assertEqual(self.peer.log[5:], ["takes", "c", "sent"])
        self.successResultOf(self.done)
        self.assertEqual(self.closed, 1)

    def test_stopped_inside_write(self) -> None:
        """A write that stops us is the last, and the body is closed."""
        self.peer.during_write = lambda: self.producer.stopProducing()
        self.start(self.body())
        self.assertEqual((self.peer.log, self.closed), (["a"], 1))
        self.assertNoResult(self.done)

    def test_resumed_inside_write(self) -> None:
        """Pause and resume within one write change nothing."""

        def flicker() -> None:
            self.producer.pauseProducing()
            self.producer.resumeProducing()

        self.peer.during_write = flicker
        self.start(self.body())
        self.assertEqual(self.peer.log[-1], "sent")
        self.successResultOf(self.done)

    def test_stopped_while_paused(self) -> None:
        """Stopped while it waits for room: closed, and deaf to what comes later."""
        self.peer.during_write = lambda: self.producer.pauseProducing()
        self.start(self.body())
        self.producer.stopProducing()
        self.producer.resumeProducing()
        self.producer.stopProducing()
        self.assertEqual((self.peer.log, self.closed), (["a", "slow"], 1))

    def test_stopped_while_source_is_slow(self) -> None:
        source = PushBody(on_close=lambda: self.peer.log.append("closed"))
        self.start(source)
        self.producer.stopProducing()
        source.push(b"late")
        self.assertEqual(self.peer.log, ["closed"])

    def test_not_asked_before_start(self) -> None:
        """Making a producer asks the body for nothing."""
        producer = BodyProducer(self.body(), self.peer)
        self.assertFalse(producer.touched)
        self.assertEqual(self.closed, 0)
