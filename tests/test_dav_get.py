"""GET and HEAD through the face, and their redirect to hosts."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from pigpen.dav.settings import REDIRECTED_AGENTS, DavSettings
from pigpen.http.body import Body
from pigpen.http.fields import parse_links
from pigpen.http.key import Key
from pigpen.http.message import Request
from pigpen.http.namespace import Namespace, Node, Reading
from tests.dav_kit import Answer, DavCase

DATA = b"0123456789"


class GetTests(DavCase):
    def setUp(self) -> None:
        super().setUp()
        self.put = self.expect(201, "PUT", "/a.txt", DATA)

    def test_dav12_headers(self) -> None:
        """GET and HEAD say the same of an object: version, time, length, ranges, type, digest."""
        got = self.expect(200, "GET", "/a.txt")
        self.assertEqual(got.data, DATA)
        digest = base64.b64encode(hashlib.sha256(DATA).digest()).decode()
        expected = {
            "ETag": self.put.headers["ETag"], "Last-Modified": self.put.headers["Last-Modified"],
            "Content-Length": "10", "Accept-Ranges": "bytes", "Content-Type": "text/plain",
            "Repr-Digest": f"sha-256=:{digest}:", "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Resource-Policy": "same-origin",
        }  # fmt: skip
        self.assertEqual({name: got.headers[name] for name in expected}, expected)
        self.assertFalse(got.headers["ETag"].startswith("W/"))
        head = self.expect(200, "HEAD", "/a.txt")
        self.assertEqual(dict(head.headers), dict(got.headers))
        self.assertEqual(head.data, b"")

    def test_dav12_ranges(self) -> None:
        """One range is 206, several are the whole, one outside is 416 and says how long it is."""
        part = self.expect(206, "GET", "/a.txt", Range="bytes=2-4")
        self.assertEqual((part.data, part.headers["Content-Range"]), (b"234", "bytes 2-4/10"))
        self.assertEqual(self.expect(206, "GET", "/a.txt", Range="bytes=-3").data, b"789")
        self.assertEqual(self.expect(200, "GET", "/a.txt", Range="bytes=0-1,4-5").data, DATA)
        self.assertEqual(self.expect(200, "HEAD", "/a.txt", Range="bytes=2-4").data, b"")
        outside = self.expect(416, "GET", "/a.txt", Range="bytes=10-")
        self.assertEqual(outside.headers["Content-Range"], "bytes */10")

    def test_dav12_if_range(self) -> None:
        """A part is given of the version the client has, else all of the new one."""
        etag = self.put.headers["ETag"]
        fields = {"Range": "bytes=2-4"}
        self.expect(206, "GET", "/a.txt", If_Range=etag, **fields)
        self.expect(206, "GET", "/a.txt", If_Range=self.put.headers["Last-Modified"], **fields)
        self.expect(200, "GET", "/a.txt", If_Range='"other"', **fields)

    def test_dav12_conditions(self) -> None:
        """304 has the version but no body; 412 where the version is another, or there is none."""
        etag = self.put.headers["ETag"]
        for method in ("GET", "HEAD"):
            same = self.expect(304, method, "/a.txt", If_None_Match=etag)
            self.assertEqual((same.headers["ETag"], same.data), (etag, b""))
            self.expect(412, method, "/a.txt", If_Match='"other"')
            self.expect(412, method, "/nothing", If_Match=etag)
            self.expect(404, method, "/nothing")

    def test_dav61_slash(self) -> None:
        """An object has no final slash; a collection is found without it (RFC 4918 5.2)."""
        self.expect(404, "GET", "/a.txt/")
        self.expect(404, "HEAD", "/a.txt/")

    def test_dav12_collection(self) -> None:
        """A collection is a page, its HEAD is 200 (webdav4); its conditions count."""
        self.tree("/c/", "/c/d")
        for method in ("GET", "HEAD"):
            answer = self.expect(200, method, "/c/")
            self.assertEqual(answer.headers["Content-Type"], "text/html; charset=utf-8")
            self.expect(200, method, "/c/", If_Match="*")
            self.expect(412, method, "/c/", If_Match='"1"')
            self.expect(304, method, "/c/", If_None_Match="*")
            self.expect(200, method, "/c/", If_None_Match='"1"')
        self.assertIn(b"/c/d", self.expect(200, "GET", "/c/").data)
        self.assertEqual(self.expect(200, "HEAD", "/c/").data, b"")

    def test_dav26_no_redirect(self) -> None:
        """Without its final slash a collection answers, and says its path (Windows)."""
        self.tree("/c/")
        for method in ("GET", "HEAD", "PROPFIND"):
            answer = self.ask(method, "/c")
            self.assertIn(answer.status, (200, 207))
            self.assertEqual(answer.headers["Content-Location"], "/c/")
            self.assertNotIn("Content-Location", self.ask(method, "/c/").headers)

    def test_dav31_one_etag(self) -> None:
        """PUT, HEAD, GET and getetag say the same version; a new one within a second is another."""
        seen = []
        for data in (b"one", b"two", b"one more"):
            put = self.ask("PUT", "/a.txt", data)
            found = self.expect(207, "PROPFIND", "/a.txt", Depth="0").texts("getetag")
            self.assertEqual(
                {put.headers["ETag"], self.expect(200, "HEAD", "/a.txt").headers["ETag"],
                 self.expect(200, "GET", "/a.txt").headers["ETag"], *found},
                {put.headers["ETag"]},
            )  # fmt: skip
            seen.append(put.headers["ETag"])
        self.assertEqual(len(set(seen)), 3)

    def test_dav32_dates(self) -> None:
        """A date counts if it is exactly ours, as clients may set older times."""
        self.expect(204, "PUT", "/a.txt", DATA, X_OC_Mtime="1000000000")
        self.expect(201, "PUT", "/b", DATA, X_OC_Mtime="1000000000")
        date = "Sun, 09 Sep 2001 01:46:40 GMT"
        later = "Sun, 09 Sep 2001 01:46:41 GMT"
        self.expect(304, "GET", "/b", If_Modified_Since=date)
        self.expect(200, "GET", "/b", If_Modified_Since=later)
        self.expect(206, "GET", "/b", Range="bytes=0-0", If_Range=date)
        self.expect(200, "GET", "/b", Range="bytes=0-0", If_Range=later)
        self.expect(200, "GET", "/b", If_Unmodified_Since=date)
        self.expect(200, "GET", "/b", If_Unmodified_Since=later)
        self.expect(412, "GET", "/b", If_Unmodified_Since="Sun, 09 Sep 2001 01:46:39 GMT")

    def test_dav32_same_second(self) -> None:
        """A version that came in the same second as the one before matches no date."""
        date = self.expect(204, "PUT", "/a.txt", b"two").headers["Last-Modified"]
        self.assertEqual(date, self.put.headers["Last-Modified"])
        self.expect(200, "GET", "/a.txt", If_Modified_Since=date)
        self.expect(200, "GET", "/a.txt", If_Range=date, Range="bytes=0-0")
        self.assertEqual(self.expect(200, "HEAD", "/a.txt").headers["Last-Modified"], date)

    def test_dav93_presented(self) -> None:
        """What could run as a page of this server is only saved."""
        self.tree("/x.html")
        answer = self.expect(200, "GET", "/x.html")
        self.assertEqual(answer.headers["Content-Security-Policy"], "sandbox")
        self.assertEqual(answer.headers["Content-Disposition"], 'attachment; filename="x.html"')

    def test_dav30_if_after_conditions(self) -> None:
        """An If field that does not hold is 412 on reads too, after the conditions of HTTP."""
        for method in ("GET", "HEAD", "PROPFIND"):
            self.expect(412, method, "/a.txt", If_='(["other"])')
            self.ask(method, "/a.txt", If_=f"([{self.put.headers['ETag']}])")
            self.expect(412, method, "/c", If_Match='"other"', If_="(Not <urn:x>)")


class SpiedReading:
    """A reading that hosts expect too, and that notes how it ends."""

    def __init__(self, inner: Reading, locations: tuple[str, ...], ends: list[str]) -> None:
        self._inner = inner
        self.locations = locations
        self.ends = ends

    @property
    def node(self) -> Node:
        return self._inner.node

    async def body(self, offset: int, length: int) -> Body:
        self.ends.append("body")
        return await self._inner.body(offset, length)

    async def close(self) -> None:
        self.ends.append("close")
        await self._inner.close()


class SpiedNamespace:
    def __init__(self, inner: Namespace) -> None:
        self._inner = inner
        self.locations: tuple[str, ...] = ()
        self.ends: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def open(self, key: Key) -> Reading:
        return SpiedReading(await self._inner.open(key), self.locations, self.ends)


class SpiedCase(DavCase):
    namespace: Any

    def make_namespace(self) -> Any:
        return SpiedNamespace(super().make_namespace())

    def setUp(self) -> None:
        super().setUp()
        self.etag = self.expect(201, "PUT", "/a.txt", DATA).headers["ETag"]
        self.ends = self.namespace.ends


class ReadingTests(SpiedCase):
    def test_every_way_out(self) -> None:
        """A version that was opened is given back on every way out, once."""
        for status, fields in (
            (200, {}),
            (206, {"Range": "bytes=1-2"}),
            (304, {"If_None_Match": self.etag}),
            (412, {"If_Match": '"x"'}),
            (412, {"If_": '(["x"])'}),
            (416, {"Range": "bytes=100-"}),
        ):
            del self.ends[:]
            self.expect(status, "GET", "/a.txt", **fields)
            self.assertEqual(self.ends, ["body" if status in (200, 206) else "close"], fields)

    def test_head_opens_nothing(self) -> None:
        """HEAD costs no reading."""
        self.expect(200, "HEAD", "/a.txt")
        self.assertEqual(self.ends, [])


class RedirectTests(SpiedCase):
    settings = DavSettings(redirected_agents=REDIRECTED_AGENTS)

    def setUp(self) -> None:
        super().setUp()
        self.namespace.locations = ("https://h1/x/1", "http://h2/x/2", "http://h3/x/3")

    def get(
        self, status: int, method: str = "GET", agent: str = "rclone/1.60", **fields: str
    ) -> Answer:
        del self.ends[:]
        return self.expect(status, method, "/a.txt", User_Agent=agent, **fields)

    def test_dav80_redirect(self) -> None:
        """A client on the list is sent to a host, with the version and the other copies."""
        answer = self.get(307)
        self.assertEqual(answer.headers["Location"], "https://h1/x/1")
        self.assertEqual(answer.headers["Content-Length"], "0")
        self.assertEqual(answer.headers["Cache-Control"], "no-store")
        self.assertEqual(answer.headers["ETag"], self.etag)
        links = parse_links(answer.headers["Link"])
        self.assertEqual([link.target for link in links], ["http://h2/x/2", "http://h3/x/3"])
        self.assertEqual({link.relations for link in links}, {("duplicate",)})
        self.assertEqual(self.ends, ["close"])
        self.get(307, Range="bytes=1-2")

    def test_dav80_conditions_first(self) -> None:
        """304, 412 and 416 are ours."""
        self.get(304, If_None_Match=self.etag)
        self.get(412, If_Match='"x"')
        self.get(416, Range="bytes=10-")

    def test_dav80_inline(self) -> None:
        """What lies on no host comes from here."""
        self.namespace.locations = ()
        self.assertEqual(self.get(200).data, DATA)

    def test_dav81_never(self) -> None:
        """No other method is redirected, nor any client by TLS to a host without."""
        self.get(200, "HEAD")
        self.get(204, "PUT")
        self.get(207, "PROPFIND")
        request = self.request("GET", "/a.txt", User_Agent="rclone/1")
        answer = self.env.run(self.asking(request.replace(secure=True)))
        self.assertEqual((answer.status, "Link" in answer.headers), (307, False))
        self.namespace.locations = ("http://h2/x/2",)
        answer = self.env.run(self.asking(self.secure()))
        self.assertEqual(answer.status, 200)
        self.get(204, "DELETE")

    def secure(self) -> Request:
        return self.request("GET", "/a.txt", User_Agent="rclone/1").replace(secure=True)

    def test_dav83_agents(self) -> None:
        """Only clients that are known to follow are sent away; nobody is by default."""
        for agent in ("gvfs/1.50.3", "python-httpx/0.23", "python-requests/2.28"):
            self.get(307, agent=agent)
        for agent in ("davfs2/1.6.1 neon/0.32.5", "cadaver/0.24 neon/0.32", "", "curl/7.88 rclone/",
                      "Microsoft-WebDAV-MiniRedir/10.0", "WebDAVFS/3.0.0"):  # fmt: skip
            self.assertEqual(self.get(200, agent=agent).data, DATA)
        self.face._settings = DavSettings()
        self.get(200)
