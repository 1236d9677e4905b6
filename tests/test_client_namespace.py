"""The remote namespace: the cloud as a tree of files, over the coordinator's API."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from pigpen.client.namespace import RemoteNamespace
from pigpen.client.session import Session
from pigpen.env import sleep
from pigpen.errors import (
    BodyAborted,
    Conflict,
    ConnectFailed,
    DigestMismatch,
    Forbidden,
    InsufficientStorage,
    LockConflict,
    Locked,
    MethodNotAllowed,
    NotFound,
    OutcomeUnknown,
    PigpenError,
    PreconditionFailed,
    QuotaExceeded,
    ShortBody,
    Unauthorized,
    Unavailable,
    WrongLock,
)
from pigpen.host.host import Host
from pigpen.host.settings import HostSettings
from pigpen.http.body import Body, BytesBody, StreamBody, read_all
from pigpen.http.conditions import Conditions
from pigpen.http.if_header import parse_if
from pigpen.http.key import Key
from pigpen.http.namespace import LockWish, Property, Quota, Want, When, WriteMeta, Written
from pigpen.web.client import HttpClient
from tests.cloud_kit import COORDINATOR, MIB, Cloud, HeldBody, Node

T = TypeVar("T")

BIG = bytes(range(256)) * 1000
NEW = When(conditions=Conditions(if_none_match=("*",)))
ROOT = Key((), True)
PLAIN = When(loose=True, parents=False)


def k(text: str) -> Key:
    return Key.from_text(text)


class RemoteCase(SynchronousTestCase):
    #: "": none
    host = "h1"

    def setUp(self) -> None:
        self.cloud = Cloud()
        self.addCleanup(self.cloud.close)
        if self.host:
            self.cloud.start_host(self.host)
        self.run_ = self.cloud.run
        self.remote = self.make()

    def make(self, key: str | None = None, **options: Any) -> RemoteNamespace:
        session = Session(self.cloud.user, self.cloud.client, COORDINATOR, key or self.cloud.key)
        return RemoteNamespace(session, **options)

    def write(
        self, key: str, body: bytes | Body, meta: WriteMeta | None = None, when: When = PLAIN
    ) -> Written:
        body = BytesBody(body) if isinstance(body, bytes) else body
        meta = WriteMeta() if meta is None else meta
        return self.run_(self.remote.write(k(key), body, meta, when))

    def read(self, key: str, first: int = 0, length: int | None = None) -> bytes:
        async def reading() -> bytes:
            opened = await self.remote.open(k(key))
            size = opened.node.length - first if length is None else length
            return await read_all(await opened.body(first, size), 4 * MIB)

        return self.run_(reading())

    def names(self, key: Key = ROOT, **options: Any) -> list[str]:
        async def listing() -> list[str]:
            return [str(one.key) async for one in self.remote.list(key, **options)]

        return self.run_(listing())

    def refused(self, kind: type[PigpenError], work: Any) -> Any:
        return self.assertRaises(kind, self.run_, work)


class FileTests(RemoteCase):
    def test_small_and_large(self) -> None:
        """What is written is read back, with what a file server must know of it."""
        for name, data in (("small", b"hello"), ("large", BIG), ("empty", b"")):
            written = self.write(name, data, WriteMeta(content_type="text/x"))
            self.assertTrue(written.created)
            self.assertEqual(self.read(name), data)
            node = self.run_(self.remote.stat(k(name)))
            self.assertEqual(node.length, len(data))
            self.assertEqual(node.sha256, hashlib.sha256(data).digest())
            self.assertEqual(node.content_type, "text/x")
            self.assertIsNotNone(node.created)
            for one in (written.node, self.run_(self.remote.open(k(name))).node):
                self.assertEqual(
                    (one.etag, one.modified, one.length, one.sha256),
                    (node.etag, node.modified, node.length, node.sha256),
                )
            self.assertFalse(self.write(name, data + b"more").created)

    def test_ranges(self) -> None:
        self.write("small", b"hello")
        self.write("large", BIG)
        self.assertEqual(self.read("small", 1, 3), b"ell")
        self.assertEqual(self.read("large", 70_000, 100), BIG[70_000:70_100])
        self.assertEqual(self.read("large", 255_999), BIG[-1:])

    def test_locations(self) -> None:
        """A reader can be sent to a host; a small object comes only from here."""
        self.write("small", b"hello")
        self.write("large", BIG)
        self.assertEqual(self.run_(self.remote.open(k("small"))).locations, ())
        [location] = self.run_(self.remote.open(k("large"))).locations
        self.assertEqual(self.cloud.ask("GET", location, key="").data, BIG)

    def test_times(self) -> None:
        """A time that the writer sets is kept to the millisecond, before 1970 too."""
        for name, data in (("a", b"x"), ("b", BIG)):
            for time in (1_234_567_890_123, -5_001):
                self.write(name, data, WriteMeta(modified=time))
                self.assertEqual(self.run_(self.remote.stat(k(name))).modified, time)
                self.assertEqual(self.run_(self.remote.open(k(name))).node.modified, time)

    def test_digest(self) -> None:
        """Bytes other than announced are refused, and nothing is stored."""
        for data in (b"x", BIG):
            wrong = WriteMeta(sha256=b"\0" * 32)
            self.assertRaises(DigestMismatch, self.write, "a", data, wrong)
            self.refused(NotFound, self.remote.stat(k("a")))

    def test_unicode(self) -> None:
        """Both spellings of ü are one name; the stored one is told."""
        self.write("u\u0308", b"1")
        self.assertFalse(self.write("\u00fc", b"2").created)
        self.assertEqual(self.names(), ["u\u0308"])
        node = self.run_(self.remote.stat(k("\u00fc")))
        self.assertEqual(node.key, k("u\u0308"))
        self.assertEqual(self.run_(self.remote.open(k("\u00fc"))).node.key, k("u\u0308"))

    def test_missing(self) -> None:
        self.refused(NotFound, self.remote.stat(k("a")))
        self.refused(NotFound, self.remote.open(k("a")))
        self.refused(NotFound, self.remote.delete(k("a"), PLAIN))
        self.assertRaises(NotFound, self.names, k("a"))

    def test_collections(self) -> None:
        self.run_(self.remote.make_collection(k("c/"), (), PLAIN))
        self.refused(MethodNotAllowed, self.remote.make_collection(k("c"), (), PLAIN))
        self.refused(MethodNotAllowed, self.remote.open(k("c")))
        self.assertRaises(MethodNotAllowed, self.write, "c", b"x")
        self.assertRaises(Conflict, self.write, "no/a", b"x")
        self.write("c/a", b"x")
        self.assertEqual(self.run_(self.remote.stat(k("c"))).key, k("c/"))
        self.assertRaises(NotFound, self.names, k("c/a"))
        self.assertEqual(self.names(deep=True), ["c/", "c/a"])
        self.assertEqual(self.names(k("c")), ["c/a"])
        self.assertEqual(self.names(k("c"), after="a"), [])

    def test_conditions(self) -> None:
        """A file that must be new is never written over, small or large."""
        for data in (b"x", BIG):
            self.write("a", data, when=NEW)
            self.assertRaises(PreconditionFailed, self.write, "a", data, when=NEW)
            self.run_(self.remote.delete(k("a"), PLAIN))

    def test_copy_and_move(self) -> None:
        self.write("a", b"1")
        copy, move = self.remote.copy, self.remote.move
        self.assertTrue(self.run_(copy(k("a"), k("b"), deep=True, overwrite=False, when=PLAIN)))
        self.assertFalse(self.run_(move(k("b"), k("a"), overwrite=True, when=PLAIN)))
        self.assertEqual(self.names(), ["a"])
        self.refused(
            PreconditionFailed, copy(k("a"), k("a2"), deep=True, overwrite=False, when=PLAIN)
        ) if self.write("a2", b"2") else None
        self.refused(Forbidden, move(k("a"), k("a"), overwrite=True, when=PLAIN))
        self.refused(NotFound, move(k("x"), k("y"), overwrite=True, when=PLAIN))

    def test_quota(self) -> None:
        """A full account says so, before a byte of a large file is asked for."""
        self.write("a", b"12345")
        self.assertEqual(self.run_(self.remote.quota(ROOT)), Quota(5, 1000 * MIB))
        self.cloud.set_quota(1000)
        self.assertEqual(self.run_(self.remote.quota(ROOT)), Quota(5, 995))
        body = HeldBody(BIG, length=len(BIG))
        self.assertRaises(QuotaExceeded, self.write, "b", body)
        self.assertFalse(body.asked)


class PropertyTests(RemoteCase):
    def test_properties(self) -> None:
        """Properties are set all or nothing, with the time, and told as they are wanted."""
        self.write("a", b"x")
        first = Property("n:", "k", '<k xmlns="n:">1</k>')
        change = self.remote.change_properties
        self.run_(change(k("a"), (first,), PLAIN, modified=5000))
        node = self.run_(self.remote.stat(k("a"), Want(properties=True)))
        self.assertEqual((node.properties, node.modified, node.locks), ((first,), 5000, None))
        node = self.run_(self.remote.stat(k("a"), Want(names=True, locks=True)))
        self.assertEqual(node.properties, (Property("n:", "k"),))
        self.assertEqual(node.locks, ())
        self.run_(change(k("a"), (Property("n:", "k"),), PLAIN))
        node = self.run_(self.remote.stat(k("a"), Want(properties=True)))
        self.assertEqual(node.properties, ())
        self.refused(NotFound, change(k("b"), (first,), PLAIN))

    def test_collection(self) -> None:
        wanted = Property("", "k", "<k/>")
        self.run_(self.remote.make_collection(k("c"), (wanted,), PLAIN))

        async def listing() -> list[Any]:
            return [one.properties async for one in self.remote.list(ROOT, want=Want(True))]

        self.assertEqual(self.run_(listing()), [(wanted,)])


class LockTests(RemoteCase):
    def when(self, principal: str = "bob", field: str = "") -> When:
        # a key that is not ours has no path
        parsed = parse_if(field) if field else None
        if parsed is not None:
            parsed = parsed.map_tags(lambda tag: tag if tag.startswith("/") else "")
        return When(if_field=parsed, principal=principal, parents=False)

    def test_life(self) -> None:
        """A lock keeps others out until its user ends it, and its token lets the user in."""
        self.write("a", b"x")
        wish = LockWish(infinite=False, owner="<o/>", seconds=100)
        lock, made = self.run_(self.remote.lock(k("a"), wish, self.when()))
        self.assertEqual(
            (lock.root, lock.principal, lock.owner, made), (k("a"), "bob", "<o/>", False)
        )
        self.assertEqual(self.run_(self.remote.stat(k("a"), Want(locks=True))).locks, (lock,))
        error = self.assertRaises(Locked, self.write, "a", b"y", when=self.when())
        self.assertEqual(error.facts["roots"], (k("a"),))
        self.assertIn("lock token", error.message)
        error = self.refused(LockConflict, self.remote.lock(k("a"), wish, self.when()))
        self.assertEqual(error.facts["roots"], (k("a"),))
        mine = self.when(field=f"(<{lock.token}>)")
        self.write("a", b"y", when=mine)
        self.assertRaises(Locked, self.write, "a", b"y", when=self.when("eve", f"(<{lock.token}>)"))
        renewed = self.run_(self.remote.refresh(k("a"), 3000, mine))
        self.assertEqual(renewed.token, lock.token)
        self.assertGreater(renewed.expires, lock.expires)
        self.refused(PreconditionFailed, self.remote.refresh(k("a"), 3000, self.when()))
        self.refused(Forbidden, self.remote.unlock(k("a"), lock.token, self.when("eve")))
        self.refused(WrongLock, self.remote.unlock(k("a"), "urn:uuid:no", self.when()))
        self.run_(self.remote.unlock(k("a"), lock.token, self.when()))
        self.write("a", b"z", when=self.when())

    def test_free_name(self) -> None:
        lock, made = self.run_(self.remote.lock(k("new"), LockWish(), self.when("J\u00f6rg %")))
        self.assertTrue(made)
        self.assertEqual(lock.principal, "J\u00f6rg %")
        self.assertEqual(self.read("new"), b"")

    def test_tags(self) -> None:
        """Tags name keys wherever the gateway lies; what is not ours never matches."""
        self.write("a b", b"x")
        lock, _ = self.run_(self.remote.lock(k("a b"), LockWish(), self.when()))
        self.write("c", b"1", when=self.when(field=f"</a%20b> (<{lock.token}>)"))
        no = self.when(field=f"<http://elsewhere/a%20b> (<{lock.token}>)")
        self.assertRaises(PreconditionFailed, self.write, "c", b"1", when=no)
        self.refused(PreconditionFailed, self.remote.check(k("c"), no))
        self.run_(self.remote.check(k("c"), self.when()))
        free = self.when(field="(Not <DAV:no-lock>)")
        self.run_(self.remote.check(k("nothing"), free))
        self.refused(PreconditionFailed, self.remote.check(k("nothing"), no))


class EarlyTests(RemoteCase):
    def test_before_the_body(self) -> None:
        """What can be refused is refused before the client sends its body, whatever its length."""
        self.run_(self.remote.make_collection(k("c"), (), PLAIN))
        for length in (5, 0, len(BIG), None):
            for key, kind in (("c", MethodNotAllowed), ("x/y", Conflict)):
                body = HeldBody(b"x" * (length or 5), length=length)
                self.assertRaises(kind, self.write, key, body)
                self.assertFalse(body.asked)
            body = HeldBody(b"x" * (5 if length is None else length), length=length)
            self.write(f"good{length}", body)
            self.assertTrue(body.asked or not length)

    def test_announced(self) -> None:
        """Finder says in a field of its own how long its chunks will be."""
        for data in (b"hello", BIG):
            body = StreamBody(chunked(data))
            self.write("a", body, WriteMeta(length=len(data)))
            self.assertEqual(self.read("a"), data)
            short = StreamBody(chunked(data[:-1]))
            self.assertRaises(ShortBody, self.write, "a", short, WriteMeta(length=len(data)))
            self.assertEqual(self.read("a"), data)

    def test_cut(self) -> None:
        """A body that ends early leaves the old version, and gives back its room at once."""
        self.write("a", b"old")
        for good in (10, 100_000):
            body = StreamBody(failing(good), 200_000)
            self.assertRaises(BodyAborted, self.write, "a", body)
            self.assertEqual(self.read("a"), b"old")
        self.cloud.world.settle()
        account = self.run_(self.remote._session.account())
        self.assertEqual((account.used, account.reserved), (3, 0))

    def test_cancelled(self) -> None:
        """So does one whose client went away."""
        begun = Deferred[None]()
        body = StreamBody(stuck(begun), 200_000)
        write = Deferred.fromCoroutine(self.remote.write(k("a"), body, WriteMeta(), PLAIN))
        self.run_(waiting(begun))
        write.cancel()
        self.cloud.world.settle()
        self.failureResultOf(write)
        self.refused(NotFound, self.remote.stat(k("a")))
        self.assertEqual(self.run_(self.remote._session.account()).reserved, 0)


class FaultTests(RemoteCase):
    def test_coordinator_gone(self) -> None:
        """Without an answer nothing is said to be missing."""
        self.write("a", b"x")
        self.run_(self.cloud.nodes["coordinator"].stop())
        self.refused(ConnectFailed, self.remote.stat(k("a")))
        self.assertRaises(ConnectFailed, self.names)

    def test_host_gone(self) -> None:
        """A file whose host is away cannot be read now; it is neither missing nor cut."""
        self.write("a", BIG)
        self.run_(self.cloud.nodes["h1"].stop())
        self.assertRaises(Unavailable, self.read, "a")
        self.cloud.world.nodes["h1"].boot()

    def test_host_killed(self) -> None:
        """A host that is killed in an upload and comes back gets the rest; no byte is lost."""

        async def chunks() -> AsyncGenerator[bytes, None]:
            for n in range(20):
                if n == 10:
                    self.cloud.nodes["h1"].env.boot()
                    restarted.append(Deferred.fromCoroutine(self.restart_host()))
                await sleep(self.cloud.user, 0.1)
                yield bytes([n]) * 100_000

        restarted: list[Deferred[None]] = []
        self.write("a", StreamBody(chunks(), 2_000_000))
        self.run_(waiting(restarted[0]))
        self.assertEqual(self.read("a"), b"".join(bytes([n]) * 100_000 for n in range(20)))

    async def restart_host(self) -> None:
        env = self.cloud.world.nodes["h1"]
        client = HttpClient(env)
        settings = HostSettings(
            folder="pool", coordinator=COORDINATOR, target_size=1000 * MIB, floor=0,
            addresses=["http://h1:2575"],
        )  # fmt: skip
        node = Node(env, Host(env, client, settings), client, 2575)
        self.cloud.nodes["h1"] = node
        await node.start()
        await node.part.when_online()

    def test_full_hosts(self) -> None:
        """A cloud without room says so, before a byte is asked for."""
        body = HeldBody(length=2000 * MIB)
        error = self.assertRaises(InsufficientStorage, self.write, "a", body)
        self.assertEqual(error.code, "no-room")
        self.assertFalse(body.asked)

    def test_keys(self) -> None:
        """Our own key's end is no fault of who asks; a key that was passed on is."""
        self.refused(Unavailable, self.make("pp_wrong").stat(ROOT))
        self.refused(Unauthorized, self.make("pp_wrong", own_key=False).stat(ROOT))


class WithoutHostTests(RemoteCase):
    host = ""

    def test_no_hosts(self) -> None:
        body = HeldBody(BIG, length=len(BIG))
        error = self.assertRaises(Unavailable, self.write, "a", body)
        self.assertEqual(error.code, "no-host")
        self.assertFalse(body.asked)

    def test_durable_but_not_visible(self) -> None:
        """What a host has while its receipt is on its way is waited for, and then known."""
        host = self.cloud.start_fake_host("h2")
        host.says = 202
        begun = Deferred.fromCoroutine(
            self.remote.write(k("a"), BytesBody(BIG), WriteMeta(), PLAIN)
        )
        self.cloud.world.clock.advance(5)
        [put] = [one for one in host.expected.values() if one.method == "PUT"]
        self.assertNoResult(begun)
        self.run_(host.receipt(put))
        self.assertTrue(self.run_(waiting(begun)).created)

    def test_outcome_unknown(self) -> None:
        """If it does not come in a minute, nobody is told that it failed, nor that it is stored."""
        self.cloud.start_fake_host("h2").says = 202
        error = self.assertRaises(OutcomeUnknown, self.write, "a", BIG)
        self.assertEqual(error.status, 504)


async def chunked(data: bytes) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(data), 1000):
        yield data[start : start + 1000]


async def failing(good: int) -> AsyncGenerator[bytes, None]:
    for _ in range(0, good, 10):
        yield b"x" * 10
    raise BodyAborted(received=good, reason="the client went away")


async def stuck(begun: Deferred[None]) -> AsyncGenerator[bytes, None]:
    yield b"x" * 100_000
    begun.callback(None)
    await Deferred[None]()


async def waiting(begun: Deferred[T]) -> T:
    return await begun
