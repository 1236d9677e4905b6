"""Announcer: finds hosts that confirm a transfer before anyone is sent to them.

A host has 300 ms to acknowledge, then the next one is asked; after 700 ms nobody is (CLD-30).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from pigpen.coordinator.expect_lane import ExpectLane
from pigpen.coordinator.hosts import Host, Hosts
from pigpen.coordinator.metrics import Metrics
from pigpen.coordinator.secrets import ClusterSecret
from pigpen.coordinator.settings import ACKNOWLEDGE_SECONDS, DUPLICATES_SECONDS, REDIRECT_SECONDS
from pigpen.errors import NoAnswer
from pigpen.http import wire
from pigpen.web.sender import Sender

Make = Callable[[Host], wire.Expectation]


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A host that expects a transfer now. ``offset``: bytes of a PUT it has already."""

    host: Host
    expectation: wire.Expectation
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """Who confirmed, in the order asked, and with which status the others refused."""

    confirmed: tuple[Confirmed, ...]
    refusals: tuple[int, ...]

    def all_refused(self, status: int) -> bool:
        """Whether those who answered all said this."""
        return bool(self.refusals) and set(self.refusals) == {status}


class Announcer:
    """Sends expectations to hosts; one `ExpectLane` each."""

    def __init__(
        self,
        clock: IReactorTime,
        client: Sender,
        hosts: Hosts,
        secret: ClusterSecret,
        metrics: Metrics,
    ) -> None:
        self._clock = clock
        self._client = client
        self._hosts = hosts
        self._secret = secret
        self._metrics = metrics
        self._lanes: dict[int, tuple[Host, str, ExpectLane]] = {}

    async def confirm(self, hosts: Sequence[Host], make: Make, *, at_once: int = 1) -> Outcome:
        """Ask hosts until one confirms or REDIRECT_SECONDS have passed.

        :param at_once: so many are asked together; all that confirm are named.
        """
        deadline = self._clock.seconds() + REDIRECT_SECONDS
        refusals: list[int] = []
        for first in range(0, len(hosts), at_once):
            left = deadline - self._clock.seconds()
            if left <= 0:
                break
            if first:
                self._metrics.retries.inc()
            if at_once == 1:
                confirmed = await self._ask_one(hosts[first], make, left, refusals)
            else:
                race = _Race(self._clock, self, hosts[first : first + at_once], make)
                confirmed = await race.run(left)
                refusals += race.refusals
            if confirmed:
                return Outcome(confirmed, tuple(refusals))
        return Outcome((), tuple(refusals))

    async def _ask_one(
        self, host: Host, make: Make, seconds: float, refusals: list[int]
    ) -> tuple[Confirmed, ...]:
        expectation = make(host)
        answered = self.announce(host, expectation)
        if seconds < ACKNOWLEDGE_SECONDS:
            answered = answered.addTimeout(seconds, self._clock)
        try:
            answer = await answered
        except (NoAnswer, TimeoutError):
            self.suspect(host)
            return ()
        if answer.status == 204:
            return (Confirmed(host, expectation, answer.offset),)
        refusals.append(answer.status)
        return ()

    def announce(
        self, host: Host, expectation: wire.Expectation
    ) -> Deferred[wire.ExpectationAnswer]:
        """Tell one host. :return: fails with NoAnswer after 300 ms."""
        return self._lane(host).ask(expectation)

    def suspect(self, host: Host) -> None:
        """It gave no answer: ask others first for a while."""
        self._hosts.suspect(host)

    def close(self) -> None:
        """Drop everything in flight."""
        for _, _, lane in self._lanes.values():
            lane.close()
        self._lanes.clear()

    def _lane(self, host: Host) -> ExpectLane:
        url = host.control_url
        known = self._lanes.get(host.host_id)
        if known is not None:
            # a new session or another address wants a new lane
            if known[0] is host and known[1] == url:
                return known[2]
            known[2].close()
        lane = ExpectLane(
            self._clock,
            self._client,
            url=url,
            pin=host.pin_of(url),
            control=self._secret.control_secret(host.host_id, host.epoch),
            observe=self._metrics.acknowledge_seconds.observe,
        )
        self._lanes[host.host_id] = (host, url, lane)
        return lane


class _Race:
    """Several hosts asked at once: ends when all have answered, shortly after one has confirmed,
    or when the time is over."""

    def __init__(
        self, clock: IReactorTime, announcer: Announcer, hosts: Sequence[Host], make: Make
    ) -> None:
        self._clock = clock
        self._announcer = announcer
        self._hosts = hosts
        self._make = make
        self._confirmed: dict[int, Confirmed] = {}
        self._open = 0
        self._timer: IDelayedCall | None = None
        self._done: Deferred[None] = Deferred()
        self.refusals: list[int] = []

    async def run(self, seconds: float) -> tuple[Confirmed, ...]:
        self._open = len(self._hosts)
        self._timer = self._clock.callLater(seconds, self._finish)
        asked = [self._ask(place, host) for place, host in enumerate(self._hosts)]
        try:
            await self._done
        finally:
            if self._timer.active():
                self._timer.cancel()
            for answer in asked:
                answer.cancel()
        return tuple(self._confirmed[place] for place in sorted(self._confirmed))

    def _ask(self, place: int, host: Host) -> Deferred[None]:
        expectation = self._make(host)
        answered = self._announcer.announce(host, expectation)

        def heard(answer: wire.ExpectationAnswer) -> None:
            if answer.status == 204:
                self._confirmed[place] = Confirmed(host, expectation, answer.offset)
            else:
                self.refusals.append(answer.status)

        def silent(failure: Failure) -> None:
            if isinstance(failure.value, NoAnswer):
                self._announcer.suspect(host)
            elif not isinstance(failure.value, CancelledError):
                failure.raiseException()

        return answered.addCallbacks(heard, silent).addCallback(self._count)

    def _count(self, _: None) -> None:
        self._open -= 1
        if self._done.called:
            return
        if self._open == 0:
            self._finish()
        elif len(self._confirmed) == 1 and self._timer is not None:
            # one is enough to go on; the others have a moment more
            self._timer.reset(DUPLICATES_SECONDS)

    def _finish(self) -> None:
        if not self._done.called:
            self._done.callback(None)
