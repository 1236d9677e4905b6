"""A sidecar over stores of other kinds: far away, used by others too, broken."""

# mypy: allow-untyped-calls
from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import maybeDeferred

from pigpen.errors import (
    BadAnswer,
    ConfigError,
    ConnectFailed,
    InsufficientStorage,
    NotFound,
    PigpenError,
    PreconditionFailed,
    Unavailable,
)
from pigpen.http.body import BytesBody, StreamBody
from pigpen.http.key import Key
from pigpen.http.message import Capability, Headers, Request, Response
from pigpen.http.namespace import Namespace, Property, WriteMeta
from pigpen.stores.literal import LiteralStore
from pigpen.stores.memory import MemoryStore
from pigpen.stores.remote import RemoteStore
from pigpen.stores.sidecar.namespace import SidecarNamespace
from pigpen.stores.sidecar.records import MemoryRecords
from pigpen.testing.namespace_case import AskedBody, NamespaceCase
from pigpen.testing.namespace_contract import namespace_contract
from pigpen.web.client import HttpClient
from pigpen.web.server import HttpFactory


async def make_far(case: NamespaceCase) -> Namespace:
    """Over a store on another machine, some way off."""
    case.world.network.latency_seconds = (0.001, 0.02)
    far = case.world.node("far")
    factory = HttpFactory(far, MemoryStore(far))
    port = await far.server_endpoint("tcp:80").listen(factory)
    client = HttpClient(case.env)

    async def close() -> None:
        await client.close()
        await factory.drain(1)
        await maybeDeferred(port.stopListening)

    case.at_end(close)
    store = RemoteStore(client, "http://far/")
    return SidecarNamespace(case.env, store, MemoryRecords(case.env))


class FarNamespaceTests(namespace_contract(make_far, many=40, calls=25)):  # type: ignore[misc]
    """The same over HTTP."""


class Between:
    """A store whose answers the test may change."""

    def __init__(self, store: MemoryStore) -> None:
        self.capabilities = store.capabilities
        self.answer: Callable[[Request], Awaitable[Response | None]] | None = None
        self._store = store

    async def handle(self, request: Request) -> Response:
        changed = None if self.answer is None else await self.answer(request)
        return await self._store.handle(request) if changed is None else changed


class StoreCase(NamespaceCase):
    plain: MemoryStore
    store: Between

    @staticmethod
    def make(case: Any) -> Namespace:
        case.plain = MemoryStore(case.env)
        case.store = Between(case.plain)
        return SidecarNamespace(case.env, case.store, MemoryRecords(case.env))

    def past(self, method: str, path: str, data: bytes = b"", **fields: str) -> Response:
        """A request of another client, straight to the store."""
        headers = Headers({name.replace("_", "-"): value for name, value in fields.items()})
        request = Request(method, Key.from_path(path), headers=headers, body=BytesBody(data))
        answer: Response = self.run_now(self.plain.handle(request))
        return answer


class OtherWriterTests(StoreCase):
    """Who writes to the store without this gateway."""

    def test_seen(self) -> None:
        """What others store is there, with the collections it lies in."""
        self.past("PUT", "/x/y/a", b"1", Content_Type="text/plain")
        self.assertEqual(self.names(deep=True), ["x/", "x/y/", "x/y/a"])
        node = self.stat("x/y/a")
        self.assertEqual((self.read("x/y/a"), node.content_type), (b"1", "text/plain"))
        self.assertEqual(node.modified // 1000, int(self.env.wall()))
        self.write("x/b")
        self.make_collection("x/z")
        self.assertEqual(self.names("x"), ["b", "y/", "z/"])
        self.run_now(self.moving("x", "w"))
        self.assertEqual(self.names(deep=True), ["w/", "w/b", "w/y/", "w/y/a", "w/z/"])
        self.run_now(self.deleting("w"))
        self.assertEqual((self.names(), self.plain.size), ([], 0))

    def test_written_over(self) -> None:
        """A version of another writer has its own times; properties are the name's."""
        self.write("a", b"1", meta=WriteMeta(modified=5000))
        self.run_now(self.patching("a", Property("n:", "k", "<k/>")))
        self.past("PUT", "/a", b"other")
        node = self.stat("a")
        self.assertEqual((self.read("a"), node.modified // 1000), (b"other", int(self.env.wall())))
        self.assertEqual(len(self.properties("a")), 1)

    def test_removed(self) -> None:
        """What others delete is gone; a new file of that name begins anew."""
        self.make_collection("d")
        self.write("d/a")
        self.run_now(self.patching("d/a", Property("n:", "k", "<k/>")))
        self.past("DELETE", "/d/a")
        self.assertEqual(self.names(deep=True), ["d/"])
        self.refused(NotFound, self.reading("d/a"))
        self.write("d/a", b"new")
        self.assertEqual(self.properties("d/a"), {})

    def test_last_member_of_a_foreign_collection(self) -> None:
        """It stays when its last member goes through this gateway."""
        self.past("PUT", "/x/a")
        self.run_now(self.deleting("x/a"))
        self.assertEqual(self.names(), ["x/"])

    def test_names_that_are_none(self) -> None:
        """What a store may hold and a path may not name is left out."""
        self.past("PUT", "/a")
        lines = b'{"name":"..","type":"object","modified":0}\n'
        lines += b'{"name":"a","type":"object","modified":0}\n'

        async def answer(request: Request) -> Response | None:
            if request.key.is_root:
                return Response(200, body=BytesBody(lines + b'{"end":true,"next":null}\n'))
            return None

        self.store.answer = answer
        self.assertEqual(self.names(), ["a"])


class BrokenStoreTests(StoreCase):
    """A store that does not answer as it should is no empty one (DAV-4)."""

    def setUp(self) -> None:
        super().setUp()
        self.make_collection("d")
        for key in ("d/a", "d/b"):
            self.write(key, b"old")

    def failing(self, response: Response | Exception, *methods: str) -> None:
        async def answer(request: Request) -> Response | None:
            if methods and request.method not in methods:
                return None
            if isinstance(response, Exception):
                raise response
            return response

        self.store.answer = answer

    def test_reads(self) -> None:
        """No answer or an error: never 404, never an empty listing."""
        lost = ConnectFailed(peer="the store", reason="refused")
        for failure, kind in ((lost, ConnectFailed), (Response(503), Unavailable),
                              (Response(500), Unavailable)):  # fmt: skip
            self.failing(failure)
            for work in (self.namespace.stat(Key(("d", "a"))), self.reading("d/a"),
                         self.listing("d"), self.listing("d", deep=True),
                         self.namespace.stat(Key(("none",)))):  # fmt: skip
                self.refused(kind, work)

    def test_changes(self) -> None:
        """A change that could not be judged is not made."""
        self.failing(Response(503), "HEAD", "GET")
        for work in (self.writing("d/a", b"new"), self.deleting("d/a"), self.moving("d", "e"),
                     self.making("n"), self.locking("n")):  # fmt: skip
            self.refused(Unavailable, work)
        self.store.answer = None
        self.assertEqual((self.names(deep=True), self.read("d/a")), (["d/", "d/a", "d/b"], b"old"))

    def test_cut_listing(self) -> None:
        """A listing without its last line is an error."""
        for lines in (b'{"name":"a","type":"object","modified":0}\n', b"", b"<html>\n", b"{\n"):
            self.failing(Response(200, body=BytesBody(lines)), "GET")
            self.refused(BadAnswer, self.listing("d"))

    def test_listing_in_parts(self) -> None:
        """A store may give a listing piece by piece."""

        async def answer(request: Request) -> Response | None:
            if not request.key.collection or "limit" in request.query:
                return None
            query = request.query_string + "&limit=1"
            response: Response = await self.plain.handle(request.replace(query_string=query))
            return response

        self.store.answer = answer
        for key in ("d/c", "d/e", "e"):
            self.write(key)
        self.assertEqual(self.names(deep=True), ["d/", "d/a", "d/b", "d/c", "d/e", "e"])
        self.run_now(self.deleting("d"))
        self.assertEqual(self.names(deep=True), ["e"])

    def test_listing_that_lags(self) -> None:
        """A store that goes on listing what is deleted holds nobody up."""
        line = b'{"name":"a","type":"object","modified":0,"length":1}\n'

        async def answer(request: Request) -> Response | None:
            if request.method == "GET" and request.key == Key(("d",), True):
                return Response(200, body=BytesBody(line + b'{"end":true,"next":null}\n'))
            return None

        self.store.answer = answer
        self.run_now(self.deleting("d"))
        self.refused(NotFound, self.reading("d/a"))

    def test_endless_line(self) -> None:
        async def endless() -> Any:
            while True:
                yield b"x" * 10_000

        self.failing(Response(200, body=StreamBody(endless())), "GET")
        self.refused(BadAnswer, self.listing("d"))

    def test_lengths(self) -> None:
        """HEAD may leave the length out (CMB-3): then GET tells it."""

        async def answer(request: Request) -> Response | None:
            if request.method != "HEAD" or request.key.collection:
                return None
            response: Response = await self.plain.handle(request)
            response.headers.pop("Content-Length", None)
            return response

        self.store.answer = answer
        self.assertEqual((self.stat("d/a").length, self.read("d/a")), (3, b"old"))

    def test_what_it_cannot(self) -> None:
        """A store that takes nothing is refused when the gateway starts."""
        store = LiteralStore(b"x")
        namespace = SidecarNamespace(self.env, store, MemoryRecords(self.env))
        refusal = self.refused(ConfigError, namespace.start())
        self.assertIn("delete", str(refusal))
        self.assertNotIn(Capability.DELETE, store.capabilities)

    def test_quota(self) -> None:
        """Free space is that of the disk, where it is known."""
        quota = self.run_now(self.namespace.quota(Key((), True)))
        self.assertEqual((quota.used, quota.available), (0, None))
        disk = self.env.disk
        namespace = SidecarNamespace(self.env, self.plain, MemoryRecords(self.env), folder="/")
        quota = self.run_now(namespace.quota(Key((), True)))
        space = disk.space("/")
        self.assertEqual((quota.used, quota.available), (space.total - space.free, space.free))

    def test_full_disk(self) -> None:
        """What does not fit on the disk is 507 before its body is asked for (DAV-24)."""
        self.namespace = SidecarNamespace(self.env, self.plain, MemoryRecords(self.env), folder="/")
        free = self.env.disk.space("/").free
        for meta in (WriteMeta(length=free + 1), WriteMeta()):
            body = AskedBody()
            if meta.length is None:
                body.length = free + 1
            self.refused(InsufficientStorage, self.writing("x", body, meta))
            self.assertFalse(body.asked)

    def test_refusals(self) -> None:
        """What the store says of a PUT is said on; conditions of the gateway come first."""
        answers = {413: (413, "no value of this size"), 507: (507, "full"), 401: (403, "401"),
                   307: (403, "307"), 502: (503, "502"), 404: (503, "no such place"),
                   405: (405, "PUT")}  # fmt: skip
        for status, (expected, words) in answers.items():
            self.failing(Response(status), "PUT")
            error = self.refused(PigpenError, self.writing("d/a", b"new"))
            self.assertEqual((error.status, words in error.message), (expected, True), error)
            self.refused(PreconditionFailed, self.writing("d/a", none_match="*"))
        self.store.answer = None
        self.assertEqual(self.read("d/a"), b"old")

    def test_fields_follow(self) -> None:
        """What a store keeps with a value goes along with COPY and MOVE."""
        self.past("PUT", "/p", b"1", Content_Type="text/x", Content_Disposition="inline")
        self.run_now(self.copying("p", "q"))
        self.run_now(self.moving("q", "r"))
        response = self.past("HEAD", "/r")
        fields = [response.headers[name] for name in ("Content-Type", "Content-Disposition")]
        self.assertEqual(fields, ["text/x", "inline"])

    def test_bad_digests(self) -> None:
        """A field that makes no sense is none."""

        async def answer(request: Request) -> Response | None:
            if request.method != "HEAD" or request.key.collection:
                return None
            response: Response = await self.plain.handle(request)
            response.headers["Repr-Digest"] = "sha-256=nonsense"
            return response

        self.store.answer = answer
        self.assertIsNone(self.stat("d/a").sha256)

    def test_note(self) -> None:
        """`explain` says that other writers bypass locks (DAV-7)."""
        namespace = SidecarNamespace(self.env, self.plain, MemoryRecords(self.env))
        self.assertIn("bypasses", namespace.note)
