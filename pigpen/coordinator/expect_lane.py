"""ExpectLane: the expectations on their way to one host, in batches over kept-alive connections.

While two batches are in flight further expectations gather; the next batch goes when one returns.
Each is acknowledged, or fails 300 ms after it was asked for, on its own (CLD-20, CLD-30).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from pigpen.coordinator.settings import ACKNOWLEDGE_SECONDS
from pigpen.errors import BadAnswer, NoAnswer, PigpenError, TimedOut
from pigpen.http import wire
from pigpen.http.answers import decode_json
from pigpen.http.body import BytesBody, read_all
from pigpen.http.message import Headers
from pigpen.web.sender import Sender

MAX_IN_FLIGHT = 2
#: an expectation is below 1 KiB, so this many stay below MAX_BATCH_BYTES
BATCH = 500
assert BATCH <= wire.MAX_BATCH and BATCH * 2000 < wire.MAX_BATCH_BYTES


class Ask:
    """One expectation that waits to be acknowledged."""

    __slots__ = ("answered", "asked", "expectation")

    def __init__(self, expectation: wire.Expectation, asked: float) -> None:
        self.expectation = expectation
        self.asked = asked
        self.answered: Deferred[wire.ExpectationAnswer] = Deferred()

    @property
    def open(self) -> bool:
        # cancelled by the asker, timed out, or answered
        return not self.answered.called

    def succeed(self, answer: wire.ExpectationAnswer) -> None:
        if self.open:
            self.answered.callback(answer)

    def fail(self, error: Exception) -> None:
        if self.open:
            self.answered.errback(error)


class ExpectLane:
    """Everything on its way to one host in one of its epochs."""

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        client: Sender,
        *,
        url: str,
        pin: str | None,
        control: str,
        observe: Callable[[float], None],
    ) -> None:
        """:param control: the control secret of this host and epoch. :param observe: is told the
        seconds each batch took."""
        self._clock = clock
        self._client = client
        self._url = url
        self._pin = pin
        self._control = control
        self._observe = observe
        self._waiting: deque[Ask] = deque()
        self._unanswered: deque[Ask] = deque()
        self._in_flight: set[Deferred[None]] = set()
        self._next: IDelayedCall | None = None
        self._expiry: IDelayedCall | None = None

    def ask(self, expectation: wire.Expectation) -> Deferred[wire.ExpectationAnswer]:
        """Tell the host.

        :return: fails with NoAnswer if the host does not confirm in 300 ms.
        """
        ask = Ask(expectation, self._clock.seconds())
        self._waiting.append(ask)
        self._unanswered.append(ask)
        if self._expiry is None:
            self._expiry = self._clock.callLater(ACKNOWLEDGE_SECONDS, self._expire)
        # at the turn's end, so that all that is asked in one turn goes as one batch
        if self._next is None and len(self._in_flight) < MAX_IN_FLIGHT:
            self._next = self._clock.callLater(0, self._pump)
        return ask.answered

    def close(self) -> None:
        """Drop what is in flight; everything unanswered fails."""
        for call in (self._next, self._expiry):
            if call is not None and call.active():
                call.cancel()
        self._next = self._expiry = None
        self._waiting.clear()
        for sending in list(self._in_flight):
            sending.cancel()
        while self._unanswered:
            stopped = NoAnswer(peer=self._url, reason="the connection was given up")
            self._unanswered.popleft().fail(stopped)

    def _pump(self) -> None:
        self._next = None
        while self._waiting and len(self._in_flight) < MAX_IN_FLIGHT:
            batch: list[Ask] = []
            while self._waiting and len(batch) < BATCH:
                ask = self._waiting.popleft()
                if ask.open:
                    batch.append(ask)
            if batch:
                self._start(batch)

    def _start(self, batch: list[Ask]) -> None:
        sending = Deferred.fromCoroutine(self._send(batch)).addTimeout(
            ACKNOWLEDGE_SECONDS, self._clock
        )
        self._in_flight.add(sending)

        def ended(result: object) -> None:
            self._in_flight.discard(sending)
            if isinstance(result, Failure):
                self._failed(batch, result)
            if self._waiting and self._next is None:
                self._next = self._clock.callLater(0, self._pump)

        _ = sending.addBoth(ended)

    def _failed(self, batch: list[Ask], failure: Failure) -> None:
        error = failure.value
        if isinstance(error, TimeoutError):
            error = self._silent()
        elif isinstance(error, PigpenError) and not isinstance(error, NoAnswer):
            error = BadAnswer(peer=self._url, reason=error.message)
        elif not isinstance(error, NoAnswer):
            if not isinstance(error, CancelledError):
                self.log.failure("expectations for {url}", failure, url=self._url)
            error = NoAnswer(peer=self._url, reason="the request was given up")
        for ask in batch:
            ask.fail(error)

    def _silent(self) -> TimedOut:
        return TimedOut(peer=self._url, seconds=ACKNOWLEDGE_SECONDS, phase="confirming a transfer")

    async def _send(self, batch: list[Ask]) -> None:
        begun = self._clock.seconds()
        response = await self._client.request(
            "POST",
            f"{self._url}/expect",
            headers=Headers(
                {
                    "Authorization": f"Bearer {self._control}",
                    "Content-Type": "application/json",
                }
            ),
            body=BytesBody(wire.encode([ask.expectation for ask in batch])),
            pin=self._pin,
            repeatable=True,  # telling a host the same twice is a no-op (CLD-20)
        )
        data = await read_all(response.body, wire.MAX_BATCH_BYTES)
        if response.status != 200:
            raise BadAnswer(peer=self._url, reason=f"it says {response.status} to expectations")
        answers = decode_json(data, list[wire.ExpectationAnswer])
        if [answer.uuid for answer in answers] != [ask.expectation.uuid for ask in batch]:
            raise BadAnswer(peer=self._url, reason="it acknowledges what was not asked")
        self._observe(self._clock.seconds() - begun)
        for ask, answer in zip(batch, answers, strict=True):
            ask.succeed(answer)

    def _expire(self) -> None:
        """Fail what was asked for too long ago; come back for the oldest of the rest."""
        self._expiry = None
        unanswered = self._unanswered
        limit = self._clock.seconds() - ACKNOWLEDGE_SECONDS + 0.001
        while unanswered and (not unanswered[0].open or unanswered[0].asked <= limit):
            unanswered.popleft().fail(self._silent())
        if unanswered and self._expiry is None:
            wait = unanswered[0].asked + ACKNOWLEDGE_SECONDS - self._clock.seconds()
            self._expiry = self._clock.callLater(max(0.001, wait), self._expire)
