"""Four ways out of every stream (finished, source failed, reader left, cancelled), and pauses."""

# mypy: allow-untyped-calls
from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from pigpen.errors import BodyAborted, PigpenError
from pigpen.http.body import Body, PushBody, StreamBody
from pigpen.http.message import Capability
from pigpen.testing.store_case import MIB, ContractCase


class StreamContract(ContractCase):
    """What every store does with the bytes that go in and out."""

    def big(self) -> bytes:
        """A value of many chunks is stored; its bytes."""
        if self.fixed is not None:
            return self.fixed
        data = bytes(range(256)) * 4096
        self.stored(data)
        return data

    def open(self) -> Body:
        """The body of a GET; the first chunk was read."""
        body = self.world.run(self.start("GET")).body
        self.world.run(_next(body))
        return body

    def test_finished(self) -> None:
        """A value of many chunks comes whole, in order; its body may be closed after the end."""
        data = self.big()
        response = self.world.run(self.start("GET"))
        self.assertIn(response.body.length, {None, len(data)})
        self.assertEqual(self.world.run(_all(response.body)), data)
        self.world.run(response.body.aclose())
        self.world.run(response.body.aclose())

    def test_reader_leaves(self) -> None:
        """A reader that closes early ends the exchange; others are served."""
        data = self.big()
        self.world.run(self.open().aclose())
        self.assertEqual(self.ask("GET").data, data)

    def test_reader_is_cancelled(self) -> None:
        """A reader that is cancelled while it waits, and closes, leaves nothing behind."""
        data = self.big()
        body = self.open()
        waiting = Deferred.fromCoroutine(_all(body))
        waiting.cancel()
        outcome: list[Any] = []
        _ = waiting.addBoth(outcome.append)
        self.world.run(body.aclose())
        self.assertEqual(self.ask("GET").data, data)

    def test_reader_pauses(self) -> None:
        """A reader that stops for a while gets the same bytes later."""
        data = self.big()
        body = self.world.run(self.start("GET")).body
        first = self.world.run(_next(body))
        self.world.clock.advance(20)
        self.assertEqual(first + self.world.run(_all(body)), data)

    def test_overwritten_while_read(self) -> None:
        """Who reads while another writes gets one version whole, or an abort."""
        if not self.can(Capability.PUT):
            return
        data = self.big()
        body = self.world.run(self.start("GET")).body
        first = self.world.run(_next(body))
        self.status("PUT", body=b"new" * MIB)
        try:
            self.assertEqual(first + self.world.run(_all(body)), data)
        except BodyAborted:
            pass
        finally:
            self.world.run(body.aclose())

    def test_source_fails(self) -> None:
        """A body that breaks off stores nothing, and is closed."""
        self.check_broken(length=None)

    def test_source_fails_with_length(self) -> None:
        """The same where the length was announced."""
        self.check_broken(length=1000)

    def check_broken(self, length: int | None) -> None:
        if not self.can(Capability.PUT):
            return
        self.stored(b"old")
        source = PushBody(length)
        put = self.start("PUT", body=source)
        source.push(b"half")
        source.fail(BodyAborted(received=4, reason="test"))
        try:
            status = self.world.run(put).status
        except PigpenError:
            status = 500
        self.assertGreaterEqual(status, 400)
        self.assertEqual(self.ask("GET").data, b"old")

    def test_short_body(self) -> None:
        """A body with fewer bytes than announced stores nothing."""
        if not self.can(Capability.PUT):
            return
        self.stored(b"old")

        async def short() -> AsyncGenerator[bytes, None]:
            yield b"12345"

        try:
            status = self.world.run(self.start("PUT", body=StreamBody(short(), 10))).status
        except PigpenError as error:
            status = error.status
        self.assertGreaterEqual(status, 400)
        self.assertEqual(self.ask("GET").data, b"old")

    def test_writer_is_cancelled(self) -> None:
        """A PUT that is cancelled halfway leaves the old value, and its source is closed."""
        if not self.can(Capability.PUT):
            return
        self.stored(b"old")
        closed: list[bool] = []
        source = PushBody(on_close=lambda: closed.append(True))
        put = self.start("PUT", body=source)
        source.push(b"half")
        self.world.settle(1)
        put.cancel()
        self.assertRaises(CancelledError, self.world.run, put)
        self.world.settle(1)
        self.assertEqual(closed, [True])
        self.assertEqual(self.ask("GET").data, b"old")

    def test_writer_pauses(self) -> None:
        """A source that is slow is waited for."""
        if not self.can(Capability.PUT):
            return
        self.assertEqual(self.ask("PUT", body=StreamBody(self.slowly(b"abc"))).status, 201)
        self.assertEqual(self.ask("GET").data, b"abc")


async def _next(body: Body) -> bytes:
    return await anext(body, b"")


async def _all(body: Body) -> bytes:
    return b"".join([chunk async for chunk in body])
