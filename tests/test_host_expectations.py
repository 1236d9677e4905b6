"""The table of expectations and the room they reserve: limits, counts, expiry (CLD-20 to 24)."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from pigpen.env import Space
from pigpen.errors import Conflict, InsufficientStorage, NotExpected
from pigpen.host.expectations import Expectations
from pigpen.host.live import Live
from pigpen.host.space import STEP_BYTES, Room
from pigpen.http.wire import Expectation
from tests.host_kit import MIB, id_of


def get(number: int, **fields: object) -> Expectation:
    return Expectation(uuid=id_of(number), method="GET", blob=id_of(0), **fields)  # type: ignore[arg-type]


class TableTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.table = Expectations(self.clock, 3, 2)

    def add(self, expectation: Expectation) -> Live:
        self.assertIsNone(self.table.known(expectation))
        self.assertFalse(self.table.full(expectation))
        return self.table.add(expectation)

    def find(self, number: int) -> Live:
        return self.table.find(id_of(number), "192.0.2.1")

    def use(self, number: int) -> None:
        live = self.find(number)
        self.table.begin_get(live)
        self.table.end_get(live, 5, 5)

    def test_unused_at_start(self) -> None:
        """What nobody uses by `start` is gone, and a repetition of it is new."""
        self.add(get(1, start=10))
        self.clock.advance(9.9)
        self.find(1)
        self.clock.advance(0.1)
        self.assertRaises(NotExpected, self.find, 1)
        self.clock.advance(1)
        self.assertEqual(len(self.table), 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_used_until_end(self) -> None:
        """What was used in time can be used until `end`."""
        self.add(get(1, start=10, end=30))
        self.clock.advance(9)
        self.use(1)
        self.clock.advance(20.9)
        self.use(1)
        self.clock.advance(0.1)
        self.assertRaises(NotExpected, self.find, 1)

    def test_default_end(self) -> None:
        """`end` leaves a minute, and a second for each 64 KiB."""
        self.assertEqual(self.add(get(1)).ends, 120)
        put = Expectation(id_of(2), "PUT", id_of(3), length=MIB)
        self.assertEqual(self.add(put).ends, 136)
        self.assertEqual(self.add(get(3, range=(0, 64 * 1024 - 1))).ends, 121)

    def test_spent_is_remembered(self) -> None:
        """A uuid that is used up stays unusable, even if it is announced again."""
        self.add(get(1, requests=1))
        self.use(1)
        self.assertRaises(NotExpected, self.table.begin_get, self.find(1))
        self.assertEqual(self.table.known(get(1, requests=1)), 204)
        self.assertEqual(self.table.known(get(1, requests=2)), 409)

    def test_limit(self) -> None:
        """A full table forgets first what was served already, and never what may come."""
        for number in (1, 2, 3):
            self.add(get(number))
        self.assertTrue(self.table.full(get(4)))
        self.use(2)
        self.add(get(4))
        self.assertRaises(NotExpected, self.find, 2)
        self.assertEqual(self.table.known(get(2)), 204)
        self.assertEqual(self.table.known(get(2, requests=9)), 409)
        self.assertTrue(self.table.full(get(5)))
        self.clock.advance(1000)
        self.assertEqual((len(self.table), self.table._over, len(self.table._due)), (0, {}, 0))

    def test_account_limit(self) -> None:
        """An account's served and expired ones do not count against it."""
        for number in (1, 2):
            self.add(get(number, account="a"))
        self.assertTrue(self.table.full(get(3, account="a")))
        self.assertFalse(self.table.full(get(3, account="b")))
        self.use(1)
        self.assertFalse(self.table.full(get(3, account="a")))
        self.clock.advance(1000)
        self.assertEqual(dict(self.table._accounts), {})

    def test_given_back(self) -> None:
        """A request that got no byte does not count; one that got some does."""
        live = self.add(get(1, requests=1, max_bytes=10))
        for _ in range(3):
            self.table.begin_get(live)
            self.table.take_bytes(live, 10)
            self.table.end_get(live, 10, 0)
        self.table.begin_get(live)
        self.table.take_bytes(live, 10)
        self.table.end_get(live, 10, 4)
        self.assertEqual((live.requests_left, live.bytes_left), (0, 6))

    def test_ends_while_it_runs(self) -> None:
        """What runs at `end` keeps its entry until it is over, and no longer."""
        live = self.add(Expectation(id_of(1), "PUT", id_of(2), length=3, end=10))
        self.table.begin_put(live)
        self.assertRaises(Conflict, self.table.begin_put, live)
        self.clock.advance(20)
        self.assertRaises(NotExpected, self.find, 1)
        self.assertEqual(len(self.table), 1)
        self.table.end_put(live, spent=False)
        self.assertEqual(len(self.table), 0)

    def test_extended_while_it_runs(self) -> None:
        """What got 202 after its `end` can be asked for an hour, and is gone then."""
        live = self.add(Expectation(id_of(1), "PUT", id_of(2), length=3, end=10))
        self.table.begin_put(live)
        self.clock.advance(20)
        self.table.extend(live)
        self.table.end_put(live, spent=True)
        self.clock.advance(3000)
        self.find(1)
        self.clock.advance(1000)
        self.assertEqual(len(self.table), 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_many(self) -> None:
        """100,000 unused expectations leave nothing, and use one timer."""
        table = Expectations(self.clock, 100_000, 100_000)
        for number in range(1000):
            table.add(get(number, start=1 + number % 600))
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        for _ in range(602):
            self.clock.advance(1)
        self.assertEqual((len(table), self.clock.getDelayedCalls()), (0, []))


class RoomTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.room = Room(1000, 100)
        self.room.measured(Space(10_000, 5000))

    def test_both_limits(self) -> None:
        """Room is what target size and disk both allow."""
        self.assertEqual(self.room.left, 1000)
        self.room.measured(Space(10_000, 400))
        self.assertEqual(self.room.left, 300)
        self.room.measured(Space(10_000, 50))
        self.assertEqual(self.room.left, 0)

    def test_default_floor(self) -> None:
        """A hundredth of the disk, but at least 256 MiB."""
        room = Room(1, None)
        room.measured(Space(10**9, 10**9))
        self.assertEqual(room.floor, 256 * MIB)
        room.measured(Space(10**12, 10**9))
        self.assertEqual(room.floor, 10**10)

    def test_promises_are_counted_once(self) -> None:
        """Reserved, written, released: at each point every byte is in one place."""
        one = self.room.reserve(600)
        self.assertRaises(InsufficientStorage, self.room.reserve, 401)
        one.take(200)
        self.assertEqual((self.room.reserved, self.room.used, self.room.left), (400, 200, 400))
        self.assertEqual(self.room.disk.free, 4800)
        one.release()
        self.assertEqual((self.room.reserved, self.room.used, self.room.left), (0, 200, 800))
        self.assertRaises(AssertionError, one.release)

    def test_unknown_length(self) -> None:
        """An unknown length takes steps, the last one smaller."""
        room = Room(100 * MIB, 0)
        room.measured(Space(10**12, 10**12))
        one = room.reserve(STEP_BYTES)
        one.take(STEP_BYTES)
        one.take(1)
        self.assertEqual(room.left, 0)
        one.take(36 * MIB - 1)
        self.assertRaises(InsufficientStorage, one.take, 1)
        one.release()
        self.assertEqual((room.used, room.reserved), (100 * MIB, 0))

    def test_lower_target(self) -> None:
        """Below what is used there is no room, and no negative one."""
        self.room.used = 5000
        self.assertEqual(self.room.left, 0)
