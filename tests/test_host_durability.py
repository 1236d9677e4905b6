"""The durable write under every fault: promises P1 and P2, cases C1, C2, D1, D2, Y7."""

from __future__ import annotations

import errno

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from pigpen.http.body import Body, BytesBody, PushBody
from pigpen.testing.env import SimEnv
from tests.host_kit import Kit, chunks, digest_of, id_of

SMALL = b"small" * 100
LARGE = bytes(range(256)) * 4096
BLOB = id_of(1 + 10**6)
PART = f"/pool/incoming/{BLOB}"
LOCK = "/pool/pigpen-host.lock"


def body_of(data: bytes) -> PushBody:
    return chunks(data, 64 * 1024, len(data))


def prepared(data: bytes, heartbeat_seconds: float = 10, seed: int = 0) -> tuple[Kit, str]:
    kit = Kit(SimEnv(seed))
    kit.coordinator.heartbeat_seconds = heartbeat_seconds
    kit.start()
    return kit, kit.expect_put(1, length=len(data), digest=digest_of(data))


def operations_of(data: bytes) -> list[str]:
    """The kinds of disk operations that a PUT takes."""
    kit, path = prepared(data)
    before = len(kit.disk.log)
    assert kit.status("PUT", path, body=body_of(data)) == 201
    return [kind for kind, _ in kit.disk.log[before:]]


class DiskFaultTests(SynchronousTestCase):
    def fail(self, data: bytes, n: int, code: int, times: int | None = 1) -> tuple[Kit, int]:
        kit, path = prepared(data)
        kit.disk.fail_at(n, OSError(code, "planned"), times=times)
        status = kit.status("PUT", path, body=body_of(data))
        kit.disk.clear()
        self.assertEqual(kit.coordinator.receipts, [], n)
        self.assertEqual(kit.host.room.reserved, 0)
        self.assertEqual(kit.host.room.used, 0)
        self.assertEqual(kit.disk.open_files, [LOCK], n)
        return kit, status

    def test_disk_full_at_every_step(self) -> None:
        """A full disk, for once or for good: 507, nothing left, and the next PUT works (D1)."""
        for data in (SMALL, LARGE):
            for n, kind in enumerate(operations_of(data), 1):
                if kind in {"sync", "sync_folder"}:
                    continue
                for times in (1, 2):
                    kit, status = self.fail(data, n, errno.ENOSPC, times)
                    self.assertEqual(status, 507, (n, kind))
                    again = kit.expect_put(2, length=3)
                    self.assertEqual(kit.status("PUT", again, body=b"abc"), 201)
                    if times == 1:
                        self.assertEqual(len(kit.files()), 1, (n, kind))

    def test_disk_error_at_every_step(self) -> None:
        """An error of the disk: 500, no receipt, no second fsync, and the host says so (D2)."""
        for data in (SMALL, LARGE):
            for n, kind in enumerate(operations_of(data), 1):
                kit, status = self.fail(data, n, errno.EIO)
                self.assertEqual(status, 500, (n, kind))
                self.assertNotIn(PART, kit.files())
                syncs = [path for what, path in kit.disk.log if what == "sync" and path == PART]
                self.assertLessEqual(len(syncs), 1)
                kit.advance(1)
                self.assertEqual(kit.coordinator.heartbeats[-1].state, "read-only")
                self.assertEqual(kit.expect_status(2), 503)
                self.assertEqual(kit.host.status().state, "read-only")

    def test_fsync_that_finds_no_space(self) -> None:
        """A failed fsync is final, whatever its reason."""
        for data in (SMALL, LARGE):
            for n, kind in enumerate(operations_of(data), 1):
                if kind in {"sync", "sync_folder"}:
                    self.assertEqual(self.fail(data, n, errno.ENOSPC)[1], 500)

    def test_other_ways_to_be_full(self) -> None:
        """A quota of the disk, a file system that turned read-only, a file that is too long: 507,
        and the host goes on when there is room (D1)."""
        for code in (errno.EDQUOT, errno.EROFS, errno.EFBIG):
            for n, kind in enumerate(operations_of(LARGE), 1):
                if kind in {"create", "write", "make_folder", "rename"}:
                    kit, status = self.fail(LARGE, n, code)
                    self.assertEqual(status, 507, (code, kind))
                    self.assertEqual(kit.host.status().state, "up")
                    again = kit.expect_put(2, length=3)
                    self.assertEqual(kit.status("PUT", again, body=b"abc"), 201)

    def test_too_many_open_files(self) -> None:
        """Without descriptors a PUT is 503, and the host goes on when there are some (D6)."""
        kit, status = self.fail(SMALL, 2, errno.EMFILE)
        self.assertEqual(status, 503)
        self.assertEqual(kit.status("PUT", kit.expect_put(2, length=3), body=b"abc"), 201)

    def test_reading_goes_on(self) -> None:
        """A host whose disk failed still gives what it has."""
        kit, path = prepared(SMALL)
        self.assertEqual(kit.status("PUT", path, body=SMALL), 201)
        kit.disk.fail_always(OSError(errno.EIO, "planned"), "sync")
        broken = kit.expect_put(2, length=3)
        ready = kit.expect_put(3, length=3)
        self.assertEqual(kit.status("PUT", broken, body=b"abc"), 500)
        self.assertEqual(kit.status("PUT", ready, body=b"abc"), 503)
        self.assertEqual(kit.text(kit.answer("GET", kit.expect_get(BLOB, 4))), SMALL)


class CrashTests(SynchronousTestCase):
    def check_after(self, kit: Kit, data: bytes, committed: bool) -> None:
        """Start again: the blob is whole or absent, and the host works."""
        kit = Kit(kit.env.boot(), kit.coordinator).start()
        files = kit.files()
        path = kit.blob_path(BLOB)
        if committed:
            self.assertIn(path, files)
        if path in files:
            self.assertEqual(kit.disk.peek(path), data)
        self.assertEqual([name for name in files if "/incoming/" in name], [])
        self.assertEqual(kit.host.room.used, -(-sum(files.values()) // 4096) * 4096)
        self.assertEqual(kit.status("PUT", kit.expect_put(2, length=3), body=b"abc"), 201)

    def test_killed_at_every_step(self) -> None:
        """kill -9, or the power, at any step of a PUT: the version is whole or absent (C1, C2)."""
        for data in (SMALL, LARGE):
            for n in range(1, len(operations_of(data)) + 1):
                for power in (False, True):
                    kit, path = prepared(data, seed=n)
                    kit.disk.kill_at(n)
                    answer = kit.ask("PUT", path, body=body_of(data))
                    kit.env.world.settle(1)
                    self.assertNoResult(answer)
                    if power:
                        kit.disk.crash()
                    self.check_after(kit, data, bool(kit.coordinator.receipts))

    def test_power_cut_after_the_answer(self) -> None:
        """What was answered 201 is there after a power cut in the same moment (P1)."""
        for data in (SMALL, LARGE):
            for seed in range(20):
                kit, path = prepared(data, seed=seed)
                self.assertEqual(kit.status("PUT", path, body=body_of(data)), 201)
                kit.env.power_cut()
                self.check_after(kit, data, True)


class CancelTests(SynchronousTestCase):
    def test_client_leaves_at_every_step(self) -> None:
        """Whenever a client leaves, its room, its files and its tasks are given back (Y7)."""
        for data, streamed in ((SMALL, False), (SMALL, True), (LARGE, True)):
            for steps in range(60):
                kit, path = prepared(data, heartbeat_seconds=3600)
                body: Body = chunks(data, 256 * 1024, len(data)) if streamed else BytesBody(data)
                answer = kit.ask("PUT", path, body=body)
                for _ in range(steps):
                    if not answer.called:
                        kit.env.world.clock.step()
                if answer.called:
                    self.assertEqual(self.successResultOf(answer).status, 201)
                    break
                answer.cancel()
                self.failureResultOf(answer, CancelledError)
                kit.advance(3)
                self.check_left(kit, data)
            else:
                self.fail("the upload never ended")

    def test_unforeseen(self) -> None:
        """A bug in the middle of a small PUT leaves nothing behind, and the next one works."""
        kit, path = prepared(SMALL)
        kit.disk.fail_at(1, ZeroDivisionError(), "rename")
        answer = kit.ask("PUT", path, body=SMALL)
        kit.advance(1)
        self.failureResultOf(answer, ZeroDivisionError)
        self.check_left(kit, SMALL)
        self.assertEqual(kit.status("PUT", kit.expect_put(9, length=3), body=b"abc"), 201)

    def check_left(self, kit: Kit, data: bytes) -> None:
        self.assertEqual(kit.disk.open_files, [LOCK])
        self.assertEqual(kit.host._uploads.running, {})
        for receipt in kit.coordinator.receipts:
            self.assertEqual(receipt.sha256, digest_of(data))
            self.assertIn(kit.blob_path(BLOB), kit.files())
        kit.advance(25 * 3600)
        self.assertEqual(kit.host.room.reserved, 0)
        size = sum(-(-size // 4096) * 4096 for size in kit.files().values())
        self.assertEqual(kit.host.room.used, size)
        self.assertEqual([name for name in kit.files() if "/incoming/" in name], [])
        self.assertEqual((kit.host._tasks._running, kit.host._tasks._held), (set(), 0))
