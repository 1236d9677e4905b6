"""The conversation with the coordinator: who asks, for whom, and what refusals say."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from twisted.trial.unittest import SynchronousTestCase

from pigpen.client.session import Session, check_coordinator
from pigpen.errors import BadAnswer, BodyAborted, ConfigError, ConnectionLost, Refused
from pigpen.http import wire
from pigpen.http.body import Body, BytesBody, StreamBody
from pigpen.http.key import Key
from pigpen.http.message import Headers, Response
from pigpen.testing.env import SimEnv
from tests.client_kit import COORDINATOR, KEY, FakeCloud
from tests.sender_kit import Asked, FakeSender

END = b'{"end":true,"next":null}\n'


def cut(data: bytes) -> Body:
    """A body whose connection is closed after these bytes."""

    async def chunks() -> AsyncGenerator[bytes, None]:
        if data:
            yield data
        raise BodyAborted(received=len(data), reason="the connection was closed too early")

    return StreamBody(chunks(), len(data) + 1)


class Canned(FakeSender):
    """Answers with what it was given, and keeps what it was asked."""

    def __init__(self, *answers: Response) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str, Headers]] = []

    async def answer(self, asked: Asked) -> Response:
        self.asked.append((asked.method, asked.url, asked.headers))
        return self.answers.pop(0)


class SessionTests(SynchronousTestCase):
    def session(self, *answers: Response, login: str | None = "me") -> Session:
        self.env = SimEnv()
        self.http = Canned(*answers)
        return Session(self.env, self.http, COORDINATOR, KEY, login)

    def listing(self, data: bytes | Body) -> list[str]:
        body = BytesBody(data) if isinstance(data, bytes) else data
        session = self.session(Response(200, body=body))

        async def names() -> list[str]:
            return [line.name async for line in session.list(Key.from_text("a"))]

        return self.env.run(names())

    def test_login_found(self) -> None:
        """An access key alone is enough: the login comes from the coordinator, once."""
        account = Response(200, body=BytesBody(wire.encode(wire.Account("you", 0, 0, 0, 1, []))))
        session = self.session(account, Response(204), Response(204), login=None)
        self.env.run(session.delete(Key.from_text("a b/c")))
        self.env.run(session.delete(Key.from_text("d")))
        self.assertEqual(
            [url.removeprefix(COORDINATOR) for _, url, _ in self.http.asked],
            ["/account", "/api/you/a%20b/c", "/api/you/d"],
        )

    def test_wrong_key(self) -> None:
        cloud = FakeCloud()
        env = SimEnv()
        session = Session(env, cloud, COORDINATOR, "pp_wrong")
        error = self.assertRaises(Refused, env.run, session.account())
        self.assertEqual(error.message, "A valid access key is needed.")

    def test_not_a_coordinator(self) -> None:
        """Some other web server at that address: said so, whatever it answers."""
        page = b"<html>"
        session = self.session(Response(200, body=BytesBody(page)), login=None)
        error = self.assertRaises(BadAnswer, self.env.run, session.account())
        self.assertIn("pigpen coordinator", error.message)
        session = self.session(Response(404, body=BytesBody(page)), login=None)
        error = self.assertRaises(Refused, self.env.run, session.account())
        self.assertIn("answered 404", error.message)

    def test_bad_access_keys(self) -> None:
        """A key with a line break cannot smuggle a header field."""
        for key in ["", "a b", "a\r\nX: y", "ключ", "x" * 2000]:
            self.assertRaises(ConfigError, Session, SimEnv(), Canned(), COORDINATOR, key)

    def test_coordinator_addresses(self) -> None:
        self.assertEqual(check_coordinator("https://c:1/base/"), "https://c:1/base")
        for url in ["", "c", "c:2573", "ftp://c", "http://", "http://u:p@c", "http://c/?q",
                    "http://c/#f", "http://c:99999", "http://a b/", "http://[::1"]:  # fmt: skip
            error = self.assertRaises(ConfigError, check_coordinator, url)
            self.assertIn("https://cloud.example:2573", error.message)

    def test_listing(self) -> None:
        lines = b'{"name":"a","type":"object","modified":1,"length":5}\n'
        lines += b'{"name":"sub/","type":"collection","modified":0}\n'
        self.assertEqual(self.listing(lines + END), ["a", "sub/"])

    def test_listing_cut(self) -> None:
        """A listing that was cut is an error, wherever that happened: never a shorter list."""
        whole = b'{"name":"a","type":"object","modified":1}\n' + END
        for size in range(len(whole)):
            self.assertRaises(BadAnswer, self.listing, whole[:size])

    def test_connection_cut(self) -> None:
        """The coordinator that dies while it answers gave no answer, whatever was asked."""
        whole = b'{"name":"a","type":"object","modified":1}\n' + END
        for size in (0, 10, len(whole) - 1):
            self.assertRaises(ConnectionLost, self.listing, cut(whole[:size]))
            session = self.session(Response(200, body=cut(whole[:size])), login=None)
            self.assertRaises(ConnectionLost, self.env.run, session.account())
            line = session.line(Response(200, body=cut(whole[:size])))
            self.assertRaises(ConnectionLost, self.env.run, line)

    def test_refusal_cut(self) -> None:
        """Its status says enough."""
        session = self.session(Response(404, body=cut(b'{"err')))
        error = self.assertRaises(Refused, self.env.run, session.delete(Key.from_text("a")))
        self.assertEqual(error.facts["status"], 404)

    def test_listing_nonsense(self) -> None:
        for data in [b"<html>\n", b'{"name":5}\n', b"x" * 100_000]:
            self.assertRaises(BadAnswer, self.listing, data)

    def test_keys(self) -> None:
        made = Response(201, body=BytesBody(wire.encode(wire.MadeKey("id1", "pp_new"))))
        session = self.session(made, Response(204))
        self.assertEqual(self.env.run(session.new_key("laptop")).key, "pp_new")
        self.env.run(session.delete_key("id1"))
        self.assertEqual(self.http.asked[1][:2], ("DELETE", COORDINATOR + "/account/keys/id1"))
