"""What every namespace does with COPY and MOVE (DAV-18, 29, 47, 52)."""

# mypy: allow-untyped-calls
from __future__ import annotations

from pigpen.errors import Conflict, Forbidden, NotFound, PreconditionFailed
from pigpen.http.key import MAX_KEY_BYTES
from pigpen.http.namespace import Ability, Property, WriteMeta
from pigpen.testing.namespace_case import MIB, NamespaceCase

ONE = Property("n:", "k", '<k xmlns="n:">v</k>')


class TransferTests(NamespaceCase):
    """COPY leaves the source, MOVE does not; both are all or nothing."""

    def make_tree(self) -> None:
        self.make_collection("d", "d/e", "d/empty")
        self.write("d/a", b"a")
        self.write("d/e/b", b"b")

    def test_copy_of_an_object(self) -> None:
        self.write("a", b"1", meta=WriteMeta(content_type="text/x"))
        self.assertTrue(self.run_now(self.copying("a", "b")))
        self.write("a", b"2")
        self.assertEqual((self.read("a"), self.read("b")), (b"2", b"1"))
        self.assertEqual(self.stat("b").content_type, "text/x")
        self.assertFalse(self.run_now(self.copying("a", "b")))
        self.assertEqual(self.read("b"), b"2")

    def test_move_of_an_object(self) -> None:
        """The name changes, and nothing else that a client keeps."""
        self.write("a", b"1" * MIB, meta=WriteMeta(content_type="text/x", modified=86_400_000))
        self.assertTrue(self.run_now(self.moving("a", "b")))
        self.assertEqual((self.names(), self.read("b")), (["b"], b"1" * MIB))
        moved = self.stat("b")
        self.assertEqual((moved.content_type, moved.modified), ("text/x", 86_400_000))
        self.write("c", b"2")
        self.assertFalse(self.run_now(self.moving("c", "b")))
        self.assertEqual((self.names(), self.read("b")), (["b"], b"2"))

    def test_copy_of_a_collection(self) -> None:
        """All below comes along, empty collections too."""
        self.make_tree()
        self.assertTrue(self.run_now(self.copying("d", "f")))
        below = ["a", "e/", "e/b", "empty/"]
        self.assertEqual((self.names("d", deep=True), self.names("f", deep=True)), (below, below))
        self.assertEqual((self.read("f/a"), self.read("f/e/b")), (b"a", b"b"))

    def test_shallow_copy(self) -> None:
        """COPY with Depth 0 takes the collection and its properties, no member."""
        self.make_tree()
        self.run_now(self.patching("d", ONE))
        self.assertTrue(self.run_now(self.copying("d/", "f/", deep=False)))
        self.assertEqual((self.names("f"), self.properties("f")),
                         ([], {("n:", "k"): ONE.value}))  # fmt: skip
        self.assertTrue(self.run_now(self.copying("d", "d/g", deep=False)))
        self.assertEqual(self.names("d/g"), [])

    def test_move_of_a_collection(self) -> None:
        self.make_tree()
        self.assertTrue(self.run_now(self.moving("d/", "f")))
        self.assertEqual(self.names(deep=True), ["f/", "f/a", "f/e/", "f/e/b", "f/empty/"])
        self.assertEqual(self.read("f/e/b"), b"b")
        self.assertTrue(self.run_now(self.moving("f/e", "e")))
        self.assertEqual(self.names(deep=True), ["e/", "e/b", "f/", "f/a", "f/empty/"])

    def test_written_over_is_replaced(self) -> None:
        """A collection that is written over is not merged with the new one."""
        for act in (self.copying, self.moving):
            self.make_collection("s", "t", "t/old")
            self.write("s/x", b"new")
            self.write("t/x", b"old")
            self.write("t/old/y", b"old")
            self.run_now(self.patching("t", ONE))
            self.assertFalse(self.run_now(act("s", "t")))
            self.assertEqual((self.names("t", deep=True), self.read("t/x")), (["x"], b"new"))
            self.assertEqual(self.properties("t"), {})
            self.assertEqual(self.is_there("s"), act == self.copying)
            for key in ("s", "t"):
                self.outcome(self.start(self.deleting(key)))

    def test_written_over_by_another_kind(self) -> None:
        """An object takes the place of a collection, and the other way round."""
        for act in (self.copying, self.moving):
            self.make_collection("c", "c2")
            for key in ("c/x", "c2/y", "o", "o2"):
                self.write(key, key.encode())
            self.assertFalse(self.run_now(act("o", "c")))
            self.assertEqual(self.read("c"), b"o")
            self.assertFalse(self.run_now(act("c2", "o2")))
            self.assertEqual(self.names("o2"), ["y"])
            self.assertFalse(self.is_there("c/x"))
            for key in ("c", "c2", "o", "o2"):
                self.outcome(self.start(self.deleting(key)))

    def test_not_written_over(self) -> None:
        """Overwrite: F."""
        self.write("a", b"a")
        self.write("b", b"b")
        for act in (self.copying, self.moving):
            self.refused(PreconditionFailed, act("a", "b", overwrite=False))
            self.assertTrue(self.run_now(act("a", f"c{act == self.moving}", overwrite=False)))
        self.assertEqual(self.read("b"), b"b")

    def test_onto_itself(self) -> None:
        """Onto itself, into itself, onto what it lies in: refused, and nothing is lost."""
        self.make_tree()
        whole = self.names(deep=True)
        for act in (self.copying, self.moving):
            for source, target in (
                ("d", "d"),
                ("d/a", "d/a"),
                ("d", "d/e/x"),
                ("d", "d/x"),
                ("d/e", "d"),
                ("d/e/b", "d"),
                ("d/a", "/"),
                ("d", "d/e"),
            ):
                self.refused(Forbidden, act(source, target))
        self.refused(Forbidden, self.moving("/", "d/x"))
        self.assertEqual(self.names(deep=True), whole)

    def test_keys_too_long(self) -> None:
        """Where a member would get a key that nobody could ask for: refused, nothing changed."""
        below = ["n" * 255] * 15
        self.make_collection("top", *("/".join(["d", *below[:count]]) for count in range(16)))
        deepest = "/".join(below)
        longest = "top/" + "t" * (MAX_KEY_BYTES - len(f"top//{deepest}/xy"))
        for leaf, make in (("xy", self.write), ("x/", self.make_collection)):
            make(f"d/{deepest}/{leaf}")  # a collection's slash counts
            whole = self.names(deep=True)
            for act in (self.copying, self.moving):
                self.refused(Forbidden, act("d", longest + "t"))
            self.assertEqual(self.names(deep=True), whole)
            self.run_now(self.copying("d", longest))
            self.run_now(self.moving("d", longest))
            self.assertTrue(self.is_there(f"{longest}/{deepest}/{leaf}"))
            self.run_now(self.moving(longest, "d"))
            self.run_now(self.deleting(f"d/{deepest}/{leaf}"))

    def test_places(self) -> None:
        """The target needs a collection to lie in, and the source must be there."""
        self.make_tree()
        self.write("file")
        for act in (self.copying, self.moving):
            self.refused(Conflict, act("d/a", "none/x"))
            self.refused(Conflict, act("d/a", "file/x"))
            self.refused(NotFound, act("d/a/", "x"))
            self.refused(NotFound, act("none", "x"))

    def test_properties_follow(self) -> None:
        """Properties follow MOVE and COPY, and end with what is written over or deleted."""
        self.need(Ability.PROPERTIES)
        self.make_tree()
        two = Property("n:", "z", '<z xmlns="n:"/>')
        for key in ("d", "d/a", "d/e/b", "d/empty"):
            self.run_now(self.patching(key, ONE))
        self.write("f")
        self.run_now(self.patching("f", two))
        mine = {("n:", "k"): ONE.value}
        self.run_now(self.copying("d", "f"))
        self.run_now(self.moving("d", "g"))
        for top in ("f", "g"):
            for key in ("", "/a", "/e/b", "/empty"):
                self.assertEqual(self.properties(top + key), mine, top + key)
            self.assertEqual(self.properties(f"{top}/e"), {})
        self.run_now(self.patching("g/a", Property("n:", "k")))
        self.assertEqual(self.properties("f/a"), mine)
        self.run_now(self.deleting("f/a"))
        self.write("f/a")
        self.assertEqual(self.properties("f/a"), {})
