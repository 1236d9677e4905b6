"""Listings: bytewise order, pages, going on after a name."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pigpen.coordinator import namespace
from pigpen.coordinator.listing import Page, list_page
from pigpen.errors import NotFound
from tests.catalog_kit import RulesCase, key

#: names around the slash in byte order, and beyond ASCII
TREE = (
    "a",
    "a-/x",
    "a0",
    "b/c/d",
    "b/c!",
    "b/c0/e",
    "b!",
    "b0",
    "é/ü",
    "\U0001f437",
    "\uffff1"[1:],
)


class ListingTests(RulesCase):
    def page(self, text: str = "", **more: object) -> Page:
        return list_page(self.tx, self.me, key(text), **more)  # type: ignore[arg-type]

    def names(self, text: str = "", **more: object) -> list[str]:
        return [line.name for line in self.page(text, **more).lines]

    def test_lines(self) -> None:
        """An object's line has all that a HEAD would say; a collection's its slash and time."""
        self.put("b", b"123", content_type="text/plain")
        self.put("a/x")
        collection, stored = self.page().lines
        self.assertEqual((collection.name, collection.type), ("a/", "collection"))
        self.assertEqual((collection.length, collection.etag), (None, None))
        node = namespace.resolve(self.tx, self.me, key("b"))
        self.assertEqual((stored.name, stored.type, stored.length), ("b", "object", 3))
        self.assertEqual((stored.etag, stored.digest), (node.etag, node.sha256.hex()))
        self.assertEqual((stored.content_type, stored.modified), ("text/plain", node.modified))

    def test_depth_0(self) -> None:
        """The thing itself; an object at any depth."""
        self.put("a/b", b"123")
        self.assertEqual([line.type for line in self.page("a", depth="0").lines], ["collection"])
        for depth in ("0", "1", "infinity"):
            lines = self.page("a/b", depth=depth).lines
            self.assertEqual([(line.name, line.length) for line in lines], [("", 3)])
        self.assertRaises(NotFound, self.page, "nothing")

    def test_bytewise_at_every_depth(self) -> None:
        """Names come as sorted bytes, a collection just before what lies in it."""
        for name in TREE:
            self.put(name)
        everything = {name.encode() for name in TREE}
        for name in list(everything):
            parts = name.split(b"/")
            everything |= {b"/".join(parts[:end]) + b"/" for end in range(1, len(parts))}
        wanted = [name.decode() for name in sorted(everything)]
        self.assertEqual(self.names(depth="infinity"), wanted)
        top = [name for name in wanted if "/" not in name[:-1]]
        self.assertEqual(self.names(), top)

    def test_pages(self) -> None:
        """Page after page gives each name once, with any size of page."""
        for name in TREE:
            self.put(name)
        for depth in ("1", "infinity"):
            whole = self.names(depth=depth)
            for limit in range(1, len(whole) + 2):
                self.assertEqual(self._by_pages(limit, depth), whole)

    def _by_pages(self, limit: int, depth: str) -> list[str]:
        found: list[str] = []
        after: str | None = ""
        while after is not None:
            page = self.page(depth=depth, after=after, limit=limit)
            self.assertLessEqual(len(page.lines), limit)
            found += [line.name for line in page.lines]
            after = page.next
        return found

    @settings(max_examples=100, deadline=None)
    @given(st.text(alphabet="ab0-/!é", max_size=6), st.sampled_from(["1", "infinity"]))
    def test_after_any_name(self, after: str, depth: str) -> None:
        """`after` need not exist: what is bytewise greater follows."""
        self.setUp()
        for name in TREE:
            self.put(name)
        whole = self.names(depth=depth)
        wanted = [name for name in whole if name.encode() > after.encode()]
        self.assertEqual(self.names(depth=depth, after=after), wanted)

    def test_changes_between_pages(self) -> None:
        """What exists throughout comes exactly once, whatever else comes and goes (CLD-51)."""
        for n in range(10):
            self.put(f"{n}")
        first = self.page(limit=5)
        namespace.delete(self.tx, self.me, key("4"))
        namespace.delete(self.tx, self.me, key("5"))
        self.put("00")
        rest = self.names(after=first.next)
        self.assertEqual([line.name for line in first.lines], list("01234"))
        self.assertEqual(rest, list("6789"))

    def test_thousand_a_page(self) -> None:
        """A thousand creates: each is listed once, in two pages (Y6)."""
        for n in range(1001):
            self.put(f"d/{n:04}", b"")
        page = self.page("d", limit=5000)
        self.assertEqual((len(page.lines), page.next), (1000, "0999"))
        self.assertEqual(self.names("d", after="0999"), ["1000"])
        self.assertIsNone(self.page("d", after="0999").next)

    def test_many_small_collections(self) -> None:
        """A page over a thousand collections reads each member once."""
        for n in range(300):
            self.put(f"{n:03}/x", b"")
        found = self._by_pages(100, "infinity")
        self.assertEqual(len(found), 600)
        self.assertEqual(found, sorted(found))
