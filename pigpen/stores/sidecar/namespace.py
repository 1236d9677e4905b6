"""SidecarNamespace: any store that can get, put, delete and list, as a Namespace (DAV-7)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from pigpen.env import Env
from pigpen.errors import ConfigError, MethodNotAllowed, NotFound
from pigpen.http.body import Body
from pigpen.http.key import Key
from pigpen.http.message import Capability, Store
from pigpen.http.namespace import (
    NOTHING,
    ON_COLLECTION,
    Ability,
    Changes,
    Lock,
    LockWish,
    Namespace,
    Node,
    Quota,
    Reading,
    Want,
    When,
    WriteMeta,
    Written,
)
from pigpen.stores.sidecar import (
    jobs,
    locking,
    preconditions,
    record_changes,
    tree_changes,
    writing,
)
from pigpen.stores.sidecar.jobs import Jobs
from pigpen.stores.sidecar.listing import members
from pigpen.stores.sidecar.reading import ValueReading
from pigpen.stores.sidecar.records import Records
from pigpen.stores.sidecar.tree import Tree
from pigpen.stores.sidecar.values import Values
from pigpen.stores.sidecar.worker import Worker

T = TypeVar("T")

log = Logger()

NEEDED: Final = frozenset({Capability.GET, Capability.PUT, Capability.DELETE, Capability.LIST})

ABILITIES: Final = frozenset({Ability.LOCKS, Ability.PROPERTIES, Ability.MODIFIED, Ability.SUBTREE})


class SidecarNamespace:
    """One tree over one store. `start` it before use; `close` returns when all is at rest."""

    def __init__(
        self, env: Env, store: Store, records: Records, *, folder: str | None = None
    ) -> None:
        """:param folder: on the disk where the store keeps its values, for its free space."""
        self.abilities = ABILITIES if folder is None else ABILITIES | {Ability.QUOTA}
        self._store = store
        self._tree = Tree(env, Values(store), records, Jobs(), folder)
        self._worker = Worker(self._tree)
        #: what goes on though who asked has left
        self._owned: set[Deferred[Any]] = set()

    @property
    def note(self) -> str:
        """What `explain` says of it."""
        return (
            "Locks and conditions hold among the users of this gateway;"
            " whoever writes to the store by another way bypasses them."
        )

    async def start(self) -> None:
        """Finish or undo what the last run left half done.

        :raises ConfigError: the store cannot do what a namespace needs.
        """
        missing = NEEDED - self._store.capabilities
        if missing:
            names = ", ".join(sorted(one.value for one in missing))
            raise ConfigError(path="the store", reason=f"it cannot {names}, so it has no tree")
        for job in await self._tree.records.read(jobs.load):
            self._tree.jobs.set(job)
        await self._settle()

    async def close(self) -> None:
        """Wait for what is under way, then close the records."""
        while self._owned:
            await _watched(next(iter(self._owned)))
        await self._tree.records.close()

    # -- reading ----------------------------------------------------------------------------------

    async def stat(self, key: Key, want: Want = NOTHING) -> Node:
        return await self._tree.finder.get(key, want, loose=True)

    async def list(
        self, key: Key, *, deep: bool = False, want: Want = NOTHING, after: str = ""
    ) -> AsyncGenerator[Node, None]:
        node = await self.stat(key)
        if not node.is_collection:
            raise NotFound
        listing = members(self._tree.finder, node.key, deep=deep, want=want, after=after)
        async with aclosing(listing) as nodes:
            async for member in nodes:
                yield member

    async def open(self, key: Key) -> Reading:
        opened = await self._tree.finder.open(key)
        if opened is None:
            node = await self.stat(key)
            if node.is_collection:
                raise MethodNotAllowed(method="GET", allow=ON_COLLECTION)
            opened = await self._tree.finder.open(node.key)
        if opened is None:
            raise NotFound
        return ValueReading(self._tree.values, *opened)

    async def quota(self, key: Key) -> Quota:
        await self.stat(key)
        space = await self._tree.space()
        return Quota(0) if space is None else Quota(space.total - space.free, space.free)

    # -- changing ---------------------------------------------------------------------------------

    async def check(self, key: Key, when: When) -> None:
        await preconditions.check_if(self._tree.finder, key, when)

    async def write(self, key: Key, body: Body, meta: WriteMeta, when: When) -> Written:
        await self._settle()
        return await writing.write(self._tree, key, body, meta, when)

    async def make_collection(self, key: Key, changes: Changes, when: When) -> None:
        await self._settle()
        await record_changes.make_collection(self._tree, key, changes, when)

    async def change_properties(
        self, key: Key, changes: Changes, when: When, modified: int | None = None
    ) -> None:
        await self._settle()
        await record_changes.change_properties(self._tree, key, changes, when, modified)

    async def delete(self, key: Key, when: When) -> None:
        await self._settle()
        await self._own(tree_changes.delete(self._tree, self._worker, key, when))

    async def copy(
        self, source: Key, destination: Key, *, deep: bool, overwrite: bool, when: When
    ) -> bool:
        await self._settle()
        return await self._own(
            tree_changes.copy(
                self._tree, self._worker, source, destination,
                deep=deep, overwrite=overwrite, when=when,
            )
        )  # fmt: skip

    async def move(self, source: Key, destination: Key, *, overwrite: bool, when: When) -> bool:
        await self._settle()
        return await self._own(
            tree_changes.move(
                self._tree, self._worker, source, destination, overwrite=overwrite, when=when
            )
        )

    # -- locks ------------------------------------------------------------------------------------

    async def lock(self, key: Key, wish: LockWish, when: When) -> tuple[Lock, bool]:
        await self._settle()
        return await locking.lock(self._tree, key, wish, when)

    async def refresh(self, key: Key, seconds: int, when: When) -> Lock:
        await self._settle()
        return await locking.refresh(self._tree, key, seconds, when)

    async def unlock(self, key: Key, token: str, when: When) -> None:
        await self._settle()
        await locking.unlock(self._tree, key, token, when)

    # -- what goes on by itself -------------------------------------------------------------------

    async def _settle(self) -> None:
        if self._tree.jobs.left():
            await self._own(self._worker.settle())

    async def _own(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it to its end, even if who waits for it is cancelled."""
        running = Deferred.fromCoroutine(work)
        self._owned.add(running)
        running.addBoth(self._disowned, running)  # type: ignore[unused-awaitable]
        return await _watched(running)

    def _disowned(self, result: Any, running: Deferred[Any]) -> Any:
        self._owned.discard(running)
        return result


def _watched(running: Deferred[T]) -> Deferred[T]:
    """Fires as another Deferred does; cancelling it leaves the other alone."""

    def tell(result: Any) -> None:
        if not watcher.called:
            watcher.callback(result)
        elif isinstance(result, Failure):
            log.error("a change failed when nobody waited: {error}", error=result.value)

    watcher: Deferred[T] = Deferred(lambda _: None)
    running.addBoth(tell)  # type: ignore[unused-awaitable]
    return watcher


_is_namespace: type[Namespace] = SidecarNamespace
