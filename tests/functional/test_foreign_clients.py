"""Other people's clients against a running solo: correct, or a clear error; never silent loss.

They are the clients of the table in CLD-39.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import requests
import urllib3
from twisted.trial.unittest import SynchronousTestCase

from tests.functional.processes import Completed, run, shared_solo

MIB = 1024 * 1024
#: some versions of curl ask before they send (Expect: 100-continue) only over 1 MiB
LARGE = bytes(range(256)) * 4 * 1024 * 3
SMALL = b"small " * 5_000

BYTES_IN = 'pigpen_body_bytes_total{direction="in"}'
BYTES_OUT = 'pigpen_body_bytes_total{direction="out"}'


class SoloCase(SynchronousTestCase):
    """Has the shared solo, and a key and a folder for each test."""

    def setUp(self) -> None:
        self.solo = shared_solo()
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.key = self.id().rpartition(".")[2]
        self.url = f"{self.solo.api}/{self.key}"

    def file(self, data: bytes) -> str:
        path = self.folder / "source"
        path.write_bytes(data)
        return str(path)

    def stored(self) -> bytes | None:
        """What another client finds under the key; None: nothing."""
        answer = requests.get(self.url, headers=self.solo.authorization, timeout=30)
        if answer.status_code == 404:
            return None
        assert answer.status_code == 200, answer.text
        return answer.content

    def curl(self, *options: str, input: bytes | None = None) -> Completed:
        return run("curl", "-sS", *self.solo.curl_login, *options, input=input)


class CurlTests(SoloCase):
    """curl, with and without -L."""

    def test_upload_of_a_file(self) -> None:
        """A large file goes straight to the host: no byte of it passes the coordinator."""
        before = self.solo.metrics()[BYTES_IN]
        done = self.curl("-L", "-f", "-T", self.file(LARGE), self.url)
        assert done.returncode == 0, done.stderr
        assert self.solo.metrics()[BYTES_IN] == before
        assert self.stored() == LARGE

    def test_upload_of_a_pipe(self) -> None:
        """A pipe cannot be sent twice: it arrives whole, or curl says that it did not."""
        done = self.curl("-L", "-f", "-T", "-", self.url, input=LARGE)
        assert self.stored() == (LARGE if done.returncode == 0 else None)
        assert done.returncode in {0, 65}, done.stderr

    def test_upload_without_following(self) -> None:
        """Who forgets -L stores nothing, and the answer says so."""
        done = self.curl("-T", self.file(LARGE), self.url)
        assert b"not stored yet" in done.stdout
        assert self.stored() is None

    def test_upload_that_does_not_ask(self) -> None:
        """What is sent at once is passed on, with -L or without."""
        done = self.curl("-f", "-H", "Expect:", "-T", self.file(SMALL), self.url)
        assert done.returncode == 0, done.stderr
        assert self.stored() == SMALL

    def test_upload_over_http_1_0(self) -> None:
        """A client without `100 Continue` is never redirected."""
        done = self.curl("-f", "--http1.0", "-T", self.file(LARGE), self.url)
        assert done.returncode == 0, done.stderr
        assert self.stored() == LARGE

    def test_cut_upload(self) -> None:
        """An upload that stops in the middle leaves the old version, whole."""
        assert self.curl("-L", "-f", "-T", self.file(SMALL), self.url).returncode == 0
        slow = ("--limit-rate", "200k", "--max-time", "2")
        done = self.curl("-L", *slow, "-T", self.file(LARGE), self.url)
        assert done.returncode == 28, done.stderr
        assert self.stored() == SMALL

    def test_empty_file(self) -> None:
        """Nothing is something: an empty file is stored as one."""
        done = self.curl("-L", "-f", "-T", self.file(b""), self.url)
        assert done.returncode == 0, done.stderr
        assert self.stored() == b""

    def test_download(self) -> None:
        """A download goes to the host, where the access key is not sent."""
        self.curl("-L", "-f", "-T", self.file(LARGE), self.url)
        before = self.solo.metrics()[BYTES_OUT]
        done = self.curl("-L", "-f", "-v", self.url)
        assert done.stdout == LARGE
        assert self.solo.metrics()[BYTES_OUT] == before
        assert done.stderr.count(b"> Authorization:") == 1
        assert self.curl(self.url).stdout != LARGE

    def test_ranges(self) -> None:
        """Parts arrive exactly as asked for, also where a download is continued."""
        self.curl("-L", "-f", "-T", self.file(LARGE), self.url)
        for asked, wanted in (("0-0", LARGE[:1]), ("1000-70000", LARGE[1000:70001]),
                              ("-5", LARGE[-5:]), (f"{len(LARGE) - 1}-", LARGE[-1:])):  # fmt: skip
            assert self.curl("-L", "-f", "-r", asked, self.url).stdout == wanted, asked
        target = self.folder / "continued"
        target.write_bytes(LARGE[:MIB])
        done = self.curl("-L", "-f", "-C", "-", "-o", str(target), self.url)
        assert done.returncode == 0, done.stderr
        assert target.read_bytes() == LARGE

    def test_range_outside(self) -> None:
        """A part that is not there is refused."""
        self.curl("-L", "-f", "-T", self.file(LARGE), self.url)
        done = self.curl("-L", "-f", "-r", f"{len(LARGE)}-", self.url)
        assert (done.returncode, done.stdout) == (22, b"")

    def test_head(self) -> None:
        """Length and tag are known without a download."""
        self.curl("-L", "-f", "-T", self.file(LARGE), self.url)
        head = self.curl("-L", "-I", self.url).stdout.lower()
        assert f"content-length: {len(LARGE)}".encode() in head
        assert b"etag: " in head

    def test_wrong_access_key(self) -> None:
        """A wrong key stores nothing, before the body is sent."""
        done = run("curl", "-sS", "-L", "-u", "me:wrong", "-w", " %{http_code} %{size_upload}",
                   "-T", self.file(LARGE), self.url)  # fmt: skip
        assert done.stdout.endswith(b" 401 0"), done.stdout
        assert self.stored() is None


class PythonTests(SoloCase):
    """requests and urllib3, whose streams lose data if they are redirected."""

    def chunks(self) -> Iterator[bytes]:
        for start in range(0, len(LARGE), 50_000):
            yield LARGE[start : start + 50_000]

    def test_requests_generator(self) -> None:
        """A generator cannot be replayed: its bytes pass the coordinator, all of them."""
        answer = requests.put(
            self.url, data=self.chunks(), headers=self.solo.authorization, timeout=30
        )
        assert answer.status_code == 201, answer.text
        assert answer.history == []
        assert self.stored() == LARGE

    def test_requests_file(self) -> None:
        """A file is stored whole, and a second time in place of the first."""
        for data, status in ((LARGE, 201), (SMALL, 204), (LARGE, 204)):
            with open(self.file(data), "rb") as file:
                answer = requests.put(
                    self.url, data=file, headers=self.solo.authorization, timeout=30
                )
            assert answer.status_code in {status, 200}, answer.text
            assert self.stored() == data

    def test_requests_basic(self) -> None:
        """Login and key work as user and password too, from a download to the end."""
        login = (self.solo.login, self.solo.access_key)
        assert requests.put(self.url, data=LARGE, auth=login, timeout=30).status_code == 201
        answer = requests.get(self.url, auth=login, timeout=30)
        assert [each.status_code for each in answer.history] == [307]
        assert "Authorization" not in answer.request.headers
        assert hashlib.sha256(answer.content).digest() == hashlib.sha256(LARGE).digest()

    def test_urllib3_file(self) -> None:
        """urllib3 sends files in chunks and does not ask: they are passed on."""
        pool = urllib3.PoolManager()
        self.addCleanup(pool.clear)
        with open(self.file(LARGE), "rb") as file:
            answer = pool.request("PUT", self.url, body=file, headers=self.solo.authorization)
        assert answer.status == 201, answer.data
        assert self.stored() == LARGE

    def test_condition(self) -> None:
        """`If-None-Match: *` keeps what is there."""
        headers = {**self.solo.authorization, "If-None-Match": "*"}
        assert requests.put(self.url, data=SMALL, headers=headers, timeout=30).status_code == 201
        assert requests.put(self.url, data=LARGE, headers=headers, timeout=30).status_code == 412
        assert self.stored() == SMALL


class OtherTests(SoloCase):
    """wget and rclone, and clients of the gateway, which need no key."""

    def test_wget(self) -> None:
        """wget would carry the access key on to a host: it gets its bytes from the coordinator."""
        login = (f"--user={self.solo.login}", f"--password={self.solo.access_key}",
                 "--auth-no-challenge")  # fmt: skip
        put = run("wget", "-q", "-O-", *login, "--method=PUT",
                  f"--body-file={self.file(LARGE)}", self.url)  # fmt: skip
        assert put.returncode == 0, put.stderr
        done = run("wget", "-S", "-O-", *login, self.url)
        assert done.stdout == LARGE
        assert b" 307 " not in done.stderr

    def test_rclone(self) -> None:
        """rclone copies a file from the cloud by its URL."""
        requests.put(self.url, data=LARGE, headers=self.solo.authorization, timeout=30)
        target = self.folder / "rclone-copy"
        key = f"Authorization: Bearer {self.solo.access_key}"
        command = ("rclone", "--config", "", "copyurl", "--header", key)
        done = run(*command, self.url, str(target))
        assert done.returncode == 0, done.stderr
        assert target.read_bytes() == LARGE

    def test_gateway(self) -> None:
        """At the gateway any client can store and fetch, without redirects and without a key."""
        url = f"{self.solo.gateway}/{self.key}"
        put = run("curl", "-sS", "-f", "-T", self.file(LARGE), url)
        assert put.returncode == 0, put.stderr
        assert run("curl", "-sS", "-f", "-r", "5-9", url).stdout == LARGE[5:10]
        assert run("wget", "-q", "-O-", url).stdout == LARGE
        assert self.stored() == LARGE
        assert requests.delete(url, timeout=30).status_code == 204
        assert self.stored() is None
