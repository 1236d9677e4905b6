"""Writes that are given up at every moment: stored whole, or nothing of them is left anywhere.

`step` runs one event of the world, as in `test_cloud_faults`.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, Callable

from twisted.internet.defer import CancelledError, Deferred

from pigpen.client import commands
from pigpen.client.inputs import PipeInput
from pigpen.client.namespace import RemoteNamespace
from pigpen.client.session import Session
from pigpen.coordinator.openings import START_SECONDS
from pigpen.env import sleep
from pigpen.errors import NoAnswer, PigpenError
from pigpen.http import wire
from pigpen.http.body import BodyAborted, StreamBody
from pigpen.http.key import Key
from pigpen.http.message import Caller, Headers, Request
from pigpen.http.namespace import When, WriteMeta
from tests.cloud_kit import COORDINATOR, Cloud
from tests.test_cloud_faults import OLD, FaultCase

#: over what a host holds in memory, so that there is a part
NEW = bytes(range(250)) * 4000
X = Key(("x",))
STRIDE = 19
PLAIN = When(loose=True, parents=False)


async def chunks(data: bytes) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(data), 100_000):
        yield data[start : start + 100_000]


class NoBar:
    def start(self, total: int | None) -> None: ...

    def show(self, done: int) -> None: ...

    def stop(self) -> None: ...


def session(cloud: Cloud) -> Session:
    return Session(cloud.user, cloud.client, COORDINATOR, cloud.key)


async def by_gateway(cloud: Cloud) -> None:
    remote = RemoteNamespace(session(cloud))
    await remote.write(X, StreamBody(chunks(NEW), len(NEW)), WriteMeta(), PLAIN)


async def by_command(cloud: Cloud) -> None:
    data = PipeInput(StreamBody(chunks(NEW)), 100_000)
    await commands.put(session(cloud), X, data, NoBar(), Headers())


async def by_api(cloud: Cloud) -> None:
    answer = await cloud.asking("PUT", "/api/ann/x", StreamBody(chunks(NEW), len(NEW)))
    assert answer.status == 204, answer


async def by_face(cloud: Cloud) -> None:
    login = base64.b64encode(f"ann:{cloud.key}".encode()).decode()
    headers = Headers({"Authorization": f"Basic {login}"})
    request = Request("PUT", Key(("dav", "x")), headers=headers, caller=Caller("10.0.0.9"))
    visit = await cloud.coordinator.admission.admit(request)
    body = StreamBody(chunks(NEW), len(NEW))
    await visit.namespace.write(X, body, WriteMeta(), PLAIN)


WAYS = (by_gateway, by_command, by_api, by_face)


class GivenUpTests(FaultCase):
    def attempt(self, begin: Callable[[Cloud], object], steps: int, fault: str) -> bool:
        """:return: whether the write was over before it was given up."""
        why = (begin.__name__, steps, fault)
        cloud = self.make_cloud()
        writing = Deferred.fromCoroutine(begin(cloud))  # type: ignore[arg-type]
        with cloud.world.watching():
            for _ in range(steps):
                if writing.called or not cloud.world.clock.step():
                    break
            finished = writing.called
            if fault == "coordinator" and not finished:
                cloud.restart_coordinator()
            writing.cancel()
            cloud.world.settle(30)
        stored = []
        writing.addCallbacks(
            stored.append, lambda failure: failure.trap(CancelledError, PigpenError)
        )
        self.assertTrue(writing.called, why)
        self.check(cloud, bool(stored), why, whole=not fault)
        cloud.close()
        return finished

    def check(self, cloud: Cloud, stored: bool, why: object, *, whole: bool) -> None:
        got = cloud.get("x")
        self.assertIn(got.data, {OLD, NEW} if not stored else {NEW}, why)
        if not whole:
            return
        account = cloud.ask("GET", "/account").json(wire.Account)
        self.assertEqual((account.used, account.reserved), (len(got.data), 0), why)
        host = cloud.nodes["h1"]
        left = [path for path in host.env.disk.tree("pool") if "/incoming/" in path]
        self.assertEqual(left, [], why)
        if host.part.room.reserved:  # who never heard of the host cannot tell it
            cloud.world.settle(START_SECONDS)
        self.assertEqual((host.part.room.reserved, len(host.part.parts)), (0, 0), why)

    def give_up_everywhere(self, begin: Callable[[Cloud], object], fault: str = "") -> None:
        steps = 0
        while not self.attempt(begin, steps, fault):
            steps += STRIDE
        self.assertGreater(steps, 5 * STRIDE)

    def test_gateway(self) -> None:
        """A client of the gateway leaves anywhere in a PUT."""
        self.give_up_everywhere(by_gateway)

    def test_command(self) -> None:
        """Ctrl-C anywhere in `pigpen put`."""
        self.give_up_everywhere(by_command)

    def test_api(self) -> None:
        """A client of the API leaves while its bytes pass through the coordinator."""
        self.give_up_everywhere(by_api)

    def test_face(self) -> None:
        """So does one of the coordinator's WebDAV."""
        self.give_up_everywhere(by_face)

    def test_coordinator_killed(self) -> None:
        """Without the coordinator's word nothing that it may have committed is removed."""
        self.give_up_everywhere(by_gateway, "coordinator")

    def test_body_fails(self) -> None:
        """The same where the body is cut, and where it never ends and its reader is stopped."""

        async def failing() -> AsyncGenerator[bytes, None]:
            async for chunk in chunks(NEW[:600_000]):
                yield chunk
                await sleep(cloud.user, 0.1)
            raise BodyAborted(received=600_000, reason="the client left")

        cloud = self.make_cloud()
        body = StreamBody(failing(), len(NEW))
        remote = RemoteNamespace(session(cloud))
        self.assertRaises(BodyAborted, cloud.run, remote.write(X, body, WriteMeta(), PLAIN))
        cloud.world.settle(5)
        self.check(cloud, stored=False, why="body", whole=True)

    def test_host_gone(self) -> None:
        """A host that is gone does not keep whoever gives up."""

        async def slow() -> AsyncGenerator[bytes, None]:
            async for chunk in chunks(NEW):
                yield chunk
                await sleep(cloud.user, 1)

        cloud = self.make_cloud()
        body = StreamBody(slow(), len(NEW))
        remote = RemoteNamespace(session(cloud))
        writing = Deferred.fromCoroutine(remote.write(X, body, WriteMeta(), PLAIN))
        cloud.world.settle(3)
        cloud.nodes["h1"].env.kill()
        writing.cancel()
        cloud.world.settle(10)
        self.failureResultOf(writing, CancelledError, NoAnswer)
        account = cloud.ask("GET", "/account").json(wire.Account)
        self.assertEqual(account.reserved, 0)
        cloud.nodes["h1"].env.boot()
