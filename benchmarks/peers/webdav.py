"""pigpen's WebDAV: the gateway in front of a cloud, and the coordinator's own face."""

from __future__ import annotations

import base64
import http.client
from collections.abc import Sequence
from multiprocessing.pool import ThreadPool
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.peers.pigpen import PROGRAM, PigpenCloud, source_path
from benchmarks.process import NotMeasured, Process, free_ports

_WRITERS = 16


class PigpenFace(PigpenCloud):
    """The coordinator's face at /dav/."""

    prefix = "/dav"

    def start(self, folder: Path) -> None:
        super().start(folder)
        login = base64.b64encode(f"bench:{self.key}".encode()).decode()
        self.headers = [f"Authorization: Basic {login}"]

    def collection_of(self, count: int) -> str:
        path = f"/many-{count}/"
        self._request("MKCOL", path)
        names = [f"{path}file-{number:05}.txt" for number in range(count)]
        with ThreadPool(_WRITERS) as pool:
            pool.map(self._put_all, [names[start::_WRITERS] for start in range(_WRITERS)])
        return self.prefix + path

    def _request(self, method: str, path: str) -> None:
        self._send(method, [path])

    def _put_all(self, paths: Sequence[str]) -> None:
        self._send("PUT", paths)

    def _send(self, method: str, paths: Sequence[str]) -> None:
        """Straight to the coordinator, over one connection."""
        connection = http.client.HTTPConnection(urlsplit(self.api).netloc, timeout=60)
        fields = {"Authorization": f"Bearer {self.key}"}
        body = b"x" * 100 if method == "PUT" else None
        for path in paths:
            connection.request(method, "/api/bench" + path, body, fields)
            answer = connection.getresponse()
            answer.read()
            if answer.status not in {201, 204, 405}:
                raise NotMeasured(f"{method} {path} answered {answer.status}")
        connection.close()


class PigpenGateway(PigpenFace):
    """`pigpen runserver`, on the same core as the coordinator; the host is beside the load.

    Its memory is the gateway's: that of the coordinator is measured by `PigpenFace`.
    """

    prefix = ""

    def __init__(self) -> None:
        super().__init__()
        self._behind: list[Process] = []

    def start(self, folder: Path) -> None:
        super().start(folder)
        (port,) = free_ports(1)
        keys = folder / ".pigpen"
        keys.write_text(f"accesskey: {self.key}\ncoordinator: {self.api}\n")
        keys.chmod(0o600)
        command = [*PROGRAM, "runserver", f"--port={port}"]
        env = {**source_path(), "HOME": str(folder)}
        gateway = Process("pigpen-gateway", command, folder, env=env)
        self._behind, self.processes = self.processes, [gateway]
        gateway.wait_for_port(port)
        self.headers = []
        self.url = f"http://127.0.0.1:{port}"

    def stop(self) -> None:
        super().stop()
        while self._behind:
            self._behind.pop().stop()
