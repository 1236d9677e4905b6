"""What Finder, Windows and Office send, byte for byte, over the real HTTP server.

The requests are written down from what these programs are known to send; the programs themselves
do not run here (DAV-110, DAV-111).
"""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

from pigpen.dav.admission import OpenAdmission
from pigpen.dav.face import WebDav
from pigpen.testing import World
from pigpen.testing.namespace import make_namespace
from pigpen.web.server import HttpFactory
from tests.web_kit import responses

HOST = "dav.example:2574"


class Client(Protocol):
    """Keeps what it receives."""

    def __init__(self) -> None:
        self.data = b""

    def dataReceived(self, data: bytes) -> None:
        self.data += data


class TraceCase(SynchronousTestCase):
    """One connection that is kept, as these clients do; nothing is left at the end."""

    common = ""

    def setUp(self) -> None:
        self.world = World(1, latency=(0.001, 0.001))
        self.near, self.far = self.world.node("near"), self.world.node("far")
        face = WebDav(self.far, OpenAdmission(make_namespace(self.far)))
        endpoint = self.far.server_endpoint("tcp:2574")
        self.port = self.world.run(endpoint.listen(HttpFactory(self.far, face)))  # type: ignore
        self.connect()
        self.said: tuple[int, dict[str, str], bytes] = (0, {}, b"")

    def tearDown(self) -> None:
        self.client.transport.loseConnection()
        self.go()
        self.world.run(self.port.stopListening())
        self.go()
        self.world.assert_clean()

    def connect(self) -> None:
        factory = Factory.forProtocol(Client)
        self.client: Any = self.world.run(self.near.client_endpoint("far", 2574).connect(factory))

    def go(self) -> None:
        with self.world.watching():
            self.world.clock.advance(0.1)

    def say(self, status: int, line: str, *fields: str, data: bytes = b"", chunked: int = 0) -> str:
        """One request. :param chunked: bytes of a chunk; 0: with a Content-Length.

        :return: the body of the answer.
        """
        head = [line + " HTTP/1.1", f"Host: {HOST}", *fields, *self.common.strip().splitlines()]
        if chunked:
            head.append("Transfer-Encoding: Chunked")
            parts = [data[at : at + chunked] for at in range(0, len(data), chunked)]
            data = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in [*parts, b""])
        else:
            head.append(f"Content-Length: {len(data)}")
        self.client.data = b""
        self.client.transport.write("\r\n".join(head).encode() + b"\r\n\r\n" + data)
        self.go()
        assert self.client.data, f"{line}: no answer"
        [self.said] = self.answers(line)
        self.assertEqual(self.said[0], status, (line, self.said))
        if self.said[1].get("connection") == "close":  # it was refused before all of it had come
            self.client.transport.loseConnection()
            self.connect()
        return self.said[2].decode()

    def answers(self, line: str) -> list[tuple[int, dict[str, str], bytes]]:
        data = self.client.data
        if line.startswith("HEAD"):
            data = re.sub(rb"Content-Length: \d+\r\n", b"", data)
        return responses(data)

    def token(self, status: int, path: str, owner: str, *fields: str) -> str:
        """Lock a path as this client does."""
        lockinfo = LOCKINFO.format(owner=owner).encode()
        self.say(status, f"LOCK {path}", *fields, data=lockinfo)
        return self.said[1]["lock-token"]


LOCKINFO = (
    '<?xml version="1.0" encoding="utf-8"?>\n'
    '<D:lockinfo xmlns:D="DAV:">\n'
    "<D:lockscope><D:exclusive/></D:lockscope>\n"
    "<D:locktype><D:write/></D:locktype>\n"
    "<D:owner>\n<D:href>{owner}</D:href>\n</D:owner>\n"
    "</D:lockinfo>\n"
)
STAT = (
    b'<?xml version="1.0" encoding="utf-8"?>\n<D:propfind xmlns:D="DAV:">\n<D:prop>\n'
    b"<D:getlastmodified/>\n<D:getcontentlength/>\n<D:creationdate/>\n<D:resourcetype/>\n"
    b"</D:prop>\n</D:propfind>\n"
)
QUOTA = (
    b'<?xml version="1.0" encoding="utf-8"?>\n<D:propfind xmlns:D="DAV:">\n<D:prop>\n'
    b"<D:quota-available-bytes/>\n<D:quota-used-bytes/>\n<D:quota/>\n<D:quotaused/>\n"
    b"</D:prop>\n</D:propfind>\n"
)


class FinderTests(TraceCase):
    """DAV-110: macOS mounts, copies and saves; it would mount read-only without class 2."""

    common = """
Accept: */*
User-Agent: WebDAVFS/3.0.0 (03008000) Darwin/21.6.0 (x86_64)
Accept-Language: en-us
Accept-Encoding: gzip, deflate
Connection: keep-alive
"""
    XML = "Content-Type: text/xml"
    LOCKING = ("Depth: 0", "Timeout: Second-600", "Content-Type: text/xml; charset=utf-8")

    def stat(self, status: int, path: str, depth: int = 0) -> str:
        return self.say(status, f"PROPFIND {path}", self.XML, f"Depth: {depth}", data=STAT)

    def lock(self, path: str, status: int = 200) -> str:
        return self.token(status, path, "http://www.apple.com/webdav_fs/", *self.LOCKING)

    def write(self, path: str, data: bytes) -> None:
        """Create, lock, write in chunks, unlock: what Finder does with each file."""
        self.stat(404, path)
        self.say(201, f"PUT {path}")
        token = self.lock(path)
        self.stat(207, path)
        self.say(
            204, f"PUT {path}", f"X-Expected-Entity-Length: {len(data)}", f"If: ({token})",
            data=data, chunked=4096,
        )  # fmt: skip
        self.say(200, f"HEAD {path}")
        self.assertIn("last-modified", self.said[1])
        self.assertIn(f"<D:getcontentlength>{len(data)}</D:getcontentlength>", self.stat(207, path))
        self.say(204, f"UNLOCK {path}", f"Lock-Token: {token}")

    def test_dav110_mount(self) -> None:
        """Classes 1 and 2, the root, and its room; no `location`."""
        self.say(200, "OPTIONS /")
        self.assertEqual(self.said[1]["dav"].split(", ")[:2], ["1", "2"])
        self.assertIn("LOCK", self.said[1]["allow"])
        answer = self.stat(207, "/")
        self.assertIn("<D:collection/>", answer)
        answer = self.say(207, "PROPFIND /", self.XML, "Depth: 0", data=QUOTA)
        self.assertIn("quota-used-bytes", answer)
        self.stat(404, "/._.")
        self.stat(404, "/.hidden")
        self.stat(404, "/.Spotlight-V100")
        self.assertNotIn("location>", self.stat(207, "/", 1))

    def test_dav110_copy(self) -> None:
        """A folder with a file, its metadata beside it, and .DS_Store."""
        self.stat(404, "/Photos")
        self.say(201, "MKCOL /Photos/")
        self.stat(207, "/Photos/")
        for name in ("a%20b.jpg", "._a%20b.jpg", ".DS_Store"):
            self.write(f"/Photos/{name}", name.encode() * 5000)
        answer = self.stat(207, "/Photos/", 1)
        self.assertEqual(answer.count("<D:response>"), 4)
        self.say(200, "GET /Photos/a%20b.jpg")
        self.assertEqual(self.said[2], b"a%20b.jpg" * 5000)
        self.say(206, "GET /Photos/a%20b.jpg", "Range: bytes=0-4095")

    def test_dav110_cut(self) -> None:
        """A chunked body of another length than announced is no file."""
        self.say(201, "PUT /a")
        token = self.lock("/a")
        self.say(
            400, "PUT /a", "X-Expected-Entity-Length: 9", f"If: ({token})", data=b"12345678",
            chunked=4,
        )  # fmt: skip
        self.say(200, "GET /a")
        self.assertEqual(self.said[2], b"")

    def test_dav110_save(self) -> None:
        """A program saves beside the file and moves over it, both locked: two lines of If."""
        self.write("/doc.txt", b"old")
        self.say(201, "MKCOL /.TemporaryItems/")
        self.write("/.TemporaryItems/doc.txt", b"new")
        source, target = self.lock("/.TemporaryItems/doc.txt"), self.lock("/doc.txt")
        self.say(
            204,
            "MOVE /.TemporaryItems/doc.txt",
            f"Destination: http://{HOST}/doc.txt",
            f"If: <http://{HOST}/.TemporaryItems/doc.txt> ({source})",
            f"If: <http://{HOST}/doc.txt> ({target})",
        )
        self.say(200, "GET /doc.txt")
        self.assertEqual(self.said[2], b"new")
        self.stat(404, "/.TemporaryItems/doc.txt")
        self.say(204, "UNLOCK /doc.txt", f"Lock-Token: {target}")
        self.say(204, "DELETE /.TemporaryItems/")

    def test_dav110_rename_and_delete(self) -> None:
        """A renamed file keeps its bytes; the trash is a DELETE."""
        self.write("/a", b"x")
        self.say(201, "MOVE /a", f"Destination: http://{HOST}/b%cc%88", "Overwrite: F")
        self.stat(207, "/b%CC%88")
        self.say(204, "DELETE /b%CC%88")

    def test_dav110_refresh(self) -> None:
        """An open file's lock is refreshed."""
        self.say(201, "PUT /a")
        token = self.lock("/a")
        answer = self.say(200, "LOCK /a", "Depth: 0", "Timeout: Second-600", f"If: ({token})")
        self.assertIn("Second-600", answer)


PATCH = (
    b'<?xml version="1.0" encoding="utf-8" ?>'
    b'<D:propertyupdate xmlns:D="DAV:" xmlns:Z="urn:schemas-microsoft-com:"><D:set><D:prop>'
    b"<Z:Win32CreationTime>Sun, 01 Nov 2020 10:00:00 GMT</Z:Win32CreationTime>"
    b"<Z:Win32LastAccessTime>Sun, 01 Nov 2020 11:00:00 GMT</Z:Win32LastAccessTime>"
    b"<Z:Win32LastModifiedTime>Sun, 01 Nov 2020 12:00:00 GMT</Z:Win32LastModifiedTime>"
    b"<Z:Win32FileAttributes>00000020</Z:Win32FileAttributes>"
    b"</D:prop></D:set></D:propertyupdate>"
)
XML = 'Content-Type: text/xml; charset="utf-8"'
TIME = "Sun, 01 Nov 2020 12:00:00 GMT"


class WindowsTests(TraceCase):
    """DAV-111: Explorer copies a file, Office saves a document; the times stay."""

    common = """
Connection: Keep-Alive
User-Agent: Microsoft-WebDAV-MiniRedir/10.0.19045
translate: f
"""

    def lock(self, status: int, path: str, *fields: str) -> str:
        return self.token(status, path, "PC\\ann", "Timeout: Second-3600", XML, *fields)

    def find(self, status: int, path: str, depth: int = 0) -> str:
        return self.say(status, f"PROPFIND {path}", f"Depth: {depth}")

    def patch(self, path: str, token: str) -> None:
        answer = self.say(207, f"PROPPATCH {path}", XML, f"If: ({token})", data=PATCH)
        self.assertEqual(re.findall("HTTP/1.1 [0-9]+", answer), ["HTTP/1.1 200"])

    def test_dav111_mount(self) -> None:
        """Windows asks the root what it is, and lists it."""
        self.say(200, "OPTIONS /")
        self.assertEqual(self.said[1]["ms-author-via"], "DAV")
        self.assertIn("<D:collection/>", self.find(207, "/"))
        self.find(207, "/", 1)
        self.find(404, "/desktop.ini")

    def test_dav111_copy(self) -> None:
        """An empty PUT, LOCK, PROPPATCH, HEAD, PUT, PROPPATCH, UNLOCK."""
        path = "/new%20file.docx"
        self.find(404, path)
        self.say(201, f"PUT {path}")
        token = self.lock(200, path)
        self.patch(path, token)
        self.say(200, f"HEAD {path}")
        self.say(204, f"PUT {path}", f"If: ({token})", data=b"content")
        self.patch(path, token)
        self.say(204, f"UNLOCK {path}", f"Lock-Token: {token}")
        found = self.find(207, path)
        self.assertIn(f"<D:getlastmodified>{TIME}</D:getlastmodified>", found)
        self.assertIn("00000020", found)
        self.assertIn("Sun, 01 Nov 2020 10:00:00 GMT", found)
        self.say(200, f"HEAD {path}")
        self.assertEqual(self.said[1]["last-modified"], TIME)

    def test_dav111_folder(self) -> None:
        """A folder is asked for without its slash, made, and gets times too."""
        self.find(404, "/folder")
        self.say(201, "MKCOL /folder")
        self.find(207, "/folder")
        self.assertEqual(self.said[1]["content-location"], "/folder/")
        answer = self.say(207, "PROPPATCH /folder", XML, data=PATCH)
        self.assertEqual(re.findall("HTTP/1.1 [0-9]+", answer), ["HTTP/1.1 200"])
        self.assertIn(TIME, self.find(207, "/folder"))
        self.say(201, "MOVE /folder", f"Destination: http://{HOST}/renamed", "Overwrite: F")
        self.say(204, "DELETE /renamed")

    def test_dav111_office(self) -> None:
        """Office locks the document, writes beside it, and moves over it: nobody gets between."""
        self.say(201, "PUT /doc.docx", data=b"old")
        held = self.lock(200, "/doc.docx")
        self.say(200, "GET /doc.docx")
        self.say(201, "PUT /~%24doc.docx", data=b"owner")
        # save
        temporary = self.lock(201, "/~WRD0001.tmp")
        self.say(204, "PUT /~WRD0001.tmp", f"If: ({temporary})", data=b"new")
        self.patch("/~WRD0001.tmp", temporary)
        self.say(204, "UNLOCK /~WRD0001.tmp", f"Lock-Token: {temporary.strip('<>')}")
        self.say(423, "PUT /doc.docx", data=b"stranger")
        self.say(204, "UNLOCK /doc.docx", f"Lock-Token: {held}")
        temporary = self.lock(200, "/~WRD0001.tmp")
        self.say(
            204, "MOVE /~WRD0001.tmp", f"Destination: http://{HOST}/doc.docx", "Overwrite: T",
            f"If: ({temporary})",
        )  # fmt: skip
        held = self.lock(200, "/doc.docx")
        self.say(200, "GET /doc.docx")
        self.assertEqual(self.said[2], b"new")
        self.assertEqual(self.said[1]["last-modified"], TIME)
        self.say(204, "UNLOCK /doc.docx", f"Lock-Token: {held}")
        self.say(204, "DELETE /~%24doc.docx")

    def test_dav111_infinite_timeout(self) -> None:
        """Office wishes for ever; it is told how long it is."""
        self.say(201, "PUT /a")
        body = LOCKINFO.format(owner="ann").encode()
        answer = self.say(200, "LOCK /a", "Timeout: Infinite, Second-4100000000", XML, data=body)
        self.assertIn("<D:timeout>Second-3600</D:timeout>", answer)


class MethodTests(TraceCase):
    """What the server and the face make of methods, together."""

    def test_dav11_star(self) -> None:
        """OPTIONS * and OPTIONS of any name need no login and say the same."""
        for target in ("*", "/", "/no/such", "http://other.example/"):
            self.say(200, f"OPTIONS {target}")
            self.assertEqual(self.said[1]["dav"], "1, 2, 3, extended-mkcol")
            self.assertEqual(self.said[1]["content-length"], "0")

    def test_dav22_methods(self) -> None:
        """Those of other protocols are refused, and the connection goes on."""
        for method, status in (("POST", 405), ("PATCH", 405), ("REPORT", 501), ("SEARCH", 501),
                               ("ACL", 501), ("MKCALENDAR", 501), ("GET", 200)):  # fmt: skip
            self.say(status, f"{method} /")

    def test_dav14_fragment(self) -> None:
        """A target with a fragment names nothing that could be deleted (litmus)."""
        self.say(201, "MKCOL /c")
        self.say(201, "PUT /c/a")
        self.say(400, "DELETE /c/#ment")

    def test_dav60_bad_targets(self) -> None:
        """Paths that are no keys are 400, too long ones 414."""
        for path in ("/a%2Fb", "/%00", "/%1f", "/%7f", "/.", "/a/..", "/a//b", "/%ff", "/%ef%bf%be",
                     "/%ef%bf%bf", "/%zz"):  # fmt: skip
            self.say(400, f"PUT {path}")
        self.say(414, "PUT /" + "a" * 256)

    def test_dav24_continue(self) -> None:
        """What headers decide comes without 100 Continue; else it comes at once (curl)."""
        fields = f"Host: {HOST}\r\nExpect: 100-continue\r\nContent-Length: 3\r\n"
        transport = self.client.transport
        transport.write(f"PUT /a HTTP/1.1\r\n{fields}\r\n".encode())
        self.go()
        self.assertEqual(self.client.data, b"HTTP/1.1 100 Continue\r\n\r\n")
        self.client.data = b""
        transport.write(b"abc")
        self.go()
        self.assertEqual(responses(self.client.data)[0][0], 201)
        self.client.data = b""
        transport.write(f"PUT /a HTTP/1.1\r\n{fields}If-None-Match: *\r\n\r\n".encode())
        self.go()
        self.assertEqual([status for status, _, _ in responses(self.client.data)], [412])
