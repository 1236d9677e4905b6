"""The forms of a PUT, before scripted hosts in a simulated world; time passes by itself."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from pigpen.errors import (
    BodyAborted,
    NoHost,
    NoRoom,
    PigpenError,
    PreconditionFailed,
    QuotaExceeded,
    Unauthorized,
)
from pigpen.http import wire
from pigpen.http.body import Body, BytesBody, StreamBody
from pigpen.http.fields import format_digest
from pigpen.http.key import Key
from pigpen.http.message import Headers, Request, Response
from tests.cloud_kit import MIB, Answer, Cloud, FakeHost, HeldBody

BIG = b"0123456789" * 1000
ID = "ab" * 32


async def chunks(data: bytes, size: int = 1000) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


class UploadsCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.cloud = Cloud()
        self.addCleanup(self.cloud.close)

    def add_host(self, name: str = "h1", **facts: object) -> FakeHost:
        return self.cloud.start_fake_host(name, **facts)

    def account(self) -> wire.Account:
        return self.cloud.ask("GET", "/account").json(wire.Account)

    def put(self, body: Body, query: str = "", *, http11: bool = True, **fields: str) -> Answer:
        headers = Headers({name.replace("_", "-"): value for name, value in fields.items()})
        return self.cloud.direct(
            Request(
                "PUT", Key(("api", "ann", "x")), query_string=query, headers=headers, body=body,
                http11=http11,
            )
        )  # fmt: skip

    def offer(self, query: str = "", **fields: str) -> Answer:
        fields.setdefault("Upload_Length", str(len(BIG)))
        return self.cloud.ask("PUT", f"/api/ann/x?redirect=false{query}", **fields)

    def offered(self, query: str = "", **fields: str) -> wire.UploadOffer:
        return self.offer(query, **fields).json(wire.UploadOffer)


class ExpectFormTests(UploadsCase):
    def test_redirect(self) -> None:
        """curl is sent to a host before it sends a byte."""
        host = self.add_host()
        body = HeldBody(BIG, length=len(BIG))
        answer = self.put(body, Content_Type="a/b")
        self.assertEqual(answer.status, 307)
        self.assertFalse(body.asked)
        [expectation] = host.expected.values()
        self.assertEqual(answer.headers["Location"], f"http://h1:2575/x/{expectation.uuid}")
        self.assertEqual(answer.headers["Cache-Control"], "no-store")
        self.assertEqual(answer.headers["Referrer-Policy"], "no-referrer")
        self.assertEqual(answer.headers["Connection"], "close")
        self.assertEqual(answer.headers["Pigpen-Write"], expectation.write)
        self.assertIn(b"not stored yet", answer.data)
        self.assertEqual((expectation.method, expectation.length), ("PUT", len(BIG)))

    def test_forged_host(self) -> None:
        """The Host field never decides where a client is sent."""
        self.add_host()
        answer = self.put(HeldBody(BIG), Host="evil.example", X_Forwarded_Host="evil.example")
        self.assertTrue(answer.headers["Location"].startswith("http://h1:2575/"))

    def test_pipe(self) -> None:
        """A pipe of unknown length may have what the quota leaves."""
        host = self.add_host()
        self.cloud.set_quota(5 * MIB)
        self.assertEqual(self.put(HeldBody(BIG)).status, 307)
        [expectation] = host.expected.values()
        self.assertEqual((expectation.length, expectation.max_bytes), (None, 5 * MIB))

    def test_who_would_show_the_key(self) -> None:
        """wget, and HTTP/1.0, are served through here: no key ever reaches a host."""
        host = self.add_host()
        answer = self.put(HeldBody(BIG, length=len(BIG)), User_Agent="Wget/1.21")
        self.assertEqual(answer.status, 201)
        answer = self.put(HeldBody(BIG, length=len(BIG)), http11=False)
        self.assertEqual(answer.status, 204)
        self.assertFalse([text for text in host.seen if self.cloud.key in text])

    def test_small(self) -> None:
        """A few bytes are stored at once, whoever waits for 100 Continue."""
        self.add_host()
        self.assertEqual(self.put(HeldBody(b"abc", length=3)).status, 201)

    def test_small_ones_are_commits(self) -> None:
        """What is committed here counts like what hosts bring, refusals by their name."""
        self.assertEqual(self.put(BytesBody(b"abc")).status, 201)
        with self.assertRaises(PreconditionFailed):
            self.put(BytesBody(b"abc"), If_None_Match="*")
        with self.assertRaises(Unauthorized):
            self.put(BytesBody(b"abc"), Authorization="Bearer nonsense")
        for outcome, count in (("committed", 1), ("precondition", 1), ("unauthorized", 0)):
            name = f'pigpen_commits_total{{outcome="{outcome}"}}'
            self.assertEqual(self.cloud.metric(name), count, outcome)
        self.assertEqual(self.cloud.metric("pigpen_commit_seconds_count"), 1)

    def test_refused_unread(self) -> None:
        """Without a right to write the body is not even asked for."""
        for length in (3, len(BIG), None):
            body = HeldBody(BIG, length=length)
            with self.assertRaises(Unauthorized):
                self.put(body, Authorization="Bearer nonsense")
            self.assertFalse(body.asked)

    def test_dead_host(self) -> None:
        """A hanging host costs 300 ms: the client is at the next before curl gives up waiting."""
        first = self.add_host("h1", target_size=10_000 * MIB)
        second = self.add_host("h2")
        first.hangs = True
        before = self.cloud.world.clock.seconds()
        for _ in range(4):
            answer = self.put(HeldBody(BIG))
            self.assertIn("//h2:", answer.headers["Location"])
        self.assertLess(self.cloud.world.clock.seconds() - before, 0.4)
        self.assertTrue(second.expected)

    def test_nobody(self) -> None:
        """With no host alive the client hears 503 within a second, and nothing stays open."""
        for name in ("h1", "h2", "h3"):
            self.add_host(name).hangs = True
        before = self.cloud.world.clock.seconds()
        with self.assertRaises(NoHost):
            self.put(HeldBody(BIG, length=len(BIG)))
        self.assertLess(self.cloud.world.clock.seconds() - before, 0.75)
        self.assertEqual(self.account().reserved, 0)

    def test_body_came_first(self) -> None:
        """A client that did not wait for the redirect is never redirected: some take the answer to
        half a body for success (CLD-30)."""
        self.add_host()
        body = HeldBody(BIG, length=len(BIG))
        request = Request("PUT", Key(("api", "ann", "x")), body=body)
        request.headers["Authorization"] = f"Bearer {self.cloud.key}"
        asked = Deferred.fromCoroutine(self.cloud.coordinator.handler.handle(request))
        self.assertNoResult(asked)
        body.held_back = False  # its patience ended, and a byte came
        self.cloud.world.settle(1)
        self.assertEqual(self.successResultOf(asked).status, 201)
        self.assertEqual(self.cloud.get("x").data, BIG)

    def test_cancelled(self) -> None:
        """A client that leaves while hosts are asked leaves no reservation."""
        self.add_host().hangs = True
        headers = Headers({"Authorization": f"Bearer {self.cloud.key}"})
        request = Request(
            "PUT", Key(("api", "ann", "x")), headers=headers, body=HeldBody(BIG, length=len(BIG))
        )
        asked = Deferred.fromCoroutine(self.cloud.coordinator.handler.handle(request))
        self.cloud.world.settle(0.1)
        self.assertEqual(self.account().reserved, len(BIG))
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.assertEqual(self.account().reserved, 0)


class JsonFormTests(UploadsCase):
    def test_offer(self) -> None:
        """pigpen's client hears where to put, for how long, and where else."""
        for name in ("h1", "h2", "h3", "h4"):
            self.add_host(name)
        offer = self.offered()
        self.assertEqual(offer.max_bytes, len(BIG))
        self.assertEqual((offer.start, offer.offset), (60, 0))
        self.assertEqual(len(offer.alternatives), 2)
        names = {url.split(":")[1] for url in (offer.url, *(a.url for a in offer.alternatives))}
        self.assertEqual(len(names), 3)

    def test_rides_along(self) -> None:
        """Up to 4 KiB come with the question and are stored at once."""
        self.assertEqual(
            self.cloud.ask("PUT", "/api/ann/x?redirect=false", b"abc", Upload_Length="3").status,
            201,
        )
        again = self.cloud.ask("PUT", "/api/ann/x?redirect=false", b"", Upload_Length="0")
        self.assertEqual(again.status, 204)
        self.assertEqual(self.cloud.get("x").data, b"")

    def test_length_differs(self) -> None:
        """Part of a body, or too much of one, is never taken for the whole."""
        for fields in ({"Upload_Length": "4"}, {}):
            answer = self.cloud.ask("PUT", "/api/ann/x?redirect=false", b"abc", **fields)
            self.assertEqual(answer.status, 400)
        answer = self.cloud.ask("PUT", "/api/ann/x?redirect=false", BIG, Upload_Length="9")
        self.assertEqual(answer.status, 413)
        self.assertEqual(self.cloud.get("x").status, 404)

    def test_same_id_is_the_same_write(self) -> None:
        """A client that did not hear the answer asks again, and nothing is reserved twice."""
        self.add_host()
        first = self.offered(Pigpen_Write=ID)
        second = self.offered(Pigpen_Write=ID)
        self.assertEqual((first.write, second.write), (ID, ID))
        self.assertNotEqual(first.uuid, second.uuid)
        self.assertEqual(self.account().reserved, len(BIG))

    def test_resume(self) -> None:
        """A cut upload goes on at the host that has the part."""
        first = self.add_host("h1")
        second = self.add_host("h2")
        self.offered(Pigpen_Write=ID)
        second.offset = 1234
        again = self.offered(f"&write={ID}")
        self.assertIn("//h2:", again.url)
        self.assertEqual(again.offset, 1234)
        self.assertTrue(first.expected)

    def test_announced_digest(self) -> None:
        """What a client announced holds for the whole write: a host that says to have stored other
        bytes is not believed, also where the write went on (H2)."""
        host = self.add_host()
        right = format_digest(hashlib.sha256(BIG).digest())
        self.offered(Pigpen_Write=ID, Repr_Digest=right)
        host.expected.clear()
        self.offered(f"&write={ID}")
        [expectation] = host.expected.values()
        self.assertEqual(expectation.digest, hashlib.sha256(BIG).hexdigest())
        host.blobs[expectation.blob] = BIG[::-1]
        answer = self.cloud.run(host.receipt(expectation))
        self.assertEqual((answer.status, answer.error), (422, "digest"))
        self.assertEqual(self.cloud.get("x").status, 404)
        host.blobs[expectation.blob] = BIG
        self.assertEqual(self.cloud.run(host.receipt(expectation)).status, 201)

    def test_resume_elsewhere(self) -> None:
        """A write goes on under its own key only."""
        self.add_host()
        self.offered(Pigpen_Write=ID)
        answer = self.cloud.ask(
            "PUT", f"/api/ann/y?redirect=false&write={ID}", Upload_Length=str(len(BIG))
        )
        self.assertEqual(answer.status, 409)

    def test_resume_nothing(self) -> None:
        """A write nobody knows cannot go on; one that was given up neither."""
        self.add_host()
        self.assertEqual(self.offer(f"&write={ID}").status, 404)
        self.offered(Pigpen_Write=ID)
        self.assertEqual(self.cloud.ask("DELETE", f"/api/ann/x?write={ID}").status, 204)
        self.assertEqual(self.offer(f"&write={ID}").status, 410)

    def test_the_id_survives_a_busy_moment(self) -> None:
        """After 503 the client tries again under the same id."""
        host = self.add_host()
        host.acknowledge = 503
        self.assertEqual(self.offer(Pigpen_Write=ID).status, 503)
        host.acknowledge = 204
        self.assertEqual(self.offered(Pigpen_Write=ID).write, ID)

    def test_full(self) -> None:
        """If no host has room it says 507, before a byte is sent."""
        self.assertEqual(self.offer().code, "no-host")
        host = self.add_host(target_size=len(BIG) - 1)
        answer = self.offer()
        self.assertEqual((answer.status, answer.code), (507, "no-room"))
        host.facts["target_size"] = 1000 * MIB
        self.cloud.run(host.act("heartbeat", host.heartbeat()))
        host.acknowledge = 507
        self.assertEqual(self.offer().code, "no-room")
        self.assertEqual(self.account().reserved, 0)

    def test_too_many(self) -> None:
        """An account with too many open transfers hears 429."""
        self.add_host().acknowledge = 429
        self.assertEqual(self.offer().status, 429)

    def test_bad_fields(self) -> None:
        """What makes no sense is refused before a host hears of it."""
        host = self.add_host()
        for fields in (
            {"Content_Range": "bytes 0-1/2"},
            {"Repr_Digest": "sha-256=x"},
            {"Pigpen_Write": "x"},
            {"If_Match": "x"},
            {"Upload_Length": "-1"},
        ):
            self.assertEqual(self.offer(**fields).status, 400, fields)
        self.assertEqual(host.expected, {})

    def test_receipt_decides(self) -> None:
        """The condition is judged again when the bytes are there."""
        self.add_host()
        offer = self.offered(If_None_Match="*")
        self.cloud.ask("PUT", "/api/ann/x", b"sooner")
        refused = self.cloud.ask("PUT", offer.url, BIG)
        self.assertEqual((refused.status, refused.code), (412, "precondition"))
        state = self.cloud.ask("GET", f"/api/ann/x?write={offer.write}").json(wire.WriteState)
        self.assertEqual((state.state, state.status), ("refused", 412))
        self.assertEqual(self.cloud.get("x").data, b"sooner")


class StreamedTests(UploadsCase):
    def test_through(self) -> None:
        """A client that says nothing special is served through here; bytes are counted."""
        host = self.add_host()
        answer = self.cloud.ask("PUT", "/api/ann/x", BIG)
        self.assertEqual(answer.status, 201)
        self.assertEqual(self.cloud.ask("PUT", "/api/ann/x", BIG).status, 204)
        self.assertEqual(self.cloud.metric('pigpen_body_bytes_total{direction="in"}'), 2 * len(BIG))
        self.assertFalse([text for text in host.seen if self.cloud.key in text])

    def test_small_of_unknown_length(self) -> None:
        """A short pipe is stored in the catalog; no host is needed."""
        answer = self.cloud.ask("PUT", "/api/ann/x", StreamBody(chunks(BIG[:4096])))
        self.assertEqual(answer.status, 201)
        self.assertEqual(self.cloud.get("x").data, BIG[:4096])

    def test_long_of_unknown_length(self) -> None:
        """A long pipe goes to a host, first bytes included."""
        host = self.add_host()
        answer = self.cloud.ask("PUT", "/api/ann/x", StreamBody(chunks(BIG)))
        self.assertEqual(answer.status, 201)
        self.assertEqual(list(host.blobs.values()), [BIG])

    def test_digest(self) -> None:
        """Bytes that are not what was announced are refused; a host is told the digest."""
        digest = "sha-256=:" + "A" * 43 + "=:"
        small = self.cloud.ask("PUT", "/api/ann/x", b"abc", Repr_Digest=digest)
        self.assertEqual(small.status, 422)
        host = self.add_host()
        host.says = 422
        answer = self.cloud.ask("PUT", "/api/ann/x", BIG, Repr_Digest=digest)
        self.assertEqual((answer.status, answer.code), (422, "digest"))
        [expectation] = host.expected.values()
        self.assertEqual(expectation.digest, "0" * 64)
        self.assertEqual(self.account().reserved, 0)

    def test_host_is_lost(self) -> None:
        """A host that dies in the upload: 503, nothing stored, and that is certain."""
        self.add_host()
        self.cloud.put("x", BIG)

        async def killing() -> AsyncGenerator[bytes, None]:
            for number in range(40):
                if number == 20:
                    self.cloud.nodes["h1"].env.kill()
                yield bytes(MIB // 10)

        body = StreamBody(killing(), 40 * (MIB // 10))
        answer = self.cloud.ask("PUT", "/api/ann/x", body, Pigpen_Write=ID)
        self.assertEqual(answer.status, 503)
        state = self.cloud.ask("GET", f"/api/ann/x?write={ID}").json(wire.WriteState)
        self.assertEqual(state.state, "abandoned")
        self.assertEqual(self.account().reserved, 0)

    def test_given_up_before_it_comes(self) -> None:
        """A client that gave up hears 204, though its PUT is still on its way: it is not stored."""
        self.add_host()
        self.assertEqual(self.cloud.ask("DELETE", f"/api/ann/x?write={ID}").status, 204)
        for data in (b"late", BIG):
            self.assertEqual(self.cloud.ask("PUT", "/api/ann/x", data, Pigpen_Write=ID).status, 410)
        self.assertEqual(self.cloud.ask("GET", "/api/ann/x").status, 404)
        self.assertEqual(self.cloud.ask("DELETE", f"/api/ann/?write={'cd' * 32}").status, 404)

    def test_lost_after_commit(self) -> None:
        """A host that dies after the commit: the client hears that it is stored."""
        host = self.add_host()

        async def put_and_die(request: Request, expectation: wire.Expectation) -> None:
            host.blobs[expectation.blob] = b"".join([chunk async for chunk in request.body])
            await host.receipt(expectation)
            host.env.kill()
            await Deferred()

        host._put = put_and_die  # type: ignore[assignment]
        answer = self.cloud.ask("PUT", "/api/ann/x", BIG)
        self.assertEqual(answer.status, 201)

    def test_unclear_answer_after_commit(self) -> None:
        """A host that commits and then knows nothing: the client hears that it is stored."""
        host = self.add_host()
        for status in (500, 503, 403):

            async def put_and_fail(
                request: Request, expectation: wire.Expectation, status: int = status
            ) -> Response:
                host.blobs[expectation.blob] = b"".join([chunk async for chunk in request.body])
                await host.receipt(expectation)
                return Response(status)

            host._put = put_and_fail  # type: ignore[method-assign]
            self.assertIn(self.cloud.ask("PUT", "/api/ann/x", BIG).status, {201, 204})

    def test_unclear_answer_means_given_up(self) -> None:
        """That nothing was stored is certain when it is said: a later receipt is refused."""
        host = self.add_host()
        host.says = 500
        self.assertEqual(self.cloud.ask("PUT", "/api/ann/x", BIG).status, 503)
        [expectation] = host.expected.values()
        self.assertEqual(self.cloud.run(host.receipt(expectation)).status, 410)
        self.assertEqual(self.cloud.get("x").status, 404)

    def test_client_is_gone(self) -> None:
        """A client that leaves in the upload leaves nothing: no version, no reservation."""
        self.add_host()

        async def cut() -> AsyncGenerator[bytes, None]:
            yield BIG[:5000]
            raise BodyAborted(received=5000, reason="gone")

        with self.assertRaises(PigpenError):
            self.put(StreamBody(cut(), len(BIG)))
        self.cloud.world.settle(1)
        self.assertEqual(self.account().reserved, 0)
        self.assertEqual(self.cloud.get("x").status, 404)

    def test_refusals(self) -> None:
        """What the namespace refuses is refused before the body moves."""
        self.add_host()
        self.cloud.ask("PUT", "/api/ann/object", b"1")
        self.cloud.ask("MKCOL", "/api/ann/dir")
        self.assertEqual(self.cloud.ask("PUT", "/api/ann/dir", BIG).status, 405)
        self.assertEqual(self.cloud.ask("PUT", "/api/ann/object/x", BIG).status, 409)
        self.assertEqual(self.cloud.ask("PUT", "/api/ann/a/b?parents=false", BIG).status, 409)
        self.assertEqual(self.cloud.ask("PUT", "/api/bob/x", BIG).status, 404)

    def test_quota(self) -> None:
        """Over the quota: 507, whatever the form."""
        self.add_host()
        self.cloud.set_quota(10)
        self.assertEqual(self.cloud.ask("PUT", "/api/ann/x", BIG).code, "quota")
        self.assertEqual(self.cloud.ask("PUT", "/api/ann/x", BIG[:11]).code, "quota")
        self.assertEqual(self.offer().code, "quota")
        with self.assertRaises(QuotaExceeded):
            self.put(HeldBody(BIG, length=len(BIG)))

    def test_no_room(self) -> None:
        """Full hosts: 507 for a held-back body too."""
        self.add_host(target_size=10)
        with self.assertRaises(NoRoom):
            self.put(HeldBody(BIG, length=len(BIG)))

    def test_mtime(self) -> None:
        """A writer that says when the file was made hears that it counts."""
        answer = self.cloud.ask("PUT", "/api/ann/x", b"1", X_OC_Mtime="1000000000.5")
        self.assertEqual(answer.headers["X-OC-Mtime"], "accepted")
        self.assertEqual(answer.headers["Last-Modified"], "Sun, 09 Sep 2001 01:46:40 GMT")
