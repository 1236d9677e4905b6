"""What every namespace decides alike."""

from __future__ import annotations

import random
import uuid

from twisted.trial.unittest import SynchronousTestCase

from pigpen.http.namespace_rules import new_token

PREFIX = "urn:uuid:"


class TokenTests(SynchronousTestCase):
    def test_uuid(self) -> None:
        """A token is a proper UUID, whatever the clock says, and none is like another."""
        source = random.Random(1)
        for now in (0, 1_795_375_834_000, 2**48 - 1, 2**50, -1):
            tokens = {new_token(source, now) for _ in range(1000)}
            self.assertEqual(len(tokens), 1000)
            for token in tokens:
                made = uuid.UUID(token.removeprefix(PREFIX))
                self.assertEqual((made.version, made.variant), (7, uuid.RFC_4122))
                self.assertEqual(f"{PREFIX}{made}", token)

    def test_order(self) -> None:
        """Tokens sort by when they were made: those of one commit lie side by side."""
        source = random.Random(1)
        tokens = [new_token(source, now) for now in range(1_000, 2_000)]
        self.assertEqual(tokens, sorted(tokens))
