"""The simulated disk: what a power cut takes, and what faults do.

Probabilities are tried over many seeds; each seed repeats exactly.
"""

from __future__ import annotations

import errno
import random

from twisted.trial.unittest import SynchronousTestCase

from pigpen.testing import Killed, SimDisk, SimEnv

SEEDS = range(60)
DATA = bytes(range(256)) * 40  # three blocks


def make_disk(seed: int = 0, **options: int) -> SimDisk:
    disk = SimDisk(random.Random(seed), **options)
    disk.plant_folder("/d")
    disk.plant_folder("/e")
    return disk


def write(disk: SimDisk, path: str, data: bytes = DATA, *, sync: bool = True) -> None:
    file = disk.create(path)
    file.write(data)
    if sync:
        file.sync()
    file.close()


class PowerCutTests(SynchronousTestCase):
    def sizes_after(self, step) -> set[int | None]:
        """The sizes of /e/x, None if absent, that power cuts after `step` leave."""
        found = set()
        for seed in SEEDS:
            disk = make_disk(seed)
            step(disk)
            disk.crash()
            found.add(disk.tree().get("/e/x"))
        return found

    def test_without_fsync(self) -> None:
        """Written and renamed without fsync, a file may be empty under its final name."""

        def step(disk: SimDisk) -> None:
            write(disk, "/d/x", sync=False)
            disk.rename("/d/x", "/e/x")
            disk.sync_folder("/e")

        found = self.sizes_after(step)
        self.assertIn(0, found)
        self.assertIn(len(DATA), found)
        self.assertNotIn(None, found)

    def test_without_folder_fsync(self) -> None:
        """A name that was not synced may be lost, but whole bytes stay whole."""

        def step(disk: SimDisk) -> None:
            write(disk, "/d/x")
            disk.rename("/d/x", "/e/x")

        self.assertEqual(self.sizes_after(step), {None, len(DATA)})

    def test_durable(self) -> None:
        """Fsync, rename, folder fsync: always there."""

        def step(disk: SimDisk) -> None:
            write(disk, "/d/x")
            disk.rename("/d/x", "/e/x")
            disk.sync_folder("/e")

        self.assertEqual(self.sizes_after(step), {len(DATA)})

    def test_torn(self) -> None:
        """The synced head of a file stays; each later block is there, zero, or cut."""
        kinds = set()
        for seed in SEEDS:
            disk = make_disk(seed)
            write(disk, "/e/x", b"A" * 4096)
            disk.sync_folder("/e")
            file = disk.open_append("/e/x")
            file.write(b"B" * 8192)
            disk.crash()
            left = disk.peek("/e/x")
            self.assertTrue(left.startswith(b"A" * 4096))
            kinds.add((len(left) == 12288, b"B" in left, b"\0" in left))
        self.assertGreater(len(kinds), 3)

    def test_one_name(self) -> None:
        """However names are moved, a power cut leaves a file under one name at most."""
        for seed in SEEDS:
            disk = make_disk(seed)
            write(disk, "/d/x")
            disk.sync_folder("/d")
            for old, new in (("/d/x", "/e/x"), ("/e/x", "/d/y"), ("/d/y", "/e/z")):
                disk.rename(old, new)
            disk.crash()
            self.assertEqual(len(disk.tree()), 1, disk.tree())

    def test_replaced(self) -> None:
        """A rename over an old file leaves the old or the new, whole."""
        found = set()
        for seed in SEEDS:
            disk = make_disk(seed)
            write(disk, "/e/x", b"old")
            disk.sync_folder("/e")
            write(disk, "/e/new", b"new")
            disk.rename("/e/new", "/e/x")
            disk.crash()
            found.add(disk.peek("/e/x"))
        self.assertEqual(found, {b"old", b"new"})

    def test_new_folder(self) -> None:
        """A new folder whose parent was not synced may vanish with all that is in it."""
        found = set()
        for seed in SEEDS:
            disk = make_disk(seed)
            disk.make_folder("/d/new")
            write(disk, "/d/new/x")
            disk.sync_folder("/d/new")
            disk.crash()
            found.add("/d/new/x" in disk.tree())
        self.assertEqual(found, {True, False})

    def test_removed(self) -> None:
        """A file that was removed may come back."""
        found = set()
        for seed in SEEDS:
            disk = make_disk(seed)
            write(disk, "/d/x")
            disk.sync_folder("/d")
            disk.remove("/d/x")
            disk.crash()
            found.add("/d/x" in disk.tree())
        self.assertEqual(found, {True, False})

    def test_truncated(self) -> None:
        """A truncated file is as before or as after."""
        found = set()
        for seed in SEEDS:
            disk = make_disk(seed)
            write(disk, "/d/x", b"abcdef")
            disk.sync_folder("/d")
            disk.open_append("/d/x").truncate(3)
            disk.crash()
            found.add(disk.peek("/d/x"))
        self.assertEqual(found, {b"abc", b"abcdef"})


class FaultTests(SynchronousTestCase):
    def test_failed_sync_is_final(self) -> None:
        """After a failed fsync a second one that succeeds has not saved the bytes."""
        lost = 0
        for seed in SEEDS:
            disk = make_disk(seed)
            file = disk.create("/e/x")
            disk.sync_folder("/e")
            file.write(DATA)
            disk.fail_next(OSError(errno.EIO, "I/O error"), "sync")
            self.assertRaises(OSError, file.sync)
            file.sync()
            disk.crash()
            lost += disk.peek("/e/x") != DATA
        self.assertGreater(lost, len(SEEDS) // 3)

    def test_any_kind(self) -> None:
        """The third operation of any kind fails; the fourth is done."""
        disk = make_disk()
        disk.fail_at(3, OSError(errno.EIO, "I/O error"))
        self.assertRaises(OSError, write, disk, "/d/x")
        self.assertEqual(disk.log, [("create", "/d/x"), ("write", "/d/x"), ("sync failed", "/d/x")])
        disk.remove("/d/x")

    def test_one_kind(self) -> None:
        """Only operations of the named kind count."""
        disk = make_disk()
        disk.fail_at(2, OSError(errno.EIO, "I/O error"), "create")
        write(disk, "/d/x")
        self.assertRaises(OSError, write, disk, "/d/y")
        write(disk, "/d/y")

    def test_always(self) -> None:
        """An error for good ends with `clear`."""
        disk = make_disk()
        disk.fail_always(OSError(errno.EROFS, "read-only"), "create")
        for _ in range(3):
            self.assertRaises(OSError, disk.create, "/d/x")
        disk.clear()
        write(disk, "/d/x")

    def test_full(self) -> None:
        """A full disk says so, and has room again once something is removed."""
        disk = make_disk(capacity=8192)
        write(disk, "/d/x", bytes(4096))
        error = self.assertRaises(OSError, write, disk, "/d/y", bytes(4097))
        self.assertEqual(error.errno, errno.ENOSPC)
        self.assertIn(disk.space("/d").free, {0, 4096})  # a part of it may be there
        disk.remove("/d/x")
        disk.remove("/d/y")
        self.assertEqual(disk.open_files, ["/d/y"])  # its writer did not close it
        disk.opened[0].close()
        self.assertEqual(disk.space("/d").free, 8192)

    def test_rot(self) -> None:
        """Rot changes one bit and survives a power cut."""
        disk = make_disk()
        write(disk, "/d/x")
        disk.sync_folder("/d")
        disk.corrupt("/d/x", 5)
        disk.crash()
        changed = [
            i for i, (a, b) in enumerate(zip(DATA, disk.peek("/d/x"), strict=True)) if a != b
        ]
        self.assertEqual(changed, [5])


class SemanticsTests(SynchronousTestCase):
    """As the operating system does it; `test_system` asks the real one the same."""

    def test_links(self) -> None:
        """No link is followed as the last name, and none is replaced by creating."""
        disk = make_disk()
        disk.plant_file("/secret", b"s")
        disk.plant_link("/d/x", "/secret")
        for operation in (disk.open_append, disk.open_read):
            self.assertEqual(self.assertRaises(OSError, operation, "/d/x").errno, errno.ELOOP)
        self.assertEqual(self.assertRaises(OSError, disk.read, "/d/x", 9).errno, errno.ELOOP)
        self.assertRaises(FileExistsError, disk.create, "/d/x")
        (entry,) = disk.entries("/d")
        self.assertEqual((entry.is_file, entry.is_folder), (False, False))

    def test_linked_folder(self) -> None:
        """A link in the middle of a path is followed, so planted folders can be tested."""
        disk = make_disk()
        disk.plant_link("/d/l", "../e")
        write(disk, "/d/l/x")
        self.assertEqual(list(disk.tree("/e")), ["/e/x"])

    def test_not_regular(self) -> None:
        """Pipes and folders are no files."""
        disk = make_disk()
        disk.plant_fifo("/d/p")
        for path in ("/d/p", "/d"):
            self.assertEqual(self.assertRaises(OSError, disk.open_read, path).errno, errno.EINVAL)

    def test_names(self) -> None:
        """What is missing, taken or not empty is refused with the right error."""
        disk = make_disk()
        write(disk, "/d/x")
        self.assertRaises(FileNotFoundError, disk.open_read, "/d/y")
        self.assertRaises(FileNotFoundError, disk.rename, "/d/y", "/d/z")
        self.assertRaises(FileNotFoundError, disk.remove, "/d/y")
        self.assertRaises(FileNotFoundError, disk.create, "/none/x")
        self.assertRaises(FileExistsError, disk.create, "/d/x")
        self.assertRaises(NotADirectoryError, disk.create, "/d/x/y")
        self.assertRaises(IsADirectoryError, disk.rename, "/d/x", "/e")
        self.assertRaises(IsADirectoryError, disk.remove, "/d")
        self.assertRaises(OSError, disk.remove_folder, "/d")
        self.assertFalse(disk.make_folder("/d"))
        self.assertIsNone(disk.entry("/d/y"))
        self.assertRaises(ValueError, disk.read, "/d/x", 5)

    def test_lock(self) -> None:
        """One process holds a lock, until it closes the file or ends."""
        env = SimEnv()
        held = env.disk.lock("/l")
        self.assertRaises(BlockingIOError, env.disk.lock, "/l")
        held.close()
        env.disk.lock("/l")
        env = env.boot()
        env.disk.lock("/l")

    def test_order(self) -> None:
        """Names come in bytewise order."""
        disk = make_disk()
        for name in ("b", "ä", "a", "B"):
            write(disk, f"/d/{name}")
        self.assertEqual([entry.name for entry in disk.entries("/d")], ["B", "a", "b", "ä"])


class KillTests(SynchronousTestCase):
    def test_kill_at(self) -> None:
        """Nothing of a process that died in an operation runs on, not even its clean-up."""
        env = SimEnv()
        env.disk.plant_folder("/d")
        heard: list[object] = []

        def work() -> None:
            file = env.disk.create("/d/x")
            try:
                file.write(b"a")
                file.write(b"b")
            finally:
                file.close()
                env.disk.remove("/d/x")

        env.disk.kill_at(3)
        env.in_thread(work).addBoth(heard.append)
        env.clock.advance(60)
        self.assertEqual(heard, [])
        self.assertFalse(env.alive)
        self.assertEqual(env.disk.tree(), {"/d/x": 1})
        self.assertEqual(env.boot().disk.open_files, [])

    def test_old_files(self) -> None:
        """A file opened before a boot is of no use after it."""
        env = SimEnv()
        file = env.disk.create("/x")
        env.boot()
        self.assertRaises(Killed, file.write, b"x")
        file.close()
