"""LOCK, its refresh, and UNLOCK."""

from __future__ import annotations

import msgspec

from pigpen.http.body import BytesBody
from pigpen.http.key import Key
from pigpen.http.message import Headers
from pigpen.http.namespace import Lock, LockWish, Node, When
from pigpen.stores.sidecar import lock_rows, preconditions
from pigpen.stores.sidecar.names import place_of
from pigpen.stores.sidecar.tree import Tree, place_of_write
from pigpen.stores.sidecar.writing import put_entry


async def lock(tree: Tree, key: Key, wish: LockWish, when: When) -> tuple[Lock, bool]:
    """The whole of `Namespace.lock`."""
    finder = tree.finder
    async with tree.changing([key, *preconditions.tagged_keys(when)]):
        node = await finder.find(key, loose=when.loose)
        if node is None:
            return await _lock_free_name(tree, key, wish, when)
        node = await _judged(tree, key, when)
        return await tree.records.write(lock_rows.take, node.key, wish, when.principal), False


async def _lock_free_name(tree: Tree, key: Key, wish: LockWish, when: When) -> tuple[Lock, bool]:
    """It becomes an empty object, which stays when the lock ends (DAV-42)."""
    finder = tree.finder
    terms = msgspec.structs.replace(when, parents=False)
    place = await place_of_write(finder, key, terms)
    preconditions.check_node(terms, "PUT", None)
    await preconditions.check_if(finder, key, terms)
    await preconditions.check_locks(finder, terms, [place.parent])
    await tree.records.read(lock_rows.check_free, place.key, wish)
    etag = await tree.values.put(place.key, BytesBody(), Headers())
    await tree.records.write(put_entry, place.key, etag, None, None)
    return await tree.records.write(lock_rows.take, place.key, wish, when.principal), True


async def refresh(tree: Tree, key: Key, seconds: int, when: When) -> Lock:
    """The whole of `Namespace.refresh`."""
    async with tree.changing([key, *preconditions.tagged_keys(when)]):
        node = await _judged(tree, key, when)
        tokens = frozenset[str]() if when.if_field is None else when.if_field.tokens
        return await tree.records.write(
            lock_rows.renew, place_of(node.key), tokens, when.principal, seconds
        )


async def unlock(tree: Tree, key: Key, token: str, when: When) -> None:
    """The whole of `Namespace.unlock`."""
    async with tree.changing([key, *preconditions.tagged_keys(when)]):
        node = await _judged(tree, key, when)
        await tree.records.write(lock_rows.end, place_of(node.key), token, when.principal)


async def _judged(tree: Tree, key: Key, when: When) -> Node:
    """What is there, if the conditions hold; these methods change nothing that a lock protects."""
    node = await tree.finder.get(key, loose=when.loose)
    preconditions.check_node(when, "LOCK", node)
    await preconditions.check_if(tree.finder, key, when)
    return node
