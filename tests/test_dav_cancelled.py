"""A client that is gone, at every wait of a request: all is given back at once (DAV-138)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from pigpen.http.body import Body
from pigpen.http.key import Key
from pigpen.http.namespace import Namespace, Node, Reading, When
from tests.dav_kit import LOCKINFO, DavCase, SlowBody


class Gate:
    """Where a call waits until it is cancelled."""

    def __init__(self) -> None:
        self.at = ""
        self.notes: list[str] = []

    async def pass_by(self, name: str) -> None:
        if name == self.at:
            try:
                await Deferred()
            finally:
                self.notes.append(f"{name} left")


class GatedReading:
    locations = ()

    def __init__(self, inner: Reading, gate: Gate) -> None:
        self._inner = inner
        self._gate = gate

    @property
    def node(self) -> Node:
        return self._inner.node

    async def body(self, offset: int, length: int) -> Body:
        await self._gate.pass_by("body")
        return await self._inner.body(offset, length)

    async def close(self) -> None:
        self._gate.notes.append("closed")
        await self._inner.close()


class GatedNamespace:
    """Every call can be stopped on its way."""

    def __init__(self, inner: Namespace, gate: Gate) -> None:
        self._inner = inner
        self._gate = gate

    def __getattr__(self, name: str) -> Any:
        inner = getattr(self._inner, name)
        if name == "abilities":
            return inner

        async def gated(*args: Any, **options: Any) -> Any:
            await self._gate.pass_by(name)
            return await inner(*args, **options)

        return gated

    async def open(self, key: Key) -> Reading:
        await self._gate.pass_by("open")
        return GatedReading(await self._inner.open(key), self._gate)

    async def check(self, key: Key, when: When) -> None:
        await self._gate.pass_by("check")
        await self._inner.check(key, when)

    async def list(self, key: Key, **options: Any) -> AsyncGenerator[Node, None]:
        try:
            await self._gate.pass_by("list")
            async for node in self._inner.list(key, **options):
                yield node
        finally:
            self._gate.notes.append("listed")


class CancelledTests(DavCase):
    def setUp(self) -> None:
        self.gate = Gate()
        super().setUp()
        self.tree("/c/", "/c/a")

    def make_namespace(self) -> Any:
        return GatedNamespace(super().make_namespace(), self.gate)

    def gone(self, at: str, method: str, path: str, *args: Any, **fields: str) -> list[str]:
        """The client leaves while its request waits there; what happened then."""
        self.gate.at, self.gate.notes = at, []
        asked = self.begin(self.request(method, path, *args, **fields))
        self.assertNoResult(asked)
        with self.env.world.watching():
            asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.gate.at = ""
        self.env.world.assert_clean()
        return self.gate.notes

    def test_dav138_reads(self) -> None:
        """What was opened is closed, once; a listing ends."""
        holds = '(Not ["x"])'
        self.assertEqual(self.gone("open", "GET", "/c/a"), ["open left"])
        self.assertEqual(self.gone("check", "GET", "/c/a", If_=holds), ["check left", "closed"])
        self.assertEqual(self.gone("body", "GET", "/c/a"), ["body left"])
        for method in ("HEAD", "GET", "PROPFIND"):
            self.assertEqual(self.gone("stat", method, "/c/"), ["stat left"])
        for method in ("GET", "PROPFIND"):
            self.assertEqual(self.gone("list", method, "/c/"), ["list left", "listed"])

    def test_dav138_changes(self) -> None:
        """Each change can be left while it waits, and its name is free for the next."""
        token = self.lock("/c/a")
        field = f"</c/a> (<{token}>)"
        patch = (
            b'<propertyupdate xmlns="DAV:"><set><prop><x xmlns="n:"/></prop></set></propertyupdate>'
        )
        for at, method, path, body in (
            ("write", "PUT", "/c/a", b"new"),
            ("delete", "DELETE", "/c/a", b""),
            ("copy", "COPY", "/c/a", b""),
            ("move", "MOVE", "/c/a", b""),
            ("make_collection", "MKCOL", "/c/new", b""),
            ("change_properties", "PROPPATCH", "/c/a", patch),
            ("lock", "LOCK", "/c/new", LOCKINFO % b"exclusive"),
            ("refresh", "LOCK", "/c/a", b""),
            ("unlock", "UNLOCK", "/c/a", b""),
        ):
            fields = {"If_": field, "Destination": "/c/to", "Lock_Token": f"<{token}>"}
            self.assertEqual(self.gone(at, method, path, body, **fields), [f"{at} left"])
        self.expect(204, "PUT", "/c/a", b"next", If_=field)

    def test_dav138_bodies(self) -> None:
        """A body that is awaited is closed."""
        for method, path in (("PUT", "/c/a"), ("PROPFIND", "/c/a"), ("PROPPATCH", "/c/a"),
                             ("LOCK", "/c/a")):  # fmt: skip
            body = SlowBody(None)
            self.gone("", method, path, body)
            self.assertTrue(body.closed, method)
