"""Env: the only door to clock, randomness, files, threads, listening and connecting.

No module below `tap` and `cli` takes these from anywhere else, so every behaviour can be
simulated and repeated: `pigpen.system` is the real one, `pigpen.testing` has the simulated peer of
each Protocol here.

`Disk` and `OpenFile` block: they are called inside `Env.in_thread`, many steps in one go.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar

from twisted.internet.defer import Deferred

if TYPE_CHECKING:
    from twisted.internet.interfaces import (
        IDelayedCall,
        IReactorTime,
        IStreamClientEndpoint,
        IStreamServerEndpoint,
    )

P = ParamSpec("P")
T = TypeVar("T")


class File(Protocol):
    """What a `FileBody` reads: an open file that many readers may share."""

    def fileno(self) -> int | None:
        """The descriptor, for sendfile; None: a simulated file."""

    def read_now(self, offset: int, size: int) -> bytes | None:
        """Bytes that are in memory already; None if reading them could wait for the disk."""

    async def read_at(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes; empty at the end. :raises OSError: they cannot be read."""


class OpenFile(Protocol):
    """A file open for writing, or for one thread's reading; every call may block."""

    def write(self, data: bytes) -> None:
        """Append all of `data`."""

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes; empty at the end."""

    def sync(self) -> None:
        """Return when content and size are on stable storage (fsync)."""

    def start_sync(self, offset: int, size: int) -> None:
        """Let the disk begin to write this range; a hint that promises nothing."""

    def truncate(self, size: int) -> None: ...

    def size(self) -> int: ...

    def close(self) -> None:
        """Safe to repeat."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A name in a folder. ``allocated`` counts the blocks in use, in bytes; ``mode`` has the
    permission bits; ``mine``: the file belongs to the user this process runs as, or to root."""

    name: str
    is_file: bool
    is_folder: bool
    size: int
    allocated: int
    modified: float
    mode: int = 0o600
    mine: bool = True


@dataclass(frozen=True, slots=True)
class Space:
    """A disk's size and what is free for us, in bytes."""

    total: int
    free: int


class Disk(Protocol):
    """Blocking file operations, in a thread. Errors are OSError."""

    def create(self, path: str) -> OpenFile:
        """A new file, 0600; FileExistsError if the name is taken, by a link too."""

    def open_append(self, path: str) -> OpenFile:
        """An existing regular file, for reading and appending; never through a link."""

    def open_read(self, path: str) -> File:
        """An existing regular file; never through a link. Close with `close_read`."""

    def close_read(self, file: File) -> None: ...

    def read(self, path: str, limit: int) -> bytes:
        """A small regular file whole. ValueError if it has more than `limit` bytes."""

    def rename(self, old: str, new: str) -> None: ...

    def remove(self, path: str) -> None: ...

    def make_folder(self, path: str) -> bool:
        """Make one folder, 0700; False if it was there."""

    def remove_folder(self, path: str) -> None:
        """Remove an empty folder."""

    def sync_folder(self, path: str) -> None:
        """Return when the names in this folder are on stable storage."""

    def sync_together(
        self, files: Sequence[OpenFile], folders: Sequence[str]
    ) -> list[OSError | None]:
        """`sync` and `sync_folder` for all of these, in whatever order costs least.

        :return: why each failed, or None: first of the files, then of the folders.
        """

    def entries(self, path: str) -> list[Entry]:
        """What lies in a folder, in bytewise order, links unfollowed."""

    def entry(self, path: str) -> Entry | None:
        """One name, link unfollowed; None if there is none."""

    def space(self, path: str) -> Space: ...

    def lock(self, path: str) -> OpenFile:
        """Hold this file, made if need be, until it is closed or this process ends.

        :raises BlockingIOError: another process holds it.
        """


class Env(Protocol):
    """All that a part of pigpen may take from the outside world."""

    @property
    def clock(self) -> IReactorTime:
        """Monotonic: ``seconds()`` and ``callLater()``."""

    @property
    def random(self) -> random.Random:
        """Cryptographic where the Env is real: ids come from here too."""

    @property
    def disk(self) -> Disk: ...

    def wall(self) -> float:
        """Seconds since 1970: for timestamps, never for limits."""

    def descriptors(self) -> int:
        """How many files and sockets this process may have open at once."""

    def in_thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        """Run where blocking is allowed. Cancelling the Deferred does not stop the function."""

    def server_endpoint(self, description: str) -> IStreamServerEndpoint:
        """:param description: a Twisted endpoint string, ``tcp:2573:interface=127.0.0.1``."""

    def client_endpoint(self, host: str, port: int) -> IStreamClientEndpoint:
        """A TCP connection to be; TLS is wrapped around it by `web.client`."""


def random_id(env: Env) -> str:
    """A new 256-bit id: 64 hexadecimal digits."""
    return env.random.randbytes(32).hex()


def sleep(env: Env, seconds: float) -> Deferred[None]:
    """Fires after a time on the Env's clock; cancelling it stops the timer."""
    call: IDelayedCall

    def stop(_: Deferred[None]) -> None:
        call.cancel()

    done: Deferred[None] = Deferred(stop)
    call = env.clock.callLater(seconds, done.callback, None)
    return done
