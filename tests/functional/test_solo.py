"""One command starts a whole cloud; it keeps what it said it keeps."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.solo import Solo, free_ports

BIG = os.urandom(3_000_000)


class SoloTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.solo = Solo(self.mktemp())
        self.addCleanup(self.solo.stop)
        self.solo.start()
        self.run_ = self.solo.run

    def test_commands(self) -> None:
        """put, get, ls, rm: what was stored comes back, by pipe and by file."""
        run, home = self.run_, self.solo.home
        (home / "big").write_bytes(BIG)
        run("pigpen put a/big big")
        run("pigpen put a/pipe", BIG)
        run("echo hello | pigpen put hello.txt")
        run("pigpen put empty < /dev/null")
        self.assertEqual(run("pigpen get a/big").stdout, BIG)
        run("pigpen get a/pipe copy && cmp copy big")
        self.assertEqual(run("pigpen get empty").stdout, b"")
        self.assertEqual(run("pigpen ls").stdout, b"a/\nempty\nhello.txt\n")
        self.assertEqual(run("pigpen ls a").stdout, b"big\npipe\n")
        self.assertEqual(run("pigpen ls -r").stdout.split()[:3], [b"a/", b"a/big", b"a/pipe"])
        self.assertIn(b"  3000000  ", run("pigpen ls -l a/big").stdout)
        self.assertIn(b"rm -r a", run("pigpen rm a", status=1).stderr)
        run("pigpen rm hello.txt && pigpen rm -r a")
        self.assertEqual(run("pigpen ls").stdout, b"empty\n")
        self.assertIn(b"nothing under this key", run("pigpen get a/big", status=1).stderr)

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

    def test_restart(self) -> None:
        """After a stop and after a kill everything is there."""
        run = self.run_
        run("pigpen put a/big", BIG)
        self.assertEqual(self.solo.stop(), 0)
        self.solo.start()
        self.assertEqual(run("pigpen get a/big").stdout, BIG)
        run("pigpen put a/two", BIG[::-1])
        self.solo.kill()
        self.solo.start()
        self.assertEqual(run("pigpen get a/two").stdout, BIG[::-1])

    def test_interrupted_by_ctrl_c(self) -> None:
        self.assertEqual(self.solo.stop(signal.SIGINT), 0)

    def test_killed_in_upload(self) -> None:
        """kill -9 of the cloud in mid-upload: the old version stays, a new try works."""
        run = self.run_
        run("pigpen put film", b"old" * 5000)
        upload = subprocess.Popen(
            ["pigpen", "put", "film"], env=self.solo.environment,
            stdin=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert upload.stdin is not None
        assert upload.stderr is not None
        self.addCleanup(upload.stderr.close)
        upload.stdin.write(BIG[:1_000_000])
        upload.stdin.flush()
        incoming = self.solo.pool / "host" / "incoming"
        for _ in range(200):
            if any(one.stat().st_size > 500_000 for one in incoming.iterdir()):
                break
            subprocess.run(["sleep", "0.05"], check=True)
        self.solo.kill()
        try:
            upload.stdin.write(BIG[1_000_000:])
            upload.stdin.close()
        except BrokenPipeError:
            pass
        self.assertIn(upload.wait(90), (1, 3))
        error = upload.stderr.read()
        self.assertEqual(error.count(b"\n"), 1, error)
        self.assertTrue(error.startswith(b"pigpen: "), error)
        self.solo.start()
        self.assertEqual(run("pigpen get film").stdout, b"old" * 5000)
        run("pigpen put film", BIG)
        self.assertEqual(run("pigpen get film").stdout, BIG)

    def test_host_restarts_in_upload(self) -> None:
        """The cloud is killed and comes back while a pipe is being stored: it goes through."""
        upload = subprocess.Popen(
            ["pigpen", "put", "film"], env=self.solo.environment,
            stdin=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert upload.stdin is not None
        assert upload.stderr is not None
        self.addCleanup(upload.stderr.close)
        upload.stdin.write(BIG[:1_000_000])
        upload.stdin.flush()
        subprocess.run(["sleep", "1"], check=True)
        self.solo.kill()
        self.solo.start()
        upload.stdin.write(BIG[1_000_000:])
        upload.stdin.close()
        self.assertEqual(upload.wait(90), 0, upload.stderr.read())
        self.assertEqual(self.run_("pigpen get film").stdout, BIG)

    def test_put_killed(self) -> None:
        """`put` of a large file is killed; run again, it goes on where it was cut."""
        run, home = self.run_, self.solo.home
        data = os.urandom(64 * 2**20)
        (home / "film").write_bytes(data)
        incoming = self.solo.pool / "host" / "incoming"

        def parts() -> dict[int, int]:
            found = [one.stat() for one in incoming.iterdir() if one.suffix != ".json"]
            return {facts.st_ino: facts.st_size for facts in found if facts.st_size > 2**22}

        upload = subprocess.Popen(["pigpen", "put", "film", "film"], env=self.solo.environment,
                                  cwd=home)  # fmt: skip
        while upload.poll() is None and not parts():
            pass
        upload.kill()
        upload.wait()
        before = parts()
        if not before:
            self.skipTest("the upload was faster than the kill")
        run("pigpen put film film")
        blobs = [one for one in (self.solo.pool / "host" / "blobs").rglob("*") if one.is_file()]
        self.assertEqual({one.stat().st_ino for one in blobs}, set(before))
        self.assertEqual(run("pigpen get film").stdout, data)

    def test_refusals(self) -> None:
        """Whatever is wrong: a status, one sentence, and nothing stored changes."""
        run = self.run_
        run("pigpen put kept", b"kept")
        [free] = free_ports(1)
        wrong = [
            ("pigpen get kept -k pp_wrong", 1, b"access key"),
            ("pigpen put kept/below < /etc/passwd", 1, b"kept"),
            ("pigpen put a//b < /etc/passwd", 2, b"empty"),
            ("pigpen put ../a < /etc/passwd", 2, b"no names"),
            ("pigpen put new nowhere", 1, b"No such file"),
            ("pigpen put new .", 1, b"folder"),
            ("pigpen put --new kept < /etc/passwd", 1, b"condition"),
            ("pigpen get kept nowhere/file", 1, b"nowhere"),
            ("pigpen get kept --coordinator=http://127.0.0.1:1", 1, b"connect"),
            ("pigpen get kept --coordinator=nonsense", 2, b"https://"),
            ("pigpen frob", 2, b"frob"),
            ("pigpen", 2, b"--help"),
            ("pigpen gte kept", 2, b"did you mean get?"),
            ("pigpen put", 2, b"put"),
            ("pigpen put kept --frob", 2, b"frob"),
            ("pigpen host", 2, b"folder"),
            ("pigpen host x --target-size=lots", 2, b"10G"),
            ("pigpen host x --interface=0.0.0.0", 2, b"--certificate"),
            ("pigpen runserver --interface=0.0.0.0", 2, b"login"),
            ("pigpen get kept --config=nowhere", 2, b"nowhere"),
            ("echo 'acesskey: x' > c; pigpen get kept --config=c", 2, b"did you mean"),
            (f"pigpen solo other --port={self.solo.port}", 1, b"listen"),
            (f"pigpen coordinator other --port={self.solo.port}", 1, b"--port"),
            (f"pigpen coordinator {self.solo.pool}/coordinator --port={free}", 1, b"another"),
            (f"pigpen host {self.solo.pool}/host --port={free}", 1, b"another"),
            ("pigpen get kept > /dev/full", 1, b"No space left"),
            ("pigpen ls > /dev/full", 1, b"No space left"),
            ("pigpen get kept >&-", 1, b"standard output"),
            ("pigpen ls >&-", 1, b"standard output"),
            ("pigpen put closed <&-", 1, b"standard input"),
        ]
        for command, status, part in wrong:
            done = run(command, status=status)
            self.assertIn(part, done.stderr, command)
            ours = [line for line in done.stderr.split(b"\n") if line.startswith(b"pigpen: ")]
            self.assertEqual(len(ours), 1, (command, done.stderr))
        self.assertEqual(run("pigpen get kept").stdout, b"kept")
        self.assertEqual(run("pigpen ls").stdout, b"kept\n")

    def test_output_never_half(self) -> None:
        """A host whose bytes went bad: no file under the name, an older one stays."""
        run, home = self.run_, self.solo.home
        run("pigpen put film", BIG)
        [blob] = [one for one in (self.solo.pool / "host" / "blobs").rglob("*") if one.is_file()]
        blob.chmod(0o600)
        with blob.open("r+b") as file:
            file.seek(2_000_000)
            file.write(bytes([BIG[2_000_000] ^ 1]))
        (home / "older").write_text("older")
        self.assertIn(b"SHA-256", run("pigpen get film older", status=1).stderr)
        self.assertEqual((home / "older").read_text(), "older")
        run("pigpen get film new", status=1)
        self.assertEqual([one.name for one in home.glob("*new*")], [])
        self.assertEqual([one.name for one in home.glob(".new*")], [])
        piped = run("pigpen get film", status=1)
        self.assertLess(len(piped.stdout), len(BIG))

    def test_closed_output(self) -> None:
        """`pigpen get | head` ends quietly."""
        self.run_("pigpen put film", BIG)
        done = self.run_("pigpen get film | head -c 10", status=141)
        self.assertEqual((done.stdout, done.stderr), (BIG[:10], b""))

    def test_ctrl_c(self) -> None:
        """Ctrl-C in a download: 130, one line, and no file is left."""
        run, home = self.run_, self.solo.home
        run("head -c 300000000 /dev/zero | pigpen put zeros")
        (home / "to").mkdir()
        get = subprocess.Popen(["pigpen", "get", "zeros", "to/file"], env=self.solo.environment,
                               cwd=home, stderr=subprocess.PIPE)  # fmt: skip
        assert get.stderr is not None
        while get.poll() is None and not list((home / "to").iterdir()):
            pass
        get.send_signal(signal.SIGINT)
        self.assertEqual(get.wait(30), 130)
        self.assertEqual(get.stderr.read(), b"pigpen: interrupted\n")
        get.stderr.close()
        self.assertEqual(list((home / "to").iterdir()), [])

    def test_keys(self) -> None:
        """A new access key works until it is ended."""
        run = self.run_
        run("pigpen put kept", b"kept")
        made = run("pigpen account --new-key laptop").stdout.decode().strip()
        self.assertEqual(run(f"pigpen get kept -k {made}").stdout, b"kept")
        self.assertIn(b"laptop", run("pigpen account").stdout)
        run(f"pigpen account --delete-key {made.split('_')[1]}")
        run(f"pigpen get kept -k {made}", status=1)

    def test_gateway(self) -> None:
        """Programs that know nothing of pigpen use the gateway."""
        run, url = self.run_, self.solo.gateway
        run(f"curl -sf -T - {url}/a/film", BIG)
        got = run(f"curl -sf {url}/a/film").stdout
        self.assertEqual(hashlib.sha256(got).digest(), hashlib.sha256(BIG).digest())
        self.assertEqual(run(f"curl -sf -r 5-9 {url}/a/film").stdout, BIG[5:10])
        self.assertIn(b"Content-Length: 3000000", run(f"curl -sfI {url}/a/film").stdout)
        self.assertIn(b'"name":"a/"', run(f"curl -sf {url}/").stdout)
        self.assertEqual(
            run(f"curl -s -o /dev/null -w '%{{http_code}}' -X PROPFIND {url}/").stdout, b"501"
        )
        for field, status in (("Host: evil.example", b"421"), ("Origin: http://evil", b"403")):
            got = run(f"curl -s -o /dev/null -w '%{{http_code}}' -H '{field}' {url}/").stdout
            self.assertEqual(got, status)
        run(f"curl -sf -X DELETE {url}/a/film")
        self.assertEqual(
            run(f"curl -s -o /dev/null -w '%{{http_code}}' {url}/a/film").stdout, b"404"
        )

    def test_curl_by_redirect(self) -> None:
        """curl stores and fetches through redirects, the key staying at the coordinator."""
        run, home = self.run_, self.solo.home
        (home / "big").write_bytes(BIG)
        key = (self.solo.pool / "access_key").read_text().strip()
        url = f"{self.solo.url}/api/me/film"
        run(f"curl -sfL -u me:{key} -T big {url}")
        self.assertEqual(run(f"curl -sfL -u me:{key} {url}").stdout, BIG)
