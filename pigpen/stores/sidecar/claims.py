"""Claims: who may change which part of the tree now, first come, first served."""

from __future__ import annotations

import unicodedata
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from twisted.internet.defer import Deferred

from pigpen.http.key import Key

#: names of keys, composed: two spellings of one name are one claim
Area = tuple[str, ...]


class _Claim:
    __slots__ = ("areas", "granted")

    def __init__(self, areas: frozenset[Area], granted: Deferred[None]) -> None:
        self.areas = areas
        self.granted = granted

    def meets(self, other: _Claim) -> bool:
        """Whether one area holds another."""
        return any(
            one[: len(two)] == two or two[: len(one)] == one
            for one in self.areas
            for two in other.areas
        )


class Claims:
    """A claim covers keys and all below them; claims that meet have to wait for each other."""

    def __init__(self) -> None:
        #: in the order they came; one holds as soon as it meets none before it
        self._claims: list[_Claim] = []

    @asynccontextmanager
    async def hold(self, keys: Iterable[Key]) -> AsyncIterator[None]:
        """Wait for these keys, all at once. Do not ask for more while holding some."""
        claim = _Claim(frozenset(map(_area, keys)), Deferred())
        self._claims.append(claim)
        try:
            if any(claim.meets(other) for other in self._claims[:-1]):
                await claim.granted
            yield
        finally:
            self._claims.remove(claim)
            self._grant()

    def _grant(self) -> None:
        for number, claim in enumerate(list(self._claims)):
            if not claim.granted.called:
                if not any(claim.meets(other) for other in self._claims[:number]):
                    claim.granted.callback(None)


def _area(key: Key) -> Area:
    return tuple(unicodedata.normalize("NFC", name) for name in key.names)
