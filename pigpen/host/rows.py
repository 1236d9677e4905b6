"""Rows: packed expectations by key, in little more memory than their bytes.

A dict and two objects for each would cost another 130 bytes a row. Here they lie side by side:

    bucket = row row ...
    row    = key (15 bytes) | length of the data (3, little-endian) | data
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

KEY_BYTES: Final = 15
_HEAD_BYTES: Final = KEY_BYTES + 3
#: of 100,000 rows, six lie in each; chosen by 14 bits of the key
_BUCKETS: Final = 1 << 14


class Rows:
    """A mapping from keys, whose bits are random, to bytes."""

    __slots__ = ("_buckets", "_count")

    def __init__(self) -> None:
        self._buckets = [b""] * _BUCKETS
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[bytes]:
        """The keys, in no order; none may come or go meanwhile."""
        for bucket in self._buckets:
            at = 0
            while at < len(bucket):
                yield bucket[at : at + KEY_BYTES]
                at = _next(bucket, at)

    def get(self, key: bytes) -> bytes | None:
        bucket = self._buckets[key[0] << 6 | key[1] >> 2]
        at = _find(bucket, key)
        return None if at < 0 else bucket[at + _HEAD_BYTES : _next(bucket, at)]

    def add(self, key: bytes, data: bytes) -> None:
        """The key must not be there."""
        place = key[0] << 6 | key[1] >> 2
        # first: what is new is looked for most
        row = key + len(data).to_bytes(3, "little") + data
        self._buckets[place] = row + self._buckets[place]
        self._count += 1

    def pop(self, key: bytes) -> bytes | None:
        """Take a row out; None: it is not there."""
        place = key[0] << 6 | key[1] >> 2
        bucket = self._buckets[place]
        at = _find(bucket, key)
        if at < 0:
            return None
        end = _next(bucket, at)
        self._buckets[place] = bucket[:at] + bucket[end:]
        self._count -= 1
        return bucket[at + _HEAD_BYTES : end]


def _find(bucket: bytes, key: bytes) -> int:
    """Where its row begins; -1: it has none."""
    at = bucket.find(key)
    start = 0
    while at >= 0:
        while start < at:
            start = _next(bucket, start)
        if start == at:
            return at
        at = bucket.find(key, at + 1)  # that was among another row's data
    return -1


def _next(bucket: bytes, at: int) -> int:
    """Where the row that begins at `at` ends."""
    low, middle, high = bucket[at + KEY_BYTES : at + _HEAD_BYTES]
    return at + _HEAD_BYTES + (low | middle << 8 | high << 16)
