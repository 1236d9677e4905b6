"""Fsyncs side by side: each outcome in its place, on the real disk and the simulated one alike."""

from __future__ import annotations

import errno
import os
import threading

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from pigpen.env import Disk, OpenFile
from pigpen.syncing import Syncers
from pigpen.system import SystemDisk, SystemEnv
from pigpen.testing import SimEnv


class SyncersTests(SynchronousTestCase):
    def test_places(self) -> None:
        """Each step is done once, and its error is found in its place."""
        for helpers in (0, 1, 7):
            syncers = Syncers(helpers)
            for size in (0, 1, 2, 40):
                done: list[int] = []

                def step(number: int, done: list[int] = done) -> None:
                    done.append(number)
                    if number % 3 == 1:
                        raise OSError(number, "planned")

                steps = [lambda number=number: step(number) for number in range(size)]
                errors = [error and error.errno for error in syncers.run(steps)]
                expected = [number if number % 3 == 1 else None for number in range(size)]
                self.assertEqual(errors, expected)
                self.assertEqual(sorted(done), list(range(size)))

    def test_side_by_side(self) -> None:
        """Steps wait at the same time."""
        meeting = threading.Barrier(4, timeout=10)
        self.assertEqual(Syncers(3).run([lambda: meeting.wait() and None] * 4), [None] * 4)

    def test_bug(self) -> None:
        """Another error than the disk's is the caller's to see; the threads live on."""
        syncers = Syncers(2)
        for _ in range(3):
            self.assertRaises(ZeroDivisionError, syncers.run, [lambda: 1 / 0 and None] * 3)
        self.assertEqual(syncers.run([lambda: None] * 3), [None] * 3)

    def test_bug_while_others_work(self) -> None:
        """Such an error does not come before all steps that have begun have ended."""
        syncers, begun, ended = Syncers(1), threading.Event(), threading.Event()
        caller = threading.current_thread()

        def step() -> None:
            if threading.current_thread() is caller:
                begun.wait(10)
                raise ZeroDivisionError
            begun.set()
            ended.wait(0.05)
            ended.set()

        self.assertRaises(ZeroDivisionError, syncers.run, [step] * 2)
        self.assertTrue(ended.is_set())


class SyncTogetherTests(SynchronousTestCase):
    def check(self, disk: Disk, root: str) -> None:
        files: list[OpenFile] = [disk.create(f"{root}/{number}") for number in range(3)]
        for file in files:
            file.write(b"bytes")
        folders = [f"{root}/absent", root]
        found = [error and error.errno for error in disk.sync_together(files, folders)]
        self.assertEqual(found, [None, None, None, errno.ENOENT, None])
        self.assertEqual(disk.sync_together([], []), [])
        self.assertEqual(disk.sync_together(files[:1], []), [None])
        for file in files:
            file.close()

    def test_real(self) -> None:
        root = self.mktemp()
        os.mkdir(root)
        disk = SystemEnv(Clock()).disk
        self.assertIsInstance(disk, SystemDisk)
        self.check(disk, root)

    def test_simulated(self) -> None:
        disk = SimEnv().disk
        disk.make_folder("/pool")
        self.check(disk, "/pool")
