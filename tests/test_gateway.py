"""The gateway: who may come in, by what name, and what they see (DAV-100 to DAV-103)."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, Iterator
from typing import Any

from twisted.logger import LogEvent, capturedLogs, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from pigpen.config import GatewayConfig, UserConfig
from pigpen.dav.users import user_lines
from pigpen.env import sleep
from pigpen.errors import BodyAborted, ConfigError, Forbidden, Misdirected, PigpenError
from pigpen.gateway import make_gateway
from pigpen.http import wire
from pigpen.http.body import BytesBody, StreamBody, read_all
from pigpen.http.key import Key
from pigpen.http.message import Caller, Headers, Request, Response
from pigpen.service_options import _from_user
from pigpen.testing.env import SimEnv
from pigpen.web.client import HttpClient
from pigpen.web.server import HttpFactory
from tests.cloud_kit import COORDINATOR, MIB, Cloud

HERE = Caller("127.0.0.1")
BIG = bytes(range(256)) * 1000


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


class GatewayCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.cloud = Cloud()
        self.addCleanup(self.cloud.close)
        self.cloud.start_host("h1")
        self.env = self.cloud.world.node("gateway")
        self.fatal: list[PigpenError] = []
        self.service = self.make()

    def make(self, **options: Any) -> Any:
        options = {"coordinator": COORDINATOR, "access_key": self.cloud.key, **options}
        service = make_gateway(self.env, GatewayConfig(**options), self.fatal.append)
        self.addCleanup(lambda: self.cloud.run(service._client.close()))
        self.service = service
        return service

    def ask(
        self,
        method: str,
        path: str = "/",
        data: bytes = b"",
        caller: Caller = HERE,
        secure: bool = False,
        **fields: str,
    ) -> tuple[Response, bytes]:
        headers = Headers({"Host": "localhost:2574"})
        headers.update({name.replace("_", "-"): value for name, value in fields.items()})
        request = Request(
            method, Key.from_path(path), headers=headers, body=BytesBody(data), caller=caller,
            secure=secure,
        )  # fmt: skip

        async def asking() -> tuple[Response, bytes]:
            answer = await self.service.part.handler.handle(request)
            return answer, await read_all(answer.body, MIB)

        return self.cloud.run(asking())

    def status(self, *args: Any, **options: Any) -> int:
        return self.ask(*args, **options)[0].status


class GatewayTests(GatewayCase):
    def test_loopback(self) -> None:
        """On this machine programs that know nothing of pigpen store and fetch, without a login."""
        for data in (b"hello", BIG):
            self.ask("DELETE", "/a%20b")
            self.assertEqual(self.status("PUT", "/a%20b", data), 201)
            self.assertEqual(self.status("PUT", "/a%20b", data), 204)
            answer, got = self.ask("GET", "/a%20b")
            self.assertEqual((answer.status, got), (200, data))
            answer, got = self.ask("GET", "/a%20b", Range="bytes=1-3")
            self.assertEqual((answer.status, got), (206, data[1:4]))
            etag = answer.headers["ETag"]
            self.assertEqual(self.status("GET", "/a%20b", If_None_Match=etag), 304)
        self.assertEqual(self.status("PROPFIND", "/", Depth="1"), 207)
        self.assertEqual(self.status("GET", "/none"), 404)
        self.assertEqual(self.ask("OPTIONS")[0].headers["DAV"], "1, 2, 3, extended-mkcol")

    def test_web_pages(self) -> None:
        """A page in a browser on this machine cannot reach the cloud (DNS rebinding, forms)."""
        for name in ("127.0.0.1:2574", "[::1]:2574", "localhost"):
            self.assertEqual(self.status("GET", "/", Host=name), 200)
        self.assertRaises(Misdirected, self.ask, "GET", "/", Host="evil.example:2574")
        for origin in ("http://evil.example", "null"):
            self.assertRaises(Forbidden, self.ask, "PUT", "/x", b"x", Origin=origin)
        self.assertEqual(self.status("PUT", "/x", b"x", Origin="http://localhost:2574"), 201)

    def test_alias(self) -> None:
        """A name that it is given is its own in Host, Destination and Origin."""
        self.make(aliases=["Cloud.Example"])
        self.assertEqual(self.status("PUT", "/x", b"x", Host="cloud.example:2574"), 201)
        there = "http://cloud.example:2574/y"
        self.assertEqual(self.status("COPY", "/x", Destination=there), 201)
        self.assertEqual(self.status("COPY", "/x", Destination="http://other.example/y"), 502)

    def test_names_that_are_none(self) -> None:
        """What no Host field and no connection can have is found at the start."""
        for alias in ("", "http://cloud.example/", "cloud.example/x", "a b", "cloud.example:x"):
            self.assertRaises(ConfigError, self.make, aliases=[alias])
        self.make(aliases=["a-b.example:8443", "192.0.2.1", "[2001:db8::1]:80", "2001:db8::1"])
        for proxy in ("", "cloud.example", "192.0.2.1:80"):
            self.assertRaises(ConfigError, self.make, proxies=[proxy])
        self.make(proxies=["192.0.2.1", "2001:db8::1"])

    def test_open_behind_proxy(self) -> None:
        """An account that a proxy may show to the world without a login: its owner is told."""
        proxies = ["192.0.2.1"]
        for options, told in (({"proxies": proxies}, 1), ({}, 0)):
            with capturedLogs() as events:
                self.make(**options)
            texts = [formatEvent(event) for event in events]
            self.assertEqual(sum("without a login" in text for text in texts), told)

    def test_prefix(self) -> None:
        self.make(prefix="/a/b/")
        self.assertEqual(self.status("PUT", "/a/b/x", b"x"), 201)
        self.assertEqual(self.cloud.get("x").data, b"x")
        self.assertIn(b"/a/b/x", self.ask("PROPFIND", "/a/b", Depth="1")[1])
        self.assertEqual(self.status("PROPFIND", "/", Depth="1"), 207)
        error = self.assertRaises(ConfigError, self.make, prefix="/%zz")
        self.assertNotIn("..", error.message)

    def test_keys(self) -> None:
        """Elsewhere everyone logs in with login and access key, and sees that account."""
        other = self.cloud.run(self.cloud.coordinator.make_account("bob"))
        self.make(
            interface="0.0.0.0", certificate="c", private_key="k", access_key=None,
            aliases=["cloud.example"],
        )  # fmt: skip
        far: dict[str, Any] = {
            "caller": Caller("192.0.2.1"), "secure": True, "Host": "cloud.example",
        }  # fmt: skip
        answer, _ = self.ask("GET", "/x", **far)
        self.assertEqual(answer.status, 401)
        self.assertIn("Basic", answer.headers["WWW-Authenticate"])
        ann, bob = basic("ann", self.cloud.key), basic("bob", other)
        self.assertEqual(self.status("PUT", "/x", b"ann's", Authorization=ann, **far), 201)
        self.assertEqual(self.status("GET", "/x", Authorization=bob, **far), 404)
        self.assertEqual(self.ask("GET", "/x", Authorization=ann, **far)[1], b"ann's")
        for name, key in (("bob", self.cloud.key), ("ann", "pp_no"), ("ann", "\u00fc")):
            self.assertEqual(self.status("GET", "/x", Authorization=basic(name, key), **far), 401)

    def test_ended_key(self) -> None:
        """An access key that is ended stops working at once."""
        second = self.cloud.run(self.cloud.coordinator.add_key("ann"))
        self.make(interface="0.0.0.0", certificate="c", private_key="k")
        far: dict[str, Any] = {"caller": Caller("192.0.2.1"), "Host": "192.0.2.9"}
        self.assertEqual(self.status("GET", Authorization=basic("ann", second), **far), 200)
        key_id = second.split("_")[1]
        self.assertEqual(self.cloud.ask("DELETE", f"/account/keys/{key_id}").status, 204)
        self.assertEqual(self.status("GET", Authorization=basic("ann", second), **far), 401)

    def test_users(self) -> None:
        """Users of a file share the gateway's account."""
        self.file("/users", user_lines("eve", "secret"), 0o600)
        with capturedLogs() as events:
            self.make(users="/users", proxies=["192.0.2.1"])
        self.assertNotIn("without a login", " ".join(map(str, map(formatEvent, events))))
        self.assertEqual(self.status("PUT", "/x", b"x"), 401)
        self.assertEqual(self.status("PUT", "/x", b"x", Authorization=basic("eve", "secret")), 201)
        self.assertEqual(self.cloud.get("x").data, b"x")

    def test_users_file(self) -> None:
        """A file of users that others may read, or that is none, is refused."""
        self.file("/open", user_lines("eve", "secret"), 0o644)
        self.file("/wrong", "eve:secret\n", 0o600)
        for path, reason in (("/open", "chmod"), ("/wrong", "line 1"), ("/none", "no such file")):
            error = self.assertRaises(ConfigError, self.make, users=path)
            self.assertIn(reason, error.message)

    def file(self, name: str, text: str, mode: int) -> None:
        disk: Any = self.env.disk
        file = disk.create(name)
        file.write(text.encode())
        file.close()
        disk._existing(name)[2].mode = mode

    def test_in_the_open(self) -> None:
        """Over plain HTTP nobody is let show a key; only users, who log in by Digest."""
        error = self.assertRaises(ConfigError, self.make, interface="0.0.0.0")
        self.assertIn("--certificate", error.message)
        error = self.assertRaises(ConfigError, self.make, interface="0.0.0.0", insecure=True)
        self.assertIn("--users", error.message)
        self.file("/users", user_lines("eve", "secret"), 0o600)
        self.make(interface="0.0.0.0", insecure=True, users="/users")
        far: dict[str, Any] = {"caller": Caller("192.0.2.1"), "Host": "192.0.2.9:2574"}
        answer, _ = self.ask("GET", Authorization=basic("eve", "secret"), **far)
        self.assertEqual(answer.status, 401)
        challenges = answer.headers.getall("WWW-Authenticate")
        self.assertTrue(all(one.startswith("Digest") for one in challenges), challenges)

    def test_own_key(self) -> None:
        """A wrong access key is found at the start, not at the first request."""
        self.make(access_key="pp_wrong")
        self.assertRaises(PigpenError, self.cloud.run, self.service.part.start())
        error = self.assertRaises(ConfigError, self.make, access_key=None)
        self.assertIn("accesskey: KEY", error.message)

    def test_redirect(self) -> None:
        """Programs that follow read from the host; others do not notice."""
        self.make(redirect=True)
        self.ask("PUT", "/x", BIG)
        answer, _ = self.ask("GET", "/x", User_Agent="rclone/v1.60")
        self.assertEqual(answer.status, 307)
        there = self.cloud.ask("GET", answer.headers["Location"], key="")
        self.assertEqual(there.data, BIG)
        here, data = self.ask("GET", "/x", User_Agent="cadaver")
        self.assertEqual(data, BIG)
        for name in ("ETag", "Last-Modified", "Content-Type", "Accept-Ranges"):
            self.assertEqual(there.headers[name], here.headers[name])

    def test_redirect_with_a_login(self) -> None:
        """What a program sends along, such as its login, is not looked at there (DAV-82)."""
        self.make(redirect=True)
        self.ask("PUT", "/x", BIG)
        for authorization in (basic("eve", "secret"), 'Digest username="eve"', "Bearer pp_other"):
            answer, _ = self.ask("GET", "/x", User_Agent="gvfs/1.50")
            url = answer.headers["Location"]
            fields = {"Authorization": authorization, "Range": "bytes=5-9"}
            there = self.cloud.ask("GET", url, key="", **fields)
            self.assertEqual((there.status, there.data), (206, BIG[5:10]))

    def test_trusted(self) -> None:
        """~/.pigpen may silence a warning about the access key; it opens no port to the world."""
        merged = _from_user(GatewayConfig(), UserConfig(insecure=True))
        self.assertEqual((merged.trusted, merged.insecure), (True, False))


class LeavingTests(GatewayCase):
    """Clients that go away over a real connection: all is freed within 100 ms (DAV-138)."""

    def setUp(self) -> None:
        super().setUp()
        self.service.startService()
        self.cloud.run(self.service.ready)
        self.addCleanup(lambda: self.cloud.run(self.service.stopService()))
        self.client = HttpClient(self.env)
        self.addCleanup(lambda: self.cloud.run(self.client.close()))
        self.url = "http://127.0.0.1:2574/big"

    def busy(self) -> int:
        """Requests of the gateway that are under way."""
        return self.service._client.busy

    def test_reader(self) -> None:
        self.cloud.put("big", b"x" * 3 * MIB)

        async def leave() -> None:
            answer = await self.client.request("GET", self.url)
            await anext(answer.body)
            self.assertEqual(self.busy(), 1)
            await answer.body.aclose()
            await sleep(self.env, 0.1)
            self.assertEqual(self.busy(), 0)

        self.cloud.run(leave())

    def test_slow_reader(self) -> None:
        """Who reads slowly holds a window of memory, not the file."""
        self.cloud.put("big", b"x" * 4 * MIB)

        async def wait() -> None:
            answer = await self.client.request("GET", self.url)
            await sleep(self.env, 60)
            calls = self.service._client._calls
            assert calls is not None
            [body] = [each._body for each in calls._live if each._body is not None]
            self.assertLess(body.buffered, MIB)
            size = 0
            async for chunk in answer.body:
                size += len(chunk)
            self.assertEqual(size, 4 * MIB)

        self.cloud.run(wait())

    def test_writer(self) -> None:
        """And the room that was set aside is given back; nothing is stored."""

        async def chunks() -> AsyncGenerator[bytes, None]:
            for _ in range(20):
                yield b"x" * 100_000
            await sleep(self.env, 1)
            self.assertGreater(self.busy(), 0)
            raise BodyAborted(received=0, reason="left")

        async def leave() -> None:
            try:
                await self.client.request("PUT", self.url, body=StreamBody(chunks(), 5_000_000))
            except BodyAborted:
                await sleep(self.env, 0.1)
            self.assertEqual(self.busy(), 0)

        self.cloud.run(leave())
        self.assertEqual(self.cloud.ask("GET", "/account").json(wire.Account).reserved, 0)
        self.assertEqual(self.cloud.get("big").status, 404)


class UnreachableTests(SynchronousTestCase):
    def test_coordinator_away(self) -> None:
        """While the coordinator cannot be reached, a file is not said to be missing."""
        env = SimEnv()
        made = make_gateway(env, GatewayConfig(access_key="pp_x"), print)
        request = Request("GET", Key.from_path("/x"))
        answer = env.run(made.part.handler.handle(request))
        self.assertEqual(answer.status, 503)
        self.assertIn("Retry-After", answer.headers)
        env.run(made._client.close())


class Stranger:
    """A server that is no coordinator, or stands before one."""

    def __init__(self, status: int, data: bytes = b"<p>hello</p>") -> None:
        self.status = status
        self.data = data

    async def handle(self, request: Request) -> Response:
        return Response(self.status, None, BytesBody(self.data))


class StartTests(GatewayCase):
    """Gateway and coordinator start in any order; a mistake still ends the start."""

    def start(self, **options: Any) -> list[str]:
        """:return: what is said, as it is said."""
        self.make(**options)
        said: list[str] = []
        self.observe(said)
        self.service.startService()
        self.addCleanup(lambda: self.cloud.run(self.stopped()))
        self.cloud.world.settle(1)
        return said

    def observe(self, said: list[str]) -> None:
        def observer(event: LogEvent) -> None:
            if event.get("log_namespace", "").startswith(("pigpen.gateway", "pigpen.services")):
                said.append(formatEvent(event))

        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    async def stopped(self) -> None:
        await self.service.stopService()

    def away(self) -> None:
        self.cloud.nodes["coordinator"].env.kill()

    def strangers(self, *facts: tuple[Any, ...]) -> Iterator[None]:
        """Others take the coordinator's place, one after the other; in the end it is back."""
        for fact in facts:
            self.away()
            env = self.cloud.nodes["coordinator"].env.boot()
            _ = env.server_endpoint("tcp:2573").listen(HttpFactory(env, Stranger(*fact)))
            self.fatal.clear()
            self.start()
            yield
            env.kill()
            self.cloud.restart_coordinator()
            self.cloud.run(self.stopped())

    def test_at_once(self) -> None:
        """The coordinator is there: one line says whose cloud it is, one where it listens."""
        said = self.start()
        self.assertEqual(len(said), 2, said)
        self.assertIn("the cloud of ann", said[0])
        self.successResultOf(self.service.ready)

    def test_away(self) -> None:
        """It is not: one line says so, everyone is told to come again, and when it is there, all
        works, without a restart."""
        self.away()
        said = self.start()
        self.successResultOf(self.service.ready)
        for seconds in (1, 60):
            answer, _ = self.ask("PROPFIND", "/", Depth="1")
            self.assertEqual(answer.status, 503)
            self.assertIn("Retry-After", answer.headers)
            self.cloud.world.settle(seconds)
        warnings = [line for line in said if "Cannot connect" in line]
        self.assertEqual(len(warnings), 1, said)
        self.assertIn("503", warnings[0])
        self.cloud.restart_coordinator()
        self.assertEqual(self.status("PROPFIND", "/", Depth="1"), 207)
        self.cloud.world.settle(10)
        self.assertIn("the cloud of ann", said[-1])
        self.assertEqual(self.fatal, [])

    def test_not_ready(self) -> None:
        """A proxy that stands before it has no coordinator yet, either."""
        for _ in self.strangers((429,), (502,), (503,)):
            self.assertEqual(self.fatal, [])

    def test_wrong_key(self) -> None:
        """A key that the coordinator does not know ends it, before it says that it listens."""
        said = self.start(access_key="pp_x")
        self.assertEqual([error.code for error in self.fatal], ["refused"])
        self.assertIn("access key", self.fatal[0].message)
        self.assertEqual(said, [])

    def test_wrong_key_later(self) -> None:
        """So it does when the coordinator comes to say so."""
        self.away()
        self.start(access_key="pp_x")
        self.assertEqual(self.fatal, [])
        self.cloud.restart_coordinator()
        self.cloud.world.settle(10)
        self.assertIn("access key", self.fatal[0].message)

    def test_wrong_address(self) -> None:
        """Something else answers there: it ends, and the sentence says where."""
        for _ in self.strangers((404,), (200,), (200, b'{"login": 1}')):
            self.assertEqual(len(self.fatal), 1)
            self.assertIn(COORDINATOR, self.fatal[0].message)

    def test_stopped(self) -> None:
        """A gateway that still waits can be stopped; it leaves nothing behind."""
        self.away()
        self.start()
        self.cloud.run(self.stopped())
        self.assertEqual(self.fatal, [])
        self.cloud.restart_coordinator()
