"""The files and folders of a simulated disk: finding them, and putting them there for a test."""

from __future__ import annotations

import errno
import os
import random
from functools import lru_cache
from typing import TYPE_CHECKING

from pigpen.testing.inodes import Inode, Names

if TYPE_CHECKING:
    from pigpen.testing.env import SimEnv


class Tree:
    """What is on the disk; nothing here counts as an operation."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.env: SimEnv | None = None
        self._root = Inode("folder")
        self._names = Names()
        self._used = 0

    def plant_folder(self, path: str) -> None:
        """Make a durable folder, and those above it."""
        self._plant(path, "folder")

    def plant_file(self, path: str, data: bytes) -> None:
        """Put a durable file in place, with the folders above it."""
        inode = self._plant(path, "file")
        self._used -= inode.allocated
        inode.live = bytearray(data)
        self._used += inode.allocated
        inode.sync()

    def plant_link(self, path: str, target: str) -> None:
        """Put a symbolic link in place, as an attacker would."""
        self._plant(path, "link").target = target

    def plant_fifo(self, path: str) -> None:
        """Put a named pipe in place: opening it would hang."""
        self._plant(path, "fifo")

    def corrupt(self, path: str, position: int | None = None) -> None:
        """Flip a bit of a file, on disk and in memory: rot."""
        inode = self._file(path)
        position = self.rng.randrange(len(inode.live)) if position is None else position
        bit = 1 << self.rng.randrange(8)
        inode.live[position] ^= bit
        if position < len(inode.durable):
            durable = bytearray(inode.durable)
            durable[position] ^= bit
            inode.durable = bytes(durable)

    def peek(self, path: str) -> bytes:
        """The bytes of a file now, without an operation."""
        return bytes(self._file(path).live)

    def tree(self, path: str = "/") -> dict[str, int]:
        """All files below a folder and their sizes, without an operation."""
        return _sizes(self._folder(path), path.rstrip("/"))

    def _plant(self, path: str, kind: str) -> Inode:
        folder = self._root
        names = parts(path)
        for position, name in enumerate(names):
            last = position == len(names) - 1
            inode = folder.names.get(name)
            if inode is None:
                inode = Inode(kind if last else "folder", modified=self._now())
            folder.names[name] = folder.durable_names[name] = inode
            folder = inode
        return folder

    # -- inside -----------------------------------------------------------------------------------

    def _now(self) -> float:
        return self.env.wall() if self.env is not None else 0.0

    def _walk(self, names: tuple[str, ...], path: str) -> Inode:
        inode = self._root
        for position, name in enumerate(names):
            found = inode.names.get(name)
            if found is None:
                raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
            if found.kind == "link":
                folder = "/".join(["", *names[:position]])
                found = self._folder(os.path.join(folder, found.target))
            if found.kind != "folder":
                raise NotADirectoryError(errno.ENOTDIR, "Not a directory", path)
            inode = found
        return inode

    def _folder(self, path: str) -> Inode:
        return self._walk(parts(path), path)

    def _parent(self, path: str) -> tuple[Inode, str]:
        names = parts(path)
        if not names:
            raise OSError(errno.EBUSY, "Device or resource busy", path)
        return self._walk(names[:-1], path), names[-1]

    def _existing(self, path: str) -> tuple[Inode, str, Inode]:
        folder, name = self._parent(path)
        if name not in folder.names:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        return folder, name, folder.names[name]

    def _file(self, path: str) -> Inode:
        inode = self._existing(path)[2]
        if inode.kind == "link":
            raise OSError(errno.ELOOP, "Too many levels of symbolic links", path)
        if inode.kind != "file":
            raise OSError(errno.EINVAL, "not a regular file", path)
        return inode


@lru_cache(maxsize=4096)
def parts(path: str) -> tuple[str, ...]:
    """The names of a path; the current folder is the root."""
    return tuple(name for name in os.path.normpath("/" + path).split("/") if name)


def _sizes(folder: Inode, path: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, inode in sorted(folder.names.items()):
        if inode.kind == "folder":
            found.update(_sizes(inode, f"{path}/{name}"))
        else:
            found[f"{path}/{name}"] = len(inode.live)
    return found
