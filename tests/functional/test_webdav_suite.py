"""What later versions of litmus test beside those of 0.13, under their names (DAV-151)."""

from __future__ import annotations

import re
import subprocess
from email.utils import formatdate, parsedate_to_datetime
from urllib.parse import urljoin, urlsplit

import requests

from tests.functional.processes import run
from tests.functional.webdav import ALL_TESTS, Face, WebDavCase, coordinator

PROPFIND = '<D:propfind xmlns:D="DAV:"><D:prop>{}</D:prop></D:propfind>'


class SuiteTests(WebDavCase):
    """At the gateway."""

    def ask(
        self, method: str, name: str, data: bytes | str = b"", **headers: str
    ) -> requests.Response:
        return requests.request(
            method, self.url + name, data=data, headers=headers, auth=self.face.login, timeout=30
        )

    def do(self, method: str, name: str, data: bytes | str = b"", **headers: str) -> None:
        answer = self.ask(method, name, data, **headers)
        assert answer.ok, (method, name, answer.status_code, answer.text)

    def test_put_location(self) -> None:
        """Where PUT says that the new file is, there it is."""
        for name in ("a", "a%20b%23", "%C3%BC"):
            answer = self.ask("PUT", name, b"found")
            assert answer.status_code == 201, answer.text
            where = urljoin(self.url + name, answer.headers.get("Location", ""))
            found = requests.get(where, auth=self.face.login, timeout=30)
            assert (found.status_code, found.content) == (200, b"found"), where

    def test_copy_abspath(self) -> None:
        """Destination may be a path, without scheme and server."""
        self.do("PUT", "a", b"one")
        path = urlsplit(self.url).path
        for method, name, status in (("COPY", "b", 201), ("COPY", "b", 204), ("MOVE", "c", 201)):
            answer = self.ask(method, "a", Destination=path + name)
            assert answer.status_code == status, (method, answer.status_code, answer.text)
            assert self.get(name) == b"one"
        assert self.ask("GET", "a").status_code == 404

    def test_copy_shallow(self) -> None:
        """COPY of a collection with Depth 0 takes its properties, and no members."""
        self.do("MKCOL", "d/")
        self.do("PUT", "d/f", b"one")
        change = '<propertyupdate xmlns="DAV:"><set><prop><k xmlns="n:">v</k></prop></set>'
        self.do("PROPPATCH", "d/", change + "</propertyupdate>")
        answer = self.ask("COPY", "d/", Destination=self.url + "e/", Depth="0")
        assert answer.status_code == 201, answer.text
        assert self.ask("GET", "e/f").status_code == 404
        listed = self.ask("PROPFIND", "e/", PROPFIND.format('<k xmlns="n:"/>'), Depth="1").text
        assert listed.count("<D:response>") == 1 and ">v<" in listed, listed
        assert self.get("d/f") == b"one"

    def test_propfind_invalid2(self) -> None:
        """A prefix bound to no namespace is no XML."""
        answer = self.ask("PROPFIND", "", PROPFIND.format('<x:foo xmlns:x=""/>'), Depth="0")
        assert answer.status_code == 400, answer.text

    def test_propgetlastmod(self) -> None:
        """getlastmodified is a date of HTTP, that of GET and HEAD, and of this moment."""
        self.do("PUT", "a", b"one")
        listed = self.ask("PROPFIND", "a", PROPFIND.format("<D:getlastmodified/>"), Depth="0").text
        [date] = re.findall("<D:getlastmodified>([^<]*)</D:getlastmodified>", listed)
        moment = parsedate_to_datetime(date).timestamp()
        assert formatdate(moment, usegmt=True) == date
        for method in ("GET", "HEAD"):
            answer = self.ask(method, "a")
            assert answer.headers["Last-Modified"] == date
            now = parsedate_to_datetime(answer.headers["Date"]).timestamp()
            assert abs(now - moment) < 60, (date, answer.headers["Date"])


class CoordinatorSuiteTests(SuiteTests):
    """At the coordinator."""

    def make_face(self) -> Face:
        return coordinator()


if ALL_TESTS:

    class LargeFileTests(WebDavCase):
        def test_largefile(self) -> None:
            """2 GiB and some more, written, listed, read in whole and around the border."""
            size = 2**31 + 12345
            path = self.folder / "large"
            with path.open("wb") as file:
                file.truncate(size)
                for at in (0, 2**31 - 5, size - 10):
                    file.seek(at)
                    file.write(b"0123456789")
            put = run("curl", "-sSf", "-T", str(path), self.url + "large", seconds=600)
            assert put.returncode == 0, put.stderr
            head = requests.head(self.url + "large", timeout=30)
            assert head.headers["Content-Length"] == str(size)
            border = f"bytes={2**31 - 5}-{2**31 + 4}"
            part = requests.get(self.url + "large", headers={"Range": border}, timeout=30)
            assert (part.status_code, part.content) == (206, b"0123456789")
            command = f"curl -sSf {self.url}large | cmp - {path}"
            assert subprocess.run(["sh", "-c", command], timeout=600).returncode == 0
            requests.delete(self.url + "large", timeout=30)
