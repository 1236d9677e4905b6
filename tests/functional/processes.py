"""Real processes of pigpen on free ports of loopback, each in a folder of its own.

    solo = Solo(self.mktemp()); self.addCleanup(solo.stop); solo.start()
    done = solo.pigpen("put", "a/b", input=b"bytes")      # the command line, as its user
    curl = run("curl", "-sS", *solo.curl_login, solo.api + "/a/b")

Ports are taken anew for each `Solo`, and kept when it is started again, so that what hosts and
catalogs remember stays true. Everything started is killed by `stop`.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import yaml

START_SECONDS = 30.0
STOP_SECONDS = 30.0
RUN_SECONDS = 60.0

ROOT = Path(__file__).parent.parent.parent
_MAIN = "import sys; from pigpen.cli import main; sys.exit(main())"
#: the program `pigpen`, from this checkout, whether installed or not
PIGPEN = [sys.executable, "-c", _MAIN]

Completed = subprocess.CompletedProcess[bytes]


def run(*command: str, input: bytes | None = None, seconds: float = RUN_SECONDS) -> Completed:
    """Run a program to its end; standard input is empty unless given."""
    return subprocess.run(
        list(command), input=b"" if input is None else input, capture_output=True, timeout=seconds
    )


def free_ports(count: int) -> list[int]:
    """Ports that are free now, all different, and below those the kernel gives to clients."""
    found: list[int] = []
    start = 20_000 + int.from_bytes(os.urandom(2)) % 10_000
    for port in range(start, start + 2_000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise AssertionError("no free ports on loopback")


class Solo:
    """`pigpen solo FOLDER`: coordinator, gateway and host in one process."""

    def __init__(self, folder: str, *options: str) -> None:
        self.folder = Path(folder).absolute()
        self.home = self.folder / "home"
        self.home.mkdir(parents=True)
        self.pool = self.folder / "pool"
        self.port, self.gateway_port, self.host_port = free_ports(3)
        self.url = f"http://127.0.0.1:{self.port}"
        self.gateway = f"http://127.0.0.1:{self.gateway_port}"
        self.host = f"http://127.0.0.1:{self.host_port}"
        self.log = self.folder / "solo.log"
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    # -- the process --------------------------------------------------------------------------

    @property
    def environment(self) -> dict[str, str]:
        """Of all commands of this solo: its own home, this checkout."""
        return {**os.environ, "HOME": str(self.home), "PIGPEN_HOME": str(self.home),
                "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}  # fmt: skip

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Return when a host is there to take writes."""
        command = [*PIGPEN, "solo", str(self.pool), f"--port={self.port}",
                   f"--gateway-port={self.gateway_port}", f"--host-port={self.host_port}",
                   *self._options]  # fmt: skip
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.environment,
                cwd=self.folder,
                start_new_session=True,
            )
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        limit = time.monotonic() + START_SECONDS
        while time.monotonic() < limit:
            assert self._process is not None
            if self._process.poll() is not None:
                raise AssertionError(f"solo ended: {self.log.read_text()[-2000:]}")
            if self._is_ready():
                return
            time.sleep(0.05)
        raise AssertionError(f"solo is not ready: {self.log.read_text()[-2000:]}")

    def _is_ready(self) -> bool:
        if not (self.home / ".pigpen").exists():
            return False
        try:
            for url in (self.host, self.url):
                with urllib.request.urlopen(url + "/status", timeout=5) as answer:
                    json.load(answer)
            # a write finds a host: the last thing that comes true
            return self.pigpen("put", ".ready", input=b"\0" * 5000).returncode == 0 and (
                self.pigpen("rm", ".ready").returncode == 0
            )
        except OSError:
            return False

    def stop(self) -> int:
        """End it as an operator does; its exit status. Safe to repeat."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash does."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        try:
            return process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise AssertionError(f"solo did not stop in {STOP_SECONDS:g} s") from None

    # -- its user -----------------------------------------------------------------------------

    def pigpen(
        self, *arguments: str, input: bytes | None = None, seconds: float = RUN_SECONDS
    ) -> Completed:
        """The command line, as the account that solo made."""
        return subprocess.run(
            [*PIGPEN, *arguments],
            input=b"" if input is None else input,
            capture_output=True,
            timeout=seconds,
            env=self.environment,
            cwd=self.folder,
        )

    @property
    def access_key(self) -> str:
        text = (self.home / ".pigpen").read_text()
        return str(yaml.safe_load(text)["accesskey"])

    @property
    def login(self) -> str:
        request = urllib.request.Request(self.url + "/account", headers=self.authorization)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return str(json.load(answer)["login"])

    @property
    def authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.access_key}"}

    @property
    def curl_login(self) -> tuple[str, str]:
        return ("-u", f"{self.login}:{self.access_key}")

    @property
    def api(self) -> str:
        """The URL of the root of the account's keys, without a final slash."""
        return f"{self.url}/api/{self.login}"

    def metrics(self, part: str = "coordinator") -> dict[str, float]:
        """All numbers of a service's /metrics, by name with labels."""
        url = self.url if part == "coordinator" else self.host
        with urllib.request.urlopen(url + "/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        pairs = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}

    def incoming(self) -> list[Path]:
        """What lies in the host's folder of incomplete uploads."""
        return [path for path in self.pool.rglob("incoming/*") if path.is_file()]


_shared: list[Solo] = []


def shared_solo() -> Solo:
    """One solo for all tests that leave it as it was; stopped when the tests have ended.

    Trial has no setUpClass, and starting a solo for each test costs more than most tests.
    """
    if not _shared:
        folder = tempfile.mkdtemp(prefix="pigpen-test-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        solo = Solo(folder)
        atexit.register(solo.stop)
        solo.start()
        _shared.append(solo)
    return _shared[0]
