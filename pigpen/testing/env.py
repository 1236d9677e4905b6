"""SimEnv: the simulated peer of `pigpen.system.SystemEnv`, one node of a `World`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import (
    IListeningPort,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from twisted.protocols.tls import TLSMemoryBIOFactory

from pigpen.env import Env
from pigpen.testing.clock import NodeClock
from pigpen.testing.disk import SimDisk
from pigpen.testing.faults import Killed
from pigpen.testing.sockets import SimClientEndpoint, SimPort
from pigpen.testing.world import World

P = ParamSpec("P")
T = TypeVar("T")

#: 1 January 2026
WALL_START = 1_767_225_600.0


class NodeReactor(NodeClock):
    """A node's clock, and as much of a reactor as Twisted's endpoints and Agent need."""

    def __init__(self, env: SimEnv, offset: float) -> None:
        super().__init__(env.world.clock, offset)
        self._env = env

    def listenTCP(
        self, port: int, factory: Any, backlog: int = 50, interface: str = ""
    ) -> IListeningPort:
        env = self._env
        return SimPort(env.world.network, env.host, port, factory, interface)

    def listenSSL(
        self, port: int, factory: Any, contextFactory: Any, backlog: int = 50, interface: str = ""
    ) -> IListeningPort:
        wrapped = TLSMemoryBIOFactory(contextFactory, False, factory, self)
        return self.listenTCP(port, wrapped, backlog, interface)


class SimEnv:
    """One boot of one simulated machine.

    Alone it makes its own world: ``env = SimEnv(); env.run(coroutine)``. In a `World` nodes share
    clock, randomness and network, and reach each other by name.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        name: str = "node",
        world: World | None = None,
        disk: SimDisk | None = None,
        instant: bool = False,
        offset: float = 0.0,
    ) -> None:
        """:param instant: `in_thread` returns results at once; else in later turns.
        :param offset: seconds this machine's monotonic clock is ahead of the world's.
        """
        self.name = name
        self.world = World(seed) if world is None else world
        self.instant = instant
        self.random = self.world.random
        self.clock = NodeReactor(self, offset)
        self.host = self.world.network.add(name, self.clock)
        self.disk = SimDisk(self.random) if disk is None else disk
        self.disk.boot(self)
        #: seconds the wall clock is wrong
        self.skew = 0.0
        self.most_descriptors = 1_000_000
        #: threads' work that is not done yet
        self.threads = 0
        #: what this boot waits for; kept, so that a dead node's code is not woken by collection
        self._waiting: dict[int, Deferred[Any]] = {}
        self.world.joined(self)

    def __repr__(self) -> str:
        return f"<SimEnv {self.name}>"

    # -- Env --------------------------------------------------------------------------------------

    def wall(self) -> float:
        return WALL_START + self.world.clock.seconds() + self.skew

    def descriptors(self) -> int:
        return self.most_descriptors

    def in_thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        """Run it in one go, some turns later; a killed node never hears the result."""
        done: Deferred[T] = Deferred(lambda _: None)
        if self.instant:
            with contextlib.suppress(Killed):
                _outcome(function, *args, **kwargs).chainDeferred(done)  # type: ignore[unused-awaitable]
            return done
        self.threads += 1
        self._waiting[id(done)] = done
        self.clock.callLater(
            self.world.thread_delay(), self._work, done, lambda: function(*args, **kwargs)
        )
        return done

    def _work(self, done: Deferred[T], function: Callable[[], T]) -> None:
        # a node killed inside the function raises Killed through here: `done` never fires
        result = _outcome(function)
        self.clock.callLater(self.world.thread_delay(), self._worked, done, result)

    def _worked(self, done: Deferred[T], result: Deferred[T]) -> None:
        self.threads -= 1
        self._waiting.pop(id(done), None)
        if done.called:  # cancelled meanwhile
            result.addErrback(lambda _: None)  # type: ignore[unused-awaitable]
        else:
            result.chainDeferred(done)  # type: ignore[unused-awaitable]

    def server_endpoint(self, description: str) -> IStreamServerEndpoint:
        endpoint: IStreamServerEndpoint = serverFromString(self.clock, description)  # type: ignore[no-untyped-call]
        return endpoint

    def client_endpoint(self, host: str, port: int) -> IStreamClientEndpoint:
        return SimClientEndpoint(self.world.network, self.host, host, port)

    # -- what tests do ----------------------------------------------------------------------------

    @property
    def alive(self) -> bool:
        return self.clock.alive

    def run(
        self, work: Coroutine[Any, Any, T] | Deferred[T], max_seconds: float = 600, **options: Any
    ) -> T:
        """As `World.run`."""
        return self.world.run(work, max_seconds, **options)

    def kill(self, *, silent: bool = False) -> None:
        """The process dies: timers, threads and sockets vanish, and nothing of it runs again.

        :param silent: the machine is gone, so that peers hear nothing.
        """
        if not self.alive:
            return
        self.world.note("kill", self.name)
        self.clock.stop()
        self.disk.freeze()
        self.world.network.kill(self.name, silent=silent)

    def power_cut(self) -> None:
        """As `kill`, and the disk forgets what was not synced."""
        self.kill(silent=True)
        self.disk.crash()

    def boot(self) -> SimEnv:
        """The same machine again: its disk, its name, and nothing else."""
        self.kill()
        return SimEnv(
            name=self.name,
            world=self.world,
            disk=self.disk,
            instant=self.instant,
            offset=self.clock.offset,
        )


def _outcome(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
    """As `defer.execute`, but a death is no result."""
    try:
        return succeed(function(*args, **kwargs))
    except Exception as error:  # noqa: BLE001
        return fail(error)


_is_env: type[Env] = SimEnv
