"""Expectations at rest: as if they had never been packed, in little memory."""

from __future__ import annotations

import sys

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from pigpen.env import Space
from pigpen.errors import NotExpected
from pigpen.host.expectations import Expectations, Live
from pigpen.host.packing import ANSWERED, Record, pack, unpack
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


class PackingTests(SynchronousTestCase):
    def test_round_trip(self) -> None:
        """All that is known comes back."""
        for record in (
            Record(1.25, 2.5, None, None, None, FULL),
            Record(1.25, 2.5, 1024, None, None, PUT),
            Record(1, 2, None, 0, WriteState("refused", 507, None, "quota"), PUT),
            Record(1, 2, None, 5, WriteState("committed", 201, '"a"'), Expectation("", "PUT", "")),
            Record(0, 2.5, None, 5, WriteState("committed", 201, f'"{id_of(1)[:32]}"'), ANSWERED),
            Record(0, 2, None, None, WriteState("committed", 201, f'"{id_of(1)}"'), ANSWERED),
            Record(0, 2, None, 9, WriteState("refused", 412, None, "condition"), ANSWERED),
        ):
            self.assertEqual(unpack(pack(record)), record)

    def test_size(self) -> None:
        """100,000 small PUTs that nobody has begun take some 20 MB, not 100."""
        self.assertLess(sys.getsizeof(pack(Record(1.5, 2.5, 1024, None, None, PUT))), 180)
        ended = WriteState("committed", 201, f'"{id_of(1)[:32]}"')
        self.assertLess(sys.getsizeof(pack(Record(1.5, 2.5, None, 1024, ended, ANSWERED))), 72)


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
