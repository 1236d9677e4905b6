"""nginx in front of a coordinator, as the documentation has it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import trustme
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
        self.authority = self.certify(cloud.home)
        (port,) = free_ports(1)
        self.url = f"https://127.0.0.1:{port}"
        cloud.coordinator.options += ["--proxy=127.0.0.1", f"--public-url={self.url}"]
        cloud.environment["SSL_CERT_FILE"] = str(self.authority)
        chain, private_key = cloud.home / "fullchain.pem", cloud.home / "privkey.pem"
        # clients over TLS are sent to no other hosts
        cloud.start(f"--certificate={chain}", f"--private-key={private_key}")
        configuration = cloud.home / "nginx.conf"
        configuration.write_text(_AROUND.format(folder=cloud.home, server=self.documented(port)))
        nginx = subprocess.Popen([program, "-e", "stderr", "-c", str(configuration)])
        self.addCleanup(nginx.wait, SECONDS)
        self.addCleanup(nginx.terminate)
        until(lambda: self.answers(), "nginx")

    def certify(self, folder: Path) -> Path:
        """Make what TLS needs. :return: the authority's certificate."""
        authority = trustme.CA()
        issued = authority.issue_cert("127.0.0.1")
        issued.cert_chain_pems[0].write_to_path(str(folder / "fullchain.pem"))
        issued.private_key_pem.write_to_path(str(folder / "privkey.pem"))
        (folder / "privkey.pem").chmod(0o600)
        authority.cert_pem.write_to_path(str(folder / "authority.pem"))
        return folder / "authority.pem"

    def answers(self) -> bool:
        done = run("curl", "-sf", "--cacert", str(self.authority), f"{self.url}/status")
        return done.returncode == 0

    def documented(self, port: int) -> str:
        """The server of the documentation, at ports of ours."""
        text = (ROOT / "docs" / "operations.md").read_text()
        found = re.search(r"^    server \{.*?^    \}$", text, re.MULTILINE | re.DOTALL)
        assert found is not None
        server = found[0].replace("443 ssl", f"127.0.0.1:{port} ssl")
        server = server.replace("/etc/pigpen", str(self.cloud.home))
        return server.replace("127.0.0.1:2573", f"127.0.0.1:{self.cloud.coordinator.port}")

    def curl(self, address: str, key: str, path: str, *arguments: str) -> tuple[int, bytes]:
        """:param address: the client's. :return: status and body."""
        done = run(
            "curl", "-sSL", "--cacert", str(self.authority), "--interface", address,
            "-u", f"{LOGIN}:{key}", "-w", "%{http_code}", *arguments, f"{self.url}{path}",
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
        data = os.urandom(300_000)
        large = self.cloud.home / "large"
        large.write_bytes(data)
        self.assertEqual(self.curl(OWNER, key, f"{api}/x", "-T", str(large))[0], 201)
        self.assertEqual(self.curl(OWNER, key, f"{api}/x"), (200, data))
        told = f"accesskey: {key}\ncoordinator: {self.url}\n"
        (self.cloud.home / ".pigpen").write_text(told)
        got = self.cloud.pigpen("get", "x")
        self.assertEqual((got.stdout, got.stderr), (data, b""))
        put = self.cloud.pigpen("put", "w", data=data)
        self.assertEqual((put.returncode, put.stderr), (0, b""))
        self.assertEqual(self.curl(OWNER, key, "/dav/y", "-T", str(large))[0], 201)
        there = ("-X", "MOVE", "-H", f"Destination: {self.url}/dav/z")
        self.assertEqual(self.curl(OWNER, key, "/dav/y", *there)[0], 201)
        own_page = ("-X", "DELETE", "-H", f"Origin: {self.url}")
        self.assertEqual(self.curl(OWNER, key, "/dav/z", *own_page)[0], 204)
        foreign_page = ("-X", "DELETE", "-H", "Origin: http://evil.example")
        self.assertEqual(self.curl(OWNER, key, "/dav/x", *foreign_page)[0], 403)
