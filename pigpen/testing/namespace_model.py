"""A model of a namespace: dictionaries, and the rules read off RFC 4918, nothing clever.

Each method answers the status that a namespace must give: 0 for success, else that of the refusal.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

Path = tuple[str, ...]


@dataclass
class Item:
    """``data`` None: a collection."""

    data: bytes | None = None
    properties: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class HeldLock:
    token: str
    path: Path
    exclusive: bool
    infinite: bool

    def covers(self, path: Path) -> bool:
        return path == self.path or (self.infinite and _inside(path, self.path))


def _inside(path: Path, top: Path) -> bool:
    """Whether a path is another one, or lies below it."""
    return path[: len(top)] == top


class Refusal(Exception):
    """Carries a status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Model:
    """One user's tree. ``tokens``: what the call submits."""

    def __init__(self) -> None:
        self.items: dict[Path, Item] = {(): Item()}
        self.locks: list[HeldLock] = []

    # -- what is there ----------------------------------------------------------------------------

    def below(self, top: Path) -> dict[Path, Item]:
        return {path: item for path, item in self.items.items() if _inside(path, top)}

    def tokens_of(self, path: Path) -> set[str]:
        return {lock.token for lock in self.locks if lock.covers(path)}

    def is_collection(self, path: Path) -> bool:
        return path in self.items and self.items[path].data is None

    def _get(self, path: Path) -> Item:
        if path not in self.items:
            raise Refusal(404)
        return self.items[path]

    def _need_parent(self, path: Path) -> None:
        if not self.is_collection(path[:-1]):
            raise Refusal(409)

    def _need_tokens(
        self, tokens: set[str], changed: Iterable[Path], emptied: Iterable[Path] = ()
    ) -> None:
        paths = [*changed, *emptied]
        for top in emptied:
            paths += [lock.path for lock in self.locks if _inside(lock.path, top)]
        for path in paths:
            covering = self.tokens_of(path)
            if covering and not covering & tokens:
                raise Refusal(423)

    def _end_locks(self, top: Path, *, keep: bool = False) -> None:
        self.locks = [
            lock
            for lock in self.locks
            if not _inside(lock.path, top) or (keep and lock.path == top)
        ]

    # -- methods ----------------------------------------------------------------------------------

    def put(self, path: Path, data: bytes, tokens: set[str]) -> None:
        if self.is_collection(path):
            raise Refusal(405)
        self._need_parent(path)
        self._need_tokens(tokens, [path if path in self.items else path[:-1]])
        if path in self.items:
            self.items[path].data = data
        else:
            self.items[path] = Item(data)

    def mkcol(self, path: Path, tokens: set[str]) -> None:
        if path in self.items:
            raise Refusal(405)
        self._need_parent(path)
        self._need_tokens(tokens, [path[:-1]])
        self.items[path] = Item()

    def patch(self, path: Path, name: str, value: str, tokens: set[str]) -> None:
        item = self._get(path)
        self._need_tokens(tokens, [path])
        item.properties[name] = value

    def delete(self, path: Path, tokens: set[str]) -> None:
        self._get(path)
        if not path:
            raise Refusal(403)
        self._need_tokens(tokens, [path, path[:-1]], [path])
        self._remove(path)

    def _remove(self, path: Path, *, keep: bool = False) -> None:
        for one in self.below(path):
            del self.items[one]
        self._end_locks(path, keep=keep)

    def copy(
        self, source: Path, target: Path, deep: bool, overwrite: bool, tokens: set[str]
    ) -> None:
        replaced = self._transfer(source, target, overwrite)
        if deep and _inside(target[:-1], source):
            raise Refusal(403)
        self._need_tokens(tokens, [target[:-1], *replaced], replaced)
        self._put_copies(source, target, self.below(source) if deep else {source})

    def move(self, source: Path, target: Path, overwrite: bool, tokens: set[str]) -> None:
        replaced = self._transfer(source, target, overwrite)
        if not source or _inside(target[:-1], source):
            raise Refusal(403)
        changed = [source, source[:-1], target[:-1], *replaced]
        self._need_tokens(tokens, changed, [source, *replaced])
        self._put_copies(source, target, self.below(source))
        self._remove(source)

    def _transfer(self, source: Path, target: Path, overwrite: bool) -> list[Path]:
        self._get(source)
        if not target:
            raise Refusal(403)
        self._need_parent(target)
        if target not in self.items:
            return []
        if _inside(source, target):
            raise Refusal(403)
        if not overwrite:
            raise Refusal(412)
        return [target]

    def _put_copies(self, source: Path, target: Path, paths: Iterable[Path]) -> None:
        copies = {
            (*target, *path[len(source) :]): Item(
                self.items[path].data, dict(self.items[path].properties)
            )
            for path in paths
        }
        self._remove(target, keep=True)
        self.items |= copies

    # -- locks ------------------------------------------------------------------------------------

    def check_lock(self, path: Path, exclusive: bool, infinite: bool, tokens: set[str]) -> None:
        """Whether LOCK is possible; `add_lock` when it was made."""
        if path not in self.items:
            self._need_parent(path)
            self._need_tokens(tokens, [path[:-1]])
        for lock in self.locks:
            meets = lock.covers(path) or (infinite and _inside(lock.path, path))
            if meets and (exclusive or lock.exclusive):
                raise Refusal(423)

    def add_lock(self, lock: HeldLock) -> None:
        self.items.setdefault(lock.path, Item(b""))
        self.locks.append(lock)

    def unlock(self, path: Path, token: str) -> None:
        self._get(path)
        if token not in self.tokens_of(path):
            raise Refusal(409)
        self.locks = [lock for lock in self.locks if lock.token != token]
