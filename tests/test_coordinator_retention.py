"""What the catalog forgets: nothing that is current, everything else in time."""

from __future__ import annotations

from pigpen.coordinator.catalog import locking, namespace, pending_writes, retention
from pigpen.http.namespace import MAX_LOCK_SECONDS, LockWish, When
from tests.catalog_kit import RulesCase, key

TABLES = ("versions", "blobs", "replicas", "locks", "pending_writes")


class RetentionTests(RulesCase):
    def counts(self) -> dict[str, int]:
        return {name: len(self.tx.all(f"SELECT * FROM {name}")) for name in TABLES}

    def upkeep(self, limit: int = 2) -> int:
        rounds = 1
        while retention.upkeep(self.tx, limit):
            rounds += 1
        return rounds

    def test_versions(self) -> None:
        """Old versions go after a week, with their bytes; what a copy names stays."""
        for n in range(5):
            self.put("a", b"%d" % n)
        namespace.copy(self.tx, self.me, key("a"), key("b"))
        self.put("a", b"last")
        self.wait(retention.KEEP_ENDED_MS - 1)
        self.upkeep()
        self.assertEqual((self.counts()["versions"], self.counts()["blobs"]), (7, 6))
        self.wait(1)
        self.assertGreater(self.upkeep(), 2)
        self.assertEqual((self.counts()["versions"], self.counts()["blobs"]), (2, 2))
        found = [namespace.resolve(self.tx, self.me, key(text)).data for text in "ab"]
        self.assertEqual(found, [b"last", b"4"])

    def test_everything_goes_in_the_end(self) -> None:
        """A deleted tree, ended locks, old writes: no row is left for ever."""
        for n in range(5):
            self.put(f"d/{n}", write=f"{n:064}")
            locking.lock(self.tx, self.me, key(f"d/l{n}"), LockWish(infinite=False), When())
        self.wait(MAX_LOCK_SECONDS * 1000)
        namespace.delete(self.tx, self.me, key("d"))
        self.upkeep()
        self.assertEqual(self.sums(), (0, 0, 0))
        self.wait(pending_writes.REMEMBER_MS)
        self.upkeep()
        self.assertEqual(self.counts(), dict.fromkeys(TABLES, 0))
        self.assertEqual(self.tx.one("SELECT count(*) FROM nodes"), (1,))

    def test_by_index(self) -> None:
        """The sweep looks at what ended, not at all there is."""
        plan = self.plan("SELECT id FROM versions WHERE ended <= ? ORDER BY ended LIMIT 5", 0)
        self.assertIn("versions_ended", plan)
