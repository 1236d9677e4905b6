"""What every namespace does when it lists a collection (DAV-137)."""

# mypy: allow-untyped-calls
from __future__ import annotations

from contextlib import aclosing

from pigpen.errors import NotFound
from pigpen.http.key import Key
from pigpen.http.namespace import Ability, Property, Want
from pigpen.testing.namespace_case import NamespaceCase


class ListingTests(NamespaceCase):
    """Listings are complete, in order, and carry what they were asked for."""

    def make_names(self) -> None:
        self.make_collection("d", "d/sub", "d/sub/y", "d/sub-1", "d/sub.", "d2")
        for key in ("d/b", "d/a", "d/sub/x", "d/sub/y/z", "d/é", "d/subx", "e"):
            self.write(key, key.encode())

    def test_order(self) -> None:
        """The order is that of bytes, a collection's slash included."""
        self.make_names()
        self.assertEqual(self.names("d"), ["a", "b", "sub-1/", "sub./", "sub/", "subx", "é"])
        self.assertEqual(self.names("/"), ["d/", "d2/", "e"])
        self.assertEqual(self.names("d2/"), [])

    def test_after(self) -> None:
        """A listing goes on after any name, there or not."""
        self.make_names()
        whole = self.names("d")
        for after in ("a", "aa", "sub", "sub-1/", "sub/", "é", "zz", "\ufffd"):
            expected = [name for name in whole if name > after]
            self.assertEqual(self.names("d", after=after), expected, after)

    def test_deep(self) -> None:
        """Everything below, at once."""
        self.need(Ability.SUBTREE)
        self.make_names()
        whole = ["a", "b", "sub-1/", "sub./", "sub/", "sub/x", "sub/y/", "sub/y/z", "subx", "é"]
        self.assertEqual(self.names("d", deep=True), whole)
        self.assertEqual(self.names("d", deep=True, after="sub/x"), whole[6:])

    def test_nodes(self) -> None:
        """A member of a listing is what it is alone."""
        self.make_names()
        for node in self.nodes("d"):
            self.assertEqual(node, self.stat(str(node.key)), node.key)

    def test_wanted(self) -> None:
        """Properties and locks come with the listing only if they are wanted."""
        self.need(Ability.PROPERTIES, Ability.LOCKS)
        self.make_collection("d", "d/c")
        self.write("d/a")
        one = Property("n:", "k", '<k xmlns="n:">v</k>')
        self.run_now(self.patching("d/a", one))
        self.run_now(self.patching("d/c", one))
        inner, outer = self.lock("d/a", exclusive=False), self.lock("d", exclusive=False)
        plain = self.nodes("d")
        self.assertEqual({(node.properties, node.locks) for node in plain}, {(None, None)})
        want = Want(properties=True, locks=True)
        a, c = self.nodes("d", want=want)
        self.assertEqual((a.properties, c.properties), ((one,), (one,)))
        tokens = [[lock.token for lock in node.locks or ()] for node in (a, c)]
        self.assertEqual(tokens, [[inner.token, outer.token], [outer.token]])
        self.assertEqual((a, c), (self.stat("d/a", want), self.stat("d/c", want)))
        named = self.nodes("d", want=Want(names=True))[0].properties
        self.assertEqual(named, (Property("n:", "k"),))

    def test_refused_before_the_first(self) -> None:
        self.write("a")
        for key in ("none", "a"):
            self.refused(NotFound, self.listing(key))

    def test_listed_while_written(self) -> None:
        """What was there all the time is listed once, whatever comes and goes meanwhile."""
        self.make_collection("d")
        stays = [f"d/{number:04}" for number in range(0, self.many, 2)]
        for key in stays:
            self.write(key)

        async def listed() -> list[str]:
            found = []
            async with aclosing(self.namespace.list(Key.from_text("d/"))) as nodes:
                async for node in nodes:
                    found.append(str(node.key))
                    number = len(found) * 2 - 1
                    if number < self.many:
                        await self.writing(f"d/{number:04}")
                    if number % 10 == 1 and number < self.many:
                        await self.deleting(f"d/{number:04}")
            return found

        found = self.run_now(listed())
        self.assertEqual([key for key in found if key in set(stays)], stays)
        self.assertEqual(found, sorted(set(found)))

    def test_listing_that_is_left(self) -> None:
        """Who stops listing leaves nothing open."""
        self.make_names()

        async def first() -> str:
            async with aclosing(self.namespace.list(Key.from_text("d/"))) as nodes:
                async for node in nodes:
                    return str(node.key)
            return ""

        self.assertEqual(self.run_now(first()), "d/a")
