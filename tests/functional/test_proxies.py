"""nginx in front of a coordinator, as the documentation has it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.functional.cloud import LOGIN, Cloud
from tests.functional.observing import until
from tests.functional.processes import run
from tests.functional.solo import ROOT, SECONDS, free_ports

_AROUND = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  {server}
}}
"""
#: who guesses, and who has a key, as nginx sees them
GUESSER, OWNER = "127.0.0.2", "127.0.0.3"
#: a key that no coordinator made
WRONG = "pp_aaaaaaaaaaaa_" + "a" * 43


class NginxTests(SynchronousTestCase):
    def setUp(self) -> None:
        program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
        if program is None:
            raise SkipTest("nginx is not installed")
        self.cloud = cloud = Cloud(self.mktemp())
        self.addCleanup(cloud.stop)
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        cloud.coordinator.options += ["--proxy=127.0.0.1", f"--public-url={self.url}"]
        cloud.start()
        configuration = cloud.home / "nginx.conf"
        configuration.write_text(_AROUND.format(folder=cloud.home, server=self.documented(port)))
        nginx = subprocess.Popen([program, "-e", "stderr", "-c", str(configuration)])
        self.addCleanup(nginx.wait, SECONDS)
        self.addCleanup(nginx.terminate)
        until(lambda: run("curl", "-sf", f"{self.url}/status").returncode == 0, "nginx")

    def documented(self, port: int) -> str:
        """The server of the documentation, without TLS, at ports of ours."""
        text = (ROOT / "docs" / "operations.md").read_text()
        found = re.search(r"^    server \{.*?^    \}$", text, re.MULTILINE | re.DOTALL)
        assert found is not None
        lines = [line for line in found[0].splitlines() if "ssl_" not in line]
        server = "\n".join(lines).replace("443 ssl", f"127.0.0.1:{port}")
        return server.replace("127.0.0.1:2573", f"127.0.0.1:{self.cloud.coordinator.port}")

    def curl(self, address: str, key: str, path: str, *arguments: str) -> tuple[int, bytes]:
        """:param address: the client's. :return: status and body."""
        done = run(
            "curl", "-sSL", "--interface", address, "-u", f"{LOGIN}:{key}", "-w", "%{http_code}",
            *arguments, f"{self.url}{path}",
        )  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stderr)
        return int(done.stdout[-3:]), done.stdout[:-3]

    def test_guesses(self) -> None:
        """Who guesses keys is shut out, whatever addresses it claims to have; an owner elsewhere
        who has not come before is let in."""
        made = self.cloud.operate(f"--add-key={LOGIN}")
        key = made.stdout.decode().strip()
        lie = ("-H", f"X-Forwarded-For: {OWNER}")
        tries = [self.curl(GUESSER, WRONG, "/account", *lie)[0] for _ in range(12)]
        self.assertEqual(tries, [401] * 11 + [429])
        self.assertEqual(self.curl(OWNER, key, "/account")[0], 200)
        self.assertEqual(self.curl(GUESSER, self.cloud.key, "/account")[0], 429)

    def test_transfers(self) -> None:
        """Bytes, WebDAV and pages work through it."""
        key, api = self.cloud.key, f"/api/{LOGIN}"
        large = Path(self.mktemp()).absolute()
        large.write_bytes(os.urandom(3_000_000))
        self.assertEqual(self.curl(OWNER, key, f"{api}/x", "-T", str(large))[0], 201)
        self.assertEqual(self.curl(OWNER, key, f"{api}/x"), (200, large.read_bytes()))
        self.assertEqual(self.curl(OWNER, key, "/dav/y", "-T", str(large))[0], 201)
        there = ("-X", "MOVE", "-H", f"Destination: {self.url}/dav/z")
        self.assertEqual(self.curl(OWNER, key, "/dav/y", *there)[0], 201)
        own_page = ("-X", "DELETE", "-H", f"Origin: {self.url}")
        self.assertEqual(self.curl(OWNER, key, "/dav/z", *own_page)[0], 204)
        foreign_page = ("-X", "DELETE", "-H", "Origin: http://evil.example")
        self.assertEqual(self.curl(OWNER, key, "/dav/x", *foreign_page)[0], 403)
