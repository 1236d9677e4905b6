"""How long the keys below a collection become where it goes."""

from __future__ import annotations

from typing import Final

import msgspec

from pigpen.coordinator.catalog.nodes import Node
from pigpen.database.transaction import Transaction
from pigpen.http.key import Key
from pigpen.http.namespace_rules import check_key_bytes

#: names below a collection that its MOVE looks at
MAX_LOOKED: Final = 10_000
#: collections whose members are read at once
AT_ONCE: Final = 100


def check_move(tx: Transaction, node: Node, target: Key) -> None:
    """Refuse what leads to keys that nobody could ask for.

    With over 10,000 names below, some may be missed. They are listed, and can be asked for once
    more when the collection has a shorter name.

    :raises Forbidden: a key below `target` would be too long.
    """
    length = _bytes_of(target)
    if not node.is_collection or length <= _bytes_of(node.key):
        return
    left = MAX_LOOKED
    above = {node.id: length}
    while above and left > 0:
        # those with the longest keys first
        some = sorted(above, key=above.__getitem__)[-AT_ONCE:]
        rows = tx.all(
            "SELECT parent_id, id, length(sort_name), version_id FROM nodes"
            " WHERE parent_id IN (SELECT value FROM json_each(?)) LIMIT ?",
            msgspec.json.encode(some).decode(),
            left,
        )
        left -= len(rows)
        for parent_id, node_id, name_bytes, version_id in rows:
            longest = above[parent_id] + name_bytes
            check_key_bytes(longest)
            if version_id is None:
                above[node_id] = longest
        for done in some:
            del above[done]


def _bytes_of(key: Key) -> int:
    """With the slash behind a collection."""
    return len("/".join(key.names).encode()) + 1
