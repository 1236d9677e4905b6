"""Services start in order, stop cleanly, and end the process when they cannot start."""

from __future__ import annotations

import os

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from pigpen import config, services
from pigpen.config import CoordinatorConfig, HostConfig, Listen
from pigpen.errors import BadRequest, ConfigError, PigpenError
from pigpen.http.body import BytesBody, read_all
from pigpen.http.key import Key
from pigpen.http.message import Handler, Headers, Request, Response
from pigpen.testing.env import SimEnv
from pigpen.web.client import HttpClient


class FakePart:
    """Says what happens to it."""

    def __init__(self, env: SimEnv) -> None:
        self.env = env
        self.calls: list[str] = []
        self.addresses: list[str] = []
        self.error: Exception | None = None
        self.go: Deferred[None] = Deferred()

    @property
    def handler(self) -> Handler:
        return self

    async def start(self) -> None:
        self.calls.append("start")
        if self.error is not None:
            raise self.error

    async def stop(self) -> None:
        self.calls.append("stop")

    async def handle(self, request: Request) -> Response:
        self.calls.append("handle")
        self.addresses.append(request.caller.address)
        if request.key == Key.from_text("slow"):
            await self.go
        return Response(200, body=BytesBody(b"here"))


class PartServiceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.env = SimEnv()
        self.part = FakePart(self.env)
        self.fatal: list[PigpenError] = []
        self.client = HttpClient(self.env)
        self.service = self.make(Listen(port=2573))

    def make(self, listen: Listen) -> services.PartService:
        return services.PartService(self.env, self.part, self.client, listen, self.fatal.append)

    def get(self, path: str, **fields: str) -> Deferred[bytes]:
        async def ask() -> bytes:
            client = HttpClient(self.env)
            try:
                answer = await client.request(
                    "GET", f"http://127.0.0.1:2573{path}", headers=Headers(fields)
                )
                return await read_all(answer.body, 100)
            finally:
                await client.close()

        return Deferred.fromCoroutine(ask())

    def test_few_descriptors(self) -> None:
        """Where few files may be open, fewer clients are served at once, and at least one."""
        for descriptors, connections in ((10**6, 1000), (256, 64), (3, 1)):
            limits = services.limits_for(descriptors)
            self.assertEqual(limits.connections, connections)

    def test_up_and_down(self) -> None:
        """It answers while it runs, and nothing is left when it has stopped."""
        self.service.startService()
        self.successResultOf(self.service.ready)
        self.assertEqual(self.env.run(self.get("/a")), b"here")
        self.env.run(self.service.stopService())
        self.assertEqual(self.part.calls, ["start", "handle", "stop"])
        self.assertFalse(self.service.running)
        self.assertRaises(PigpenError, self.env.run, self.get("/a"))

    def test_proxies(self) -> None:
        """Behind a server that the configuration names, clients are known by their addresses."""
        for proxies, address in (([], "127.0.0.1"), (["127.0.0.1"], "192.0.2.1")):
            service = self.make(Listen(port=2573, proxies=proxies))
            service.startService()
            self.env.run(self.get("/a", **{"X-Forwarded-For": "192.0.2.1"}))
            self.env.run(service.stopService())
            self.assertEqual(self.part.addresses.pop(), address)

    def test_under_way(self) -> None:
        """A stop lets a request that is under way end, then stops the part."""
        self.service.startService()
        asked = self.get("/slow")
        self.env.world.clock.advance(1)
        stopped = self.service.stopService()
        self.env.world.clock.advance(1)
        self.assertEqual(self.part.calls, ["start", "handle"])
        self.part.go.callback(None)
        self.assertEqual(self.env.run(asked), b"here")
        self.env.run(stopped)
        self.assertEqual(self.part.calls[-1], "stop")

    def test_stuck(self) -> None:
        """A request that does not end is cut after ten seconds."""
        self.service.startService()
        asked = self.get("/slow")
        self.env.world.clock.advance(1)
        before = self.env.clock.seconds()
        self.env.run(self.service.stopService())
        self.assertLess(self.env.clock.seconds() - before, 12)
        self.assertRaises(PigpenError, self.env.run, asked)

    def test_port_taken(self) -> None:
        """A port that is taken: said at once, with what to do; the part is not started."""
        self.service.startService()
        second = self.make(Listen(port=2573))
        error = self.assertRaises(ConfigError, second.startService)
        self.assertIn("port 2573", error.message)
        self.assertIn("--port", error.message)
        self.assertEqual(self.part.calls, ["start"])

    def test_cannot_start(self) -> None:
        self.part.error = BadRequest(reason="no")
        self.service.startService()
        self.assertEqual(self.fatal, [self.part.error])
        self.env.run(self.service.stopService())

    def test_bug(self) -> None:
        """A bug at the start ends the process as well, and is logged."""
        self.part.error = ZeroDivisionError()
        self.service.startService()
        self.assertEqual([type(error) for error in self.fatal], [PigpenError])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_bad_certificate(self) -> None:
        path = self.mktemp()
        listen = Listen(port=2573, certificate=os.path.abspath(path), private_key="/nowhere")
        error = self.assertRaises(ConfigError, self.make(listen).startService)
        self.assertIn(path, error.message)


class MakeTests(SynchronousTestCase):
    def test_loopback(self) -> None:
        for name in ("127.0.0.1", "127.9.9.9", "::1", "localhost"):
            self.assertTrue(config.is_loopback(name), name)
        for name in ("0.0.0.0", "::", "10.0.0.1", "", "example.org"):
            self.assertFalse(config.is_loopback(name), name)

    def test_own_url(self) -> None:
        self.assertEqual(services.own_url(Listen(port=1, interface="::1")), "http://[::1]:1")
        secure = Listen(port=1, certificate="c", private_key="k")
        self.assertEqual(services.own_url(secure), "https://127.0.0.1:1")

    def test_addresses(self) -> None:
        """A host that is not told its addresses is reached where it listens."""
        wanted = HostConfig(folder="x", access_key="K", port=9)
        made = services.make_host(SimEnv(), wanted, print)
        self.assertEqual(made.part._settings.addresses, ["http://127.0.0.1:9"])

    def test_coordinator(self) -> None:
        made = services.make_coordinator(SimEnv(), CoordinatorConfig(folder="x"), print)
        self.assertTrue(made.part._settings.folder.endswith("/x"))
