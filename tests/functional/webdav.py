"""The WebDAV faces of a running solo, and what tests of other people's clients share."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import requests
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.functional.gateways import PASSWORD, USER, shared_gateway, shared_program, users_file
from tests.functional.processes import shared_solo

#: `make dav` asks for those too that take minutes; in CI a skipped test is a failure
ALL_TESTS = bool(os.environ.get("PIGPEN_ALL_TESTS"))

#: names that clients and servers like to get wrong (DAV-60); each is a folder or a file
ODD_NAMES = (
    "a b", "100%", "%41", "a#b", "a+b", "a;b", "a&b=c", "'quoted'", "(b)", "[c]", "{d}", "a,b",
    "~$x.doc", "ü", "€", "日本語", "🐷", "._x", ".DS_Store", ".hidden", "desktop.ini", "-rf",
    "a=b", "x!y@z",
)  # fmt: skip
#: these cannot be names of files in a tree that a client's own rules change
ODDER_NAMES = ('"', "<", ">", "?", ":", "\\", "dot.", "space ")


@dataclass(frozen=True, slots=True)
class Face:
    """Where clients connect. ``url`` ends in a slash."""

    url: str
    login: tuple[str, str] | None = None

    def below(self, name: str) -> Face:
        """A new collection of that name."""
        url = f"{self.url}{name}/"
        answer = requests.request("MKCOL", url, auth=self.login, timeout=30)
        assert answer.status_code in {201, 405}, (answer.status_code, answer.text)
        return Face(url, self.login)

    @property
    def curl_login(self) -> tuple[str, ...]:
        return () if self.login is None else ("-u", ":".join(self.login))


def gateway() -> Face:
    """`pigpen runserver` within solo, which asks for no login."""
    return Face(shared_solo().gateway + "/")


def coordinator() -> Face:
    """The coordinator's own face, by Basic."""
    solo = shared_solo()
    return Face(solo.url + "/dav/", (solo.login, solo.access_key))


def below_prefix() -> Face:
    """A gateway that serves below a path (DAV-65)."""
    return Face(f"http://127.0.0.1:{shared_gateway('--prefix=/a/b c').port}/a/b%20c/")


def for_users() -> Face:
    """A gateway for users of a file, by Digest and, within one machine, by Basic."""
    gateway = shared_gateway(f"--users={users_file()}")
    return Face(f"http://127.0.0.1:{gateway.port}/", (USER, PASSWORD))


def redirecting() -> Face:
    """A gateway whose GET leads those who can follow to a host (DAV-80)."""
    return Face(f"http://127.0.0.1:{shared_gateway('--redirect').port}/")


def sidecar() -> Face:
    """A store in memory, with locks and properties beside it (DAV-7)."""
    return Face(f"http://127.0.0.1:{shared_program('sidecar_server').port}/")


class WebDavCase(SynchronousTestCase):
    """Has a face, a collection of its own there, and a folder here."""

    def make_face(self) -> Face:
        return gateway()

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        # coordinator and gateway show the same account
        name = f"{type(self).__name__}-{self.id().rpartition('.')[2]}"
        self.face = self.make_face().below(name)
        self.url = self.face.url

    def file(self, name: str, data: bytes) -> str:
        path = self.folder / name
        path.write_bytes(data)
        return str(path)

    def get(self, name: str) -> bytes:
        """What another client finds."""
        answer = requests.get(self.url + name, auth=self.face.login, timeout=30)
        assert answer.status_code == 200, (name, answer.status_code)
        return answer.content

    def needs(self, *programs: str) -> None:
        """A missing program is a skip that can be seen; in CI a failure."""
        for program in programs:
            if shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bin") is None:
                raise SkipTest(f"{program} is not installed")
