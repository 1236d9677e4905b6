"""RemoteStore: the contract over the memory network, and servers that answer what was not asked.

The far end is our own server; where it must misbehave, a handler of the test's.
"""

from collections.abc import Awaitable, Callable

from pigpen.env import sleep
from pigpen.errors import BadAnswer, ConnectFailed, TimedOut
from pigpen.http.body import BytesBody
from pigpen.http.key import Key
from pigpen.http.message import Handler, Headers, Request, Response
from pigpen.stores.memory import MemoryStore
from pigpen.stores.remote import RemoteStore
from pigpen.testing.store_contract import ContractCase, store_contract
from pigpen.web.client import HttpClient
from pigpen.web.server import HttpFactory


def serve(case: ContractCase, handler: Handler, path: str = "/") -> RemoteStore:
    """A store over a server on another machine."""
    far = case.world.node("far")
    factory = HttpFactory(far, handler)
    port = case.world.run(far.server_endpoint("tcp:80").listen(factory))
    client = HttpClient(case.env)

    async def close() -> None:
        await client.close()
        await factory.drain(1)
        await port.stopListening()

    case.at_end(close)
    headers = Headers({"Authorization": "Bearer ours"})
    return RemoteStore(client, f"http://far{path}", headers=headers)


class RemoteStoreTests(  # type: ignore[misc]
    store_contract(lambda case: serve(case, MemoryStore(case.env)))
):
    """A memory store on another machine behaves as one here."""


class Scripted:
    """A handler that answers as the test says, and notes what it saw."""

    def __init__(self, answer: Callable[[Request], Awaitable[Response]]) -> None:
        self.answer = answer
        self.seen: list[Request] = []

    async def handle(self, request: Request) -> Response:
        self.seen.append(request)
        return await self.answer(request)


class PassingOnTests(ContractCase):
    @staticmethod
    def make(case: ContractCase) -> RemoteStore:
        async def answer(_: Request) -> Response:
            return case.response  # type: ignore[attr-defined,no-any-return]

        case.far = Scripted(answer)  # type: ignore[attr-defined]
        return serve(case, case.far, "/base")  # type: ignore[attr-defined]

    def answer(self, status: int, data: bytes = b"", **fields: str) -> None:
        headers = Headers({name.replace("_", "-"): value for name, value in fields.items()})
        self.response = Response(status, headers, BytesBody(data))

    def test_what_is_sent(self) -> None:
        """The key below the base, query, conditions; never the caller's credentials."""
        self.answer(200)
        self.ask("GET", "/a%20b?x=1", Cookie="c", Authorization="Basic theirs", If_Match="*")
        [request] = self.far.seen
        self.assertEqual(request.key.to_path(), "/base/a%20b")
        self.assertEqual(request.query_string, "x=1")
        self.assertEqual(request.headers.getall("Authorization"), ["Bearer ours"])
        self.assertEqual(request.headers["If-Match"], "*")
        self.assertNotIn("Cookie", request.headers)

    def test_answers_pass(self) -> None:
        """Refusals and errors come back as they are, with what says when to try again."""
        for status in (204, 301, 404, 409, 429, 500, 503, 507):
            self.answer(status, Retry_After="9", Set_Cookie="a=b")
            answer = self.ask("GET")
            self.assertEqual((answer.status, answer.headers["Retry-After"]), (status, "9"))
            self.assertNotIn("Set-Cookie", answer.headers)

    def test_bytes_as_they_are(self) -> None:
        """Compressed values stay compressed: length, range and digest are theirs."""
        self.answer(200, b"\x1f\x8b...", Content_Encoding="gzip")
        answer = self.ask("GET")
        self.assertEqual(
            (answer.headers["Content-Encoding"], answer.data), ("gzip", b"\x1f\x8b...")
        )
        self.assertNotIn("Accept-Encoding", self.far.seen[0].headers)

    def test_range_that_was_not_asked(self) -> None:
        """Bytes of another range, or a part sold as the whole, are an error and not data."""
        cases = [
            (206, "bytes 0-2/9", "bytes=1-3"),
            (206, "bytes 1-2/9", "bytes=1-3"),
            (206, "bytes 0-2/3", None),
            (206, "bytes 0-2/3", "bytes=7-"),
            (206, None, "bytes=0-2"),
            (206, "bytes 0-4/9", "bytes=0-4"),  # three bytes come
            (200, "bytes 0-2/9", "bytes=0-2"),
        ]
        for status, content_range, asked in cases:
            fields = {} if content_range is None else {"Content_Range": content_range}
            self.answer(status, b"abc", **fields)
            asking = {} if asked is None else {"Range": asked}
            with self.assertRaises(BadAnswer, msg=f"{content_range} {asked}"):
                self.ask("GET", **asking)

    def test_range_that_was_asked(self) -> None:
        for asked in ("bytes=6-", "bytes=-3", "bytes=6-99", "bytes=6-8"):
            self.answer(206, b"abc", Content_Range="bytes 6-8/9")
            self.assertEqual(self.ask("GET", Range=asked).data, b"abc")

    def test_deadline(self) -> None:
        """The request's deadline ends the wait for a server that does not answer."""

        async def late(_: Request) -> Response:
            await sleep(self.env, 9)
            return Response(200)

        self.far.answer = late
        deadline = self.env.clock.seconds() + 3
        request = Request("GET", Key(("a",)), deadline=deadline)
        self.assertRaises(TimedOut, self.world.run, self.store.handle(request))
        self.assertEqual(self.env.clock.seconds(), deadline)
        self.world.clock.advance(9)

    def test_nobody_listens(self) -> None:
        store = RemoteStore(HttpClient(self.env), "http://nobody/")
        self.store = store
        self.assertRaises(ConnectFailed, self.ask, "GET")
