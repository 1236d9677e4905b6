"""Shelf: a namespace of given nodes that writes down what it is asked, for tests of answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Coroutine
from typing import Any, NoReturn

import msgspec
from lxml import etree
from twisted.internet.defer import Deferred

from pigpen.dav.call import Call
from pigpen.dav.settings import DavSettings
from pigpen.errors import NotFound, PigpenError
from pigpen.http.body import Body, BytesBody, read_all
from pigpen.http.conditions import Conditions
from pigpen.http.key import Key
from pigpen.http.message import Headers, Request, Response
from pigpen.http.namespace import (
    NOTHING,
    Ability,
    Changes,
    Node,
    Quota,
    Reading,
    Want,
    When,
)
from pigpen.testing.env import SimEnv

D = "{DAV:}"
#: 10 April 2022, 08:00:00 GMT, and 7 ms
WHEN = 1_649_577_600_007


def file(path: str, **facts: Any) -> Node:
    facts = {"modified": WHEN, "created": WHEN - 1000, "length": 5, "etag": '"e"', **facts}
    return Node(Key.from_text(path), **facts)


def folder(path: str, **facts: Any) -> Node:
    return Node(Key.from_text(path), **{"modified": WHEN, "created": WHEN, **facts})


class Shelf:
    """``fails_after``: how many members are listed before it gives no answer, or ``waits``."""

    def __init__(self, *nodes: Node, abilities: frozenset[Ability] = frozenset(Ability)) -> None:
        self.nodes = {node.key: node for node in nodes}
        self.abilities = abilities
        self.wants: list[Want] = []
        self.asked: list[object] = []
        self.fails: PigpenError | None = None
        self.fails_after: int | None = None
        self.waits: Deferred[None] | None = None
        self.listings = 0
        self.kept: list[AsyncGenerator[Node, None]] = []

    async def stat(self, key: Key, want: Want = NOTHING) -> Node:
        self.wants.append(want)
        for form in (key, Key(key.names, True)):
            if form in self.nodes:
                return self.nodes[form]
        raise NotFound

    def list(
        self, key: Key, *, deep: bool = False, want: Want = NOTHING, after: str = ""
    ) -> AsyncGenerator[Node, None]:
        members = self._members(key, deep, want)
        self.kept.append(members)  # so that none is closed by being forgotten
        return members

    async def _members(self, key: Key, deep: bool, want: Want) -> AsyncGenerator[Node, None]:
        self.wants.append(want)
        self.listings += 1
        try:
            for count, node in enumerate(sorted(self.nodes.values(), key=lambda n: n.key.names)):
                if count == self.fails_after:
                    self._fail()
                    if self.waits is not None:
                        await self.waits
                below = len(node.key.names) - len(key.names)
                if key.contains(node.key) and (below == 1 or (deep and below)):
                    yield node
        finally:
            self.listings -= 1

    async def check(self, key: Key, when: When) -> None:
        self.asked.append(("check", key))
        self._fail()

    async def change_properties(
        self, key: Key, changes: Changes, when: When, modified: int | None = None
    ) -> None:
        self.asked.append(("change", key, changes, modified))
        self._fail()

    async def make_collection(self, key: Key, changes: Changes, when: When) -> None:
        self.asked.append(("make", key, changes))
        self._fail()

    async def quota(self, key: Key) -> Quota:
        self.asked.append(("quota", key))
        return Quota(100, 900)

    def _fail(self) -> None:
        if self.fails is not None:
            raise self.fails

    def _unused(self, *_: object, **__: object) -> NoReturn:
        raise AssertionError("no test of answers needs this")

    async def open(self, key: Key) -> Reading:
        self._unused()

    write = delete = copy = move = lock = refresh = unlock = _unused


def call_of(
    shelf: Shelf,
    method: str,
    path: str,
    xml: str | Body = "",
    *,
    settings: DavSettings | None = None,
    when: When | None = None,
    **headers: str,
) -> Call:
    """A call as the face makes it. :param headers: fields, with _ for a hyphen."""
    fields = Headers({name.replace("_", "-"): value for name, value in headers.items()})
    body = BytesBody(xml.encode()) if isinstance(xml, str) else xml
    key = Key.from_text(path)
    request = Request(method, key, headers=fields, body=body)
    terms = When(conditions=Conditions.from_headers(fields)) if when is None else when
    namespace: Any = shelf
    return Call(SimEnv(), settings or DavSettings(), request, namespace, key, terms)


def now(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waits")


def text_of(response: Response) -> str:
    data: bytes = now(read_all(response.body, 100_000_000))
    return data.decode()


def props(*names: str) -> str:
    """A PROPFIND of these names: those of WebDAV itself are plain."""
    inside = "".join(
        f'<x:{n[1:]} xmlns:x="u"/>' if n.startswith(":") else f"<D:{n}/>" for n in names
    )
    return f'<D:propfind xmlns:D="DAV:"><D:prop>{inside}</D:prop></D:propfind>'


class Stat(msgspec.Struct):
    """The properties of one response by status: tag to text, or to inner tags."""

    href: str
    found: dict[str, str]
    other: dict[int, list[str]]


def stats_of(text: str) -> list[Stat]:
    """What a multi-status says, checked for its form."""
    root = etree.fromstring(text.encode())
    assert root.tag == f"{D}multistatus", root.tag
    return [_stat(response) for response in root]


def _stat(response: etree._Element) -> Stat:
    stat = Stat(response.findtext(f"{D}href") or "", {}, {})
    for propstat in response.findall(f"{D}propstat"):
        prop = propstat.find(f"{D}prop")
        assert prop is not None
        status = int((propstat.findtext(f"{D}status") or "").split(" ")[1])
        if status == 200:
            stat.found = {_short(one): _content(one) for one in prop}
        else:
            stat.other[status] = [_short(one) for one in prop]
    return stat


def _short(element: etree._Element) -> str:
    return str(element.tag).removeprefix(D)


def _content(element: etree._Element) -> str:
    return (element.text or "") + "".join(f"<{_short(child)}>" for child in element)
