"""A host on a simulated machine, with a coordinator that is a few lists."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from twisted.internet.defer import Deferred

from pigpen.env import sleep
from pigpen.errors import ConnectFailed, PigpenError
from pigpen.host.host import Host
from pigpen.host.settings import HostSettings
from pigpen.http import wire
from pigpen.http.answers import error_answer, json_answer
from pigpen.http.body import Body, BytesBody, PushBody, read_all
from pigpen.http.key import Key
from pigpen.http.message import Caller, Headers, Request, Response
from pigpen.testing.env import SimEnv
from tests.sender_kit import Asked, FakeSender

MIB = 1024 * 1024
CONTROL = "c" * 64


def id_of(number: int) -> str:
    """An id that looks like one."""
    return hashlib.sha256(b"%d" % number).hexdigest()


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class FakeCoordinator(FakeSender):
    """The client that a host is given, and the coordinator behind it."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.registrations: list[wire.Registration] = []
        self.heartbeats: list[wire.Heartbeat] = []
        self.receipts: list[wire.Receipt] = []
        #: with those that were not answered
        self.sent: list[wire.Receipt] = []
        #: called with a receipt; its answer
        self.judge: Callable[[wire.Receipt], wire.ReceiptAnswer] = _commit
        self.down = False
        #: answers to give instead, by the end of the path
        self.instead: dict[str, Response] = {}
        self.silent: list[Deferred[Response]] = []
        self.mute = False
        self.epoch = 0
        self.heartbeat_seconds: float = 10
        self.tokens: list[str] = []

    async def answer(self, asked: Asked) -> Response:
        path = asked.url.removeprefix("http://coordinator:2573")
        self.calls.append(f"{asked.method} {path}")
        self.tokens.append(asked.headers.get("Authorization", ""))
        data = await asked.data()
        if self.down:
            raise ConnectFailed(peer="the coordinator", reason="it is down")
        if self.mute:
            self.silent.append(Deferred())
            return await self.silent[-1]
        last = path.rsplit("/", 1)[-1]
        if last == "receipts":
            self.sent += msgspec.json.decode(data, type=list[wire.Receipt])
        if last in self.instead:
            planned = self.instead[last]
            return Response(planned.status, planned.headers.copy(), planned.body.replay())
        return self._answer(last, data)

    def _answer(self, last: str, data: bytes) -> Response:
        if last in {"hosts", "session"}:
            self.registrations.append(msgspec.json.decode(data, type=wire.Registration))
            self.epoch += 1
            key = "HOSTKEY" if last == "hosts" else None
            return json_answer(
                201, wire.Registered(7, self.epoch, CONTROL, self.heartbeat_seconds, key)
            )
        if last == "heartbeat":
            self.heartbeats.append(msgspec.json.decode(data, type=wire.Heartbeat))
            return Response(204)
        assert last == "receipts", last
        receipts = msgspec.json.decode(data, type=list[wire.Receipt])
        self.receipts.extend(receipts)
        return json_answer(200, [self.judge(receipt) for receipt in receipts])


def _commit(receipt: wire.Receipt) -> wire.ReceiptAnswer:
    return wire.ReceiptAnswer(receipt.write, 201, f'"{receipt.blob[:32]}"', "v1", 1)


class Kit:
    """One host; ``kit.put(...)``, ``kit.get(...)`` are what a client sees."""

    def __init__(
        self,
        env: SimEnv | None = None,
        coordinator: FakeCoordinator | None = None,
        **settings: Any,
    ) -> None:
        self.env = SimEnv() if env is None else env
        self.coordinator = FakeCoordinator() if coordinator is None else coordinator
        self.disk = self.env.disk
        values = {
            "folder": "/pool",
            "coordinator": "http://coordinator:2573",
            "access_key": "KEY",
            "target_size": 1024 * MIB,
            "floor": 0,
            "addresses": ["http://host:2575"],
            **settings,
        }
        self.host = Host(self.env, self.coordinator, HostSettings(**values))

    def start(self) -> Kit:
        self.env.run(self.host.start())
        self.env.run(self.host.when_online())
        return self

    def stop(self) -> None:
        self.env.run(self.host.stop(0))

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.env.run(sleep(self.env, seconds), seconds + 1)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.env.run(work)

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: Body | bytes = b"",
        headers: dict[str, str] | None = None,
        address: str = "192.0.2.1",
        query: str = "",
    ) -> Deferred[Response]:
        """A request under way; errors become what a client gets."""
        request = Request(
            method,
            Key.from_path(path),
            query_string=query,
            headers=Headers(headers or {}),
            body=BytesBody(body) if isinstance(body, bytes) else body,
            caller=Caller(address),
        )
        return Deferred.fromCoroutine(self._answer(request))

    async def _answer(self, request: Request) -> Response:
        try:
            return await self.host.handler.handle(request)
        except PigpenError as error:
            return error_answer(error)

    def answer(self, method: str, path: str, **options: Any) -> Response:
        return self.env.run(self.ask(method, path, **options))

    def status(self, method: str, path: str, **options: Any) -> int:
        """The status of an answer whose body is thrown away."""
        response = self.answer(method, path, **options)
        self.env.run(response.body.aclose())
        return response.status

    def expect(self, *expectations: wire.Expectation) -> list[wire.ExpectationAnswer]:
        body = wire.encode(list(expectations))
        headers = {"Authorization": f"Bearer {CONTROL}", "Content-Type": "application/json"}
        response = self.answer("POST", "/expect", body=body, headers=headers)
        assert response.status == 200, (response.status, self.text(response))
        return msgspec.json.decode(self.text(response), type=list[wire.ExpectationAnswer])

    def statuses(self, *expectations: wire.Expectation) -> list[int]:
        return [answer.status for answer in self.expect(*expectations)]

    def text(self, response: Response) -> bytes:
        return self.env.run(read_all(response.body, 100 * MIB))

    def expect_put(self, number: int, **fields: Any) -> str:
        """Announce a PUT; its path."""
        values = {"uuid": id_of(number), "blob": id_of(number + 10**6), "write": id_of(number)}
        if "length" not in fields:
            values["max_bytes"] = 512 * MIB
        [answer] = self.expect(wire.Expectation(method="PUT", **{**values, **fields}))
        assert answer.status == 204, answer
        return f"/x/{id_of(number)}"

    def expect_status(self, number: int) -> int:
        """What announcing a small PUT is answered."""
        one = wire.Expectation(id_of(number), "PUT", id_of(number + 10**6), length=3)
        return self.statuses(one)[0]

    def expect_get(self, blob: str, number: int, **fields: Any) -> str:
        values = {"uuid": id_of(number + 5 * 10**6), "blob": blob, **fields}
        [answer] = self.expect(wire.Expectation(method="GET", **values))
        assert answer.status == 204, answer
        return f"/x/{values['uuid']}"

    def store(self, number: int, data: bytes) -> str:
        """Put a blob there; its id."""
        path = self.expect_put(number, length=len(data))
        assert self.status("PUT", path, body=data) == 201
        return id_of(number + 10**6)

    def blob_path(self, blob: str) -> str:
        return f"/pool/blobs/{blob[:2]}/{blob[2:4]}/{blob}"

    def files(self) -> dict[str, int]:
        """What lies in the folder, but for the files of the host itself."""
        return {
            path: size
            for path, size in self.disk.tree("/pool").items()
            if not path.startswith(("/pool/pigpen-host", "/pool/outbox"))
        }


def chunks(data: bytes, size: int, length: int | None = None) -> PushBody:
    """A body of which nothing is missing, in pieces."""
    body = PushBody(length)
    for start in range(0, len(data), size):
        body.push(data[start : start + size])
    body.finish()
    return body
