"""Locks: which there are, and whether a change may go on (DAV-34, 35, 41, 46). LOCK is `locking`.

An account has few locks, so a change reads all that live and walks up the tree from where it
happens. Without locks and If field that is one query.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from pigpen.coordinator.accounts import Principal
from pigpen.coordinator.nodes import Node, find, nearest
from pigpen.coordinator.transaction import Transaction
from pigpen.coordinator.when import When
from pigpen.errors import Locked, PigpenError, PreconditionFailed
from pigpen.http.if_header import IfField, ResourceState, parse_if
from pigpen.http.key import Key


class Lock(msgspec.Struct, frozen=True):
    """A write lock. ``infinite``: it covers all below. ``owner``: XML as sent. ``expires``: ms."""

    token: str
    node_id: int
    infinite: bool
    exclusive: bool
    principal: str
    owner: str
    expires: int


def live_locks(tx: Transaction, account_id: int) -> list[Lock]:
    """All locks of an account that have not ended."""
    rows = tx.all(
        "SELECT token, node_id, depth, exclusive, principal, owner, expires FROM locks"
        " WHERE account_id = ? AND expires > ?",
        account_id,
        tx.now,
    )
    return [
        Lock(token, node_id, bool(depth), bool(exclusive), *rest)
        for token, node_id, depth, exclusive, *rest in rows
    ]


def line_of(tx: Transaction, node_id: int) -> list[int]:
    """A node's id and those above it, up to the root."""
    rows = tx.all(
        "WITH RECURSIVE line (id, level) AS (SELECT ?, 0 UNION ALL"
        " SELECT n.parent_id, line.level + 1 FROM nodes n JOIN line ON n.id = line.id"
        " WHERE n.parent_id IS NOT NULL)"
        " SELECT id FROM line ORDER BY level",
        node_id,
    )
    return [row[0] for row in rows]


def covering(tx: Transaction, locks: Iterable[Lock], node_id: int) -> list[Lock]:
    """The locks on a node itself, and infinite ones above it."""
    line = line_of(tx, node_id)
    above = set(line)
    return [
        lock
        for lock in locks
        if lock.node_id == node_id or (lock.infinite and lock.node_id in above)
    ]


def below(tx: Transaction, locks: Iterable[Lock], node_id: int) -> list[Lock]:
    """The locks on a node and on all that lies below it."""
    return [lock for lock in locks if node_id in line_of(tx, lock.node_id)]


def check(
    tx: Transaction,
    principal: Principal,
    when: When,
    key: Key,
    changed: Sequence[Node],
    emptied: Sequence[Node] = (),
) -> None:
    """Judge the If field, then ask for the token of every lock in the way.

    :param key: what an untagged list is about. :param changed: nodes that change, or whose members
        do. :param emptied: nodes that go or move, with all below them.
    :raises BadField: the If field is malformed. :raises PreconditionFailed: it does not hold.
    :raises Locked: a token is missing, or another user's.
    """
    locks = live_locks(tx, principal.account_id)
    submitted: frozenset[str] = frozenset()
    if when.if_field is not None:
        field = parse_if(when.if_field)
        if not _holds(tx, principal, when, key, field, locks):
            raise PreconditionFailed
        submitted = field.tokens
    if not locks:
        return
    for node_id in dict.fromkeys(node.id for node in changed):
        _need_token(covering(tx, locks, node_id), submitted, when.principal)
    for node in emptied:
        for lock in below(tx, locks, node.id):
            _need_token(covering(tx, locks, lock.node_id), submitted, when.principal)


def _need_token(locks: Sequence[Lock], submitted: frozenset[str], principal: str) -> None:
    """One token is enough, as several locks on one node are shared ones."""
    if locks and not any(lock.token in submitted and lock.principal == principal for lock in locks):
        raise Locked


def _holds(
    tx: Transaction,
    principal: Principal,
    when: When,
    key: Key,
    field: IfField,
    locks: Sequence[Lock],
) -> bool:
    def state_of(tag: str | None) -> ResourceState | None:
        named = key if tag is None else key_of_tag(principal.login, tag)
        if named is None:
            return None
        node = find(tx, principal.root_id, named, loose=when.loose)
        if node is not None:
            return ResourceState(node.etag, _tokens(covering(tx, locks, node.id)))
        # a name that is free is covered by infinite locks only
        above = nearest(tx, principal.root_id, named, loose=when.loose)
        infinite = [lock for lock in locks if lock.infinite]
        return ResourceState(None, _tokens(covering(tx, infinite, above.id)))

    return field.holds(state_of)


def _tokens(locks: Iterable[Lock]) -> frozenset[str]:
    return frozenset(lock.token for lock in locks)


def key_of_tag(login: str, tag: str) -> Key | None:
    """The key that a resource tag of an If field names: an API path or URI (DAV-6).

    :return: None: it is not ours, so nothing matches it.
    """
    path = tag
    if not path.startswith("/"):
        _, found, rest = path.partition("://")
        _, slash, path = rest.partition("/")
        if not found or not slash:
            return None
        path = "/" + path
    try:
        whole = Key.from_path(path)
        return whole.below(2) if whole.names[:2] == ("api", login) else None
    except PigpenError:
        return None


# -- when nodes go or change names ----------------------------------------------------------------


def end_below(tx: Transaction, account_id: int, node: Node, *, keep: bool = False) -> None:
    """End the locks on a node that goes or moves, and on all below it (DAV-47).

    :param keep: not those on the node itself: `inherit` gives them to what takes its name.
    """
    for lock in below(tx, live_locks(tx, account_id), node.id):
        if not keep or lock.node_id != node.id:
            tx.run("DELETE FROM locks WHERE token = ?", lock.token)


def inherit(tx: Transaction, old_id: int, new_id: int) -> None:
    """A lock on a name that is written over stays."""
    tx.run("UPDATE locks SET node_id = ? WHERE node_id = ?", new_id, old_id)
