"""Room: how much this host may still take, and what is promised of it (CLD-38, CLD-60).

Every byte is in one of three places: free, reserved (promised, not written yet) or used. Promised
bytes count against the target size and against the free disk, so transfers that fit singly never
overcommit together.
"""

from __future__ import annotations

from pigpen.env import Space
from pigpen.errors import InsufficientStorage

#: how much is reserved at a time for a body of unknown length
STEP_BYTES = 64 * 1024 * 1024
#: the floor if none is set: a hundredth of the disk, but at least this
MIN_FLOOR_BYTES = 256 * 1024 * 1024


class Room:
    """The account of one folder's bytes; only the reactor's thread keeps it."""

    __slots__ = ("_floor", "_measured", "_since", "reserved", "target_size", "used")

    def __init__(self, target_size: int, floor: int | None) -> None:
        """:param floor: bytes of the disk to leave free; None: 1 %, at least 256 MiB."""
        self.target_size = target_size
        self._floor = floor
        self._measured = Space(0, 0)
        #: bytes written since then
        self._since = 0
        self.used = 0
        self.reserved = 0

    @property
    def disk(self) -> Space:
        """As it was measured, but for what we wrote since."""
        return Space(self._measured.total, self._measured.free - self._since)

    @property
    def floor(self) -> int:
        if self._floor is not None:
            return self._floor
        return max(MIN_FLOOR_BYTES, self._measured.total // 100)

    @property
    def left(self) -> int:
        """Bytes that can still be promised."""
        by_target = self.target_size - self.used
        by_disk = self._measured.free - self._since - self.floor
        return max(0, min(by_target, by_disk) - self.reserved)

    def measured(self, disk: Space) -> None:
        """What the disk itself says now; between two measures we count along."""
        self._measured = disk
        self._since = 0

    def reserve(self, size: int) -> Reservation:
        """Set room aside before the first body byte.

        :return: give it back with ``release()``, exactly once, on every way out.
        :raises InsufficientStorage: target size or free disk would be passed.
        """
        if size > self.left:
            raise InsufficientStorage(reason=f"this host has room for {self.left} bytes more")
        self.reserved += size
        return Reservation(self, size)

    def wrote(self, size: int) -> None:
        """Bytes became used; negative: they were removed."""
        self.used += size
        self._since += size


class Reservation:
    """Room that is promised to one transfer; what is written of it becomes used."""

    __slots__ = ("_released", "_room", "left")

    def __init__(self, room: Room, size: int) -> None:
        self._room = room
        self._released = False
        self.left = size

    def take(self, size: int) -> None:
        """Turn promised bytes into used ones; grows by steps where the length is unknown.

        :raises InsufficientStorage: there is no room for another step.
        """
        if size > self.left:
            self._grow(size - self.left)
        self.left -= size
        self._room.reserved -= size
        self._room.wrote(size)

    def put_back(self, size: int) -> None:
        """What was taken is free again: promise it once more, for another attempt."""
        self.left += size
        self._room.reserved += size

    def _grow(self, needed: int) -> None:
        step = max(needed, min(STEP_BYTES, self._room.left))
        if step > self._room.left:
            raise InsufficientStorage(reason="this host became full")
        self._room.reserved += step
        self.left += step

    def release(self) -> None:
        """Give back what is left."""
        assert not self._released, "a reservation is released once"
        self._released = True
        self._room.reserved -= self.left
        self.left = 0
