"""store_contract: the behaviour all stores share, as tests (CMB-1 to CMB-15).

    class MyStoreTests(store_contract(lambda case: MyStore(case.env))):
        pass

What a store cannot do, by its ``capabilities``, it must refuse as the contract says. Each test has
a `World` of its own, and at its end nothing may be left in it: no timer, connection, open file.
"""

# mypy: allow-untyped-calls
from __future__ import annotations

import hashlib
from collections.abc import Callable

import msgspec

from pigpen.http.answers import NDJSON
from pigpen.http.body import StreamBody
from pigpen.http.message import Capability, Store
from pigpen.testing.store_case import Answer, ContractCase
from pigpen.testing.store_streams import StreamContract

__all__ = ["Answer", "ContractCase", "StoreContract", "store_contract"]


class StoreContract(StreamContract):
    """All that every store does."""

    # -- outcomes, methods, keys ------------------------------------------------------------------

    def test_life_of_a_value(self) -> None:
        """Nothing, stored, replaced, deleted: 404, 201, 204, 204, and 404 again."""
        if not self.can(Capability.PUT, Capability.GET):
            self.assertEqual(self.status("PUT", body=b"a"), 405)
            return
        self.assertEqual([self.status(method) for method in ("GET", "HEAD")], [404, 404])
        self.assertEqual(self.status("PUT", body=b"one"), 201)
        self.assertEqual(self.ask("GET").data, b"one")
        self.assertEqual(self.status("PUT", body=b"two"), 204)
        self.assertEqual(self.ask("GET").data, b"two")
        if self.can(Capability.DELETE):
            self.assertEqual([self.status("DELETE"), self.status("DELETE")], [204, 404])
            self.assertEqual(self.status("GET"), 404)

    def test_head(self) -> None:
        """HEAD says what GET says, without the bytes."""
        self.stored()
        get, head = self.ask("GET"), self.ask("HEAD")
        self.assertEqual((get.status, head.status, head.data), (200, 200, b""))
        self.assertEqual(get.data, self.value)
        for name in ("ETag", "Last-Modified", "Content-Type"):
            self.assertEqual(head.headers.get(name), get.headers.get(name), name)
        self.assertIn(head.headers.get("Content-Length"), {None, str(len(self.value))})

    def test_other_methods(self) -> None:
        """What a store cannot do is 405 with what it can, and changes nothing."""
        self.stored()
        for method in ("POST", "PATCH", "BREW"):
            answer = self.ask(method, body=b"x")
            self.assertEqual(answer.status, 405, method)
            self.assertIn("GET", answer.headers["Allow"])
        self.assertEqual(self.ask("GET").data, self.value)
        if not self.can(Capability.DELETE):
            self.assertEqual(self.status("DELETE"), 405)

    def test_empty_value(self) -> None:
        """A value of no bytes is a value."""
        if self.can(Capability.PUT):
            self.assertEqual(self.status("PUT", body=b""), 201)
            answer = self.ask("GET")
            self.assertEqual((answer.status, answer.data), (200, b""))

    def test_keys(self) -> None:
        """Keys that look alike are different keys, and any legal name comes back."""
        if not self.can(Capability.PUT):
            return
        paths = ("/a/b", "/a%2Fb", "/A/b", "/%C3%A9", "/e%CC%81", "/a%20b", "/a%252Fb", "/a+b",
                 "/%3F%23%25", "/a/...", "/a;b=c")  # fmt: skip
        kept = []
        for path in paths:
            status = self.status("PUT", path, path.encode())
            # a face may refuse an encoded slash; what it takes is a name of its own
            if status != 400 or "%2F" not in path:
                self.assertEqual(status, 201, path)
                kept.append(path)
        for path in kept:
            self.assertEqual(self.ask("GET", path).data, path.encode(), path)

    def test_values_apart(self) -> None:
        """The ETag is strong, and another for other bytes."""
        if self.can(Capability.PUT):
            one, two = self.stored(b"one"), self.stored(b"two")
            self.assertNotEqual(one, two)
            self.assertFalse(one.startswith("W/"))

    # -- ranges, conditions -----------------------------------------------------------------------

    def test_ranges(self) -> None:
        """One range gives exactly its bytes; malformed or several the whole."""
        if not self.can(Capability.RANGE):
            return
        self.stored()
        value, total = self.value, len(self.value)
        cases = {
            "bytes=2-5": (value[2:6], f"bytes 2-5/{total}"),
            "bytes=-4": (value[-4:], f"bytes {total - 4}-{total - 1}/{total}"),
            "bytes=3-": (value[3:], f"bytes 3-{total - 1}/{total}"),
            f"bytes=0-{total * 2}": (value, f"bytes 0-{total - 1}/{total}"),
            "bytes=5-2": (value, None),
            "bytes=0-0,2-2": (value, None),
            "bytes 0-1": (value, None),
        }
        for field, (data, content_range) in cases.items():
            answer = self.ask("GET", Range=field)
            self.assertEqual(answer.status, 200 if content_range is None else 206, field)
            self.assertEqual(answer.headers.get("Content-Range"), content_range, field)
            self.assertEqual(answer.data, data, field)

    def test_range_outside(self) -> None:
        """A range past the end is 416 and tells the length."""
        if self.can(Capability.RANGE):
            self.stored()
            answer = self.ask("GET", Range=f"bytes={len(self.value)}-")
            self.assertEqual(answer.status, 416)
            self.assertEqual(answer.headers["Content-Range"], f"bytes */{len(self.value)}")

    def test_if_range(self) -> None:
        """A range of a version that is gone gives the whole new one, never a mixture."""
        if self.can(Capability.RANGE):
            etag = self.stored()
            for field, status in ((etag, 206), ('"gone"', 200), (f"W/{etag}", 200)):
                answer = self.ask("GET", Range="bytes=0-0", If_Range=field)
                self.assertEqual(answer.status, status, field)

    def test_conditional_reads(self) -> None:
        """What a client has already is 304 without bytes; what it insists on and is gone, 412."""
        if not self.can(Capability.CONDITIONAL_GET):
            return
        etag = self.stored()
        for method in ("GET", "HEAD"):
            answer = self.ask(method, If_None_Match=f'"x", {etag}')
            self.assertEqual((answer.status, answer.data), (304, b""))
            self.assertEqual(answer.headers["ETag"], etag)
            self.assertEqual(self.status(method, If_None_Match='"x"'), 200)
            self.assertEqual(self.status(method, If_Match=etag), 200)
            self.assertEqual(self.status(method, If_Match='"x"'), 412)
        self.assertEqual(self.status("GET", If_Match="no tag"), 400)

    def test_conditional_writes(self) -> None:
        """A write whose condition fails changes nothing; conditions are never ignored."""
        if not self.can(Capability.PUT):
            return
        etag = self.stored(b"old")
        failing: list[dict[str, str]] = [{"If_None_Match": "*"}, {"If_Match": '"x"'}]
        refused = 412 if self.can(Capability.CONDITIONAL_PUT) else 501
        for fields in failing:
            self.assertEqual(self.ask("PUT", "/key", b"new", **fields).status, refused, fields)
            self.assertEqual(self.ask("DELETE", "/key", b"", **fields).status, refused, fields)
            self.assertEqual(self.ask("GET").data, b"old")
        if self.can(Capability.CONDITIONAL_PUT):
            self.assertEqual(self.status("PUT", body=b"new", If_Match=etag), 204)
            self.assertEqual(self.status("PUT", body=b"late", If_Match=etag), 412)
            self.assertEqual(self.status("PUT", "/other", b"x", If_None_Match="*"), 201)
            self.assertEqual(self.status("PUT", "/none", b"x", If_Match="*"), 412)

    def test_two_first_writers(self) -> None:
        """Of two who create the same key at once, one is told that it exists."""
        if not self.can(Capability.CONDITIONAL_PUT):
            return
        slow = [StreamBody(self.slowly(data), 2) for data in (b"ab", b"cd")]
        puts = [self.start("PUT", body=body, If_None_Match="*") for body in slow]
        statuses = sorted(self.world.run(put).status for put in puts)
        self.assertEqual(statuses, [201, 412])
        self.assertIn(self.ask("GET").data, {b"ab", b"cd"})

    # -- listings ---------------------------------------------------------------------------------

    def test_listing(self) -> None:
        """A listing is complete, in the order of bytes, and goes on after any name."""
        if not self.can(Capability.LIST):
            self.assertEqual(self.status("GET", "/", Accept=NDJSON), 501)
            return
        if not self.can(Capability.PUT):
            self.assertEqual(len(self.names("/")[0]), 1)
            return
        for path in ("/d/b", "/d/a", "/d/sub/x", "/d/sub/y/z", "/d/sub-1", "/d/%C3%A9", "/e"):
            self.status("PUT", path, b"1")
        below = ["a", "b", "sub-1", "sub/", "é"]
        self.assertEqual(self.names("/d/"), (below, None))
        self.assertEqual(self.names("/d/?limit=2"), (["a", "b"], "b"))
        self.assertEqual(self.names("/d/?limit=2&after=b"), (["sub-1", "sub/"], "sub/"))
        self.assertEqual(self.names("/d/?after=bb"), (below[2:], None))
        self.assertEqual(self.names("/d/?after=sub/&limit=9"), (["é"], None))
        self.assertEqual(
            self.names("/d/?depth=infinity")[0],
            ["a", "b", "sub-1", "sub/", "sub/x", "sub/y/", "sub/y/z", "é"],
        )

    def test_lines(self) -> None:
        """A line of a listing says what HEAD says."""
        if not self.can(Capability.LIST, Capability.PUT):
            return
        etag = self.stored(b"12345", "/d/a")
        data = self.ask("GET", "/d/", Accept=NDJSON).data
        line = msgspec.json.decode(data.splitlines()[0])
        self.assertEqual((line["type"], line["length"]), ("object", 5))
        self.assertEqual(line.get("etag", etag), etag)
        sha256 = hashlib.sha256(b"12345").hexdigest()
        self.assertEqual(line.get("digest", sha256), sha256)

    def test_bad_list_query(self) -> None:
        if self.can(Capability.LIST):
            for query in ("limit=x", "limit=-1", "depth=2"):
                self.assertEqual(self.status("GET", f"/?{query}", Accept=NDJSON), 400, query)


def store_contract(
    make: Callable[[StoreContract], Store], *, fixed: bytes | None = None
) -> type[StoreContract]:
    """A base class whose tests a store of this kind must pass.

    :param make: makes an empty store; it is given the test case, for its ``env`` and ``world``,
        and calls ``at_end`` for what must be closed.
    :param fixed: a store that cannot PUT gives these bytes under every key.
    """
    return type("Contract", (StoreContract,), {"make": staticmethod(make), "fixed": fixed})
