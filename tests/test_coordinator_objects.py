"""The namespace over HTTP: listings, deletes, moves. A simulated world without hosts."""

from __future__ import annotations

from urllib.parse import quote

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from pigpen.http import wire
from tests.cloud_kit import Answer, Cloud


class ObjectsCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.cloud = Cloud()
        self.addCleanup(self.cloud.close)

    def ask(self, method: str, key: str, data: bytes | None = None, **fields: str) -> Answer:
        path = quote(key, safe="/?=&%")
        return self.cloud.ask(method, f"/api/ann/{path}", data, **fields)

    def put(self, *keys: str) -> None:
        for key in keys:
            self.assertIn(self.ask("PUT", key, key.encode()).status, {201, 204})

    def names(self, key: str = "", query: str = "") -> list[str]:
        *lines, end = self.ask("GET", f"{key}?{query}").data.splitlines()
        self.assertTrue(msgspec.json.decode(end, type=wire.ListEnd).end)
        return [msgspec.json.decode(line, type=wire.ListLine).name for line in lines]


class ListingTests(ObjectsCase):
    def test_members(self) -> None:
        """ls shows names in bytewise order, collections with a slash, and says that it is all."""
        self.put("b", "a/x", "a.txt", "ä")
        self.assertEqual(self.names(), ["a.txt", "a/", "b", "ä"])
        self.assertEqual(self.names("a/"), ["x"])
        self.assertEqual(self.names("", "depth=infinity"), ["a.txt", "a/", "a/x", "b", "ä"])
        self.assertEqual(self.names("", "depth=0"), [""])

    def test_without_slash(self) -> None:
        """A collection is listed without its slash too; the answer says where it is."""
        self.put("a b/x")
        answer = self.ask("GET", "a%20b")
        self.assertEqual(answer.headers["Content-Location"], "/api/ann/a%20b/")
        self.assertEqual(answer.headers["Content-Type"], "application/x-ndjson")
        self.assertEqual(self.names("a%20b"), ["x"])

    def line(self, key: str, query: str = "") -> tuple[wire.ListLine, str | None]:
        """What a key names, and where it lies if not there."""
        answer = self.ask("GET", f"{key}?depth=0{query}")
        first, _ = answer.data.splitlines()
        line = msgspec.json.decode(first, type=wire.ListLine)
        self.assertEqual(line.name, "")
        return line, answer.headers.get("Content-Location")

    def test_itself(self) -> None:
        """One request tells all about one thing, whatever it is, and where it lies."""
        self.put("a/x")
        stored, where = self.line("a/x", "&want=properties,locks")
        self.assertEqual((stored.type, stored.length, where), ("object", 3, None))
        self.assertEqual((stored.properties, stored.locks), ([], []))
        self.assertIsNotNone(stored.created)
        collection, where = self.line("a")
        self.assertEqual((collection.type, where), ("collection", "/api/ann/a/"))
        self.assertIsNone(collection.properties)
        self.assertEqual(self.ask("GET", "x?depth=0").status, 404)
        self.assertEqual(self.ask("HEAD", "a/x?depth=0").data, b"")

    def test_loose(self) -> None:
        """Another Unicode spelling finds the same, if one asks for it (DAV-62)."""
        composed, decomposed = "\u00e9/\u00e9", "e\u0301/e\u0301"
        self.put(composed)
        where = "/api/ann/%C3%A9/%C3%A9"
        self.assertEqual(self.line(decomposed, "&lookup=loose")[1], where)
        for method in ("GET", "HEAD"):
            self.assertEqual(self.ask(method, decomposed).status, 404)
            found = self.ask(method, decomposed + "?lookup=loose")
            self.assertEqual((found.status, found.headers["Content-Location"]), (200, where))
        listing = self.ask("GET", "e\u0301?lookup=loose")
        self.assertEqual(listing.headers["Content-Location"], "/api/ann/%C3%A9/")
        self.assertEqual(self.names("e\u0301/", "lookup=loose"), ["\u00e9"])
        self.assertEqual(self.names("e\u0301", "lookup=loose&depth=infinity"), ["\u00e9"])

    def test_times(self) -> None:
        """Lines say when a thing was made, and if its time does not tell it from the one before."""
        self.put("x")
        [line] = self.ask("GET", "").data.splitlines()[:1]
        first = msgspec.json.decode(line, type=wire.ListLine)
        self.assertEqual((first.created, first.same_second), (first.modified, False))
        self.ask("PUT", "x", b"2", X_OC_Mtime=str(first.modified // 1000))
        [line] = self.ask("GET", "").data.splitlines()[:1]
        second = msgspec.json.decode(line, type=wire.ListLine)
        self.assertEqual((second.created, second.same_second), (first.created, True))

    def test_object_with_slash(self) -> None:
        """An object is not found under a name that ends in a slash."""
        self.put("x")
        self.assertEqual(self.ask("GET", "x/").status, 404)

    def test_pages(self) -> None:
        """A listing of more than a page comes whole, each name once."""
        self.put(*[f"d0/f{number}" for number in range(40)])
        for number in range(1, 30):
            self.ask("COPY", "d0", Destination=f"/api/ann/d{number}")
        names = self.names("", "depth=infinity")
        self.assertEqual(len(names), 30 * 41)
        self.assertEqual(names, sorted(set(names)))
        self.assertEqual(self.names("", "depth=infinity&limit=1100&after=d0/f8"), names[40:1140])

    def test_longest_key(self) -> None:
        """A key may have all of 4,096 bytes, whatever its account is called (DAV-60)."""
        key = "/".join(["x" * 255] * 15 + ["y" * 254, "z"])
        self.assertEqual(len(key), 4096)
        self.put(key)
        self.assertEqual(self.ask("GET", key).data, key.encode())
        self.assertEqual(self.ask("PUT", f"{key}z", b"").status, 414)

    def test_limit(self) -> None:
        """limit and after cut a listing where one likes."""
        self.put(*[f"f{number}" for number in range(8)])
        lines = self.ask("GET", "?limit=5").data.splitlines()
        self.assertEqual(len(lines), 6)
        self.assertEqual(msgspec.json.decode(lines[-1], type=wire.ListEnd).next, "f4")
        self.assertEqual(self.names("", "after=f4"), ["f5", "f6", "f7"])
        self.assertEqual(self.names("", "after=f45&limit=1"), ["f5"])

    def test_head(self) -> None:
        """HEAD of a collection is its answer without the lines."""
        answer = self.ask("HEAD", "")
        self.assertEqual((answer.status, answer.data), (200, b""))

    def test_bad_query(self) -> None:
        """Nonsense is refused."""
        for query in (
            "depth=2",
            "want=x",
            "limit=0",
            "limit=-1",
            "limit=x",
            "redirect=x",
            "lookup=x",
        ):
            self.assertEqual(self.ask("GET", "?" + query).status, 400, query)

    def test_empty(self) -> None:
        """A new account is empty, not missing."""
        self.assertEqual(self.names(), [])
        self.assertEqual(self.ask("GET", "nothing/").status, 404)


class ChangeTests(ObjectsCase):
    def test_delete(self) -> None:
        """rm removes; a second time there is nothing."""
        self.put("a/x", "a/y")
        etag = self.ask("GET", "a/x").headers["ETag"]
        self.assertEqual(self.ask("DELETE", "a/x", If_Match='"other"').status, 412)
        self.assertEqual(self.ask("DELETE", "a/x", If_Match=etag).status, 204)
        self.assertEqual(self.ask("DELETE", "a/x").status, 404)
        self.assertEqual(self.ask("DELETE", "a/").status, 204)
        self.assertEqual(self.names(), [])
        self.assertEqual(self.ask("DELETE", "").status, 403)

    def test_make_collection(self) -> None:
        """MKCOL makes one, once, below one that exists."""
        self.assertEqual(self.ask("MKCOL", "a/").status, 201)
        self.assertEqual(self.ask("MKCOL", "a").status, 405)
        self.assertEqual(self.ask("MKCOL", "b/c").status, 409)
        self.assertEqual(self.ask("MKCOL", "d", b"<x/>", Content_Type="text/xml").status, 415)
        self.assertEqual(self.names(), ["a/"])

    def test_move(self) -> None:
        """A rename is one step, also of a whole tree."""
        self.put("a/x", "b")
        self.assertEqual(self.ask("MOVE", "a/", Destination="/api/ann/c/").status, 201)
        self.assertEqual(self.names("", "depth=infinity"), ["b", "c/", "c/x"])
        refused = self.ask("MOVE", "b", Destination="/api/ann/c/x", Overwrite="F")
        self.assertEqual(refused.status, 412)
        self.assertEqual(self.ask("MOVE", "b", Destination="/api/ann/c/x").status, 204)
        self.assertEqual(self.ask("GET", "c/x").data, b"b")
        self.assertEqual(self.ask("MOVE", "c", Destination="/api/ann/c/d").status, 403)
        self.assertEqual(self.ask("MOVE", "c/x", Destination="/api/ann/z/x").status, 409)
        self.assertEqual(self.ask("MOVE", "c", Depth="0", Destination="/api/ann/y").status, 400)

    def test_copy(self) -> None:
        """A copy is another name for the same bytes."""
        self.put("a/x")
        self.assertEqual(self.ask("COPY", "a", Destination="/api/ann/b").status, 201)
        self.assertEqual(self.ask("COPY", "a", Depth="0", Destination="/api/ann/c").status, 201)
        expected = ["a/", "a/x", "b/", "b/x", "c/"]
        self.assertEqual(self.names("", "depth=infinity"), expected)

    def test_destination_elsewhere(self) -> None:
        """Nothing goes to another server or account."""
        self.put("x")
        for value in ("/api/bob/x", "http://evil.example/api/ann/y", "/elsewhere"):
            for method in ("MOVE", "COPY"):
                self.assertEqual(self.ask(method, "x", Destination=value).status, 502, value)
        self.assertEqual(self.ask("MOVE", "x").status, 400)
        self.assertEqual(self.names(), ["x"])

    def test_other_methods(self) -> None:
        """What is not possible says what is."""
        answer = self.ask("POST", "x", b"")
        self.assertEqual(answer.status, 405)
        self.assertIn("PUT", answer.headers["Allow"])

    def test_not_built(self) -> None:
        """What is not there yet says so, to those who may ask."""
        self.put("x")
        self.assertEqual(self.ask("POST", "x?complaint").status, 501)
        self.assertEqual(self.cloud.ask("POST", "/api/ann/x?complaint", key="no").status, 401)


class AccessTests(ObjectsCase):
    def test_every_method(self) -> None:
        """Without a key, with a wrong one, and on another's path nothing happens (REL-A1)."""
        self.put("x")
        other = self.cloud.run(self.cloud.coordinator.make_account("bob"))
        for method in ("GET", "HEAD", "PUT", "DELETE", "MKCOL", "MOVE", "COPY"):
            fields = {"Destination": "/api/ann/y"} if method in {"MOVE", "COPY"} else {}
            for key, status in (("", 401), (self.cloud.key[:-1] + "!", 401), (other, 404)):
                answer = self.cloud.ask(method, "/api/ann/x", b"1", key=key, **fields)
                # the other account's own name in Destination would be 502: also no effect
                self.assertEqual(answer.status, status, (method, key))
        self.assertEqual(self.names(), ["x"])
        self.assertEqual(self.ask("GET", "x").data, b"x")

    def test_key_elsewhere(self) -> None:
        """A key in the query, a cookie or an own field opens nothing (REL-A2)."""
        key = self.cloud.key
        answer = self.cloud.ask(
            "GET", f"/api/ann/?accesskey={key}", key="", Cookie=f"key={key}", X_Access_Key=key
        )
        self.assertEqual(answer.status, 401)

    def test_throttled(self) -> None:
        """Guessing ends in 429; who has the key goes on."""
        self.put("x")
        wrong = self.cloud.ask("POST", "/account/keys").json(wire.MadeKey)
        self.cloud.ask("DELETE", f"/account/keys/{wrong.id}")
        statuses = [self.cloud.ask("GET", "/api/ann/x", key=wrong.key).status for _ in range(12)]
        self.assertEqual(statuses, [401] * 11 + [429])
        self.assertEqual(self.ask("GET", "x").status, 200)

    def test_starting(self) -> None:
        """Before the coordinator has started, and after its end, it says 503."""
        self.cloud.run(self.cloud.coordinator.stop())
        self.assertEqual(self.ask("GET", "x").status, 503)
