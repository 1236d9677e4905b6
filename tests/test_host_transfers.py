"""What clients see at /x/UUID: the table of CLD-24, row by row."""

from __future__ import annotations

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from pigpen.http import wire
from pigpen.http.body import PushBody
from tests.host_kit import MIB, Kit, chunks, digest_of, id_of


class PutTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.kit = Kit().start()

    def test_stored(self) -> None:
        """A 201 means the bytes are there, durable, and the coordinator has committed them."""
        path = self.kit.expect_put(1, length=5, digest=digest_of(b"hello"))
        response = self.kit.answer("PUT", path, body=b"hello")
        self.assertEqual(response.status, 201)
        stored = msgspec.json.decode(self.kit.text(response), type=wire.Stored)
        blob = id_of(1 + 10**6)
        self.assertEqual(stored, wire.Stored(f'"{blob[:32]}"', "v1", False))
        self.kit.disk.crash()
        self.assertEqual(self.kit.disk.peek(self.kit.blob_path(blob)), b"hello")
        [receipt] = self.kit.coordinator.receipts
        self.assertEqual(
            receipt, wire.Receipt(id_of(1), blob, 5, digest_of(b"hello"), 1, False, b"hello")
        )
