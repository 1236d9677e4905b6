"""A simulated disk: forgets at a power cut what was not synced, fails when told to, can rot.

Paths are absolute; only the last name of a path is never followed if it is a link, as with
O_NOFOLLOW. The kinds of operations for `fail_at` and `log`: create, open_append, open_read, write,
read, sync, start_sync, truncate, size, close, rename, remove, make_folder, remove_folder,
sync_folder, entries, entry, space, lock.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from pigpen.env import Disk, Entry, File, OpenFile, Space
from pigpen.testing.faults import Faults, Killed
from pigpen.testing.files import OpenedFile, SimFile, SimOpenFile
from pigpen.testing.inodes import BLOCK, Inode, reboot
from pigpen.testing.tree import Tree, parts

if TYPE_CHECKING:
    from pigpen.testing.env import SimEnv


class SimDisk(Tree, Faults):
    """Disk of one node; it outlives the node's boots."""

    def __init__(self, rng: random.Random, capacity: int = 1 << 40) -> None:
        """:param capacity: bytes; each file takes whole blocks of 4,096."""
        Tree.__init__(self, rng)
        Faults.__init__(self)
        self.capacity = capacity
        #: what was done: kind and path
        self.log: list[tuple[str, str]] = []
        self.opened: list[OpenedFile] = []
        self.generation = 0
        self._frozen = False

    # -- what tests do ----------------------------------------------------------------------------

    def crash(self) -> None:
        """Cut the power: the node dies; what is durable is left, and by luck some of the rest."""
        if self.env is not None:
            self.env.kill(silent=True)
        self._close_all()
        self._names.crash(self.rng)
        reboot(self._root, self.rng)
        self._used = _allocated(self._root)

    def kill_at(self, n: int, kind: str | None = None) -> None:
        """The process dies in its n-th operation from now on; the operation is not done."""
        self.call_at(n, self._die, kind)

    def boot(self, env: SimEnv) -> None:
        """A new process uses the disk; the files of the old one are closed."""
        self.env = env
        self._frozen = False
        self._close_all()

    @property
    def open_files(self) -> list[str]:
        """Paths of files that are open now."""
        return [file.path for file in self.opened]

    def _close_all(self) -> None:
        self.generation += 1
        for file in list(self.opened):
            file.drop()

    def freeze(self) -> None:
        """The process is dead: nothing of it reaches the disk any more."""
        self._frozen = True

    def _die(self) -> None:
        self._frozen = True
        if self.env is not None:
            self.env.kill()

    # -- Disk -------------------------------------------------------------------------------------

    def create(self, path: str) -> OpenFile:
        self.operation("create", path)
        folder, name = self._parent(path)
        if name in folder.names:
            raise FileExistsError(errno.EEXIST, "File exists", path)
        inode = Inode(modified=self._now())
        self._names.change(inode, (folder, name, inode))
        return SimOpenFile(self, inode, path)

    def open_append(self, path: str) -> OpenFile:
        self.operation("open_append", path)
        return SimOpenFile(self, self._file(path), path)

    def open_read(self, path: str) -> File:
        self.operation("open_read", path)
        return SimFile(self, self._file(path), path)

    def close_read(self, file: File) -> None:
        assert isinstance(file, SimFile)
        file.close()

    def read(self, path: str, limit: int) -> bytes:
        self.operation("read", path)
        data = bytes(self._file(path).live)
        if len(data) > limit:
            raise ValueError(f"{path} is larger than {limit} bytes")
        return data

    def rename(self, old: str, new: str) -> None:
        self.operation("rename", f"{old} {new}")
        source, name = self._parent(old)
        inode = source.names.get(name)
        if inode is None:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", old)
        folder, new_name = self._parent(new)
        replaced = folder.names.get(new_name)
        if replaced is inode:
            return
        if replaced is not None:
            _check_replace(inode, replaced, new)
        self._names.change(inode, (source, name, None), (folder, new_name, inode))
        if replaced is not None:
            self._unlinked(replaced)

    def remove(self, path: str) -> None:
        self.operation("remove", path)
        folder, name, inode = self._existing(path)
        if inode.kind == "folder":
            raise IsADirectoryError(errno.EISDIR, "Is a directory", path)
        self._names.change(inode, (folder, name, None))
        self._unlinked(inode)

    def make_folder(self, path: str) -> bool:
        self.operation("make_folder", path)
        folder, name = self._parent(path)
        if name in folder.names:
            return False
        inode = Inode("folder", modified=self._now())
        self._names.change(inode, (folder, name, inode))
        return True

    def remove_folder(self, path: str) -> None:
        self.operation("remove_folder", path)
        folder, name, inode = self._existing(path)
        if inode.kind != "folder":
            raise NotADirectoryError(errno.ENOTDIR, "Not a directory", path)
        if inode.names:
            raise OSError(errno.ENOTEMPTY, "Directory not empty", path)
        self._names.change(inode, (folder, name, None))

    def sync_folder(self, path: str) -> None:
        self.operation("sync_folder", path)
        self._names.commit(self._folder(path))

    def sync_together(
        self, files: Sequence[OpenFile], folders: Sequence[str]
    ) -> list[OSError | None]:
        """One after the other, each an operation that can fail."""
        steps = [file.sync for file in files] + [
            partial(self.sync_folder, path) for path in folders
        ]
        return [_error_of(step) for step in steps]

    def entries(self, path: str) -> list[Entry]:
        self.operation("entries", path)
        names = self._folder(path).names.items()
        return [_entry(name, inode) for name, inode in sorted(names, key=_bytewise)]

    def entry(self, path: str) -> Entry | None:
        self.operation("entry", path)
        if not parts(path):
            return _entry("", self._root)
        try:
            _, name, inode = self._existing(path)
        except FileNotFoundError:
            return None
        return _entry(name, inode)

    def space(self, path: str) -> Space:
        self.operation("space", path)
        self._folder(path)
        return Space(self.capacity, max(0, self.capacity - self._used))

    def lock(self, path: str) -> OpenFile:
        self.operation("lock", path)
        folder, name = self._parent(path)
        if name not in folder.names:
            inode = Inode(modified=self._now())
            self._names.change(inode, (folder, name, inode))
        inode = self._file(path)
        if inode.locked:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable", path)
        inode.locked = True
        return SimOpenFile(self, inode, path, locks=True)

    # -- inside -----------------------------------------------------------------------------------

    def operation(self, kind: str, path: str) -> None:
        """Count and log an operation; raise what `fail_at` ordered."""
        if self._frozen:
            raise Killed
        error = self.check(kind)
        if self._frozen:
            raise Killed
        if error is not None:
            self.log.append((f"{kind} failed", path))
            raise error
        self.log.append((kind, path))

    def grow(self, inode: Inode, size: int) -> None:
        """Account for a change of a file's size. :raises OSError: the disk is full."""
        before = inode.allocated
        after = -(-size // BLOCK) * BLOCK
        if after > before and self._used + after - before > self.capacity:
            raise OSError(errno.ENOSPC, "No space left on device")
        self._used += after - before
        inode.modified = self._now()

    def closed(self, file: OpenedFile) -> None:
        """A file was closed: one without a name frees its blocks now."""
        self.opened.remove(file)
        inode = file.inode
        inode.opens -= 1
        if inode.unlinked and not inode.opens:
            self._used -= inode.allocated

    def _unlinked(self, inode: Inode) -> None:
        inode.unlinked = True
        if not inode.opens:
            self._used -= inode.allocated


def _error_of(step: Callable[[], None]) -> OSError | None:
    try:
        step()
    except OSError as error:
        return error
    return None


def _bytewise(item: tuple[str, Inode]) -> bytes:
    return os.fsencode(item[0])


def _check_replace(inode: Inode, replaced: Inode, path: str) -> None:
    if replaced.kind == "folder":
        if inode.kind != "folder":
            raise IsADirectoryError(errno.EISDIR, "Is a directory", path)
        if replaced.names:
            raise OSError(errno.ENOTEMPTY, "Directory not empty", path)
    elif inode.kind == "folder":
        raise NotADirectoryError(errno.ENOTDIR, "Not a directory", path)


def _entry(name: str, inode: Inode) -> Entry:
    return Entry(
        name=name,
        is_file=inode.kind == "file",
        is_folder=inode.kind == "folder",
        size=len(inode.live),
        allocated=inode.allocated,
        modified=inode.modified,
        mode=inode.mode or (0o700 if inode.kind == "folder" else 0o600),
        mine=inode.mine,
    )


def _allocated(inode: Inode) -> int:
    return inode.allocated + sum(map(_allocated, inode.names.values()))


_is_disk: type[Disk] = SimDisk
