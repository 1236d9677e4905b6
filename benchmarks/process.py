"""Server processes of the benchmark: pinned, awaited, measured, stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

START_SECONDS = 60.0
STOP_SECONDS = 15.0

_CORES = sorted(os.sched_getaffinity(0))
#: servers run on one core, load on another; on a machine with one core they share it
SERVER_CORE = _CORES[0]
LOAD_CORE = _CORES[min(1, len(_CORES) - 1)]


class NotMeasured(Exception):
    """A peer or a case that cannot be measured here; the text says why."""


def free_ports(count: int) -> list[int]:
    """Ports of loopback that are free now, and stay below 32,768, where no client gets its own."""
    found: list[int] = []
    for port in range(21_000 + os.getpid() % 5_000, 32_000, 7):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise NotMeasured("no free port on loopback")


def pinned(core: int, command: Sequence[str]) -> list[str]:
    return ["taskset", "--cpu-list", str(core), *command]


class Process:
    """A server in its own process group; its output goes to a file beside its data."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        folder: Path,
        *,
        core: int = SERVER_CORE,
        env: dict[str, str] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.log = folder / f"{name}.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                pinned(core, command),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **(env or {})},
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_for_port(self, port: int, seconds: float = START_SECONDS) -> None:
        """Return when something accepts connections. :raises NotMeasured: nothing does."""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            self.check()
            with socket.socket() as probe:
                probe.settimeout(1)
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.05)
        raise NotMeasured(f"{self.name} did not listen within {seconds:g} s: {self.tail()}")

    def wait_for_answer(self, url: str, seconds: float = START_SECONDS) -> None:
        """Return when a GET of `url` has a status below 500."""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            self.check()
            try:
                with urllib.request.urlopen(url, timeout=2):
                    return
            except urllib.error.HTTPError as error:
                if error.code < 500:
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise NotMeasured(f"{self.name} did not answer within {seconds:g} s: {self.tail()}")

    def check(self) -> None:
        """:raises NotMeasured: it has ended."""
        if self._process.poll() is not None:
            status = self._process.returncode
            raise NotMeasured(f"{self.name} ended with status {status}: {self.tail()}")

    def tail(self) -> str:
        """The end of what it printed, on one line."""
        return " | ".join(self.log.read_text(errors="replace").split("\n")[-6:])[-500:]

    def stop(self) -> None:
        """End the whole group; safe to repeat."""
        if self._process.poll() is None:
            self._signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
        self._signal(signal.SIGKILL)
        self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def family(self) -> list[int]:
        """The ids of all processes of the group."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if os.getpgid(int(entry.name)) == self.pid:
                        found.append(int(entry.name))
                except ProcessLookupError:
                    continue
        return found


def reset_peak(processes: Sequence[Process]) -> None:
    """Begin a new peak of resident memory: so each case has its own."""
    for process in processes:
        for pid in process.family():
            try:
                Path(f"/proc/{pid}/clear_refs").write_text("5")
            except OSError:
                continue  # then the peak since the start is shown


def peak_mib(processes: Sequence[Process]) -> float:
    """Peak resident memory (VmHWM) in MiB, added up over all processes of a server."""
    total = 0
    for process in processes:
        for pid in process.family():
            try:
                status = Path(f"/proc/{pid}/status").read_text()
            except OSError:
                continue
            for line in status.splitlines():
                if line.startswith("VmHWM:"):
                    total += int(line.split()[1])
    return total / 1024
