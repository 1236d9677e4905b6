"""The remote namespace under seeded faults of a whole cloud: see `test_cloud_seeds`.

Its writes go on at hosts that come back, and ask how they ended: so most of them end known.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

from twisted.trial.unittest import SynchronousTestCase

from pigpen.client.namespace import RemoteNamespace
from pigpen.client.session import Session
from pigpen.errors import NotFound, PigpenError
from pigpen.http.body import StreamBody, read_all
from pigpen.http.key import Key
from pigpen.http.message import Response
from pigpen.http.namespace import When, WriteMeta
from pigpen.testing import quiet_burial
from tests.cloud_kit import COORDINATOR, MIB, Answer
from tests.test_cloud_seeds import Chaos, Register, survive

WHEN = When(loose=True)
SEEDS = 8


class RemoteChaos(Chaos):
    """Users of a namespace instead of the API."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        session = Session(self.cloud.user, self.cloud.client, COORDINATOR, self.cloud.key, "ann")
        self.remote = RemoteNamespace(session)

    async def write(self, key: str, register: Register, value: bytes) -> None:
        # what was begun before may still come into its place, so both are possible from now on
        register.possible.add(value)
        body = StreamBody(chunked(value), len(value))
        try:
            written = await self.remote.write(Key.from_text(key), body, WriteMeta(), WHEN)
        except PigpenError as error:
            assert error.status >= 500, f"{key}: refused: {error.message}"
            self.counts["unknown"] += 1
            return
        assert written.node.length == len(value)
        register.known(value)
        self.counts["201"] += 1

    async def get(self, key: str) -> Answer:
        try:
            reading = await self.remote.open(Key.from_text(key))
            body = await reading.body(0, reading.node.length)
            return Answer(Response(200), await read_all(body, MIB))
        except NotFound:
            return Answer(Response(404), b"")
        except PigpenError as error:
            assert error.status >= 500, f"{key}: refused: {error.message}"
            return Answer(Response(error.status), b"")


async def chunked(value: bytes) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(value), 50_000):
        yield value[start : start + 50_000]


class SeedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.enterContext(quiet_burial())

    def test_seeds(self) -> None:
        """Nothing acknowledged is lost, nothing torn is read, no refusal is made up."""
        totals = survive(RemoteChaos, SEEDS)
        self.assertGreater(totals["201"], 60)
        self.assertGreater(totals["unknown"], 0)
        self.assertGreater(totals["read"], 50)
