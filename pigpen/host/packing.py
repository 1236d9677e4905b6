"""Packing: an expectation in few bytes, while nothing happens to it.

A coordinator may announce 100,000 transfers, and most of a host's memory would be theirs: as
objects they take a kilobyte each, packed a quarter of that.

A record is a MessagePack array: times on the host's clock, bytes reserved, bytes complete, how a
PUT ended, and the Expectation as a map from the place of a field to its value, defaults left out.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from pigpen.http.wire import Expectation, WriteState

_FIELDS = Expectation.__struct_fields__
_DEFAULTS = msgspec.structs.astuple(Expectation("", "PUT", ""))
#: 64 hexadecimal digits are kept as 32 bytes
_IDS = frozenset(_FIELDS.index(name) for name in ("blob", "write", "digest"))
_RANGE = _FIELDS.index("range")


class Record(NamedTuple):
    """What is kept. ``state``: None if it was never used."""

    start_by: float
    ends: float
    reserved: int | None
    complete: int | None
    state: WriteState | None
    expectation: Expectation


def pack(record: Record) -> bytes:
    """Blobs' ids must be ids, as those that came by `wire` are."""
    state = None if record.state is None else msgspec.structs.astuple(record.state)
    fields: dict[int, Any] = {}
    for place, value in enumerate(msgspec.structs.astuple(record.expectation)):
        if value != _DEFAULTS[place]:
            fields[place] = bytes.fromhex(value) if place in _IDS else value
    return _encode((*record[:4], state, fields))


def unpack(data: bytes) -> Record:
    start_by, ends, reserved, complete, state, fields = _decode(data)
    values: list[Any] = list(_DEFAULTS)
    for place, value in fields.items():
        values[place] = value.hex() if place in _IDS else value
    if values[_RANGE] is not None:
        values[_RANGE] = tuple(values[_RANGE])
    known = None if state is None else WriteState(*state)
    return Record(start_by, ends, reserved, complete, known, Expectation(*values))


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(
    tuple[float, float, int | None, int | None, Any, dict[int, Any]]
).decode
