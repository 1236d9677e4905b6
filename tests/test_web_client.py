"""HttpClient against a server that misbehaves, byte by byte, on the memory network.

Time passes only in `go`; `start` and `answer` let the network deliver. The numbers P1 to P15 are
the Twisted pitfalls of CMB-90.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from pigpen.errors import (
    BadAnswer,
    BadField,
    BodyAborted,
    ConnectFailed,
    ConnectionLost,
)
from pigpen.http.body import Body, BytesBody, PushBody, StreamBody, read_all
from pigpen.http.message import Headers
from pigpen.web.client import ClientLimits
from tests.raw_server_kit import OK, ClientCase


def chunked(*parts: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)


async def _bytes(*parts: bytes) -> AsyncGenerator[bytes, None]:
    for part in parts:
        yield part


class RequestTests(ClientCase):
    def test_what_is_sent(self) -> None:
        """Target and fields go out as given; what is about the connection is ours."""
        headers = Headers([("X-A", "1"), ("X-A", "2"), ("Range", "bytes=0-1"),
                           ("Connection", "close"), ("Host", "evil"), ("Expect", "x"),
                           ("Content-Length", "9"), ("Transfer-Encoding", "x")])  # fmt: skip
        url = "http://far:80/a%2Fb/%7Ec//d?x=%20&y#f"
        done = Deferred.fromCoroutine(self.client.request("GET", url, headers=headers))
        self.go()
        head, *fields = self.connection.data.decode().split("\r\n")
        self.assertEqual(head, "GET /a%2Fb/%7Ec//d?x=%20&y HTTP/1.1")
        expected = ["Host: far", "Range: bytes=0-1", "User-Agent: pigpen", "X-A: 1", "X-A: 2"]
        self.assertEqual(sorted(field for field in fields if field), expected)
        self.answer()
        self.assertEqual(self.read(self.successResultOf(done)), b"ok")

    def test_semicolons(self) -> None:
        """A name that ends in a semicolon is not taken for the name, or folder, before it."""
        for target, streamed in (
            ("/a/;", "/a/%3B"),
            ("/a/;?x=;", "/a/%3B?x=;"),
            ("/a;", "/a%3B"),
            ("/a;;", "/a;%3B"),
            ("/a;b", "/a;b"),
            ("/;a/b", "/;a/b"),
        ):
            for body, sent in ((None, target), (StreamBody(_bytes(b"")), streamed)):
                url = f"http://far:80{target}"
                done = Deferred.fromCoroutine(self.client.request("PUT", url, body=body))
                self.go()
                [connection] = [each for each in self.server.connections if each.data]
                line, _, _ = connection.data.decode().partition(" HTTP/1.1\r\n")
                self.assertEqual(line, f"PUT {sent}")
                connection.data = b""
                connection.send(OK)
                self.go()
                self.assertEqual(self.read(self.successResultOf(done)), b"ok")

    def test_bodies(self) -> None:
        """A body of known length has Content-Length, another is chunked, none is none."""
        cases: list[tuple[str, Body | None, bytes]] = [
            ("PUT", BytesBody(b"abc"), b"Content-Length: 3\r\n"),
            ("PUT", StreamBody(_bytes(b"abc", b"de"), 5), b"Content-Length: 5\r\n"),
            ("PUT", StreamBody(_bytes(b"abc", b"de")), b"Transfer-Encoding: chunked\r\n"),
            ("PUT", None, b"Content-Length: 0\r\n"),
            ("PUT", BytesBody(b""), b"Content-Length: 0\r\n"),
        ]
        tails = [b"abc", b"abcde", b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"", b""]
        for (method, body, field), tail in zip(cases, tails, strict=True):
            done = self.start(method, body=body)
            [connection] = [each for each in self.server.connections if each.data]
            head, _, rest = connection.data.partition(b"\r\n\r\n")
            self.assertIn(field, head + b"\r\n")
            self.assertEqual(rest, tail)
            connection.data = b""
            connection.send(OK)
            self.go()
            self.read(self.successResultOf(done))
        done = self.start("GET")
        done.cancel()
        self.failureResultOf(done, CancelledError)
        [connection] = [each for each in self.server.connections if each.data]
        self.assertNotIn(b"Content-Length", connection.data)

    def test_ipv6(self) -> None:
        """An address of IPv6 is a host like any other."""
        port = self.world.run(self.near.server_endpoint("tcp:81").listen(self.server))
        self.server.answer = OK
        response = self.world.run(self.client.request("GET", "http://[::1]:81/a"))
        self.assertEqual(self.read(response), b"ok")
        self.assertIn(b"Host: [::1]:81\r\n", self.connection.data)
        self.world.run(port.stopListening())

    def test_fields_that_would_split(self) -> None:
        """A value with a line break, NUL or other control character is refused, not repaired."""
        for name, value in (("X", "a\r\nY: b"), ("X", "a\0"), ("X", "\x7f"), ("X", "ä€"),
                            ("X Y", "a"), ("X:", "a"), ("", "a")):  # fmt: skip
            self.failureResultOf(self.start(headers=Headers([(name, value)])), BadField)
        self.assertEqual(self.server.connections, [])

    def test_urls(self) -> None:
        """What is no plain http or https URL is not asked."""
        for url in ("/x", "file:///etc/passwd", "http:///x", "http://u:p@far/", "http://far:99999/",
                    "http://fär/", "", "http://far:x/", "ftp://far/"):  # fmt: skip
            done = Deferred.fromCoroutine(self.client.request("GET", url))
            self.failureResultOf(done, ConnectFailed)
        done = Deferred.fromCoroutine(self.client.request("GET", "http://far/", pin="x"))
        self.failureResultOf(done, ConnectFailed)

    def test_secrets_in_urls(self) -> None:
        """A transfer's id or a password in a URL never shows in an error, which may be logged."""
        urls = ["http://far:99999/x/SECRET", "ftp://far/x/SECRET", "http://u:SECRET@far:x/"]
        asked = [Deferred.fromCoroutine(self.client.request("GET", url)) for url in urls]
        self.world.run(self.client.close())
        asked.append(Deferred.fromCoroutine(self.client.request("GET", "http://far/x/SECRET")))
        for done in asked:
            message = str(self.failureResultOf(done, ConnectFailed).value)
            self.assertNotIn("SECRET", message)
            self.assertIn("far", message)


class AnswerTests(ClientCase):
    def test_fields(self) -> None:
        """All fields come, twice where sent twice; Content-Length too (P5)."""
        done = self.start()
        self.answer(b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: \xe9\r\nContent-Length: 2\r\n\r\nok")
        response = self.successResultOf(done)
        self.assertEqual(response.headers.getall("X-A"), ["1", "\xe9"])
        self.assertEqual((response.headers["Content-Length"], response.body.length), ("2", 2))
        self.assertEqual(self.read(response), b"ok")

    def test_without_body(self) -> None:
        """HEAD, 204 and 304 have no body; the connection is kept."""
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"
        done = self.start("HEAD")
        self.answer(head)
        response = self.successResultOf(done)
        self.assertEqual((response.headers["Content-Length"], self.read(response)), ("99", b""))
        self.assertEqual(self.fetch(data=b"HTTP/1.1 204 No\r\n\r\n"), b"")
        self.assertEqual(self.fetch(data=b"HTTP/1.1 304 No\r\nContent-Length: 9\r\n\r\n"), b"")
        self.assertEqual(len(self.server.connections), 1)

    def test_any_status(self) -> None:
        """Every status is an answer; no redirect is followed (P7), no cookie kept."""
        for code in (201, 302, 307, 401, 404, 500, 599):
            done = self.start()
            self.answer(
                b"HTTP/1.1 %d X\r\nLocation: http://far/y\r\nSet-Cookie: a=b\r\n"
                b"Content-Length: 0\r\n\r\n" % code
            )
            self.assertEqual(self.successResultOf(done).status, code)
        self.assertEqual(self.connection.data.count(b"GET /x HTTP/1.1"), 7)
        self.assertNotIn(b"Cookie", self.connection.data)

    def test_informational(self) -> None:
        """1xx before the answer are passed over."""
        data = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" + OK
        self.assertEqual(self.fetch(data=data), b"ok")

    def test_chunked(self) -> None:
        self.assertEqual(self.fetch(data=chunked(b"abc", b"de", b"")), b"abcde")

    def test_every_split(self) -> None:
        """Segments may end anywhere."""
        for data in (OK, chunked(b"o", b"k", b"")):
            for position in range(1, len(data)):
                done = self.start()
                self.answer(data[:position])
                self.answer(data[position:])
                self.assertEqual(self.read(self.successResultOf(done)), b"ok")
        self.assertEqual(len(self.server.connections), 1)

    def test_cut_at_every_byte(self) -> None:
        """A reset or close at any byte is an error, unless all bytes had come (N1, N3, P12)."""
        for data in (OK, chunked(b"abc", b"de", b""), b"HTTP/1.1 200 OK\r\n\r\nuntil close"):
            for position in range(len(data) + 1):
                for how in ("abortConnection", "loseConnection"):
                    self.check_cut(data, position, how)

    def check_cut(self, data: bytes, position: int, how: str) -> None:
        done = self.start("PUT")
        self.connection.send(data[:position])
        self.go()
        getattr(self.connection.transport, how)()
        self.go()
        complete = position == len(data) and b"until close" not in data
        try:
            response = self.world.run(done)
            self.assertEqual(len(self.read(response)), 2 if data == OK else 5)
            self.assertTrue(complete)
        except (ConnectionLost, BodyAborted):
            self.assertFalse(complete)

    def test_nonsense(self) -> None:
        """What is no HTTP/1.1 answer is BadAnswer, and the connection is gone."""
        lines = b"A: b\r\n" * 40_000
        for data in (
            b"nonsense\r\n\r\n",
            b"HTTP/1.1 abc\r\n\r\n",
            b"HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n" + lines + b"\r\n",
        ):
            for method in ("GET", "PUT"):
                done = self.start(method, body=PushBody() if method == "PUT" else None)
                self.answer(data)
                self.failureResultOf(done, BadAnswer)
                self.go()
                self.assertIsNotNone(self.connection.lost)

    def test_bad_chunks(self) -> None:
        """A malformed chunked body is an abort."""
        done = self.start()
        self.answer(chunked(b"abc") + b"xyz\r\n")
        self.assertRaises(BodyAborted, self.read, self.successResultOf(done))


class ConnectionTests(ClientCase):
    limits = ClientLimits(connections=8)

    def test_kept(self) -> None:
        """A connection is used again when its answer was read to the end."""
        for _ in range(3):
            self.fetch()
        self.assertEqual(len(self.server.connections), 1)

    def test_closed_early(self) -> None:
        """Closing an unread body cuts the connection at once; the next request has a new one."""
        done = self.start()
        self.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok")
        self.world.run(self.successResultOf(done).body.aclose())
        self.go()
        self.assertIsNotNone(self.connection.lost)
        self.fetch()
        self.assertEqual(len(self.server.connections), 2)

    def test_closed_in_the_middle(self) -> None:
        """Nor when all of it came at once: the next request goes over a connection that lives."""
        done = self.start()

        async def take() -> None:
            response = await done
            await anext(response.body)
            await response.body.aclose()

        self.connection.send(chunked(b"a", b"b", b""))
        self.world.run(take())
        second = self.start("POST")
        self.answer()
        self.assertEqual(self.read(self.successResultOf(second)), b"ok")

    def test_how_many(self) -> None:
        """Of 20 requests at once 8 have a connection, the others wait in line (P6)."""
        requests = [self.start() for _ in range(20)]
        self.assertEqual(len(self.server.connections), 8)
        requests[15].cancel()
        self.failureResultOf(requests.pop(15), CancelledError)
        self.server.answer = OK
        for connection in self.server.connections:
            connection.send(OK)
        for request in requests:
            self.assertEqual(self.read(self.world.run(request)), b"ok")
        self.assertEqual(len(self.server.connections), 8)

    def test_idle_connections_end(self) -> None:
        """An idle connection is closed before a server would do so."""
        self.fetch()
        self.go(50)
        self.assertIsNotNone(self.connection.lost)

    def test_unasked_bytes(self) -> None:
        """A connection on which bytes come unasked is not used again."""
        self.fetch()
        self.answer(OK)
        self.go()
        self.assertIsNotNone(self.connection.lost)
        self.assertEqual(self.fetch(data=OK), b"ok")

    def test_close(self) -> None:
        """Closing the client cuts what runs; its callers hear so."""
        waiting = self.start()
        reading = self.start()
        self.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok")
        body = self.successResultOf(reading).body
        self.world.run(self.client.close())
        self.failureResultOf(waiting, ConnectionLost)
        self.assertRaises(ConnectionLost, self.world.run, read_all(body, 99))
        self.failureResultOf(self.start(), ConnectFailed)


class StaleTests(ClientCase):
    """An idle connection that the server closes just as we send (N5)."""

    def on_stale(self, method: str, **options: Any) -> Deferred[Any]:
        self.fetch()
        self.world.network.partition("near", "far")
        done = self.start(method, **options)
        stale = self.connection
        self.world.network.heal()
        stale.transport.abortConnection()
        self.go()
        self.assertNotIn(b"PUT", stale.data)
        return done

    def test_get(self) -> None:
        """GET is sent once more, on a new connection."""
        done = self.on_stale("GET")
        self.assertEqual(len(self.server.connections), 2)
        self.answer()
        self.assertEqual(self.read(self.successResultOf(done)), b"ok")

    def test_delete(self) -> None:
        """DELETE is not (P10)."""
        self.failureResultOf(self.on_stale("DELETE"), ConnectionLost)
        self.assertEqual(len(self.server.connections), 1)

    def test_put(self) -> None:
        """Nor a PUT whose body was asked for."""
        self.failureResultOf(self.on_stale("PUT", body=BytesBody(b"x")), ConnectionLost)

    def test_repeatable(self) -> None:
        """A POST whose caller knows better is, with its body."""
        done = self.on_stale("POST", body=BytesBody(b"xyz"), repeatable=True)
        self.assertTrue(self.connection.data.endswith(b"xyz"))
        self.answer()
        self.assertEqual(self.successResultOf(done).status, 200)

    def test_once(self) -> None:
        """A new connection that is closed is no stale one."""
        done = self.start()
        self.connection.transport.abortConnection()
        self.go()
        self.failureResultOf(done, ConnectionLost)
        self.assertEqual(len(self.server.connections), 1)

    def test_answer_began(self) -> None:
        """Nor is one that had begun to answer."""
        self.fetch()
        done = self.start()
        self.answer(b"HTTP/1.1 2")
        self.connection.transport.abortConnection()
        self.go()
        self.failureResultOf(done, ConnectionLost)
