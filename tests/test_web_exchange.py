"""One exchange of HttpClient: times, push-back, broken sources, early answers, cancelling.

On the memory network: time passes only in `go`. P1 to P15 are the Twisted pitfalls of CMB-90.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from pigpen.env import sleep
from pigpen.errors import (
    BodyAborted,
    ConnectFailed,
    PigpenError,
    ShortBody,
    TimedOut,
    TooLarge,
)
from pigpen.http.body import WINDOW_BYTES, Body, PushBody, StreamBody, read_all
from tests.raw_server_kit import OK, ClientCase

CHUNK = 64 * 1024


async def endless(counted: list[int]) -> AsyncGenerator[bytes, None]:
    while True:
        counted.append(CHUNK)
        yield bytes(CHUNK)


class TimeTests(ClientCase):
    """Each phase has its limit, and the error names it (CMB-8, N2, P15)."""

    def failed(self, done: Deferred[Any], phase: str, seconds: float) -> None:
        error = self.failureResultOf(done, TimedOut).value
        facts = {"peer": "far:80", "phase": phase, "seconds": seconds}
        self.assertEqual(error.facts, facts)

    def test_connect(self) -> None:
        self.world.network.partition("near", "far")
        done = self.start()
        self.go(4.9)
        self.assertNoResult(done)
        self.go(0.1)
        self.failed(done, "connecting", 5)

    def test_refused(self) -> None:
        """A closed port is no silence: it is known at once."""
        done = Deferred.fromCoroutine(self.client.request("GET", "http://far:81/"))
        self.go()
        error = self.failureResultOf(done, ConnectFailed).value
        self.assertEqual(error.facts["peer"], "far:81")

    def test_first_byte(self) -> None:
        done = self.start()
        self.go(30)
        self.failed(done, "preparing the answer", 30)

    def test_dripping_head(self) -> None:
        """A head that comes a byte at a time is late as a whole."""
        done = self.start()
        for position in range(4):
            self.answer(OK[position : position + 1])
            self.go(8)
        self.failed(done, "preparing the answer", 30)

    def begun(self) -> Body:
        done = self.start()
        self.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\nok")
        return self.successResultOf(done).body

    def test_idle(self) -> None:
        """A body that stops coming fails its reader; what came is not lost."""
        body = self.begun()
        self.go(20)
        self.answer(b"more")
        self.assertEqual(self.world.run(_take(body, 6)), b"okmore")
        reading = Deferred.fromCoroutine(_take(body, 1))
        self.go(29)
        self.assertNoResult(reading)
        self.go(1)
        self.failed(reading, "sending the answer", 30)
        self.go()
        self.assertIsNotNone(self.connection.lost)

    def test_our_own_pause(self) -> None:
        """While we do not read, the peer is not late (P11 on our side)."""
        body = self.begun()
        self.answer(bytes(2 * WINDOW_BYTES))
        self.go(300)
        self.assertGreaterEqual(len(self.world.run(_take(body, WINDOW_BYTES))), WINDOW_BYTES)
        self.assertIsNone(self.connection.lost)
        self.world.run(body.aclose())

    def test_our_own_slow_source(self) -> None:
        """While our source has nothing to send, the peer is not late."""
        source = PushBody()
        done = self.start("PUT", body=source)
        self.go(300)
        source.push(b"abc")
        source.finish()
        self.go()
        self.answer()
        self.assertEqual(self.successResultOf(done).status, 200)

    def test_peer_does_not_take(self) -> None:
        """A peer that stops reading is late."""
        counted: list[int] = []
        done = Deferred.fromCoroutine(
            self.client.request("PUT", "http://far/x", body=StreamBody(endless(counted)))
        )
        self.go(0.004)
        self.connection.transport.pauseProducing()
        self.go(29)
        self.assertNoResult(done)
        self.go(2)
        self.failed(done, "taking the request", 30)

    def test_deadline(self) -> None:
        """The deadline ends all, however busy it is; the body too."""
        deadline = self.near.clock.seconds() + 12
        done = self.start(deadline=deadline)
        self.go(5)
        self.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nok")
        body = self.successResultOf(done).body
        reading = Deferred.fromCoroutine(read_all(body, 999))
        for _ in range(8):
            self.answer(b".")
            self.go(0.9)
        self.failureResultOf(reading, TimedOut)

    def test_deadline_in_line(self) -> None:
        """Waiting for a free connection counts."""
        busy = [self.start() for _ in range(64)]
        late = self.start(deadline=self.near.clock.seconds() + 3)
        self.go(3)
        error = self.failureResultOf(late, TimedOut).value
        self.assertEqual(error.facts["phase"], "waiting for a free connection")
        for request in busy:
            request.cancel()
            self.failureResultOf(request, CancelledError)


class PushBackTests(ClientCase):
    def test_reader_stops(self) -> None:
        """Of an endless body a reader that stops costs a bounded window (P1, P2, P4)."""
        done = self.start()
        total = 20 * WINDOW_BYTES
        self.answer(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total + bytes(total))
        body = self.successResultOf(done).body
        assert isinstance(body, PushBody)
        self.assertLessEqual(body.buffered, 2 * WINDOW_BYTES)
        self.assertEqual(len(self.world.run(_take(body, total))), total)
        self.world.run(body.aclose())
        self.assertEqual(self.fetch(), b"ok")

    def test_peer_stops(self) -> None:
        """A peer that stops reading stops our source."""
        counted: list[int] = []
        done = Deferred.fromCoroutine(
            self.client.request("PUT", "http://far/x", body=StreamBody(endless(counted)))
        )
        self.go(0.004)
        self.connection.transport.pauseProducing()
        self.go(1)
        before = len(counted)
        self.go(20)
        self.assertEqual(len(counted), before)
        self.assertLess(sum(counted) - len(self.connection.data), 6 * CHUNK)
        done.cancel()
        self.failureResultOf(done, CancelledError)


class SourceTests(ClientCase):
    """A request body that fails must never look complete."""

    def aborted(self, done: Deferred[Any], error: type[PigpenError]) -> None:
        self.failureResultOf(done, error)
        self.go()
        self.assertIsNotNone(self.connection.lost)
        self.assertNotIn(b"0\r\n\r\n", self.connection.data)

    def test_fails(self) -> None:
        """Its own error is raised, and the peer sees an abort."""
        for length in (None, 10):
            source = PushBody(length)
            done = self.start("PUT", body=source)
            source.push(b"abc")
            self.go()
            source.fail(BodyAborted(received=3, reason="test"))
            self.go()
            self.aborted(done, BodyAborted)

    def test_short(self) -> None:
        source = PushBody(10)
        done = self.start("PUT", body=source)
        source.push(b"abc")
        source.finish()
        self.aborted(done, ShortBody)

    def test_long(self) -> None:
        """Bytes beyond the announced length are not sent: they would be taken for a request."""
        source = PushBody(3)
        done = self.start("PUT", body=source)
        source.push(b"abc")
        source.push(b"DELETE")
        self.aborted(done, TooLarge)
        self.assertNotIn(b"DELETE", self.connection.data)

    def test_untouched(self) -> None:
        """A body is left alone if there was no connection, so that it can go elsewhere."""
        closed: list[int] = []
        source = PushBody(on_close=lambda: closed.append(1))
        done = Deferred.fromCoroutine(self.client.request("PUT", "http://far:81/", body=source))
        self.go()
        self.failureResultOf(done, ConnectFailed)
        self.assertEqual(closed, [])


class EarlyAnswerTests(ClientCase):
    """A final answer while the request is still being sent (P8, P9)."""

    def check_early(self, data: bytes, length: int | None, lose: bool) -> None:
        closed: list[int] = []
        source = PushBody(length, on_close=lambda: closed.append(1))
        done = self.start("PUT", body=source)
        source.push(bytes(CHUNK))
        self.go()
        self.connection.send(data)
        if lose:
            self.connection.transport.loseConnection()
        self.go()
        response = self.successResultOf(done)
        self.assertIn(response.status, {307, 413})
        self.assertEqual(self.read(response), data.partition(b"\r\n\r\n")[2])
        self.assertEqual(closed, [1])
        self.go()
        self.assertIsNotNone(self.connection.lost)

    def test_all_forms(self) -> None:
        """It is delivered, the sending stops, the source is closed, the connection not kept."""
        for data in (
            b"HTTP/1.1 413 Too large\r\nContent-Length: 5\r\n\r\nlarge",
            b"HTTP/1.1 307 There\r\nLocation: http://h/\r\nContent-Length: 0\r\n\r\n",
        ):
            for length in (None, 10 * CHUNK):
                for lose in (False, True):
                    self.check_early(data, length, lose)

    def test_peer_reads_no_more(self) -> None:
        """Also if the peer has stopped reading, and never will."""
        done = Deferred.fromCoroutine(
            self.client.request("PUT", "http://far/x", body=StreamBody(endless([])))
        )
        self.go(0.004)
        self.connection.transport.pauseProducing()
        self.go(1)
        self.answer(b"HTTP/1.1 507 Full\r\nContent-Length: 4\r\n\r\nfull")
        response = self.successResultOf(done)
        self.assertEqual((response.status, self.read(response)), (507, b"full"))
        self.go(60)
        self.assertEqual(self.near.host.transports, [])

    def test_long_answer(self) -> None:
        """A refusal longer than one read is delivered whole."""
        done = self.start("PUT", body=PushBody())
        text = bytes(300_000)
        self.answer(b"HTTP/1.1 413 X\r\nContent-Length: %d\r\n\r\n" % len(text) + text)
        self.assertEqual(self.read(self.successResultOf(done)), text)

    def test_cancelled_while_it_is_read(self) -> None:
        done = self.start("PUT", body=PushBody())
        self.answer(b"HTTP/1.1 413 X\r\nContent-Length: 50\r\n\r\nlarge")
        self.world.run(self.successResultOf(done).body.aclose())
        self.go()
        self.assertIsNotNone(self.connection.lost)


class CancelTests(ClientCase):
    def check_gone(self, done: Deferred[Any]) -> None:
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.go(0.1)
        self.assertEqual(self.near.host.transports, [])

    def test_connecting(self) -> None:
        self.world.network.partition("near", "far")
        self.check_gone(self.start())

    def test_waiting(self) -> None:
        """Within 100 ms nothing of a cancelled exchange is left (CMB-11)."""
        self.check_gone(self.start())

    def test_kept_connection(self) -> None:
        self.fetch()
        self.check_gone(self.start())

    def test_sending(self) -> None:
        """The source is closed."""
        for length in (None, 99):
            closed: list[int] = []
            source = PushBody(length, on_close=lambda closed=closed: closed.append(1))
            self.check_gone(self.start("PUT", body=source))
            self.assertEqual(closed, [1])

    def test_slow_source(self) -> None:
        """Also a source that is awaited."""

        async def slow() -> AsyncGenerator[bytes, None]:
            await sleep(self.near, 99)
            yield b"x"

        self.check_gone(self.start("PUT", body=StreamBody(slow())))

    def test_reading(self) -> None:
        done = self.start()
        self.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
        body = self.successResultOf(done).body
        reading = Deferred.fromCoroutine(read_all(body, 99))
        self.check_gone(reading)


async def _take(body: Body, size: int) -> bytes:
    """At least `size` bytes."""
    data = b""
    async for chunk in body:
        data += chunk
        if len(data) >= size:
            break
    return data
