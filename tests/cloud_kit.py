"""A whole cloud in one simulated world: coordinator, real or scripted hosts, HTTP clients."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from twisted.internet.defer import Deferred

from pigpen.coordinator import operator
from pigpen.coordinator.addresses import is_public
from pigpen.coordinator.coordinator import Coordinator
from pigpen.coordinator.settings import CoordinatorSettings
from pigpen.host.host import Host
from pigpen.host.settings import HostSettings
from pigpen.http import wire
from pigpen.http.answers import json_answer
from pigpen.http.body import Body, BytesBody, read_all
from pigpen.http.fields import format_digest
from pigpen.http.key import Key
from pigpen.http.message import Headers, Request, Response
from pigpen.http.namespace import Namespace
from pigpen.testing import SimEnv, World
from pigpen.web.client import HttpClient
from pigpen.web.server import HttpFactory

if TYPE_CHECKING:
    from pigpen.testing.namespace_contract import NamespaceContract

T = TypeVar("T")

MIB = 1024 * 1024
COORDINATOR = "http://coordinator:2573"


class Node:
    """A part on a machine, behind a port."""

    def __init__(self, env: SimEnv, part: Any, client: HttpClient, port: int) -> None:
        self.env = env
        self.part = part
        self.client = client
        self._number = port
        self._port: Any = None
        self.factory = HttpFactory(env, part.handler)

    async def start(self) -> None:
        endpoint = self.env.server_endpoint(f"tcp:{self._number}")
        self._port = await endpoint.listen(self.factory)
        await self.part.start()

    async def stop(self) -> None:
        await self._port.stopListening()
        await self.factory.drain(1)
        await self.part.stop()
        await self.client.close()


class Answer:
    """A response that was read to its end."""

    def __init__(self, response: Response, data: bytes) -> None:
        self.status = response.status
        self.headers = response.headers
        self.data = data

    def json(self, shape: type[T]) -> T:
        return msgspec.json.decode(self.data, type=shape)

    @property
    def code(self) -> str:
        return self.json(wire.Problem).error

    def __repr__(self) -> str:
        return f"<{self.status} {dict(self.headers)} {self.data[:300]!r}>"


class Cloud:
    """Starts parts on nodes of one world. Close it at the end of the test."""

    def __init__(self, seed: int = 0, **settings: Any) -> None:
        self.world = World(seed)
        # in memory where there is such a place: here the real disk's flushes only cost time
        fast = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self._folder = tempfile.TemporaryDirectory(prefix="pigpen-test-", dir=fast)
        self._settings: dict[str, Any] = {
            "folder": "coordinator",
            "catalog": os.path.join(self._folder.name, "catalog.sqlite"),
            "allow_private": True,
            **settings,
        }
        self.nodes: dict[str, Node] = {}
        self.user = self.world.node("user")
        self.client = HttpClient(self.user)
        self.key = ""
        self.start_coordinator()
        self.key = self.run(self.coordinator.make_account("ann"))

    def run(self, work: Coroutine[Any, Any, T], **options: Any) -> T:
        return self.world.run(work, **options)

    @property
    def coordinator(self) -> Coordinator:
        part: Coordinator = self.nodes["coordinator"].part
        return part

    def set_quota(self, quota: int | None) -> None:
        """Of the user's account, as an operator does it."""

        async def set_it() -> None:
            await self.coordinator._catalog.write(operator.set_quota, "ann", quota)

        self.run(set_it())

    def start_coordinator(self) -> None:
        env = self.world.node("coordinator")
        client = HttpClient(env, may_reach=None if self._settings["allow_private"] else is_public)
        part = Coordinator(env, client, CoordinatorSettings(**self._settings))
        self._start("coordinator", Node(env, part, client, 2573))

    def restart_coordinator(self) -> None:
        """Killed and started again: only its files are left."""
        self.coordinator._catalog.drop()
        self.nodes["coordinator"].env.boot()
        self.start_coordinator()

    def start_host(self, name: str, **settings: Any) -> None:
        """A real host; it is online when this returns."""
        env = self.world.node(name)
        client = HttpClient(env)
        wanted = {
            "folder": "pool", "coordinator": COORDINATOR, "target_size": 1000 * MIB, "floor": 0,
            "addresses": [f"http://{name}:2575"], "access_key": self.key,
        }  # fmt: skip
        part = Host(env, client, HostSettings(**{**wanted, **settings}))
        self._start(name, Node(env, part, client, 2575))

        async def online() -> None:
            await part.when_online()

        self.run(online())

    def start_fake_host(self, name: str, **settings: Any) -> FakeHost:
        """A scripted host; it is online when this returns."""
        env = self.world.node(name)
        client = HttpClient(env)
        part = FakeHost(env, client, name, self.key, **settings)
        self._start(name, Node(env, part, client, 2575))
        return part

    def _start(self, name: str, node: Node) -> None:
        self.nodes[name] = node
        self.run(node.start())

    def close(self) -> None:
        """Stop everything that still lives; nothing may be left over."""
        try:
            for name, node in reversed(list(self.nodes.items())):
                if node.env.alive and self.world.nodes[name] is node.env:
                    self.run(node.stop())
            self.run(self.client.close())
            self.world.settle()
            self.world.assert_clean(collect=False)
        finally:
            self._folder.cleanup()

    # -- as a user --------------------------------------------------------------------------------

    def ask(
        self,
        method: str,
        path: str,
        data: bytes | Body | None = None,
        *,
        key: str | None = None,
        **fields: str,
    ) -> Answer:
        """One request to the coordinator, or to any URL, as one user: fields_like_this."""
        return self.run(self.asking(method, path, data, key=key, **fields))

    async def asking(
        self,
        method: str,
        path: str,
        data: bytes | Body | None = None,
        *,
        key: str | None = None,
        **fields: str,
    ) -> Answer:
        headers = Headers({name.replace("_", "-"): value for name, value in fields.items()})
        url = path
        if not path.startswith("http"):
            url = COORDINATOR + path
            key = self.key if key is None else key
            if key:
                headers.setdefault("Authorization", f"Bearer {key}")
        body = BytesBody(data) if isinstance(data, bytes) else data
        response = await self.client.request(method, url, headers=headers, body=body)
        return Answer(response, await read_all(response.body, 100 * MIB))

    def direct(self, request: Request) -> Answer:
        """A request as the server would hand it to the coordinator; refusals raise."""

        async def asked() -> Answer:
            request.headers.setdefault("Authorization", f"Bearer {self.key}")
            response = await self.coordinator.handler.handle(request)
            return Answer(response, await read_all(response.body, MIB))

        return self.run(asked())

    def put(self, key: str, data: bytes, **fields: str) -> Answer:
        """The JSON form, as pigpen's own client does it."""
        offer = self.ask(
            "PUT", f"/api/ann/{key}?redirect=false", Upload_Length=str(len(data)), **fields
        )
        if offer.status != 200:
            return offer
        return self.ask("PUT", offer.json(wire.UploadOffer).url, data)

    def get(self, key: str, **fields: str) -> Answer:
        """As a client that follows redirects."""
        answer = self.ask("GET", f"/api/ann/{key}", **fields)
        if answer.status == 307:
            return self.ask("GET", answer.headers["Location"])
        return answer

    def metric(self, name: str) -> float:
        """A number of the coordinator's /metrics."""
        for line in self.ask("GET", "/metrics").data.decode().splitlines():
            if line.startswith(name + " "):
                return float(line.split()[-1])
        return 0.0


class HeldBody(BytesBody):
    """A body whose client waits for 100 Continue; it must not be asked for."""

    held_back = True

    def __init__(self, data: bytes = b"", *, length: int | None = None) -> None:
        super().__init__(data)
        self.length = length
        self.asked = False

    async def __anext__(self) -> bytes:
        self.asked = True
        return await super().__anext__()


class FakeHost:
    """A host that follows a script: what it acknowledges, answers and reports is the test's."""

    def __init__(
        self, env: SimEnv, client: HttpClient, name: str, access_key: str, **facts: Any
    ) -> None:
        self.env = env
        self.client = client
        self.name = name
        self.registered: wire.Registered | None = None
        self.instance = hashlib.sha256(name.encode()).hexdigest()
        self.facts: dict[str, Any] = {
            "addresses": [f"http://{name}:2575"], "target_size": 1000 * MIB, "floor": 0, "used": 0,
            "disk_free": 10_000 * MIB, **facts,
        }  # fmt: skip
        self._access_key = access_key
        #: what was announced, by uuid
        self.expected: dict[str, wire.Expectation] = {}
        #: the status for each expectation
        self.acknowledge = 204
        #: bytes of a part it says it has
        self.offset = 0
        #: never answers /expect
        self.hangs = False
        self.blobs: dict[str, bytes] = {}
        #: all that any request brought: to look for secrets in
        self.seen: list[str] = []
        #: what it answers to PUT, if not as it should
        self.says: int | None = None
        self.handler = self

    async def start(self) -> None:
        self.registered = (await self.post("", self.registration(), self._access_key)).json(
            wire.Registered
        )

    async def stop(self) -> None:
        return None

    def registration(self, **facts: Any) -> wire.Registration:
        return wire.Registration(**{"instance": self.instance, **self.facts, **facts})

    def heartbeat(self, **facts: Any) -> wire.Heartbeat:
        assert self.registered is not None
        report = {**self.facts, "epoch": self.registered.epoch, "reserved": 0, "state": "up"}
        return wire.Heartbeat(**{**report, **facts})

    async def post(self, path: str, value: object, key: str | None = None) -> Answer:
        if key is None:
            assert self.registered is not None
            key = self.registered.host_key or ""
        headers = Headers({"Authorization": f"Bearer {key}", "Content-Type": "application/json"})
        response = await self.client.request(
            "POST",
            f"{COORDINATOR}/hosts{path}",
            headers=headers,
            body=BytesBody(wire.encode(value)),
        )
        return Answer(response, await read_all(response.body, MIB))

    async def act(self, action: str, value: object, key: str | None = None) -> Answer:
        assert self.registered is not None
        return await self.post(f"/{self.registered.id}/{action}", value, key)

    async def receipt(self, expectation: wire.Expectation, **facts: Any) -> wire.ReceiptAnswer:
        assert self.registered is not None and expectation.write is not None
        data = self.blobs[expectation.blob]
        receipt = {
            "write": expectation.write, "blob": expectation.blob, "length": len(data),
            "sha256": hashlib.sha256(data).hexdigest(), "epoch": self.registered.epoch, **facts,
        }  # fmt: skip
        answer = await self.act("receipts", [wire.Receipt(**receipt)])
        return answer.json(list[wire.ReceiptAnswer])[0]

    # -- requests ---------------------------------------------------------------------------------

    async def handle(self, request: Request) -> Response:
        self.seen += [f"{request.method} {request.key}", *request.headers.values()]
        names = request.key.names
        if names == ("expect",):
            return await self._expect(request)
        if names == ("status",):
            return self._status()
        expectation = self.expected.get(names[1]) if names[:1] == ("x",) else None
        if expectation is None or expectation.method != request.method:
            return json_answer(403, wire.Problem("expectation", "no"))
        if request.method == "PUT":
            return await self._put(request, expectation)
        data = self.blobs[expectation.blob]
        if "Range" in request.headers:
            first, last = map(int, request.headers["Range"].removeprefix("bytes=").split("-"))
            headers = Headers({"Content-Range": f"bytes {first}-{last}/{len(data)}"})
            return Response(206, headers, BytesBody(data[first : last + 1]))
        return Response(200, body=BytesBody(data))

    async def _expect(self, request: Request) -> Response:
        assert self.registered is not None
        if request.headers.get("Authorization") != f"Bearer {self.registered.control}":
            return Response(401)
        batch = msgspec.json.decode(await read_all(request.body, MIB), type=list[wire.Expectation])
        if self.hangs:
            await Deferred()
        for expectation in batch:
            self.expected[expectation.uuid] = expectation
        return json_answer(
            200,
            [wire.ExpectationAnswer(one.uuid, self.acknowledge, self.offset) for one in batch],
        )

    def _status(self) -> Response:
        assert self.registered is not None
        status = wire.HostStatus(
            id=self.registered.id, epoch=self.registered.epoch, instance=self.instance, state="up",
            target_size=0, used=0, reserved=0, floor=0, disk_free=0,
        )  # fmt: skip
        return json_answer(200, status)

    async def _put(self, request: Request, expectation: wire.Expectation) -> Response:
        data = await read_all(request.body, 100 * MIB)
        self.blobs[expectation.blob] = data
        if self.says is not None:
            return json_answer(self.says, wire.Problem("digest", "no"))
        answer = await self.receipt(expectation)
        if answer.status >= 300:
            return json_answer(
                answer.status, wire.Problem(answer.error or "", answer.message or "")
            )
        headers = Headers({"Repr-Digest": format_digest(hashlib.sha256(data).digest())})
        stored = wire.Stored(answer.etag or "", answer.version or "", answer.status == 204)
        return json_answer(201, stored, headers)


def namespace_of(case: NamespaceContract, cloud: Cloud) -> Namespace:
    """The catalog as its user sees it through a face, with a host, for the contract's tests."""
    case.at_end(cloud.close)
    case.world, case.env = cloud.world, cloud.user
    cloud.start_host("h1")
    headers = Headers({"Authorization": f"Bearer {cloud.key}"})
    request = Request("PROPFIND", Key((), True), headers=headers)
    return cloud.run(cloud.coordinator.admission.admit(request)).namespace
