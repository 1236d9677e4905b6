"""The real disk and clock: what the operating system does with what hosts ask of it.

Real files in trial's temporary folder; the rules that the simulated disk shares with the real one
are tried on both.
"""

from __future__ import annotations

import errno
import os
import platform
import random
import resource
import subprocess
import sys
import threading
from unittest import skipIf

from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from pigpen.env import Disk, Env, sleep
from pigpen.system import SystemDisk, SystemEnv, SystemFile, SystemOpenFile
from pigpen.testing import SimDisk, SimEnv
from tests.threads_kit import PATIENCE, Told


class InlineEnv:
    """As much of an Env as the real disk needs, threads inline."""

    def in_thread(self, function, *args, **kwargs) -> Deferred:
        return execute(function, *args, **kwargs)


class FakeReactor(Told, Clock):
    """What `SystemEnv` asks of a reactor."""

    def __init__(self) -> None:
        Told.__init__(self)
        Clock.__init__(self)


class RealCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = self.mktemp()
        os.makedirs(self.folder)
        self.disk: Disk = SystemDisk(InlineEnv())

    def path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def write(self, name: str, data: bytes) -> str:
        with open(self.path(name), "wb") as file:
            file.write(data)
        return self.path(name)


class SharedRules:
    """What holds on the real disk and the simulated one alike."""

    disk: Disk

    def path(self, name: str) -> str:
        raise NotImplementedError

    def plant_link(self, name: str, target: str) -> None:
        raise NotImplementedError

    def plant_fifo(self, name: str) -> None:
        raise NotImplementedError

    def make(self, name: str, data: bytes = b"abc") -> str:
        file = self.disk.create(self.path(name))
        file.write(data)
        file.sync()
        file.close()
        file.close()
        return self.path(name)

    def refused(self, number: int, function, *args) -> None:
        self.assertEqual(self.assertRaises(OSError, function, *args).errno, number)

    def test_write_and_read(self) -> None:
        """Bytes are appended; offsets are the reader's own."""
        path = self.make("x", b"abc")
        file = self.disk.open_append(path)
        file.write(b"def")
        file.start_sync(0, 6)
        self.assertEqual((file.size(), file.read(2, 3), file.read(6, 5)), (6, b"cde", b""))
        file.truncate(4)
        file.write(b"!")
        file.close()
        self.assertEqual(self.disk.read(path, 5), b"abcd!")
        self.assertRaises(ValueError, self.disk.read, path, 4)

    def test_taken(self) -> None:
        """Creating never replaces: not a file, not a link, not one that leads nowhere."""
        self.make("x")
        self.plant_link("l", self.path("x"))
        self.plant_link("nowhere", self.path("y"))
        for name in ("x", "l", "nowhere"):
            self.assertRaises(FileExistsError, self.disk.create, self.path(name))
        self.assertIsNone(self.disk.entry(self.path("y")))

    def test_links(self) -> None:
        """No file is opened through a link."""
        self.make("x")
        self.plant_link("l", self.path("x"))
        for function in (self.disk.open_append, self.disk.open_read, self.disk.lock):
            self.refused(errno.ELOOP, function, self.path("l"))
        self.refused(errno.ELOOP, self.disk.read, self.path("l"), 10)
        entry = self.disk.entry(self.path("l"))
        self.assertEqual((entry.is_file, entry.is_folder), (False, False))

    def test_not_regular(self) -> None:
        """A pipe is refused at once, and a folder; neither hangs the host."""
        self.plant_fifo("p")
        self.disk.make_folder(self.path("d"))
        self.refused(errno.EINVAL, self.disk.open_read, self.path("p"))
        self.refused(errno.EINVAL, self.disk.open_read, self.path("d"))
        for name in ("p", "d"):
            self.assertRaises(OSError, self.disk.open_append, self.path(name))
            self.assertRaises(OSError, self.disk.read, self.path(name), 10)

    def test_folders(self) -> None:
        """Folders are made once, listed in bytewise order, removed when empty."""
        self.assertTrue(self.disk.make_folder(self.path("d")))
        self.assertFalse(self.disk.make_folder(self.path("d")))
        for name in ("d/b", "d/ä", "d/a", "d/B"):
            self.make(name)
        names = [entry.name for entry in self.disk.entries(self.path("d"))]
        self.assertEqual(names, ["B", "a", "b", "ä"])
        self.refused(errno.ENOTEMPTY, self.disk.remove_folder, self.path("d"))
        for name in names:
            self.disk.remove(self.path(f"d/{name}"))
        self.disk.sync_folder(self.path("d"))
        self.disk.remove_folder(self.path("d"))
        self.assertIsNone(self.disk.entry(self.path("d")))

    def test_rename(self) -> None:
        """A rename replaces; what is missing is an error."""
        self.make("x", b"new")
        self.make("y", b"old")
        self.disk.rename(self.path("x"), self.path("y"))
        self.assertEqual(self.disk.read(self.path("y"), 9), b"new")
        self.assertRaises(FileNotFoundError, self.disk.rename, self.path("x"), self.path("y"))

    def test_missing(self) -> None:
        """What is not there raises FileNotFoundError, or is None."""
        self.assertIsNone(self.disk.entry(self.path("x")))
        for function in (self.disk.open_read, self.disk.open_append, self.disk.remove,
                         self.disk.sync_folder, self.disk.remove_folder,
                         self.disk.entries):  # fmt: skip
            self.assertRaises(FileNotFoundError, function, self.path("x"))

    def test_entry(self) -> None:
        """What a name is, how long, and who may read it: 0600 and 0700 of our own."""
        self.make("x", bytes(5000))
        self.disk.make_folder(self.path("d"))
        file, folder = self.disk.entry(self.path("x")), self.disk.entry(self.path("d"))
        self.assertEqual((file.name, file.is_file, file.size, file.mine), ("x", True, 5000, True))
        self.assertGreaterEqual(file.allocated, 5000)
        self.assertEqual((folder.is_file, folder.is_folder), (False, True))
        self.assertEqual(oct(file.mode), "0o600")
        self.assertEqual(oct(folder.mode), "0o700")

    def test_lock(self) -> None:
        """A lock is held once, until its file is closed."""
        held = self.disk.lock(self.path("l"))
        self.assertRaises(BlockingIOError, self.disk.lock, self.path("l"))
        held.close()
        self.disk.lock(self.path("l")).close()

    def test_open_read(self) -> None:
        """Many readers share a file; its bytes stay readable after it was removed."""
        path = self.make("x", b"0123456789")
        file = self.disk.open_read(path)
        self.disk.remove(path)
        self.assertEqual(self.read_at(file, 3, 4), b"3456")
        self.assertEqual(self.read_at(file, 8, 4), b"89")
        self.assertEqual(self.read_at(file, 10, 4), b"")
        for _ in range(10):
            self.assertIn(file.read_now(2, 3), {b"234", None})
            self.assertIsNone(file.read_now(8, 4))  # not all of it is there
        self.disk.close_read(file)
        self.disk.close_read(file)

    def read_at(self, file, offset: int, size: int) -> bytes:
        raise NotImplementedError

    def test_space(self) -> None:
        """A disk has a size, and not more is free."""
        space = self.disk.space(self.path("."))
        self.assertTrue(0 <= space.free <= space.total)


class SystemDiskTests(RealCase, SharedRules):
    def plant_link(self, name: str, target: str) -> None:
        os.symlink(os.path.abspath(target), self.path(name))

    def plant_fifo(self, name: str) -> None:
        os.mkfifo(self.path(name))

    def read_at(self, file, offset: int, size: int) -> bytes:
        return self.successResultOf(Deferred.fromCoroutine(file.read_at(offset, size)))

    def test_modes(self) -> None:
        """Files are 0600 and folders 0700 whatever the umask allows, never more."""
        before = os.umask(0)
        try:
            self.make("x")
            self.disk.make_folder(self.path("d"))
        finally:
            os.umask(before)
        self.assertEqual(os.stat(self.path("x")).st_mode & 0o777, 0o600)
        self.assertEqual(os.stat(self.path("d")).st_mode & 0o777, 0o700)

    def test_no_descriptor_left(self) -> None:
        """Refusals and repeated closes leave no descriptor open."""
        self.make("x")
        self.plant_fifo("p")
        self.plant_link("l", self.path("x"))
        before = len(os.listdir("/proc/self/fd"))
        for name in ("p", "l", "none"):
            self.assertRaises(OSError, self.disk.open_read, self.path(name))
        held = self.disk.lock(self.path("k"))
        self.assertRaises(BlockingIOError, self.disk.lock, self.path("k"))
        held.close()
        self.assertRaises(ValueError, self.disk.read, self.path("x"), 1)
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)

    def test_not_inherited(self) -> None:
        """Programs that we start do not get our files."""
        file = self.disk.open_read(self.make("x"))
        self.assertFalse(os.get_inheritable(file.fileno()))
        self.disk.close_read(file)

    def test_lock_ends_with_process(self) -> None:
        """A process that died holds no lock."""
        code = (
            "import fcntl, os, sys; d = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT);"
            "fcntl.flock(d, fcntl.LOCK_EX); print('held', flush=True); sys.stdin.read()"
        )
        child = subprocess.Popen(
            [sys.executable, "-c", code, self.path("k")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            child.stdout.readline()
            self.assertRaises(BlockingIOError, self.disk.lock, self.path("k"))
        finally:
            child.kill()
            child.communicate()
        self.disk.lock(self.path("k")).close()

    def test_sparse_and_links_in_entries(self) -> None:
        """Entries tell what is allocated, and a dangling link is listed, not followed."""
        with open(self.path("sparse"), "wb") as file:
            file.truncate(10_000_000)
        os.symlink("nowhere", self.path("l"))
        by_name = {entry.name: entry for entry in self.disk.entries(self.folder)}
        self.assertLess(by_name["sparse"].allocated, 100_000)
        self.assertFalse(by_name["l"].is_file)


class SimDiskTests(SharedRules, SynchronousTestCase):
    """The simulated disk by the same rules, which proves the fake."""

    def setUp(self) -> None:
        self.env = SimEnv()
        self.disk: SimDisk = self.env.disk
        self.disk.plant_folder("/t")

    def path(self, name: str) -> str:
        return f"/t/{name}"

    def plant_link(self, name: str, target: str) -> None:
        self.disk.plant_link(self.path(name), target)

    def plant_fifo(self, name: str) -> None:
        self.disk.plant_fifo(self.path(name))

    def read_at(self, file, offset: int, size: int) -> bytes:
        return self.env.run(file.read_at(offset, size))


class ShortWriteTests(RealCase):
    def test_short_writes(self) -> None:
        """A system that takes a few bytes at a time still gets all, in order."""
        written: list[bytes] = []

        def write(descriptor: int, view) -> int:
            written.append(bytes(view[:3]))
            return len(written[-1])

        self.patch(os, "write", write)
        SystemOpenFile(-1).write(b"abcdefgh")
        self.assertEqual(written, [b"abc", b"def", b"gh"])

    def test_full(self) -> None:
        """A write that fails in the middle raises, and writes no later byte."""
        calls = []

        def write(descriptor: int, view) -> int:
            calls.append(len(view))
            if len(calls) == 2:
                raise OSError(errno.ENOSPC, "full")
            return 3

        self.patch(os, "write", write)
        self.assertRaises(OSError, SystemOpenFile(-1).write, b"abcdefgh")
        self.assertEqual(calls, [8, 5])


class ReadNowTests(RealCase):
    def read_with(self, result) -> bytes | None:
        def preadv(descriptor, buffers, offset, flags):
            if isinstance(result, Exception):
                raise result
            return result

        self.patch(os, "preadv", preadv)
        return SystemFile(InlineEnv(), 0).read_now(0, 4)

    def test_would_wait(self) -> None:
        """Bytes that are not in memory, or a system that cannot tell: None, and a thread reads."""
        for number in (errno.EAGAIN, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            self.assertIsNone(self.read_with(OSError(number, "no")))
        self.assertIsNone(self.read_with(2))

    def test_broken(self) -> None:
        """A disk error is an error."""
        self.assertRaises(OSError, self.read_with, OSError(errno.EIO, "broken"))

    @skipIf(not hasattr(os, "RWF_NOWAIT"), "the system has no RWF_NOWAIT")
    def test_missing_flag(self) -> None:
        """Where there is no such call at all, a thread reads."""
        self.patch(os, "RWF_NOWAIT", None)
        delattr(os, "RWF_NOWAIT")
        path = self.write("x", b"abcd")
        file = self.disk.open_read(path)
        self.assertIsNone(file.read_now(0, 4))
        self.disk.close_read(file)


class SystemEnvTests(SynchronousTestCase):
    def test_env(self) -> None:
        """The real Env: a monotonic clock, a random source fit for secrets."""
        reactor = FakeReactor()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard - 1, hard))
        env: Env = SystemEnv(reactor)
        self.assertEqual(env.descriptors(), hard)
        self.assertIs(env.clock, reactor)
        self.assertIsInstance(env.random, random.SystemRandom)
        self.assertGreater(env.wall(), 1_700_000_000)
        before = reactor.seconds()
        self.assertGreaterEqual(reactor.seconds(), before)

    def test_threads(self) -> None:
        """Many writers may wait for the disk at once, and so share its flushes."""
        reactor = FakeReactor()
        self.addCleanup(reactor.stop)
        env: Env = SystemEnv(reactor)
        meeting = threading.Barrier(16, timeout=PATIENCE)
        calls = [env.in_thread(meeting.wait) for _ in range(16)]
        while not all(call.called for call in calls):
            reactor.turn()
        self.assertEqual(sorted(map(self.successResultOf, calls)), list(range(16)))

    def test_endpoints(self) -> None:
        """Descriptions are Twisted's; a bad one is an error at once."""
        env = SystemEnv(FakeReactor())
        endpoint = vars(env.server_endpoint("tcp:2573:interface=127.0.0.1"))["_endpoint"]
        self.assertIn("2573", repr(vars(endpoint)))
        self.assertRaises(ValueError, env.server_endpoint, "nonsense:1")
        self.assertIn("example", repr(env.client_endpoint("example.org", 80)))


class SleepTests(SynchronousTestCase):
    def test_sleep(self) -> None:
        """Sleeping ends in time, and cancelling it leaves no timer."""
        env = SimEnv()
        done = sleep(env, 5)
        env.clock.advance(4)
        self.assertNoResult(done)
        env.clock.advance(1)
        self.successResultOf(done)
        cancelled = sleep(env, 5)
        cancelled.cancel()
        self.failureResultOf(cancelled)
        env.world.assert_clean(collect=False)


#: threads that allocate at the same time, then what glibc says of its heaps
HEAPS = """
import ctypes, os, tempfile, threading
from pigpen.system import settle_memory
{settle}
together = threading.Barrier(4)
def work():
    together.wait()
    ctypes.CDLL(None).malloc(1000)
    together.wait()
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
with tempfile.NamedTemporaryFile() as file:
    stream = ctypes.c_void_p(libc.fopen(file.name.encode(), b"w"))
    libc.malloc_info(0, stream)
    libc.fclose(stream)
    print(file.read().count(b"<heap "))
"""


@skipIf(platform.libc_ver()[0] != "glibc", "another libc")
class SettleTests(SynchronousTestCase):
    def heaps(self, settle: str) -> int:
        code = HEAPS.format(settle=settle)
        return int(subprocess.check_output([sys.executable, "-c", code], timeout=30))

    def test_one_heap(self) -> None:
        """Threads that wait for the disk do not keep memory each."""
        self.assertGreater(self.heaps(""), 1)
        self.assertEqual(self.heaps("settle_memory()"), 1)
