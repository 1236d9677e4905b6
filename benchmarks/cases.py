"""What is measured. Each case asks one peer one thing and returns one number, larger is better."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks import loads
from benchmarks.peers import Peer, write_file
from benchmarks.process import NotMeasured

KIB = 1024
MIB = 1024 * 1024
#: so many PUTs a second are prepared for, at most
MAX_PUT_RATE = 12_000


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured. ``folder``: for files that are sent."""

    folder: Path
    big_bytes: int
    seconds: float
    rounds: int
    keys: int
    members: int


@dataclass(frozen=True, slots=True)
class Case:
    """``measure`` returns the number, and what else is worth saying.

    ``aims``: the least ratio of pigpen's number to that of a peer; under "" the least number.
    """

    name: str
    title: str
    unit: str
    measure: Callable[[Peer, Scale], tuple[float, str]]
    aims: dict[str, float]


def _small_get(size: int) -> Callable[[Peer, Scale], tuple[float, str]]:
    def measure(peer: Peer, scale: Scale) -> tuple[float, str]:
        paths = peer.object_of(size)
        rate = loads.many(peer.url, paths, seconds=scale.seconds, headers=peer.headers)
        return rate.per_second, f"p50 {rate.p50_ms:.1f} ms, p99 {rate.p99_ms:.1f} ms"

    return measure


def _small_put(peer: Peer, scale: Scale) -> tuple[float, str]:
    paths = peer.take(round(scale.seconds * MAX_PUT_RATE), KIB)
    rate = loads.many(
        peer.url, paths, seconds=scale.seconds, method="PUT", size=KIB, headers=peer.headers
    )
    own = peer.own_benchmark()
    return rate.per_second, f"p99 {rate.p99_ms:.1f} ms; {peer.durability}{own and '; ' + own}"


def _big_get(peer: Peer, scale: Scale) -> tuple[float, str]:
    path = peer.object_of(scale.big_bytes)[0]
    seconds = loads.download(peer.url + path, scale.big_bytes, headers=peer.headers)
    return scale.big_bytes / MIB / seconds, ""


def _big_put(peer: Peer, scale: Scale) -> tuple[float, str]:
    seconds, _ = _send_big(peer, scale)
    return scale.big_bytes / MIB / seconds, peer.durability


def _big_put_synced(peer: Peer, scale: Scale) -> tuple[float, str]:
    seconds, stored = _send_big(peer, scale)
    if "fsync before" in peer.durability:
        return scale.big_bytes / MIB / seconds, peer.durability
    if stored is None:
        raise NotMeasured("where its file lies is not known")
    return scale.big_bytes / MIB / (
        seconds + loads.synced(stored)
    ), "fsync by the client afterwards"


def _send_big(peer: Peer, scale: Scale) -> tuple[float, Path | None]:
    source = scale.folder / f"source-{scale.big_bytes}"
    if not source.exists():
        write_file(source, scale.big_bytes)
    os.sync()  # what earlier cases left is not this one's work
    path = peer.take(1, scale.big_bytes)[0]
    seconds, _ = loads.upload(peer.url + path, source, headers=peer.headers)
    return seconds, peer.stored(path)


def _catalog_get(peer: Peer, scale: Scale) -> tuple[float, str]:
    paths = peer.many_objects(scale.keys)
    rate = loads.many(peer.url, paths, seconds=scale.seconds, headers=peer.headers)
    keys = f"{len(paths):,} keys; " if len(paths) > 1 else ""
    return rate.per_second, f"{keys}p99 {rate.p99_ms:.1f} ms"


def _listing(peer: Peer, scale: Scale) -> tuple[float, str]:
    path = peer.collection_of(scale.members)
    times = sorted(loads.listing(peer.url + path, headers=peer.headers) for _ in range(5))
    return scale.members / times[2], f"{times[2] * 1000:.0f} ms"


def _locks(connections: int) -> Callable[[Peer, Scale], tuple[float, str]]:
    def measure(peer: Peer, scale: Scale) -> tuple[float, str]:
        count = min(connections, peer.lock_connections)
        collection = peer.collection_of(scale.members)
        paths = [f"{collection}file-{number:05}.txt" for number in range(scale.members)]
        seconds = loads.locking(peer.url, paths, headers=peer.headers, connections=count)
        return len(paths) / seconds, f"{len(paths):,} locks at once, connections: {count}"

    return measure


HTTP_CASES = (
    Case("get-1k", "GET of 1 KiB, 32 connections", "1/s", _small_get(KIB),
         {"rclone": 1.2, "nginx": 0.5}),
    Case("get-64k", "GET of 64 KiB, 32 connections", "1/s", _small_get(64 * KIB),
         {"rclone": 1.2, "nginx": 0.5}),
    Case("get-big", "GET of one large file", "MiB/s", _big_get, {"nginx": 0.9}),
    Case("put-big", "PUT of one large file, as each server does it", "MiB/s", _big_put,
         {"nginx": 0.8}),
    Case("put-big-synced", "PUT of one large file, fsynced", "MiB/s", _big_put_synced,
         {"nginx": 0.8}),
    Case("put-1k", "PUT of 1 KiB, 32 connections", "1/s", _small_put, {"Apache": 1.0}),
)  # fmt: skip

CLOUD_CASES = (
    Case("redirects", "GET of 8 KiB objects: pigpen's redirect, the others' bytes", "1/s",
         _catalog_get, {"": 3000}),
    Case("cloud-get-big", "GET of one large object", "MiB/s", _big_get, {"Tahoe-LAFS": 20}),
    Case("cloud-put-big", "PUT of one large object", "MiB/s", _big_put, {"Tahoe-LAFS": 20}),
    Case("cloud-put-1k", "PUT of 1 KiB, 32 connections", "1/s", _small_put, {"Tahoe-LAFS": 20}),
)  # fmt: skip

#: an object of up to 4 KiB lies in the catalog: what a small PUT costs whoever stores it
STORE_CASES = (
    Case("store-1k", "PUT of 1 KiB into the cloud, 32 connections", "1/s", _small_put,
         {"Apache": 1.0}),
)  # fmt: skip

#: through the gateway, which is on one core with the coordinator
GATEWAY_CASES = (
    Case("dav-list", "PROPFIND of a collection: members a second", "1/s", _listing,
         {"Apache": 0.5}),
    Case("dav-get-1k", "GET of 1 KiB through the gateway, 32 connections", "1/s", _small_get(KIB),
         {"": 1500}),
    Case("dav-get-big", "GET of one large file through the gateway", "MiB/s", _big_get,
         {"": 286}),
    Case("dav-put-big", "PUT of one large file through the gateway", "MiB/s", _big_put,
         {"nginx": 0.3}),
)  # fmt: skip

FACE_CASES = (
    Case("face-list", "PROPFIND at the coordinator: members a second", "1/s", _listing,
         {"Apache": 1.0}),
    Case("face-locks", "LOCK, then UNLOCK, of many objects, 8 connections: pairs", "1/s",
         _locks(8), {"Apache": 1.0}),
    Case("face-locks-one", "The same over one connection", "1/s", _locks(1), {"Apache": 1.0}),
)  # fmt: skip
