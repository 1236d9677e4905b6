"""The durable write with a fault at every step: each disk operation fails, each is the last before
the process or the power dies. What was acknowledged is there afterwards, and nothing else is left.

A run is a few milliseconds of real time: the machine, its disk and its clock are simulated.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from pigpen.errors import PigpenError
from pigpen.host import writer
from pigpen.host.folder import Note
from pigpen.http import wire
from pigpen.http.body import Body, BytesBody
from pigpen.testing import SimDisk, SimEnv, bury, quiet_burial
from pigpen.testing.files import SimOpenFile
from tests.host_kit import FakeCoordinator, Kit, chunks, digest_of, id_of

#: in pieces, and all at once: a `SmallUpload`
SMALL, WHOLE = b"hello", b"all of it"
LARGE = bytes(range(256)) * 2500  # 640,000 bytes: several writes
NUMBER = 1
BLOB = id_of(NUMBER + 10**6)
#: more than a PUT of either size needs
MANY = 60

EIO = OSError(errno.EIO, "Input/output error")
ENOSPC = OSError(errno.ENOSPC, "No space left on device")


def make_kit(seed: int = 0) -> Kit:
    bury()
    return Kit(SimEnv(seed)).start()


def begin_put(kit: Kit, data: bytes) -> Callable[[], Deferred[Any]]:
    """Announce a PUT; what is returned sends it."""
    path = kit.expect_put(NUMBER, length=len(data), digest=digest_of(data))
    return lambda: kit.ask("PUT", path, body=body_of(data))


def body_of(data: bytes) -> Body:
    return BytesBody(data) if data is WHOLE else chunks(data, 64 * 1024, len(data))


def count_operations(data: bytes) -> int:
    """How many operations of the disk a PUT takes."""
    kit = make_kit()
    send = begin_put(kit, data)
    before = kit.disk.count
    assert kit.env.run(send()).status == 201
    assert kit.disk.count - before < MANY
    return kit.disk.count - before


def steps(kit: Kit) -> str:
    """The last operations of the disk."""
    return ", ".join(f"{kind} {path[:12]}..{path[-5:]}" for kind, path in kit.disk.log[-25:])


def reboot(kit: Kit) -> Kit:
    kit.disk.clear()
    return Kit(kit.env.boot(), kit.coordinator)


def acknowledged(coordinator: FakeCoordinator) -> set[str]:
    """The blobs that the coordinator committed, so that clients may rely on them."""
    return {receipt.blob for receipt in coordinator.receipts}


class FaultCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.enterContext(quiet_burial())
        # so that a body of this size has notes to resume by
        self.patch(writer, "NOTE_BYTES", 300_000)

    def check(self, kit: Kit, data: bytes, why: str) -> None:
        """What holds at all times after a fault, and after the start that follows it."""
        self.check_blobs(kit, data, why)
        self.check_incoming(kit, data, why)
        room = kit.host.room
        allocated = sum(-(-size // 4096) * 4096 for path, size in self.blobs(kit).items())
        waiting = sum(self.note(kit, path).offset for path in kit.files() if path.endswith(".json"))
        self.assertEqual((room.reserved, room.used), (0, allocated + waiting), why)
        self.assertEqual(kit.disk.open_files, ["/pool/pigpen-host.lock"], why)

    def blobs(self, kit: Kit) -> dict[str, int]:
        return {p: size for p, size in kit.files().items() if p.startswith("/pool/blobs")}

    def note(self, kit: Kit, path: str) -> Note:
        return msgspec.json.decode(kit.disk.peek(path), type=Note)

    def check_blobs(self, kit: Kit, data: bytes, why: str) -> None:
        """Nothing but whole bytes has a final name, and what was acknowledged has one."""
        blobs = self.blobs(kit)
        self.assertLessEqual(set(blobs), {kit.blob_path(BLOB)}, why)
        for path in blobs:
            self.assertEqual(digest_of(kit.disk.peek(path)), digest_of(data), why)
        for blob in acknowledged(kit.coordinator):
            self.assertIn(kit.blob_path(blob), blobs, why)

    def check_incoming(self, kit: Kit, data: bytes, why: str) -> None:
        """What is left of the body can be resumed: a note says how much of it is right."""
        left = [path for path in kit.files() if path.startswith("/pool/incoming")]
        self.assertIn(len(left), {0, 2}, f"{why}: {left}")
        if left:
            part, note = sorted(left)
            self.assertEqual(note, part + ".json", why)
            offset = self.note(kit, note).offset
            self.assertEqual(kit.disk.peek(part)[:offset], data[:offset], why)

    def check_works(self, kit: Kit, data: bytes, why: str) -> None:
        """A client that comes again, for the same object and for another one, is served."""
        if BLOB not in acknowledged(kit.coordinator):
            self.put_again(kit, data, why)
        get = kit.expect_get(BLOB, 1)
        self.assertEqual(kit.text(kit.answer("GET", get)), data, why)
        other = kit.store(NUMBER + 1, SMALL)
        self.assertEqual(kit.disk.peek(kit.blob_path(other)), SMALL, why)

    def put_again(self, kit: Kit, data: bytes, why: str) -> int:
        """Go on where the host says; the offset."""
        uuid, length, digest = id_of(NUMBER + 2), len(data), digest_of(data)
        expected = wire.Expectation(
            uuid, "PUT", BLOB, write=id_of(NUMBER), length=length, digest=digest
        )
        [answer] = kit.expect(expected)
        self.assertEqual(answer.status, 204, why)
        headers = {"Upload-Offset": str(answer.offset)} if answer.offset else {}
        status = kit.status("PUT", f"/x/{uuid}", body=data[answer.offset :], headers=headers)
        self.assertEqual(status, 201, f"{why}, going on at {answer.offset}")
        return answer.offset


class ErrorTests(FaultCase):
    """A signalled error: the program goes on."""

    def sweep(self, data: bytes, error: OSError, times: int | None) -> list[int]:
        statuses = []
        for n in range(1, count_operations(data) + 1):
            kit = make_kit(n)
            send = begin_put(kit, data)
            kit.disk.fail_at(n, error, None, times)
            status = kit.env.run(send()).status
            kit.env.run(kit.host.when_online())
            kit.disk.clear()
            why = f"operation {n}: {steps(kit)}"
            self.assertEqual(status == 201, BLOB in acknowledged(kit.coordinator), why)
            self.check_blobs(kit, data, why)
            statuses.append(status)
            kit.disk.crash()
            kit = reboot(kit).start()
            self.check(kit, data, why)
            self.check_works(kit, data, why)
        return statuses

    def test_io_error(self) -> None:
        """EIO at any operation: 500 and nothing left, or 201 and all there."""
        for data in (SMALL, WHOLE, LARGE):
            statuses = self.sweep(data, EIO, 1)
            self.assertLessEqual(set(statuses), {201, 500})
            self.assertIn(500, statuses)

    def test_full(self) -> None:
        """ENOSPC at any operation, once or for good: 507 (500 where an fsync said so)."""
        for data in (SMALL, WHOLE, LARGE):
            for times in (1, None):
                statuses = self.sweep(data, ENOSPC, times)
                self.assertLessEqual(set(statuses), {201, 500, 507})
                self.assertIn(507, statuses)


class FullTests(FaultCase):
    def test_goes_on(self) -> None:
        """After a full disk was told, the next small PUT works without a restart."""
        for kind in ("make_folder", "create", "write"):
            kit = make_kit()
            send = begin_put(kit, LARGE)
            kit.disk.fail_next(ENOSPC, kind)
            self.assertEqual(kit.env.run(send()).status, 507)
            self.check(kit, LARGE, kind)
            self.check_works(kit, LARGE, kind)

    def test_read_only(self) -> None:
        """A failed fsync makes the host read-only: it takes no more writes, and says so."""
        for kind in ("sync", "sync_folder"):
            kit = make_kit()
            kept = kit.store(7, SMALL)
            send = begin_put(kit, LARGE)
            kit.disk.fail_next(EIO, kind)
            self.assertEqual(kit.env.run(send()).status, 500)
            self.assertEqual(kit.host.status().state, "read-only")
            get = kit.expect_get(kept, 3)
            self.assertEqual(kit.text(kit.answer("GET", get)), SMALL)


class DeathTests(FaultCase):
    """The process dies inside an operation; with it, perhaps, the power."""

    def sweep(self, data: bytes, seed: int, *, power: bool) -> None:
        for n in range(1, MANY):
            kit = make_kit(seed * 1000 + n)
            send = begin_put(kit, data)
            kit.disk.kill_at(n)
            done = send()
            kit.env.world.settle(30)
            alive = kit.env.alive
            if power:
                kit.disk.crash()
            why = f"seed {seed}, death in operation {n}: {steps(kit)}"
            kit = reboot(kit).start()
            self.check(kit, data, why)
            self.check_works(kit, data, why)
            if alive:
                self.assertEqual(self.successResultOf(done).status, 201)
                return
        self.fail("the PUT never came to its end")

    def test_killed(self) -> None:
        """kill -9 in every operation."""
        for data in (SMALL, WHOLE, LARGE):
            self.sweep(data, 0, power=False)

    def test_power_cut(self) -> None:
        """A power cut in every operation, with other luck each time."""
        for data in (SMALL, WHOLE, LARGE):
            for seed in range(3):
                self.sweep(data, seed, power=True)

    def test_after_answer(self) -> None:
        """A power cut at once after the 201 takes nothing."""
        for seed in range(10):
            kit = make_kit(seed)
            self.assertEqual(kit.env.run(begin_put(kit, LARGE)()).status, 201)
            kit.disk.crash()
            kit = reboot(kit).start()
            self.assertIn(BLOB, acknowledged(kit.coordinator))
            self.check(kit, LARGE, f"seed {seed}")

    def test_dying_in_recovery(self) -> None:
        """A host that dies again and again while it starts comes up in the end, with everything."""
        for seed in range(10):
            kit = make_kit(seed)
            send = begin_put(kit, LARGE)
            kit.disk.kill_at(6 + seed)
            send()
            kit.env.world.settle(30)
            for _ in range(3):
                kit.disk.crash()
                kit = reboot(kit)
                kit.disk.kill_at(kit.env.random.randint(1, 800))
                Deferred.fromCoroutine(kit.host.start())
                kit.env.world.settle(30)
            kit.disk.crash()
            kit = reboot(kit).start()
            self.check(kit, LARGE, f"seed {seed}")
            self.check_works(kit, LARGE, f"seed {seed}")


class ResumeTests(FaultCase):
    def test_offset_is_durable(self) -> None:
        """What a host offers to resume after a power cut is right, byte for byte."""
        resumed = 0
        for seed in range(10):
            kit = make_kit(seed)
            send = begin_put(kit, LARGE)
            kit.disk.kill_at(8 + 3 * seed)
            send()
            kit.env.world.settle(30)
            kit.disk.crash()
            kit = reboot(kit).start()
            resumed += self.put_again(kit, LARGE, f"seed {seed}") > 0
            self.check(kit, LARGE, f"seed {seed}")
        self.assertGreater(resumed, 0)


class LateTests(FaultCase):
    """While the coordinator is silent: 202 means durable here, and delivered some day (P1, K1)."""

    def late(self, kit: Kit, count: int = 1) -> list[Deferred[Any]]:
        kit.coordinator.down = True
        paths = [kit.expect_put(number, length=len(SMALL)) for number in range(count)]
        return [kit.ask("PUT", path, body=SMALL) for path in paths]

    def delivered(self, kit: Kit) -> set[str]:
        """What the coordinator hears of once it is back and the host has started again."""
        kit.disk.crash()
        kit.coordinator.down = False
        kit = reboot(kit).start()
        kit.env.world.settle(60)
        return {receipt.write for receipt in kit.coordinator.receipts}

    def statuses(self, kit: Kit, answers: list[Deferred[Any]]) -> list[int]:
        kit.env.world.settle(60)
        return [self.successResultOf(answer).status for answer in answers]

    def test_power_cut(self) -> None:
        """A power cut at once after the 202 takes no receipt."""
        for seed in range(10):
            kit = make_kit(seed)
            self.assertEqual(self.statuses(kit, self.late(kit, 3)), [202] * 3)
            self.assertEqual(self.delivered(kit), {id_of(0), id_of(1), id_of(2)})

    def test_errors(self) -> None:
        """Whatever operation fails, whoever got a 202 is in the coordinator's hands in the end."""
        for n in range(1, 48):
            error = EIO if n % 2 else ENOSPC
            kit = make_kit(n)
            answers = self.late(kit, 4)
            kit.disk.fail_at(n, error)
            statuses = self.statuses(kit, answers)
            self.assertLessEqual(set(statuses), {202, 500, 503, 507}, n)
            delivered = self.delivered(kit)
            for number, status in enumerate(statuses):
                if status == 202:
                    self.assertIn(id_of(number), delivered, f"{n} {error} {steps(kit)}")

    def test_second_try(self) -> None:
        """A receipt that follows one of which the disk took half is not lost with it."""
        for seed in range(6):
            kit = make_kit(seed)
            [first] = self.late(kit)
            kit.disk.fail_at(2, ENOSPC, "write")  # the blob's own is the first
            self.assertNotEqual(self.statuses(kit, [first]), [202])
            path = kit.expect_put(9, length=len(SMALL))
            second = kit.ask("PUT", path, body=SMALL)
            self.assertEqual(self.statuses(kit, [second]), [202])
            self.assertIn(id_of(9), self.delivered(kit), seed)


class PlantedBugTests(FaultCase):
    """These tests would notice a host that leaves out a step."""

    def found(self) -> bool:
        tests = DeathTests()
        try:
            for seed in range(4):
                tests.sweep(SMALL, seed, power=True)
        except (AssertionError, PigpenError):
            return True
        return False

    def leave_out(self, kind: type, name: str, where: str) -> None:
        """Leave out an operation on paths that hold `where`."""
        real = getattr(kind, name)

        def skipping(self: Any, path: str | None = None) -> None:
            if where not in (path or self.path):
                real(self, *[path] if path else [])

        self.patch(kind, name, skipping)

    def test_none(self) -> None:
        """Nothing is found where nothing is wrong."""
        self.assertFalse(self.found())

    def test_no_file_fsync(self) -> None:
        """Without fsync of the part."""
        self.leave_out(SimOpenFile, "sync", "/incoming/")
        self.assertTrue(self.found())

    def test_no_folder_fsync(self) -> None:
        """Without fsync of the folder that has the blob's name."""
        self.leave_out(SimDisk, "sync_folder", f"{BLOB[:2]}/{BLOB[2:4]}")
        self.assertTrue(self.found())

    def test_no_parent_fsync(self) -> None:
        """Without fsync of the folder above, where that one is new."""
        self.leave_out(SimDisk, "sync_folder", f"blobs/{BLOB[:2]}")
        self.assertTrue(self.found())

    def test_bad_bytes(self) -> None:
        """A failed write that is taken for a good one."""
        self.patch(writer.BlobWriter, "_check", lambda self: None)
        self.assertRaises(AssertionError, self.error_sweep)

    def error_sweep(self) -> None:
        tests = ErrorTests()
        tests.sweep(LARGE, EIO, 1)
