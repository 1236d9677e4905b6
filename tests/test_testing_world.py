"""Worlds: simulated time, threads, repeatability, and what makes a run fail."""

from __future__ import annotations

import errno
import random

from twisted.internet import task
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from pigpen.env import random_id, sleep
from pigpen.testing import SimClock, SimEnv, SimulationError, World
from pigpen.testing import world as world_module

log = Logger()


class Echo(Protocol):
    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


class Caller(Protocol):
    def __init__(self, size: int) -> None:
        self.left = size
        self.done: Deferred = Deferred()

    def connectionMade(self) -> None:
        self.transport.write(bytes(self.left))

    def dataReceived(self, data: bytes) -> None:
        self.left -= len(data)
        if not self.left:
            self.transport.loseConnection()

    def connectionLost(self, reason) -> None:
        self.done.callback(reason.type.__name__)


class CallerFactory(Factory):
    def buildProtocol(self, address):
        return Caller(100_000)


async def busy(world: World) -> str:
    """Something with timers, threads, disk and network."""
    a, b = world.node("a"), world.node("b")
    port = await b.server_endpoint("tcp:1").listen(Factory.forProtocol(Echo))
    caller = await a.client_endpoint("b", 1).connect(CallerFactory())
    await a.in_thread(a.disk.plant_file, "/x", a.random.randbytes(10))
    end = await caller.done
    await sleep(b, b.random.random())
    await port.stopListening()
    return end


def make_world(seed: int) -> World:
    return World(seed, latency=(0.001, 0.05), thread_seconds=(0, 0.01))


class RepeatTests(SynchronousTestCase):
    def test_same_seed(self) -> None:
        """The same seed gives the same run, another seed another one."""
        digests = []
        for seed in (1, 1, 2):
            world = make_world(seed)
            self.assertEqual(world.run(busy(world)), "ConnectionDone")
            world.assert_clean(collect=False)
            digests.append(world.digest)
        self.assertEqual(digests[0], digests[1])
        self.assertNotEqual(digests[1], digests[2])

    def test_ids(self) -> None:
        """Random ids repeat too."""
        self.assertEqual(random_id(SimEnv(5)), random_id(SimEnv(5)))
        self.assertNotEqual(random_id(SimEnv(5)), random_id(SimEnv(6)))


class RunTests(SynchronousTestCase):
    def test_result_and_error(self) -> None:
        """What the work returns or raises comes out."""
        env = SimEnv()

        async def good() -> int:
            await sleep(env, 100)
            return 7

        async def bad() -> None:
            await sleep(env, 1)
            raise OSError(errno.EIO, "I/O error")

        self.assertEqual(env.run(good()), 7)
        self.assertEqual(env.clock.seconds(), 100)
        self.assertRaises(OSError, env.run, bad())
        env.world.assert_clean()

    def test_stuck(self) -> None:
        """Work that waits for nothing, or too long, ends with seed and events."""
        env = SimEnv(3)
        self.assertIn("seed 3", str(self.assertRaises(SimulationError, env.run, Deferred())))
        error = self.assertRaises(SimulationError, env.run, sleep(env, 11), 10)
        self.assertIn("not done after 10 s", str(error))

    def test_livelock(self) -> None:
        """Work that runs without time passing ends too."""
        env = SimEnv()

        def again() -> None:
            env.clock.callLater(0, again)

        again()
        self.patch(world_module, "MAX_STEPS", 1000)
        error = self.assertRaises(SimulationError, env.run, Deferred())
        self.assertIn("livelock", str(error))

    def test_logged_error(self) -> None:
        """A failure that only the log hears of makes the run fail, unless it is expected."""
        env = SimEnv()

        async def work() -> int:
            await sleep(env, 1)
            try:
                raise ValueError("planted")
            except ValueError:
                log.failure("oh")
            await sleep(env, 1)
            return 1

        self.assertIn("oh", str(self.assertRaises(SimulationError, env.run, work())))
        env = SimEnv()
        self.assertEqual(env.run(work(), errors_allowed=True), 1)
        self.assertRaises(SimulationError, env.world.assert_clean)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)

    def test_dropped_failure(self) -> None:
        """A Deferred whose failure nobody hears makes the end check fail."""
        env = SimEnv()

        async def work() -> None:
            raise ValueError("planted")

        Deferred.fromCoroutine(work())
        self.assertRaises(SimulationError, env.world.assert_clean)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_cooperator(self) -> None:
        """Twisted's global cooperator runs on simulated time, and is itself again after."""
        before = task._theCooperator
        env = SimEnv()

        async def count() -> int:
            seen = []
            await task.coiterate(seen.append(i) for i in range(3))
            return len(seen)

        self.assertEqual(env.run(count()), 3)
        self.assertIs(task._theCooperator, before)


class CleanTests(SynchronousTestCase):
    def check(self, env: SimEnv, word: str) -> None:
        self.assertIn(word, str(self.assertRaises(SimulationError, env.world.assert_clean)))

    def test_left_over(self) -> None:
        """A delayed call, an open file, a port, a connection, a thread's work are found."""
        env = SimEnv()
        call = env.clock.callLater(5, list)
        self.check(env, "delayed call")
        call.cancel()
        file = env.disk.create("/x")
        self.check(env, "open file /x")
        file.close()
        port = env.run(env.server_endpoint("tcp:5").listen(Factory.forProtocol(Echo)))
        self.check(env, "listens on 5")
        caller = env.run(env.client_endpoint("localhost", 5).connect(CallerFactory()))
        env.run(port.stopListening())
        self.check(env, "SimTransport")
        env.run(caller.done)
        work = env.in_thread(len, "abc")
        self.check(env, "thread's work")
        self.assertEqual(env.run(work), 3)
        env.world.assert_clean()


class ThreadTests(SynchronousTestCase):
    def test_later(self) -> None:
        """A thread's function runs later, and its result comes later still."""
        world = World(thread_seconds=(1, 1))
        env = world.node("a")
        seen: list[float] = []
        done = env.in_thread(lambda: seen.append(env.clock.seconds()))
        self.assertEqual(seen, [])
        world.run(done)
        self.assertEqual((seen, world.clock.seconds()), ([1.0], 2.0))

    def test_instant(self) -> None:
        """An instant Env needs no time, for tests of one small thing."""
        env = SimEnv(instant=True)
        self.assertEqual(self.successResultOf(env.in_thread(max, 1, 2)), 2)
        self.failureResultOf(env.in_thread(int, "x"), ValueError)

    def test_cancel(self) -> None:
        """Cancelling the Deferred does not stop the function."""
        env = SimEnv()
        seen: list[int] = []
        done = env.in_thread(seen.append, 1)
        done.cancel()
        self.failureResultOf(done, CancelledError)
        env.world.settle()
        self.assertEqual(seen, [1])
        env.world.assert_clean()

    def test_cancelled_and_failed(self) -> None:
        """Nobody hears the failure of a function whose caller has left."""
        env = SimEnv()
        done = env.in_thread(int, "x")
        done.cancel()
        self.failureResultOf(done, CancelledError)
        env.world.settle()
        env.world.assert_clean()

    def test_kill_between(self) -> None:
        """A node killed after the function ran never hears the result."""
        world = World(thread_seconds=(1, 1))
        env = world.node("a")
        heard: list[object] = []
        env.in_thread(env.disk.create, "/x").addBoth(heard.append)
        env.clock.advance(1.5)
        self.assertIn("/x", env.disk.tree())
        env.kill()
        env.clock.advance(60)
        self.assertEqual(heard, [])


class BootTests(SynchronousTestCase):
    def test_kill_and_boot(self) -> None:
        """A killed node's timers never fire; a boot keeps name, address and disk."""
        world = World()
        old = world.node("a")
        address = old.host.address
        heard: list[int] = []
        old.clock.callLater(1, heard.append, 1)
        old.disk.plant_file("/x", b"kept")
        old.kill()
        call = old.clock.callLater(1, heard.append, 2)
        call.cancel()
        old.clock.callLater(1, heard.append, 3)
        new = old.boot()
        self.assertIs(world.node("a"), new)
        world.settle()
        self.assertEqual((heard, old.alive, new.alive), ([], False, True))
        self.assertEqual((new.host.address, new.disk.peek("/x")), (address, b"kept"))

    def test_power_cut(self) -> None:
        """A power cut takes what was not synced."""
        found = set()
        for seed in range(20):
            env = SimEnv(seed)
            env.disk.create("/x")
            env.power_cut()
            found.add(len(env.boot().disk.tree()))
        self.assertEqual(found, {0, 1})

    def test_clocks(self) -> None:
        """Each node's monotonic clock has its own zero, and its wall clock may be wrong."""
        world = World()
        a, b = world.node("a"), world.node("b", offset=1000.0)
        b.skew = -5.0
        world.run(sleep(a, 2))
        self.assertEqual((a.clock.seconds(), b.clock.seconds()), (2.0, 1002.0))
        self.assertEqual(a.wall() - b.wall(), 5.0)


class ClockTests(SynchronousTestCase):
    def test_like_twisted(self) -> None:
        """Random timers, moved and cancelled, run as on Twisted's own clock."""
        for seed in range(20):
            runs = []
            for clock in (SimClock(), task.Clock()):
                rng = random.Random(seed)
                seen: list[tuple[int, float]] = []
                calls = [
                    clock.callLater(rng.randint(0, 9), seen.append, number) for number in range(30)
                ]
                for _ in range(30):
                    call = rng.choice(calls)
                    if call.active():
                        change = rng.choice(("reset", "delay", "cancel"))
                        getattr(call, change)(*[rng.randint(1, 9)][: change != "cancel"])
                    clock.advance(rng.random())
                clock.advance(60)
                runs.append(sorted(seen))
            self.assertEqual(*runs)

    def test_each_at_its_time(self) -> None:
        """However far time jumps, each call sees the time it asked for."""
        clock = SimClock()
        seen: list[float] = []

        def tick() -> None:
            seen.append(clock.seconds())
            if len(seen) < 3:
                clock.callLater(10, tick)

        clock.callLater(1, tick)
        clock.advance(100)
        self.assertEqual((seen, clock.seconds()), ([1.0, 11.0, 21.0], 100.0))

    def test_put_off(self) -> None:
        """A call that was put off runs after those it now follows."""
        clock = SimClock()
        seen: list[int] = []
        first = clock.callLater(1, seen.append, 1)
        clock.callLater(2, seen.append, 2)
        first.delay(5)
        self.assertEqual(clock.next_time(), 2.0)
        clock.advance(10)
        self.assertEqual(seen, [2, 1])
