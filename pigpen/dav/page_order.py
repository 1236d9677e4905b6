"""In what order a directory page shows its entries, and which of them one page has.

A collection of any size is read once, and only a page of it is held. A page begins behind a place,
not at a number, so that what comes and goes meanwhile shifts nothing.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from pigpen.http.key import MAX_NAME_BYTES
from pigpen.http.namespace import Node

#: what ``?sort=`` may say
FIELDS: Final = ("name", "size", "time")

#: more would keep the reader waiting, and are beyond what a person sorts
MAX_SORTED_ENTRIES: Final = 10_000

_DIGITS = re.compile("([0-9]+)")

#: collections first, then the number sorted by, the name as people count, the name
Place = tuple[bool, int, tuple[str | int, ...], str]


@dataclass(frozen=True, slots=True)
class Order:
    """``field``: one of `FIELDS`."""

    field: str = "name"
    descending: bool = False

    @property
    def backwards(self) -> bool:
        """Whether places run from the last to the first."""
        return self.descending and self.field == "name"

    def place(self, node: Node) -> Place:
        number = {"name": 0, "size": node.length, "time": node.modified}[self.field]
        return self._place(node.is_collection, number, node.key.name)

    def _place(self, collection: bool, number: int, name: str) -> Place:
        if self.descending:
            number = -number
        return collection == self.backwards, number, _as_counted(name), name

    def cursor(self, node: Node) -> str:
        """A place as ``?after=`` says it: "img 9.png", "photos/", "4096/img 9.png"."""
        name = node.key.name + "/" * node.is_collection
        if self.field == "name":
            return name
        return f"{node.length if self.field == 'size' else node.modified}/{name}"

    def place_of(self, cursor: str) -> Place | None:
        """None: the cursor means nothing, so the page is the first."""
        number = "0"
        if self.field != "name":
            number, _, cursor = cursor.partition("/")
        if (
            not 0 < len(cursor) <= MAX_NAME_BYTES + 1
            or re.fullmatch(r"-?[0-9]{1,18}", number, re.ASCII) is None
        ):
            return None
        return self._place(cursor.endswith("/"), int(number), cursor.removesuffix("/"))


class Page:
    """The first `size` entries behind a place, of any number that are added in any order."""

    __slots__ = ("_after", "_kept", "_order", "_size", "before")

    def __init__(self, order: Order, after: Place | None, size: int) -> None:
        self._order = order
        self._after = after
        self._size = size
        self._kept: list[tuple[Place, Node]] = []
        #: how many entries come before the page
        self.before = 0

    def add(self, node: Node) -> None:
        place, after = self._order.place(node), self._after
        if after is not None:
            if place >= after if self._order.backwards else place <= after:
                self.before += 1
                return
        self._kept.append((place, node))
        if len(self._kept) > 2 * self._size:
            self._trim()

    def entries(self) -> list[Node]:
        """In order."""
        self._trim()
        return [node for _, node in self._kept]

    def _trim(self) -> None:
        # no two entries have one place, so nodes are never compared
        self._kept.sort(reverse=self._order.backwards)
        del self._kept[self._size :]


def _as_counted(name: str) -> tuple[str | int, ...]:
    """Whatever the case, and "img 9" before "img 10": the texts and numbers of a name in turn."""
    name = name.casefold()
    if not name.isascii():
        name = unicodedata.normalize("NFKD", name)
    parts = _DIGITS.split(name)
    return tuple(int(part) if number % 2 else part for number, part in enumerate(parts))
