"""Listings: bytewise order, pages, going on after a name."""

from __future__ import annotations

from pigpen.coordinator.catalog import locking, namespace
from pigpen.coordinator.catalog.details import parse_want
from pigpen.coordinator.catalog.listing import Page, list_page
from pigpen.errors import BadRequest, NotFound
from pigpen.http import wire
from pigpen.http.namespace import MAX_VALUE_BYTES, LockWish, When
from pigpen.http.wire import Property
from tests.catalog_kit import RulesCase, key
from tests.hypothesis_kit import given, settings, st

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


class WantTests(RulesCase):
    """What lines hold beside the node itself (CLD-51)."""

    def setUp(self) -> None:
        super().setUp()
        self.put("a/b/c", b"1")
        self.put("a/plain", b"2")

    def lines(self, text: str, want: str, **more: object) -> dict[str, wire.ListLine]:
        wanted = parse_want(want)
        page = list_page(self.tx, self.me, key(text), want=wanted, **more)  # type: ignore[arg-type]
        return {line.name: line for line in page.lines}

    def set(self, text: str, *changes: Property) -> None:
        namespace.change_properties(self.tx, self.me, key(text), changes)

    def lock(self, text: str, owner: str, *, infinite: bool = True) -> str:
        wish = LockWish(infinite=infinite, exclusive=False, owner=owner)
        return locking.lock(self.tx, self.me, key(text), wish, When(principal="p"))[1].token

    def test_properties(self) -> None:
        """All of them with values, or their names only; none is an empty list."""
        self.set("a/b/c", Property("u:2", "z", "<z/>"), Property("", "a", 'é"'))
        self.set("a/b", Property("u:1", "k", "v"))
        lines = self.lines("a", "properties", depth="infinity")
        found = [Property("", "a", 'é"'), Property("u:2", "z", "<z/>")]
        self.assertEqual(lines["b/c"].properties, found)
        self.assertEqual(lines["b/"].properties, [Property("u:1", "k", "v")])
        self.assertEqual((lines["plain"].properties, lines["plain"].locks), ([], None))
        names = self.lines("a", "names", depth="infinity")
        self.assertEqual(names["b/c"].properties, [Property("", "a"), Property("u:2", "z")])
        [own] = self.lines("a/b/c", "properties", depth="0").values()
        self.assertEqual(own.properties, found)
        [plain] = self.lines("a/b/c", "", depth="0").values()
        self.assertIsNone(plain.properties)

    def test_locks(self) -> None:
        """Each line has the locks that cover it, wherever they were taken, with that place."""
        above, deep = self.lock("a", "above"), self.lock("a/b", "deep")
        single, flat = self.lock("a/b/c", "c"), self.lock("a/b", "flat", infinite=False)
        for after in ("", "b/", "b/a"):
            lines = self.lines("a", "locks", depth="infinity", after=after)
            self.assertEqual([one.token for one in lines["plain"].locks or ()], [above])
            tokens = {one.token for one in lines["b/c"].locks or ()}
            self.assertEqual(tokens, {above, deep, single})
        line = self.lines("a", "locks,names")["b/"]
        self.assertEqual({one.token for one in line.locks or ()}, {above, deep, flat})
        roots = {one.root: one.owner for one in self.lines("a/b", "locks")["c"].locks or ()}
        self.assertEqual(
            roots, {"/api/me/a/": "above", "/api/me/a/b/": "deep", "/api/me/a/b/c": "c"}
        )
        [own] = self.lines("a/b", "locks", depth="0").values()
        self.assertEqual({one.token for one in own.locks or ()}, {above, deep, flat})
        self.wait(10**7)
        self.assertEqual(self.lines("a", "locks")["b/"].locks, [])

    def test_pages_of_large_properties(self) -> None:
        """Large properties make a page short, never a large answer."""
        for n in range(60):
            self.put(f"many/{n:02}")
            self.set(f"many/{n:02}", Property("", "big", "x" * MAX_VALUE_BYTES))
        page = list_page(self.tx, self.me, key("many"), want=parse_want("properties"))
        self.assertLess(len(page.lines), 20)
        self.assertEqual(page.next, page.lines[-1].name)
        self.assertEqual(len(list_page(self.tx, self.me, key("many")).lines), 60)

    def test_pages_below_large_locks(self) -> None:
        """A lock on a collection is told with each member: fewer come at once for that too."""
        for number in range(60):
            self.put(f"d/{number:02}")
        for _ in range(15):
            self.lock("d", f"<o>{'x' * 4_000}</o>")
        want = parse_want("locks")
        page = list_page(self.tx, self.me, key("d"), want=want)
        self.assertLess(len(page.lines), 30)
        rest = list_page(self.tx, self.me, key("d"), want=want, after=page.next or "")
        self.assertEqual(rest.lines[0].name, f"{len(page.lines):02}")

    def test_wrong(self) -> None:
        """What nobody knows is refused, not left out."""
        for text in ("x", "properties,", "properties locks", "properties,names"):
            self.assertRaises(BadRequest, parse_want, text)
