"""pigpen: one host alone beside a coordinator that says yes; and a coordinator with a host."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.loads import upload
from benchmarks.peers import MANY_BYTES, Server, write_file
from benchmarks.process import (
    LOAD_CORE,
    START_SECONDS,
    NotMeasured,
    Process,
    free_ports,
)

PROGRAM = [sys.executable, "-m", "pigpen.cli"]
_BATCH = 1_000
#: a host keeps at most so many live expectations of one account
_PER_ACCOUNT = 500
#: PUTs that are prepared for one round: all rounds' must fit into what a host keeps. A host that is
#: done with them early is shown as having taken the whole time
_PUTS = 28_000
#: what a round did not begin by then is forgotten before the next one's are prepared
_START_SECONDS = 15
#: requests of one expectation, at most
_REQUESTS = 10_000
#: GETs that are prepared for one size, in all rounds
_GETS = 4_000_000


class PigpenHost(Server):
    """`pigpen host`, with real expectations, and `benchmarks.stub` for a coordinator."""

    name = "pigpen"
    durability = "SHA-256, fsync before the answer"

    def __init__(self) -> None:
        super().__init__()
        self._taken = 0
        #: when the last PUTs that were announced are, if nobody sent them
        self._over = 0.0

    def start(self, folder: Path) -> None:
        self.folder = folder
        self._control = secrets.token_hex(32)
        stub_port, port = free_ports(2)
        stub_command = [sys.executable, "-m", "benchmarks.stub", str(stub_port), self._control]
        self._stub = Process("stub", stub_command, folder, core=LOAD_CORE, env=source_path())
        self._stub.wait_for_port(stub_port)
        data = folder / "data"
        data.mkdir()
        command = [*PROGRAM, "host", str(data), "--access-key=pp_stub", "--target-size=100G",
                   f"--port={port}", f"--coordinator=http://127.0.0.1:{stub_port}"]  # fmt: skip
        self.processes.append(Process("pigpen-host", command, folder, env=source_path()))
        self.url = f"http://127.0.0.1:{port}"
        self.processes[0].wait_for_answer(self.url + "/status")
        self._wait_for_stub()

    def _wait_for_stub(self) -> None:
        """Until the host is registered: before that it knows no secret to be asked with."""
        limit = time.monotonic() + START_SECONDS
        while time.monotonic() < limit:
            with urllib.request.urlopen(self.url + "/status", timeout=10) as answer:
                if json.load(answer)["epoch"]:
                    return
            time.sleep(0.1)
        raise NotMeasured(f"the host was not registered: {self.processes[0].tail()}")

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
        # what no earlier round used is gone by then: no coordinator announces so many in vain
        time.sleep(max(0.0, self._over - time.monotonic()))
        self._over = time.monotonic() + _START_SECONDS + 2
        self._taken += 1
        writes = (
            _put(secrets.token_hex(32), size, f"writer {self._taken}-{number // _PER_ACCOUNT}")
            for number in range(min(count, _PUTS))
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
    """`pigpen coordinator` alone on the server's core; its host shares the other with the load.

    Its memory is the coordinator's: the host's is measured by `PigpenHost`.
    """

    name = "pigpen"
    durability = "SHA-256, fsync and commit before the answer"
    #: where the account's keys begin
    prefix = "/api/bench"

    def __init__(self) -> None:
        super().__init__()
        self._taken = 0
        self._many: dict[int, list[str]] = {}

    def start(self, folder: Path) -> None:
        self.folder = folder
        port, host_port = free_ports(2)
        catalog, data = folder / "catalog", folder / "data"
        for path in (catalog, data):
            path.mkdir()
        coordinator = [*PROGRAM, "coordinator", str(catalog), "--allow-private", f"--port={port}"]
        made = subprocess.run(
            [*coordinator, "--make-account=bench"], capture_output=True, text=True, timeout=60
        )
        if made.returncode:
            raise NotMeasured(f"pigpen coordinator --make-account: {made.stderr[-300:]}")
        key = made.stdout.strip()
        self.headers = [f"Authorization: Bearer {key}"]
        self.key = key
        self.processes.append(Process("pigpen-coordinator", coordinator, folder, env=source_path()))
        self.processes[0].wait_for_port(port)
        self.url = self.api = f"http://127.0.0.1:{port}"
        host = [sys.executable, "-m", "benchmarks.roomy_host", str(data), str(host_port),
                self.url, key]  # fmt: skip
        self._host = Process("pigpen-host", host, folder, core=LOAD_CORE, env=source_path())
        self._host.wait_for_port(host_port)
        self._wait_for_host()

    def stop(self) -> None:
        host = getattr(self, "_host", None)
        if host is not None:
            host.stop()
        super().stop()

    def _wait_for_host(self) -> None:
        """Until a write finds a host."""
        source = self.folder / "first"
        write_file(source, MANY_BYTES)
        limit = time.monotonic() + START_SECONDS
        while True:
            try:
                upload(f"{self.api}/api/bench/first", source, headers=self.headers)
                return
            except NotMeasured:
                if time.monotonic() > limit:
                    raise NotMeasured(f"the host is not used: {self._host.tail()}") from None
                time.sleep(0.5)

    def store(self, source: Path) -> list[str]:
        path = f"{self.prefix}/{source.name}"
        upload(self.url + path, source, headers=self.headers)
        return [path]

    def take(self, count: int, size: int) -> list[str]:
        self._taken += 1
        return [f"{self.prefix}/taken-{self._taken}-{number}" for number in range(count)]

    def many_objects(self, count: int) -> list[str]:
        """Objects of 8 KiB in the catalog: a thousand stored ones, copied as collections."""
        if count not in self._many:
            source = self.folder / "small"
            write_file(source, MANY_BYTES)
            width = min(count, 1_000)
            for number in range(width):
                upload(f"{self.api}/api/bench/many/0/{number}", source, headers=self.headers)
            for copy in range(1, count // width):
                self._copy("many/0/", f"many/{copy}/")
            self._many[count] = [
                f"/api/bench/many/{number // width}/{number % width}" for number in range(count)
            ]
        return self._many[count]

    def _copy(self, source: str, target: str) -> None:
        url = f"{self.api}/api/bench/"
        request = urllib.request.Request(
            url + source,
            headers={"Destination": url + target, **_fields(self.headers)},
            method="COPY",
        )
        try:
            with urllib.request.urlopen(request, timeout=60):
                return
        except urllib.error.HTTPError as error:
            raise NotMeasured(f"COPY answered {error.code}: {error.read()[:200]!r}") from None


def _fields(lines: Sequence[str]) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in lines)


def _put(blob: str, size: int, account: str) -> dict[str, object]:
    return {"uuid": secrets.token_hex(32), "method": "PUT", "blob": blob, "length": size,
            "write": secrets.token_hex(32), "account": account,
            "start": _START_SECONDS}  # fmt: skip


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


def source_path() -> dict[str, str]:
    """So that modules of this checkout are found from any folder."""
    return {"PYTHONPATH": str(Path(__file__).parent.parent.parent)}
