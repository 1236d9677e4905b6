"""Other people's WebDAV clients against the gateway and the coordinator (DAV-114 to DAV-117)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import requests

from tests.functional.processes import Completed, run
from tests.functional.webdav import ODD_NAMES, ODDER_NAMES, Face, WebDavCase, coordinator

FILE = bytes(range(256)) * 4096 * 5
BIG = bytes(reversed(range(256))) * 4096 * 20


class CurlTests(WebDavCase):
    """DAV-116."""

    def curl(self, *options: str) -> Completed:
        return run("curl", "-sS", *self.face.curl_login, *options)

    def test_cut_upload(self) -> None:
        """An upload that is cut leaves the old file, whole, and no other name."""
        f, g = self.file("f", FILE), self.file("g", BIG)
        assert self.curl("-f", "-T", f, self.url + "x").returncode == 0
        cut = self.curl("-T", g, "--limit-rate", "1M", "-m", "1", self.url + "x")
        assert cut.returncode == 28, cut
        assert self.get("x") == FILE
        cut = self.curl("-T", g, "--limit-rate", "1M", "-m", "1", self.url + "new")
        assert cut.returncode == 28, cut
        listed = self.curl("-X", "PROPFIND", "-H", "Depth: 1", self.url).stdout
        assert listed.count(b"<D:href>") == 2, listed

    def test_refused_before_the_body(self) -> None:
        """What headers decide is answered without 100 Continue (DAV-24)."""
        f = self.file("f", FILE)
        self.curl("-f", "-T", f, self.url + "x")
        condition = ("-H", "If-None-Match: *", "-H", "Expect: 100-continue")
        done = self.curl("-v", "-T", f, *condition, self.url + "x")
        assert b" 412 " in done.stderr and b" 100 " not in done.stderr, done.stderr

    def test_ranges(self) -> None:
        """Parts of a file, and a download that goes on."""
        self.curl("-f", "-T", self.file("f", FILE), self.url + "x")
        assert self.curl("-r", "1000-70000", self.url + "x").stdout == FILE[1000:70001]
        part = self.folder / "part"
        part.write_bytes(FILE[:1_000_000])
        assert self.curl("-C", "-", "-o", str(part), self.url + "x").returncode == 0
        assert part.read_bytes() == FILE

    def test_content_range(self) -> None:
        """A PUT of a part would replace the whole: 400, and nothing changed."""
        f = self.file("f", FILE)
        self.curl("-f", "-T", f, self.url + "x")
        done = self.curl("-w", "%{http_code}", "-T", f, "-H", "Content-Range: bytes 0-9/99",
                         self.url + "x")  # fmt: skip
        assert done.stdout.endswith(b"400"), done
        assert self.get("x") == FILE


class CadaverTests(WebDavCase):
    """DAV-115. cadaver always ends with status 0."""

    def test_session(self) -> None:
        """Put, get, copy, move, lock, discover, unlock, set and get properties."""
        self.needs("cadaver")
        self.file("f", FILE)
        commands = (
            "put f a\nget a b\nmkcol d\ncopy a d/c\nmove d/c d/e\nlock d/e\ndiscover d/e\n"
            "unlock d/e\npropset a k v\npropget a k\nquit\n"
        )
        done = subprocess.run(
            ["cadaver", self.url],
            input=commands,
            cwd=self.folder,
            env={**os.environ, "HOME": str(self.folder)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        said = done.stdout + done.stderr
        assert "failed" not in said, said
        assert "Value of k is: v" in said, said
        assert (self.folder / "b").read_bytes() == FILE
        assert self.get("d/e") == FILE


class PythonTests(WebDavCase):
    """webdav4 and webdavclient3 (DAV-117)."""

    def python(self, program: str) -> None:
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def test_webdav4(self) -> None:
        """It asks `exists` without Depth."""
        self.file("f", FILE)
        login = "" if self.face.login is None else f", auth={self.face.login!r}"
        self.python(f"""
from webdav4.client import Client
c = Client({self.url!r}{login})
c.mkdir("w"); c.upload_file("f", "w/a"); c.copy("w/a", "w/b"); c.move("w/b", "w/c")
assert c.exists("w/c") and not c.exists("w/b") and len(c.ls("w")) == 2
assert c.content_length("w/c") == {len(FILE)}
c.download_file("w/c", "o"); c.remove("w/a")
""")
        assert (self.folder / "o").read_bytes() == FILE

    def test_webdavclient3(self) -> None:
        """It asks for collections by HEAD, and sends XML of odd types."""
        self.file("f", FILE)
        parts = urlsplit(self.url)
        options = {
            "webdav_hostname": f"{parts.scheme}://{parts.netloc}",
            "webdav_root": parts.path,
        }
        if self.face.login is not None:
            options |= dict(zip(("webdav_login", "webdav_password"), self.face.login, strict=True))
        self.python(f"""
from webdav3.client import Client
c = Client({options!r})
c.mkdir("v"); c.upload_sync("v/a", "f"); c.copy("v/a", "v/b"); c.move("v/b", "v/c")
c.set_property("v/c", {{"namespace": "n:", "name": "k", "value": "v"}})
assert c.get_property("v/c", {{"namespace": "n:", "name": "k"}}) == "v"
assert c.check("v") and c.check("v/c") and not c.check("v/b")
assert set(("a", "c")) <= set(c.list("v")), c.list("v")
c.download_sync("v/c", "o"); c.clean("v/a")
""")
        assert (self.folder / "o").read_bytes() == FILE


class RcloneTests(WebDavCase):
    """DAV-114: copy, check, sync, move; times and odd names kept."""

    def setUp(self) -> None:
        super().setUp()
        self.needs("rclone")
        self.remote = f":webdav,url='{self.url}',vendor=owncloud"
        if self.face.login is not None:
            obscured = run("rclone", "obscure", self.face.login[1]).stdout.decode().strip()
            self.remote += f",user={self.face.login[0]},pass='{obscured}'"
        self.remote += ":"

    def rclone(self, *arguments: str) -> str:
        done = run("rclone", "--config", "/dev/null", "--retries", "1", *arguments)
        assert done.returncode == 0, (arguments, done.stderr.decode())
        return done.stdout.decode()

    def times(self, where: str) -> dict[str, str]:
        """Date and time of each file, to the second."""
        lines = (line.split(maxsplit=3) for line in self.rclone("lsl", where).splitlines())
        return {name: f"{date} {time[:8]}" for _, date, time, name in lines}

    def tree(self) -> Path:
        """Files and folders with odd names, some large, with old times."""
        source = self.folder / "src"
        for number, name in enumerate((*ODD_NAMES, *ODDER_NAMES)):
            folder = source / name
            folder.mkdir(parents=True)
            for inner in (name, "file", "empty"):
                path = folder / inner
                path.write_bytes(b"" if inner == "empty" else os.urandom(100 * number))
                os.utime(path, (1_000_000_000 + number,) * 2)
        (source / "large").write_bytes(FILE)
        return source

    def test_tree(self) -> None:
        """No difference after a copy, and none after a copy back."""
        source = self.tree()
        self.rclone("copy", str(source), self.remote + "r")
        self.rclone("check", "--download", str(source), self.remote + "r")
        here, there = (self.times(where) for where in (str(source), self.remote + "r"))
        here.pop("large"), there.pop("large")
        assert here == there
        self.rclone("copy", self.remote + "r", str(self.folder / "back"))
        same = run("diff", "-r", str(source), str(self.folder / "back"))
        assert same.returncode == 0, same.stdout

    def test_sync_and_move(self) -> None:
        """sync removes what is gone; a second one sends nothing; a folder moves as a whole."""
        source = self.folder / "s"
        (source / "sub").mkdir(parents=True)
        for name in ("a", "b", "sub/c"):
            (source / name).write_bytes(name.encode() * 1000)
        self.rclone("sync", str(source), self.remote + "s")
        (source / "a").unlink()
        (source / "b").write_bytes(b"changed")
        self.rclone("sync", str(source), self.remote + "s")
        self.rclone("check", str(source), self.remote + "s")
        again = run("rclone", "--config", "/dev/null", "-v", "sync", str(source), self.remote + "s")
        assert b"Copied" not in again.stderr, again.stderr
        self.rclone("moveto", self.remote + "s/sub", self.remote + "t")
        listed = sorted(self.rclone("lsf", "-R", self.remote).split())
        assert listed == ["s/", "s/b", "t/", "t/c"], listed
        self.rclone("purge", self.remote + "s")
        assert self.rclone("lsf", self.remote).split() == ["t/"]


class GvfsTests(WebDavCase):
    """DAV-113: the desktop's file manager does the same through gio."""

    def test_gio(self) -> None:
        """Mount, copy, rename, copy back, remove."""
        self.needs("gio", "dbus-run-session")
        self.file("f", FILE)
        there = "dav://" + self.url.partition("://")[2]
        answers = "" if self.face.login is None else "\\n".join(self.face.login) + "\\n"
        script = (
            f"printf '{answers}' | gio mount {there}; gio copy f {there}g;"
            f" gio rename {there}g h; gio copy {there}h out; gio remove {there}h; gio list {there}"
        )
        done = subprocess.run(
            ["dbus-run-session", "--", "sh", "-ec", script],
            cwd=self.folder,
            env={**os.environ, "XDG_RUNTIME_DIR": str(self.folder), "HOME": str(self.folder)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "h" not in done.stdout.split(), done
        assert (self.folder / "out").read_bytes() == FILE


class TwoClientsTests(WebDavCase):
    """Two people with one name."""

    def test_lost_update(self) -> None:
        """Who edits what has changed meanwhile is told so, and nothing is lost."""
        login = self.face.login
        first = requests.put(self.url + "x", data=b"one", auth=login, timeout=30)
        assert first.status_code == 201
        fields = {"If-Match": first.headers["ETag"]}
        for data, status in ((b"two", 204), (b"three", 412)):
            answer = requests.put(self.url + "x", data=data, headers=fields, auth=login, timeout=30)
            assert answer.status_code == status, answer.text
        assert self.get("x") == b"two"

    def test_new_within_one_second(self) -> None:
        """Each version has an ETag of its own, however fast they follow each other (DAV-31)."""
        tags = set()
        for number in range(5):
            answer = requests.put(
                self.url + "x", data=str(number), auth=self.face.login, timeout=30
            )
            tags.add(answer.headers["ETag"])
            head = requests.head(self.url + "x", auth=self.face.login, timeout=30)
            assert head.headers["ETag"] == answer.headers["ETag"]
        assert len(tags) == 5


def _at_coordinator(case: type[WebDavCase]) -> type[WebDavCase]:
    """The same tests at the coordinator's face."""

    class AtCoordinator(case):  # type: ignore[valid-type,misc]
        def make_face(self) -> Face:
            return coordinator()

    AtCoordinator.__name__ = AtCoordinator.__qualname__ = f"Coordinator{case.__name__}"
    return AtCoordinator


CoordinatorCurlTests = _at_coordinator(CurlTests)
CoordinatorPythonTests = _at_coordinator(PythonTests)
CoordinatorRcloneTests = _at_coordinator(RcloneTests)
CoordinatorGvfsTests = _at_coordinator(GvfsTests)
CoordinatorTwoClientsTests = _at_coordinator(TwoClientsTests)
