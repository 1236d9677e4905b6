"""Folders that are made before blobs need them: only in large pools, and while nothing else is to
do. Time is moved by `kit.advance`."""

from __future__ import annotations

import errno

from twisted.trial.unittest import SynchronousTestCase

from pigpen.host import leaves
from pigpen.host.folder import LEAVES
from pigpen.http.body import PushBody
from tests.host_kit import Kit

#: enough for some outer folders
SHORT = leaves.PAUSE_SECONDS * 4


class LeavesTests(SynchronousTestCase):
    def start(self, target_size: int = leaves.LEAST_TARGET_SIZE) -> Kit:
        kit = Kit(target_size=target_size)
        kit.disk.log.clear()
        kit.start()
        self.addCleanup(kit.stop)
        return kit

    def count(self, kit: Kit) -> int:
        """Folders that were made."""
        return sum(kind == "make_folder" and path.count("/") == 4 for kind, path in kit.disk.log)

    def test_made_ahead(self) -> None:
        """A small PUT finds its leaf made, and durable."""
        kit = self.start()
        kit.advance(SHORT)
        made = self.count(kit)
        self.assertGreaterEqual(made, 256)
        self.assertLess(made, LEAVES)
        last = kit.disk.log.index(("make_folder", "/pool/blobs/00/ff"))
        self.assertIn(("sync_folder", "/pool/blobs/00"), kit.disk.log[last:])

    def test_used(self) -> None:
        """A blob in such a leaf makes no folder and syncs its own only."""
        kit = self.start()
        kit.advance(SHORT)
        folder = kit.host._folder
        self.assertIsNone(folder.unsynced_parent("00ff" + "0" * 60))
        self.assertIsNotNone(folder.unsynced_parent("ffff" + "0" * 60))

    def test_small_pool(self) -> None:
        """Where they would take over a hundredth, none is made."""
        kit = self.start(leaves.LEAST_TARGET_SIZE - 1)
        kit.advance(SHORT)
        self.assertEqual(self.count(kit), 0)

    def test_busy(self) -> None:
        """Uploads come first."""
        kit = self.start()
        body = PushBody(3)
        put = kit.ask("PUT", kit.expect_put(1, length=3), body=body)
        kit.advance(SHORT)
        before = self.count(kit)
        kit.advance(leaves.BUSY_SECONDS * 3)
        self.assertEqual(self.count(kit), before)
        body.push(b"abc")
        body.finish()
        kit.env.run(put)
        kit.advance(leaves.BUSY_SECONDS + SHORT)
        self.assertGreater(self.count(kit), before + 256)

    def test_cannot(self) -> None:
        """A disk that takes no more folders still takes uploads; one that fails takes none."""
        for code, kind, status in [
            (errno.ENOSPC, "make_folder", 201),
            (errno.EIO, "sync_folder", 503),
        ]:
            kit = self.start()
            kit.disk.fail_at(1, OSError(code, "planned"), kind)
            path = kit.expect_put(1, length=3)
            kit.advance(SHORT)
            self.assertEqual(kit.status("PUT", path, body=b"abc"), status)
