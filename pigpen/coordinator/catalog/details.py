"""Details: properties and locks of each member of a listing, read by the same query (CLD-51)."""

from __future__ import annotations

import msgspec

from pigpen.coordinator.catalog import locks, properties
from pigpen.coordinator.catalog.locks import LockRow
from pigpen.coordinator.catalog.nodes import Node
from pigpen.database.transaction import Row, Transaction
from pigpen.errors import BadRequest
from pigpen.http.key import Key
from pigpen.http.namespace import NOTHING, Lock, Property, Want
from pigpen.http.wire import API, LockInfo

# by number, as the query they go into has ?1 and ?2; json_array keeps them apart from each other
_NAMES = (
    "(SELECT json_group_array(json_array(p.namespace, p.name))"
    " FROM properties p WHERE p.node_id = n.id)"
)
_VALUES = _NAMES.replace("p.name)", "p.name, p.value)")
_LOCKS = (
    "(SELECT json_group_array(json_array(l.token, l.node_id, l.depth, l.exclusive, l.principal,"
    " l.owner, l.expires)) FROM locks l WHERE l.node_id = n.id AND l.expires > ?3)"
)

_decode_properties = msgspec.json.Decoder(list[tuple[str, ...]]).decode
_decode_locks = msgspec.json.Decoder(list[tuple[str, int, int, int, str, str, int]]).decode


def columns(want: Want) -> str:
    """What a listing's query reads beside a node ``n``: two texts of JSON, or NULL."""
    found = "NULL"
    if want.names or want.properties:
        found = _VALUES if want.properties else _NAMES
    return f"{found}, {_LOCKS if want.locks else 'NULL'}"


def parse_want(text: str) -> Want:
    """Read ``properties`` or ``names``, and ``locks``, with a comma between.

    :raises BadRequest: it is something else.
    """
    if not text:
        return NOTHING
    parts = text.split(",")
    if not set(parts) <= {"properties", "names", "locks"} or {"properties", "names"} <= set(parts):
        raise BadRequest(reason="want is properties or names, and locks, with a comma between")
    return Want(**dict.fromkeys(parts, True))


def lock_of(root: Key, row: LockRow) -> Lock:
    """:param root: where it was taken."""
    return Lock(row.token, root, row.exclusive, row.infinite, row.principal, row.owner, row.expires)


def lock_info(login: str, lock: Lock) -> LockInfo:
    """A lock as the API tells of it."""
    return LockInfo(
        token=lock.token,
        root=f"/{API}/{login}{lock.root.to_path()}",
        exclusive=lock.exclusive,
        infinite=lock.infinite,
        principal=lock.principal,
        owner=lock.owner,
        expires=lock.expires,
    )


#: properties and locks; None: not wanted
Found = tuple[tuple[Property, ...] | None, tuple[Lock, ...] | None]


class Extras:
    """Finds what is wanted of nodes."""

    def __init__(self, tx: Transaction, want: Want) -> None:
        self._tx = tx
        self._want = want

    def infinite(self, node_id: int) -> tuple[Lock, ...]:
        """The locks that cover all members of a collection."""
        if not self._want.locks:
            return ()
        return tuple(one for one in self._covering(node_id) if one.infinite)

    def of_row(self, row: Row, key: Key, inherited: tuple[Lock, ...]) -> Found:
        """What `columns` read. :param key: of what the row is about."""
        found, held = row
        properties_found: tuple[Property, ...] | None = None
        if found is not None:
            properties_found = ()
            if found != "[]":
                properties_found = tuple(
                    Property(*one) for one in sorted(_decode_properties(found))
                )
        if held is None:
            return properties_found, None
        if held == "[]":
            return properties_found, inherited
        own = tuple(_lock(key, one) for one in sorted(_decode_locks(held)))
        return properties_found, own + inherited

    def of_node(self, node: Node) -> Found:
        """What is wanted of one node."""
        want = self._want
        found: tuple[Property, ...] | None = None
        if want.properties or want.names:
            found = tuple(properties.read(self._tx, node.id))
            if not want.properties:
                found = tuple(Property(one.namespace, one.name) for one in found)
        return found, self._covering(node.id) if want.locks else None

    def _covering(self, node_id: int) -> tuple[Lock, ...]:
        covering = locks.covering(self._tx, node_id)
        return tuple(lock_of(locks.key_of(self._tx, one.node_id), one) for one in covering)


def _lock(key: Key, row: tuple[str, int, int, int, str, str, int]) -> Lock:
    token, _, infinite, exclusive, principal, owner, expires = row
    return Lock(token, key, bool(exclusive), bool(infinite), principal, owner, expires)
