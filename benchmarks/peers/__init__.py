"""The servers that are measured. All of them look alike to the cases: see `Peer`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from benchmarks.process import Process


class Peer(Protocol):
    """A server, or a whole cloud, on loopback in a folder of its own."""

    name: str
    #: what its answer to a PUT promises
    durability: str
    #: where requests go, without a final slash
    url: str
    #: header lines every request needs
    headers: Sequence[str]
    processes: list[Process]

    def start(self, folder: Path) -> None:
        """:raises NotMeasured: it cannot run here."""

    def stop(self) -> None:
        """End all processes; safe to repeat, and after a failed start."""

    def give(self, size: int) -> list[str]:
        """Store an object of so many bytes; paths whose GETs, in turn, may be repeated at will."""

    def take(self, count: int, size: int) -> list[str]:
        """Paths for up to `count` PUTs of `size` bytes each."""

    def stored(self, path: str) -> Path | None:
        """The file behind a path that `take` gave; None if it cannot be told."""


MakePeer = Callable[[], Peer]


class FileServer:
    """What servers of one folder of plain files have in common."""

    headers: Sequence[str] = ()
    durability = "in memory: no fsync"

    def __init__(self) -> None:
        self.url = ""
        self.processes: list[Process] = []
        self.root = Path()

    def stop(self) -> None:
        while self.processes:
            self.processes.pop().stop()

    def give(self, size: int) -> list[str]:
        write_file(self.root / f"given-{size}", size)
        return [f"/given-{size}"]

    def take(self, count: int, size: int) -> list[str]:
        return [f"/taken-{size}-{number}" for number in range(count)]

    def stored(self, path: str) -> Path | None:
        return self.root / path.removeprefix("/")


def write_file(path: Path, size: int) -> None:
    """A file of so many pseudo-random bytes, the same each time."""
    block = bytes(range(251)) * 4178  # a bit over 1 MiB, of no power of two
    with path.open("wb") as file:
        left = size
        while left > 0:
            left -= file.write(block[: min(left, len(block))])
    path.chmod(0o644)
