"""Extras: properties and locks of each line of a listing, read by the same query (CLD-51)."""

from __future__ import annotations

import msgspec

from pigpen.coordinator.catalog import locks, properties
from pigpen.coordinator.catalog.locks import LockRow
from pigpen.coordinator.catalog.nodes import Node
from pigpen.coordinator.catalog.transaction import Row, Transaction
from pigpen.errors import BadRequest
from pigpen.http.key import Key
from pigpen.http.namespace import NOTHING, Want
from pigpen.http.wire import API, ListLine, LockInfo, Property

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


def lock_info(login: str, root: Key, lock: LockRow) -> LockInfo:
    """:param root: where it was taken."""
    return LockInfo(
        token=lock.token,
        root=f"/{API}/{login}{root.to_path()}",
        exclusive=lock.exclusive,
        infinite=lock.infinite,
        principal=lock.principal,
        owner=lock.owner,
        expires=lock.expires,
    )


class Extras:
    """Fills lines in."""

    def __init__(self, tx: Transaction, login: str, want: Want) -> None:
        self._tx = tx
        self._login = login
        self._want = want

    def infinite(self, node_id: int) -> list[LockInfo]:
        """The locks that cover all members of a collection."""
        return [one for one in self._covering(node_id) if one.infinite] if self._want.locks else []

    def add(self, line: ListLine, row: Row, key: Key, inherited: list[LockInfo]) -> int:
        """Fill a line in from what `columns` read.

        :param key: of what the line is about. :return: about how many bytes that added.
        """
        found, held = row
        if found is not None:
            line.properties = [Property(*one) for one in sorted(_decode_properties(found))]
        if held is not None:
            line.locks = [self._lock(key, one) for one in sorted(_decode_locks(held))] + inherited
        return len(found or "") + len(held or "")

    def add_own(self, line: ListLine, node: Node) -> None:
        """Fill the line of a listing's own key in."""
        want = self._want
        if want.properties or want.names:
            found = properties.read(self._tx, node.id)
            if not want.properties:
                found = [Property(one.namespace, one.name) for one in found]
            line.properties = found
        if want.locks:
            line.locks = self._covering(node.id)

    def _covering(self, node_id: int) -> list[LockInfo]:
        covering = locks.covering(self._tx, node_id)
        return [
            lock_info(self._login, locks.key_of(self._tx, one.node_id), one) for one in covering
        ]

    def _lock(self, key: Key, row: tuple[str, int, int, int, str, str, int]) -> LockInfo:
        token, node_id, infinite, exclusive, principal, owner, expires = row
        lock = LockRow(token, node_id, bool(infinite), bool(exclusive), principal, owner, expires)
        return lock_info(self._login, key, lock)
