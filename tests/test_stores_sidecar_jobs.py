"""MOVE, COPY, DELETE and PUT when the gateway dies, or the store fails, at any step.

A gateway and its store are run again and again; each time one step later something happens: the
process ends before or after the step, or the store does not answer. Then a new gateway starts over
what is left, and the tree must be as before or as after, whole (DAV-136).
"""

# mypy: allow-untyped-calls
from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from pigpen.env import sleep
from pigpen.errors import ConnectionLost, InsufficientStorage, PigpenError, Unavailable
from pigpen.http.answers import error_answer
from pigpen.http.body import BytesBody, read_all
from pigpen.http.key import Key
from pigpen.http.message import Request, Response
from pigpen.http.namespace import ALWAYS, LockWish, Property, Want, WriteMeta
from pigpen.stores.memory import MemoryStore
from pigpen.stores.sidecar.namespace import SidecarNamespace
from pigpen.stores.sidecar.records import MemoryRecords
from pigpen.testing import SimEnv, quiet_burial

#: what happens at a step
Fate = Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]
Act = Callable[[SidecarNamespace], Coroutine[Any, Any, Any]]
#: of a tree: names, with bytes and properties, and where locks are
Tree = dict[str, tuple[bytes | None, int, int]]


class Steps:
    """Counts steps; at one of them fate strikes, and perhaps at all that follow."""

    def __init__(self, number: int, fate: Fate, *, for_good: bool = False) -> None:
        self.left = number
        self.fate = fate
        self.for_good = for_good
        self.struck = False

    async def step(self, work: Callable[[], Awaitable[Any]]) -> Any:
        self.left -= 1
        if self.left == 0 or (self.left < 0 and self.for_good):
            self.struck = True
            return await self.fate(work)
        return await work()


async def die_before(work: Callable[[], Awaitable[Any]]) -> Any:
    await Deferred()


async def die_after(work: Callable[[], Awaitable[Any]]) -> Any:
    await work()
    await Deferred()


async def lose_answer(work: Callable[[], Awaitable[Any]]) -> Any:
    await work()
    raise ConnectionLost(peer="the store", phase="waiting")


async def find_no_store(work: Callable[[], Awaitable[Any]]) -> Any:
    raise ConnectionLost(peer="the store", phase="waiting")


async def answer_full(work: Callable[[], Awaitable[Any]]) -> Any:
    return error_answer(InsufficientStorage(reason="full"))


async def fail_records(work: Callable[[], Awaitable[Any]]) -> Any:
    raise Unavailable(reason="the sidecar cannot be used")


class SteppingStore:
    """Each request is a step."""

    def __init__(self, store: MemoryStore, steps: Steps, *, changes_only: bool = False) -> None:
        self.capabilities = store.capabilities
        self._store = store
        self._steps = steps
        self._changes_only = changes_only

    async def handle(self, request: Request) -> Response:
        if self._changes_only and request.method not in {"PUT", "DELETE"}:
            return await self._store.handle(request)
        response: Response = await self._steps.step(lambda: self._store.handle(request))
        return response


class SteppingRecords:
    """Each change is a step. What `records` has committed stays."""

    def __init__(self, records: MemoryRecords, steps: Steps) -> None:
        self._records = records
        self._steps = steps

    def read(self, rule: Any, *args: Any, **kwargs: Any) -> Any:
        return self._records.read(rule, *args, **kwargs)

    async def write(self, rule: Any, *args: Any, **kwargs: Any) -> Any:
        return await self._steps.step(lambda: self._records.write(rule, *args, **kwargs))

    async def close(self) -> None:
        return None


def key(text: str) -> Key:
    return Key.from_text(text)


async def put(namespace: SidecarNamespace, name: str, data: bytes = b"new") -> None:
    await namespace.write(key(name), BytesBody(data), WriteMeta(), ALWAYS)


async def fill(namespace: SidecarNamespace) -> None:
    """A tree with all that can be lost."""
    for name in ("s/", "s/empty/", "t/", "t/gone/"):
        await namespace.make_collection(key(name), (Property("n:", "k", f"<k>{name}</k>"),), ALWAYS)
    for name in ("s/a", "s/b", "s/c/d", "t/a", "t/old", "t/gone/x", "o", "p"):
        await put(namespace, name, name.encode())
    await namespace.change_properties(key("s/a"), (Property("n:", "a", "<a/>"),), ALWAYS)
    await namespace.lock(key("locked"), LockWish(), ALWAYS)


async def look(namespace: SidecarNamespace) -> Tree:
    """All of a tree; what a listing names can be read, and nothing else."""
    found: Tree = {}
    want = Want(properties=True, locks=True)
    async for node in namespace.list(key("/"), deep=True, want=want):
        data = None
        if not node.is_collection:
            reading = await namespace.open(node.key)
            data = await read_all(await reading.body(0, reading.node.length), 1000)
            assert len(data) == node.length
        found[str(node.key)] = (data, len(node.properties or ()), len(node.locks or ()))
    return found


async def move_over(namespace: SidecarNamespace) -> None:
    await namespace.move(key("s"), key("t"), overwrite=True, when=ALWAYS)


async def move_away(namespace: SidecarNamespace) -> None:
    await namespace.move(key("s"), key("n"), overwrite=True, when=ALWAYS)


async def move_object(namespace: SidecarNamespace) -> None:
    await namespace.move(key("o"), key("p"), overwrite=True, when=ALWAYS)


async def move_object_over_collection(namespace: SidecarNamespace) -> None:
    await namespace.move(key("o"), key("t"), overwrite=True, when=ALWAYS)


async def copy_over(namespace: SidecarNamespace) -> None:
    await namespace.copy(key("s"), key("t"), deep=True, overwrite=True, when=ALWAYS)


async def copy_collection_over_object(namespace: SidecarNamespace) -> None:
    await namespace.copy(key("s"), key("o"), deep=True, overwrite=True, when=ALWAYS)


async def copy_away(namespace: SidecarNamespace) -> None:
    await namespace.copy(key("s"), key("n"), deep=True, overwrite=True, when=ALWAYS)


async def delete(namespace: SidecarNamespace) -> None:
    await namespace.delete(key("s"), ALWAYS)


async def delete_object(namespace: SidecarNamespace) -> None:
    await namespace.delete(key("o"), ALWAYS)


async def put_over(namespace: SidecarNamespace) -> None:
    await put(namespace, "o")


ACTS: tuple[Act, ...] = (
    move_over, move_away, move_object, move_object_over_collection, copy_over, copy_away,
    copy_collection_over_object, delete, delete_object, put_over,
)  # fmt: skip
#: each does something in another order
FAILING: tuple[Act, ...] = (
    move_over, move_away, move_object, copy_collection_over_object, delete, put_over,
)  # fmt: skip


class StepCase(SynchronousTestCase):
    """A store and records that outlive gateways."""

    def setUp(self) -> None:
        self.env = SimEnv()

    def reset(self) -> None:
        self.store = MemoryStore(self.env)
        self.records = MemoryRecords(self.env)

    def gateway(self, store: Any = None, records: Any = None) -> SidecarNamespace:
        namespace = SidecarNamespace(self.env, store or self.store, records or self.records)
        self.env.run(namespace.start())
        return namespace

    def tree(self) -> Tree:
        """As a new gateway sees it."""
        return self.env.run(look(self.gateway()))

    def outcomes(self, act: Act) -> tuple[Tree, Tree]:
        """Before, and after."""
        self.reset()
        self.env.run(fill(self.gateway()))
        before = self.tree()
        self.env.run(act(self.gateway()))
        return before, self.tree()


class DeathTests(StepCase):
    """The process ends; the next one finishes or undoes."""

    def check(self, act: Act, fate: Fate) -> None:
        before, after = self.outcomes(act)
        self.assertNotEqual(before, after)
        for number in itertools.count(1):
            self.reset()
            self.env.run(fill(self.gateway()))
            steps = Steps(number, fate)
            gateway = self.gateway(
                SteppingStore(self.store, steps), SteppingRecords(self.records, steps)
            )
            doing = Deferred.fromCoroutine(act(gateway))
            self.env.run(sleep(self.env, 1))
            if not steps.struck:
                self.env.run(doing)
                break
            self.assertFalse(doing.called)
            self.die_again(act, number)
            found = self.tree()
            self.assertIn(found, (before, after), f"{act.__name__}, step {number}")
            if number % 3 == 0:
                self.env.run(self.use_again())
        self.assertGreater(number, 2)

    def die_again(self, act: Act, number: int) -> None:
        """The next gateway dies too, while it tidies up."""
        steps = Steps(number % 5 + 1, die_after)
        gateway = SidecarNamespace(
            self.env, SteppingStore(self.store, steps), SteppingRecords(self.records, steps)
        )
        starting = Deferred.fromCoroutine(gateway.start())
        self.env.run(sleep(self.env, 1))
        if not steps.struck:
            self.env.run(starting)

    async def use_again(self) -> None:
        """Nothing is in the way of later changes."""
        namespace = SidecarNamespace(self.env, self.store, self.records)
        await namespace.start()
        for name in ("s", "t", "n", "o", "p"):
            await namespace.make_collection(key(f"later-{name}"), (), ALWAYS)
            try:
                await namespace.delete(key(name), ALWAYS)
            except PigpenError as error:
                assert error.status == 404, error
            await put(namespace, f"{name}/x")
        names = [str(node.key) async for node in namespace.list(key("s"), deep=True)]
        assert names == ["s/x"], names

    def test_before_any_step(self) -> None:
        """Killed before a step: old or new, whole."""
        with quiet_burial():
            for act in (move_over, put_over):  # else it is as after the step before
                self.check(act, die_before)

    def test_after_any_step(self) -> None:
        """Killed after a step."""
        with quiet_burial():
            for act in ACTS:
                self.check(act, die_after)


class FailureTests(StepCase):
    """The store fails; when it is back all is whole, and the answer was right."""

    def check(self, act: Act, fate: Fate, *, for_good: bool) -> None:
        before, after = self.outcomes(act)
        for number in itertools.count(1):
            self.reset()
            self.env.run(fill(self.gateway()))
            steps = Steps(number, fate, for_good=for_good)
            if fate is fail_records:
                gateway = self.gateway(records=SteppingRecords(self.records, steps))
            else:
                gateway = self.gateway(SteppingStore(self.store, steps, changes_only=True))
            error = self.error_of(act(gateway))
            steps.left, steps.for_good = 10**9, False  # it is well again
            if not steps.struck:
                self.assertIsNone(error)
                break
            note = f"{act.__name__}, {fate.__name__}, step {number}: {error}"
            # the first change that comes finishes what is left over
            self.env.run(gateway.make_collection(key("z"), (), ALWAYS))
            self.env.run(gateway.delete(key("z"), ALWAYS))
            found = self.env.run(look(gateway))
            self.assertIn(found, (before, after), note)
            if error is None:
                self.assertEqual(found, after, note)
            self.assertEqual(found, self.tree(), note)

    def error_of(self, work: Coroutine[Any, Any, Any]) -> PigpenError | None:
        try:
            self.env.run(work, errors_allowed=True)
        except PigpenError as error:
            return error
        return None

    def test_once(self) -> None:
        """One request fails."""
        for act, fate in itertools.product(FAILING, (find_no_store, lose_answer, answer_full)):
            self.check(act, fate, for_good=False)

    def test_for_a_while(self) -> None:
        """The store is away, or full, for some time."""
        for act, fate in itertools.product(FAILING, (find_no_store, answer_full)):
            self.check(act, fate, for_good=True)

    def test_records(self) -> None:
        """The gateway's own disk fails."""
        for act, for_good in itertools.product(FAILING, (False, True)):
            self.check(act, fail_records, for_good=for_good)

    def test_full_store(self) -> None:
        """A COPY that does not fit is 507, and nothing of it is left."""
        self.reset()
        self.env.run(fill(self.gateway()))
        before = self.tree()
        steps = Steps(2, answer_full, for_good=False)
        gateway = self.gateway(SteppingStore(self.store, steps, changes_only=True))
        self.assertIsInstance(self.error_of(copy_away(gateway)), InsufficientStorage)
        self.assertEqual(self.env.run(look(gateway)), before)


class ViewTests(StepCase):
    """What others see while a change is under way."""

    def test_all_at_once(self) -> None:
        """A new tree appears whole, and what is deleted goes whole."""
        for act in (copy_away, move_away, delete):
            self.check(act)

    def check(self, act: Act) -> None:
        before, after = self.outcomes(act)
        self.reset()
        self.env.run(fill(self.gateway()))
        seen: list[Tree] = []

        async def see(work: Callable[[], Awaitable[Any]]) -> Any:
            seen.append(await look(gateway))
            return await work()

        steps = Steps(1, see, for_good=True)
        gateway = self.gateway(
            SteppingStore(self.store, steps, changes_only=True),
            SteppingRecords(self.records, steps),
        )
        self.env.run(act(gateway))
        self.assertGreater(len(seen), 4)
        for tree in seen:
            self.assertTrue(tree in (before, after), f"{act.__name__}: {tree.keys()}")
        self.assertEqual(self.env.run(look(gateway)), after)

    def test_client_leaves(self) -> None:
        """MOVE goes on to its end when its client is gone; the gateway stops after that."""
        _, after = self.outcomes(move_over)

        async def slowly(work: Callable[[], Awaitable[Any]]) -> Any:
            await sleep(self.env, 1)
            return await work()

        self.reset()
        self.env.run(fill(self.gateway()))
        steps = Steps(1, slowly, for_good=True)
        gateway = self.gateway(
            SteppingStore(self.store, steps), SteppingRecords(self.records, steps)
        )
        moving = Deferred.fromCoroutine(move_over(gateway))
        self.env.run(sleep(self.env, 10.5))
        moving.cancel()
        self.failureResultOf(moving, CancelledError)
        self.env.run(gateway.close())
        self.assertEqual(self.tree(), after)
