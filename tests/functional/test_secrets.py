"""What must stay secret on a machine that others use, and processes that must not share."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.cloud import Cloud, Part, environment
from tests.functional.observing import until
from tests.functional.solo import free_ports


class SecretTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.cloud = Cloud(self.mktemp())
        self.addCleanup(self.cloud.stop)
        self.cloud.start()

    def test_process_list(self) -> None:
        """A key given by -k is gone from what `ps` shows as soon as the program runs (G2)."""
        cloud = self.cloud
        key = cloud.key.encode()
        for command in (
            ["put", "film", "-k", cloud.key],
            [f"--access-key={cloud.key}", "--put", "f"],
        ):
            put = subprocess.Popen(
                [str(self.script()), *command, f"--coordinator={cloud.url}"],
                env=environment(cloud.home), stdin=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
            self.addCleanup(put.wait)
            self.addCleanup(put.kill)
            shown = Path(f"/proc/{put.pid}/cmdline")
            until(lambda shown=shown: b"pigpen" in shown.read_bytes()[:7])
            self.assertNotIn(key, shown.read_bytes())
            self.assertIn(b"put", shown.read_bytes())
            _, errors = put.communicate(b"x" * 100_000)
            self.assertEqual((put.returncode, errors), (0, b""))
        listed = subprocess.run(["ps", "axeww"], capture_output=True, check=True).stdout
        self.assertNotIn(key, listed)

    def script(self) -> Path:
        """`pigpen` as it is installed: a program with arguments."""
        script = self.cloud.home / "run-pigpen"
        if not script.exists():
            import sys

            script.write_text(f"#!{sys.executable}\nfrom pigpen.cli import main\nmain()\n")
            script.chmod(0o755)
        return script

    def test_logs(self) -> None:
        """No log holds an access key, the key of a host, or the id of a transfer, whatever went
        wrong; nor can a request write lines of its own into it (A5)."""
        cloud = self.cloud
        made = cloud.pigpen("account", "--new-key", "another").stdout.decode().strip()
        secrets = [cloud.key, made]
        secrets.append(json.loads((cloud.blobs / "pigpen-host.json").read_text())["host_key"])
        self.assertEqual(cloud.put("film", os.urandom(100_000)), 201)
        for method in ("GET", "PUT"):
            asked = subprocess.run(
                [
                    *(word for word in cloud.curl_command("film") if word != "-L"),
                    *("-X", method, "-o", os.devnull, "-w", "%{redirect_url}"),
                    *(
                        ("-H", "Content-Length: 100000", "-H", "Expect: 100-continue")
                        * (method == "PUT")
                    ),
                ],
                capture_output=True,
                check=False,
            )
            url = asked.stdout.decode()
            found = re.search(r"/x/([^/?]+)", url)
            if method == "GET":
                assert found is not None, asked
            if found is not None:
                secrets.append(found[1])
                for way in ("-r 5-1", "-X PATCH", "-X DELETE"):
                    subprocess.run(["curl", "-s", "-o", os.devnull, *way.split(), url], check=False)
        for key in (made[:-1], made + "\r\nforged: line", made + "\x1b[31m"):
            cloud.pigpen("get", "film", "-k", key)
        subprocess.run(
            ["curl", "-s", "-o", os.devnull, "-u", f"me:{made}x", f"{cloud.url}/api/me/%0aforged"],
            check=False,
        )
        self.assertEqual(cloud.put("film", b"x" * 50_000, "-H", f"Repr-Digest: {made}") // 100, 4)
        cloud.host.kill()
        cloud.get("film")
        cloud.put("film", os.urandom(100_000))
        logs = cloud.host.log() + cloud.coordinator.log()
        self.assertIn("Listening on", logs)
        for secret in secrets:
            self.assertGreater(len(secret), 20)
            self.assertNotIn(secret, logs)
            self.assertNotIn(secret[-20:], logs)
        self.assertNotIn("\nforged", logs)
        self.assertNotIn("\x1b", logs)

    def test_modes(self) -> None:
        """Whatever the umask, nobody else can read what a coordinator or a host wrote (G2)."""
        self.cloud.put("film", os.urandom(100_000))
        roots = [self.cloud.blobs, self.cloud.blobs.with_name("coordinator")]
        seen = [path for root in roots for path in (root, *root.rglob("*"))]
        open_to_others = [path for path in seen if path.stat().st_mode & 0o077]
        self.assertEqual(open_to_others, [])
        self.assertGreater(len([path for path in seen if path.is_file()]), 4)


class SecondTests(SynchronousTestCase):
    def test_second_of_each(self) -> None:
        """A second coordinator on one catalog, a second host on one folder, anything on a taken
        port: status 1 and one sentence that says what to do; the first ones go on (K2)."""
        cloud = Cloud(self.mktemp())
        self.addCleanup(cloud.stop)
        cloud.start()
        data = os.urandom(50_000)
        self.assertEqual(cloud.put("film", data), 201)
        for part, sentence in (
            (cloud.coordinator, "another coordinator"),
            (cloud.host, "another pigpen host is running on this folder; stop it first"),
        ):
            [port] = free_ports(1)
            for second_port, said in ((port, sentence), (part.port, "choose another --port")):
                second = Part(cloud.home, part.name, second_port, part.ready)
                second.folder, second.options = part.folder, part.options
                self.addCleanup(second.kill)
                second.log_to("second.log")
                self.assertEqual(second.launch().wait(20), 1)
                ours = [line for line in second.log(latest=True).splitlines() if "pigpen: " in line]
                self.assertEqual(len(ours), 1, second.log())
                self.assertIn(said, ours[0])
                self.assertNotIn("Traceback", second.log())
        self.assertEqual(cloud.get("film"), (200, data))
        self.assertIn(cloud.put("film", data[::-1]), {201, 204})
