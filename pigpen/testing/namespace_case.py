"""What the tests of `namespace_contract` are made of: a world, a namespace, calls in one line."""

# mypy: allow-untyped-calls
from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from pigpen.env import Env, sleep
from pigpen.errors import BodyAborted, NotFound, PigpenError
from pigpen.http.body import Body, BytesBody, StreamBody, read_all
from pigpen.http.conditions import Conditions
from pigpen.http.if_header import parse_if
from pigpen.http.key import Key
from pigpen.http.namespace import (
    NOTHING,
    Ability,
    Lock,
    LockWish,
    Namespace,
    Node,
    Property,
    Want,
    When,
    WriteMeta,
    Written,
)
from pigpen.testing.world import World

T = TypeVar("T")
E = TypeVar("E", bound=PigpenError)

MIB = 1024 * 1024


class AskedBody(BytesBody):
    """A body whose sender waits to be asked; ``asked``: whether it was."""

    held_back = True

    def __init__(self, data: bytes = b"data", on_ask: Callable[[], object] | None = None) -> None:
        super().__init__(data)
        self.asked = False
        self._on_ask = on_ask

    async def __anext__(self) -> bytes:
        if not self.asked and self._on_ask is not None:
            self._on_ask()
        self.asked = True
        return await super().__anext__()


class NamespaceCase(SynchronousTestCase):
    """``make(case)`` gives an empty namespace, or an awaitable of one. It may use `world` and
    `env`, or put its own in their place; `at_end` takes what closes it. Two users share the tree:
    `principal` by `namespace`, `other` by `other_namespace`, which is the same if it is not set.
    """

    make: Callable[[Any], Any]
    namespace: Namespace
    principal = "ann"
    other = "bob"
    #: of the world that `make` finds
    seed = 1
    #: how many members a listing under change has
    many = 300

    def setUp(self) -> None:
        self.world = World(self.seed)
        self.env: Env = self.world.node("near")
        self.other_namespace: Namespace | None = None
        self._endings: list[Callable[[], Any]] = []
        made = type(self).make(self)
        self.namespace = self.run_now(made) if inspect.isawaitable(made) else made

    def tearDown(self) -> None:
        for ending in reversed(self._endings):
            result = ending()
            if inspect.isawaitable(result):
                self.run_now(result)
        self.world.settle(1)
        self.world.assert_clean(collect=False)

    def at_end(self, ending: Callable[[], Any]) -> None:
        """:param ending: a function or coroutine function that closes what `make` opened."""
        self._endings.append(ending)

    def run_now(self, work: Awaitable[T]) -> T:
        """Let time pass until it is done."""
        return self.world.run(_awaited(work))

    def need(self, *abilities: Ability) -> None:
        """Leave a test out that this namespace does not claim to pass."""
        if not set(abilities) <= self.namespace.abilities:
            raise SkipTest(f"it has no {', '.join(ability.value for ability in abilities)}")

    # -- terms ------------------------------------------------------------------------------------

    def when(
        self,
        *,
        If: str | None = None,
        match: str | None = None,
        none_match: str | None = None,
        unmodified: int | None = None,
        **more: Any,
    ) -> When:
        """Terms as a WebDAV face has them. :param If: the field; tags are paths of keys."""
        return When(
            Conditions(
                if_match=None if match is None else (match,),
                if_none_match=None if none_match is None else (none_match,),
                if_unmodified_since=unmodified,
            ),
            None if If is None else parse_if(If),
            **{"principal": self.principal, "parents": False, **more},
        )

    # -- calls ------------------------------------------------------------------------------------

    def start(self, work: Coroutine[Any, Any, T]) -> Deferred[T]:
        """Begin; `run_now` or `outcome` hears how it ended."""
        return Deferred.fromCoroutine(work)

    def outcome(self, begun: Deferred[T]) -> T | PigpenError:
        """The result, or the refusal."""
        try:
            return self.run_now(begun)
        except PigpenError as error:
            return error

    def outcomes(self, *works: Coroutine[Any, Any, Any]) -> list[Any]:
        """Begin all at once, and wait for all."""
        return [self.outcome(begun) for begun in [self.start(work) for work in works]]

    def refused(self, kind: type[E], work: Coroutine[Any, Any, Any]) -> E:
        """:return: the refusal, which must be of this kind."""
        try:
            result = self.run_now(work)
        except kind as error:
            return error
        raise self.failureException(f"{result!r} instead of {kind.__name__}")

    def writing(
        self,
        key: str,
        data: bytes | Body = b"data",
        meta: WriteMeta | None = None,
        when: When | None = None,
        **terms: Any,
    ) -> Coroutine[Any, Any, Written]:
        body = BytesBody(data) if isinstance(data, bytes) else data
        terms_now = self.when(**terms) if when is None else when
        return self.namespace.write(
            Key.from_text(key), body, WriteMeta() if meta is None else meta, terms_now
        )

    def write(self, key: str, data: bytes | Body = b"data", **more: Any) -> Written:
        return self.run_now(self.writing(key, data, **more))

    def making(self, key: str, *properties: Property, **terms: Any) -> Coroutine[Any, Any, None]:
        return self.namespace.make_collection(Key.from_text(key), properties, self.when(**terms))

    def make_collection(self, *keys: str) -> None:
        for key in keys:
            self.run_now(self.making(key))

    def stat(self, key: str, want: Want = NOTHING) -> Node:
        return self.run_now(self.namespace.stat(Key.from_text(key), want))

    def is_there(self, key: str) -> bool:
        try:
            self.stat(key)
        except NotFound:
            return False
        return True

    def read(self, key: str) -> bytes:
        return self.run_now(self.reading(key))

    async def reading(self, key: str) -> bytes:
        return (await self.reading_version(key))[1]

    async def reading_version(self, key: str) -> tuple[Node, bytes]:
        reading = await self.namespace.open(Key.from_text(key))
        body = await reading.body(0, reading.node.length)
        return reading.node, await read_all(body, 64 * MIB)

    async def listing(self, key: str, **options: Any) -> list[Node]:
        async with aclosing(self.namespace.list(Key.from_text(key), **options)) as nodes:
            return [node async for node in nodes]

    def nodes(self, key: str, **options: Any) -> Any:
        return self.run_now(self.listing(key, **options))

    def names(self, key: str = "/", **options: Any) -> Any:
        """The relative names of a listing; a collection's ends in a slash."""
        depth = len(Key.from_text(key).names)
        return [str(Key(node.key.names[depth:], node.key.collection))
                for node in self.nodes(key, **options)]  # fmt: skip

    def deleting(self, key: str, **terms: Any) -> Coroutine[Any, Any, None]:
        return self.namespace.delete(Key.from_text(key), self.when(**terms))

    def copying(
        self, source: str, target: str, *, deep: bool = True, overwrite: bool = True, **terms: Any
    ) -> Coroutine[Any, Any, bool]:
        keys = Key.from_text(source), Key.from_text(target)
        return self.namespace.copy(*keys, deep=deep, overwrite=overwrite, when=self.when(**terms))

    def moving(
        self, source: str, target: str, *, overwrite: bool = True, **terms: Any
    ) -> Coroutine[Any, Any, bool]:
        keys = Key.from_text(source), Key.from_text(target)
        return self.namespace.move(*keys, overwrite=overwrite, when=self.when(**terms))

    def patching(
        self, key: str, *changes: Property, modified: int | None = None, **terms: Any
    ) -> Coroutine[Any, Any, None]:
        return self.namespace.change_properties(
            Key.from_text(key), changes, self.when(**terms), modified
        )

    def properties(self, key: str) -> dict[tuple[str, str], str | None]:
        found = self.stat(key, Want(properties=True)).properties
        assert found is not None
        return {(one.namespace, one.name): one.value for one in found}

    def locking(
        self, key: str, wish: LockWish | None = None, **terms: Any
    ) -> Coroutine[Any, Any, tuple[Lock, bool]]:
        self.need(Ability.LOCKS)
        return self.namespace.lock(
            Key.from_text(key), LockWish() if wish is None else wish, self.when(**terms)
        )

    def lock(self, key: str, **wish: Any) -> Lock:
        return self.run_now(self.locking(key, LockWish(**wish)))[0]

    def locks(self, key: str) -> list[Lock]:
        found = self.stat(key, Want(locks=True)).locks
        assert found is not None
        return [*found]

    def as_other(self) -> Namespace:
        """The namespace of the other user; give `when` its ``principal`` too."""
        return self.namespace if self.other_namespace is None else self.other_namespace

    # -- bodies, time -----------------------------------------------------------------------------

    def slow(self, data: bytes, seconds: float = 1, parts: int = 4) -> StreamBody:
        """A body that comes in some parts, one each so many seconds."""

        async def chunks() -> AsyncGenerator[bytes, None]:
            size = -(-len(data) // parts)
            for start in range(0, len(data), size):
                await sleep(self.env, seconds)
                yield data[start : start + size]

        return StreamBody(chunks(), len(data))

    def cut(self, data: bytes) -> StreamBody:
        """A body of twice the length whose sender goes away half way."""

        async def chunks() -> AsyncGenerator[bytes, None]:
            yield data
            await sleep(self.env, 1)
            raise BodyAborted(received=len(data), reason="the client is gone")

        return StreamBody(chunks(), 2 * len(data))

    def wait(self, seconds: float) -> None:
        self.run_now(sleep(self.env, seconds))


async def _awaited(work: Awaitable[T]) -> T:
    return await work
