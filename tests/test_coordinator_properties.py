"""Dead properties: set, removed, bounded (DAV-52, 53)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from pigpen.coordinator.catalog import accounts, namespace, properties
from pigpen.coordinator.catalog.sqlite import SqliteCatalog
from pigpen.database.schema import read_schema
from pigpen.database.sqlite.migrations import migrate
from pigpen.errors import InsufficientStorage, NotFound, PreconditionFailed, QuotaExceeded
from pigpen.http.namespace import Property, When
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


class QuotaTests(RulesCase):
    """What an account keeps in properties counts as what it stores."""

    #: bytes: namespace, name, value
    ONE = Property("n:", "k", "é" * 48)
    BYTES = 2 + 1 + 96

    def setUp(self) -> None:
        super().setUp()
        self.put("a/b", b"1234")
        namespace.make_collection(self.tx, self.me, key("c"), When(), (self.ONE,))

    def change(self, text: str, *changes: Property) -> None:
        namespace.change_properties(self.tx, self.me, key(text), changes)

    def limit(self, quota: int) -> None:
        accounts.set_quota(self.tx, self.me.account_id, quota)

    @property
    def used(self) -> int:
        """By properties alone."""
        used, reserved, objects = self.sums()
        self.assertEqual(reserved, 0)
        return used - 4 * objects

    def test_changes(self) -> None:
        """Each change counts by what it adds or removes; MKCOL's are properties too."""
        self.assertEqual(self.used, self.BYTES)
        self.change("a/b", self.ONE, self.ONE)
        self.assertEqual(self.used, 2 * self.BYTES)
        self.change("a/b", Property("n:", "k", "xy"), Property("", "z", ""))
        self.assertEqual(self.used, self.BYTES + 5 + 1)
        self.change("a/b", Property("n:", "k"), Property("", "z"), Property("n:", "none"))
        self.assertEqual(self.used, self.BYTES)

    def test_follow(self) -> None:
        """A copy has its own, a move brings them along, who goes takes them with him."""
        self.change("a", self.ONE)
        self.change("a/b", self.ONE)
        namespace.copy(self.tx, self.me, key("a"), key("d"))
        self.assertEqual(self.used, 5 * self.BYTES)
        namespace.copy(self.tx, self.me, key("a"), key("e"), deep=False)
        namespace.copy(self.tx, self.me, key("a/b"), key("f"))
        self.assertEqual(self.used, 7 * self.BYTES)
        self.put("f", b"5678")
        namespace.move(self.tx, self.me, key("d"), key("g"))
        self.assertEqual(self.used, 7 * self.BYTES)
        namespace.move(self.tx, self.me, key("a/b"), key("f"))
        self.assertEqual(self.used, 6 * self.BYTES)
        for text in ("a", "c", "e", "f", "g"):
            namespace.delete(self.tx, self.me, key(text))
        while namespace.sweep(self.tx):
            pass
        self.assertEqual(self.sums(), (0, 0, 0))

    def refused(self, act: Callable[..., object], *what: object) -> None:
        """Over the quota; the change is taken back, as whoever runs rules does it."""
        self.tx.run("SAVEPOINT change")
        self.assertRaises(QuotaExceeded, act, *what)
        self.tx.run("ROLLBACK TO change")

    def test_over(self) -> None:
        """Over the quota nothing is added; what makes it less is always possible."""
        more = Property("n:", "k", "")
        self.change("a/b", self.ONE)
        self.limit(4 + 2 * self.BYTES)
        self.refused(self.change, "a", more)
        make = namespace.make_collection
        self.refused(make, self.tx, self.me, key("x"), When(), (more,))
        self.limit(10)
        self.change("a/b", Property("n:", "k", "é" * 40))
        self.refused(self.change, "a/b", self.ONE)

    def test_of_before(self) -> None:
        """What was kept before it counted is counted at the start of the new release."""
        files = read_schema(SqliteCatalog.package)
        connection = sqlite3.connect(":memory:", isolation_level=None)
        self.addCleanup(connection.close)
        migrate(connection, ":memory:", {number: files[number] for number in (1, 2)})
        for number in (1, 2, 3):
            connection.execute(
                "INSERT INTO accounts VALUES (?, ?, 1, 1, NULL, 7, 0, 1, 1, 1, 1, 0, 0)",
                (number, f"of {number}"),
            )
        for account, node, value in ((1, 1, "é"), (1, 11, "xy"), (2, 2, "z"), (2, 2, "zz")):
            connection.execute(
                "INSERT OR IGNORE INTO nodes VALUES (?, ?, NULL, x'', x'', NULL, 0, 0, 0)",
                (node, account),
            )
            connection.execute("INSERT INTO properties VALUES (?, 'n', ?2, ?2)", (node, value))
        migrate(connection, ":memory:", files)
        used = connection.execute("SELECT used FROM accounts ORDER BY id").fetchall()
        self.assertEqual(used, [(7 + 5 + 5,), (7 + 3 + 5,), (7,)])

    def test_copies_over(self) -> None:
        """A COPY counts what it makes, with the properties of all members."""
        self.change("a/b", self.ONE)
        for source, size in (("a/b", 4 + self.BYTES), ("a", 4 + self.BYTES), ("c", self.BYTES)):
            call = (self.tx, self.me, key(source), key(f"of {source[-1]}"))
            self.limit(self.sums()[0] + size - 1)
            self.refused(namespace.copy, *call)
            self.limit(self.sums()[0] + size)
            namespace.copy(*call)
