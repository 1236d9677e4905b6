"""Bodies that are looked at, and the digest of bytes that come twice."""

from __future__ import annotations

import hashlib

from twisted.trial.unittest import SynchronousTestCase

from pigpen.client.watched_body import RunningDigest, WatchedBody
from pigpen.errors import BodyAborted
from pigpen.http.body import Body, BytesBody, PushBody
from pigpen.testing.env import SimEnv


class WatchedBodyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.env = SimEnv()
        self.seen: list[tuple[int, bytes]] = []

    def watch(self, body: Body) -> WatchedBody:
        async def see(offset: int, chunk: bytes) -> None:
            self.seen.append((offset, chunk))

        return WatchedBody(body, body.length, 100, see)

    def test_seen(self) -> None:
        """Every chunk is shown with where it stands."""
        source = PushBody(5)
        for chunk in (b"ab", b"cde"):
            source.push(chunk)
        source.finish()
        watched = self.watch(source)

        async def read() -> list[bytes]:
            return [chunk async for chunk in watched]

        self.assertEqual(self.env.run(read()), [b"ab", b"cde"])
        self.assertEqual(self.seen, [(100, b"ab"), (102, b"cde")])
        self.assertEqual((watched.length, watched.error), (5, None))

    def test_error(self) -> None:
        """Why a body ended early is remembered: it is not the taker's fault."""
        source = PushBody()
        error = BodyAborted(received=0, reason="gone")
        source.fail(error)
        watched = self.watch(source)

        async def read() -> bytes:
            return await anext(watched)

        self.assertRaises(BodyAborted, self.env.run, read())
        self.assertIs(watched.error, error)

    def test_closed(self) -> None:
        inner = BytesBody(b"ab")
        self.env.run(self.watch(inner).aclose())
        self.assertIsNone(inner._left)


class RunningDigestTests(SynchronousTestCase):
    def test_twice(self) -> None:
        """Bytes that are sent again after a cut count once."""
        digest = RunningDigest()
        for offset, chunk in [(0, b"abcd"), (2, b"cd"), (2, b"cdef"), (6, b"g")]:
            digest.feed(offset, chunk)
        self.assertTrue(digest.complete)
        self.assertEqual(digest.value, hashlib.sha256(b"abcdefg").digest())

    def test_hole(self) -> None:
        """After a hole nothing is claimed."""
        digest = RunningDigest()
        digest.feed(5, b"later")
        self.assertFalse(digest.complete)

    def test_moved(self) -> None:
        digest = RunningDigest()
        self.assertFalse(digest.moved())
        digest.feed(0, b"ab")
        self.assertTrue(digest.moved())
        digest.feed(0, b"ab")
        self.assertFalse(digest.moved())
