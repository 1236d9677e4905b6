"""Ids of the catalog's rows: new ones lie behind old ones."""

from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase

from pigpen.database.transaction import LAST_ID, Transaction
from tests.catalog_kit import START_MS, schema_in_memory


class IdTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.connection = schema_in_memory()
        self.addCleanup(self.connection.close)

    def at(self, now: int) -> Transaction:
        return Transaction(self.connection, random.Random(now), now)

    def test_later_ids_are_larger(self) -> None:
        """Small PUTs stay fast in a large catalog: what is new lies together."""
        for make in (Transaction.number, Transaction.dated_id):
            made = [make(self.at(START_MS + late)) for late in range(1000)]
            self.assertEqual(made, sorted(made))
            self.assertEqual(len(set(made)), 1000)

    def test_they_fit(self) -> None:
        """SQLite keeps them, whatever the clock says; none is 0, which is no id."""
        for now in (0, 1, START_MS, 2**43 - 1, 2**43, 2**47):
            number = self.at(now).number()
            self.assertTrue(0 < number <= LAST_ID, number)
            self.assertEqual(len(self.at(now).dated_id()), 32)

    def test_guessing_is_hopeless(self) -> None:
        """Ids of blobs from the same millisecond have 208 random bits."""
        tx = self.at(START_MS)
        one, other = tx.dated_id(), tx.dated_id()
        self.assertEqual(one[:6], other[:6])
        self.assertNotEqual(one[6:], other[6:])
