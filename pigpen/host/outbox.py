"""Outbox: receipts on their way to the coordinator, in order, until it has acknowledged them.

A receipt whose client waits is only in memory. One that outlives its client's wait is `late`: then
it is written to the file ``outbox`` before the client gets 202, and sent again after a restart.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import islice, takewhile
from typing import Protocol

import msgspec
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from pigpen.env import Env
from pigpen.errors import BadAnswer, NoAnswer, PigpenError
from pigpen.host.link import SILENCE_SECONDS
from pigpen.host.tasks import Tasks
from pigpen.http.wire import MAX_BATCH, MAX_BATCH_BYTES, Receipt, ReceiptAnswer

#: pauses between tries while the coordinator is silent, doubled each time
FIRST_PAUSE = 0.2
MAX_PAUSE = 30

Send = Callable[[list[Receipt]], Awaitable[list[ReceiptAnswer]]]
OnAnswer = Callable[[ReceiptAnswer], None] | None


class Keeper(Protocol):
    """Where late receipts lie: `outbox_file`."""

    def keep(self, receipt: Receipt) -> Deferred[None]:
        """Fires when it is durable. :raises PigpenError: it cannot be."""

    def done(self, write: str) -> None:
        """It was acknowledged; losing this costs a repetition only."""


class Delivery:
    """One receipt, and the answer once there is one."""

    __slots__ = ("answer", "earlier", "kept", "on_answer", "receipt", "tell", "until")

    def __init__(self, receipt: Receipt, until: float) -> None:
        """:param until: when its client stops waiting, on the clock of Env."""
        self.receipt = receipt
        self.until = until
        self.answer: ReceiptAnswer | None = None
        self.kept = False
        #: called with the answer, however late it comes
        self.on_answer: OnAnswer = None
        #: of those who added the same write before: they got 202, and may ask
        self.earlier: tuple[OnAnswer, ...] = ()
        #: called once, when there is an answer or at `until`
        self.tell: Callable[[], None] | None = None

    def leave(self) -> None:
        """Its client has left, or will get 202: never bury a newer version with it (CLD-34)."""
        self.receipt = msgspec.structs.replace(
            self.receipt, late=True, data=None, heard=None, waits=None
        )

    def to_send(self, now: float) -> Receipt:
        """The receipt, with how long its client waits from now on."""
        if not self.receipt.late:
            self.receipt.waits = max(0.0, self.until - now)
        return self.receipt

    def settle(self, answer: ReceiptAnswer) -> None:
        self.answer = answer
        for on_answer in (*self.earlier, self.on_answer):
            if on_answer is not None:
                on_answer(answer)
        self.stop_waiting()

    def stop_waiting(self) -> None:
        tell, self.tell = self.tell, None
        if tell is not None:
            tell()


class Outbox:
    """One batch at a time, so that receipts arrive in order and share a commit."""

    log = Logger()

    def __init__(
        self,
        env: Env,
        tasks: Tasks,
        keeper: Keeper,
        send: Send,
        on_refused: Callable[[Delivery], None],
    ) -> None:
        """:param send: raises PigpenError if there was no answer.
        :param on_refused: told of each receipt that was refused for good: its blob is worthless."""
        self._env = env
        self._tasks = tasks
        self._keeper = keeper
        self._send = send
        self._on_refused = on_refused
        self._waiting: dict[str, Delivery] = {}
        #: those whose clients wait, by `until`
        self._patient: dict[Delivery, None] = {}
        self._timer: IDelayedCall | None = None
        self._busy = False
        self._stopped = False
        self._failures = 0
        #: the last try had no answer at all
        self._unanswered = False
        self._pause: Deferred[None] | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def restore(self, receipts: list[Receipt]) -> None:
        """Take over what an earlier process kept."""
        for receipt in receipts:
            delivery = self.add(receipt)
            delivery.kept = True

    def add(self, receipt: Receipt) -> Delivery:
        """Begin to deliver; a write that is waiting already is the same delivery. Its client, if it
        has one, waits for SILENCE_SECONDS from now on."""
        until = self._env.clock.seconds() + SILENCE_SECONDS
        delivery = self._waiting.get(receipt.write)
        if delivery is None:
            delivery = self._waiting[receipt.write] = Delivery(receipt, until)
        else:
            delivery.until = until
            delivery.earlier += (delivery.on_answer,)
        self._begin()
        return delivery

    def tell(self, delivery: Delivery, tell: Callable[[], None]) -> None:
        """Call `tell` once: when what was just added has an answer, or when its client must be told
        that there is none."""
        delivery.tell = tell
        self._patient.pop(delivery, None)  # the last to come is the last to wait
        self._patient[delivery] = None
        if self._timer is None:
            self._timer = self._env.clock.callLater(SILENCE_SECONDS, self._look)

    async def when_told(self, delivery: Delivery) -> None:
        """`tell`, as something to await."""
        waiter: Deferred[None] = Deferred()
        self.tell(delivery, lambda: waiter.callback(None))
        try:
            await waiter
        finally:
            delivery.tell = None

    def _look(self) -> None:
        """One timer for all that wait: each waits for the same time."""
        self._timer = None
        now = self._env.clock.seconds()
        due = list(takewhile(lambda delivery: delivery.until <= now, self._patient))
        for delivery in due:
            del self._patient[delivery]
        for first in islice(self._patient, 1):
            self._timer = self._env.clock.callLater(first.until - now, self._look)
        for delivery in due:
            delivery.stop_waiting()

    async def keep(self, delivery: Delivery) -> None:
        """Make a late receipt durable. :raises PigpenError: the disk does not take it."""
        delivery.leave()
        await self._tasks.own(self._keeper.keep(delivery.receipt))
        if delivery.answer is None:
            delivery.kept = True
        else:
            self._keeper.done(delivery.receipt.write)

    def wake(self) -> None:
        """The coordinator is back."""
        pause, self._pause = self._pause, None
        if pause is not None:
            pause.callback(None)
        self._begin()

    def heard(self) -> None:
        """The coordinator asks for something, so it is there again. What it did not hear of goes
        out before the bytes that it asks for: an old write must not overtake a newer one."""
        if self._unanswered:
            self.wake()

    async def stop(self) -> None:
        """Send no more; what is not acknowledged is kept for the next start."""
        self._stopped = True
        self.wake()
        unkept = [delivery for delivery in self._waiting.values() if not delivery.kept]
        await gatherResults([Deferred.fromCoroutine(self.keep(delivery)) for delivery in unkept])

    def _begin(self) -> None:
        if not self._busy and not self._stopped and self._waiting:
            self._busy = True
            # at the end of this turn: blobs become durable in batches, so others come in it
            self._env.clock.callLater(0, self._go)

    def _go(self) -> None:
        self._tasks.forget(Deferred.fromCoroutine(self._run()))

    async def _run(self) -> None:
        try:
            while self._waiting and not self._stopped:
                batch = self._batch()
                now = self._env.clock.seconds()
                self._unanswered = False
                try:
                    answers = await self._send([delivery.to_send(now) for delivery in batch])
                    again = self._settle(batch, answers)
                except PigpenError as error:
                    self._report(error)
                    self._unanswered = isinstance(error, NoAnswer)
                    again = True
                if again:
                    await self._rest()
                else:
                    self._failures = 0
        finally:
            self._busy = False

    def _batch(self) -> list[Delivery]:
        batch: list[Delivery] = []
        size = 0
        for delivery in self._waiting.values():
            size += 600 + 4 * len(delivery.receipt.data or b"") // 3
            if len(batch) >= MAX_BATCH or size > MAX_BATCH_BYTES:
                break
            batch.append(delivery)
        return batch

    def _settle(self, batch: list[Delivery], answers: list[ReceiptAnswer]) -> bool:
        """:return: whether some must be sent again. :raises BadAnswer: no answer fits."""
        found = {answer.write: answer for answer in answers}
        again = False
        for delivery in batch:
            answer = found.get(delivery.receipt.write)
            if answer is None:
                raise BadAnswer(peer="the coordinator", reason="an answer is missing")
            if _is_final(answer):
                self._finish(delivery, answer)
            else:
                again = True
        if self._timer is not None and not self._patient:
            self._timer.cancel()
            self._timer = None
        return again

    def _finish(self, delivery: Delivery, answer: ReceiptAnswer) -> None:
        del self._waiting[delivery.receipt.write]
        self._patient.pop(delivery, None)
        if delivery.kept:
            self._keeper.done(delivery.receipt.write)
        delivery.settle(answer)
        if answer.status >= 400:
            self._on_refused(delivery)

    async def _rest(self) -> None:
        self._failures += 1
        seconds = min(MAX_PAUSE, FIRST_PAUSE * 2 ** min(self._failures, 10))
        pause: Deferred[None] = Deferred()
        self._pause = pause
        timer = self._env.clock.callLater(seconds * self._env.random.uniform(0.8, 1.2), self.wake)
        try:
            await pause
        finally:
            self._pause = None
            if timer.active():
                timer.cancel()

    def _report(self, error: PigpenError) -> None:
        if self._failures == 0:
            self.log.info(
                "{count} receipts wait: {reason}", count=len(self._waiting), reason=error.message
            )


def _is_final(answer: ReceiptAnswer) -> bool:
    """507 is the account's quota; other 5xx and 429 pass."""
    return answer.status == 507 or (answer.status < 500 and answer.status != 429)
