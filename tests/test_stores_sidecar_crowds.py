"""Many clients of a sidecar at once: claims, and crowds that come, collide and leave."""

# mypy: allow-untyped-calls
from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from pigpen.env import sleep
from pigpen.errors import PigpenError
from pigpen.http.body import read_all
from pigpen.http.key import Key
from pigpen.http.message import Request, Response
from pigpen.http.namespace import LockWish, Namespace, Property, WriteMeta
from pigpen.stores.memory import MemoryStore
from pigpen.stores.sidecar.claims import Claims
from pigpen.stores.sidecar.namespace import SidecarNamespace
from pigpen.stores.sidecar.parallel import WIDTH, in_parallel
from pigpen.stores.sidecar.records import MemoryRecords
from pigpen.testing.namespace_case import NamespaceCase

NFC, NFD = "\u00e9", "e\u0301"


class ClaimTests(SynchronousTestCase):
    """Who has to wait for whom."""

    def setUp(self) -> None:
        self.claims = Claims()
        self.log: list[str] = []

    def hold(self, name: str, *keys: str) -> tuple[Deferred[None], Deferred[None]]:
        """:return: fires at its end, and what lets it end."""
        release: Deferred[None] = Deferred()

        async def held() -> None:
            async with self.claims.hold(map(Key.from_text, keys)):
                self.log.append(f"+{name}")
                await release
                self.log.append(f"-{name}")

        return Deferred.fromCoroutine(held()), release

    def test_strangers(self) -> None:
        """Who changes other parts of the tree does not wait."""
        for name, key in (("1", "a/b"), ("2", "a/bb"), ("3", "a/c/d"), ("4", "b")):
            self.hold(name, key)
        self.assertEqual(self.log, ["+1", "+2", "+3", "+4"])

    def test_above_and_below(self) -> None:
        """A tree waits for its members, they wait for it; first come, first served."""
        _, first = self.hold("member", "a/b/c")
        _, second = self.hold("tree", "a/b")
        self.hold("other", "a/x")
        _, third = self.hold("late", "a/b/d")
        self.assertEqual(self.log, ["+member", "+other"])
        first.callback(None)
        self.assertEqual(self.log[2:], ["-member", "+tree"])
        second.callback(None)
        self.assertEqual(self.log[4:], ["-tree", "+late"])
        third.callback(None)

    def test_several(self) -> None:
        """Two keys are held at once, so that nobody waits for each other in a circle."""
        _, first = self.hold("1", "a", "b")
        _, second = self.hold("2", "b", "a")
        self.assertEqual(self.log, ["+1"])
        first.callback(None)
        self.assertEqual(self.log, ["+1", "-1", "+2"])
        second.callback(None)

    def test_spellings(self) -> None:
        """Two spellings of a name are one claim (DAV-62)."""
        self.hold("1", f"a/{NFC}")
        self.hold("2", f"a/{NFD}/x")
        self.assertEqual(self.log, ["+1"])

    def test_root(self) -> None:
        self.hold("1", "/")
        self.hold("2", "a")
        self.assertEqual(self.log, ["+1"])

    def test_queue(self) -> None:
        """Hundreds who want the same come in turn."""
        _, release = self.hold("first", "a")
        waiting = [self.hold(str(n), "a") for n in range(600)]
        for _, follower in waiting:
            follower.callback(None)
        release.callback(None)
        self.assertEqual(self.log[2::2], [f"+{n}" for n in range(600)])

    def test_leaving(self) -> None:
        """Who leaves while waiting, or inside, lets the next one in."""
        first, _ = self.hold("1", "a")
        second, _ = self.hold("2", "a/b")
        self.hold("3", "a")
        for left in (second, first):
            left.cancel()
            self.failureResultOf(left, CancelledError)
        self.assertEqual(self.log, ["+1", "+3"])


class AbreastTests(SynchronousTestCase):
    """Many requests, a few at a time."""

    def setUp(self) -> None:
        self.under_way: dict[int, Deferred[None]] = {}
        self.most = 0

    async def work(self, number: int) -> None:
        done = self.under_way[number] = Deferred()
        self.most = max(self.most, len(self.under_way))
        try:
            await done
        finally:
            del self.under_way[number]

    def test_width(self) -> None:
        """All are done, and never more than some at once."""
        doing = Deferred.fromCoroutine(in_parallel(self.work, range(50)))
        order = []
        while self.under_way:
            number = max(self.under_way)
            order.append(number)
            self.under_way[number].callback(None)
        self.successResultOf(doing)
        self.assertEqual((sorted(order), self.most), (list(range(50)), WIDTH))

    def test_failure(self) -> None:
        """It is told when all that were under way have ended; no more are begun."""
        doing = Deferred.fromCoroutine(in_parallel(self.work, range(50)))
        self.under_way[3].errback(KeyError(3))
        self.under_way[5].errback(KeyError(5))
        self.assertEqual(sorted(self.under_way), [0, 1, 2, 4, 6, 7])
        for number in sorted(self.under_way):
            self.assertNoResult(doing)
            self.under_way[number].callback(None)
        self.assertIn(self.failureResultOf(doing, KeyError).value.args[0], (3, 5))
        self.assertEqual(self.under_way, {})

    def test_nothing(self) -> None:
        self.successResultOf(Deferred.fromCoroutine(in_parallel(self.work, [])))


class SlowStore:
    """Answers after a random time; what is cancelled before has not happened."""

    def __init__(self, case: Any, store: MemoryStore) -> None:
        self.capabilities = store.capabilities
        self._case = case
        self._store = store

    async def handle(self, request: Request) -> Response:
        await sleep(self._case.env, self._case.source.random())
        response = await self._store.handle(request)
        await sleep(self._case.env, self._case.source.random())
        return response


class CrowdTests(NamespaceCase):
    """At many seeds: every refusal is one that a client understands, and the tree is whole."""

    source: random.Random

    @staticmethod
    def make(case: Any) -> Namespace:
        case.source = random.Random(1)
        return SidecarNamespace(
            case.env, SlowStore(case, MemoryStore(case.env)), MemoryRecords(case.env)
        )

    def test_crowds(self) -> None:
        for seed in range(12):
            self.source.seed(seed)
            self.crowd(seed)
            self.check_tree(f"seed {seed}")
            self.check_at_rest()

    def crowd(self, seed: int) -> None:
        begun: list[Deferred[Any]] = []
        for _ in range(60):
            doing = self.start(self.any_call())
            begun.append(doing)
            if self.source.random() < 0.15:  # its client goes away
                self.env.clock.callLater(self.source.random() * 5, doing.cancel)
            self.wait(self.source.random() / 2)
        for doing in begun:
            try:
                self.run_now(doing)
            except CancelledError:
                pass
            except PigpenError as error:
                self.assertIn(error.status, {403, 404, 405, 409, 412, 423}, f"seed {seed}: {error}")

    def path(self) -> str:
        names = self.source.choices("abc", k=self.source.choice((1, 1, 2, 2, 3)))
        return "/".join(names)

    def any_call(self) -> Any:
        path, other = self.path(), self.path()
        calls: list[Callable[[], Any]] = [
            lambda: self.writing(path, self.slow(path.encode() * 9, self.source.random())),
            lambda: self.writing(path, path.encode(), parents=True, none_match="*"),
            lambda: self.making(path),
            lambda: self.moving(path, other),
            lambda: self.copying(path, other, overwrite=self.source.random() < 0.5),
            lambda: self.deleting(path),
            lambda: self.patching(path, Property("n:", "k", "<k/>")),
            lambda: self.locking(path, LockWish(seconds=3)),
        ]
        return self.source.choice(calls)()

    def check_tree(self, note: str) -> None:
        """Walked level by level it is what it is at once; all that is listed can be read."""
        whole = {str(node.key): node for node in self.nodes("/", deep=True)}
        walked = {}
        waiting = ["/"]
        while waiting:
            for node in self.nodes(waiting.pop()):
                walked[str(node.key)] = node
                if node.is_collection:
                    waiting.append(str(node.key))
                else:
                    found, data = self.run_now(self.reading_version(str(node.key)))
                    self.assertEqual((found.etag, len(data)), (node.etag, node.length), note)
        self.assertEqual(walked, whole, note)

    def check_at_rest(self) -> None:
        """No job is left, and nobody waits: the next change goes through at once."""
        namespace: Any = self.namespace
        self.assertEqual(namespace._tree.jobs.left(), [])
        self.wait(10)  # until locks end
        for top in self.names():
            self.run_now(self.deleting(top))
        self.assertEqual((self.names(), namespace._owned), ([], set()))

    def test_left_at_any_wait(self) -> None:
        """A client that leaves at any moment of a change leaves a tree that works."""

        async def listed() -> None:
            async with aclosing(self.namespace.list(Key((), True))) as nodes:
                async for _ in nodes:
                    pass

        async def opened() -> None:
            reading = await self.namespace.open(Key.from_text("d/a"))
            await read_all(await reading.body(1, 2), 100)

        calls: tuple[Callable[[], Any], ...] = (
            lambda: self.writing("d/a", b"new data"),
            lambda: self.writing("d/new", b"new data", WriteMeta(length=8)),
            lambda: self.making("d/c"),
            lambda: self.patching("d/a", Property("n:", "k", "<k/>")),
            lambda: self.locking("d/free", LockWish(seconds=1)),
            lambda: self.moving("d", "e"),
            lambda: self.deleting("d"),
            listed,
            opened,
        )
        for number, call in enumerate(calls):
            for seconds in (0.1, 0.6, 1.1, 1.6, 2.1, 2.6, 3.6):
                self.make_collection("d")
                self.write("d/a", b"old data")
                doing = self.start(call())
                self.wait(seconds)
                doing.cancel()
                done: list[Any] = []
                doing.addBoth(done.append)  # type: ignore[unused-awaitable]
                self.wait(30)
                self.check_tree(f"call {number} after {seconds} s")
                self.check_at_rest()
