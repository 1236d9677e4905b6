"""Hosts and replicas as the catalog keeps them (CLD-60, 61, 70 to 73). Rules, no HTTP."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Iterable
from typing import Final, Literal

import msgspec

from pigpen.coordinator.catalog.nodes import BAD, GOOD
from pigpen.database.transaction import Row, Transaction
from pigpen.errors import Conflict, NotFound, Unauthorized
from pigpen.http import wire

HOST_KEY_PREFIX: Final = "pph_"
#: ms without a heartbeat after which a host is offline: three of 10 s (CLD-73)
OFFLINE_MS: Final = 30_000

#: states as hosts name them
STATES: Final = ("up", "read-only", "draining", "stopping")
State = Literal["up", "read-only", "draining", "stopping"]

_NO_KEY: Final = bytes(32)


class HostRow(msgspec.Struct, frozen=True):
    """A host. Sizes in bytes, times ms since 1970; ``since``: its state's beginning."""

    id: int
    owner_id: int
    epoch: int
    instance: str
    state: State
    since: int
    seen: int
    zone: str
    network: str
    addresses: tuple[str, ...]
    target_size: int
    free_floor: int
    used: int
    reserved: int
    disk_free: int
    score: int
    created: int
    pin: str | None = None

    @property
    def room(self) -> int:
        """Bytes it can still take (CLD-60)."""
        wanted = self.target_size - self.used - self.reserved
        return max(0, min(wanted, self.disk_free - self.free_floor))


class NewHost(msgspec.Struct, frozen=True):
    """A registered host, with the key it is told this once."""

    row: HostRow
    host_key: str = ""

    def __repr__(self) -> str:
        return f"<NewHost {self.row.id}>"


_COLUMNS = (
    "id, owner_id, epoch, instance, state, since, seen, zone, network, addresses, target_size,"
    " free_floor, used, reserved, disk_free, score, created, pin"
)
_FIND = f"SELECT {_COLUMNS} FROM hosts WHERE id = ?"  # noqa: S608  # own constants
_ALL = f"SELECT {_COLUMNS} FROM hosts ORDER BY id"  # noqa: S608

_decode_addresses = msgspec.json.Decoder(tuple[str, ...]).decode


def _host(row: Row) -> HostRow:
    number, owner, epoch, instance, state, since, seen, zone, network, addresses, *sizes = row
    return HostRow(
        number,
        owner,
        epoch,
        instance,
        STATES[state],
        since,
        seen,
        zone,
        network,
        _decode_addresses(addresses),
        *sizes,
    )


def find_host(tx: Transaction, host_id: int) -> HostRow:
    """:raises NotFound: there is no such host."""
    row = tx.one(_FIND, host_id)
    if row is None:
        raise NotFound
    return _host(row)


def all_hosts(tx: Transaction) -> list[HostRow]:
    """Every host there is: the candidates a coordinator keeps in memory from its start."""
    return [_host(row) for row in tx.all(_ALL)]


def epoch_of(tx: Transaction, host_id: int) -> int:
    """:raises NotFound: there is no such host."""
    row = tx.one("SELECT epoch FROM hosts WHERE id = ?", host_id)
    if row is None:
        raise NotFound
    epoch: int = row[0]
    return epoch


# -- a host's life --------------------------------------------------------------------------------


def register_host(
    tx: Transaction,
    owner_id: int,
    registration: wire.Registration,
    network: str = "",
    max_hosts: int = 1000,
) -> NewHost:
    """A new host of an account, in its first epoch.

    Repeated by the same process (its answer was lost), it is the same host with a new key.

    :raises Conflict: the account has `max_hosts` already.
    """
    key = HOST_KEY_PREFIX + tx.random_id().hex()
    known = tx.one(
        "SELECT id FROM hosts WHERE owner_id = ? AND instance = ?", owner_id, registration.instance
    )
    if known is not None:
        tx.run("UPDATE hosts SET key_sha256 = ? WHERE id = ?", _hash(key), known[0])
        return NewHost(find_host(tx, known[0]), key)
    count = tx.one("SELECT count(*) FROM hosts WHERE owner_id = ?", owner_id)
    if count is not None and count[0] >= max_hosts:
        raise Conflict(reason=f"an account has at most {max_hosts} hosts")
    host_id = _insert(tx, owner_id, registration, network, key)
    return NewHost(find_host(tx, host_id), key)


def _insert(
    tx: Transaction, owner_id: int, registration: wire.Registration, network: str, key: str
) -> int:
    host_id = _new_host_id(tx)
    tx.run(
        "INSERT INTO hosts (id, owner_id, key_sha256, epoch, instance, state, since, seen, zone,"
        " network, addresses, target_size, free_floor, used, reserved, disk_free, score, created,"
        " pin)"
        " VALUES (?, ?, ?, 1, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, 0, ?, ?)",
        host_id,
        owner_id,
        _hash(key),
        registration.instance,
        tx.now,
        tx.now,
        registration.zone,
        network,
        _addresses(registration.addresses),
        registration.target_size,
        registration.floor,
        registration.used,
        registration.disk_free,
        tx.now,
        registration.pin,
    )
    return host_id


def _new_host_id(tx: Transaction) -> int:
    """Host ids have 31 bits, so `Transaction.insert` cannot draw them."""
    while True:
        number = tx.random.getrandbits(31)
        if number and tx.one("SELECT 1 FROM hosts WHERE id = ?", number) is None:
            return number


def authenticate_host(tx: Transaction, host_id: int, host_key: str) -> HostRow:
    """Let a host in by its key. :raises Unauthorized: wrong, or no such host."""
    row = tx.one("SELECT key_sha256 FROM hosts WHERE id = ?", host_id)
    stored = _NO_KEY if row is None else row[0]
    if not hmac.compare_digest(stored, _hash(host_key)) or row is None:
        raise Unauthorized
    return find_host(tx, host_id)


def rival_of(tx: Transaction, host_id: int, registration: wire.Registration) -> HostRow | None:
    """The session that a new process would end although it may be alive (CLD-70).

    :return: the row to ask at its addresses: if ``/status`` there still shows this row's instance,
        the new one is a copied folder; None: nothing speaks against the new session.
    """
    row = find_host(tx, host_id)
    alive = row.state != "stopping" and row.seen > tx.now - OFFLINE_MS
    return row if alive and row.instance != registration.instance else None


def open_session(
    tx: Transaction, host_id: int, registration: wire.Registration, network: str = ""
) -> HostRow:
    """A host has started: it gets the next epoch, and older ones end.

    The same process asking again keeps its epoch. Ask `rival_of` before.
    """
    row = find_host(tx, host_id)
    epoch = row.epoch
    if row.instance != registration.instance:
        # a catalog restored from a backup must not give an epoch out twice
        epoch = max(row.epoch, registration.last_epoch) + 1
    tx.run(
        "UPDATE hosts SET epoch = ?, instance = ?, state = 0, since = ?, seen = ?, zone = ?,"
        " network = ?, addresses = ?, target_size = ?, free_floor = ?, used = ?, reserved = 0,"
        " disk_free = ?, pin = ? WHERE id = ?",
        epoch,
        registration.instance,
        tx.now,
        tx.now,
        registration.zone,
        network,
        _addresses(registration.addresses),
        registration.target_size,
        registration.floor,
        registration.used,
        registration.disk_free,
        registration.pin,
        host_id,
    )
    return find_host(tx, host_id)


def store_heartbeat(tx: Transaction, host_id: int, beat: wire.Heartbeat) -> HostRow:
    """How a host is. Blobs it found bad are replicas no more.

    :raises Conflict: another process has begun a newer epoch. :raises NotFound: no such host.
    """
    row = find_host(tx, host_id)
    if beat.epoch != row.epoch:
        raise Conflict(reason=f"epoch {beat.epoch} of this host is over; {row.epoch} runs")
    tx.run(
        "UPDATE hosts SET state = ?, since = ?, seen = ?, addresses = ?, target_size = ?,"
        " free_floor = ?, used = ?, reserved = ?, disk_free = ? WHERE id = ?",
        STATES.index(beat.state),
        row.since if row.state == beat.state else tx.now,
        tx.now,
        _addresses(beat.addresses),
        beat.target_size,
        beat.floor,
        beat.used,
        beat.reserved,
        beat.disk_free,
        host_id,
    )
    mark_bad(tx, host_id, beat.bad)
    return find_host(tx, host_id)


# -- replicas -------------------------------------------------------------------------------------


def add_replica(tx: Transaction, host_id: int, blob_id: bytes) -> None:
    """A host has a durable copy; safe to repeat."""
    tx.run(
        "INSERT INTO replicas (blob_id, host_id, state, verified) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (blob_id, host_id) DO UPDATE SET state = excluded.state,"
        " verified = excluded.verified",
        blob_id,
        host_id,
        GOOD,
        tx.now,
    )


def mark_bad(tx: Transaction, host_id: int, blobs: Iterable[str]) -> int:
    """A host's copies are missing or damaged; how many replicas that were."""
    return sum(
        tx.run(
            "UPDATE replicas SET state = ? WHERE blob_id = ? AND host_id = ?",
            BAD,
            bytes.fromhex(blob),
            host_id,
        )
        for blob in blobs
    )


def blobs_by_copies(tx: Transaction, reachable: Collection[int]) -> dict[int, int]:
    """How many blobs of current versions have 0, 1, 2... good copies on reachable hosts.

    It reads every blob: for metrics, seldom. Small ones that only the catalog has do not count.
    """
    hosts = msgspec.json.encode(sorted(reachable)).decode()
    rows = tx.all(
        "SELECT copies, count(*) FROM (SELECT (SELECT count(*) FROM replicas r"
        "   WHERE r.blob_id = b.id AND r.state = ?"
        "   AND r.host_id IN (SELECT value FROM json_each(?))) AS copies"
        "  FROM blobs b WHERE b.scheme <> 'inline' AND EXISTS"
        "  (SELECT 1 FROM versions v WHERE v.blob_id = b.id AND v.ended IS NULL)) AS counted"
        " GROUP BY copies ORDER BY copies",
        GOOD,
        hosts,
    )
    return dict(rows)


def _hash(host_key: str) -> bytes:
    return hashlib.sha256(host_key.encode()).digest()


def _addresses(addresses: Iterable[str]) -> str:
    return msgspec.json.encode(list(addresses)).decode()
