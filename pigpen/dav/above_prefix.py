"""AbovePrefix: what lies above the prefix of a face: collections that lead to it (DAV-65).

Windows asks the root of a server before it mounts a folder of it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

from pigpen.errors import Forbidden, MethodNotAllowed, NotFound, PreconditionFailed
from pigpen.http.body import Body
from pigpen.http.if_header import ResourceState
from pigpen.http.key import Key
from pigpen.http.namespace import (
    NOTHING,
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


class AbovePrefix:
    """A read-only namespace: nothing but the collections above a prefix."""

    abilities: frozenset[Ability] = frozenset()

    def __init__(self, prefix: Key) -> None:
        self._prefix = prefix

    def _node(self, depth: int, want: Want) -> Node:
        return Node(
            Key(self._prefix.names[:depth], True),
            modified=0,
            properties=() if want.properties or want.names else None,
            locks=() if want.locks else None,
        )

    async def stat(self, key: Key, want: Want = NOTHING) -> Node:
        if not key.contains(self._prefix):
            raise NotFound
        return self._node(len(key.names), want)

    async def list(
        self, key: Key, *, deep: bool = False, want: Want = NOTHING, after: str = ""
    ) -> AsyncGenerator[Node, None]:
        await self.stat(key)
        member = self._node(len(key.names) + 1, want)
        if member.key.name + "/" > after:
            yield member

    async def open(self, key: Key) -> Reading:
        await self.stat(key)
        raise MethodNotAllowed(method="GET", allow="")

    async def check(self, key: Key, when: When) -> None:
        field = when.if_field
        if field is not None and not field.holds(lambda _: ResourceState(None, frozenset())):
            raise PreconditionFailed

    async def quota(self, key: Key) -> Quota:
        await self.stat(key)
        return Quota(0)

    # -- nothing changes here ---------------------------------------------------------------------

    async def write(self, key: Key, body: Body, meta: WriteMeta, when: When) -> Written:
        raise _fixed()

    async def make_collection(self, key: Key, changes: Changes, when: When) -> None:
        raise _fixed()

    async def change_properties(
        self, key: Key, changes: Changes, when: When, modified: int | None = None
    ) -> None:
        raise _fixed()

    async def delete(self, key: Key, when: When) -> None:
        raise _fixed()

    async def copy(
        self, source: Key, destination: Key, *, deep: bool, overwrite: bool, when: When
    ) -> bool:
        raise _fixed()

    async def move(self, source: Key, destination: Key, *, overwrite: bool, when: When) -> bool:
        raise _fixed()

    async def lock(self, key: Key, wish: LockWish, when: When) -> tuple[Lock, bool]:
        raise _fixed()

    async def refresh(self, key: Key, seconds: int, when: When) -> Lock:
        raise _fixed()

    async def unlock(self, key: Key, token: str, when: When) -> None:
        raise _fixed()


def _fixed() -> Forbidden:
    return Forbidden(reason="nothing can be changed above the collection that is served")


_is_namespace: type[Namespace] = AbovePrefix
