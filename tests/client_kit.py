"""A coordinator and two hosts in memory, behind a `Sender`; it can fail on demand.

The real ones answer the same way: tests/functional runs the client against them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from pigpen.errors import ConnectFailed, ConnectionLost
from pigpen.http import wire
from pigpen.http.answers import NDJSON, json_answer
from pigpen.http.body import Body, BytesBody, StreamBody
from pigpen.http.fields import format_digest
from pigpen.http.message import Headers, Response
from pigpen.http.ranges import parse_range
from tests.sender_kit import Asked, FakeSender

KEY = "pp_test"
COORDINATOR = "http://coordinator:2573"


@dataclass
class FakeWrite:
    key: str
    length: int | None
    state: str = "open"
    status: int | None = None
    etag: str | None = None
    data: bytearray = field(default_factory=bytearray)


@dataclass
class FakeObject:
    data: bytes
    etag: str


class FakeCloud(FakeSender):
    """`log` has a line for each request: who, method, path without ids."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.secrets_at_hosts: list[str] = []
        self.objects: dict[str, FakeObject] = {}
        self.writes: dict[str, FakeWrite] = {}
        self.spent: set[str] = set()
        #: hosts that cannot be reached
        self.down: set[str] = set()
        #: the next PUTs at a host are cut after so many bytes
        self.cut_puts: list[int] = []
        #: the next GETs at a host are cut after so many bytes
        self.cut_gets: list[int] = []
        #: the next answers of these kinds are lost: "small", "commit", "offer"
        self.lose: list[str] = []
        #: the next answers of a host to a PUT, instead of storing
        self.host_says: list[Response] = []
        self.coordinator_says: list[Response] = []
        #: flip a bit of what hosts send
        self.rot = False
        #: what hosts answer to who gives up; 405: an older one
        self.gives_up = 204
        #: a cut leaves nothing at the host
        self.forgets = False
        #: asked so often, a write is still open
        self.late = 0
        #: how every write ended, if asked for
        self.refusal: wire.WriteState | None = None

    def put(self, key: str, data: bytes) -> str:
        etag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
        self.objects[key] = FakeObject(data, etag)
        return etag

    async def answer(self, asked: Asked) -> Response:
        method, headers, body = asked.method, asked.headers, asked.body
        parts = urlsplit(asked.url)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        host = parts.hostname or ""
        if host == "coordinator":
            return await self._coordinator(method, parts.path, query, headers, body)
        return await self._host(host, method, parts.path, headers, body)

    # -- coordinator ------------------------------------------------------------------------------

    async def _coordinator(
        self, method: str, path: str, query: dict[str, str], headers: Headers, body: Body
    ) -> Response:
        self.log.append(f"c {method} {'?'.join([path, *sorted(query)])}")
        if "coordinator" in self.down:
            raise ConnectFailed(peer="coordinator", reason="refused")
        if headers.get("Authorization") != f"Bearer {KEY}":
            return problem(401, "unauthorized", "A valid access key is needed.")
        if path == "/account":
            return json_answer(200, wire.Account("me", 5, 0, 1, 1, []))
        if self.coordinator_says:
            return self.coordinator_says.pop(0)
        key = path.removeprefix("/api/me/")
        if method == "PUT":
            return await self._put(key, query, headers, body)
        if "write" in query:
            return self._write(method, query["write"])
        if path.endswith("/") and method == "GET":
            return self._list(key)
        if method == "GET":
            return self._get(key, headers)
        if method == "HEAD":
            answer = self._get(key, headers)
            length = len(self.objects[key].data) if key in self.objects else 0
            fields = Headers({"ETag": answer.headers.get("ETag", '"big"')})
            fields["Content-Length"] = str(length)
            return Response(answer.status, fields) if answer.status == 200 else answer
        if method == "DELETE":
            return Response(204) if self.objects.pop(key, None) else problem(404, "not-found", "")
        raise AssertionError(f"{method} {path}")

    async def _put(self, key: str, query: dict[str, str], headers: Headers, body: Body) -> Response:
        assert query["redirect"] == "false"
        write = headers["Pigpen-Write"]
        length = int(headers["Upload-Length"]) if "Upload-Length" in headers else None
        data = b"".join([chunk async for chunk in body])
        if data or length == 0:
            assert len(data) == length, "the small form tells its length"
            answer = self._commit(write, self.writes.setdefault(write, FakeWrite(key, 0)), data)
            if self._loses("small"):
                raise ConnectionLost(peer="coordinator", phase="waiting for the answer")
            return answer
        if "write" in query:
            if write not in self.writes or self.writes[write].state != "open":
                return problem(404, "not-found", "no such write")
            if "h1" in self.down:
                return problem(503, "no-host", "the host is gone")
        self.writes.setdefault(write, FakeWrite(key, length))
        if self._loses("offer"):
            raise ConnectionLost(peer="coordinator", phase="waiting for the answer")
        offer = wire.UploadOffer(
            write, write, f"http://h1/x/{write}", 60, 60, 2**40,
            offset=len(self.writes[write].data),
            alternatives=[wire.Target(write, f"http://h2/x/{write}")],
        )  # fmt: skip
        return json_answer(200, offer)

    def _commit(self, name: str, write: FakeWrite, data: bytes) -> Response:
        if write.state == "open":
            replaced = write.key in self.objects
            write.state, write.status = "committed", 204 if replaced else 201
            write.etag = self.put(write.key, data)
        return json_answer(201, wire.Stored(write.etag or "", "1", write.status == 204))

    def _write(self, method: str, name: str) -> Response:
        write = self.writes.get(name)
        if write is None:
            return problem(404, "not-found", "no such write")
        if method == "DELETE":
            if write.state == "committed":
                return problem(409, "conflict", "it is stored")
            write.state = "abandoned"
            return Response(204)
        if self.refusal is not None:
            return json_answer(200, self.refusal)
        if write.state == "open" and self.late:
            self.late -= 1
            if not self.late:
                self._commit(name, write, bytes(write.data))
        return json_answer(200, wire.WriteState(write.state, write.status, write.etag))  # type: ignore[arg-type]

    def _list(self, key: str) -> Response:
        lines: list[object] = [
            wire.ListLine(name, "object", 0, len(found.data))
            for name, found in sorted(self.objects.items())
            if name.startswith(key)
        ]
        lines.append(wire.ListEnd(True, None))
        data = b"".join(wire.encode(line) + b"\n" for line in lines)
        return Response(200, Headers({"Content-Type": NDJSON}), BytesBody(data))

    def _get(self, key: str, headers: Headers) -> Response:
        found = self.objects.get(key)
        if found is None:
            return problem(404, "not-found", "There is nothing under this key.")
        if headers.get("If-Match", found.etag) != found.etag:
            return problem(412, "precondition", "it changed")
        sha256 = hashlib.sha256(found.data)
        if len(found.data) <= wire.INLINE_BYTES:
            fields = Headers({"ETag": found.etag, "Repr-Digest": format_digest(sha256.digest())})
            return Response(200, fields, BytesBody(found.data))
        sources = [wire.Source(f"http://h{n}/x/{key}", "0" * 64, n) for n in (2, 1)]
        offer = wire.DownloadOffer(
            len(found.data), found.etag, sha256.hexdigest(), "text/plain", 0, sources
        )
        return json_answer(200, offer)

    # -- hosts ------------------------------------------------------------------------------------

    async def _host(
        self, host: str, method: str, path: str, headers: Headers, body: Body
    ) -> Response:
        name = path.removeprefix("/x/")
        self.log.append(f"{host} {method}" + (" " + headers["Range"] if "Range" in headers else ""))
        self.secrets_at_hosts += [value for value in headers.values() if KEY in value]
        if host in self.down:
            raise ConnectFailed(peer=host, reason="refused")
        if method == "GET":
            return self._send(self.objects[name], headers)
        write = self.writes[name]
        if method == "DELETE":
            assert write.state == "abandoned", "the coordinator is told first"
            return Response(self.gives_up)
        if method == "HEAD":
            if name in self.spent:
                return Response(403)
            return Response(204, Headers({"Upload-Offset": str(len(write.data))}))
        return await self._receive(host, name, write, headers, body)

    async def _receive(
        self, host: str, name: str, write: FakeWrite, headers: Headers, body: Body
    ) -> Response:
        if self.host_says:
            return self.host_says.pop(0)
        assert int(headers.get("Upload-Offset", "0")) == len(write.data)
        limit = self.cut_puts.pop(0) if self.cut_puts else None
        async for chunk in body:
            write.data += chunk
            if limit is not None and len(write.data) > limit:
                del write.data[0 if self.forgets else limit :]
                raise ConnectionLost(peer=host, phase="sending the body")
        if write.length is not None and len(write.data) != write.length:
            return problem(400, "short-body", "too short")
        if self.late:
            return Response(202)
        answer = self._commit(name, write, bytes(write.data))
        answer.headers["Repr-Digest"] = format_digest(hashlib.sha256(write.data).digest())
        if self._loses("commit"):
            raise ConnectionLost(peer=host, phase="waiting for the answer")
        return answer

    def _send(self, found: FakeObject, headers: Headers) -> Response:
        data = found.data
        if self.rot:
            data = data[:-1] + bytes([data[-1] ^ 1])
        fields = Headers({"ETag": found.etag})
        part = parse_range(headers.get("Range"), len(data))
        if part is not None and headers.get("If-Range", found.etag) == found.etag:
            fields["Content-Range"] = part.content_range(len(data))
            data = data[part.first : part.last + 1]
        limit = self.cut_gets.pop(0) if self.cut_gets else None
        return Response(200 if part is None else 206, fields, StreamBody(_sent(data, limit)))

    def _loses(self, kind: str) -> bool:
        if self.lose and self.lose[0] == kind:
            self.lose.pop(0)
            return True
        return False


async def _sent(data: bytes, limit: int | None):  # type: ignore[no-untyped-def]
    for start in range(0, len(data), 1000):
        if limit is not None and start >= limit:
            raise ConnectionLost(peer="host", phase="receiving the body")
        yield data[start : start + 1000]


def problem(status: int, code: str, message: str = "no") -> Response:
    return json_answer(status, wire.Problem(code, message))
