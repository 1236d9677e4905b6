"""Small requests that may be repeated, over connections that are kept: what `HttpClient` does with
them, against a server that misbehaves byte by byte. Time passes only in `go`."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from pigpen.errors import BadAnswer, BodyAborted, ConnectFailed, ConnectionLost, TimedOut
from pigpen.http.body import WINDOW_BYTES, BytesBody, PushBody, read_all
from pigpen.http.message import Headers, Response
from pigpen.web.calls import SHARED_BYTES
from pigpen.web.connections import READ_BYTES
from tests.raw_server_kit import OK, ClientCase


class CallCase(ClientCase):
    def call(self, data: bytes = b"ab", **options: Any) -> Deferred[Response]:
        return self.start("POST", body=BytesBody(data), repeatable=True, **options)

    def whole(self, answer: bytes) -> bytes:
        """One call, and its answer."""
        done = self.call()
        self.answer(answer)
        return self.read(self.successResultOf(done))


class AnswerTests(CallCase):
    def test_what_is_sent(self) -> None:
        """The same as by the other way."""
        headers = Headers([("X-A", "1"), ("X-A", "2"), ("Host", "evil"), ("Content-Length", "9")])
        url = "http://far:80/a%2Fb//d?x=%20&y#f"
        request = self.client.request(
            "POST", url, headers=headers, body=BytesBody(b"abc"), repeatable=True
        )
        done = Deferred.fromCoroutine(request)
        self.go()
        head, _, body = self.connection.data.decode().partition("\r\n\r\n")
        line, *fields = head.split("\r\n")
        self.assertEqual(line, "POST /a%2Fb//d?x=%20&y HTTP/1.1")
        expected = ["Content-Length: 3", "Host: far", "User-Agent: pigpen", "X-A: 1", "X-A: 2"]
        self.assertEqual(sorted(fields), expected)
        self.assertEqual(body, "abc")
        self.answer()
        self.assertEqual(self.successResultOf(done).status, 200)

    def test_kept(self) -> None:
        """One connection serves all calls that come one after the other."""
        for _ in range(3):
            self.assertEqual(self.whole(OK), b"ok")
        self.assertEqual(len(self.server.connections), 1)

    def test_at_once(self) -> None:
        """Calls at the same time do not wait for each other."""
        first, second = self.call(b"1"), self.call(b"2")
        self.assertEqual([each.data[-1:] for each in self.server.connections], [b"1", b"2"])
        for connection in self.server.connections:
            connection.send(OK)
        self.go()
        self.assertEqual(self.successResultOf(first).status, 200)
        self.assertEqual(self.successResultOf(second).status, 200)

    def test_pieces(self) -> None:
        """An answer may come byte by byte, in chunks, and behind a 100."""
        answer = (
            b"HTTP/1.1 100 Continue\r\nX: 1\r\n\r\nHTTP/1.1 403 No\r\nPigpen-Clock: a\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
        )
        for size in (1, 7, len(answer)):
            done = self.call()
            for start in range(0, len(answer), size):
                self.answer(answer[start : start + size])
            response = self.successResultOf(done)
            self.assertEqual((response.status, self.read(response)), (403, b"abc"))
            self.assertEqual(response.headers["Pigpen-Clock"], "a")
            self.assertNotIn("X", response.headers)
        self.assertEqual(len(self.server.connections), 1)

    def test_closed(self) -> None:
        """A server that says so, or speaks HTTP/1.0, is asked on a new connection."""
        for line in (b"HTTP/1.1 200 OK\r\nConnection: close", b"HTTP/1.0 200 OK"):
            self.assertEqual(self.whole(line + b"\r\nContent-Length: 2\r\n\r\nok"), b"ok")
            self.assertIsNotNone(self.connection.lost)
            self.whole(OK)
        self.assertEqual(len(self.server.connections), 3)

    def test_nonsense(self) -> None:
        """What is no HTTP is an error, and its connection not used again."""
        for answer in (b"SSH-2.0\r\n", b"HTTP/1.1 700 X\r\nContent-Length: 0\r\n\r\n",
                       b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"):  # fmt: skip
            done = self.call()
            self.answer(answer)
            self.failureResultOf(done, BadAnswer)
            self.assertIsNotNone(self.connection.lost)

    def test_second_answer(self) -> None:
        """An answer that nobody asked for is not taken for the next call's."""
        done = self.call()
        self.answer(OK + OK)
        self.assertEqual(self.read(self.successResultOf(done)), b"ok")
        self.assertIsNotNone(self.connection.lost)
        self.whole(OK)
        self.answer(OK)
        self.assertIsNotNone(self.connection.lost)


class WindowTests(CallCase):
    def waiting(self, count: int) -> list[int]:
        """Bytes that wait for readers who do not read, of so many long answers at once."""
        calls = [self.call() for _ in range(count)]
        length = WINDOW_BYTES * 4
        for connection in self.server.connections[-count:]:
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length)
            connection.send(b"x" * length)
        for _ in range(20):
            self.go()
        bodies = [self.successResultOf(call).body for call in calls]
        found = [body.buffered for body in bodies if isinstance(body, PushBody)]
        for body in bodies:
            self.assertEqual(len(self.world.run(read_all(body, length))), length)
        return found

    def test_few(self) -> None:
        """One answer may run a whole window ahead of its reader, and no further."""
        [waiting] = self.waiting(1)
        self.assertTrue(WINDOW_BYTES <= waiting <= WINDOW_BYTES + READ_BYTES, waiting)

    def test_many(self) -> None:
        """Many slow readers at once take little memory each; nothing is lost."""
        found = self.waiting(64)
        self.assertLessEqual(sum(found), SHARED_BYTES + 64 * READ_BYTES)
        self.assertLess(max(found[1:]), WINDOW_BYTES)


class LossTests(CallCase):
    def test_stale(self) -> None:
        """A kept connection that was closed meanwhile costs one repetition, once."""
        self.whole(OK)
        self.world.network.partition("near", "far")
        done = self.call(b"xyz")
        stale = self.connection
        self.world.network.heal()
        stale.transport.abortConnection()
        self.go()
        self.assertEqual(len(self.server.connections), 2)
        self.connection.transport.abortConnection()
        self.go()
        self.failureResultOf(done, ConnectionLost)
        self.assertEqual(len(self.server.connections), 2)

    def test_forgotten(self) -> None:
        """Nothing is kept of a connection that its server has closed."""
        self.whole(OK)
        self.connection.transport.loseConnection()
        self.go()
        made = self.client._calls
        self.assertEqual((made._idle, made._live), ({}, {}))
        self.whole(OK)
        self.assertEqual(len(self.server.connections), 2)

    def test_answer_began(self) -> None:
        """An answer that is cut is an error, however the connection was come by."""
        for _ in range(2):
            done = self.call()
            self.answer(OK[:-1])
            self.connection.transport.abortConnection()
            self.go()
            self.failureResultOf(done, ConnectionLost)
            self.whole(OK)

    def test_long_answer_began(self) -> None:
        """Of a long one the reader gets what came, then the error."""
        done = self.call()
        self.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\nabc")
        body = self.successResultOf(done).body
        self.connection.transport.abortConnection()
        self.go()
        self.assertEqual(self.world.run(anext(body)), b"abc")
        self.assertRaises(BodyAborted, self.world.run, anext(body))

    def test_old(self) -> None:
        """A connection that its server is about to close is not used."""
        self.whole(OK)
        self.go(self.limits.keep_seconds + 1)
        done = self.call()
        self.assertEqual(len(self.server.connections), 2)
        self.answer()
        self.successResultOf(done)

    def test_silent(self) -> None:
        """A server that does not answer, and one that cannot be reached, are given up in time."""
        done = self.call()
        self.go(self.limits.first_byte_seconds)
        self.failureResultOf(done, TimedOut)
        self.world.network.partition("near", "far")
        done = self.call()
        self.go(self.limits.connect_seconds)
        self.failureResultOf(done, TimedOut)

    def test_nobody_there(self) -> None:
        """A refused connection says so."""
        self.world.run(self.port.stopListening())
        self.failureResultOf(self.call(), ConnectFailed)
        self.port = self.world.run(self.far.server_endpoint("tcp:80").listen(self.server))

    def test_cancelled(self) -> None:
        """Who leaves takes the connection along, in every phase."""
        self.world.network.partition("near", "far")
        connecting = self.call()
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
        self.world.network.heal()
        self.go()
        asked = self.call()
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.go()
        self.assertIsNotNone(self.connection.lost)
        self.whole(OK)

    def test_client_closed(self) -> None:
        """Closing the client ends calls under way, connected or not, and kept connections."""
        self.whole(OK)
        asked, also = self.call(), self.call()
        self.world.network.partition("near", "far")
        connecting = self.call()
        self.world.network.heal()
        closing = Deferred.fromCoroutine(self.client.close())
        self.go()
        self.successResultOf(closing)
        for done in (asked, also, connecting):
            self.failureResultOf(done, ConnectionLost)
        self.go()
        self.assertTrue(all(each.lost is not None for each in self.server.connections))
