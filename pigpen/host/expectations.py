"""Expectations: what the coordinator announced, and nothing else, may happen here (CLD-20 to 24).

Pure but for the clock: every decision falls in the reactor turn that asks for it. Found by the hash
of the uuid, so that the time of a look-up tells nothing about it. Memory only: after a restart
nothing is expected.
"""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from sys import intern

import msgspec
from twisted.internet.interfaces import IReactorTime

from pigpen.errors import Conflict, NotExpected
from pigpen.host.due import Due
from pigpen.host.live import Live
from pigpen.host.packing import ANSWERED, pack, served_until, unpack
from pigpen.host.rows import KEY_BYTES, Rows
from pigpen.host.space import Room
from pigpen.http.wire import Expectation

#: `end`, if it is not given: this, and a second for so many bytes
END_SECONDS = 60
END_RATE = 64 * 1024
MAX_END = 86_400
#: after a 202 the client may ask how it ended
ASK_SECONDS = 3600
#: GETs that are at hand though nothing happens to them: what is asked for again and again should
#: not be unpacked for each request
IDLE = 500


class Expectations:
    """All that may happen here; `limit` live ones in all, `account_limit` for one account."""

    def __init__(
        self, clock: IReactorTime, limit: int, account_limit: int, room: Room | None = None
    ) -> None:
        """:param room: what PUTs reserve of."""
        self._clock = clock
        self._room = room
        self._limit = limit
        self._account_limit = account_limit
        #: those at hand; what nothing happens to lies packed in `_rows`
        self._live: dict[bytes, Live] = {}
        self._rows = Rows()
        self._fresh: list[Live] = []
        #: GETs in the order in which they came to rest
        self._idle: deque[Live] = deque()
        #: over, but remembered until their end: what they were
        self._over: dict[bytes, int] = {}
        self._satisfied: dict[bytes, None] = {}
        self._accounts: Counter[str] = Counter()
        self._due = Due(clock, self._look)
        #: refused requests, by kind
        self.violations: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._live) + len(self._rows)

    @property
    def awake(self) -> int:
        """How many are not packed."""
        return len(self._live)

    # -- the coordinator announces -----------------------------------------------------------------

    def known(self, expectation: Expectation) -> int | None:
        """204: it is a repetition; 409: another one has its uuid; None: it is new."""
        key = _key(expectation.uuid)
        live = self._awake(key)
        if live is not None:
            self._fresh.append(live)
            same = live.expectation in (ANSWERED, _slim(expectation))
            return 204 if same else 409
        over = self._over.get(key)
        if over is None:
            return None
        return 204 if over == _fingerprint(_slim(expectation)) else 409

    def full(self, expectation: Expectation) -> bool:
        """Whether one more would pass a limit (429)."""
        account = expectation.account
        if account and self._accounts[account] >= self._account_limit:
            return True
        if len(self) >= self._limit:
            satisfied = (self._awake(key) for key in self._satisfied)
            oldest = next((live for live in satisfied if live and not live.running), None)
            if oldest is not None:
                self._remember(oldest)
        return len(self) >= self._limit

    def add(self, expectation: Expectation) -> Live:
        """Accept one that is neither `known` nor one too many. :raises ValueError: bad `from`."""
        now = self._clock.seconds()
        start_by, ends = now + expectation.start, now + _end(expectation)
        # first: `from` may be refused
        live = Live(_key(expectation.uuid), _slim(expectation), start_by, ends)
        self._live[live.key] = live
        self._fresh.append(live)
        if expectation.account:
            self._accounts[expectation.account] += 1
        self._due.watch(min(live.start_by, live.ends), live.key)
        return live

    def get(self, uuid: str) -> Live | None:
        return self._awake(_key(uuid))

    def rest(self) -> None:
        """What was announced is settled: until it is asked for it takes little memory."""
        fresh, self._fresh = self._fresh, []
        for live in fresh:
            self._rest(live)

    def _rest(self, live: Live) -> None:
        record = live.record() if self._live.get(live.key) is live else None
        if record is not None:
            del self._live[live.key]
            self._rows.add(live.key, pack(record))

    def _doze(self, live: Live) -> None:
        """A GET that may be used again: those that were longest at hand are packed."""
        if live.idle or live.running:
            return
        live.idle = True
        self._idle.append(live)
        if len(self._idle) > IDLE:
            oldest = self._idle.popleft()
            oldest.idle = False
            self._rest(oldest)

    def _awake(self, key: bytes) -> Live | None:
        live = self._live.get(key)
        if live is None:
            data = self._rows.pop(key)
            if data is None:
                return None
            live = self._live[key] = Live.restored(key, unpack(data), self._room)
            if not live.is_put:
                self._doze(live)
        return live

    def forget(self, live: Live) -> None:
        """It was not accepted after all."""
        self._drop(live)

    # -- a client asks -----------------------------------------------------------------------------

    def find(self, uuid: str, address: str) -> Live:
        """:raises NotExpected: unknown, over, or from another address: all alike."""
        live = self._awake(_key(uuid))
        if live is None:
            raise self.violation("unknown")
        now = self._clock.seconds()
        if now >= live.ends or (not live.used and now >= live.start_by):
            raise self.violation("late")
        if live.network is not None and not live.admits(address):
            raise self.violation("address")
        return live

    def violation(self, kind: str) -> NotExpected:
        self.violations[kind] += 1
        return NotExpected()

    def begin_get(self, live: Live) -> None:
        """Count a request in the turn its headers are accepted. :raises NotExpected: too many."""
        if live.requests_left <= 0:
            raise self.violation("requests")
        live.requests_left -= 1
        live.used = True
        live.running += 1

    def take_bytes(self, live: Live, count: int) -> None:
        """:raises NotExpected: `max_bytes`, over all requests, would be passed."""
        if live.bytes_left is not None:
            if count > live.bytes_left:
                raise self.violation("bytes")
            live.bytes_left -= count

    def end_get(self, live: Live, asked: int, sent: int) -> None:
        """A GET is over; one that sent nothing of what it should is given back."""
        if live.bytes_left is not None:
            live.bytes_left += asked - sent
        if asked and not sent:
            self.give_back(live)
            return
        live.running -= 1
        if sent >= asked:
            self._satisfy(live)
        self._doze(live)
        self._drop_if_over(live)

    def give_back(self, live: Live) -> None:
        """A GET got no answer: it does not count."""
        live.running -= 1
        live.requests_left += 1
        self._doze(live)
        self._drop_if_over(live)

    def begin_put(self, live: Live) -> None:
        """:raises NotExpected: it was answered. :raises Conflict: another upload is under way."""
        if live.spent:
            raise self.violation("spent")
        if live.running:
            raise Conflict(reason="this upload is under way on another connection")
        live.used = True
        live.running = 1

    def end_put(self, live: Live, *, spent: bool) -> None:
        """An upload attempt is over. What is left of the room is kept for a resumption."""
        live.running = 0
        if spent:
            live.spent = True
            self._release(live)
            self._satisfy(live)
            live.complete = live.complete or live.expectation.length
            live.expectation = ANSWERED
        self._drop_if_over(live)
        if spent:
            self._rest(live)

    def extend(self, live: Live) -> None:
        """The client got 202 and may ask how it ended."""
        live.ends = max(live.ends, self._clock.seconds() + ASK_SECONDS)
        self._due.watch(
            live.ends, live.key
        )  # at its first end it may have run, and is watched no more

    # -- expiry ------------------------------------------------------------------------------------

    def close(self) -> None:
        """Forget all; transfers that run give their room back themselves."""
        self._due.close()
        for key in [*self._live, *self._rows]:
            live = self._awake(key)
            if live is not None:
                live.ends = 0
                self._drop_if_over(live)

    def _satisfy(self, live: Live) -> None:
        if not live.satisfied:
            live.satisfied = True
            self._uncount(live)
            if not live.is_put:
                self._satisfied[live.key] = None

    def _uncount(self, live: Live) -> None:
        account = live.expectation.account
        if account:
            left = self._accounts[account] - 1
            if left > 0:
                self._accounts[account] = left
            else:
                del self._accounts[account]

    def _look(self, key: bytes, now: float) -> None:
        data = self._rows.get(key)
        served = None if data is None else served_until(data)
        if served is None:
            self._look_closer(key, now)
        elif now < served:
            self._due.watch(served, key)
        else:
            self._rows.pop(key)
            self._satisfied.pop(key, None)

    def _look_closer(self, key: bytes, now: float) -> None:
        live = self._awake(key)
        if live is None:
            self._over.pop(key, None)
        elif now < live.ends and live.used:
            self._due.watch(live.ends, key)
            self._rest(live)
        else:
            live.ends = min(live.ends, now)
            self._drop_if_over(live)

    def _drop_if_over(self, live: Live) -> None:
        if not live.running and self._clock.seconds() >= live.ends and live.key in self._live:
            self._drop(live)

    def _remember(self, live: Live) -> None:
        """Keep no more than what tells a repetition from another one, until the end."""
        self._drop(live)
        self._over[live.key] = _fingerprint(live.expectation)
        self._due.watch(live.ends, live.key)

    def _drop(self, live: Live) -> None:
        del self._live[live.key]
        self._satisfied.pop(live.key, None)
        if not live.satisfied:
            self._uncount(live)
        self._release(live)

    def _release(self, live: Live) -> None:
        reservation, live.reservation = live.reservation, None
        if reservation is not None:
            reservation.release()


def _key(uuid: str) -> bytes:
    # nobody can try 2^119 of them
    return hashlib.sha256(uuid.encode()).digest()[:KEY_BYTES]


def _slim(expectation: Expectation) -> Expectation:
    """What is kept of one: 100,000 of them shall fit into 64 MiB."""
    account = intern(expectation.account)
    return msgspec.structs.replace(expectation, uuid="", account=account)


def _fingerprint(expectation: Expectation) -> int:
    return hash(msgspec.json.encode(expectation))


def _end(expectation: Expectation) -> float:
    if expectation.end is not None:
        return expectation.end
    size = expectation.length or expectation.max_bytes or 0
    if expectation.range is not None:
        size = expectation.range[1] - expectation.range[0] + 1
    return min(MAX_END, expectation.start + END_SECONDS + size / END_RATE)
