"""litmus, the test suite for WebDAV servers: all of it, and no warning (DAV-150)."""

from __future__ import annotations

import re
import subprocess

from tests.functional.cloud import LOGIN, Cloud
from tests.functional.postgresql import programs, shared_server
from tests.functional.processes import run
from tests.functional.webdav import (
    Face,
    WebDavCase,
    below_prefix,
    coordinator,
    for_users,
    sidecar,
)

#: of Debian 12's litmus 0.13: basic, copymove, props, locks, http
TESTS = {"basic": 16, "copymove": 13, "props": 30, "locks": 41, "http": 4}
_SUMMARY = re.compile(r"summary for `(\w+)': of (\d+) tests run: (\d+) passed")


class LitmusCase(WebDavCase):
    """Runs litmus in a collection of the face."""

    def test_litmus(self) -> None:
        """104 of 104, and not one warning."""
        self.needs("litmus")
        command = ["litmus", "-k", self.url, *(self.face.login or ())]
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=120, check=False
        )
        said = done.stdout + done.stderr
        assert not re.search("FAIL|WARNING|SKIP|skipped", said), said
        found = {name: (int(ran), int(good)) for name, ran, good in _SUMMARY.findall(said)}
        assert found == {name: (count, count) for name, count in TESTS.items()}, said

    def schemes(self) -> set[bytes]:
        """How litmus logged in, as its own log tells."""
        log = (self.folder / "debug.log").read_bytes()
        return set(re.findall(rb"^Authorization: (\w+) ", log, re.MULTILINE))


class GatewayTests(LitmusCase):
    """Over the cloud, without a login."""


class CoordinatorTests(LitmusCase):
    """The coordinator's own face, by Basic."""

    def make_face(self) -> Face:
        return coordinator()

    def test_litmus(self) -> None:
        super().test_litmus()
        assert self.schemes() == {b"Basic"}, self.schemes()

    def test_wrong_key(self) -> None:
        """A wrong key changes nothing, and the answer says how to log in."""
        done = run("curl", "-sS", "-i", "-X", "MKCOL", "-u", "me:wrong", self.url + "x/")
        assert b"401" in done.stdout.splitlines()[0], done.stdout
        assert b"www-authenticate: basic" in done.stdout.lower(), done.stdout


class PrefixTests(LitmusCase):
    """A gateway below a path."""

    def make_face(self) -> Face:
        return below_prefix()


class DigestTests(LitmusCase):
    """A gateway for users of a file: litmus takes Digest, the best that is offered."""

    def make_face(self) -> Face:
        return for_users()

    def test_litmus(self) -> None:
        super().test_litmus()
        assert self.schemes() == {b"Digest"}, self.schemes()


class PostgresqlTests(LitmusCase):
    """The coordinator's face, its catalog at a PostgreSQL server."""

    if programs() is None:
        skip = "PostgreSQL is not installed"

    def make_face(self) -> Face:
        cloud = Cloud(self.folder / "cloud", catalog=shared_server().make_database())
        self.addCleanup(cloud.stop)
        cloud.start()
        return Face(f"{cloud.url}/dav/", (LOGIN, cloud.key))


class SidecarTests(LitmusCase):
    """Over a store that knows neither locks nor properties."""

    def make_face(self) -> Face:
        return sidecar()


del LitmusCase
