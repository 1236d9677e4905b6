"""The command lines of the first README, with real tar and openssl, as they were written."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import partial
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.functional.observing import until
from tests.functional.processes import shared_solo
from tests.functional.solo import Solo, free_ports


class PipelineTests(SynchronousTestCase):
    timeout = 120

    def setUp(self) -> None:
        self.solo = shared_solo()
        self.key = self.solo.access_key
        self.home = Path(self.mktemp()).absolute()
        self.run_ = partial(self.solo.run, folder=self.home)
        folder = self.home / "phil"
        (folder / "sub").mkdir(parents=True)
        (folder / "letter").write_text("dear all\n")
        (folder / "sub" / "film").write_bytes(os.urandom(5_000_000))
        self.folder = folder

    def there_and_back(self, cipher: str) -> None:
        run = self.run_
        to_cloud = f"--coordinator={self.solo.url} -k {self.key}"
        name = "key/name/of/my/choosing"
        run(f"tar -c -C {self.home} phil | openssl enc {cipher} | pigpen --put {name} {to_cloud}")
        back = self.home / "back"
        back.mkdir()
        run(f"pigpen --get {name} {to_cloud} | openssl enc {cipher} -d | tar -x -C {back}")
        run(f"diff -r {self.folder} {back / 'phil'}")

    def test_aes(self) -> None:
        self.there_and_back("-aes-256-cbc -pbkdf2 -pass pass:x")

    def test_des(self) -> None:
        """The cipher of the first README, where openssl still has it."""
        cipher = "-provider legacy -provider default -des-cbc -pbkdf2 -pass pass:x"
        probe = subprocess.run(["openssl", "enc", *cipher.split()], input=b"x", capture_output=True)
        if probe.returncode != 0:
            raise SkipTest("this openssl has no legacy provider")
        self.there_and_back(cipher)

    def test_key_in_file(self) -> None:
        """``echo "accesskey: KEY" > ~/.pigpen`` is enough, and warns if others read it."""
        run = self.run_
        (self.home / "home").mkdir()
        there = f"export HOME={self.home}/home;"
        self.assertIn(
            b"accesskey",
            run(f"{there} pigpen account --coordinator={self.solo.url}", status=2).stderr,
        )
        run(f'{there} umask 022; echo "accesskey: {self.key}" > ~/.pigpen')
        shown = run(f"{there} pigpen account --coordinator={self.solo.url}")
        self.assertIn(b"chmod 600", shown.stderr)
        self.assertIn(b"login     me", shown.stdout)

    def test_account(self) -> None:
        shown = self.run_(f"pigpen account -k {self.key}").stdout.decode()
        self.assertIn("login     me\n", shown)
        self.assertIn("quota     none\n", shown)
        self.assertNotIn(self.key, shown)

    def test_key_hidden(self) -> None:
        """``-k KEY`` cannot be read in the list of processes while the command runs."""
        if not os.path.exists("/proc/self/cmdline"):
            raise SkipTest("there is no /proc here")
        waiting = subprocess.Popen(
            ["pigpen", "--put", "x", "-k", self.key],
            env=self.solo.environment, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.addCleanup(waiting.wait)
        self.addCleanup(waiting.stdin.close)  # type: ignore[union-attr]
        self.addCleanup(waiting.kill)
        path = Path(f"/proc/{waiting.pid}/cmdline")
        until(lambda: path.read_bytes().startswith(b"pigpen --put"), "the name it gives itself")
        line = path.read_bytes()
        self.assertIn(b"-k ...", line)
        self.assertNotIn(self.key.encode(), line)

    def test_host_and_gateway(self) -> None:
        """``--host DIR`` lends space and ``--runserver`` serves, each until it is stopped."""
        # a host that goes away is nothing for a cloud that others use
        self.solo = Solo(str(self.home))
        self.addCleanup(self.solo.stop)
        self.solo.start()
        self.key = (self.solo.pool / "access_key").read_text().strip()
        host_port, gateway_port = free_ports(2)
        with (self.solo.home / "more.log").open("w") as log:
            host = subprocess.Popen(
                ["pigpen", "--host", "share", f"--access-key={self.key}", "--target-size=10G",
                 f"--coordinator={self.solo.url}", f"--port={host_port}"],
                env=self.solo.environment, cwd=self.solo.home, stdout=log, stderr=log,
            )  # fmt: skip
            gateway = subprocess.Popen(
                ["pigpen", "--runserver", "-k", self.key, "-p", str(gateway_port)],
                env=self.solo.environment, cwd=self.solo.home,
                stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
            try:
                assert gateway.stdout is not None
                line = gateway.stdout.readline()
                self.assertEqual(line, f"Listening on 127.0.0.1:{gateway_port} ...\n")
                self.solo.run(f"curl -sf -T phil/letter http://127.0.0.1:{gateway_port}/letter")
                got = self.solo.run(f"curl -sf http://127.0.0.1:{gateway_port}/letter").stdout
                self.assertEqual(got, b"dear all\n")
                said = self.solo.home / "more.log"
                until(lambda: b"accepted" in said.read_bytes(), "the coordinator to accept it")
                self.assertTrue((self.solo.home / "share" / "pigpen-host.json").exists())
            finally:
                for process in (host, gateway):
                    process.terminate()
                    self.assertEqual(process.wait(30), 0)
                gateway.stdout.close()  # type: ignore[union-attr]


if shutil.which("openssl") is None or shutil.which("tar") is None:
    PipelineTests.skip = "needs openssl and tar"  # type: ignore[attr-defined]
