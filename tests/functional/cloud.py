"""A coordinator and a host as processes of their own, each to be killed, starved and wrapped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.functional.observing import until
from tests.functional.solo import ROOT, SECONDS, free_ports

LOGIN = "me"
_PIGPEN = (sys.executable, "-c", "from pigpen.cli import main; main()")


class Part:
    """One service: what it was started with, its log, its end."""

    def __init__(self, home: Path, name: str, port: int, ready: str) -> None:
        """:param ready: what its log says when it does its work."""
        self.name = name
        self.port = port
        self.folder: Path | None = home / name
        self.options: list[str] = []
        #: set before the program, such as prlimit or strace
        self.wrapper: Sequence[str] = ()
        self.environment: dict[str, str] = {}
        self.ready = ready
        self._log = home / f"{name}.log"
        self._home = home
        self._began = 0
        self.process: subprocess.Popen[bytes] | None = None

    def log_to(self, name: str) -> None:
        self._log = self._home / name

    @property
    def command(self) -> list[str]:
        folder = [] if self.folder is None else [str(self.folder)]
        return [*_PIGPEN, self.name, *folder, f"--port={self.port}", *self.options]

    def launch(self) -> subprocess.Popen[bytes]:
        """Start it; returns at once."""
        self._began = self._log.stat().st_size if self._log.exists() else 0
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.wrapper, *self.command],
                env={**environment(self._home), **self.environment},
                cwd=self._home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self.process

    def start(self) -> None:
        """Returns when it does its work."""
        process = self.launch()
        until(lambda: self.ready in self.log(latest=True) or process.poll() is not None)
        assert process.poll() is None, self.log()

    def log(self, *, latest: bool = False) -> str:
        """All it ever said. :param latest: only since it was last launched."""
        text = self._log.read_bytes() if self._log.exists() else b""
        return text[self._began if latest else 0 :].decode()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """:return: its status; 0 if it does not run."""
        process, self.process = self.process, None
        if process is None:
            return 0
        process.send_signal(number)
        return process.wait(SECONDS)

    def kill(self) -> None:
        """The program, and what was set before it."""
        process, self.process = self.process, None
        if process is not None:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(SECONDS)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid


class Cloud:
    """A coordinator and a host on loopback, and curl as the client."""

    def __init__(
        self, folder: str | Path, *, store: Path | None = None, catalog: str | None = None
    ) -> None:
        """:param store: where catalog and blobs lie, if not in `folder`. :param catalog: the
        address of its database, if it has one."""
        self.home = Path(folder).absolute()
        self.home.mkdir(parents=True, exist_ok=True)
        port, host_port = free_ports(2)
        self.coordinator = Part(self.home, "coordinator", port, "Listening on")
        self.host = Part(self.home, "host", host_port, "has accepted this host")
        self.catalog_options = [] if catalog is None else [f"--catalog={catalog}"]
        self.coordinator.options = ["--allow-private", *self.catalog_options]
        self.host.options = ["--target-size=2G"]
        #: beside the usual, of commands and services
        self.environment: dict[str, str] = {}
        self.coordinator.environment = self.host.environment = self.environment
        self.move(store or self.home)
        self.scheme = "http"
        self.curl_options: list[str] = []
        self.key = ""

    def move(self, store: Path) -> None:
        self.coordinator.folder = store / "coordinator"
        self.host.folder = self.blobs = store / "host"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.coordinator.port}"

    def make_account(self) -> None:
        made = self.operate(f"--make-account={LOGIN}")
        assert made.returncode == 0, made.stderr
        self.key = made.stdout.decode().strip()

    def configure(self) -> None:
        """Make the account; its key is in ~/.pigpen."""
        self.make_account()
        path = self.home / ".pigpen"
        path.touch(0o600)
        path.write_text(f"accesskey: {self.key}\ncoordinator: {self.url}\n")

    def start(self, *host_options: str) -> None:
        """Make the account, start both; the key is not on the host's command line."""
        self.configure()
        self.host.options += host_options
        self.coordinator.start()
        self.host.start()

    def stop(self) -> None:
        """Whatever happened: no process is left."""
        for part in (self.host, self.coordinator):
            part.kill()

    # -- clients -----------------------------------------------------------------------------------

    def pigpen(
        self, *arguments: str, data: bytes | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*_PIGPEN, *arguments],
            env={**environment(self.home), **self.environment},
            cwd=self.home,
            input=b"" if data is None else data,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )

    def operate(self, *task: str) -> subprocess.CompletedProcess[bytes]:
        """What an operator does at the coordinator, whether it runs or not."""
        folder = str(self.coordinator.folder)
        return self.pigpen("coordinator", folder, *self.catalog_options, *task)

    def curl_command(self, key: str, *arguments: str) -> list[str]:
        return [
            "curl", "-sS", "-L", "--max-time", "60", "-u", f"{LOGIN}:{self.key}",
            *self.curl_options, *arguments, f"{self.url}/api/{LOGIN}/{key}",
        ]  # fmt: skip

    def put(self, key: str, data: bytes, *arguments: str) -> int:
        """:return: the status; 0 if there was no answer."""
        command = self.curl_command(
            key, "-T", "-", "-H", f"Content-Length: {len(data)}", "-H", "Transfer-Encoding:",
            "-o", "/dev/null", "-w", "%{http_code}", *arguments,
        )  # fmt: skip
        done = subprocess.run(command, input=data, capture_output=True, check=False)
        # of the last answer: a 100 or 307 before a cut is none
        return int(done.stdout) if done.returncode == 0 else 0

    def get(self, key: str) -> tuple[int, bytes]:
        """Status (0: no whole answer) and body."""
        command = self.curl_command(key, "-w", "%{http_code}")
        done = subprocess.run(command, capture_output=True, check=False)
        return int(done.stdout[-3:]) if done.returncode == 0 else 0, done.stdout[:-3]

    def host_status(self) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self.host.port}/status"
        with urllib.request.urlopen(url, timeout=10) as answer:
            status: dict[str, Any] = json.load(answer)
        return status

    def incoming(self) -> list[str]:
        """What lies in the host's folder of uploads under way."""
        return sorted(os.listdir(self.blobs / "incoming"))


def environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PIGPEN_")}
    return {**kept, "HOME": str(home), "PYTHONPATH": str(ROOT)}
