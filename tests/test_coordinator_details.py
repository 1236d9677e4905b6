"""Properties and locks over HTTP, in a simulated world without hosts."""

from __future__ import annotations

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from pigpen.coordinator.details import PropertyWish
from pigpen.http import wire
from pigpen.http.wire import LockInfo
from tests.cloud_kit import Answer, Cloud


class DetailsCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.cloud = Cloud()
        self.addCleanup(self.cloud.close)
        self.ask("PUT", "x", b"1")

    def ask(self, method: str, key: str, value: object = None, **fields: str) -> Answer:
        data = value if isinstance(value, bytes | None) else msgspec.json.encode(value)
        return self.cloud.ask(method, f"/api/ann/{key}", data, **fields)


class PropertyTests(DetailsCase):
    def test_kept(self) -> None:
        """Properties are kept with their key, follow a rename, and can be removed."""
        wishes = [PropertyWish("urn:x", "a", "<a/>"), PropertyWish("", "b", "<b/>")]
        self.assertEqual(self.ask("PATCH", "x?properties", wishes).status, 204)
        self.ask("MOVE", "x", Destination="/api/ann/y")
        found = self.ask("GET", "y?properties").json(list[PropertyWish])
        self.assertEqual(found, wishes[::-1])
        self.ask("PATCH", "y?properties", [{"namespace": "", "name": "b"}])
        self.assertEqual(len(self.ask("GET", "y?properties").json(list[PropertyWish])), 1)

    def test_with_a_collection(self) -> None:
        """A new collection comes with its properties, or not at all."""
        wish = PropertyWish("urn:x", "a", "<a/>")
        self.assertEqual(self.ask("MKCOL", "dir", [wish]).status, 201)
        self.assertEqual(self.ask("GET", "dir/?properties").json(list[PropertyWish]), [wish])
        self.assertEqual(self.ask("MKCOL", "bad", [{"name": ""}]).status, 400)
        self.assertEqual(self.ask("GET", "bad/").status, 404)

    def test_refused(self) -> None:
        """Nonsense, nothing there, no key, other methods."""
        self.assertEqual(self.ask("PATCH", "x?properties", b"{").status, 400)
        self.assertEqual(self.ask("PATCH", "none?properties", []).status, 404)
        self.assertEqual(self.ask("PUT", "x?properties", b"").status, 405)
        refused = self.cloud.ask("PATCH", "/api/ann/x?properties", b"{", key="no")
        self.assertEqual(refused.status, 401)


class LockTests(DetailsCase):
    def lock(self, key: str = "x", **fields: str) -> LockInfo:
        answer = self.ask("POST", f"{key}?lock", {"owner": "<o/>"}, **fields)
        self.assertIn(answer.status, {200, 201})
        return answer.json(LockInfo)

    def test_locked(self) -> None:
        """What is locked changes only with its token; others hear 423."""
        lock = self.lock(Pigpen_Principal="ann@laptop")
        self.assertEqual((lock.root, lock.owner), ("/api/ann/x", "<o/>"))
        self.assertEqual(self.ask("PUT", "x", b"2").status, 423)
        self.assertEqual(self.ask("DELETE", "x").status, 423)
        self.assertEqual(self.ask("POST", "x?lock", {}).status, 423)
        token = f"(<{lock.token}>)"
        self.assertEqual(self.ask("PUT", "x", b"2", If=token).status, 423)
        held = {"If": token, "Pigpen_Principal": "ann@laptop"}
        self.assertEqual(self.ask("PUT", "x", b"2", **held).status, 204)
        self.assertEqual(self.ask("GET", "x").data, b"2")

    def test_listed(self) -> None:
        """One request lists members with their properties and locks."""
        self.ask("PATCH", "x?properties", [PropertyWish("u:1", "k", "v")])
        taken = self.lock()
        first, end = self.ask("GET", "?want=properties,locks").data.splitlines()
        line = msgspec.json.decode(first, type=wire.ListLine)
        self.assertEqual((line.name, line.locks), ("x", [taken]))
        self.assertEqual(line.properties, [wire.Property("u:1", "k", "v")])
        self.assertIn(b"end", end)

    def test_life(self) -> None:
        """A lock is shown, refreshed, ended; an hour later it is over by itself."""
        lock = self.lock()
        [shown] = self.ask("GET", "x?lock").json(list[LockInfo])
        self.assertEqual(shown.token, lock.token)
        self.cloud.world.settle(100)
        refreshed = self.ask("POST", "x?lock&seconds=600", If=f"(<{lock.token}>)")
        self.assertGreater(refreshed.json(LockInfo).expires, lock.expires)
        self.assertEqual(self.ask("DELETE", "x?lock").status, 400)
        self.assertEqual(self.ask("DELETE", f"x?lock={lock.token}").status, 204)
        self.lock()
        self.cloud.world.settle(3601)
        self.assertEqual(self.ask("PUT", "x", b"2").status, 204)

    def test_free_name(self) -> None:
        """Locking a free name makes an empty object (201)."""
        answer = self.ask("POST", "new?lock", {})
        self.assertEqual(answer.status, 201)
        self.assertEqual(self.ask("GET", "new").data, b"")
        self.assertEqual(self.ask("POST", "no/where?lock", {}).status, 409)
