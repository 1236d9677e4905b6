"""A whole cloud under seeded faults: hosts and the coordinator die, the power fails, the network
splits. What was acknowledged is there when they have stopped, and nothing wrong was ever read.

Each key has one writer and unique values, so each read can be judged on its own. A failing seed
repeats exactly.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable

from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import SynchronousTestCase

from pigpen.coordinator.coordinator import Coordinator
from pigpen.coordinator.settings import CoordinatorSettings
from pigpen.env import sleep
from pigpen.errors import PigpenError
from pigpen.host.host import Host
from pigpen.host.settings import HostSettings
from pigpen.http import wire
from pigpen.testing import SimEnv, bury, quiet_burial
from pigpen.web.client import HttpClient
from tests.cloud_kit import COORDINATOR, MIB, Answer, Cloud, Node

HOSTS = ("one", "two")
USERS = 3
WRITES = 5
#: the faults begin within this time, and each ends after a while
FAULT_SECONDS = 40.0


class Register:
    """What a key may hold: the value last acknowledged, or one since that ended unknown."""

    def __init__(self) -> None:
        self.acknowledged = False
        self.possible: set[bytes] = set()

    def known(self, value: bytes) -> None:
        self.acknowledged = True
        self.possible = {value}

    def unknown(self, value: bytes) -> None:
        self.possible.add(value)


class Chaos:
    """One seed."""

    def __init__(self, seed: int) -> None:
        bury()
        self.cloud = Cloud(seed)
        self.world = self.cloud.world
        self.rng = self.world.random
        for name in HOSTS:
            self.cloud.start_host(name)
        self.world.network.latency_seconds = (0.0005, 0.02)
        self.world.thread_seconds = (0.0, 0.01)
        self.registers: dict[str, Register] = {}
        self.counts = {"201": 0, "unknown": 0, "read": 0}
        self.faults: list[str] = []

    # -- users ------------------------------------------------------------------------------------

    async def user(self, number: int) -> None:
        key = f"user/{number}"
        register = self.registers[key] = Register()
        for round_ in range(WRITES):
            await sleep(self.cloud.user, self.rng.random() * FAULT_SECONDS / WRITES)
            size = self.rng.choice([10, 5000, 300_000, 700_000])
            tag = hashlib.sha256(f"{number} {round_}".encode()).digest()
            await self.write(key, register, (tag * (size // 32 + 1))[:size])
            await self.read(key, register)

    async def write(self, key: str, register: Register, value: bytes) -> None:
        try:
            offer = await self.cloud.asking(
                "PUT", f"/api/ann/{key}?redirect=false", Upload_Length=str(len(value))
            )
            if offer.status != 200:
                return
            answer = await self.cloud.asking("PUT", offer.json(wire.UploadOffer).url, value)
        except PigpenError:
            register.unknown(value)
            self.counts["unknown"] += 1
            return
        if answer.status in {200, 201, 204}:
            register.known(value)
            self.counts["201"] += 1
        elif answer.status == 202 or answer.status >= 500:
            register.unknown(value)
            self.counts["unknown"] += 1

    async def read(self, key: str, register: Register) -> bool:
        """Whether there was a value; a wrong one is an error."""
        try:
            answer = await self.get(key)
        except PigpenError:
            return False
        if answer.status == 200:
            assert answer.data in register.possible, f"{key}: wrong value, {len(answer.data)} bytes"
            self.counts["read"] += 1
        elif answer.status == 404:
            assert not register.acknowledged, f"{key}: lost"
        return answer.status == 200

    async def get(self, key: str) -> Answer:
        answer = await self.cloud.asking("GET", f"/api/ann/{key}")
        if answer.status == 307:
            return await self.cloud.asking("GET", answer.headers["Location"])
        return answer

    # -- faults -----------------------------------------------------------------------------------

    async def break_things(self) -> None:
        network, rng = self.world.network, self.rng
        while self.world.clock.seconds() < FAULT_SECONDS:
            await sleep(self.cloud.user, rng.random() * 6)
            fault = rng.choice([self.kill, self.cut_power, self.split, self.clog, self.reset,
                                self.break_disk, self.cut_bytes, self.restart])  # fmt: skip
            self.faults.append(fault.__name__)
            await fault(rng.choice(HOSTS))
        network.heal()

    async def pause(self) -> None:
        await sleep(self.cloud.user, self.rng.random() * 8)

    async def kill(self, name: str) -> None:
        self.world.nodes[name].kill()
        await self.pause()
        await self.start_host(name)

    async def cut_power(self, name: str) -> None:
        self.world.nodes[name].power_cut()
        await self.pause()
        await self.start_host(name)

    async def split(self, name: str) -> None:
        self.world.network.partition(name, "coordinator")
        await self.pause()
        self.world.network.heal(name, "coordinator")

    async def clog(self, name: str) -> None:
        self.world.network.clog(name)
        await self.pause()
        self.world.network.unclog(name)

    async def reset(self, name: str) -> None:
        self.world.network.reset_all(name)

    async def break_disk(self, name: str) -> None:
        # not reading: a copy that could not be read counts as bad, and here there is no other
        kind = self.rng.choice(["create", "write", "sync", "rename", "sync_folder", "make_folder"])
        disk = self.world.nodes[name].disk
        disk.fail_at(self.rng.randint(1, 3), OSError(5, "I/O error"), kind)

    async def cut_bytes(self, name: str) -> None:
        self.world.network.cut_after(self.rng.randint(0, 400_000), self.rng.choice([name, "user"]))

    async def restart(self, name: str) -> None:
        """The coordinator dies and comes back; its committed transactions stay."""
        self.cloud.coordinator._catalog.drop()
        self.world.nodes["coordinator"].kill()
        await self.pause()
        await self.start(
            "coordinator",
            2573,
            lambda env, client: Coordinator(
                env, client, CoordinatorSettings(**self.cloud._settings)
            ),
        )

    async def start_host(self, name: str) -> None:
        settings = HostSettings(
            folder="pool", coordinator=COORDINATOR, target_size=1000 * MIB, floor=0,
            addresses=[f"http://{name}:2575"], access_key=self.cloud.key,
        )  # fmt: skip
        self.world.nodes[name].disk.clear()
        await self.start(name, 2575, lambda env, client: Host(env, client, settings))

    async def start(
        self, name: str, port: int, make: Callable[[SimEnv, HttpClient], object]
    ) -> None:
        env = self.world.nodes[name].boot()
        client = HttpClient(env)
        node = self.cloud.nodes[name] = Node(env, make(env, client), client, port)
        await node.start()

    # -- the run ----------------------------------------------------------------------------------

    async def run(self) -> None:
        work: list[Awaitable[None]] = [self.user(number) for number in range(USERS)]
        work.append(self.break_things())
        await gatherResults(map(Deferred.fromCoroutine, work), consumeErrors=True)
        self.world.network.clear()
        self.world.network.heal()
        for name in HOSTS:  # one with a failed disk is read-only until it starts again
            await self.start_host(name)
        await sleep(self.cloud.user, 120)
        for key, register in self.registers.items():
            found = await self.read(key, register)
            assert found or not register.acknowledged, f"{key}: not readable after all"


def survive(kind: type[Chaos], seeds: int) -> Counter[str]:
    """Run so many worlds. :return: their counts. :raises AssertionError: names seed and faults."""
    totals: Counter[str] = Counter()
    for seed in range(seeds):
        chaos = kind(seed)
        try:
            chaos.cloud.run(chaos.run(), max_seconds=3000)
            chaos.cloud.close()
        except Exception as error:
            raise AssertionError(f"seed {seed}, {chaos.faults}: {error}") from error
        totals.update(chaos.counts)
    return totals


class SeedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.enterContext(quiet_burial())

    def test_seeds(self) -> None:
        """Nothing acknowledged is lost, nothing wrong is read, nothing is left over."""
        totals = survive(Chaos, 12)
        self.assertGreater(totals["201"], 50)
        self.assertGreater(totals["unknown"], 5)
        self.assertGreater(totals["read"], 50)
