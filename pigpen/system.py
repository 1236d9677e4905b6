"""The real Env: this machine's clock, random source, disk, threads and network."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import gc
import os
import random
import resource
import stat
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
    serverFromString,
)
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.protocols.policies import WrappingFactory
from zope.interface import implementer

from pigpen.env import Disk, Entry, Env, File, OpenFile, Space
from pigpen.syncing import Syncers
from pigpen.threads import Threads

if TYPE_CHECKING:
    from twisted.internet.interfaces import (
        IAddress,
        IListeningPort,
        IReactorTime,
        IStreamClientEndpoint,
    )

P = ParamSpec("P")
T = TypeVar("T")

#: threads that may wait for the disk at once: so many writers share one flush
DISK_THREADS = 32
#: fsyncs of one batch that wait at once
SYNC_THREADS = 16
#: connections taken in one turn, or twice as many
ACCEPTS = 20

#: new containers between two looks for garbage among them. With Python's own 700 a busy server
#: spends a tenth of its time on looking; with this a cycle lives for some tens of requests longer
YOUNG_OBJECTS = 2_000

#: of <malloc.h>
_M_ARENA_MAX = -8

_NO_LINK = os.O_NOFOLLOW | os.O_CLOEXEC


def settle_memory() -> None:
    """For a process that only serves, when all is imported and no thread has begun: what is there
    now stays, so no garbage is looked for in it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
    _share_arena()


def _share_arena() -> None:
    """glibc gives each thread its own heap, and each keeps some MiB of what it once took for large
    buffers. The interpreter lets one thread at a time allocate: one heap will do for all."""
    try:
        version = os.confstr("CS_GNU_LIBC_VERSION")
    except (OSError, ValueError):
        return  # another libc
    if version is not None:
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


class SystemEnv:
    """Env over a Twisted reactor."""

    def __init__(self, reactor: Any, *, ours: bool = True) -> None:
        """:param reactor: any reactor. :param ours: its clock is made monotonic, as a stepped wall
        clock would otherwise stop or fire every timer, and this process may open as many files as
        the system lets it. Where others have timers already, that would stop theirs: then False."""
        if ours:
            reactor.seconds = time.monotonic
            _allow_descriptors()
        self._reactor = reactor
        self._threads = Threads(reactor, DISK_THREADS)
        self.random: random.Random = random.SystemRandom()
        self.disk: Disk = SystemDisk(self)

    @property
    def clock(self) -> IReactorTime:
        clock: IReactorTime = self._reactor
        return clock

    def wall(self) -> float:
        return time.time()

    def descriptors(self) -> int:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return sys.maxsize if soft == resource.RLIM_INFINITY else soft

    def in_thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        return self._threads.run(function, *args, **kwargs)

    def server_endpoint(self, description: str) -> IStreamServerEndpoint:
        endpoint: IStreamServerEndpoint = serverFromString(self._reactor, description)  # type: ignore[no-untyped-call]
        return _PacedEndpoint(endpoint)

    def client_endpoint(self, host: str, port: int) -> IStreamClientEndpoint:
        # an address needs no resolver and none of its waits between addresses
        if isIPAddress(host):
            return TCP4ClientEndpoint(self._reactor, host, port, timeout=30)
        if isIPv6Address(host):
            return TCP6ClientEndpoint(self._reactor, host, port, timeout=30)  # type: ignore[no-untyped-call]
        # the deadline is `web.client`'s, over all addresses of the name
        return HostnameEndpoint(self._reactor, host, port, timeout=30)


@implementer(IStreamServerEndpoint)
class _PacedEndpoint:
    """Accepts few connections a turn. Twisted takes ever more of a crowd at once; those ended to
    make room keep their descriptors until the next turn, and then there would be none left."""

    def __init__(self, endpoint: IStreamServerEndpoint) -> None:
        self._endpoint = endpoint

    def listen(self, factory: Any) -> Deferred[Any]:
        paced = _PacedFactory(factory)  # type: ignore[no-untyped-call]
        return self._endpoint.listen(paced).addCallback(paced.listens)


class _PacedFactory(WrappingFactory):
    """Keeps its port's number of accepts down: Twisted adds 20 after each turn that used all."""

    noisy = False
    port: Any

    def logPrefix(self) -> str:
        prefix: str = self.wrappedFactory.logPrefix()
        return prefix

    def listens(self, port: IListeningPort) -> IListeningPort:
        self.port = port
        self.port.numberAccepts = ACCEPTS
        return port

    def buildProtocol(self, addr: IAddress | None) -> Any:
        self.port.numberAccepts = ACCEPTS
        return self.wrappedFactory.buildProtocol(addr)


class SystemFile:
    """An open file that many readers share; offsets are their own."""

    def __init__(self, env: Env, descriptor: int) -> None:
        self._env = env
        self.descriptor = descriptor

    def fileno(self) -> int:
        return self.descriptor

    def read_now(self, offset: int, size: int) -> bytes | None:
        buffer = bytearray(size)
        try:
            count = os.preadv(self.descriptor, [buffer], offset, os.RWF_NOWAIT)
        except (BlockingIOError, AttributeError):
            return None
        except OSError as error:
            if error.errno in {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}:
                return None
            raise
        return bytes(buffer) if count == size else None

    async def read_at(self, offset: int, size: int) -> bytes:
        return await self._env.in_thread(os.pread, self.descriptor, size, offset)


class SystemOpenFile:
    """A file open for appending."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def read(self, offset: int, size: int) -> bytes:
        return os.pread(self._descriptor, size, offset)

    def sync(self) -> None:
        os.fsync(self._descriptor)

    def start_sync(self, offset: int, size: int) -> None:
        # begins write-back of dirty pages on Linux; the range is dropped from the cache only if
        # it is clean already, so what was just written stays readable from memory
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._descriptor, offset, size, os.POSIX_FADV_DONTNEED)

    def truncate(self, size: int) -> None:
        os.ftruncate(self._descriptor, size)

    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class SystemDisk:
    """Disk over the operating system's calls."""

    def __init__(self, env: Env) -> None:
        self._env = env
        self._syncers = Syncers(SYNC_THREADS - 1)

    def create(self, path: str) -> OpenFile:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | _NO_LINK
        return SystemOpenFile(os.open(path, flags, 0o600))

    def open_append(self, path: str) -> OpenFile:
        return SystemOpenFile(_open_regular(path, os.O_RDWR | os.O_APPEND))

    def open_read(self, path: str) -> File:
        return SystemFile(self._env, _open_regular(path, os.O_RDONLY))

    def close_read(self, file: File) -> None:
        assert isinstance(file, SystemFile)
        descriptor, file.descriptor = file.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def read(self, path: str, limit: int) -> bytes:
        descriptor = _open_regular(path, os.O_RDONLY)
        try:
            data = os.read(descriptor, limit + 1)
        finally:
            os.close(descriptor)
        if len(data) > limit:
            raise ValueError(f"{path} is larger than {limit} bytes")
        return data

    def rename(self, old: str, new: str) -> None:
        os.rename(old, new)

    def remove(self, path: str) -> None:
        os.unlink(path)

    def make_folder(self, path: str) -> bool:
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            return False
        return True

    def remove_folder(self, path: str) -> None:
        os.rmdir(path)

    def sync_folder(self, path: str) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def sync_together(
        self, files: Sequence[OpenFile], folders: Sequence[str]
    ) -> list[OSError | None]:
        # all bytes are on their way before the first journal commit, which then covers them all;
        # syncs that wait at the same time share the disk's flush
        steps: list[Callable[[], None]] = [file.sync for file in files]
        steps += [partial(self.sync_folder, path) for path in folders]
        if len(steps) > 1:
            with contextlib.suppress(OSError):  # a hint: fsync tells
                for file in files:
                    file.start_sync(0, 0)
        return self._syncers.run(steps)

    def entries(self, path: str) -> list[Entry]:
        found = []
        with os.scandir(path) as folder:
            for item in folder:
                with contextlib.suppress(FileNotFoundError):
                    found.append(_entry(item.name, item.stat(follow_symlinks=False)))
        return sorted(found, key=lambda entry: os.fsencode(entry.name))

    def entry(self, path: str) -> Entry | None:
        try:
            return _entry(os.path.basename(path), os.lstat(path))
        except FileNotFoundError:
            return None

    def space(self, path: str) -> Space:
        facts = os.statvfs(path)
        return Space(facts.f_blocks * facts.f_frsize, facts.f_bavail * facts.f_frsize)

    def lock(self, path: str) -> OpenFile:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | _NO_LINK, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise
        return SystemOpenFile(descriptor)


def _allow_descriptors() -> None:
    """The soft limit is low for the sake of programs that use select(); this is none."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # macOS has another limit below this one
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _open_regular(path: str, flags: int) -> int:
    """:raises OSError: it is a link, a folder, a pipe, a device."""
    descriptor = os.open(path, flags | os.O_NONBLOCK | _NO_LINK)  # a FIFO must not block us
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", path)
    return descriptor


def _entry(name: str, facts: os.stat_result) -> Entry:
    return Entry(
        name=name,
        is_file=stat.S_ISREG(facts.st_mode),
        is_folder=stat.S_ISDIR(facts.st_mode),
        size=facts.st_size,
        allocated=facts.st_blocks * 512,
        modified=facts.st_mtime,
        mode=stat.S_IMODE(facts.st_mode),
        mine=not hasattr(os, "geteuid") or facts.st_uid in {0, os.geteuid()},
    )


_is_env: type[Env] = SystemEnv
_is_file: type[File] = SystemFile
_is_open_file: type[OpenFile] = SystemOpenFile
_is_disk: type[Disk] = SystemDisk
