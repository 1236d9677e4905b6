"""The body of an answer on its way: from a connection that pushes to a reader that asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.web._newclient import ResponseDone

from pigpen.errors import BodyAborted, PigpenError
from pigpen.http.body import PushBody
from pigpen.web.watch import Watch

RECEIVING = "sending the answer"


class Receiver(Protocol):
    """Feeds a `PushBody`; pauses the connection while a full window waits for the reader."""

    def __init__(
        self,
        length: int | None,
        watch: Watch,
        idle_seconds: float,
        abort: Callable[[], None],
        on_end: Callable[[], None],
    ) -> None:
        """:param abort: cuts the connection. :param on_end: the exchange is over; may be called
        more than once."""
        self.body = PushBody(
            length, on_pause=self._pause, on_resume=self._resume, on_close=self._left
        )
        self._watch = watch
        self._idle_seconds = idle_seconds
        self._abort = abort
        self._on_end = on_end
        self._received = 0
        self._paused = False
        self._ended = False

    def start(self, answer: Any) -> None:
        """:param answer: Twisted's response."""
        self._watch.expect(RECEIVING, self._idle_seconds)
        answer.deliverBody(self)
        if self._paused:
            # Twisted resumes the connection when it has delivered the first bytes, whatever we said
            self._pause()

    def cut(self, error: PigpenError) -> None:
        """The peer is late: the reader gets what came, then the error."""
        self.body.fail(error)
        self._finish()
        self._abort()

    def dataReceived(self, data: bytes) -> None:
        self._received += len(data)
        self._watch.progress()
        self.body.push(data)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self._finish()
        if isinstance(reason.value, ResponseDone):
            self.body.finish()
        else:
            # PotentialDataLoss too: without a length nobody knows whether this was the end
            self.body.fail(
                BodyAborted(received=self._received, reason="the connection was closed too early")
            )

    def _finish(self) -> None:
        self._ended = True
        self._on_end()

    def _pause(self) -> None:
        self._paused = True
        if not self._ended:
            self._watch.rest(RECEIVING)
            self._flow().pauseProducing()

    def _resume(self) -> None:
        self._paused = False
        if not self._ended:
            self._watch.expect(RECEIVING, self._idle_seconds)
            self._flow().resumeProducing()

    def _flow(self) -> Any:
        return self.transport

    def _left(self) -> None:
        if not self._ended:
            self._finish()
            self._abort()
