"""Small uploads that become durable together: each has an outcome of its own.

Those whose bytes arrive in one turn of the reactor are one batch.
"""

from __future__ import annotations

import contextlib
import errno

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from pigpen.errors import DigestMismatch, DiskFailed, InsufficientStorage
from pigpen.host import batches
from pigpen.host.batches import Batches, store
from pigpen.host.durable import Written
from pigpen.host.folder import Folder
from pigpen.testing import SimDisk, SimEnv, bury, quiet_burial
from tests.host_kit import digest_of, id_of

ROOT = "/pool"
#: two that share a leaf, two that share an outer folder, and one apart
BLOBS = ["aa01" + id_of(1)[4:], "aa01" + id_of(2)[4:], "aa02" + id_of(3)[4:], id_of(10**6)]


def data_of(blob: str) -> bytes:
    return blob.encode() * 3


class Stored:
    """A folder, and what became of blobs that were stored in one batch."""

    def __init__(self, seed: int = 0) -> None:
        bury()
        self.env = SimEnv(seed)
        self.disk: SimDisk = self.env.disk
        self.disk.make_folder(ROOT)
        self.disk.sync_folder("/")
        self.folder = Folder(self.disk, ROOT)
        self.folder.make_folders()
        self.batches = Batches(self.env, self.folder)
        self.outcomes: dict[str, Written | BaseException] = {}
        self.disk.log.clear()

    def begin(self, blobs: list[str] = BLOBS) -> None:
        for blob in blobs:
            self.watch(blob, self.batches.store(blob, data_of(blob), digest_of(data_of(blob))))

    def watch(self, blob: str, done: Deferred[Written]) -> None:
        def told(result: Written) -> None:
            self.outcomes[blob] = result

        done.addCallbacks(told, lambda failure: self.outcomes.update({blob: failure.value}))  # type: ignore[unused-awaitable]

    def run(self) -> None:
        self.begin()
        self.env.world.settle(1)

    @property
    def stored(self) -> set[str]:
        return {blob for blob, outcome in self.outcomes.items() if isinstance(outcome, Written)}

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.disk.log]


class BatchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.enterContext(quiet_burial())

    def fail_at(self, n: int, code: int) -> Stored:
        stored = Stored()
        stored.disk.fail_at(n, OSError(code, "planned"))
        stored.run()
        self.assertEqual(len(stored.outcomes), len(BLOBS), n)
        self.assertEqual(stored.disk.open_files, [], n)
        return stored

    def count(self) -> list[str]:
        stored = Stored()
        stored.run()
        self.assertEqual(stored.stored, set(BLOBS))
        return stored.kinds()

    def test_order(self) -> None:
        """All bytes and new folders are synced before the first rename, all leaves after the last;
        folders that blobs share are synced once."""
        kinds = self.count()
        renames = [place for place, kind in enumerate(kinds) if kind == "rename"]
        syncs = [place for place, kind in enumerate(kinds) if kind == "sync"]
        folders = [place for place, kind in enumerate(kinds) if kind == "sync_folder"]
        self.assertEqual((len(renames), len(syncs), len(folders)), (4, 4, 5))
        self.assertLess(max(syncs), renames[0])
        self.assertEqual([place < renames[0] for place in folders], [True] * 2 + [False] * 3)
        self.assertLess(renames[-1], folders[2])

    def test_power_cut_after_the_answer(self) -> None:
        """What was answered is there, whatever else the crash takes."""
        for seed in range(20):
            stored = Stored(seed)
            stored.run()
            stored.disk.crash()
            for blob in BLOBS:
                self.assertEqual(stored.disk.peek(stored.folder.blob(blob)), data_of(blob))

    def test_power_cut_at_every_step(self) -> None:
        """Nothing but whole blobs has a final name (C1, C2)."""
        for n in range(1, len(self.count()) + 1):
            stored = Stored(n)
            stored.disk.kill_at(n)
            stored.run()
            self.assertEqual(stored.outcomes, {})
            stored.disk.crash()
            for blob in BLOBS:
                with contextlib.suppress(FileNotFoundError):
                    data = stored.disk.peek(stored.folder.blob(blob))
                    self.assertEqual(data, data_of(blob), n)

    def test_full_disk(self) -> None:
        """No space for one of them is no matter of the others (D1)."""
        for n, kind in enumerate(self.count(), 1):
            if kind not in {"sync", "sync_folder"}:
                stored = self.fail_at(n, errno.ENOSPC)
                failed = [stored.outcomes[blob] for blob in BLOBS if blob not in stored.stored]
                self.assertEqual([type(error) for error in failed], [InsufficientStorage], kind)

    def test_failed_sync(self) -> None:
        """A failed fsync is final for all that relied on it, and for no others (D2)."""
        for n, kind in enumerate(self.count(), 1):
            if kind in {"sync", "sync_folder"}:
                stored = self.fail_at(n, errno.EIO)
                failed = [blob for blob in BLOBS if blob not in stored.stored]
                self.assertIn(len(failed), {1} if kind == "sync" else {1, 2, 3}, n)
                for blob in failed:
                    self.assertIsInstance(stored.outcomes[blob], DiskFailed)
                # never again: the kernel would say that all is well
                tried = [path for what, path in stored.disk.log if what.startswith("sync")]
                self.assertEqual(len(tried), len(set(tried)), n)

    def test_lost_name(self) -> None:
        """What was not answered after a failed folder fsync may be gone; what was is there."""
        for n, kind in enumerate(self.count(), 1):
            if kind == "sync_folder":
                stored = self.fail_at(n, errno.EIO)
                stored.disk.crash()
                for blob in stored.stored:
                    self.assertEqual(stored.disk.peek(stored.folder.blob(blob)), data_of(blob))

    def test_other_bytes(self) -> None:
        """Bytes of another digest touch no disk."""
        stored = Stored()
        stored.watch(BLOBS[0], stored.batches.store(BLOBS[0], b"ab", digest_of(b"ba")))
        stored.watch(BLOBS[1], stored.batches.store(BLOBS[1], b"ab", digest_of(b"ab")))
        stored.watch(BLOBS[2], stored.batches.store(BLOBS[2], b"", None))
        stored.env.world.settle(1)
        self.assertIsInstance(stored.outcomes[BLOBS[0]], DigestMismatch)
        self.assertEqual(stored.outcomes[BLOBS[1]], Written(2, digest_of(b"ab"), 4096))
        self.assertEqual(stored.outcomes[BLOBS[2]], Written(0, digest_of(b""), 0))

    def test_bug(self) -> None:
        """An error that nobody foresaw reaches all whose fate it leaves open."""
        stored = Stored()
        stored.disk.fail_at(1, ZeroDivisionError(), "rename")
        stored.run()
        self.assertEqual({type(each) for each in stored.outcomes.values()}, {ZeroDivisionError})
        self.assertEqual(stored.disk.open_files, [])


class GatherTests(SynchronousTestCase):
    """When a batch begins: `sizes` are those of the batches so far."""

    def setUp(self) -> None:
        self.stored = Stored()
        self.sizes: list[int] = []

        def counted(folder: Folder, batch: list[batches.SmallBlob]) -> None:
            self.sizes.append(len(batch))
            store(folder, batch)

        self.patch(batches, "store", counted)
        self.number = 0

    def send(self, count: int) -> None:
        blobs = [id_of(10**7 + self.number + number) for number in range(count)]
        self.number += count
        self.stored.begin(blobs)

    def test_alone(self) -> None:
        """One client waits for nobody."""
        for _ in range(3):
            self.send(1)
            self.stored.env.world.settle(0)
            self.assertEqual(len(self.stored.stored), self.number)
        self.assertEqual(self.sizes, [1, 1, 1])

    def test_together(self) -> None:
        """Those who were answered together are waited for, but not for long."""
        self.send(3)
        self.stored.env.world.settle(0)
        self.send(2)
        self.stored.env.world.settle(0)
        self.assertEqual(self.sizes, [3])
        self.send(1)
        self.stored.env.world.settle(0)
        self.assertEqual(self.sizes, [3, 3])
        self.send(1)
        self.stored.env.world.settle(batches.GATHER_SECONDS)
        self.send(1)
        self.stored.env.world.settle(0)
        self.assertEqual(self.sizes, [3, 3, 1, 1])

    def test_many(self) -> None:
        """However many come at once, so many files are open at most."""
        self.send(batches.MAX_BLOBS * 2 + 1)
        self.stored.env.world.settle(1)
        self.assertEqual(self.sizes, [batches.MAX_BLOBS, batches.MAX_BLOBS, 1])
        self.assertEqual(len(self.stored.stored), self.number)
