"""What can be seen of a process from outside, and waiting for it: never for a fixed time."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

PAUSE_SECONDS = 0.02
#: that find a process at rest: far more than a tick of its processor time apart
RESTING_LOOKS = 10
#: of a connection in /proc/net/tcp (include/net/tcp_states.h)
_ESTABLISHED = "01"


def until(what: Callable[[], T], why: str = "this", seconds: float = 30) -> T:
    """Look again and again, until it is so.

    :raises AssertionError: it did not become so.
    """
    ends = time.monotonic() + seconds
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < ends, f"waited {seconds:.0f} s for: {why}"
        time.sleep(PAUSE_SECONDS)


def resident(pid: int) -> int:
    """Bytes of memory that a process uses."""
    pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def descriptors(pid: int) -> int:
    """How many files and connections it has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def connected(pid: int) -> bool:
    """Whether a connection of its own by IPv4 stands."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    standing = {fields[9] for fields in map(str.split, lines) if fields[3] == _ESTABLISHED}
    folder = f"/proc/{pid}/fd"
    with contextlib.suppress(OSError):  # it ends, or closes one, while we look
        links = [os.readlink(f"{folder}/{name}") for name in os.listdir(folder)]
        return not standing.isdisjoint(link[len("socket:[") : -1] for link in links)
    return False


def _ticks(pid: int) -> int:
    """Processor time that it has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def until_at_rest(pid: int, looks: int = RESTING_LOOKS) -> None:
    """Until it uses next to no processor time, for so many looks.

    :raises AssertionError: it is never idle.
    """
    seen: list[int] = []

    def rests() -> bool:
        seen.append(_ticks(pid))
        return len(seen) > looks and seen[-1] - seen[-1 - looks] <= 1

    until(rests, "the process to be idle")
