"""PUT through the face: what is refused before the body, what is stored, what is never visible."""

from __future__ import annotations

import base64
import hashlib
import zlib
from typing import Any

from twisted.internet.defer import CancelledError

from pigpen.dav.put import type_by_name
from pigpen.errors import BodyAborted, ConnectionLost, PreconditionFailed
from pigpen.http.key import Key
from pigpen.http.namespace import NOTHING, Want
from tests.dav_kit import Answer, DavCase, SlowBody

DATA = b"hello world"


class PutTests(DavCase):
    def test_dav13_created_and_replaced(self) -> None:
        """201, then 204; both say version and time."""
        for status in (201, 204):
            answer = self.expect(status, "PUT", "/a", DATA)
            for name in ("ETag", "Last-Modified"):
                self.assertIn(name, answer.headers)
            self.assertNotIn("X-OC-Mtime", answer.headers)
        self.assertEqual(self.content("/a"), DATA)

    def test_dav13_empty(self) -> None:
        """An empty file is a file (Windows puts one first)."""
        self.expect(201, "PUT", "/a", b"")
        self.assertEqual(self.content("/a"), b"")

    def test_dav13_refused(self) -> None:
        """A collection is 405; no parent, an object as parent, or a final slash 409; a part 400."""
        self.tree("/c/", "/a")
        for path in ("/c", "/c/", "/"):
            self.expect(405, "PUT", path, DATA)
        for path in ("/no/a", "/a/b", "/b/", "/a/"):
            self.expect(409, "PUT", path, DATA)
        self.expect(400, "PUT", "/b", DATA, Content_Range="bytes 0-10/20")
        self.assertFalse(self.exists("/b"))
        self.assertEqual(self.content("/a"), b"/a")

    def test_dav55_content_type(self) -> None:
        """A file has the type that was sent with it, else that of its suffix."""
        for path, sent, expected in (
            ("/a.png", "", "image/png"),
            ("/a.PNG", "", "image/png"),
            ("/a.png", "text/x-odd; charset=x", "text/x-odd; charset=x"),
            ("/a.tar.gz", "", "application/octet-stream"),
            ("/a", "", "application/octet-stream"),
            ("/.png", "", "image/png"),
            ("/a.docx", "", str(type_by_name("x.docx"))),
        ):
            fields = {"Content_Type": sent} if sent else {}
            self.ask("PUT", path, DATA, **fields)
            self.assertEqual(self.expect(200, "HEAD", path).headers["Content-Type"], expected)
        self.expect(400, "PUT", "/b", DATA, Content_Type="a\x01b")

    def test_dav54_mtime(self) -> None:
        """X-OC-Mtime is applied and said so (rclone); junk is 400."""
        answer = self.expect(201, "PUT", "/a", DATA, X_OC_Mtime="1000000000.5")
        self.assertEqual(answer.headers["X-OC-Mtime"], "accepted")
        date = "Sun, 09 Sep 2001 01:46:40 GMT"
        self.assertEqual(answer.headers["Last-Modified"], date)
        self.assertEqual(self.expect(200, "HEAD", "/a").headers["Last-Modified"], date)
        for junk in ("", "x", "1e9", "0x10", "1,5"):
            self.expect(400, "PUT", "/b", DATA, X_OC_Mtime=junk)
        self.assertFalse(self.exists("/b"))


class PromiseTests(DavCase):
    """DAV-25: a body that is not what was announced is 400, and the old value stays."""

    def setUp(self) -> None:
        super().setUp()
        self.expect(201, "PUT", "/old", b"old")

    def put(self, status: int, data: Any = DATA, **fields: str) -> None:
        for path, before in (("/old", b"old"), ("/new", None)):
            body = SlowBody(held_back=False) if data is None else data
            if data is None:
                for chunk in (b"hello", b" world", b""):
                    body.push(chunk)
            answer = self.ask("PUT", path, body, **fields)
            if status == 400:
                self.assertEqual(answer.status, 400, answer)
                if before is None:
                    self.assertFalse(self.exists(path))
                else:
                    self.assertEqual(self.content(path), before)
            else:
                self.assertIn(answer.status, (201, 204), answer)
                self.assertEqual(self.content(path), DATA)

    def test_dav25_right(self) -> None:
        """All kinds of digests pass if they are right; other kinds pass."""
        md5, sha256 = hashlib.md5(DATA).digest(), hashlib.sha256(DATA).digest()
        for fields in (
            {"Repr_Digest": f"sha-256=:{base64.b64encode(sha256).decode()}:"},
            {"Content_MD5": base64.b64encode(md5).decode()},
            {"OC_Checksum": f"SHA256:{hashlib.sha256(DATA).hexdigest()}"},
            {"OC_Checksum": f"SHA1:{hashlib.sha1(DATA).hexdigest()}"},
            {"OC_Checksum": f"MD5:{md5.hex()}"},
            {"OC_Checksum": f"Adler32:{zlib.adler32(DATA):08x}"},
            {"OC_Checksum": "BLAKE3:12"},
            {"X_Expected_Entity_Length": "11"},
        ):
            self.put(201, DATA, **fields)
            self.put(201, None, **fields)

    def test_dav25_wrong(self) -> None:
        """Wrong ones are 400, for small bodies and for streams."""
        for fields in (
            {"Repr_Digest": f"sha-256=:{base64.b64encode(bytes(32)).decode()}:"},
            {"Content_MD5": base64.b64encode(bytes(16)).decode()},
            {"OC_Checksum": "SHA256:" + "0" * 64},
            {"OC_Checksum": "SHA1:" + "0" * 40},
            {"OC_Checksum": "MD5:" + "0" * 32},
            {"OC_Checksum": "ADLER32:" + "0" * 8},
            {"X_Expected_Entity_Length": "12"},
            {"X_Expected_Entity_Length": "10"},
            {"OC_Checksum": "SHA1:12"},
        ):
            self.put(400, DATA, **fields)
            self.put(400, None, **fields)


class EarlyTests(DavCase):
    """DAV-24: what headers decide is said before a byte of the body is asked for."""

    def early(self, status: int, path: str, method: str = "PUT", **fields: str) -> None:
        body = SlowBody(10)
        self.expect(status, method, path, body, **fields)
        self.assertEqual(body.asked, 0)

    def test_dav24_refused(self) -> None:
        """Conditions, locks, places, fields and size are judged first."""
        self.tree("/a", "/c/", "/locked")
        token = self.lock("/locked")
        self.early(412, "/a", If_None_Match="*")
        self.early(412, "/new", If_Match="*")
        self.early(412, "/a", If_='(["x"])')
        self.early(423, "/locked")
        self.early(412, "/locked", If_=f"(Not <{token}>)")
        self.early(405, "/c")
        self.early(409, "/no/a")
        self.early(400, "/a", If_="(")
        self.early(400, "/a", Content_Range="bytes 0-9/10")
        self.early(400, "/a", X_Expected_Entity_Length="11")
        self.early(400, "/a", OC_Checksum="MD5:x")

    def test_dav24_xml(self) -> None:
        """The same for methods whose body is XML."""
        self.tree("/a", "/c/", "/locked")
        token = self.lock("/locked")
        self.early(403, "/c", "PROPFIND", Depth="infinity")
        self.early(423, "/locked", "PROPPATCH")
        self.early(423, "/locked", "LOCK")
        self.early(412, "/a", "LOCK", If_None_Match="*")
        self.early(409, "/no/a", "LOCK")
        xml = "application/xml"
        self.early(405, "/c", "MKCOL", Content_Type=xml)
        self.early(409, "/no/a", "MKCOL", Content_Type=xml)
        self.early(412, "/no", "MKCOL", Content_Type=xml, If_Match="*")
        for method, path, fields in (
            ("PROPPATCH", "/locked", {"If_": f"(<{token}>)"}),
            ("LOCK", "/new", {}),
            ("MKCOL", "/new", {"Content_Type": xml}),
        ):
            body = SlowBody(10)
            body.push(b"<x/>")
            body.push(b"")
            self.assertIn(self.ask(method, path, body, **fields).status, (400, 415))
            self.assertEqual(body.asked, 2)

    def test_dav25_expected_length(self) -> None:
        """The length that Finder announces decides like Content-Length."""
        for length, field in ((2**40, {}), (None, {"X_Expected_Entity_Length": str(2**40)})):
            body = SlowBody(length)
            answer = self.ask("PUT", "/a", body, **field)
            self.assertIn(answer.status, (413, 507))
            self.assertEqual(body.asked, 0)

    def test_dav24_asked(self) -> None:
        """Else the first chunk is asked for at once."""
        body = SlowBody(10)
        put = self.begin(self.request("PUT", "/a", body))
        self.assertEqual(body.asked, 1)
        put.cancel()
        self.failureResultOf(put, CancelledError)


class VisibleTests(DavCase):
    """DAV-23: a PUT shows nothing until it is whole."""

    def setUp(self) -> None:
        super().setUp()
        self.tree("/c/")
        self.expect(201, "PUT", "/c/a", b"old")

    def listed(self) -> list[str]:
        return self.expect(207, "PROPFIND", "/c/", Depth="1").texts("href")

    def test_dav23_while_it_lasts(self) -> None:
        """Readers see the old value, and listings no name that is being made."""
        bodies = [SlowBody(None), SlowBody(None)]
        puts = [
            self.begin(self.request("PUT", path, body))
            for path, body in zip(("/c/a", "/c/b"), bodies, strict=True)
        ]
        for body in bodies:
            body.push(b"new")
        self.pass_time(1)
        self.assertEqual(self.content("/c/a"), b"old")
        self.assertEqual(self.listed(), ["/c/", "/c/a"])
        for body in bodies:
            body.push(b"")
        self.pass_time(1)
        self.assertEqual([self.successResultOf(put).status for put in puts], [204, 201])
        self.assertEqual(self.content("/c/a"), b"new")
        self.assertEqual(self.listed(), ["/c/", "/c/a", "/c/b"])

    def test_dav23_cut(self) -> None:
        """A cut upload leaves the old value, or no name, and no lock or timer."""
        for path in ("/c/a", "/c/b"):
            body = SlowBody(None)
            put = self.begin(self.request("PUT", path, body))
            body.push(b"new")
            body.push(BodyAborted(received=3, reason="the client left"))
            self.pass_time(1)
            self.assertGreaterEqual(self.successResultOf(put).status, 400)
        self.assertEqual(self.content("/c/a"), b"old")
        self.assertEqual(self.listed(), ["/c/", "/c/a"])

    def test_dav138_client_gone(self) -> None:
        """A client that is gone frees everything at once: body, timers, the name."""
        token = self.lock("/c/a")
        body = SlowBody(None)
        put = self.begin(self.request("PUT", "/c/a", body, If_=f"(<{token}>)"))
        body.push(b"new")
        self.pass_time(5)
        with self.env.world.watching():
            put.cancel()
        self.failureResultOf(put, CancelledError)
        self.pass_time(0.1)
        self.assertTrue(body.closed)
        self.assertEqual(self.content("/c/a"), b"old")
        self.expect(204, "PUT", "/c/a", b"next", If_=f"(<{token}>)")
        self.env.world.assert_clean()


class KeepingTests(DavCase):
    """DAV-45: a lock does not end under the PUT that uses it."""

    def setUp(self) -> None:
        super().setUp()
        self.tree("/c/", "/c/a")

    def uploading(self, path: str, seconds: int, *tokens: str) -> Answer:
        body = SlowBody(None)
        field = "".join(f"(<{token}>)" for token in tokens)
        put = self.begin(self.request("PUT", path, body, If_=field))
        for _ in range(seconds // 10):
            body.push(b"x")
            self.pass_time(10)
        body.push(b"")
        self.pass_time(1)
        return self.successResultOf(put)

    def test_dav45_long_put(self) -> None:
        """An upload of 20 minutes under a lock of one ends well; then the lock goes on."""
        token = self.lock("/c/a", Timeout="Second-60")
        self.assertEqual(self.uploading("/c/a", 1200, token).status, 204)
        self.expect(423, "PUT", "/c/a", b"y")
        self.pass_time(90)
        self.expect(204, "PUT", "/c/a", b"y")

    def test_dav45_through_the_collection(self) -> None:
        """Also where the lock is the collection's and the name is new."""
        token = self.lock("/c/", Timeout="Second-60")
        self.assertEqual(self.uploading("/c/b", 600, token).status, 201)

    def test_dav45_several(self) -> None:
        """Each lock gets its own time."""
        tokens = [
            self.lock("/c/a", scope=b"shared", Timeout=f"Second-{seconds}") for seconds in (60, 100)
        ]
        self.assertEqual(self.uploading("/c/a", 600, *tokens).status, 204)
        for token in tokens:
            self.expect(204, "PUT", "/c/a", b"y", If_=f"(<{token}>)")

    def test_without_locks_no_timer(self) -> None:
        """A PUT without tokens, or a short one, looks no lock up."""
        looked: list[Key] = []
        stat = self.namespace.stat

        async def noting(key: Key, want: Want = NOTHING) -> Any:
            if want.locks:
                looked.append(key)
            return await stat(key, want)

        self.namespace.stat = noting  # type: ignore[method-assign]
        token = self.lock("/c/a")
        self.expect(204, "PUT", "/c/a", b"y", If_=f"(<{token}>)")
        self.pass_time(10)
        self.assertEqual(looked, [])
        self.env.world.assert_clean()

    def test_refresh_that_fails(self) -> None:
        """No answer to a refresh is no end: it is tried again; a lock that is gone ends it."""
        token = self.lock("/c/a", Timeout="Second-60")
        refresh = self.namespace.refresh
        errors: list[Exception] = [ConnectionLost(peer="x", phase="y")] * 2
        calls = []

        async def failing(key: Key, seconds: int, when: Any) -> Any:
            calls.append(seconds)
            if errors:
                raise errors.pop()
            return await refresh(key, seconds, when)

        self.namespace.refresh = failing  # type: ignore[method-assign]
        self.assertEqual(self.uploading("/c/a", 300, token).status, 204)
        self.assertGreater(len(calls), 5)
        del calls[:]
        errors.extend([PreconditionFailed()])
        token = self.lock("/c/b", Timeout="Second-60")
        self.assertEqual(self.uploading("/c/b", 90, token).status, 412)
        self.assertEqual(len(calls), 1)
