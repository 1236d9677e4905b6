"""Rules over entries: what is known of a name, and its properties (DAV-52)."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from pigpen.database.transaction import Row, Transaction, Value
from pigpen.http.namespace import Changes, Property, Want
from pigpen.http.namespace_rules import check_properties, check_property
from pigpen.stores.sidecar.names import end_of, parent_of


class Entry(msgspec.Struct, frozen=True):
    """What is known of a name; ``etag``: of the version it is about, None: a collection.

    ``properties`` are None if they were not wanted.
    """

    name: str
    etag: str | None
    created: int
    modified: int
    same_second: bool = False
    properties: tuple[Property, ...] | None = None


_COLUMNS = "name, etag, created, modified, same_second"
_ONE = f"SELECT {_COLUMNS} FROM entries WHERE name = ?"  # noqa: S608
_MEMBERS = f"SELECT {_COLUMNS} FROM entries WHERE parent = ? AND name > ? ORDER BY name LIMIT ?"  # noqa: S608
_BELOW = f"SELECT {_COLUMNS} FROM entries WHERE name > ? AND name < ? ORDER BY name LIMIT ?"  # noqa: S608
# one query a page, not one a name; ended by the last name of the page
_OF = "SELECT p.name, p.namespace, p.local_name, p.value FROM entries e CROSS JOIN properties p"
_ORDER = " AND p.name = e.name ORDER BY e.name, p.namespace, p.local_name"
_MEMBERS_PROPERTIES = _OF + " WHERE e.parent = ? AND e.name > ? AND e.name <= ?" + _ORDER
_BELOW_PROPERTIES = _OF + " WHERE e.name > ? AND e.name < ? AND e.name <= ?" + _ORDER
_PUT = (
    "INSERT INTO entries (name, parent, etag, created, modified, same_second)"
    " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET etag = excluded.etag,"
    " created = excluded.created, modified = excluded.modified,"
    " same_second = excluded.same_second"
)
_SET = (
    "INSERT INTO properties (name, namespace, local_name, value) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (name, namespace, local_name) DO UPDATE SET value = excluded.value"
)


def _entry(row: Row, wanted: tuple[Property, ...] | None = None) -> Entry:
    name, etag, created, modified, same_second = row
    return Entry(name, etag, created, modified, bool(same_second), wanted)


def find(tx: Transaction, names: Iterable[str], want: Want) -> dict[str, Entry]:
    """The entries of these names, as far as there are any."""
    found = {}
    for row in (tx.one(_ONE, name) for name in names):
        if row is not None:
            wanted = None
            if want.properties or want.names:
                wanted = properties(tx, row[0], names=not want.properties)
            found[row[0]] = _entry(row, wanted)
    return found


def page(
    tx: Transaction, collection: str, after: str, want: Want, limit: int, deep: bool
) -> list[Entry]:
    """Entries of members in order, or of all below. :param after: a name, exclusive."""
    if deep:
        span: tuple[Value, ...] = (max(after, collection), end_of(collection))
        rows = tx.all(_BELOW, *span, limit)
    else:
        span = (collection, after)
        rows = tx.all(_MEMBERS, *span, limit)
    entries = [_entry(row) for row in rows]
    if not entries or not (want.properties or want.names):
        return entries
    found = tx.all(_BELOW_PROPERTIES if deep else _MEMBERS_PROPERTIES, *span, entries[-1].name)
    by_name: dict[str, list[Property]] = {}
    for name, namespace, local_name, value in found:
        mine = Property(namespace, local_name, value if want.properties else None)
        by_name.setdefault(name, []).append(mine)
    return [
        msgspec.structs.replace(entry, properties=tuple(by_name.get(entry.name, ())))
        for entry in entries
    ]


def properties(tx: Transaction, name: str, *, names: bool = False) -> tuple[Property, ...]:
    """All of a name, by namespace and name. :param names: without their values."""
    rows = tx.all(
        "SELECT namespace, local_name, value FROM properties WHERE name = ?"
        " ORDER BY namespace, local_name",
        name,
    )
    return tuple(Property(row[0], row[1], None if names else row[2]) for row in rows)


# -- changes --------------------------------------------------------------------------------------


def put(tx: Transaction, entry: Entry) -> None:
    """Know this of a name from now on; its properties stay."""
    tx.run(
        _PUT,
        entry.name,
        parent_of(entry.name),
        entry.etag,
        entry.created,
        entry.modified,
        entry.same_second,
    )


def keep_collections(tx: Transaction, collection: str) -> None:
    """Let a collection and those above it be there even without a value below."""
    while collection and tx.one(_ONE, collection) is None:
        put(tx, Entry(collection, None, tx.now, tx.now))
        collection = parent_of(collection)


def touch(tx: Transaction, collection: str) -> None:
    """A collection got or lost a member."""
    keep_collections(tx, collection)
    tx.run("UPDATE entries SET modified = max(modified, ?) WHERE name = ?", tx.now, collection)


def change_properties(tx: Transaction, name: str, changes: Changes) -> None:
    """Set and remove, in order, all or nothing. Removing what is not there is no error.

    :raises InsufficientStorage: see `namespace_rules`.
    """
    for change in changes:
        if change.value is None:
            tx.run(
                "DELETE FROM properties WHERE name = ? AND namespace = ? AND local_name = ?",
                name,
                change.namespace,
                change.name,
            )
        else:
            check_property(change.namespace, change.name, change.value)
            tx.run(_SET, name, change.namespace, change.name, change.value)
    sums = tx.one(
        "SELECT count(*), total(length(CAST(namespace || local_name || value AS BLOB)))"
        " FROM properties WHERE name = ?",
        name,
    )
    assert sums is not None
    check_properties(*sums)


def forget(tx: Transaction, name: str) -> None:
    """Know nothing of a name any more, nor of what lies below it."""
    for table in ("entries", "properties"):
        tx.run(f"DELETE FROM {table} WHERE name = ?", name)  # noqa: S608  # own constants
        if name.endswith("/"):
            tx.run(
                f"DELETE FROM {table} WHERE name >= ? AND name < ?",  # noqa: S608
                name,
                end_of(name),
            )


def copy_properties(tx: Transaction, source: str, target: str, *, deep: bool) -> None:
    """Give a name the properties of another; with ``deep`` also all below it."""
    columns = "namespace, local_name, value"
    tx.run(
        f"INSERT OR REPLACE INTO properties (name, {columns})"  # noqa: S608
        f" SELECT ?, {columns} FROM properties WHERE name = ?",
        target,
        source,
    )
    if deep and source.endswith("/"):
        tx.run(
            f"INSERT OR REPLACE INTO properties (name, {columns})"  # noqa: S608
            f" SELECT ? || substr(name, ?), {columns} FROM properties WHERE name > ? AND name < ?",
            target,
            len(source) + 1,
            source,
            end_of(source),
        )


def copy_collections(
    tx: Transaction, source: str, target: str, *, deep: bool, same_times: bool
) -> None:
    """Make a collection like another one; with ``deep`` also those below it."""
    rows = tx.all(
        "SELECT name, created, modified FROM entries WHERE name >= ? AND name < ? AND etag IS NULL",
        source,
        end_of(source) if deep else source + "\0",
    )
    made = [(target, tx.now, tx.now)]  # other writers' collections have no entry
    made += [(target + name[len(source) :], *times) for name, *times in rows]
    for name, created, modified in made:
        times = (created, modified) if same_times else (tx.now, tx.now)
        put(tx, Entry(name, None, *times))
