"""Bodies out of a stream: the same bytes and the same end, however the stream is cut."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from pigpen.errors import BadRequest, HeadersTooLarge
from pigpen.web.decoding import ChunkDecoder, Decoder, LengthDecoder


def decode(decoder: Decoder, data: bytes, step: int) -> tuple[bytes, bytes, bool]:
    """Feed by `step` bytes until the body ends: body, rest, whether it ended."""
    body = b""
    for start in range(0, len(data), step):
        piece, rest, complete = decoder.feed(data[start : start + step])
        body += piece
        if complete:
            return body, rest + data[start + step :], True
    return body, b"", False


class LengthTests(SynchronousTestCase):
    def test_every_cut(self) -> None:
        """A length ends a body exactly there."""
        for step in range(1, 9):
            self.assertEqual(decode(LengthDecoder(5), b"abcdeGET", step), (b"abcde", b"GET", True))
            self.assertEqual(decode(LengthDecoder(9), b"abcdeGET", step), (b"abcdeGET", b"", False))


class ChunkTests(SynchronousTestCase):
    BODY = b'3\r\nabc\r\n0A ; a=b; c="d;\\"e"\r\n0123456789\r\n000\r\nX: y\r\nZ:\r\n\r\n'

    def test_every_cut(self) -> None:
        """Sizes, extensions and trailers are read however they are cut, and nothing behind."""
        for step in range(1, len(self.BODY) + 4):
            end = decode(ChunkDecoder(100), self.BODY + b"GET", step)
            self.assertEqual(end, (b"abc0123456789", b"GET", True))

    def test_unfinished(self) -> None:
        """No part of a body is taken for the whole."""
        for count in range(len(self.BODY)):
            self.assertFalse(decode(ChunkDecoder(100), self.BODY[:count], 4)[2])

    def test_one_byte_chunks(self) -> None:
        """Many tiny chunks come out as one piece a read."""
        self.assertEqual(ChunkDecoder(100).feed(b"1\r\na\r\n" * 1000), (b"a" * 1000, b"", False))

    def test_bounds(self) -> None:
        """A size line has 256 bytes at most, the trailers together what heads may have."""
        for data in (b"1;" + b"a" * 300, b"0" * 300, b"0\r\n" + b"X: y\r\n" * 30):
            for step in (1, 7, len(data)):
                self.assertRaises(HeadersTooLarge, decode, ChunkDecoder(100), data, step)

    def test_framing_is_no_trailer(self) -> None:
        """Fields that frame or route a request cannot come behind its body."""
        for name in (b"Content-Length", b"transfer-encoding", b"HOST"):
            decoder = ChunkDecoder(100)
            self.assertRaises(BadRequest, decoder.feed, b"0\r\n" + name + b": 3\r\n")
