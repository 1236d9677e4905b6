"""The catalog as a namespace: who comes in, early verdicts, bytes to and from scripted hosts."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import Any, ClassVar, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from pigpen.coordinator.catalog_namespace import rules
from pigpen.coordinator.coordinator import Coordinator
from pigpen.coordinator.settings import CoordinatorSettings
from pigpen.errors import (
    BodyAborted,
    DigestMismatch,
    Forbidden,
    Locked,
    MethodNotAllowed,
    NoHost,
    NoReplica,
    NotFound,
    OutcomeUnknown,
    PreconditionFailed,
    QuotaExceeded,
    ShortBody,
    TooManyRequests,
    Unauthorized,
    Unavailable,
)
from pigpen.http import wire
from pigpen.http.answers import BASIC, json_answer
from pigpen.http.body import Body, BytesBody, StreamBody, read_all
from pigpen.http.conditions import Conditions
from pigpen.http.key import Key
from pigpen.http.message import Headers, Request, Response
from pigpen.http.namespace import (
    Ability,
    LockWish,
    Namespace,
    Node,
    Want,
    When,
    WriteMeta,
    Written,
)
from pigpen.web.client import HttpClient
from tests.cloud_kit import MIB, Cloud, FakeHost, HeldBody

T = TypeVar("T")

BIG = b"0123456789" * 1000
X = Key(("x",))
ROOT = Key((), True)
#: as the WebDAV face makes it
WHEN = When(principal="ann", loose=True, parents=False)


async def chunks(data: bytes, size: int = 1000) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def basic(login: str, key: str) -> str:
    return "Basic " + base64.b64encode(f"{login}:{key}".encode()).decode()


class FaceCase(SynchronousTestCase):
    settings: ClassVar[dict[str, Any]] = {}

    def setUp(self) -> None:
        self.cloud = Cloud(**self.settings)
        self.addCleanup(self.cloud.close)

    def run_(self, work: Coroutine[Any, Any, T]) -> T:
        return self.cloud.run(work)

    def request(self, authorization: str | None = None, **fields: str) -> Request:
        value = basic("ann", self.cloud.key) if authorization is None else authorization
        headers = Headers({name.replace("_", "-"): text for name, text in fields.items()})
        headers["Authorization"] = value
        return Request("PROPFIND", Key(("dav",), True), headers=headers)

    def namespace(self, authorization: str | None = None) -> Namespace:
        admission = self.cloud.coordinator.admission
        return self.run_(admission.admit(self.request(authorization))).namespace

    def write(self, body: Body | bytes, key: Key = X, when: When = WHEN, **meta: Any) -> Written:
        data = BytesBody(body) if isinstance(body, bytes) else body
        return self.run_(self.namespace().write(key, data, WriteMeta(**meta), when))

    def read(self, offset: int = 0, length: int | None = None) -> bytes:
        async def bytes_of() -> bytes:
            reading = await self.namespace().open(X)
            whole = reading.node.length
            return await read_all(await reading.body(offset, length or whole), MIB)

        return self.run_(bytes_of())

    def names(self, key: Key = ROOT, **options: Any) -> list[str]:
        async def listed() -> list[str]:
            async with aclosing(self.namespace().list(key, **options)) as members:
                return [str(node.key) async for node in members]

        return self.run_(listed())


class AdmissionTests(FaceCase):
    def refused(self, kind: type[Exception], authorization: str, **fields: str) -> None:
        request = self.request(authorization, **fields)
        admission = self.cloud.coordinator.admission
        self.assertRaises(kind, self.run_, admission.admit(request))

    def test_let_in(self) -> None:
        """A login and its key, or the key alone; the user is the account."""
        for value in (basic("ann", self.cloud.key), f"Bearer {self.cloud.key}"):
            admission = self.cloud.coordinator.admission
            visit = self.run_(admission.admit(self.request(value)))
            self.assertEqual(visit.principal, "ann")

    def test_refused(self) -> None:
        """Nothing, nonsense, another's login, a wrong key."""
        other = self.run_(self.cloud.coordinator.make_account("bob"))
        for value in ("", "Basic x", basic("bob", self.cloud.key), basic("ann", other)):
            self.refused(Unauthorized, value)
        self.refused(Unauthorized, f"Bearer {self.cloud.key[:-1]}!")
        request = self.request()
        del request.headers["Authorization"]
        error = self.assertRaises(
            Unauthorized, self.run_, self.cloud.coordinator.admission.admit(request)
        )
        # WebDAV clients know no Bearer
        self.assertEqual(error.facts["challenges"], (BASIC,))

    def test_throttled(self) -> None:
        """Guessing ends in 429."""
        wrong = self.cloud.ask("POST", "/account/keys").json(wire.MadeKey)
        self.cloud.ask("DELETE", f"/account/keys/{wrong.id}")
        for _ in range(11):
            self.refused(Unauthorized, f"Bearer {wrong.key}")
        self.refused(TooManyRequests, f"Bearer {wrong.key}")

    def test_nonsense_is_counted(self) -> None:
        """Who sends what can be no key is slowed down too, also when others have come before."""
        self.namespace()
        for _ in range(11):
            self.refused(Unauthorized, "Basic x")
        self.refused(TooManyRequests, "Basic x")

    def test_known(self) -> None:
        """Who came a moment ago costs no look at the catalog, and still nothing is done with a key
        that was revoked meanwhile."""
        made = self.cloud.ask("POST", "/account/keys").json(wire.MadeKey)
        value = basic("ann", made.key)
        self.namespace(value)
        self.cloud.ask("DELETE", f"/account/keys/{made.id}")
        namespace = self.namespace(value)
        self.assertRaises(Unauthorized, self.run_, namespace.stat(Key((), True)))
        written = namespace.write(X, BytesBody(b"1"), WriteMeta(), WHEN)
        self.assertRaises(Unauthorized, self.run_, written)
        self.cloud.world.settle(11)
        self.refused(Unauthorized, value)

    def test_foreign_page(self) -> None:
        """A page of another server changes nothing with a login that a browser remembers."""
        value = basic("ann", self.cloud.key)
        self.refused(Forbidden, value, Origin="http://evil.example", Host="cloud:2573")

    def test_not_running(self) -> None:
        """Before the start and after the stop: later."""
        env = self.cloud.world.node("other")
        idle = Coordinator(env, HttpClient(env), CoordinatorSettings(folder="c"))
        self.assertRaises(Unavailable, self.run_, idle.admission.admit(self.request()))

    def test_mounted(self) -> None:
        """What is mounted beside the API is served; the API stays."""

        class Face:
            async def handle(self, request: Request) -> Response:
                return json_answer(200, str(request.key))

        self.run_(self.cloud.coordinator.stop())
        self.cloud.coordinator.mount("/", Face())
        self.run_(self.cloud.coordinator.start())
        self.assertEqual(self.cloud.ask("PROPFIND", "/dav/x").json(str), "dav/x")
        self.assertEqual(self.cloud.ask("GET", "/account").json(wire.Account).login, "ann")


class SmallTests(FaceCase):
    def test_stored(self) -> None:
        """A small body is in the catalog when its write returns, with all that is known of it."""
        written = self.write(b"one", content_type="a/b", modified=1500)
        self.assertTrue(written.created)
        node = written.node
        self.assertEqual((node.key, node.length, node.content_type), (X, 3, "a/b"))
        self.assertEqual((node.modified, node.sha256), (1500, hashlib.sha256(b"one").digest()))
        self.assertFalse(self.write(b"two").created)
        self.assertEqual((self.read(), self.read(1, 1)), (b"two", b"w"))
        self.assertEqual(self.run_(self.namespace().stat(X)).length, 3)
        self.assertEqual(self.cloud.metric('pigpen_commits_total{outcome="committed"}'), 2)

    def test_unknown_length(self) -> None:
        """A small body of unknown length needs no host."""
        self.assertTrue(self.write(StreamBody(chunks(b"1234"))).created)
        self.assertRaises(ShortBody, self.write, StreamBody(chunks(b"1234")), length=5)
        self.assertEqual(self.read(), b"1234")

    def test_early_verdict(self) -> None:
        """What headers decide is decided before the body is asked for (DAV-24)."""
        new = When(conditions=Conditions(if_none_match=("*",)), principal="ann", loose=True)
        self.write(b"1")
        for length in (3, 10_000, None):
            body = HeldBody(b"123", length=length)
            self.assertRaises(PreconditionFailed, self.write, body, when=new)
            self.assertFalse(body.asked)

    def test_digest(self) -> None:
        """Other bytes than announced are not stored."""
        self.assertRaises(DigestMismatch, self.write, b"1", sha256=bytes(32))
        self.assertRaises(NotFound, self.run_, self.namespace().stat(X))

    def test_loose(self) -> None:
        """The stored spelling of a name wins (DAV-62)."""
        self.write(b"1", Key(("\u00e9",)))
        written = self.write(b"2", Key(("e\u0301",)))
        self.assertEqual((written.created, written.node.key), (False, Key(("\u00e9",))))
        self.assertEqual(self.names(), ["\u00e9"])

    def test_other_accounts(self) -> None:
        """Each account sees its own tree."""
        self.write(b"1")
        other = self.run_(self.cloud.coordinator.make_account("bob"))
        theirs = self.namespace(basic("bob", other))
        self.assertRaises(NotFound, self.run_, theirs.stat(X))


class ListTests(FaceCase):
    def test_pages(self) -> None:
        """A long listing comes whole, each name once; it may begin in the middle."""
        self.patch(rules, "PAGE", 7)
        self.run_(self.namespace().make_collection(Key(("d",)), (), WHEN))
        for number in range(30):
            self.write(b"", Key(("d", f"{number:02}")))
        expected = [f"d/{number:02}" for number in range(30)]
        self.assertEqual(self.names(Key(("d",), True)), expected)
        self.assertEqual(self.names(Key(("d",)), after="13"), expected[14:])
        self.assertEqual(self.names(deep=True), ["d/", *expected])

    def test_gone_meanwhile(self) -> None:
        """A collection that goes while it is listed ends the listing; nothing of it is there."""
        self.patch(rules, "PAGE", 2)
        namespace = self.namespace()
        for number in range(5):
            self.write(b"", Key(("d", f"{number}")), When(principal="ann"))

        async def listed() -> list[str]:
            found = []
            async with aclosing(namespace.list(Key(("d",)))) as members:
                async for node in members:
                    found.append(node.key.name)
                    if len(found) == 1:
                        await namespace.delete(Key(("d",)), WHEN)
            return found

        self.assertEqual(self.run_(listed()), ["0", "1"])

    def test_none(self) -> None:
        """There is no listing of nothing, nor of an object."""
        self.write(b"1")
        self.assertRaises(NotFound, self.names, Key(("none",)))
        self.assertRaises(NotFound, self.names, X)

    def test_wanted(self) -> None:
        """Properties and locks come with each member if they are wanted, and not else."""
        namespace = self.namespace()
        self.write(b"1")
        lock, made = self.run_(namespace.lock(Key((), True), LockWish(exclusive=False), WHEN))
        self.assertEqual((made, lock.root, lock.principal), (False, Key((), True), "ann"))

        async def one(want: Want) -> Node:
            async with aclosing(namespace.list(Key((), True), want=want)) as members:
                return await anext(members)

        self.assertEqual(self.run_(one(Want(locks=True))).locks, (lock,))
        self.assertEqual(self.run_(one(Want(properties=True))).properties, ())
        plain = self.run_(one(Want()))
        self.assertEqual((plain.locks, plain.properties), (None, None))
        self.run_(namespace.unlock(X, lock.token, WHEN))


class RestartTests(FaceCase):
    def test_killed(self) -> None:
        """What was answered is there when the coordinator comes up again: locks too (DAV-45)."""
        self.write(b"1")
        lock, _ = self.run_(self.namespace().lock(X, LockWish(seconds=600), WHEN))
        self.cloud.restart_coordinator()
        self.assertEqual(self.run_(self.namespace().stat(X, Want(locks=True))).locks, (lock,))
        self.assertRaises(Locked, self.write, b"2")
        self.cloud.world.settle(601)
        self.assertFalse(self.write(b"2").created)


class QuotaTests(FaceCase):
    def test_available(self) -> None:
        """What is left of the quota, else what hosts have room for; never more than both."""
        namespace = self.namespace()
        self.write(b"12345")
        quota = self.run_(namespace.quota(Key((), True)))
        self.assertEqual((quota.used, quota.available), (5, None))
        self.cloud.start_fake_host("h1", target_size=10 * MIB)
        self.assertEqual(self.run_(namespace.quota(X)).available, 10 * MIB)
        self.cloud.set_quota(100)
        self.assertEqual(self.run_(namespace.quota(X)).available, 95)
        self.assertRaises(QuotaExceeded, self.write, b"x" * 101, Key(("y",)))
        self.assertRaises(NotFound, self.run_, namespace.quota(Key(("none",))))


class HostCase(FaceCase):
    host: FakeHost

    def setUp(self) -> None:
        super().setUp()
        self.host = self.cloud.start_fake_host("h1")

    def reserved(self) -> int:
        return self.cloud.ask("GET", "/account").json(wire.Account).reserved


class BigTests(HostCase):
    def test_stored(self) -> None:
        """A large body goes to a host; its version is known when the write returns."""
        for created in (True, False):
            written = self.write(BIG, content_type="a/b", modified=1500)
            self.assertEqual((written.created, written.node.length), (created, len(BIG)))
            self.assertEqual(written.node, self.run_(self.namespace().stat(X)))
        self.assertEqual(written.node.modified, 1500)
        self.assertTrue(written.node.same_second)
        self.assertEqual((self.read(), self.read(10, 5)), (BIG, b"01234"))
        self.assertEqual(self.reserved(), 0)

    def test_unknown_length(self) -> None:
        """A long body of unknown length too."""
        self.write(StreamBody(chunks(BIG)))
        self.assertEqual(self.read(), BIG)

    def test_refused_by_the_host(self) -> None:
        """What the host finds out about the bytes is said as if we had."""
        for status, kind in ((422, DigestMismatch), (412, PreconditionFailed), (500, Unavailable)):
            self.host.says = status
            self.assertRaises(kind, self.write, BIG)
            self.assertEqual(self.reserved(), 0)
        self.assertRaises(NotFound, self.run_, self.namespace().stat(X))

    def test_locked_meanwhile(self) -> None:
        """A lock that was taken while the body came refuses it, and says where it lies."""
        namespace = self.namespace()

        async def locking() -> AsyncGenerator[bytes, None]:
            yield BIG[:5000]
            await namespace.lock(X, LockWish(), When(principal="bob"))
            yield BIG[5000:]

        body = StreamBody(locking(), len(BIG))
        error = self.assertRaises(Locked, self.write, body)
        self.assertEqual(error.facts["roots"], (X,))
        self.assertEqual(self.read(), b"")

    def test_cut(self) -> None:
        """A body that ends early leaves nothing (DAV-23)."""

        async def cut() -> AsyncGenerator[bytes, None]:
            yield BIG[:5000]
            raise BodyAborted(received=5000, reason="the client left")

        self.assertRaises(BodyAborted, self.write, StreamBody(cut(), len(BIG)))
        self.cloud.world.settle(1)
        self.assertEqual((self.names(), self.reserved()), ([], 0))

    def test_cancelled(self) -> None:
        """A client who leaves in the middle of a PUT leaves nothing (DAV-138)."""

        async def stuck() -> AsyncGenerator[bytes, None]:
            yield BIG[:5000]
            await Deferred()

        body = StreamBody(stuck(), len(BIG))
        writing = self.namespace().write(X, body, WriteMeta(), WHEN)
        done = Deferred.fromCoroutine(writing)
        self.cloud.world.settle(1)
        done.cancel()
        self.cloud.world.settle(1)
        self.failureResultOf(done, CancelledError)
        self.assertEqual((self.names(), self.reserved()), ([], 0))
        self.assertEqual(next(iter(self.cloud.coordinator.hosts)).streams, 0)

    def test_next_version_is_there(self) -> None:
        """Who wrote hears of their own version, even if the next one has come already."""
        namespace = self.namespace()

        async def put(request: Request) -> Response:
            response = await FakeHost.handle(self.host, request)
            if request.method == "PUT":
                await namespace.write(X, BytesBody(b"newer"), WriteMeta(), WHEN)
            return response

        self.host.handle = put  # type: ignore[method-assign]
        written = self.write(BIG, content_type="a/b")
        self.assertEqual((written.node.length, written.node.content_type), (len(BIG), "a/b"))
        self.assertEqual(self.read(), b"newer")

    def test_settled(self) -> None:
        """A host that has the bytes but did not hear from us is waited for; not for ever."""

        async def late(request: Request) -> Response:
            if request.method != "PUT":
                return await FakeHost.handle(self.host, request)
            [expectation] = [one for one in self.host.expected.values() if one.method == "PUT"]
            self.host.blobs[expectation.blob] = await read_all(request.body, MIB)
            if receipts:
                env = self.host.env
                env.clock.callLater(2, lambda: Deferred.fromCoroutine(receipt(expectation)))
            self.host.expected.clear()
            return json_answer(202, wire.WriteState("open"))

        async def receipt(expectation: wire.Expectation) -> None:
            answers.append(await self.host.receipt(expectation))

        answers: list[wire.ReceiptAnswer] = []
        receipts = False
        self.host.handle = late  # type: ignore[method-assign]
        self.assertRaises(OutcomeUnknown, self.write, BIG)
        receipts = True
        written = self.write(BIG)
        self.assertEqual((written.created, written.node.etag), (True, answers[0].etag))

    def test_no_host(self) -> None:
        """Where nobody can take or give bytes, that is said at once, never 404."""
        self.write(BIG)
        self.host.acknowledge = 503
        self.assertRaises(NoHost, self.write, BIG, Key(("y",)))
        self.assertRaises(NoReplica, self.read)

    def test_collection(self) -> None:
        """A collection has no bytes."""
        self.assertRaises(MethodNotAllowed, self.run_, self.namespace().open(Key((), True)))
        self.assertRaises(MethodNotAllowed, self.write, b"1", Key((), True))

    def test_no_redirects(self) -> None:
        """All is streamed unless the operator wants it otherwise (DAV-80)."""
        self.write(BIG)
        namespace = self.namespace()
        self.assertNotIn(Ability.LOCATE, namespace.abilities)
        self.assertEqual(self.run_(namespace.open(X)).locations, ())


class RedirectTests(HostCase):
    settings: ClassVar[dict[str, Any]] = {"dav_redirects": True}

    def locations(self, **fields: str) -> tuple[str, ...]:
        request = self.request(Host="coordinator:2573", **fields)
        visit = self.run_(self.cloud.coordinator.admission.admit(request))
        return self.run_(visit.namespace.open(X)).locations

    def test_locations(self) -> None:
        """Hosts that expect this read are named, unless the key would be sent on to them."""
        self.write(BIG)
        self.assertIn(Ability.LOCATE, self.namespace().abilities)
        [url] = self.locations(User_Agent="rclone/1")
        self.assertTrue(url.startswith("http://h1:2575/x/"))
        self.assertEqual(self.cloud.ask("GET", url).data, BIG)
        self.assertEqual(self.locations(User_Agent="Wget/1"), ())

    def test_none(self) -> None:
        """What lies in the catalog, or is nowhere to be had now, has no place."""
        self.write(b"1")
        self.assertEqual(self.locations(), ())
        self.write(BIG)
        self.host.acknowledge = 503
        self.assertEqual(self.locations(), ())
