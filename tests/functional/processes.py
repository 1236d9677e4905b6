"""One solo for all tests that leave it as it was, and other people's programs run against it."""

from __future__ import annotations

import atexit
import shutil
import subprocess
import tempfile
import urllib.request

from tests.functional.solo import Solo

RUN_SECONDS = 60.0

Completed = subprocess.CompletedProcess[bytes]


def run(*command: str, input: bytes | None = None, seconds: float = RUN_SECONDS) -> Completed:
    """Run a program to its end; standard input is empty unless given."""
    return subprocess.run(
        list(command), input=b"" if input is None else input, capture_output=True, timeout=seconds
    )


class SharedSolo(Solo):
    """What clients over HTTP need to know of a solo."""

    @property
    def access_key(self) -> str:
        return (self.pool / "access_key").read_text().strip()

    @property
    def login(self) -> str:
        return "me"

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

    def metrics(self) -> dict[str, float]:
        """All numbers of the coordinator's /metrics, by name with labels."""
        with urllib.request.urlopen(self.url + "/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        pairs = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}


_shared: list[SharedSolo] = []


def shared_solo() -> SharedSolo:
    """Started for the first test that wants it, stopped when all tests have ended.

    Trial has no setUpClass, and starting a solo for each test costs more than most tests.
    """
    if not _shared:
        folder = tempfile.mkdtemp(prefix="pigpen-test-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        solo = SharedSolo(folder)
        atexit.register(solo.stop)
        solo.start()
        _shared.append(solo)
    return _shared[0]
