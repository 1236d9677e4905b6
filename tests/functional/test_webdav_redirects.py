"""Clients that are led to a host, logins, and 100 Continue, with real programs.

DAV-24, DAV-80 to DAV-83, DAV-100, DAV-101.
"""

from __future__ import annotations

import os
import subprocess
import sys

import requests

from tests.functional.processes import Completed, run
from tests.functional.test_webdav_clients import FILE, GvfsTests, PythonTests, RcloneTests
from tests.functional.webdav import Face, WebDavCase, coordinator, for_users, redirecting

LARGE = bytes(range(256)) * 1024


class RedirectTests(WebDavCase):
    """What a gateway with --redirect answers to whom."""

    def make_face(self) -> Face:
        return redirecting()

    def setUp(self) -> None:
        super().setUp()
        self.etag = self.ask("PUT", "x", data=LARGE).headers["ETag"]

    def ask(
        self, method: str, name: str, agent: str = "rclone/v1", **more: object
    ) -> requests.Response:
        headers = {"User-Agent": agent, **more.pop("headers", {})}  # type: ignore[dict-item]
        return requests.request(
            method, self.url + name, headers=headers, allow_redirects=False, timeout=30, **more
        )  # type: ignore[arg-type]

    def test_led_away(self) -> None:
        """A GET of those who follow is led to a host, which needs no login, takes no offence at
        one, and has the same ETag and ranges."""
        for agent in ("rclone/v1.60", "gvfs/1.50", "python-httpx/0.28", "python-requests/2.32"):
            answer = self.ask("GET", "x", agent)
            assert (answer.status_code, answer.content) == (307, b""), (agent, answer.status_code)
            assert answer.headers["Content-Length"] == "0"
            assert answer.headers["Cache-Control"] == "no-store"
            assert answer.headers["ETag"] == self.etag
            where = answer.headers["Location"]
            fields = {"Authorization": "Basic Zm9yZWlnbjpvbmU=", "Range": "bytes=10-19"}
            part = requests.get(where, headers=fields, timeout=30)
            assert (part.status_code, part.content) == (206, LARGE[10:20]), part.text
            assert part.headers["ETag"] == self.etag
            assert part.headers["Last-Modified"] == self.ask("HEAD", "x").headers["Last-Modified"]

    def test_answered_here(self) -> None:
        """Other clients, other methods, small files, and what conditions decide, stay here."""
        for agent in ("curl/8", "cadaver/0.24", "davfs2/1.6.1", "Microsoft-WebDAV-MiniRedir/10"):
            answer = self.ask("GET", "x", agent)
            assert (answer.status_code, answer.content) == (200, LARGE), agent
        assert self.ask("HEAD", "x").status_code == 200
        assert self.ask("PUT", "small", data=b"1").status_code == 201
        assert self.ask("GET", "small").content == b"1"
        assert self.ask("PROPFIND", "", headers={"Depth": "1"}).status_code == 207
        assert self.ask("GET", "").status_code == 200
        for fields, status in (
            ({"If-None-Match": self.etag}, 304),
            ({"If-Match": '"other"'}, 412),
            ({"Range": "bytes=9999999-"}, 416),
        ):
            assert self.ask("GET", "x", headers=fields).status_code == status, fields
        assert self.ask("DELETE", "x").status_code == 204


class RedirectedRcloneTests(RcloneTests):
    def make_face(self) -> Face:
        return redirecting()


class RedirectedGvfsTests(GvfsTests):
    def make_face(self) -> Face:
        return redirecting()


class RedirectedPythonTests(PythonTests):
    def make_face(self) -> Face:
        return redirecting()


class ExpectTests(WebDavCase):
    """Who waits for 100 Continue gets it, or the refusal instead."""

    def put(self, name: str, *options: str) -> Completed:
        f = self.file("f", FILE)
        return run(
            "curl", "-sv", *self.face.curl_login, "-T", f, "-H", "Expect: 100-continue",
            "--expect100-timeout", "20", *options, self.url + name,
        )  # fmt: skip

    def test_continue(self) -> None:
        """The body is asked for at once."""
        done = self.put("x", "-m", "10")
        assert b"HTTP/1.1 100 Continue" in done.stderr and b" 201 " in done.stderr, done.stderr
        assert self.get("x") == FILE

    def test_refused(self) -> None:
        """What headers decide is said before a byte of the body was sent, and nothing changes."""
        self.put("x")
        requests.request("MKCOL", self.url + "d/", auth=self.face.login, timeout=30)
        lock = (
            '<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope>'
            "<locktype><write/></locktype></lockinfo>"
        )
        requests.put(self.url + "locked", b"1", auth=self.face.login, timeout=30)
        requests.request("LOCK", self.url + "locked", data=lock, auth=self.face.login, timeout=30)
        for name, status, options in (
            ("x", 412, ("If-None-Match: *",)),
            ("x", 412, ('If-Match: "other"',)),
            ("x", 412, ('If: (["other"])',)),
            ("x", 400, ("If: junk",)),
            ("x", 400, ("Content-Range: bytes 0-9/99",)),
            ("x", 400, ("X-OC-Mtime: soon",)),
            ("x/y", 409, ()),
            ("none/y", 409, ()),
            ("d", 405, ()),
            ("locked", 423, ()),
            ("z" * 300, 414, ()),
        ):
            done = self.put(name, *(part for option in options for part in ("-H", option)))
            assert f"HTTP/1.1 {status} ".encode() in done.stderr, (name, options, done.stderr)
            assert b"100 Continue" not in done.stderr, (name, options)
        assert self.get("x") == FILE
        assert self.get("locked") == b"1"


class CoordinatorExpectTests(ExpectTests):
    def make_face(self) -> Face:
        return coordinator()


class LoginTests(WebDavCase):
    """A gateway for the users of a file."""

    def make_face(self) -> Face:
        return for_users()

    def status(self, *options: str) -> int:
        done = run("curl", "-s", "-o", os.devnull, "-w", "%{http_code}", *options)
        return int(done.stdout)

    def test_right(self) -> None:
        """Digest in both hashes that curl may choose, and Basic, as this is one machine."""
        assert self.face.login is not None
        login = ("-u", ":".join(self.face.login))
        f = self.file("f", FILE)
        for scheme in ("--digest", "--basic", "--anyauth"):
            put = self.status(scheme, *login, "-T", f, f"{self.url}{scheme}")
            assert put == 201, (scheme, put)
            got = run("curl", "-s", scheme, *login, f"{self.url}{scheme}")
            assert got.stdout == FILE, scheme

    def test_wrong(self) -> None:
        """401 for what is there and what is not, and nothing is changed; OPTIONS asks for none."""
        f = self.file("f", FILE)
        user = "ann-but-another"  # tries are counted by name
        for scheme in ("--digest", "--basic"):
            for name in ("", "nothing"):
                wrong = (scheme, "-u", f"{user}:wrong", self.url + name)
                assert self.status(*wrong) == 401
                assert self.status("-X", "PROPFIND", *wrong) == 401
        assert self.status("-T", f, "--digest", "-u", f"{user}:wrong", self.url + "new") == 401
        assert self.status("-T", f, self.url + "new") == 401
        assert self.status("-X", "OPTIONS", self.url) == 200
        head = requests.head(self.url + "new", auth=self.face.login, timeout=30)
        assert head.status_code == 404
        asked = requests.get(self.url, timeout=30).headers["WWW-Authenticate"].lower()
        assert "digest" in asked and "basic" in asked and "sha-256" in asked, asked

    def test_programs(self) -> None:
        """rclone and webdav4 say that the login is wrong, and go on at once with the right one."""
        self.needs("rclone")
        assert self.face.login is not None
        name, password = self.face.login
        for word, good in (("wrong", False), (password, True)):
            hidden = run("rclone", "obscure", word).stdout.decode().strip()
            user = name if good else "ann-again"
            remote = f":webdav,url='{self.url}',vendor=other,user={user},pass='{hidden}':"
            done = run("rclone", "--config", "/dev/null", "--retries", "1", "lsf", remote)
            assert (done.returncode == 0) is good, done.stderr
            assert good or b"401" in done.stderr, done.stderr
            program = (
                "from webdav4.client import Client;"
                f"print(Client({self.url!r}, auth={(user, word)!r}).ls(''))"
            )
            done4 = subprocess.run(
                [sys.executable, "-c", program], capture_output=True, timeout=60, check=False
            )
            assert (done4.returncode == 0) is good, done4.stderr
            assert good or b"401" in done4.stderr, done4.stderr


del RcloneTests, GvfsTests, PythonTests
