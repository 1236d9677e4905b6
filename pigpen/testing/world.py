"""World: many simulated nodes on one clock, one network and one random source.

The same seed gives the same run: `digest` covers every segment and outcome.
"""

from __future__ import annotations

import gc
import hashlib
import random
import sys
from collections import deque
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet import task
from twisted.internet.defer import Deferred
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure

from pigpen.testing.clock import SimClock
from pigpen.testing.network import Network

if TYPE_CHECKING:
    from pigpen.testing.env import SimEnv

T = TypeVar("T")

#: so many calls without an end are a livelock
MAX_STEPS = 2_000_000
MAX_EVENTS = 200


class SimulationError(AssertionError):
    """The simulated run went wrong: it hangs, runs away, logged an error, or left something."""


class World:
    """All nodes of a simulation."""

    def __init__(
        self,
        seed: int = 0,
        *,
        latency: tuple[float, float] = (0.0, 0.0),
        thread_seconds: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        """:param latency: shortest and longest time of a segment between nodes, in seconds.
        :param thread_seconds: shortest and longest wait of a thread to begin, and to report.
        """
        self.seed = seed
        self.random = random.Random(seed)  # noqa: S311
        self.clock = SimClock()
        self.network = Network(self.clock, self.random, self.note)
        self.network.latency_seconds = latency
        self.thread_seconds = thread_seconds
        #: what happened last
        self.events: deque[str] = deque(maxlen=MAX_EVENTS)
        #: failures that were logged
        self.errors: list[LogEvent] = []
        self.nodes: dict[str, SimEnv] = {}
        self._hash = hashlib.sha256()
        # all boots, dead ones too: their code must not be woken by garbage collection
        self._boots: list[SimEnv] = []
        # what is older than this world is not looked through for what it left over
        gc.freeze()

    def node(self, name: str, **options: Any) -> SimEnv:
        """The node of this name as it runs now; made if there is none yet."""
        from pigpen.testing.env import SimEnv

        if name not in self.nodes:
            SimEnv(name=name, world=self, **options)
        return self.nodes[name]

    def joined(self, node: SimEnv) -> None:
        """A node has booted."""
        self.note("boot", node.name)
        self.nodes[node.name] = node
        self._boots.append(node)

    def thread_delay(self) -> float:
        shortest, longest = self.thread_seconds
        return shortest if shortest == longest else self.random.uniform(shortest, longest)

    # -- the record -------------------------------------------------------------------------------

    def note(self, *facts: object) -> None:
        """Add to the digest what happened, with its time."""
        event = f"{self.clock.seconds():.6f} " + " ".join(map(_shown, facts))
        self.events.append(event)
        self._hash.update(event.encode())
        for fact in facts:
            if isinstance(fact, bytes):
                self._hash.update(fact)

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    def _fail(self, reason: str) -> SimulationError:
        events = "\n".join(self.events)
        return SimulationError(f"{reason}\nseed {self.seed}, digest {self.digest}\n{events}")

    # -- running ----------------------------------------------------------------------------------

    def run(
        self,
        work: Coroutine[Any, Any, T] | Deferred[T],
        max_seconds: float = 600,
        *,
        errors_allowed: bool = False,
    ) -> T:
        """Let time pass until `work` is done; its result, or its exception.

        :param max_seconds: of simulated time.
        :param errors_allowed: go on when an unexpected failure is logged.
        :raises SimulationError: it does not end, or a failure was logged.
        """
        with self.watching():
            done = work if isinstance(work, Deferred) else Deferred.fromCoroutine(work)
            outcome: list[Any] = []
            done.addBoth(outcome.append)  # type: ignore[unused-awaitable]
            self._until(outcome, max_seconds, errors_allowed)
            result = outcome[0]
            if isinstance(result, Failure):
                self.note("outcome", type(result.value).__name__)
                result.raiseException()
            self.note("outcome", type(result).__name__)
        return result  # type: ignore[no-any-return]

    def _until(self, outcome: list[Any], max_seconds: float, errors_allowed: bool) -> None:
        clock = self.clock
        end = clock.seconds() + max_seconds
        last_step = clock.steps + MAX_STEPS
        while not outcome:
            due = clock.next_time()
            if due is None:
                raise self._fail("nothing is left to do, and the work is not done")
            if due > end:
                raise self._fail(f"not done after {max_seconds:g} s")
            if clock.steps >= last_step:
                raise self._fail("livelock")
            clock.step()
            if self.errors and not errors_allowed:
                raise self._fail("an error was logged:\n" + formatEvent(self.errors[0]))

    def settle(self, max_seconds: float = 600) -> None:
        """Let everything that is under way come to its end."""
        with self.watching():
            end = self.clock.seconds() + max_seconds
            last_step = self.clock.steps + MAX_STEPS
            while (due := self.clock.next_time()) is not None and due <= end:
                if self.clock.steps >= last_step:
                    raise self._fail("livelock")
                self.clock.step()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Logged failures are kept in `errors`, and Twisted's global cooperator uses our clock."""
        before = task._theCooperator
        task._theCooperator = task.Cooperator(scheduler=self._schedule_cooperator)
        globalLogPublisher.addObserver(self._observe)  # type: ignore[arg-type]
        try:
            yield
        finally:
            globalLogPublisher.removeObserver(self._observe)  # type: ignore[arg-type]
            task._theCooperator = before

    def _schedule_cooperator(self, function: Any) -> Any:
        return self.clock.callLater(0, function)

    def _observe(self, event: LogEvent) -> None:
        if "log_failure" in event:
            self.errors.append(event)

    # -- the end ----------------------------------------------------------------------------------

    def assert_clean(self, *, collect: bool = True) -> None:
        """Nothing is left: no delayed call, open file, thread's work, port or connection.

        :param collect: find failures of dropped Deferreds too, by a slow garbage collection.
        """
        if collect:
            with self.watching():
                gc.collect()
            gc.unfreeze()
        left: list[str] = [f"delayed call {call}" for call in self.clock.calls]
        for node in self.nodes.values():
            if node.alive:
                left += [f"{node.name}: open file {path}" for path in node.disk.open_files]
                left += [f"{node.name}: thread's work"] * bool(node.threads)
            for number, ports in node.host.ports.items():
                left += [f"{node.name}: listens on {number}"] * bool(ports)
            left += [f"{node.name}: {transport}" for transport in node.host.transports]
        if self.errors:
            left.append("a logged error: " + formatEvent(self.errors[0]))
        if left:
            raise self._fail("left over: " + "; ".join(left))


@contextmanager
def quiet_burial() -> Iterator[None]:
    """For tests that kill nodes: what waits in a dead node ends by garbage collection, runs its
    ``finally`` and fails there. That happens in `bury` only, and nobody hears of it."""
    gc.disable()
    gc.freeze()  # what is there already need not be looked through again and again
    try:
        yield
        bury()
    finally:
        gc.unfreeze()
        gc.enable()


def bury() -> None:
    """Collect the dead without a sound: call it between worlds, inside `quiet_burial`."""
    observers = list(globalLogPublisher._observers)
    report = sys.unraisablehook
    sys.unraisablehook = lambda unraisable: None
    for observer in observers:
        globalLogPublisher.removeObserver(observer)
    try:
        gc.collect()
    finally:
        sys.unraisablehook = report
        for observer in observers:
            globalLogPublisher.addObserver(observer)


def _shown(fact: object) -> str:
    return f"{len(fact)} bytes" if isinstance(fact, bytes) else str(fact)
