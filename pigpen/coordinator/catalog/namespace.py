"""The namespace: what may happen to keys and collections (CLD-10 to CLD-13). Rules, no HTTP.

Each rule refuses in one order: what is there (404, 405, 409, 403), conditions (412), locks (423),
quota (507); then it changes everything it says, or nothing.
"""

from __future__ import annotations

from typing import Final

from pigpen.coordinator.catalog import copying, key_lengths, locks, properties
from pigpen.coordinator.catalog.accounts import Principal, check_quota, count_change
from pigpen.coordinator.catalog.nodes import (
    DETACHED,
    Node,
    child,
    detach,
    end_version,
    find,
    grown_time,
    insert_node,
    nearest,
    node_by_id,
    touch,
)
from pigpen.database.transaction import Transaction
from pigpen.errors import (
    Conflict,
    Forbidden,
    MethodNotAllowed,
    NotFound,
    PreconditionFailed,
)
from pigpen.http.key import Key
from pigpen.http.namespace import ALWAYS, ON_COLLECTION, Changes, When, check_conditions
from pigpen.http.namespace_rules import check_names

#: rows a sweep handles at a time
PAGE: Final = 1000


def resolve(tx: Transaction, principal: Principal, key: Key, *, loose: bool = False) -> Node:
    """What a key names now. A collection is found without its slash too, an object not with one.

    :raises NotFound: nothing, or an object where the key ends in a slash.
    """
    node = find(tx, principal.root_id, key, loose=loose)
    if node is None:
        raise NotFound
    check_slash(key, node)
    return node


def check_slash(key: Key, node: Node) -> None:
    """:raises NotFound: it is an object, and the key that found it ends in a slash."""
    if key.collection and not node.is_collection:
        raise NotFound


# -- where something new would go -----------------------------------------------------------------


def existing_parent(tx: Transaction, principal: Principal, key: Key, when: When) -> Node:
    """The collection a new name would lie in. :raises Conflict: there is none, or an object."""
    check_names(key)
    parent = find(tx, principal.root_id, key.parent, loose=when.loose)
    if parent is None:
        raise Conflict(reason="the collection it would lie in does not exist")
    if not parent.is_collection:
        raise Conflict(reason="an object is in the way: what holds it is no collection")
    return parent


def member(tx: Transaction, parent: Node, name: str, when: When) -> Node | None:
    """What a collection holds under a name, in any spelling if `when` is loose."""
    found = child(tx, parent, name)
    if found is None and when.loose:
        nearby = nearest(tx, parent.id, Key((name,)), loose=True)
        if nearby.id != parent.id:
            return child(tx, parent, nearby.key.name)
    return found


def place_of_write(
    tx: Transaction, principal: Principal, key: Key, when: When
) -> tuple[Node, Node | None]:
    """Where a PUT would go.

    :return: the collection, or the deepest one that exists if the PUT makes the others; and what
        is replaced.
    :raises MethodNotAllowed: a collection is there. :raises Conflict: no parent, or a final slash.
    """
    check_names(key)
    parent = None if key.is_root else find(tx, principal.root_id, key.parent, loose=when.loose)
    if parent is None or not parent.is_collection:
        parent = nearest(tx, principal.root_id, key, loose=when.loose)
        if not parent.is_collection:
            raise Conflict(reason=f"{parent.key} is an object, so nothing lies below it")
        if len(parent.key.names) == len(key.names):
            raise MethodNotAllowed(method="PUT", allow=ON_COLLECTION)
        if not when.parents:
            raise Conflict(reason="the collection it would lie in does not exist")
        current = None
    else:
        current = member(tx, parent, key.name, when)
    if current is not None and current.is_collection:
        raise MethodNotAllowed(method="PUT", allow=ON_COLLECTION)
    if key.collection:
        raise Conflict(reason="a final slash means a collection; leave it out")
    return parent, current


def make_parents(tx: Transaction, principal: Principal, key: Key, deepest: Node) -> int:
    """Make the missing collections above a key; the id of the one it lies in."""
    parent_id = deepest.id
    for name in key.names[len(deepest.key.names) : -1]:
        below = insert_node(tx, principal.account_id, parent_id, name)
        touch(tx, parent_id)
        parent_id = below
    return parent_id


# -- methods --------------------------------------------------------------------------------------


def make_collection(
    tx: Transaction,
    principal: Principal,
    key: Key,
    when: When = ALWAYS,
    wishes: Changes = (),
) -> Node:
    """MKCOL: 201, with its first properties.

    :raises MethodNotAllowed: something is there. :raises Conflict: no parent.
    """
    if find(tx, principal.root_id, key, loose=when.loose) is not None:
        raise MethodNotAllowed(method="MKCOL", allow=ON_COLLECTION)
    parent = existing_parent(tx, principal, key, when)
    check_conditions(when, "MKCOL", None)
    locks.check(tx, principal, when, key, [parent])
    number = insert_node(tx, principal.account_id, parent.id, key.name)
    touch(tx, parent.id)
    properties.apply(tx, principal.account_id, number, wishes)
    node = node_by_id(tx, number, Key((*parent.key.names, key.name), True))
    assert node is not None
    return node


def delete(tx: Transaction, principal: Principal, key: Key, when: When = ALWAYS) -> None:
    """DELETE: 204. A collection goes at once with all it holds; `sweep` frees the space.

    :raises NotFound: nothing there. :raises Forbidden: the root stays.
    """
    node = resolve(tx, principal, key, loose=when.loose)
    if node.parent_id is None:
        raise Forbidden(reason="the root of an account cannot be deleted")
    check_conditions(when, "DELETE", node.validators)
    locks.check(tx, principal, when, key, [node, _parent_of(tx, node)], [node])
    remove(tx, principal.account_id, node)
    touch(tx, node.parent_id)


def change_properties(
    tx: Transaction,
    principal: Principal,
    key: Key,
    changes: Changes,
    when: When = ALWAYS,
    modified: int | None = None,
) -> Node:
    """PROPPATCH: all changes or none.

    :param modified: Last-Modified it gets, ms (DAV-53); None: it stays.
    :raises NotFound: nothing there.
    """
    node = resolve(tx, principal, key, loose=when.loose)
    check_conditions(when, "PROPPATCH", node.validators)
    locks.check(tx, principal, when, key, [node])
    properties.apply(tx, principal.account_id, node.id, changes)
    if modified is not None:
        times = grown_time(tx, node, modified)
        tx.run("UPDATE nodes SET modified = ?, same_second = ? WHERE id = ?", *times, node.id)
    changed = node_by_id(tx, node.id, node.key)
    assert changed is not None
    return changed


def move(
    tx: Transaction,
    principal: Principal,
    source: Key,
    destination: Key,
    *,
    overwrite: bool = True,
    when: When = ALWAYS,
) -> bool:
    """MOVE: one row, however much lies below.

    :return: whether the destination was new (201, else 204).
    :raises Forbidden: onto or into itself, or onto an ancestor, or see `key_lengths`.
    :raises Conflict: no parent there.
    :raises PreconditionFailed: it exists and may not be overwritten.
    """
    node, parent, replaced = _transfer(tx, principal, source, destination, overwrite, when)
    if node.parent_id is None or _lies_below(tx, parent.id, node.id):
        raise Forbidden(reason="a collection cannot be moved into itself")
    name = destination.name if replaced is None else replaced.key.name
    key_lengths.check_move(tx, node, parent.key.child(name))
    left = _parent_of(tx, node)
    changed = [node, left, parent] if replaced is None else [node, left, parent, replaced]
    locks.check(tx, principal, when, source, changed, [node, *_present(replaced)])
    locks.end_below(tx, principal.account_id, node)
    if replaced is not None:
        remove(tx, principal.account_id, replaced, keep_locks=True)
        locks.inherit(tx, principal.account_id, replaced.id, node.id)
    _rename(tx, node, parent, name, replaced)
    touch(tx, node.parent_id)
    touch(tx, parent.id)
    return replaced is None


def copy(
    tx: Transaction,
    principal: Principal,
    source: Key,
    destination: Key,
    *,
    deep: bool = True,
    overwrite: bool = True,
    when: When = ALWAYS,
) -> bool:
    """COPY: new names for the same blobs.

    :param deep: Depth infinity; else a collection's members are left out.
    :return: whether the destination was new (201, else 204).
    :raises Forbidden: as `move`, or see `measure`. :raises QuotaExceeded: by the copies.
    """
    node, parent, replaced = _transfer(tx, principal, source, destination, overwrite, when)
    if deep and _lies_below(tx, parent.id, node.id):
        raise Forbidden(reason="a collection cannot be copied into itself")
    length = copying.measure(tx, node, destination, deep=deep)
    locks.check(tx, principal, when, source, [parent, *_present(replaced)], _present(replaced))
    check_quota(tx, principal.account_id, length - (replaced.length if replaced else 0))
    name = destination.name if replaced is None else replaced.key.name
    if replaced is not None:
        remove(tx, principal.account_id, replaced, keep_locks=True)
    made = copying.copy_node(tx, principal.account_id, node, (parent.id, name), replaced)
    if replaced is not None:
        locks.inherit(tx, principal.account_id, replaced.id, made)
    if node.is_collection and deep:
        copying.copy_members(tx, principal.account_id, node.id, made)
    touch(tx, parent.id)
    return replaced is None


def _transfer(
    tx: Transaction,
    principal: Principal,
    source: Key,
    destination: Key,
    overwrite: bool,
    when: When,
) -> tuple[Node, Node, Node | None]:
    """What MOVE and COPY have in common: source, new parent, and what is replaced."""
    node = resolve(tx, principal, source, loose=when.loose)
    if destination.is_root:
        raise Forbidden(reason="the root of an account cannot be replaced")
    parent = existing_parent(tx, principal, destination, when)
    replaced = member(tx, parent, destination.name, when)
    if replaced is not None:
        if replaced.id == node.id:
            raise Forbidden(reason="source and destination are the same")
        if _lies_below(tx, node.id, replaced.id):
            raise Forbidden(reason="the destination holds the source")
    check_conditions(when, "MOVE", node.validators)
    if replaced is not None and not overwrite:
        raise PreconditionFailed
    return node, parent, replaced


def _present(node: Node | None) -> list[Node]:
    return [] if node is None else [node]


def _parent_of(tx: Transaction, node: Node) -> Node:
    assert node.parent_id is not None
    parent = node_by_id(tx, node.parent_id, node.key.parent)
    assert parent is not None
    return parent


def _lies_below(tx: Transaction, node_id: int, above_id: int) -> bool:
    """Whether a node is another one, or lies below it."""
    return above_id in locks.line_of(tx, node_id)


# -- removing -------------------------------------------------------------------------------------


def remove(tx: Transaction, account_id: int, node: Node, *, keep_locks: bool = False) -> None:
    """Take a node out of the tree, with its locks and properties.

    :param keep_locks: another node takes the name over: locks on the name itself stay (DAV-47).
    """
    locks.end_below(tx, account_id, node, keep=keep_locks)
    if node.is_collection:
        detach(tx, node.id)
    else:
        _remove_object(tx, account_id, node.id, node.version_id, node.length)


def _remove_object(
    tx: Transaction, account_id: int, node_id: int, version_id: int | None, length: int
) -> None:
    assert version_id is not None
    end_version(tx, version_id)
    tx.run("DELETE FROM nodes WHERE id = ?", node_id)
    properties.remove(tx, account_id, node_id)
    count_change(tx, account_id, used=-length, objects=-1)


def sweep(tx: Transaction, limit: int = PAGE) -> int:
    """Remove what lies in deleted collections, up to about `limit` rows.

    :return: how many rows were handled; 0: nothing waits. Call it again until then.
    """
    handled = 0
    while handled < limit:
        top = tx.one("SELECT id, account_id FROM nodes WHERE parent_id = ? LIMIT 1", DETACHED)
        if top is None:
            break
        handled += _sweep_members(tx, top[0], limit - handled)
        if tx.one("SELECT 1 FROM nodes WHERE parent_id = ? LIMIT 1", top[0]) is None:
            tx.run("DELETE FROM nodes WHERE id = ?", top[0])
            properties.remove(tx, top[1], top[0])
            handled += 1
    return handled


def _sweep_members(tx: Transaction, collection_id: int, limit: int) -> int:
    rows = tx.all(
        "SELECT n.id, n.account_id, n.version_id, b.length FROM nodes n"
        " LEFT JOIN versions v ON v.id = n.version_id LEFT JOIN blobs b ON b.id = v.blob_id"
        " WHERE n.parent_id = ? LIMIT ?",
        collection_id,
        limit,
    )
    for node_id, account_id, version_id, length in rows:
        if version_id is None:
            detach(tx, node_id)
        else:
            _remove_object(tx, account_id, node_id, version_id, length)
    return len(rows)


# -- moving and copying rows ----------------------------------------------------------------------


def _rename(tx: Transaction, node: Node, parent: Node, name: str, replaced: Node | None) -> None:
    raw = name.encode()
    same_second = node.same_second
    if replaced is not None and not replaced.is_collection:
        same_second = same_second or node.modified // 1000 == replaced.modified // 1000
    tx.run(
        "UPDATE nodes SET parent_id = ?, name = ?, sort_name = ?, same_second = ? WHERE id = ?",
        parent.id,
        raw,
        raw + b"/" if node.is_collection else raw,
        same_second,
        node.id,
    )
