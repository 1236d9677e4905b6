"""Folder: how a host's blobs lie on its disk. All of it blocks: call it in a thread.

    pigpen-host.json        who this host is (`identity`), 0600
    pigpen-host.lock        held while a host runs
    outbox                  receipts that the coordinator has not acknowledged (`outbox`)
    incoming/ID             a body that is arriving; ID.json: how much of it is durable
    blobs/ab/cd/ID          complete, immutable, durable with its name
    trash/2026-11-22/ID     lay in a blob's place and was none; deleted after a week

ID is the blob's id, 64 hexadecimal digits, and begins with ``abcd``.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

from pigpen.env import Disk, Entry
from pigpen.errors import BadBlob, Conflict
from pigpen.host import durable

#: how long a part waits to be resumed
PART_SECONDS = 24 * 3600
TRASH_SECONDS = 7 * 24 * 3600
_READ_BYTES = 1024 * 1024
#: in `blobs`, and below them in all: as many as two and four hexadecimal digits can name
OUTER_FOLDERS = 256
LEAVES = 65_536


class Note(msgspec.Struct):
    """ID.json: the first ``offset`` bytes of the part are on stable storage."""

    offset: int


class FoundPart(msgspec.Struct):
    """A part that an earlier process left. ``age``: seconds."""

    blob: str
    offset: int
    allocated: int
    age: float


class Folder:
    """Paths and the steps that take a blob from one to the next."""

    def __init__(self, disk: Disk, root: str) -> None:
        self.disk = disk
        self.root = root
        self.incoming = f"{root}/incoming"
        self._blobs = f"{root}/blobs"
        self._trash = f"{root}/trash"
        #: by the first 16 bits of an id: whether the leaf's own name is known to be durable
        self._durable_leaves = bytearray(LEAVES)

    def blob(self, blob: str) -> str:
        return f"{self.leaf(blob)}/{blob}"

    def part(self, blob: str) -> str:
        return f"{self.incoming}/{blob}"

    def leaf(self, blob: str) -> str:
        return f"{self._blobs}/{blob[:2]}/{blob[2:4]}"

    # -- at the start ------------------------------------------------------------------------------

    def make_folders(self) -> None:
        for path in (self._blobs, self.incoming, self._trash):
            self.disk.make_folder(path)
        for number in range(OUTER_FOLDERS):
            self.disk.make_folder(f"{self._blobs}/{number:02x}")
        durable.sync_folder(self.disk, self._blobs)
        durable.sync_folder(self.disk, self.root)

    def count_used(self) -> int:
        """Allocated bytes of all blobs; from now on their folders are known to be durable."""
        used = 0
        for outer in self._folders(self._blobs):
            for inner in self._folders(f"{self._blobs}/{outer}"):
                used += self._allocated(f"{self._blobs}/{outer}/{inner}")
                number = _leaf_number(outer, inner)
                if number is not None:
                    self._durable_leaves[number] = 1
            durable.sync_folder(self.disk, f"{self._blobs}/{outer}")
        return used

    def _folders(self, path: str) -> list[str]:
        return [entry.name for entry in self.disk.entries(path) if entry.is_folder]

    def _allocated(self, path: str) -> int:
        return sum(entry.allocated for entry in self.disk.entries(path) if not entry.is_folder)

    def sweep_incoming(self, wall: float) -> list[FoundPart]:
        """Remove what cannot be resumed; what can is given back."""
        entries = {entry.name: entry for entry in self.disk.entries(self.incoming)}
        parts = []
        for name, entry in entries.items():
            part = self._resumable(entry, wall) if f"{name}.json" in entries else None
            if part is not None:
                parts.append(part)
            elif not name.endswith(".json"):
                self.drop_part(name)
        kept = {part.blob for part in parts}
        for name in entries:
            if name.endswith(".json") and name.removesuffix(".json") not in kept:
                durable.remove(self.disk, f"{self.incoming}/{name}")
        return parts

    def _resumable(self, entry: Entry, wall: float) -> FoundPart | None:
        age = max(0, wall - entry.modified)  # a clock that was set back makes nothing immortal
        try:
            data = self.disk.read(f"{self.part(entry.name)}.json", 4096)
            offset = msgspec.json.decode(data, type=Note).offset
        except (OSError, ValueError, msgspec.MsgspecError):
            return None
        if not entry.is_file or age > PART_SECONDS or not 0 < offset <= entry.size:
            return None
        return FoundPart(entry.name, offset, entry.allocated, age)

    # -- blobs -------------------------------------------------------------------------------------

    def size(self, blob: str) -> int | None:
        """Bytes of a complete blob; None if it is not here. :raises BadBlob: it is no plain file.
        :raises OSError: the disk does not say."""
        entry = self.disk.entry(self.blob(blob))
        if entry is None:
            return None
        if not entry.is_file:
            raise BadBlob
        return entry.size

    def hash(self, blob: str) -> tuple[int, str]:
        """Length and SHA-256 of a complete blob, which is then known to be durable."""
        digest = hashlib.sha256()
        file = self.disk.open_append(self.blob(blob))
        try:
            offset = 0
            while data := file.read(offset, _READ_BYTES):
                digest.update(data)
                offset += len(data)
        finally:
            file.close()
        durable.sync_folder(self.disk, self.leaf(blob))
        return offset, digest.hexdigest()

    def check_absent(self, blob: str) -> None:
        """:raises Conflict: it is here: a blob never changes."""
        if self.size(blob) is not None:
            raise Conflict(reason="this was stored already, under another request id")

    def make_leaf(self, blob: str) -> None:
        """Make the folder a blob will lie in; `publish` makes it durable."""
        if not self._durable_leaves[int(blob[:4], 16)]:
            self.disk.make_folder(self.leaf(blob))

    def make_leaves(self, outer: int) -> bool:
        """Make all leaves of an outer folder, durably. :return: False: they are there."""
        first, count = outer * OUTER_FOLDERS, LEAVES // OUTER_FOLDERS
        if all(self._durable_leaves[first : first + count]):
            return False
        path = f"{self._blobs}/{outer:02x}"
        for inner in range(count):
            self.disk.make_folder(f"{path}/{inner:02x}")
        durable.sync_folder(self.disk, path)
        self._durable_leaves[first : first + count] = b"\1" * count
        return True

    def unsynced_parent(self, blob: str) -> str | None:
        """The folder to sync before a blob's leaf is known to be durable; None: it is."""
        return None if self._durable_leaves[int(blob[:4], 16)] else f"{self._blobs}/{blob[:2]}"

    def leaf_is_durable(self, blob: str) -> None:
        """The caller has synced `unsynced_parent`."""
        self._durable_leaves[int(blob[:4], 16)] = 1

    def rename(self, blob: str) -> None:
        """Give a synced part, in a durable leaf, its final name; it stays if the leaf is synced."""
        self.disk.rename(self.part(blob), self.blob(blob))

    def publish(self, blob: str) -> None:
        """Give a synced part its final name; on return that is durable.

        :raises DiskFailed: the name may be there or not: no receipt.
        """
        parent = self.unsynced_parent(blob)
        if parent is not None:
            durable.sync_folder(self.disk, parent)
            self.leaf_is_durable(blob)
        self.rename(blob)
        durable.sync_folder(self.disk, self.leaf(blob))

    def remove_blob(self, blob: str) -> int:
        """:return: the allocated bytes that are free now."""
        entry = self.disk.entry(self.blob(blob))
        if entry is None:
            return 0
        self.disk.remove(self.blob(blob))
        return entry.allocated

    # -- parts -------------------------------------------------------------------------------------

    def note(self, blob: str, offset: int) -> None:
        """Remember that so much of a part is durable; the caller has synced it."""
        durable.write_file(
            self.disk, self.incoming, f"{blob}.json", msgspec.json.encode(Note(offset))
        )

    def drop_note(self, blob: str) -> None:
        durable.remove(self.disk, f"{self.part(blob)}.json")

    def drop_part(self, blob: str) -> None:
        with contextlib.suppress(IsADirectoryError, PermissionError):
            durable.remove(self.disk, self.part(blob))
        self.drop_note(blob)

    def forget_part(self, blob: str) -> None:
        """`drop_part`, as far as the disk lets us: the rest is the next sweep's."""
        with contextlib.suppress(OSError):
            self.drop_part(blob)

    # -- trash -------------------------------------------------------------------------------------

    def quarantine(self, blob: str, wall: float) -> None:
        """Move what lies in a blob's place, but is none, out of the way."""
        day = f"{self._trash}/{_date(wall)}"
        self.disk.make_folder(day)
        self.disk.rename(self.blob(blob), f"{day}/{blob}")

    def sweep_trash(self, wall: float) -> int:
        """Delete what is older than a week. :return: allocated bytes that are left."""
        used = 0
        oldest = _date(wall - TRASH_SECONDS)
        for day in self._folders(self._trash):
            path = f"{self._trash}/{day}"
            if _is_date(day) and day < oldest:
                self._delete_day(path)
            else:
                used += self._allocated(path)
        return used

    def _delete_day(self, path: str) -> None:
        for name in self._files(path):
            self.disk.remove(f"{path}/{name}")
        with contextlib.suppress(OSError):  # a quarantined folder stays for its owner to look at
            self.disk.remove_folder(path)

    def _files(self, path: str) -> Iterator[str]:
        return (entry.name for entry in self.disk.entries(path) if not entry.is_folder)


def _leaf_number(outer: str, inner: str) -> int | None:
    """None: these are folders that somebody else made."""
    with contextlib.suppress(ValueError):
        number = int(outer + inner, 16)
        if (outer, inner) == (f"{number >> 8:02x}", f"{number & 0xFF:02x}"):
            return number
    return None


def _date(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).date().isoformat()


def _is_date(name: str) -> bool:
    return len(name) == 10 and name[4] == name[7] == "-" and name.replace("-", "").isdigit()
