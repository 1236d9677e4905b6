"""pigpen: one host alone beside a coordinator that says yes; and a coordinator with a host."""

from __future__ import annotations

import json
import re
import secrets
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import loads
from benchmarks.loads import upload
from benchmarks.peers import MANY_BYTES, Server, write_file
from benchmarks.process import (
    LOAD_CORE,
    SERVER_CORE,
    START_SECONDS,
    NotMeasured,
    Process,
    free_ports,
)

_PROGRAM = [sys.executable, "-m", "pigpen.cli"]
_BATCH = 1_000
#: a host keeps at most so many live expectations of one account
_PER_ACCOUNT = 500
#: requests of one expectation, at most
_REQUESTS = 10_000
#: GETs that are prepared for one size, in all rounds
_GETS = 4_000_000


class PigpenHost(Server):
    """`pigpen host`, with real expectations, and `benchmarks.stub` for a coordinator."""

    name = "pigpen"
    durability = "SHA-256, fsync before the answer"

    def start(self, folder: Path) -> None:
        self.folder = folder
        self._control = secrets.token_hex(32)
        stub_port, port = free_ports(2)
        stub_command = [sys.executable, "-m", "benchmarks.stub", str(stub_port), self._control]
        self._stub = Process("stub", stub_command, folder, core=LOAD_CORE, env=_path())
        self._stub.wait_for_port(stub_port)
        data = folder / "data"
        data.mkdir()
        command = [*_PROGRAM, "host", str(data), "--access-key=pp_stub", "--target-size=100G",
                   f"--port={port}", f"--coordinator=http://127.0.0.1:{stub_port}"]  # fmt: skip
        self.processes.append(Process("pigpen-host", command, folder, env=_path()))
        self.url = f"http://127.0.0.1:{port}"
        self.processes[0].wait_for_answer(self.url + "/status")

    def stop(self) -> None:
        super().stop()
        stub = getattr(self, "_stub", None)
        if stub is not None:
            stub.stop()

    def store(self, source: Path) -> list[str]:
        size, blob = source.stat().st_size, secrets.token_hex(32)
        (path,) = self._expect([_put(blob, size, "object")])
        upload(self.url + path, source)
        reads = [
            {"uuid": secrets.token_hex(32), "method": "GET", "blob": blob, "start": 600,
             "end": 86_400, "requests": _REQUESTS, "account": "object"}
            for _ in range(_GETS // _REQUESTS)
        ]  # fmt: skip
        return self._expect(reads)

    def take(self, count: int, size: int) -> list[str]:
        writes = (
            _put(secrets.token_hex(32), size, f"writer {number // _PER_ACCOUNT}")
            for number in range(count)
        )
        return self._expect(list(writes))

    def stored(self, path: str) -> Path | None:
        return None

    def _expect(self, expectations: Sequence[dict[str, object]]) -> list[str]:
        """Announce transfers, as a coordinator does; their paths."""
        for part in _parts(expectations):
            answers = _ask(self.url + "/expect", self._control, part)
            refused = [answer for answer in answers if answer["status"] != 204]
            if refused:
                raise NotMeasured(f"the host refused an expectation: {refused[0]}")
        return [f"/x/{expectation['uuid']}" for expectation in expectations]


class PigpenCloud(Server):
    """`pigpen coordinator` alone on the server's core; its host shares the other with the load."""

    name = "pigpen"
    durability = "SHA-256, fsync and commit before the answer"

    def start(self, folder: Path) -> None:
        self.folder = folder
        port, host_port = free_ports(2)
        self.url = f"http://127.0.0.1:{port}"
        raise NotMeasured("not yet")


def _put(blob: str, size: int, account: str) -> dict[str, object]:
    return {"uuid": secrets.token_hex(32), "method": "PUT", "blob": blob, "length": size,
            "write": secrets.token_hex(32), "start": 120, "account": account}  # fmt: skip


def _parts(things: Sequence[dict[str, object]]) -> Iterator[Sequence[dict[str, object]]]:
    for start in range(0, len(things), _BATCH):
        yield things[start : start + _BATCH]


def _ask(url: str, token: str, value: object) -> list[dict[str, int]]:
    request = urllib.request.Request(
        url,
        json.dumps(value).encode(),
        {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            parsed: list[dict[str, int]] = json.load(answer)
            return parsed
    except urllib.error.HTTPError as error:
        raise NotMeasured(f"{url} answered {error.code}: {error.read()[:200]!r}") from None
    except OSError as error:
        raise NotMeasured(f"{url}: {error}") from None


def _path() -> dict[str, str]:
    """So that modules of this checkout are found from any folder."""
    return {"PYTHONPATH": str(Path(__file__).parent.parent.parent)}
