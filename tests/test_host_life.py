"""A host from its first start to its last: registration, heartbeats, stop and start again."""

from __future__ import annotations

import errno

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from pigpen.errors import ConfigError, Refused
from pigpen.host.identity import Identity
from pigpen.http import wire
from pigpen.http.answers import json_answer
from pigpen.http.body import PushBody
from pigpen.http.message import Response
from tests.host_kit import MIB, Kit, id_of


def refusal(status: int) -> Response:
    return json_answer(status, wire.Problem("no", "not you"))


class SessionTests(SynchronousTestCase):
    def test_first_start(self) -> None:
        """The first start registers with the access key and remembers who it is."""
        kit = Kit().start()
        self.assertEqual(kit.coordinator.calls, ["POST /hosts"])
        self.assertEqual(kit.coordinator.tokens, ["Bearer KEY"])
        [registration] = kit.coordinator.registrations
        self.assertEqual(registration.addresses, ["http://host:2575"])
        self.assertEqual(registration.target_size, 1024 * MIB)
        identity = msgspec.json.decode(kit.disk.peek("/pool/pigpen-host.json"), type=Identity)
        self.assertEqual(identity, Identity(7, "HOSTKEY", 1))

    def test_keys_are_not_shown(self) -> None:
        """Neither the host's key nor the account's gets into a log by a repr (A5)."""
        kit = Kit(access_key="SECRET").start()
        for thing in (kit.host.session.identity, kit.host._settings):
            for secret in ("SECRET", "HOSTKEY"):
                self.assertNotIn(secret, repr(thing))

    def test_next_start(self) -> None:
        """Later starts show the host's own key, need no access key, and get the next epoch."""
        kit = Kit().start()
        kit.env.power_cut()
        again = Kit(kit.env.boot(), kit.coordinator, access_key=None).start()
        self.assertEqual(kit.coordinator.calls[-1], "POST /hosts/7/session")
        self.assertEqual(kit.coordinator.tokens[-1], "Bearer HOSTKEY")
        self.assertEqual(kit.coordinator.registrations[-1].last_epoch, 1)
        self.assertEqual(again.host.status().epoch, 2)
        first, second = kit.coordinator.registrations
        self.assertNotEqual(first.instance, second.instance)

    def test_no_access_key(self) -> None:
        """Without a key the first start says what it needs."""
        kit = Kit(access_key=None)
        with self.assertRaises(ConfigError) as caught:
            kit.env.run(kit.host.start())
        self.assertIn("--access-key", str(caught.exception))
        self.assertEqual(kit.disk.open_files, [])

    def test_coordinator_down_at_the_start(self) -> None:
        """A host waits for its coordinator, and is there within a minute of it."""
        kit = Kit()
        kit.coordinator.down = True
        kit.env.run(kit.host.start())
        kit.advance(3600)
        tries = len(kit.coordinator.calls)
        self.assertLess(tries, 100)
        kit.coordinator.down = False
        kit.advance(75)
        self.assertEqual(kit.host.status().epoch, 1)
        kit.env.run(kit.host.when_online())

    def test_said_once(self) -> None:
        """A coordinator that is away for an hour is two lines in the log, not hundreds: that it is
        away, and that it is back."""
        kit = Kit()
        kit.coordinator.down = True
        for first in ("not registered yet", "no heartbeat"):
            with capturedLogs() as events:
                if not kit.coordinator.calls:
                    kit.env.run(kit.host.start())
                kit.coordinator.down = True
                kit.advance(3600)
                kit.coordinator.down = False
                kit.advance(75)
            said = [formatEvent(event) for event in events]
            self.assertEqual(len(said), 2, said)
            self.assertIn(f"{first}: Cannot connect", said[0])
            self.assertIn("is online", said[1])

    def test_refused(self) -> None:
        """A wrong access key is told to whoever waits; the host itself tries on."""
        kit = Kit()
        kit.coordinator.instead["hosts"] = refusal(401)
        kit.env.run(kit.host.start())
        with self.assertRaises(Refused) as caught:
            kit.env.run(kit.host.when_online())
        self.assertEqual(str(caught.exception), "not you")
        self.assertEqual(kit.status("POST", "/expect", headers={"Authorization": "Bearer "}), 401)
        del kit.coordinator.instead["hosts"]
        kit.advance(75)
        kit.env.run(kit.host.when_online())

    def test_heartbeats(self) -> None:
        """Every 10 s, give or take 20 %, and at once when the state changes."""
        kit = Kit().start()
        kit.advance(1000)
        self.assertTrue(88 <= len(kit.coordinator.heartbeats) <= 112)
        kit.host.session.set_state("draining")
        count = len(kit.coordinator.heartbeats)
        kit.advance(1)
        self.assertEqual(len(kit.coordinator.heartbeats), count + 1)
        beat = kit.coordinator.heartbeats[-1]
        self.assertEqual((beat.epoch, beat.state, beat.used), (1, "draining", 0))
        self.assertEqual(kit.expect_status(1), 503)

    def test_cut_off_and_back(self) -> None:
        """A host that was cut off goes on in its epoch, and keeps serving meanwhile."""
        kit = Kit().start()
        blob = kit.store(1, b"hello")
        path = kit.expect_get(blob, 1, start=600)
        kit.coordinator.down = True
        kit.advance(100)
        self.assertEqual(kit.status("GET", path), 200)
        kit.coordinator.down = False
        count = len(kit.coordinator.heartbeats)
        kit.advance(15)
        self.assertGreater(len(kit.coordinator.heartbeats), count)
        self.assertEqual(kit.host.status().epoch, 1)

    def test_fenced(self) -> None:
        """A coordinator that knows the session no more gets a new one."""
        kit = Kit().start()
        for status in (401, 404, 409):
            epoch = kit.host.status().epoch
            kit.coordinator.instead["heartbeat"] = refusal(status)
            kit.advance(15)
            del kit.coordinator.instead["heartbeat"]
            kit.advance(15)
            self.assertGreater(kit.host.status().epoch, epoch)

    def test_full_disk(self) -> None:
        """A host that cannot write down its new session tries on, and is back when it can."""
        kit = Kit().start()
        kit.disk.fail_always(OSError(errno.ENOSPC, "full"), "write")
        kit.coordinator.instead["heartbeat"] = refusal(409)
        kit.advance(15)
        del kit.coordinator.instead["heartbeat"]
        kit.advance(100)
        self.assertEqual(kit.coordinator.heartbeats, [])
        kit.disk.clear()
        kit.advance(75)
        self.assertNotEqual(kit.coordinator.heartbeats, [])

    def test_mute_coordinator(self) -> None:
        """A coordinator that takes the request and never answers counts as cut off."""
        kit = Kit().start()
        kit.coordinator.mute = True
        kit.advance(60)
        kit.coordinator.mute = False
        kit.advance(30)
        self.assertGreater(len(kit.coordinator.heartbeats), 0)

    def test_clock_steps(self) -> None:
        """A wall clock that jumps expires nothing and keeps nothing alive (D7)."""
        kit = Kit().start()
        blob = kit.store(1, b"hello")
        for skew in (-3600.0, 365 * 86400.0):
            path = kit.expect_get(blob, int(abs(skew)), start=50, end=100)
            kit.env.skew = skew
            kit.advance(40)
            self.assertEqual(kit.status("GET", path), 200)
            kit.advance(70)
            self.assertEqual(kit.status("GET", path), 403)


class FolderTests(SynchronousTestCase):
    def test_disk_not_mounted(self) -> None:
        """Blobs without an identity: the host does not start (D4)."""
        kit = Kit()
        kit.disk.plant_folder("/pool/blobs")
        with self.assertRaises(ConfigError) as caught:
            kit.env.run(kit.host.start())
        self.assertIn("mounted", str(caught.exception))

    def test_broken_identity(self) -> None:
        """An identity that makes no sense stops the start, and nothing is overwritten."""
        kit = Kit()
        kit.disk.plant_file("/pool/pigpen-host.json", b"{")
        with self.assertRaises(ConfigError):
            kit.env.run(kit.host.start())
        self.assertEqual(kit.disk.peek("/pool/pigpen-host.json"), b"{")

    def test_identity_open_to_others(self) -> None:
        """Who can read a host's key can be that host: it does not start, and says what to do."""
        kit = Kit().start()
        kit.env.run(kit.host.stop(0))
        for mode, mine, remedy in ((0o640, True, "chmod 600"), (0o600, False, "chown")):
            file = kit.disk._file("/pool/pigpen-host.json")
            file.mode, file.mine = mode, mine
            error = self.assertRaises(ConfigError, Kit(kit.env.boot(), kit.coordinator).start)
            self.assertIn(remedy, error.message)

    def test_second_process(self) -> None:
        """A second host on the same folder does not start; the first goes on."""
        kit = Kit().start()
        second = Kit(kit.env)
        with self.assertRaises(ConfigError) as caught:
            kit.env.run(second.host.start())
        self.assertIn("another pigpen host", str(caught.exception))
        self.assertEqual(kit.status("GET", "/status"), 200)

    def test_what_a_crash_left(self) -> None:
        """Old parts without a note, notes without a part and day-old parts are removed."""
        kit = Kit()
        kit.disk.plant_file("/pool/pigpen-host.json", b'{"id":7,"host_key":"k","epoch":1}')
        for name in (id_of(1), id_of(2) + ".json", id_of(3) + ".json.tmp"):
            kit.disk.plant_file(f"/pool/incoming/{name}", b'{"offset":3}')
        kit.disk.plant_file(f"/pool/incoming/{id_of(4)}", b"abcdef")
        kit.disk.plant_file(f"/pool/incoming/{id_of(4)}.json", b'{"offset":3}')
        kit.disk.plant_file(f"/pool/incoming/{id_of(5)}", b"ab")
        kit.disk.plant_file(f"/pool/incoming/{id_of(5)}.json", b'{"offset":3}')
        kit.disk.plant_file("/pool/trash/2020-01-01/x", b"old")
        kit.disk.plant_file("/pool/trash/2025-12-31/x", b"new")
        kit.start()
        self.assertEqual(
            kit.files(),
            {
                f"/pool/incoming/{id_of(4)}": 6,
                f"/pool/incoming/{id_of(4)}.json": 12,
                "/pool/trash/2025-12-31/x": 3,
            },
        )

    def test_used_is_counted(self) -> None:
        """After a restart the used bytes are what lies there."""
        kit = Kit().start()
        for number in range(5):
            kit.store(number, b"x" * 5000)
        used = kit.host.room.used
        kit.stop()
        again = Kit(kit.env.boot(), kit.coordinator).start()
        self.assertEqual((used, again.host.room.used), (5 * 8192, 5 * 8192))

    def test_strange_folders(self) -> None:
        """Folders that somebody made among the blobs' are none of theirs."""
        kit = Kit().start()
        kit.stop()
        # some are numbers, of no leaf or of another one
        for path in ("lost+found/x", "ab/backup", "ab/cdef", "a/b", "0x/ab"):
            outer, inner = path.split("/")
            kit.disk.make_folder(f"/pool/blobs/{outer}")
            kit.disk.make_folder(f"/pool/blobs/{outer}/{inner}")
        again = Kit(kit.env.boot(), kit.coordinator).start()
        blob = "00ab" + id_of(1)[4:]
        one = wire.Expectation(id_of(1), "PUT", blob, length=5)
        self.assertEqual(again.statuses(one), [204])
        self.assertEqual(again.status("PUT", f"/x/{id_of(1)}", body=b"hello"), 201)


class StopTests(SynchronousTestCase):
    def test_nothing_left(self) -> None:
        """A stopped host has no file open, no timer and no task, and has said goodbye."""
        kit = Kit().start()
        blob = kit.store(1, b"hello")
        kit.text(kit.answer("GET", kit.expect_get(blob, 1)))
        kit.stop()
        self.assertEqual(kit.coordinator.heartbeats[-1].state, "stopping")
        kit.env.world.assert_clean()

    def test_uploads_get_some_time(self) -> None:
        """An upload that ends in time is stored; one that does not can be resumed (C6)."""
        kit = Kit().start()
        quick, slow = kit.expect_put(1, length=6), kit.expect_put(2, length=MIB)
        bodies = PushBody(6), PushBody(MIB)
        answers = [
            kit.ask("PUT", path, body=body)
            for path, body in zip((quick, slow), bodies, strict=True)
        ]
        bodies[0].push(b"abc")
        bodies[1].push(b"x" * (MIB // 2))
        kit.advance(1)
        stopped = Deferred.fromCoroutine(kit.host.stop(10))
        kit.advance(1)
        self.assertEqual(kit.expect_status(3), 503)
        bodies[0].push(b"def")
        bodies[0].finish()
        kit.advance(20)
        self.successResultOf(stopped)
        self.assertEqual([kit.env.run(one).status for one in answers], [201, 503])
        kit.env.world.assert_clean()
        again = Kit(kit.env.boot(), kit.coordinator).start()
        one = wire.Expectation(id_of(9), "PUT", id_of(2 + 10**6), length=MIB)
        self.assertEqual(again.expect(one)[0].offset, MIB // 2)


class StatusTests(SynchronousTestCase):
    def test_status(self) -> None:
        """/status says how the host is, and no secret."""
        kit = Kit().start()
        kit.store(1, b"hello")
        data = kit.text(kit.answer("GET", "/status"))
        status = msgspec.json.decode(data, type=wire.HostStatus)
        self.assertEqual((status.id, status.epoch, status.state), (7, 1, "up"))
        self.assertEqual((status.used, status.reserved), (4096, 0))
        self.assertNotIn(b"HOSTKEY", data)

    def test_metrics(self) -> None:
        """/metrics counts, without an id or a key in it."""
        kit = Kit().start()
        kit.store(1, b"hello")
        kit.status("GET", f"/x/{id_of(5)}")
        text = kit.text(kit.answer("GET", "/metrics")).decode()
        self.assertIn("pigpen_host_used_bytes 4096.0", text)
        self.assertIn('pigpen_host_violations_total{kind="unknown"} 1.0', text)
        for number in (1, 5, 1 + 10**6):
            self.assertNotIn(id_of(number)[:8], text)
