"""Finder: what a key names, in the store and in the records."""

from __future__ import annotations

from dataclasses import dataclass

from pigpen.database.transaction import Transaction
from pigpen.errors import BadAnswer, NotFound
from pigpen.http.key import Key
from pigpen.http.message import Response
from pigpen.http.namespace import NOTHING, Lock, Node, Property, Want
from pigpen.http.namespace_rules import spellings
from pigpen.stores.sidecar import entry_rows, lock_rows
from pigpen.stores.sidecar.entry_rows import Entry
from pigpen.stores.sidecar.jobs import Jobs
from pigpen.stores.sidecar.names import name_of, place_of
from pigpen.stores.sidecar.records import Records
from pigpen.stores.sidecar.values import Value, Values, value_of

ROOT = Key((), True)


@dataclass(frozen=True, slots=True)
class Finder:
    """Where things are looked up. Keys are taken as they are, but for the loose calls."""

    values: Values
    records: Records
    jobs: Jobs

    async def find(self, key: Key, want: Want = NOTHING, *, loose: bool = False) -> Node | None:
        """What a key names; a final slash is not looked at."""
        found = await self._named(key.names, want)
        if found is None and loose and not all(name.isascii() for name in key.names):
            near = await self.nearest(key, loose=True)
            if len(near.key.names) == len(key.names):
                return await self._named(near.key.names, want)
        return found

    async def get(self, key: Key, want: Want = NOTHING, *, loose: bool = False) -> Node:
        """:raises NotFound: nothing there, or an object where the key ends in a slash."""
        node = await self.find(key, want, loose=loose)
        if node is None or (key.collection and not node.is_collection):
            raise NotFound
        return node

    async def nearest(self, key: Key, *, loose: bool = False) -> Node:
        """The deepest node on the way to a key: its own, or an ancestor's."""
        node = await self._named((), NOTHING)
        assert node is not None, "there always is a root"
        for name in key.names:
            if not node.is_collection:
                break
            found = await self.member(node.key, name, loose=loose)
            if found is None:
                break
            node = found
        return node

    async def member(self, collection: Key, name: str, *, loose: bool = False) -> Node | None:
        """What a collection that is there holds under a name, in any spelling if ``loose``."""
        for spelling in spellings(name) if loose else (name,):
            found = await self._named((*collection.names, spelling), NOTHING)
            if found is not None:
                return found
        return None

    async def open(self, key: Key) -> tuple[Node, Response] | None:
        """The version under a key as the store gives it now, with a request less than `find`.

        :return: None: it is not there in this spelling, or a collection.
        """
        if key.collection or self.jobs.hides(key):
            return None
        name = name_of(key)
        entries, _ = await self.records.read(_look, (name, name + "/"), "", NOTHING)
        response = None if name + "/" in entries else await self.values.open(key)
        if response is None:
            return None
        length = response.body.length
        if length is None:
            await response.body.aclose()
            raise BadAnswer(peer="the store", reason="it does not tell lengths")
        value = value_of(response, length)
        return object_node(key, value, entries.get(name), None, NOTHING), response

    async def _named(self, names: tuple[str, ...], want: Want) -> Node | None:
        key = Key(names)
        if self.jobs.hides(key):
            return None
        folder = place_of(key) + "/"
        looked_up = (name_of(key), folder)
        entries, locks = await self.records.read(_look, looked_up, place_of(key), want)
        if names and folder not in entries:
            value = await self.values.find(key)
            if value is not None:
                return object_node(key, value, entries.get(name_of(key)), locks, want)
            # other writers' collections have no entry
            if not await self.values.has_below(Key(names, True)):
                return None
        return collection_node(Key(names, True), entries.get(folder), locks, want)


def _look(
    tx: Transaction, names: tuple[str, ...], place: str, want: Want
) -> tuple[dict[str, Entry], tuple[Lock, ...] | None]:
    locks = tuple(lock_rows.covering(tx, place)) if want.locks else None
    return entry_rows.find(tx, names, want), locks


def object_node(
    key: Key, value: Value, entry: Entry | None, locks: tuple[Lock, ...] | None, want: Want
) -> Node:
    """An object: what its store tells, and what is known of this very version."""
    known = entry if entry is not None and entry.etag == value.etag else None
    return Node(
        key,
        value.modified if known is None else known.modified,
        created=None if known is None else known.created,
        length=value.length,
        etag=value.etag,
        content_type=value.content_type,
        sha256=value.sha256,
        same_second=known is not None and known.same_second,
        properties=_properties(entry, want),
        locks=locks,
    )


def collection_node(
    key: Key, entry: Entry | None, locks: tuple[Lock, ...] | None, want: Want
) -> Node:
    return Node(
        key,
        0 if entry is None else entry.modified,
        created=None if entry is None else entry.created,
        properties=_properties(entry, want),
        locks=locks,
    )


def _properties(entry: Entry | None, want: Want) -> tuple[Property, ...] | None:
    if not (want.properties or want.names):
        return None
    return () if entry is None else entry.properties
