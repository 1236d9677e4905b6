"""The servers that are measured. All of them look alike to the cases: see `Peer`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from benchmarks.process import NotMeasured, Process


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
    #: over how many connections it can take locks
    lock_connections: int

    def start(self, folder: Path) -> None:
        """:raises NotMeasured: it cannot run here."""

    def stop(self) -> None:
        """End all processes; safe to repeat, and after a failed start."""

    def object_of(self, size: int) -> list[str]:
        """Paths of an object of so many bytes, to GET in turn as often as one likes."""

    def many_objects(self, count: int) -> list[str]:
        """Paths of so many objects of 8 KiB, or of fewer where the number makes no difference."""

    def collection_of(self, count: int) -> str:
        """Path of a collection of so many small objects. :raises NotMeasured: it lists none."""

    def take(self, count: int, size: int) -> list[str]:
        """Paths for up to `count` PUTs of `size` bytes each."""

    def stored(self, path: str) -> Path | None:
        """The file behind a path that `take` gave; None if it cannot be told."""

    def own_benchmark(self) -> str:
        """What a program of the peer's own says of small writes; empty if it has none."""


MakePeer = Callable[[], Peer]

MANY_BYTES = 8 * 1024


class Server:
    """What all peers have in common."""

    headers: Sequence[str] = ()
    lock_connections = 64

    def __init__(self) -> None:
        self.url = ""
        self.folder = Path()
        self.processes: list[Process] = []
        self._objects: dict[int, list[str]] = {}

    def stop(self) -> None:
        while self.processes:
            self.processes.pop().stop()

    def object_of(self, size: int) -> list[str]:
        if size not in self._objects:
            source = self.folder / f"object-{size}"
            write_file(source, size)
            self._objects[size] = self.store(source)
            source.unlink()
        return self._objects[size]

    def many_objects(self, count: int) -> list[str]:
        return self.object_of(MANY_BYTES)

    def collection_of(self, count: int) -> str:
        raise NotMeasured("it does not list")

    def store(self, source: Path) -> list[str]:
        """Keep the bytes of a file; the paths they have now."""
        raise NotImplementedError

    def take(self, count: int, size: int) -> list[str]:
        return [f"/taken/{size}-{number}" for number in range(count)]

    def stored(self, path: str) -> Path | None:
        return None

    def own_benchmark(self) -> str:
        return ""


class FileServer(Server):
    """A server of one folder of plain files."""

    durability = "no fsync"

    @property
    def root(self) -> Path:
        return self.folder / "root"

    def prepare(self, folder: Path) -> None:
        self.folder = folder
        (self.root / "taken").mkdir(parents=True)

    def collection_of(self, count: int) -> str:
        folder = self.root / f"many-{count}"
        if not folder.exists():
            folder.mkdir()
            for number in range(count):
                (folder / f"file-{number:05}.txt").write_bytes(b"x" * 100)
        return f"/{folder.name}/"

    def store(self, source: Path) -> list[str]:
        (self.root / source.name).hardlink_to(source)
        return ["/" + source.name]

    def stored(self, path: str) -> Path | None:
        return self.root / path.removeprefix("/")


def write_file(path: Path, size: int) -> None:
    """A file of so many bytes, the same each time."""
    block = bytes(range(251)) * 4178  # a bit over 1 MiB, of no power of two
    with path.open("wb") as file:
        left = size
        while left > 0:
            left -= file.write(block[: min(left, len(block))])
    path.chmod(0o644)
