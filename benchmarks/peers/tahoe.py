"""Tahoe-LAFS: an introducer and three nodes, shares 1-of-2 (PyPI: tahoe-lafs)."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from pathlib import Path

from benchmarks.loads import upload
from benchmarks.peers import Server
from benchmarks.process import START_SECONDS, NotMeasured, Process, free_ports
from benchmarks.venvs import program

NODES = 3


class Tahoe(Server):
    name = "Tahoe-LAFS"
    durability = "2 shares, no fsync"

    def __init__(self) -> None:
        super().__init__()
        self._tahoe = ""

    def start(self, folder: Path) -> None:
        self.folder = folder
        self._tahoe = program("tahoe-lafs", "tahoe")
        introducer, web, *ports = free_ports(2 + NODES)
        self._create("create-introducer", "introducer", introducer)
        self._run("introducer").wait_for_port(introducer)
        furl = (folder / "introducer/private/introducer.furl").read_text().strip()
        shares = ["--shares-needed=1", "--shares-happy=1", "--shares-total=2"]
        for number, port in enumerate(ports):
            webport = f"tcp:{web}:interface=127.0.0.1" if number == 0 else "none"
            self._create("create-node", f"node{number}", port, f"--introducer={furl}",
                         f"--webport={webport}", *shares)  # fmt: skip
            self._run(f"node{number}").wait_for_port(port)
        self.url = f"http://127.0.0.1:{web}"
        self.processes[1].wait_for_answer(self.url + "/statistics?t=json")
        self._wait_for_nodes()

    def _create(self, command: str, name: str, port: int, *options: str) -> None:
        address = [f"--port=tcp:{port}:interface=127.0.0.1",
                   f"--location=tcp:127.0.0.1:{port}"]  # fmt: skip
        done = subprocess.run(
            [self._tahoe, command, *address, *options, str(self.folder / name)],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode:
            raise NotMeasured(f"tahoe {command}: {(done.stdout + done.stderr).strip()[-300:]}")

    def _run(self, name: str) -> Process:
        command = [self._tahoe, "run", "--allow-stdin-close", str(self.folder / name)]
        process = Process(name, command, self.folder / "logs")
        self.processes.append(process)
        return process

    def _wait_for_nodes(self) -> None:
        limit = time.monotonic() + START_SECONDS
        while time.monotonic() < limit:
            with urllib.request.urlopen(self.url + "/?t=json", timeout=10) as answer:
                servers = json.load(answer)["servers"]
            if sum(server["connection_status"] == "connected" for server in servers) >= NODES:
                return
            time.sleep(0.2)
        raise NotMeasured(f"not all of the {NODES} nodes found each other")

    def store(self, source: Path) -> list[str]:
        _, capability = upload(self.url + "/uri", source)
        return ["/uri/" + capability.strip()]

    def take(self, count: int, size: int) -> list[str]:
        return ["/uri"]
