"""A whole cloud under seeded faults: hosts and the coordinator die, the power fails, the network
splits, clocks jump. What was acknowledged is there when they have stopped, nothing wrong was ever
read, and no host ever got a secret of its users.

Each key has one writer and unique values, so each read can be judged on its own; `SharedChaos` has
one key for all, and judges what they saw together. A failing seed repeats exactly.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred, TimeoutError, gatherResults
from twisted.trial.unittest import SynchronousTestCase

from pigpen.coordinator.coordinator import Coordinator
from pigpen.coordinator.settings import CoordinatorSettings
from pigpen.env import sleep
from pigpen.errors import PigpenError
from pigpen.host.host import Host
from pigpen.host.link import SILENCE_SECONDS
from pigpen.host.settings import HostSettings
from pigpen.http import wire
from pigpen.testing import SimEnv, bury, quiet_burial
from pigpen.testing.register import History
from pigpen.web.client import HttpClient
from tests.cloud_kit import COORDINATOR, MIB, Answer, Cloud, Node

HOSTS = ("one", "two")
USERS = 3
WRITES = 5
#: the faults begin within this time, and each ends after a while
FAULT_SECONDS = 40.0
#: worlds that each test runs, and the first of them: CI sets more, and others each time
SEEDS = int(os.environ.get("PIGPEN_SEEDS", "12"))
FIRST_SEED = int(os.environ.get("PIGPEN_FIRST_SEED", "0"))


class Register:
    """What a key may hold: the value last acknowledged, or one since that ended unknown.

    Or shortly before: a receipt that was under way as its client left says that it waits.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.acknowledged = False
        self.possible: set[bytes] = set()
        self.left: dict[bytes, float] = {}

    def known(self, value: bytes) -> None:
        self.acknowledged = True
        recent = self.now() - SILENCE_SECONDS
        self.possible = {value} | {one for one, when in self.left.items() if when > recent}

    def unknown(self, value: bytes) -> None:
        self.possible.add(value)
        self.left[value] = self.now()


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
        self.skews = dict.fromkeys((*HOSTS, "coordinator"), 0.0)
        self.listen_in()

    # -- what hosts get to hear -------------------------------------------------------------------

    def listen_in(self) -> None:
        """Look for secrets in all that any host receives (T1)."""
        note = self.world.network.note
        last: dict[str, bytes] = {}

        def heard(kind: str, name: str, *facts: object) -> None:
            note(kind, name, *facts)
            if kind == "segment" and receiver(name) in HOSTS:
                [data] = facts
                assert isinstance(data, bytes)
                seen = last.get(name, b"") + data
                last[name] = seen[-100:]
                self.check_heard(name, seen)

        self.world.network.note = heard

    def check_heard(self, name: str, seen: bytes) -> None:
        secrets = [self.cloud.key.encode(), b"Cookie:"]
        if name.startswith("user:"):
            secrets.append(b"Authorization:")
        for secret in secrets:
            assert secret not in seen, f"{name}: a host got {secret[:14]!r}"

    # -- users ------------------------------------------------------------------------------------

    async def user(self, number: int) -> None:
        key = f"user/{number}"
        register = self.registers[key] = Register(self.world.clock.seconds)
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
            answer = await self.send(offer.json(wire.UploadOffer).url, value)
        except (PigpenError, TimeoutError):
            register.unknown(value)
            self.counts["unknown"] += 1
            return
        if answer.status in {200, 201, 204}:
            register.known(value)
            self.counts["201"] += 1
        elif answer.status == 202 or answer.status >= 500:
            register.unknown(value)
            self.counts["unknown"] += 1

    async def send(self, url: str, value: bytes) -> Answer:
        """Now and then the host cannot tell the coordinator that it has the bytes."""
        if self.rng.random() < 0.2:
            name, clock, network = urlsplit(url).hostname, self.cloud.user.clock, self.world.network
            network.partition(str(name), "coordinator")
            clock.callLater(self.rng.random() * 40, network.heal, str(name), "coordinator")
        return await self.cloud.asking("PUT", url, value)

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
                                self.break_disk, self.cut_bytes, self.restart,
                                self.step_clock])  # fmt: skip
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

    async def step_clock(self, name: str) -> None:
        for node in (name, "coordinator"):
            self.skews[node] = self.rng.choice([-3600.0, -5.0, 5.0, 3600.0])
            self.world.nodes[node].skew = self.skews[node]

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
        env.skew = self.skews[name]
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
        await self.check_sums()

    async def check_sums(self) -> None:
        """The account's sums are those of what can be read: nothing counts twice."""
        answers = [await self.get(key) for key in self.registers]
        stored = [len(answer.data) for answer in answers if answer.status == 200]
        account = (await self.cloud.asking("GET", "/account")).json(wire.Account)
        assert (account.objects, account.used) == (len(stored), sum(stored)), (account, stored)


def receiver(link: str) -> str:
    """Who gets what a link carries, which is named ``FROM:PORT>TO:PORT`` or that and ``back``."""
    begin, _, end = link.partition(">")
    return (begin if end.endswith(" back") else end).partition(":")[0]


class SharedChaos(Chaos):
    """All users write and read one key, without conditions (Y1)."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.history: History[bytes] = History(b"")

    async def user(self, number: int) -> None:
        self.registers["shared"] = Register(self.world.clock.seconds)
        for round_ in range(WRITES):
            await sleep(self.cloud.user, self.rng.random() * FAULT_SECONDS / WRITES)
            tag = hashlib.sha256(f"{number} {round_}".encode()).digest()
            size = self.rng.choice([64, 5000, 300_000])
            await self.write("shared", SharedRegister(self.history), tag * (size // 32))
            for _ in range(3):
                await self.read("shared", self.registers["shared"])

    async def write(self, key: str, register: Register, value: bytes) -> None:
        self.history.writing(value)
        await super().write(key, register, value)

    async def send(self, url: str, value: bytes) -> Answer:
        """Some have no patience. :raises TimeoutError: theirs has ended."""
        sending = Deferred.fromCoroutine(super().send(url, value))
        if self.rng.random() < 0.3:
            sending.addTimeout(self.rng.random() * 3, self.cloud.user.clock)
        return await sending

    async def read(self, key: str, register: Register) -> bool:
        began = self.history.turn()
        try:
            answer = await self.get(key)
        except PigpenError:
            return False
        if answer.status in {200, 404}:
            self.history.read(answer.data if answer.status == 200 else b"", began)
            self.counts["read"] += 1
        return answer.status == 200

    async def run(self) -> None:
        await super().run()
        self.history.check()


class SharedRegister(Register):
    """One write to the shared key."""

    def __init__(self, history: History[bytes]) -> None:
        super().__init__(lambda: 0.0)
        self.history = history

    def known(self, value: bytes) -> None:
        self.history.wrote(value)


def survive(kind: type[Chaos], seeds: int) -> Counter[str]:
    """Run so many worlds. :return: their counts. :raises AssertionError: names seed and faults."""
    totals: Counter[str] = Counter()
    for seed in range(FIRST_SEED, FIRST_SEED + seeds):
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
        totals = survive(Chaos, SEEDS)
        self.assertGreater(totals["201"], 50)
        self.assertGreater(totals["unknown"], 5)
        self.assertGreater(totals["read"], 50)

    def test_one_key(self) -> None:
        """Many writers and readers of one file see one order of things (Y1)."""
        totals = survive(SharedChaos, SEEDS // 2)
        self.assertGreater(totals["201"], 25)
        self.assertGreater(totals["read"], 75)

    def test_repeats(self) -> None:
        """A seed is the same world each time, to the last byte."""
        for seed in range(2):
            digests = set()
            for _ in range(2):
                bury()
                chaos = Chaos(seed)
                chaos.cloud.run(chaos.run(), max_seconds=3000)
                digests.add(chaos.world.digest)
                chaos.cloud.close()
            self.assertEqual(len(digests), 1, seed)
