"""What a simulated disk holds: files and folders, each as it is now and as a power cut leaves it.

A name operation (create, rename, remove, make folder) is live at once and durable after
`Names.commit` of a folder it touched, or by luck when the power fails. Bytes are durable after
`Inode.sync`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

BLOCK = 4096


@dataclass(slots=True, eq=False)
class Inode:
    """A file, folder, link or pipe. ``live`` is what programs see, ``durable`` what is on disk."""

    kind: str = "file"  # file, folder, link, fifo
    live: bytearray = field(default_factory=bytearray)
    durable: bytes = b""
    #: live and durable bytes are the same up to here
    stable: int = 0
    #: parts whose write-back failed: the kernel thinks that they are written
    lost: list[tuple[int, int]] = field(default_factory=list)
    #: a folder's members
    names: dict[str, Inode] = field(default_factory=dict)
    durable_names: dict[str, Inode] = field(default_factory=dict)
    target: str = ""
    modified: float = 0.0
    opens: int = 0
    unlinked: bool = False
    locked: bool = False
    #: permission bits; 0: 0600, for a folder 0700
    mode: int = 0
    #: whether it belongs to the node's user, or root
    mine: bool = True

    @property
    def allocated(self) -> int:
        return -(-len(self.live) // BLOCK) * BLOCK

    def truncate(self, size: int) -> None:
        if size > len(self.live):
            self.live.extend(bytes(size - len(self.live)))
        del self.live[size:]
        self.stable = min(self.stable, size)

    def sync(self) -> None:
        """Live bytes become durable, but for those that an earlier failure lost."""
        image = bytearray(self.live)
        for start, end in self.lost:
            end = min(end, len(image))
            image[start:end] = bytes(max(0, end - start))
        self.durable = bytes(image)
        self.stable = len(self.live) if not self.lost else min(self.stable, self.lost[0][0])

    def fail_sync(self) -> None:
        """Pages that could not be written count as clean: no later sync writes them."""
        self.lost.append((self.stable, len(self.live)))

    def crash(self, rng: random.Random) -> None:
        """What was not synced is there, torn, or not."""
        self.opens = 0
        self.unlinked = self.locked = False
        if self.kind != "file":
            return
        if bytes(self.live) != self.durable and rng.random() < 0.5:
            self.durable = self._torn(rng)
        self.live = bytearray(self.durable)
        self.stable = len(self.live)
        self.lost.clear()

    def _torn(self, rng: random.Random) -> bytes:
        end = rng.choice((self.stable, len(self.live), rng.randint(self.stable, len(self.live))))
        image = bytearray(self.live[:end])
        for start in range(self.stable, end, BLOCK):
            stop = min(end, (start // BLOCK + 1) * BLOCK)
            if rng.random() < 0.5:
                image[start:stop] = bytes(stop - start)
        return bytes(image)


@dataclass(slots=True, eq=False)
class NameOperation:
    """Changes of names that happen together: ``(folder, name, inode or None)``."""

    changes: tuple[tuple[Inode, str, Inode | None], ...]
    inode: Inode

    @property
    def keys(self) -> set[object]:
        """What it shares with the operations that it builds upon."""
        return {id(self.inode), *((id(folder), name) for folder, name, _ in self.changes)}


class Names:
    """The name operations that are not yet durable, oldest first."""

    def __init__(self) -> None:
        self.pending: list[NameOperation] = []

    def change(self, inode: Inode, *changes: tuple[Inode, str, Inode | None]) -> None:
        """Do it now; durable later."""
        for folder, name, new in changes:
            _set(folder.names, name, new)
        self.pending.append(NameOperation(changes, inode))

    def commit(self, folder: Inode) -> None:
        """Make the names of a folder durable."""
        chosen = [
            operation
            for operation in self.pending
            if any(touched is folder for touched, _, _ in operation.changes)
        ]
        self._apply(chosen)

    def crash(self, rng: random.Random) -> None:
        """Flip a coin for each operation, forget the others."""
        self._apply([operation for operation in self.pending if rng.random() < 0.5])
        self.pending.clear()

    def _apply(self, chosen: list[NameOperation]) -> None:
        """Also what they build upon: a rename is there with all earlier ones of the same file."""
        wanted = set(map(id, chosen))
        needed: list[NameOperation] = []
        keys: set[object] = set()
        for operation in reversed(self.pending):
            if id(operation) in wanted or keys & operation.keys:
                needed.append(operation)
                keys |= operation.keys
        for operation in reversed(needed):
            for folder, name, new in operation.changes:
                _set(folder.durable_names, name, new)
        gone = set(map(id, needed))
        self.pending = [operation for operation in self.pending if id(operation) not in gone]


def _set(names: dict[str, Inode], name: str, inode: Inode | None) -> None:
    if inode is None:
        names.pop(name, None)
    else:
        names[name] = inode


def reboot(folder: Inode, rng: random.Random) -> None:
    """All below a folder becomes what is durable of it."""
    folder.names = dict(folder.durable_names)
    for _, inode in sorted(folder.names.items()):
        inode.crash(rng)
        if inode.kind == "folder":
            reboot(inode, rng)
