"""Tree: what all methods of the sidecar share, and where something new would go."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from pigpen.env import Env, Space
from pigpen.errors import Conflict, MethodNotAllowed, Unavailable
from pigpen.http import namespace_rules
from pigpen.http.key import Key
from pigpen.http.namespace import ON_COLLECTION, Node, When
from pigpen.stores.sidecar.claims import Claims
from pigpen.stores.sidecar.finder import Finder
from pigpen.stores.sidecar.jobs import Jobs
from pigpen.stores.sidecar.records import Records
from pigpen.stores.sidecar.values import Values


@dataclass(frozen=True, slots=True)
class Tree:
    """The store's values, the records, and who changes what now."""

    env: Env
    values: Values
    records: Records
    jobs: Jobs
    #: on the disk where the store keeps its values; None: elsewhere
    folder: str | None = None
    claims: Claims = field(default_factory=Claims)

    @property
    def finder(self) -> Finder:
        return Finder(self.values, self.records, self.jobs)

    @property
    def now(self) -> int:
        """ms since 1970"""
        return int(self.env.wall() * 1000)

    async def space(self) -> Space | None:
        """Of the disk where the values go, if that is known."""
        if self.folder is None:
            return None
        return await self.env.in_thread(self.env.disk.space, self.folder)

    @asynccontextmanager
    async def changing(self, keys: Iterable[Key]) -> AsyncIterator[None]:
        """Hold keys, and all below them, for one change.

        :raises Unavailable: a job that stopped half way has to be finished first.
        """
        wanted = list(keys)
        async with self.claims.hold(wanted):
            for job in self.jobs.left():
                if any(
                    one.contains(two) or two.contains(one) for one in job.keys for two in wanted
                ):
                    raise Unavailable(reason="an earlier change is not finished")
            yield


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value would go. ``parent``: the deepest collection that is there."""

    key: Key
    parent: Key
    current: Node | None


async def existing_parent(finder: Finder, key: Key, when: When) -> Node:
    """The collection a new name would lie in. :raises Conflict: there is none, or an object."""
    namespace_rules.check_names(key)
    parent = await finder.find(key.parent, loose=when.loose)
    if parent is None:
        raise Conflict(reason="the collection it would lie in does not exist")
    if not parent.is_collection:
        raise Conflict(reason="an object is in the way: what holds it is no collection")
    return parent


async def place_of_write(finder: Finder, key: Key, when: When) -> Place:
    """Where a PUT would go.

    :raises MethodNotAllowed: a collection is there. :raises Conflict: no parent, or a final slash.
    """
    namespace_rules.check_names(key)
    current = None if key.is_root else await finder.find(key, loose=when.loose)
    if key.is_root or (current is not None and current.is_collection):
        raise MethodNotAllowed(method="PUT", allow=ON_COLLECTION)
    if current is not None:
        above = current.key.parent
    else:
        above = await _collection_above(finder, key, when)
    if key.collection:
        raise Conflict(reason="a final slash means a collection; leave it out")
    name = name_at(current, key)
    return Place(Key((*above.names, *key.names[len(above.names) : -1], name)), above, current)


async def _collection_above(finder: Finder, key: Key, when: When) -> Key:
    """The deepest collection on the way to a name that is free."""
    parent = await finder.find(key.parent, loose=when.loose)
    if parent is not None and parent.is_collection:
        return parent.key
    deepest = await finder.nearest(key, loose=when.loose)
    if not deepest.is_collection:
        raise Conflict(reason=f"{deepest.key} is an object, so nothing lies below it")
    if not when.parents:
        raise Conflict(reason="the collection it would lie in does not exist")
    return deepest.key


def name_at(current: Node | None, key: Key) -> str:
    """The stored spelling of a name wins."""
    return key.name if current is None else current.key.name


def grown_time(now: int, before: Node | None, wished: int | None = None) -> tuple[int, bool]:
    """As `namespace_rules.grown_time`; what was a collection before had no version."""
    known = None if before is None or before.is_collection else before.modified
    return namespace_rules.grown_time(now, known, wished)
