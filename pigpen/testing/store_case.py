"""What the tests of a contract are made of: a world, a store, requests in one line."""

# mypy: allow-untyped-calls
from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from pigpen.env import sleep
from pigpen.http.answers import NDJSON
from pigpen.http.body import Body, BytesBody, read_all
from pigpen.http.key import Key
from pigpen.http.message import Capability, Headers, Request, Response, Store
from pigpen.testing.world import World

MIB = 1024 * 1024
VALUE = bytes(range(256)) * 4


@dataclass(frozen=True, slots=True)
class Answer:
    """A response that was read to its end."""

    status: int
    headers: Headers
    data: bytes


class ContractCase(SynchronousTestCase):
    """What the tests of a contract are made of. ``make(case)`` may use `world`, `env`,
    `addCleanup`, which takes coroutine functions too."""

    make: Callable[[Any], Store]
    #: what a store that takes nothing gives under every key
    fixed: bytes | None = None

    def setUp(self) -> None:
        self.world = World(1)
        self.env = self.world.node("near")
        self._endings: list[Callable[[], Any]] = []
        self.store = type(self).make(self)
        self.value = VALUE if self.fixed is None else self.fixed

    def tearDown(self) -> None:
        for ending in reversed(self._endings):
            self.world.run(ending())
        self.world.settle(1)
        self.world.assert_clean()

    def at_end(self, ending: Callable[[], Any]) -> None:
        """:param ending: a coroutine function that closes what `make` opened."""
        self._endings.append(ending)

    def can(self, *capabilities: Capability) -> bool:
        return set(capabilities) <= self.store.capabilities

    # -- requests ---------------------------------------------------------------------------------

    def start(
        self, method: str, path: str = "/key", body: bytes | Body = b"", **fields: str
    ) -> Deferred[Response]:
        """:param fields: header fields, ``If_Match`` for If-Match."""
        url, _, query = path.partition("?")
        request = Request(
            method,
            Key.from_path(url, encoded_slash=True),
            query_string=query,
            headers=Headers({name.replace("_", "-"): value for name, value in fields.items()}),
            body=BytesBody(body) if isinstance(body, bytes) else body,
        )
        return Deferred.fromCoroutine(self.store.handle(request))

    def ask(
        self, method: str, path: str = "/key", body: bytes | Body = b"", **fields: str
    ) -> Answer:
        response = self.world.run(self.start(method, path, body, **fields))
        data = self.world.run(read_all(response.body, 64 * MIB))
        return Answer(response.status, response.headers, data)

    def status(self, method: str, path: str = "/key", body: bytes = b"", **fields: str) -> int:
        return self.ask(method, path, body, **fields).status

    def stored(self, data: bytes = VALUE, path: str = "/key") -> str:
        """Make sure that there is a value; its ETag."""
        if self.fixed is None:
            self.assertIn(self.status("PUT", path, data), {201, 204})
        return self.ask("HEAD", path).headers["ETag"]

    def names(self, path: str) -> tuple[list[str], Any]:
        """The names of a listing, and where to go on."""
        answer = self.ask("GET", path, Accept=NDJSON)
        self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, NDJSON))
        *lines, end = [msgspec.json.decode(line) for line in answer.data.splitlines()]
        self.assertIs(end["end"], True)
        return [line["name"] for line in lines], end["next"]

    async def slowly(self, data: bytes) -> AsyncGenerator[bytes, None]:
        """A byte a second."""
        for position in range(len(data)):
            yield data[position : position + 1]
            await sleep(self.env, 1)
