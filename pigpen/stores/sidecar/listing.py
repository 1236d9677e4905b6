"""Listing: the store's values and the records' collections, merged in order (DAV-137)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from pigpen.database.transaction import Transaction
from pigpen.errors import BadKey, KeyTooLong
from pigpen.http import wire
from pigpen.http.key import Key
from pigpen.http.namespace import Lock, Node, Want
from pigpen.stores.sidecar import entry_rows, lock_rows
from pigpen.stores.sidecar.entry_rows import Entry
from pigpen.stores.sidecar.finder import Finder, collection_node, object_node
from pigpen.stores.sidecar.names import name_of, place_of
from pigpen.stores.sidecar.values import value_of_line

#: entries read at a time
PAGE: Final = 500


async def members(
    finder: Finder, collection: Key, *, deep: bool, want: Want, after: str
) -> AsyncGenerator[Node, None]:
    """The members of a collection that is there, in bytewise order of their relative names."""
    top = name_of(collection)
    locks = _Locks(await finder.records.read(_locks, top)) if want.locks else None
    lines = finder.values.lines(collection, deep=deep, after=after)
    entries = _entries(finder, top, deep, want, after)
    async with aclosing(_merged(top, lines, entries)) as merged:
        async for name, line, entry in merged:
            key = _key(collection, name)
            if key is None or finder.jobs.hides(key):
                continue
            covering = None if locks is None else locks.covering(key)
            if line is not None and line.type == "object":
                yield object_node(key, value_of_line(line), entry, covering, want)
            elif key.collection:  # an entry without a value is what another writer deleted
                yield collection_node(key, entry, covering, want)


async def _merged(
    top: str,
    lines: AsyncGenerator[wire.ListLine, None],
    entries: AsyncGenerator[Entry, None],
) -> AsyncGenerator[tuple[str, wire.ListLine | None, Entry | None], None]:
    """Both by relative name, each name once."""
    async with aclosing(lines), aclosing(entries):
        line, entry = await anext(lines, None), await anext(entries, None)
        while line is not None or entry is not None:
            names = [] if line is None else [line.name]
            names += [] if entry is None else [entry.name[len(top) :]]
            name = min(names)
            mine = line if line is not None and line.name == name else None
            known = entry if entry is not None and entry.name[len(top) :] == name else None
            yield name, mine, known
            if mine is not None:
                line = await anext(lines, None)
            if known is not None:
                entry = await anext(entries, None)


async def _entries(
    finder: Finder, top: str, deep: bool, want: Want, after: str
) -> AsyncGenerator[Entry, None]:
    last = top + after
    while True:
        page = await finder.records.read(entry_rows.page, top, last, want, PAGE, deep)
        for entry in page:
            yield entry
        if len(page) < PAGE:
            return
        last = page[-1].name


def _key(collection: Key, name: str) -> Key | None:
    """None: a store may hold what is no name here."""
    is_collection = name.endswith("/")
    names = name.removesuffix("/").split("/")
    try:
        return Key.of((*collection.names, *names), collection=is_collection)
    except (BadKey, KeyTooLong):
        return None


class _Locks:
    """The locks on a collection, above and below it."""

    def __init__(self, locks: list[Lock]) -> None:
        self._by_place: dict[str, list[Lock]] = {}
        for lock in locks:
            self._by_place.setdefault(place_of(lock.root), []).append(lock)

    def covering(self, key: Key) -> tuple[Lock, ...]:
        """The nearest first."""
        if not self._by_place:
            return ()
        found: list[Lock] = []
        for count in range(len(key.names), -1, -1):
            for lock in self._by_place.get(place_of(Key(key.names[:count])), ()):
                if lock.infinite or count == len(key.names):
                    found.append(lock)
        return tuple(found)


def _locks(tx: Transaction, top: str) -> list[Lock]:
    place = top.removesuffix("/")
    return lock_rows.covering(tx, place) + lock_rows.below(tx, place)
