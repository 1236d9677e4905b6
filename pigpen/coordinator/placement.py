"""Placement: which hosts get a new blob. Pure: a weighted random order by room (CLD-60, CLD-61)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from pigpen.coordinator.settings import NEW_HOST_DIVISOR, NEW_HOST_SECONDS


@dataclass(frozen=True, slots=True)
class Candidate:
    """A host that may take blobs: its room in bytes, its age in seconds since registration."""

    host_id: int
    room: int
    age_seconds: float


def room_of(*, target_size: int, used: int, reserved: int, disk_free: int, free_floor: int) -> int:
    """Bytes a host may still take; 0 if it is full or its target was lowered (CLD-60)."""
    return max(0, min(target_size - used - reserved, disk_free - free_floor))


def weight_of(candidate: Candidate) -> float:
    """A host's share: its room, a quarter of it on its first day."""
    new = candidate.age_seconds < NEW_HOST_SECONDS
    return candidate.room / NEW_HOST_DIVISOR if new else float(candidate.room)


def order_hosts(candidates: Iterable[Candidate], length: int | None, random: Random) -> list[int]:
    """The ids of all hosts with room for `length` bytes, in the order they shall be asked.

    The first is drawn with a probability proportional to its weight, the next likewise of those
    left (Efraimidis and Spirakis: sort by -ln(u) / weight).

    :param length: None: unknown; any room will do, as the host reserves step by step.
    """
    needed = max(1, length or 0)
    drawn = [
        (-math.log(1.0 - random.random()) / weight_of(candidate), candidate.host_id)
        for candidate in candidates
        if candidate.room >= needed
    ]
    return [host_id for _, host_id in sorted(drawn)]
