"""MKCOL and PROPPATCH: changes of the records alone."""

from __future__ import annotations

from pigpen.database.transaction import Transaction
from pigpen.errors import MethodNotAllowed
from pigpen.http.key import Key
from pigpen.http.namespace import ON_COLLECTION, Changes, Node, When
from pigpen.stores.sidecar import entry_rows, preconditions
from pigpen.stores.sidecar.entry_rows import Entry
from pigpen.stores.sidecar.names import name_of
from pigpen.stores.sidecar.tree import Tree, existing_parent, grown_time


async def make_collection(tree: Tree, key: Key, changes: Changes, when: When) -> None:
    """The whole of `Namespace.make_collection`."""
    finder = tree.finder
    async with tree.changing([key, *preconditions.tagged_keys(when)]):
        if await finder.find(key, loose=when.loose) is not None:
            raise MethodNotAllowed(method="MKCOL", allow=ON_COLLECTION)
        parent = await existing_parent(finder, key, when)
        preconditions.check_node(when, "MKCOL", None)
        await preconditions.check_if(finder, key, when)
        await preconditions.check_locks(finder, when, [parent.key])
        made = Key((*parent.key.names, key.name), True)
        await tree.records.write(_make, name_of(parent.key), name_of(made), changes)


def _make(tx: Transaction, parent: str, name: str, changes: Changes) -> None:
    entry_rows.forget(tx, name)
    entry_rows.put(tx, Entry(name, None, tx.now, tx.now))
    entry_rows.touch(tx, parent)
    entry_rows.change_properties(tx, name, changes)


async def change_properties(
    tree: Tree, key: Key, changes: Changes, when: When, modified: int | None
) -> None:
    """The whole of `Namespace.change_properties`."""
    finder = tree.finder
    async with tree.changing([key, *preconditions.tagged_keys(when)]):
        node = await finder.get(key, loose=when.loose)
        preconditions.check_node(when, "PROPPATCH", node)
        await preconditions.check_if(finder, key, when)
        await preconditions.check_locks(finder, when, [node.key])
        await tree.records.write(_change, node, changes, modified)


def _change(tx: Transaction, node: Node, changes: Changes, modified: int | None) -> None:
    name = name_of(node.key)
    times = (node.modified, node.same_second)
    if modified is not None:
        times = grown_time(tx.now, node, modified)
    if node.is_collection:
        entry_rows.keep_collections(tx, name)
    created = tx.now if node.created is None else node.created
    entry_rows.put(tx, Entry(name, node.etag, created, *times))
    entry_rows.change_properties(tx, name, changes)
