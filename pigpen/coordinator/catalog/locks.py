"""Locks: which there are, and whether a change may go on (DAV-34, 35, 41, 46). LOCK is `locking`.

A change looks up the locks on a node and above it, by index, however many there are elsewhere. An
account without locks costs one look. Only what takes a whole collection away reads all its locks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from pigpen.coordinator.catalog.accounts import Principal
from pigpen.coordinator.catalog.nodes import Node, find, nearest
from pigpen.database.transaction import LAST_ID, Row, Transaction
from pigpen.errors import Locked, PreconditionFailed
from pigpen.http.if_header import IfField, ResourceState
from pigpen.http.key import Key
from pigpen.http.namespace import When
from pigpen.http.namespace_rules import in_the_way


class LockRow(msgspec.Struct, frozen=True):
    """A write lock. ``infinite``: it covers all below. ``owner``: XML as sent. ``expires``: ms."""

    token: str
    node_id: int
    infinite: bool
    exclusive: bool
    principal: str
    owner: str
    expires: int


_COLUMNS = "l.token, l.node_id, l.depth, l.exclusive, l.principal, l.owner, l.expires"
#: of an owner: all of them together may have 640 MB
OWNER_CHARACTERS = 200
_BRIEF = _COLUMNS.replace("l.owner", f"substr(l.owner, 1, {OWNER_CHARACTERS})")
_ALL = (
    f"SELECT {_BRIEF} FROM locks l"  # noqa: S608  # own constants
    " WHERE account_id = ? AND token > ? AND expires > ? ORDER BY token LIMIT ?"
)
_ALL_PLACES = (
    f"SELECT {_BRIEF}, n.parent_id FROM locks l"  # noqa: S608  # own constants
    " JOIN nodes n ON n.id = l.node_id WHERE l.account_id = ? AND l.expires > ? ORDER BY l.token"
)
_BY_TOKEN = f"SELECT {_COLUMNS} FROM locks l WHERE token = ? AND expires > ?"  # noqa: S608
_LINE = (
    "WITH RECURSIVE line (id, level) AS (SELECT ?, 0 UNION ALL"
    " SELECT n.parent_id, line.level + 1 FROM nodes n JOIN line ON n.id = line.id"
    " WHERE n.parent_id IS NOT NULL)"
)
_LINE_IDS = _LINE + " SELECT id FROM line ORDER BY level"  # noqa: S608  # own constants
_LINE_NAMES = (
    f"{_LINE} SELECT n.name, n.version_id FROM line JOIN nodes n ON n.id = line.id"  # noqa: S608
    " ORDER BY level"
)
_COVERING = (
    f"{_LINE} SELECT {_COLUMNS} FROM line CROSS JOIN locks l"  # noqa: S608
    " WHERE l.node_id = line.id AND (line.level = 0 OR l.depth = 1) AND l.expires > ?"
    " ORDER BY line.level, l.token"
)


def _lock(row: Row) -> LockRow:
    token, node_id, depth, exclusive, *rest = row
    return LockRow(token, node_id, bool(depth), bool(exclusive), *rest)


def live_locks(
    tx: Transaction, account_id: int, after: str = "", limit: int = LAST_ID
) -> list[LockRow]:
    """All locks of an account that have not ended, by token; of their owners, the beginning.

    :param after: a token, exclusive. :param limit: as many at most.
    """
    return [_lock(row) for row in tx.all(_ALL, account_id, after, tx.now, limit)]


def has_locks(tx: Transaction, account_id: int) -> bool:
    """Whether an account may have any."""
    return tx.one("SELECT 1 FROM locks WHERE account_id = ? LIMIT 1", account_id) is not None


def by_token(tx: Transaction, token: str) -> LockRow | None:
    """A lock that has not ended, wherever it is."""
    row = tx.one(_BY_TOKEN, token, tx.now)
    return None if row is None else _lock(row)


def line_of(tx: Transaction, node_id: int) -> list[int]:
    """A node's id and those above it, up to the root."""
    return [row[0] for row in tx.all(_LINE_IDS, node_id)]


def covering(tx: Transaction, node_id: int) -> list[LockRow]:
    """The locks on a node itself, and infinite ones above it, the nearest first."""
    return [_lock(row) for row in tx.all(_COVERING, node_id, tx.now)]


def below(tx: Transaction, account_id: int, node: Node) -> list[LockRow]:
    """The locks on a node and on all that lies below it; of their owners, the beginning."""
    if not node.is_collection:
        return [lock for lock in covering(tx, node.id) if lock.node_id == node.id]
    # many locks lie in few collections
    inside: dict[int | None, bool] = {None: False}
    found: list[LockRow] = []
    for *row, parent_id in tx.all(_ALL_PLACES, account_id, tx.now):
        if parent_id not in inside:
            inside[parent_id] = node.id in line_of(tx, parent_id)
        if inside[parent_id] or row[1] == node.id:
            found.append(_lock(tuple(row)))
    return found


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
    :raises PreconditionFailed: the If field does not hold.
    :raises Locked: a token is missing, or another user's; its fact ``roots`` has their keys.
    """
    submitted = check_if(tx, principal, when, key)
    if not (changed or emptied) or not has_locks(tx, principal.account_id):
        return
    locked = [node.id for node in changed]
    for node in emptied:
        locked += [lock.node_id for lock in below(tx, principal.account_id, node)]
    missing = [
        lock
        for node_id in dict.fromkeys(locked)
        for lock in in_the_way(covering(tx, node_id), submitted, when.principal)
    ]
    if missing:
        raise Locked(roots=roots_of(tx, missing))


def check_if(tx: Transaction, principal: Principal, when: When, key: Key) -> frozenset[str]:
    """Judge the If field.

    :return: the tokens it submits. :raises PreconditionFailed: it does not hold.
    """
    if when.if_field is None:
        return frozenset()
    if not _holds(tx, principal, when, key, when.if_field):
        raise PreconditionFailed
    return when.if_field.tokens


def roots_of(tx: Transaction, locks: Iterable[LockRow]) -> tuple[Key, ...]:
    """Where locks were taken: what a 423 names."""
    return tuple(key_of(tx, node_id) for node_id in dict.fromkeys(at.node_id for at in locks))


def key_of(tx: Transaction, node_id: int) -> Key:
    """The key that leads to a node now."""
    rows = tx.all(_LINE_NAMES, node_id)
    names = tuple(name.decode() for name, _ in reversed(rows[:-1]))
    return Key(names, rows[0][1] is None)


def _holds(tx: Transaction, principal: Principal, when: When, key: Key, field: IfField) -> bool:
    def state_of(tag: str | None) -> ResourceState | None:
        named = key if tag is None else tag and Key.from_path(tag)
        if not named:
            return None
        node = find(tx, principal.root_id, named, loose=when.loose)
        if node is not None:
            return ResourceState(node.etag, _tokens(covering(tx, node.id)))
        # a name that is free is covered by infinite locks only
        above = nearest(tx, principal.root_id, named, loose=when.loose)
        infinite = [lock for lock in covering(tx, above.id) if lock.infinite]
        return ResourceState(None, _tokens(infinite))

    return field.holds(state_of)


def _tokens(locks: Iterable[LockRow]) -> frozenset[str]:
    return frozenset(lock.token for lock in locks)


# -- when nodes go or change names ----------------------------------------------------------------


def end_below(tx: Transaction, account_id: int, node: Node, *, keep: bool = False) -> None:
    """End the locks on a node that goes or moves, and on all below it (DAV-47).

    :param keep: not those on the node itself: `inherit` gives them to what takes its name.
    """
    if not has_locks(tx, account_id):
        return
    for lock in below(tx, account_id, node):
        if not keep or lock.node_id != node.id:
            drop(tx, account_id, lock.token)


def drop(tx: Transaction, account_id: int, token: str) -> bool:
    """End a lock of an account. :return: whether there was one."""
    if not tx.run("DELETE FROM locks WHERE token = ? AND account_id = ?", token, account_id):
        return False
    tx.run("UPDATE accounts SET locks = locks - 1 WHERE id = ?", account_id)
    return True


def forget_locks(tx: Transaction, limit: int = 1000) -> int:
    """Drop locks that have ended; how many."""
    rows = tx.all("SELECT account_id, token FROM locks WHERE expires <= ? LIMIT ?", tx.now, limit)
    for account_id, token in rows:
        drop(tx, account_id, token)
    return len(rows)


def inherit(tx: Transaction, account_id: int, old_id: int, new_id: int) -> None:
    """A lock on a name that is written over stays."""
    if has_locks(tx, account_id):
        tx.run("UPDATE locks SET node_id = ? WHERE node_id = ?", new_id, old_id)
