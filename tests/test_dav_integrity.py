"""Integrity: a body of another length or digest than its PUT announced is never given whole."""

from __future__ import annotations

import base64
import hashlib
import zlib

from twisted.trial.unittest import SynchronousTestCase

from pigpen.dav.integrity import Announced, CheckedBody, announced_of, checked
from pigpen.errors import BadField, BadRequest, ShortBody
from pigpen.http.body import Body, BytesBody
from pigpen.http.key import Key
from pigpen.http.message import Headers, Request
from pigpen.testing import SimEnv
from tests.web_kit import Chunks

DATA = b"hello world"
MD5 = hashlib.md5(DATA)
SHA256 = hashlib.sha256(DATA)
ADLER = zlib.adler32(DATA).to_bytes(4, "big").hex()


def put(body: Body | None = None, **fields: str) -> Request:
    headers = Headers({name.replace("_", "-"): value for name, value in fields.items()})
    return Request("PUT", Key(("a",)), headers=headers, body=body or BytesBody(DATA))


class FieldTests(SynchronousTestCase):
    def test_sha256(self) -> None:
        """DAV-25: a SHA-256 is the namespace's to verify, whoever's field it comes in."""
        digest = base64.b64encode(SHA256.digest()).decode()
        for fields in (
            {"Repr_Digest": f"sha-256=:{digest}:"},
            {"Content_Digest": f"md5=:aa==:, sha-256=:{digest}:"},
            {"OC_Checksum": f"SHA256:{SHA256.hexdigest()}"},
        ):
            announced = announced_of(put(**fields))
            self.assertEqual((announced.sha256, announced.others), (SHA256.digest(), {}))

    def test_others(self) -> None:
        """DAV-25: MD5, SHA-1 and Adler-32 are ours to verify; what is not known passes."""
        fields = {
            "Content_MD5": base64.b64encode(MD5.digest()).decode(),
            "OC_Checksum": f"SHA1:{hashlib.sha1(DATA).hexdigest().upper()} adler32:{ADLER}"
            f" MD5:{MD5.hexdigest()} XXH3:12",
        }
        others = announced_of(put(**fields)).others
        self.assertEqual(sorted(others), ["adler32", "md5", "sha1"])

    def test_malformed(self) -> None:
        """DAV-10, DAV-25: a field that makes no sense is 400, not ignored."""
        for fields in (
            {"Content_MD5": "abc"},
            {"Content_MD5": "ü"},
            {"Repr_Digest": "sha-256=abc"},
            {"OC_Checksum": "SHA1:12"},
            {"OC_Checksum": f"MD5:{'x' * 32}"},
            {"X_Expected_Entity_Length": "-1"},
            {"X_Expected_Entity_Length": "10"},
            {"OC_Checksum": f"MD5:{'0' * 32} MD5:{'1' * 32}"},
            {"Content_MD5": "A" * 22 + "==", "OC_Checksum": f"MD5:{MD5.hexdigest()}"},
        ):
            self.assertRaises(BadField, announced_of, put(**fields))

    def test_length(self) -> None:
        """DAV-25: Finder sends the length of a chunked body in a field of its own."""
        self.assertEqual(announced_of(put()).length, 11)
        self.assertEqual(announced_of(put(X_Expected_Entity_Length="11")).length, 11)
        self.assertEqual(announced_of(put(Chunks(), X_Expected_Entity_Length="11")).length, 11)
        self.assertIsNone(announced_of(put(Chunks())).length)


class BodyTests(SynchronousTestCase):
    def read(self, body: Body) -> list[bytes]:
        """What came before the end, or the failure."""
        self.got: list[bytes] = []

        async def reading() -> None:
            async for chunk in body:
                self.got.append(chunk)

        SimEnv().run(reading())
        return self.got

    def test_plain(self) -> None:
        """A body of which nothing is announced is not touched."""
        body = BytesBody(DATA)
        self.assertIs(checked(body, announced_of(put(body))), body)

    def test_whole(self) -> None:
        """A body that is as announced comes chunk by chunk, and is empty where it was."""
        announced = Announced(None, None, {"md5": MD5.digest()})
        self.assertEqual(
            self.read(CheckedBody(Chunks(b"hello", b" ", b"world"), announced)),
            [b"hello", b" ", b"world"],
        )
        empty = Announced(0, None, {"sha1": hashlib.sha1().digest()})
        self.assertEqual(self.read(CheckedBody(Chunks(), empty)), [])

    def test_last_chunk(self) -> None:
        """DAV-25: of another body the last chunk is never given."""
        for name, digest in (("md5", bytes(16)), ("sha1", bytes(20)), ("adler32", bytes(4))):
            body = CheckedBody(Chunks(b"hello", b" world"), Announced(None, None, {name: digest}))
            self.assertRaises(BadRequest, self.read, body)
            self.assertEqual(self.got, [b"hello"])

    def test_lengths(self) -> None:
        """DAV-25: a body shorter or longer than announced is never given whole."""
        self.assertRaises(
            ShortBody, self.read, CheckedBody(Chunks(b"ab", b"c"), Announced(4, None, {}))
        )
        self.assertEqual(self.got, [b"ab"])
        self.assertRaises(
            BadRequest, self.read, CheckedBody(Chunks(b"ab", b"cd", b"e"), Announced(4, None, {}))
        )
        self.assertEqual(self.got, [b"ab"])

    def test_closing(self) -> None:
        """Who leaves early closes the client's body; what it waits for is passed on."""
        inner = Chunks(b"a", b"b", b"c")
        inner.held_back = True  # type: ignore[misc]
        body = CheckedBody(inner, Announced(3, None, {}))
        self.assertTrue(body.held_back)
        self.assertEqual(self.successResultOf(anext(body)), b"a")
        self.successResultOf(body.aclose())
        self.assertEqual(inner.closed, 1)
