"""Dead properties: set, removed, bounded (DAV-52, 53)."""

from __future__ import annotations

from pigpen.coordinator.catalog import namespace, properties
from pigpen.errors import InsufficientStorage, NotFound, PreconditionFailed
from pigpen.http.namespace import Property
from tests.catalog_kit import RulesCase, if_match, key


class PropertyTests(RulesCase):
    def setUp(self) -> None:
        super().setUp()
        self.put("a")
        self.node = namespace.resolve(self.tx, self.me, key("a"))

    def change(self, *changes: Property, **more: int) -> None:
        namespace.change_properties(self.tx, self.me, key("a"), changes, **more)

    def found(self) -> list[Property]:
        return properties.read(self.tx, self.node.id)

    def test_set_and_remove(self) -> None:
        """Any namespace, none too; removing what is not there is no error; order counts."""
        self.change(Property("", "b", "1"), Property("n", "a", "2"), Property("n", "a", "3"))
        self.assertEqual(self.found(), [Property("", "b", "1"), Property("n", "a", "3")])
        self.change(Property("n", "a"), Property("n", "none"), Property("", "b", "é"))
        self.assertEqual(self.found(), [Property("", "b", "é")])

    def test_bounds(self) -> None:
        """64 KiB a value, 1,000 a node."""
        self.change(Property("n", "big", "x" * 65_536))
        self.assertRaises(InsufficientStorage, self.change, Property("n", "b", "é" * 32_769))
        many = [Property("n", str(n), "") for n in range(999)]
        self.change(*many)
        self.assertRaises(InsufficientStorage, self.change, Property("n", "one more", ""))

    def test_bound_of_all(self) -> None:
        """All of a node's properties fit into one answer: 1 MiB, names included."""
        full = "x" * 65_536
        for n in range(15):
            self.change(Property("n", str(n), full))
        self.assertRaises(InsufficientStorage, self.change, Property("n", "one more", full))
        self.change(Property("n", "one more"), Property("n", "0", full), Property("n", "a", "x"))

    def test_terms(self) -> None:
        """404 and 412 as everywhere."""
        change = (Property("n", "p", "v"),)
        act = namespace.change_properties
        self.assertRaises(NotFound, act, self.tx, self.me, key("none"), change)
        stale = if_match('"stale"')
        self.assertRaises(PreconditionFailed, act, self.tx, self.me, key("a"), change, stale)

    def test_time(self) -> None:
        """Last-Modified may be set; the content and its ETag stay (DAV-53)."""
        self.change(modified=5000)
        node = namespace.resolve(self.tx, self.me, key("a"))
        self.assertEqual((node.modified, node.etag), (5000, self.node.etag))
