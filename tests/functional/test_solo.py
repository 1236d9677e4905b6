"""One command starts a whole cloud; it keeps what it said it keeps."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.observing import until
from tests.functional.processes import shared_solo
from tests.functional.solo import Solo, free_ports

BIG = os.urandom(3_000_000)

#: the command, which stands still when it has sent 16 MiB of a file
STOPPING = """
import os, signal
from pigpen.system import SystemFile
read = SystemFile.read_at
def read_and_stop(self, offset, size):
    if offset >= 16 * 2**20:
        os.kill(os.getpid(), signal.SIGSTOP)
    return read(self, offset, size)
SystemFile.read_at = read_and_stop
from pigpen.cli import main
main()
"""

#: a site of twisted.web with the user's cloud in it; says where it listens
SITE = """
import pigpen
from twisted.internet import reactor
from twisted.web.resource import Resource
from twisted.web.server import Site
root = Resource()
root.putChild(b"remote", pigpen.resource())
port = reactor.listenTCP(0, Site(root), interface="127.0.0.1")
print(port.getHost().port, flush=True)
reactor.run()
"""


class LifeTests(SynchronousTestCase):
    """What starts, stops and kills a solo of its own."""

    def setUp(self) -> None:
        self.solo = Solo(self.mktemp())
        self.addCleanup(self.solo.stop)
        self.solo.start()
        self.run_ = self.solo.run

    def test_first_words(self) -> None:
        """The first start shows the key and keeps it for its owner alone; later ones do not."""
        key = (self.solo.pool / "access_key").read_text().strip()
        self.assertIn(key, self.solo.said)
        path = self.solo.home / ".pigpen"
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        self.assertIn(f"accesskey: {key}\n", path.read_text())
        self.assertNotIn(key, self.solo.log())
        self.assertEqual(self.solo.stop(), 0)
        self.solo.start()
        self.assertNotIn(key, self.solo.said)
        self.assertIn("kept in     ", self.solo.said)

    def test_other_file_kept(self) -> None:
        """Somebody's key for another cloud is never overwritten."""
        path = self.solo.home / ".pigpen"
        self.solo.stop()
        path.write_text("accesskey: pp_other\n")
        self.solo.start()
        self.assertEqual(path.read_text(), "accesskey: pp_other\n")
        self.assertIn("left as it is", self.solo.said)

    def test_port_taken(self) -> None:
        """Each of its ports can be taken: the sentence names the option that chooses another."""
        port = self.solo.port
        for option in ("--port", "--host-port", "--gateway-port"):
            others = [f"{name}={free}" for name, free in self.ports_but(option)]
            command = f"pigpen solo other {option}={port} {' '.join(others)}"
            said = self.solo.run(command, status=1).stderr.decode()
            self.assertIn(f"choose another {option}.\n", said)

    def ports_but(self, option: str) -> list[tuple[str, int]]:
        names = {"--port", "--host-port", "--gateway-port"} - {option}
        return list(zip(sorted(names), free_ports(2), strict=True))

    def test_restart(self) -> None:
        """After a stop and after a kill everything is there."""
        run = self.run_
        run("pigpen put a/big", BIG)
        self.assertEqual(self.solo.stop(signal.SIGINT), 0)  # Ctrl-C
        self.solo.start()
        self.assertEqual(run("pigpen get a/big").stdout, BIG)
        run("pigpen put a/two", BIG[::-1])
        self.solo.kill()
        self.solo.start()
        self.assertEqual(run("pigpen get a/two").stdout, BIG[::-1])

    def upload(self) -> subprocess.Popen[bytes]:
        """`put` of a pipe, of whose first megabyte most is at the host."""
        upload = subprocess.Popen(
            ["pigpen", "put", "film"], env=self.solo.environment,
            stdin=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.addCleanup(upload.kill)
        assert upload.stdin is not None
        upload.stdin.write(BIG[:1_000_000])
        upload.stdin.flush()
        incoming = self.solo.pool / "host" / "incoming"
        until(
            lambda: any(one.stat().st_size > 500_000 for one in incoming.iterdir()),
            "the first bytes at the host",
        )
        return upload

    def test_killed_in_upload(self) -> None:
        """kill -9 of the cloud in mid-upload: the old version stays, a new try works."""
        run = self.run_
        run("pigpen put film", b"old" * 5000)
        with self.upload() as upload:
            self.solo.kill()
            _, error = upload.communicate(BIG[1_000_000:], timeout=90)
        self.assertIn(upload.returncode, (1, 3))
        self.assertEqual(error.count(b"\n"), 1, error)
        self.assertTrue(error.startswith(b"pigpen: "), error)
        self.solo.start()
        self.assertEqual(run("pigpen get film").stdout, b"old" * 5000)
        run("pigpen put film", BIG)
        self.assertEqual(run("pigpen get film").stdout, BIG)

    def test_host_restarts_in_upload(self) -> None:
        """The cloud is killed and comes back while a pipe is being stored: it goes through."""
        with self.upload() as upload:
            self.solo.kill()
            self.solo.start()
            _, error = upload.communicate(BIG[1_000_000:], timeout=90)
        self.assertEqual(upload.returncode, 0, error)
        self.assertEqual(self.run_("pigpen get film").stdout, BIG)


class SharedSoloTests(SynchronousTestCase):
    """What a solo does for many, each below a key and in a folder of its own."""

    def setUp(self) -> None:
        self.solo = shared_solo()
        self.at = f"solo/{self.id().rpartition('.')[2]}"
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()

    def run_(
        self, command: str, data: bytes | None = None, *, status: int = 0
    ) -> subprocess.CompletedProcess[bytes]:
        """``@`` stands for the key of this test."""
        return self.solo.run(command.replace("@", self.at), data, status=status, folder=self.folder)

    def popen(self, *command: str, **options: int) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(command, env=self.solo.environment, cwd=self.folder, **options)  # type: ignore[call-overload]
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def blobs(self) -> set[Path]:
        found = (self.solo.pool / "host" / "blobs").rglob("*")
        return {one for one in found if one.is_file()}

    def test_commands(self) -> None:
        """put, get, ls, rm: what was stored comes back, by pipe and by file."""
        run = self.run_
        (self.folder / "big").write_bytes(BIG)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(run, [
                "pigpen put @/a/big big",
                "pigpen put @/a/pipe < big",
                "echo hello | pigpen put @/hello.txt",
                "pigpen put @/empty < /dev/null",
            ]))  # fmt: skip
            got = pool.map(run, [
                "pigpen get @/a/big",
                "pigpen get @/a/pipe copy && cmp copy big",
                "pigpen get @/empty",
                "pigpen ls @",
                "pigpen ls -r @",
                "pigpen ls -l @/a/big",
            ])  # fmt: skip
            big, copy, empty, names, all_names, long = [one.stdout for one in got]
        self.assertEqual((big, copy, empty), (BIG, b"", b""))
        self.assertEqual(names, b"a/\nempty\nhello.txt\n")
        self.assertEqual(all_names.split(), [b"a/", b"a/big", b"a/pipe", b"empty", b"hello.txt"])
        self.assertIn(b"  3000000  ", long)
        self.assertIn(b"rm -r", run("pigpen rm @/a", status=1).stderr)
        run("pigpen rm @/hello.txt && pigpen rm -r @/a")
        self.assertEqual(run("pigpen ls @").stdout, b"empty\n")
        self.assertIn(b"nothing under this key", run("pigpen get @/a/big", status=1).stderr)

    def test_put_killed(self) -> None:
        """`put` of a large file is killed; run again, it goes on where it was cut."""
        run = self.run_
        data = os.urandom(24 * 2**20)
        (self.folder / "film").write_bytes(data)
        incoming = self.solo.pool / "host" / "incoming"
        blobs = self.blobs()

        def parts() -> set[int]:
            found = [one.stat() for one in incoming.iterdir() if one.suffix != ".json"]
            return {facts.st_ino for facts in found if facts.st_size > 2**22}

        upload = self.popen(sys.executable, "-c", STOPPING, "put", f"{self.at}/film", "film")
        os.waitpid(upload.pid, os.WUNTRACED)
        until(parts, "most of it at the host")
        upload.kill()
        upload.wait()
        before = parts()
        run("pigpen put @/film film")
        self.assertEqual({one.stat().st_ino for one in self.blobs() - blobs}, before)
        self.assertEqual(run("pigpen get @/film").stdout, data)

    def test_refusals(self) -> None:
        """Whatever is wrong: a status, one sentence, and nothing stored changes."""
        run = self.run_
        run("pigpen put @/kept", b"kept")
        [free] = free_ports(1)
        wrong = [
            ("pigpen get @/kept -k pp_wrong", 1, b"access key"),
            ("pigpen put @/kept/below < /etc/passwd", 1, b"kept"),
            ("pigpen put @//b < /etc/passwd", 2, b"empty"),
            ("pigpen put @/new nowhere", 1, b"No such file"),
            ("pigpen put @/new .", 1, b"folder"),
            ("pigpen put --new @/kept < /etc/passwd", 1, b"condition"),
            ("pigpen get @/kept nowhere/file", 1, b"nowhere"),
            ("pigpen get @/kept --coordinator=http://127.0.0.1:1", 1, b"connect"),
            ("pigpen get @/kept --coordinator=nonsense", 2, b"https://"),
            ("pigpen gte @/kept", 2, b"did you mean get?"),
            (f"pigpen solo other --port={self.solo.port}", 1, b"listen"),
            (f"pigpen coordinator other --port={self.solo.port}", 1, b"--port"),
            (f"pigpen coordinator {self.solo.pool}/coordinator --port={free}", 1, b"another"),
            (f"pigpen host {self.solo.pool}/host --port={free}", 1, b"another"),
            ("pigpen get @/kept > /dev/full", 1, b"No space left"),
            ("pigpen ls @ > /dev/full", 1, b"No space left"),
            ("pigpen get @/kept >&-", 1, b"standard output"),
            ("pigpen ls @ >&-", 1, b"standard output"),
            ("pigpen put @/closed <&-", 1, b"standard input"),
        ]
        with ThreadPoolExecutor(4) as pool:
            ended = list(pool.map(lambda row: run(row[0], status=row[1]), wrong))
        for (command, _, part), done in zip(wrong, ended, strict=True):
            self.assertIn(part, done.stderr, command)
            ours = [line for line in done.stderr.split(b"\n") if line.startswith(b"pigpen: ")]
            self.assertEqual(len(ours), 1, (command, done.stderr))
        self.assertEqual(run("pigpen get @/kept").stdout, b"kept")
        self.assertEqual(run("pigpen ls @").stdout, b"kept\n")

    def test_output_never_half(self) -> None:
        """A host whose bytes went bad: no file under the name, an older one stays."""
        run, home = self.run_, self.folder
        blobs = self.blobs()
        run("pigpen put @/film", BIG)
        [blob] = self.blobs() - blobs
        blob.chmod(0o600)
        with blob.open("r+b") as file:
            file.seek(2_000_000)
            file.write(bytes([BIG[2_000_000] ^ 1]))
        (home / "older").write_text("older")
        self.assertIn(b"SHA-256", run("pigpen get @/film older", status=1).stderr)
        self.assertEqual((home / "older").read_text(), "older")
        run("pigpen get @/film new", status=1)
        self.assertEqual([one.name for one in home.glob("*new*")], [])
        self.assertEqual([one.name for one in home.glob(".new*")], [])
        piped = run("pigpen get @/film", status=1)
        self.assertLess(len(piped.stdout), len(BIG))

    def test_closed_output(self) -> None:
        """`pigpen get | head` ends quietly."""
        self.run_("pigpen put @/film", BIG)
        done = self.run_("pigpen get @/film | head -c 10", status=141)
        self.assertEqual((done.stdout, done.stderr), (BIG[:10], b""))

    def test_signals(self) -> None:
        """Ctrl-C in a download: 130, one line, and no file is left. So with SIGTERM, SIGHUP."""
        self.run_("head -c 300000000 /dev/zero | pigpen put @/zeros")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self.interrupt(number)

    def interrupt(self, number: int) -> None:
        get = self.popen("pigpen", "get", f"{self.at}/zeros", "file", stderr=subprocess.PIPE)
        assert get.stderr is not None
        while get.poll() is None and not list(self.folder.iterdir()):
            pass
        get.send_signal(number)
        self.assertEqual(get.wait(30), 128 + number)
        self.assertEqual(get.stderr.read(), b"pigpen: interrupted\n")
        get.stderr.close()
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_keys(self) -> None:
        """A new access key works until it is ended."""
        run = self.run_
        run("pigpen put @/kept", b"kept")
        made = run("pigpen account --new-key laptop").stdout.decode().strip()
        self.assertEqual(run(f"pigpen get @/kept -k {made}").stdout, b"kept")
        self.assertIn(b"laptop", run("pigpen account").stdout)
        run(f"pigpen account --delete-key {made.split('_')[1]}")
        run(f"pigpen get @/kept -k {made}", status=1)

    def test_gateway(self) -> None:
        """Programs that know nothing of pigpen use the gateway."""
        run, url = self.run_, f"{self.solo.gateway}/{self.at}"
        run("echo | pigpen put @/first")  # WebDAV makes no collections by the way
        run(f"curl -sf -T - {url}/film", BIG)
        got = run(f"curl -sf {url}/film").stdout
        self.assertEqual(hashlib.sha256(got).digest(), hashlib.sha256(BIG).digest())
        self.assertEqual(run(f"curl -sf -r 5-9 {url}/film").stdout, BIG[5:10])
        self.assertIn(b"Content-Length: 3000000", run(f"curl -sfI {url}/film").stdout)
        self.assertIn(b"film", run(f"curl -sf {url}/").stdout)
        listed = run(f"curl -sf -X PROPFIND -H 'Depth: 1' {url}/").stdout
        self.assertIn(f"/{self.at}/film</D:href>".encode(), listed)
        for field, status in (("Host: evil.example", b"421"), ("Origin: http://evil", b"403")):
            told = f"curl -s -o /dev/null -w '%{{http_code}}' -X MKCOL -H '{field}' {url}/evil/"
            self.assertEqual(run(told).stdout, status)
        run(f"curl -sf -X DELETE {url}/film")
        self.assertEqual(run(f"curl -s -o /dev/null -w '%{{http_code}}' {url}/film").stdout, b"404")

    def test_curl_by_redirect(self) -> None:
        """curl stores and fetches through redirects, the key staying at the coordinator."""
        run, home = self.run_, self.folder
        (home / "big").write_bytes(BIG)
        key = (self.solo.pool / "access_key").read_text().strip()
        url = f"{self.solo.url}/api/me/{self.at}"
        run(f"curl -sfL -u me:{key} -T big {url}")
        self.assertEqual(run(f"curl -sfL -u me:{key} {url}").stdout, BIG)

    def test_twisted_site(self) -> None:
        """`pigpen.resource()` in somebody's twisted.web site: store, read, list, delete."""
        site = self.popen(sys.executable, "-c", SITE, stdout=subprocess.PIPE)
        assert site.stdout is not None
        self.addCleanup(site.stdout.close)
        url = f"http://127.0.0.1:{int(site.stdout.readline())}/remote/{self.at}"
        run = self.run_
        (self.folder / "big").write_bytes(BIG)
        run("echo | pigpen put @/first")
        run(f"curl -sf -T big {url}/big")
        self.assertEqual(run(f"curl -sf {url}/big").stdout, BIG)
        self.assertEqual(run(f"curl -sf -r 5-9 {url}/big").stdout, BIG[5:10])
        self.assertEqual(run("pigpen get @/big").stdout, BIG)
        listed = run(f"curl -sf -X PROPFIND -H 'Depth: 1' {url}/").stdout
        self.assertIn(f"/remote/{self.at}/big</D:href>".encode(), listed)
        run(f"curl -sf -X DELETE {url}/big")
        self.assertEqual(run(f"curl -s -o /dev/null -w '%{{http_code}}' {url}/big").stdout, b"404")
        site.terminate()
        self.assertEqual(site.wait(30), 0)
