"""Packing: an expectation in few bytes, while nothing happens to it.

A coordinator may announce 100,000 transfers, and most of a host's memory would be theirs: as
objects they take a kilobyte each, packed a quarter of that.

A record is a MessagePack array: times on the host's clock, bytes reserved, bytes complete, how a
PUT ended, what is left of a GET that was used, and the Expectation as a map from the place of a
field to its value, defaults left out. That of a PUT that was committed, as nearly all are, is
shorter: its end, its bytes, and its ETag.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import msgspec

from pigpen.http.wire import Expectation, WriteState

_FIELDS = Expectation.__struct_fields__
_DEFAULTS = msgspec.structs.astuple(Expectation("", "PUT", ""))
#: 64 hexadecimal digits are kept as 32 bytes
_IDS = frozenset(_FIELDS.index(name) for name in ("blob", "write", "digest"))
_RANGE = _FIELDS.index("range")


class Reads(NamedTuple):
    """What is left of a GET that was used. ``satisfied``: a whole answer was sent."""

    requests_left: int
    bytes_left: int | None
    satisfied: bool


class Record(NamedTuple):
    """What is kept. ``state``: of a PUT that was answered. ``reads``: of a GET that was used."""

    start_by: float
    ends: float
    reserved: int | None
    complete: int | None
    state: WriteState | None
    reads: Reads | None
    expectation: Expectation


#: what is left of a PUT that was answered
ANSWERED = Expectation("", "PUT", "")
_ETAG = re.compile('"([0-9a-f]{32})"')
#: how a MessagePack array of three begins
_SHORT = 0x93


def pack(record: Record) -> bytes:
    """Blobs' ids must be ids, as those that came by `wire` are."""
    if record.expectation is ANSWERED:
        short = _pack_committed(record)
        if short is not None:
            return short
    state = None if record.state is None else msgspec.structs.astuple(record.state)
    fields: dict[int, Any] = {}
    for place, value in enumerate(msgspec.structs.astuple(record.expectation)):
        if value != _DEFAULTS[place]:
            fields[place] = bytes.fromhex(value) if place in _IDS else value
    return _encode((*record[:4], state, record.reads, fields))


def _pack_committed(record: Record) -> bytes | None:
    state = record.state
    if state is None or state.state != "committed" or state.status != 201 or state.error:
        return None
    etag = _ETAG.fullmatch(state.etag or "")
    if etag is None or record.reserved is not None:
        return None
    return _encode((record.ends, record.complete, bytes.fromhex(etag[1])))


def unpack(data: bytes) -> Record:
    if data[0] == _SHORT:
        ends, complete, etag = _decode_short(data)
        state = WriteState("committed", 201, f'"{etag.hex()}"')
        return Record(0, ends, None, complete, state, None, ANSWERED)
    start_by, ends, reserved, complete, ended, reads, fields = _decode(data)
    values: list[Any] = list(_DEFAULTS)
    for place, value in fields.items():
        values[place] = value.hex() if place in _IDS else value
    if values[_RANGE] is not None:
        values[_RANGE] = tuple(values[_RANGE])
    known = None if ended is None else WriteState(*ended)
    return Record(start_by, ends, reserved, complete, known, reads, Expectation(*values))


def served_until(data: bytes) -> float | None:
    """When one ends that has served, so that nothing but its end is to come: no room is reserved
    for it and it does not count against its account. None: another one."""
    if data[0] == _SHORT:
        return _decode_short(data)[0]
    _, ends, _, _, ended, reads, _ = _decode_times(data)
    return ends if ended is not None or (reads is not None and reads.satisfied) else None


_encode = msgspec.msgpack.Encoder().encode
_decode_short = msgspec.msgpack.Decoder(tuple[float, int | None, bytes]).decode
_decode = msgspec.msgpack.Decoder(
    tuple[float, float, int | None, int | None, Any, Reads | None, dict[int, Any]]
).decode
_decode_times = msgspec.msgpack.Decoder(
    tuple[float, float, Any, Any, Any, Reads | None, msgspec.Raw]
).decode
