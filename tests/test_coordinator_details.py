"""Properties and locks over HTTP, in a simulated world without hosts."""

from __future__ import annotations

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from pigpen.coordinator.catalog import locking
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
        wishes = [PropertyWish("urn:x", "a", '<a xmlns="urn:x"/>'), PropertyWish("", "b", "<b/>")]
        self.assertEqual(self.ask("PATCH", "x?properties", wishes).status, 204)
        self.ask("MOVE", "x", Destination="/api/ann/y")
        found = self.ask("GET", "y?properties").json(list[PropertyWish])
        self.assertEqual(found, wishes[::-1])
        self.ask("PATCH", "y?properties", [{"namespace": "", "name": "b"}])
        self.assertEqual(len(self.ask("GET", "y?properties").json(list[PropertyWish])), 1)

    def test_modified(self) -> None:
        """The same change may set the time; without the token of a lock neither is changed."""
        wish = [PropertyWish("urn:x", "a", '<a xmlns="urn:x"/>')]
        answer = self.ask("PATCH", "x?properties", wish, X_OC_Mtime="1000000000.5")
        self.assertEqual((answer.status, answer.headers["X-OC-Mtime"]), (204, "accepted"))
        self.assertEqual(self.ask("GET", "x").headers["Pigpen-Modified"], "1000000000500")
        self.ask("POST", "x?lock", {})
        refused = self.ask("PATCH", "x?properties", [], X_OC_Mtime="0")
        self.assertEqual(refused.status, 423)
        self.assertEqual(self.ask("GET", "x").headers["Pigpen-Modified"], "1000000000500")

    def test_with_a_collection(self) -> None:
        """A new collection comes with its properties, or not at all."""
        wish = PropertyWish("urn:x", "a", '<a xmlns="urn:x"/>')
        self.assertEqual(self.ask("MKCOL", "dir", [wish]).status, 201)
        self.assertEqual(self.ask("GET", "dir/?properties").json(list[PropertyWish]), [wish])
        self.assertEqual(self.ask("MKCOL", "bad", [{"name": ""}]).status, 400)
        self.assertEqual(self.ask("GET", "bad/").status, 404)

    def test_refused(self) -> None:
        """Nonsense, nothing there, no key, other methods."""
        self.assertEqual(self.ask("PATCH", "x?properties", b"{").status, 400)
        for value in ("text", "<b/>", "<a/></p><p>"):
            wish = PropertyWish("", "a", value)
            self.assertEqual(self.ask("PATCH", "x?properties", [wish]).status, 400)
        self.assertEqual(self.ask("POST", "x?lock", {"owner": "<o>"}).status, 400)
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

    def test_roots(self) -> None:
        """Who is refused hears where the locks lie."""
        self.ask("PUT", "a%20b/c/d", b"1")
        self.ask("POST", "a%20b?lock", {})
        answer = self.ask("DELETE", "a%20b/c/d").json(wire.Problem)
        self.assertEqual((answer.error, answer.roots), ("locked", ["/a%20b/"]))
        answer = self.ask("POST", "a%20b/c?lock", {}).json(wire.Problem)
        self.assertEqual((answer.error, answer.roots), ("lock-conflict", ["/a%20b/"]))

    def test_if_alone(self) -> None:
        """An If field can be judged without changing anything, also of a free name."""
        lock = self.lock()
        good, bad = f"(<{lock.token}>)", "(<urn:uuid:none>)"
        self.assertEqual(self.ask("GET", "x?lock", If=good).status, 200)
        self.assertEqual(self.ask("GET", "x?lock", If=bad).status, 412)
        self.assertEqual(self.ask("HEAD", "free?lock", If=bad).status, 412)
        self.assertEqual(self.ask("HEAD", "free?lock", If="(Not <urn:uuid:none>)").status, 404)

    def test_own_user(self) -> None:
        """Who names no user is the account itself."""
        lock = self.lock()
        self.assertEqual(lock.principal, "ann")
        held = {"If": f"(<{lock.token}>)", "Pigpen_Principal": "ann"}
        self.assertEqual(self.ask("PUT", "x", b"2", **held).status, 204)

    def all_locks(self) -> list[LockInfo]:
        *lines, end = self.ask("GET", "?locks").data.splitlines()
        self.assertTrue(msgspec.json.decode(end, type=wire.ListEnd).end)
        return [msgspec.json.decode(line, type=LockInfo) for line in lines]

    def test_all(self) -> None:
        """An account sees all its locks and breaks any; others see nothing (DAV-46)."""
        self.patch(locking.all_locks, "__defaults__", ("", 2))
        for name in ("a", "b", "c", "d", "e"):
            self.ask("POST", f"{name}?lock", {}, Pigpen_Principal="bob")
        found = self.all_locks()
        self.assertEqual({lock.root[-1] for lock in found}, {"a", "b", "c", "d", "e"})
        self.assertEqual(self.ask("DELETE", f"?locks={found[0].token}").status, 204)
        self.assertEqual(self.ask("DELETE", f"?locks={found[0].token}").status, 404)
        self.assertEqual(self.all_locks(), found[1:])
        other = self.cloud.run(self.cloud.coordinator.make_account("bob"))
        refused = self.cloud.ask("DELETE", f"/api/bob/?locks={found[1].token}", key=other)
        self.assertEqual(refused.status, 404)
        self.assertEqual(self.cloud.ask("GET", "/api/ann/?locks", key=other).status, 404)
        self.assertEqual(self.ask("GET", "x?locks").status, 400)

    def test_listed(self) -> None:
        """One request lists members with their properties and locks."""
        self.ask("PATCH", "x?properties", [PropertyWish("u:1", "k", '<k xmlns="u:1"/>')])
        taken = self.lock()
        first, end = self.ask("GET", "?want=properties,locks").data.splitlines()
        line = msgspec.json.decode(first, type=wire.ListLine)
        self.assertEqual((line.name, line.locks), ("x", [taken]))
        self.assertEqual(line.properties, [wire.Property("u:1", "k", '<k xmlns="u:1"/>')])
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
