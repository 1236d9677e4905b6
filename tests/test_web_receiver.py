"""Receiver beside a connection that is resumed against its will: no clock."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from pigpen.http.body import WINDOW_BYTES
from pigpen.web.receiver import Receiver
from pigpen.web.watch import Watch


class Flow:
    """What Twisted gives a body's protocol as its transport."""

    paused = True

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False


class Buffered:
    """A response as Twisted delivers it: first what it holds, then it resumes the connection."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.flow = Flow()

    def deliverBody(self, protocol: Any) -> None:
        protocol.makeConnection(self.flow)
        protocol.dataReceived(self.data)
        self.flow.resumeProducing()


class ReceiverTests(SynchronousTestCase):
    def start(self, size: int) -> tuple[Receiver, Flow]:
        watch = Watch(Clock(), None, lambda _: None)
        receiver = Receiver(None, watch, 30, lambda: None, watch.stop)
        answer = Buffered(bytes(size))
        receiver.start(answer)
        return receiver, answer.flow

    def test_full_at_once(self) -> None:
        """A window that is full with the first bytes stays paused until it is read (P1)."""
        receiver, flow = self.start(WINDOW_BYTES)
        self.assertTrue(flow.paused)
        self.successResultOf(Deferred.fromCoroutine(anext(receiver.body)))  # type: ignore[arg-type]
        self.assertFalse(flow.paused)

    def test_room_left(self) -> None:
        _, flow = self.start(WINDOW_BYTES - 1)
        self.assertFalse(flow.paused)
