"""Expectations at rest: as if they had never been packed, in little memory."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from pigpen.env import Space
from pigpen.errors import NotExpected
from pigpen.host.expectations import IDLE, Expectations
from pigpen.host.live import Live
from pigpen.host.packing import ANSWERED, Reads, Record, pack, served_until, unpack
from pigpen.host.space import Room
from pigpen.http.wire import Expectation, WriteState
from tests.host_kit import id_of

#: without its uuid, as the table keeps only the hash of that
PUT = Expectation("", "PUT", id_of(2), write=id_of(3), length=1024, account="an account")
FULL = Expectation(
    "", "GET", id_of(2), digest=id_of(4), max_bytes=2**62, range=(0, 2**62), requests=7, start=0.5,
    end=86_400, idle=1, from_="192.0.2.0/24", content_type="text/plain; a=\u00e9", modified=1,
    late=True, account="b", reason="repair",
)  # fmt: skip


def committed(etag: str) -> WriteState:
    return WriteState("committed", 201, etag)


class PackingTests(SynchronousTestCase):
    def test_round_trip(self) -> None:
        """All that is known comes back."""
        for record in (
            Record(1.25, 2.5, None, None, None, None, FULL),
            Record(1.25, 2.5, None, None, None, Reads(0, None, True), FULL),
            Record(1.25, 2.5, None, None, None, Reads(6, 2**62, False), FULL),
            Record(1.25, 2.5, 1024, None, None, None, PUT),
            Record(1, 2, None, 0, WriteState("refused", 507, None, "quota"), None, PUT),
            Record(1, 2, None, 5, committed('"a"'), None, Expectation("", "PUT", "")),
            Record(0, 2.5, None, 5, committed(f'"{id_of(1)[:32]}"'), None, ANSWERED),
            Record(0, 2, None, None, committed(f'"{id_of(1)}"'), None, ANSWERED),
            Record(0, 2, None, 9, WriteState("refused", 412, None, "condition"), None, ANSWERED),
        ):
            self.assertEqual(unpack(pack(record)), record)

    def test_served(self) -> None:
        """It is known of packed ones whether anything but their end is to come."""
        for reads, until in ((None, None), (Reads(2, 5, False), None), (Reads(2, 5, True), 2.5)):
            record = Record(1.25, 2.5, None, None, None, reads, FULL)
            self.assertEqual(served_until(pack(record)), until)
        self.assertIsNone(served_until(pack(Record(1.25, 2.5, 1024, None, None, None, PUT))))
        for state in (committed('"a"'), committed(f'"{id_of(1)[:32]}"'), WriteState("refused")):
            record = Record(1.25, 2.5, None, 5, state, None, ANSWERED)
            self.assertEqual(served_until(pack(record)), 2.5)

    def test_size(self) -> None:
        """A small PUT that nobody has begun takes 130 bytes, one that was answered 31."""
        self.assertLess(len(pack(Record(1.5, 2.5, 1024, None, None, None, PUT))), 140)
        ended = committed(f'"{id_of(1)[:32]}"')
        self.assertLess(len(pack(Record(1.5, 2.5, None, 1024, ended, None, ANSWERED))), 36)


class RestTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.room = Room(10_000, 0)
        self.room.measured(Space(10**9, 10**9))
        self.table = Expectations(self.clock, 3, 1, self.room)

    def put(self, start: float = 60) -> Expectation:
        return Expectation(
            id_of(1), "PUT", id_of(2), write=id_of(3), length=1024, account="a", start=start
        )

    def add(self, expectation: Expectation) -> None:
        live = self.table.add(expectation)
        live.reservation = self.room.reserve(1024)
        self.table.rest()
        self.assertEqual((len(self.table), self.table.awake), (1, 0))

    def find(self) -> Live:
        return self.table.find(id_of(1), "192.0.2.1")

    def spend(self) -> None:
        live = self.find()
        self.table.begin_put(live)
        live.state = WriteState("committed", 201, '"etag"')
        self.table.end_put(live, spent=True)

    def test_wakes(self) -> None:
        """It is found with its room, its times and its limits."""
        self.clock.advance(0.25)
        self.add(self.put())
        live = self.find()
        assert live.reservation is not None
        self.assertEqual((live.reservation.left, self.room.reserved), (1024, 1024))
        self.assertEqual((live.start_by, live.expectation.blob), (60.25, id_of(2)))
        self.table.forget(live)
        self.assertEqual((self.room.reserved, dict(self.table._accounts)), (0, {}))

    def test_repeated(self) -> None:
        """A repetition is known, another one of its uuid refused, its account still counted."""
        self.add(self.put())
        self.assertEqual(self.table.known(self.put()), 204)
        self.table.rest()
        self.assertEqual(self.table.known(self.put(start=61)), 409)
        self.assertTrue(self.table.full(Expectation(id_of(9), "GET", id_of(2), account="a")))

    def test_expires(self) -> None:
        """What nobody begins gives its room back at `start`."""
        self.add(self.put())
        self.clock.advance(59)
        self.assertEqual(self.room.reserved, 1024)
        self.clock.advance(1)
        self.assertRaises(NotExpected, self.find)
        self.clock.advance(1)
        self.assertEqual((len(self.table), self.room.reserved), (0, 0))
        self.assertEqual(dict(self.table._accounts), {})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_spent(self) -> None:
        """What was answered rests too; until its end it says how it ended, and nothing else."""
        self.add(self.put())
        self.spend()
        self.assertEqual((len(self.table), self.table.awake), (1, 0))
        self.assertEqual(self.room.reserved, 0)
        self.clock.advance(61)
        self.assertEqual((len(self.table), self.table.awake), (1, 0))
        live = self.find()
        self.assertEqual((live.spent, live.state.etag, live.complete), (True, '"etag"', 1024))
        self.assertRaises(NotExpected, self.table.begin_put, live)
        self.clock.advance(1000)
        self.assertEqual((len(self.table), self.clock.getDelayedCalls()), (0, []))

    def test_not_while_it_runs(self) -> None:
        """What is under way, was cut, or has no outcome yet, is not packed."""
        self.add(self.put())
        live = self.find()
        self.table.begin_put(live)
        self.table.rest()
        self.assertIs(self.find(), live)
        self.table.end_put(live, spent=False)
        self.clock.advance(60)
        self.assertIs(self.find(), live)
        self.table.begin_put(live)
        self.table.end_put(live, spent=True)
        self.assertIs(self.find(), live)

    def test_close(self) -> None:
        """At the end nothing is left."""
        self.add(self.put())
        self.table.close()
        self.assertEqual((len(self.table), self.room.reserved), (0, 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])


class ReadsTests(SynchronousTestCase):
    """GETs that were used and wait for more: as if they had stayed at hand."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.table = Expectations(self.clock, 2 * IDLE, 2 * IDLE)

    def get(self, number: int, **fields: object) -> Expectation:
        return Expectation(id_of(number), "GET", id_of(0), account="a", **fields)  # type: ignore[arg-type]

    def find(self, number: int) -> Live:
        return self.table.find(id_of(number), "192.0.2.1")

    def use(self, number: int, sent: int = 5) -> None:
        live = self.find(number)
        self.table.begin_get(live)
        self.table.take_bytes(live, 5)
        self.table.end_get(live, 5, sent)

    def crowd_out(self) -> None:
        """So many others are used that the first are packed."""
        for number in range(100, 100 + IDLE):
            self.add_and_use(number)

    def add_and_use(self, number: int) -> None:
        self.table.add(self.get(number))
        self.table.rest()
        self.use(number)

    def test_counts_stay(self) -> None:
        """Requests and bytes that are left are the same afterwards."""
        self.table.add(self.get(1, requests=3, max_bytes=17))
        self.use(1)
        before = self.find(1)
        self.crowd_out()
        live = self.find(1)
        self.assertIsNot(live, before)
        self.assertEqual((live.requests_left, live.bytes_left), (2, 12))
        self.assertEqual((live.used, live.satisfied, live.running), (True, True, 0))
        self.use(1)
        self.use(1)
        self.assertRaises(NotExpected, self.use, 1)

    def test_few_are_at_hand(self) -> None:
        """However many were used, only the last ones take the memory of objects."""
        for number in range(1, 100):
            self.add_and_use(number)
        self.crowd_out()
        self.assertEqual((len(self.table), self.table.awake), (99 + IDLE, IDLE))

    def test_same_object_while_it_runs(self) -> None:
        """A download under way counts in the one entry that there is."""
        self.add_and_use(1)
        live = self.find(1)
        self.table.begin_get(live)
        self.crowd_out()
        self.assertIs(self.find(1), live)
        self.table.end_get(live, 5, 5)
        self.crowd_out_again()
        self.assertIsNot(self.find(1), live)
        self.assertEqual(self.find(1).requests_left, 1)

    def crowd_out_again(self) -> None:
        for number in range(100, 100 + IDLE):
            self.use(number)
        for number in range(2000, 2000 + IDLE // 2):
            self.add_and_use(number)

    def test_cut_and_packed(self) -> None:
        """One that sent a part only still counts against its account, until its end."""
        self.table.add(self.get(1, start=10, end=30))
        self.use(1, sent=2)
        self.crowd_out()
        self.assertEqual(dict(self.table._accounts), {"a": 1})
        self.clock.advance(29)
        self.find(1)
        self.clock.advance(2)
        self.assertRaises(NotExpected, self.find, 1)
        self.assertEqual(dict(self.table._accounts), {})

    def test_ends_packed(self) -> None:
        """At their end nothing is left of them, nor of what they were counted in."""
        self.table.add(self.get(1))
        self.use(1)
        self.crowd_out()
        for _ in range(130):
            self.clock.advance(1)
        self.assertEqual((len(self.table), dict(self.table._satisfied)), (0, {}))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_makes_room(self) -> None:
        """A full table forgets the packed ones that were served, as all others."""
        table = self.table = Expectations(self.clock, IDLE + 1, 2 * IDLE)
        table.add(self.get(1))
        self.use(1)
        self.crowd_out()
        self.assertEqual(len(table), IDLE + 1)
        self.assertFalse(table.full(self.get(2)))
        self.assertEqual(len(table), IDLE)
        self.assertRaises(NotExpected, self.find, 1)
        self.assertEqual(
            (table.known(self.get(1)), table.known(self.get(1, requests=9))), (204, 409)
        )

    def test_repeated_ones_rest(self) -> None:
        """Repetitions of a whole table leave it packed."""
        for number in range(1, 50):
            self.table.add(self.get(number))
        self.table.rest()
        for number in range(1, 50):
            self.assertEqual(self.table.known(self.get(number)), 204)
        self.table.rest()
        self.assertEqual((len(self.table), self.table.awake), (49, 0))
