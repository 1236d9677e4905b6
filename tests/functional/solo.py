"""A real `pigpen solo` in processes of its own, on free ports and in a home of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
#: how long a program may take before a test fails instead of hanging
SECONDS = 60


def free_ports(count: int) -> list[int]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in listeners]
    for one in listeners:
        one.close()
    return ports


class Solo:
    """Starts, stops, kills; runs commands against it."""

    def __init__(self, folder: str) -> None:
        self.home = Path(folder).absolute()
        self.home.mkdir(parents=True, exist_ok=True)
        self.pool = self.home / "pool"
        self.port, self.gateway_port, self.host_port = free_ports(3)
        self.url = f"http://127.0.0.1:{self.port}"
        self.gateway = f"http://127.0.0.1:{self.gateway_port}"
        self.process: subprocess.Popen[str] | None = None
        self.said = ""
        # a `pigpen` for shell pipelines that is this tree's
        self.bin = self.home / "bin"
        self.bin.mkdir(exist_ok=True)
        script = self.bin / "pigpen"
        script.write_text(
            f"#!/bin/sh\nexec {sys.executable} -c 'from pigpen.cli import main; main()' \"$@\"\n"
        )
        script.chmod(0o755)
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "PIGPEN_HOME"},
            "HOME": str(self.home),
            "PATH": f"{self.bin}:{os.environ.get('PATH', '/usr/bin:/bin')}",
            "PYTHONPATH": str(ROOT),
        }

    def start(self) -> None:
        """Returns when it has said what to type next."""
        ports = [f"--port={self.port}", f"--gateway-port={self.gateway_port}"]
        with (self.home / "solo.log").open("a") as log:
            self.process = subprocess.Popen(
                ["pigpen", "solo", str(self.pool), *ports, f"--host-port={self.host_port}"],
                env=self.environment,
                cwd=self.home,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        self.said = ""
        for line in self.process.stdout:
            self.said += line
            if "/api/me/FILE" in line:
                return
        raise AssertionError(f"solo did not start: {self.said}\n{self.log()}")

    def log(self) -> str:
        return (self.home / "solo.log").read_text()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """:return: its status."""
        if self.process is None:
            return 0
        process, self.process = self.process, None
        process.send_signal(number)
        assert process.stdout is not None
        process.stdout.close()
        return process.wait(SECONDS)

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    def run(
        self,
        command: str,
        data: bytes | None = None,
        *,
        status: int = 0,
        folder: Path | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        """A shell's command line; `pigpen` is found. :param status: that it must end with.
        :param folder: where it runs; None: at home."""
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            env=self.environment,
            cwd=folder or self.home,
            input=data,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == status, (command, done.returncode, done.stderr, self.log())
        assert b"Traceback" not in done.stderr, done.stderr
        return done
