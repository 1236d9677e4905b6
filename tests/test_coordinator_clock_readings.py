"""Receipts that the network held up: an old write never buries a newer one (CLD-34)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from pigpen.coordinator.clock_readings import Readings
from pigpen.env import sleep
from pigpen.http import wire
from pigpen.testing import SimEnv
from tests.cloud_kit import Cloud

OLD = b"old" * 3000
NEW = b"new" * 4000


class ReadingsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.env = SimEnv()
        self.readings = Readings(self.env)

    def receipt(self, heard: str | None, waits: float | None, late: bool = False) -> wire.Receipt:
        return wire.Receipt("a" * 64, "b" * 64, 1, "c" * 64, 1, late, None, heard, waits)

    def advance(self, seconds: float) -> None:
        self.env.run(sleep(self.env, seconds))

    def test_on_time(self) -> None:
        """While the client waits a receipt is on time, however long ago the clock was heard."""
        heard = self.readings.take()
        self.advance(12)
        self.assertFalse(self.readings.is_late(self.receipt(heard, 20)))
        self.assertTrue(self.readings.is_late(self.receipt(heard, 20, late=True)))
        self.advance(7.4)
        self.assertFalse(self.readings.is_late(self.receipt(heard, 20)))
        self.advance(0.2)
        self.assertTrue(self.readings.is_late(self.receipt(heard, 20)))

    def test_of_another_process(self) -> None:
        """What another coordinator's clock showed says nothing, so the receipt counts as late."""
        for heard in (Readings(self.env).take(), "", "x", self.readings.take() + "x"):
            self.assertTrue(self.readings.is_late(self.receipt(heard, 20)), heard)

    def test_unsaid(self) -> None:
        """A host that heard no clock is believed."""
        self.assertFalse(self.readings.is_late(self.receipt(None, None)))


class HeldUpTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.cloud = Cloud()
        self.addCleanup(self.cloud.close)
        self.host = self.cloud.start_fake_host("h1")
        self.cloud.ask("PUT", "/api/ann/x?redirect=false", Upload_Length=str(len(OLD)))
        [self.expected] = self.host.expected.values()
        self.host.blobs[self.expected.blob] = OLD

    def arrive(self, seconds: float) -> int:
        """Something newer is stored, and a receipt comes `seconds` after it was sent; its client
        has waited for 10. :return: its status."""
        beat = self.cloud.run(self.host.act("heartbeat", self.host.heartbeat()))
        self.cloud.run(sleep(self.cloud.user, 3))
        sent = {"heard": beat.headers[wire.CLOCK], "waits": 13.0}
        self.assertEqual(self.cloud.put("x", NEW).status, 201)
        self.cloud.run(sleep(self.cloud.user, seconds))
        return self.cloud.run(self.host.receipt(self.expected, **sent)).status

    def test_held_up(self) -> None:
        """After its client got 202 an old write does not bury a newer one, though nobody could
        tell the coordinator that it is late."""
        self.assertEqual(self.arrive(10.5), 409)
        self.assertEqual(self.cloud.get("x").data, NEW)

    def test_on_time(self) -> None:
        """While its client waits, the last commit wins, whatever was stored since it began."""
        self.assertEqual(self.arrive(8), 204)
        self.assertEqual(self.cloud.get("x").data, OLD)
