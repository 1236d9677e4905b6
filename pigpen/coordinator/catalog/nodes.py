"""Nodes: finding and changing single rows of the namespace tree. The rules are in `namespace`."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import msgspec

from pigpen.database.transaction import Row, Transaction
from pigpen.http import namespace_rules
from pigpen.http.conditions import Validators
from pigpen.http.key import Key
from pigpen.http.namespace_rules import spellings

#: the parent of collections that were deleted and wait to be swept
DETACHED: Final = 0
#: state of a replica: the host said that it keeps the blob, or that its copy is missing or bad
GOOD: Final = 1
BAD: Final = 2
#: names that one query resolves; deeper keys take several
NAMES_A_QUERY: Final = 16


class Node(msgspec.Struct, frozen=True):
    """A collection or object, with the version it names now and the hosts that keep its blob.

    Times are ms since 1970. ``key`` has the stored spelling. ``hosts`` have a good replica, whether
    they can be reached or not; if none has, those whose copy was bad: a disk that failed once may
    give it now, and a host never gives another blob or a part for the whole.
    """

    key: Key
    id: int
    parent_id: int | None
    created: int
    modified: int
    #: DAV-32: the version before had the same second
    same_second: bool = False
    version_id: int | None = None
    content_type: str = ""
    #: 32 bytes each
    blob_id: bytes = b""
    sha256: bytes = b""
    length: int = 0
    #: the bytes themselves, of a small object
    data: bytes | None = None
    hosts: tuple[int, ...] = ()

    @property
    def is_collection(self) -> bool:
        return self.version_id is None

    @property
    def blob(self) -> str:
        """The blob's id as hosts know it; empty for a collection."""
        return self.blob_id.hex()

    @property
    def etag(self) -> str | None:
        """With quotes; None for a collection."""
        return None if self.version_id is None else blob_etag(self.blob_id)

    @property
    def validators(self) -> Validators:
        """What conditions are judged against; no tag matches a collection, but ``*`` does."""
        second = self.modified // 1000
        return Validators(self.etag or "", second + 0.5 if self.same_second else second)


def blob_etag(blob_id: bytes) -> str:
    """CLD-13: all hosts agree on it."""
    return f'"{blob_id.hex()[:32]}"'


_COLUMNS = """
 {n}.id, {n}.parent_id, {n}.created, {n}.modified, {n}.same_second, v.id, v.content_type, b.id,
 b.sha256, b.length, b.data,
 CASE WHEN b.id IS NULL OR b.scheme = 'inline' THEN NULL ELSE (
  SELECT group_concat(CASE state WHEN 1 THEN host_id ELSE -host_id END) FROM replicas
  WHERE blob_id = b.id) END
"""
_CONTENT = " LEFT JOIN versions v ON v.id = {n}.version_id LEFT JOIN blobs b ON b.id = v.blob_id"
_BY_ID = " ".join(("SELECT", _COLUMNS, "FROM nodes n", _CONTENT, "WHERE n.id = ?")).format(n="n")


@lru_cache(maxsize=NAMES_A_QUERY)
def _chain(depth: int) -> str:
    """The query that walks `depth` names down from a node."""
    # CROSS JOIN keeps SQLite from choosing another order than down the tree
    tables = " CROSS JOIN ".join(f"nodes n{level}" for level in range(depth))
    steps = ["n0.parent_id = ? AND n0.name = ?"]
    steps += [f"n{level}.parent_id = n{level - 1}.id AND n{level}.name = ?"
              for level in range(1, depth)]  # fmt: skip
    columns = (_COLUMNS + " FROM " + tables + _CONTENT).format(n=f"n{depth - 1}")
    return f"SELECT {columns} WHERE {' AND '.join(steps)}"


def _node(key: Key, row: Row) -> Node:
    number, parent, created, modified, same, version, content_type, blob, sha256, length, data, hosts = row  # fmt: skip # noqa: E501
    if version is None:
        return Node(key, number, parent, created, modified, bool(same))
    return Node(
        key,
        number,
        parent,
        created,
        modified,
        bool(same),
        version,
        content_type,
        blob,
        sha256,
        length,
        data,
        _holders(hosts) if hosts else (),
    )


def _holders(text: str) -> tuple[int, ...]:
    """Hosts out of a row: bad copies have a minus sign."""
    found = tuple(map(int, text.split(",")))
    good = tuple(number for number in found if number > 0)
    return good or tuple(-number for number in found)


def node_by_id(tx: Transaction, node_id: int, key: Key) -> Node | None:
    """:param key: where it is; it goes into the answer."""
    row = tx.one(_BY_ID, node_id)
    return None if row is None else _node(key, row)


def child(tx: Transaction, parent: Node, name: str) -> Node | None:
    """A member of a collection, by the exact name."""
    row = tx.one(_chain(1), parent.id, name.encode())
    if row is None:
        return None
    return _node(Key((*parent.key.names, name), row[5] is None), row)


def find(tx: Transaction, root_id: int, key: Key, *, loose: bool = False) -> Node | None:
    """What a key names now; a final slash is not looked at."""
    names = key.names
    if not names:
        return node_by_id(tx, root_id, Key((), True))
    parent = root_id
    row: Row | None = None
    for start in range(0, len(names), NAMES_A_QUERY):
        part = names[start : start + NAMES_A_QUERY]
        row = tx.one(_chain(len(part)), parent, *[name.encode() for name in part])
        if row is None:
            return _find_loosely(tx, root_id, key) if loose else None
        parent = row[0]
    assert row is not None
    return _node(Key(names, row[5] is None), row)


def _find_loosely(tx: Transaction, root_id: int, key: Key) -> Node | None:
    found = nearest(tx, root_id, key, loose=True)
    return found if len(found.key.names) == len(key.names) else None


def nearest(tx: Transaction, root_id: int, key: Key, *, loose: bool = False) -> Node:
    """The deepest node on the way to a key that exists: the key's own, or an ancestor's."""
    node = node_by_id(tx, root_id, Key((), True))
    assert node is not None, "an account has a root"
    for name in key.names:
        found = None
        for spelling in spellings(name) if loose else (name,):
            found = found or child(tx, node, spelling)
        if found is None:
            break
        node = found
    return node


# -- changes --------------------------------------------------------------------------------------


def insert_node(
    tx: Transaction,
    account_id: int,
    parent_id: int,
    name: str,
    version_id: int | None = None,
    times: tuple[int, bool] | None = None,
) -> int:
    """A new object, or a collection if there is no version; its id.

    :param times: of `grown_time`; None: now.
    """
    raw = name.encode()
    assert b"/" not in raw, "a key's names hold no slash here"
    return tx.insert(
        "INSERT INTO nodes (id, account_id, parent_id, name, sort_name, version_id, created,"
        " modified, same_second) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        account_id,
        parent_id,
        raw,
        raw if version_id is not None else raw + b"/",
        version_id,
        tx.now,
        *(times or (tx.now, False)),
    )


def new_version_id(tx: Transaction) -> int:
    """An id that no version has: a node and its version name each other."""
    while True:
        number = tx.number()
        if tx.one("SELECT 1 FROM versions WHERE id = ?", number) is None:
            return number


def insert_version(
    tx: Transaction, version_id: int, node_id: int, account_id: int, content: tuple[bytes, str]
) -> None:
    """:param content: the blob's id and the content type."""
    blob_id, content_type = content
    tx.run(
        "INSERT INTO versions (id, account_id, node_id, blob_id, content_type, created)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        version_id,
        account_id,
        node_id,
        blob_id,
        content_type,
        tx.now,
    )


def end_version(tx: Transaction, version_id: int) -> None:
    """It is current no more; its row stays a while, so that late questions can be answered."""
    tx.run("UPDATE versions SET ended = ? WHERE id = ?", tx.now, version_id)


def touch(tx: Transaction, collection_id: int) -> None:
    """A collection got or lost a member."""
    tx.run("UPDATE nodes SET modified = ?1 WHERE id = ?2 AND modified < ?1", tx.now, collection_id)


def detach(tx: Transaction, node_id: int) -> None:
    """Take a collection out of the tree, in one row; `sweep` removes what lies below."""
    name = node_id.to_bytes(8, "big")
    tx.run(
        "UPDATE nodes SET parent_id = ?, name = ?, sort_name = ? WHERE id = ?",
        DETACHED,
        name,
        name,
        node_id,
    )


def grown_time(tx: Transaction, before: Node | None, wished: int | None = None) -> tuple[int, bool]:
    """As `namespace_rules.grown_time`; what was a collection before had no version."""
    known = None if before is None or before.is_collection else before.modified
    return namespace_rules.grown_time(tx.now, known, wished)
