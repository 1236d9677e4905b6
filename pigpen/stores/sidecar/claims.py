"""Claims: who may change which part of the tree now, first come, first served."""

from __future__ import annotations

import unicodedata
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from twisted.internet.defer import Deferred

from pigpen.http.key import Key

#: names of keys, composed: two spellings of one name are one claim
Area = tuple[str, ...]


class _Claim:
    """``blockers``: how many earlier claims meet it."""

    __slots__ = ("areas", "blockers", "granted")

    def __init__(self, areas: frozenset[Area]) -> None:
        self.areas = areas
        self.blockers = 0
        self.granted: Deferred[None] = Deferred()

    def meets(self, other: _Claim) -> bool:
        """Whether one area holds another."""
        for one in self.areas:
            for two in other.areas:
                if one[: len(two)] == two or two[: len(one)] == one:
                    return True
        return False


class Claims:
    """A claim covers keys and all below them; claims that meet have to wait for each other."""

    def __init__(self) -> None:
        #: in the order they came; one holds as soon as it meets none before it
        self._claims: list[_Claim] = []
        self._ready: deque[_Claim] = deque()
        self._granting = False

    @asynccontextmanager
    async def hold(self, keys: Iterable[Key]) -> AsyncIterator[None]:
        """Wait for these keys, all at once. Do not ask for more while holding some."""
        claim = _Claim(frozenset(map(_area, keys)))
        claim.blockers = sum(map(claim.meets, self._claims))
        self._claims.append(claim)
        try:
            if claim.blockers:
                await claim.granted
            yield
        finally:
            self._release(claim)

    def _release(self, claim: _Claim) -> None:
        place = self._claims.index(claim)
        del self._claims[place]
        for later in self._claims[place:]:
            if later.meets(claim):
                later.blockers -= 1
                if not later.blockers:
                    self._ready.append(later)
        self._grant()

    def _grant(self) -> None:
        if self._granting:  # one holder after the other, not one inside the other
            return
        self._granting = True
        try:
            while self._ready:
                claim = self._ready.popleft()
                if not claim.granted.called:  # cancelled meanwhile
                    claim.granted.callback(None)
        finally:
            self._granting = False


def _area(key: Key) -> Area:
    return tuple(unicodedata.normalize("NFC", name) for name in key.names)
