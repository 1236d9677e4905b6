"""GET and HEAD of objects, before scripted hosts in a simulated world; time passes by itself."""

from __future__ import annotations

import hashlib

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from pigpen.coordinator.settings import MAX_STREAMS
from pigpen.errors import BodyAborted, Unavailable
from pigpen.http import wire
from pigpen.http.body import BytesBody, read_all
from pigpen.http.fields import format_digest, parse_links
from pigpen.http.key import Key
from pigpen.http.message import Request, Response
from tests.cloud_kit import Answer, Cloud, FakeHost

BIG = b"0123456789" * 1000


class DownloadsCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.cloud = Cloud()
        self.addCleanup(self.cloud.close)
        self.host = self.cloud.start_fake_host("h1")

    def put(self, data: bytes = BIG) -> str:
        """Store ``x``. :return: its ETag."""
        self.assertEqual(self.cloud.put("x", data, Content_Type="a/b").status, 201)
        return self.get().headers["ETag"]

    def get(self, query: str = "", *, method: str = "GET", **fields: str) -> Answer:
        return self.cloud.ask(method, "/api/ann/x" + query, **fields)

    def replicate(self, name: str, **facts: object) -> FakeHost:
        """One more host, which has all the blobs too."""
        other = self.cloud.start_fake_host(name, **facts)
        other.blobs.update(self.host.blobs)
        for expectation in list(self.host.expected.values()):
            if expectation.method == "PUT":
                answer = self.cloud.run(other.receipt(expectation))
                self.assertEqual(answer.status, 201)
        return other


class RedirectTests(DownloadsCase):
    def test_redirect(self) -> None:
        """A reader is sent to a host that expects just that, with all it needs to check."""
        self.put()
        self.host.expected.clear()
        answer = self.get()
        self.assertEqual(answer.status, 307)
        [expectation] = self.host.expected.values()
        self.assertEqual(answer.headers["Location"], f"http://h1:2575/x/{expectation.uuid}")
        self.assertEqual(answer.headers["Repr-Digest"], format_digest(hashlib.sha256(BIG).digest()))
        self.assertEqual(answer.headers["Cache-Control"], "no-store")
        self.assertEqual(answer.headers["Referrer-Policy"], "no-referrer")
        self.assertEqual((expectation.method, expectation.content_type), ("GET", "a/b"))
        self.assertEqual(self.get(method="HEAD").status, 307)
        self.assertEqual(self.cloud.metric('pigpen_body_bytes_total{direction="out"}'), 0)

    def test_expected_length(self) -> None:
        """A host is told how long the blob is: it never passes a shortened one for the whole, and
        gives a long one the time it takes (P3, CLD-21)."""
        self.put()
        for query in ("", "?redirect=false", "?redirect=never"):
            self.host.expected.clear()
            self.get(query)
            [expectation] = self.host.expected.values()
            self.assertEqual(expectation.length, len(BIG))

    def test_two_versions_in_a_second(self) -> None:
        """A host is told no date that both versions have: it would say 304 to who has the old."""
        self.put()
        self.host.expected.clear()
        date = self.get(method="HEAD", query="?redirect=false").headers["Last-Modified"]
        self.assertEqual(self.cloud.put("x", BIG + b"newer").status, 201)
        self.host.expected.clear()
        self.assertEqual(self.get(If_Modified_Since=date).status, 307)
        [expectation] = self.host.expected.values()
        self.assertIsNone(expectation.modified)

    def test_conditions_first(self) -> None:
        """Who has it already is told so by the coordinator; no host hears of it."""
        etag = self.put()
        self.host.expected.clear()
        fresh = self.get(If_None_Match=etag)
        self.assertEqual((fresh.status, fresh.headers["ETag"], fresh.data), (304, etag, b""))
        self.assertEqual(self.get(If_Match='"other"').status, 412)
        self.assertEqual(self.host.expected, {})

    def test_duplicates(self) -> None:
        """Other hosts are named only if they expect the reader too."""
        self.put()
        other = self.replicate("h2")
        silent = self.replicate("h3")
        silent.hangs = True
        answer = self.get()
        links = [link.target for link in parse_links(answer.headers["Link"])]
        [expectation] = [one for one in other.expected.values() if one.method == "GET"]
        named = [answer.headers["Location"], *links]
        self.assertEqual(len(named), 2)
        self.assertIn(f"http://h2:2575/x/{expectation.uuid}", named)

    def test_dead_host(self) -> None:
        """One dead host of two is hardly noticed: under 400 ms, and then not at all."""
        self.put()
        self.replicate("h2").hangs = True
        before = self.cloud.world.clock.seconds()
        for _ in range(5):
            self.assertIn("//h1:", self.get().headers["Location"])
        self.assertLess(self.cloud.world.clock.seconds() - before, 0.4)

    def test_nobody(self) -> None:
        """Not reachable is 503 with Retry-After within a second, never 404."""
        self.put()
        self.host.hangs = True
        before = self.cloud.world.clock.seconds()
        answer = self.get()
        self.assertEqual((answer.status, answer.code), (503, "no-replica"))
        self.assertEqual(answer.headers["Retry-After"], "5")
        self.assertLess(self.cloud.world.clock.seconds() - before, 1)
        self.host.hangs = False
        self.host.acknowledge = 404
        self.assertEqual(self.get().status, 503)
        self.host.acknowledge = 429
        self.assertEqual(self.get().status, 429)

    def test_bad_copies(self) -> None:
        """A copy that was reported bad is asked for only if there is no other: the one disk that
        has it may have recovered."""
        self.put()
        other = self.replicate("h2")
        [blob] = self.host.blobs
        for host in (self.host, other):
            beat = host.heartbeat(bad=[blob])
            self.assertEqual(self.cloud.run(host.act("heartbeat", beat)).status, 204)
            if host is self.host:
                names = {self.get().headers["Location"].split(":")[1] for _ in range(5)}
                self.assertEqual(names, {"//h2"})
        self.assertEqual(self.get().status, 307)
        self.host.acknowledge = other.acknowledge = 404
        self.assertEqual(self.get().status, 503)

    def test_tls_clients(self) -> None:
        """A reader who came by TLS is never sent to plain HTTP, but served from here."""
        self.put()
        answer = self.cloud.direct(Request("GET", Key(("api", "ann", "x")), secure=True))
        self.assertEqual((answer.status, answer.data), (200, BIG))

    def test_missing(self) -> None:
        """What is not there is 404; so is everything of another account."""
        self.assertEqual(self.get().status, 404)
        self.assertEqual(self.cloud.ask("GET", "/api/bob/x").status, 404)
        self.assertEqual(self.cloud.ask("GET", "/api").status, 404)


class OfferTests(DownloadsCase):
    def test_sources(self) -> None:
        """Every host that has it and confirms is a source, in an order."""
        self.put()
        self.replicate("h2")
        offer = self.get("?redirect=false").json(wire.DownloadOffer)
        urls = {source.url.split("/x/")[0] for source in offer.sources}
        self.assertEqual(urls, {"http://h1:2575", "http://h2:2575"})
        self.assertEqual([source.pri for source in offer.sources], [1, 2])

    def test_many_requests(self) -> None:
        """The JSON form lets a client fetch in pieces."""
        self.put()
        self.host.expected.clear()
        self.get("?redirect=false")
        [expectation] = self.host.expected.values()
        self.assertEqual(expectation.requests, 64)

    def test_two_versions_in_a_second(self) -> None:
        """The offer says that its date is that of the version before as well (DAV-32)."""
        self.put()
        first = self.get("?redirect=false").json(wire.DownloadOffer)
        self.assertFalse(first.same_second)
        mtime = str(first.modified // 1000)
        self.assertEqual(self.cloud.put("x", BIG + b"newer", X_OC_Mtime=mtime).status, 201)
        self.assertTrue(self.get("?redirect=false").json(wire.DownloadOffer).same_second)
        head = self.get("?redirect=false", method="HEAD")
        self.assertEqual(head.headers["Pigpen-Modified"], f"{mtime}000;same-second")

    def test_head(self) -> None:
        """HEAD with redirect=false says all of it, out of the catalog."""
        etag = self.put()
        self.host.expected.clear()
        answer = self.get("?redirect=false", method="HEAD")
        self.assertEqual((answer.status, answer.headers["ETag"]), (200, etag))
        self.assertEqual(answer.headers["Content-Length"], str(len(BIG)))
        self.assertEqual(answer.headers["Content-Type"], "a/b")
        self.assertEqual(self.host.expected, {})


class StreamedTests(DownloadsCase):
    def test_never(self) -> None:
        """redirect=never, wget, and Go next door are served through here; no host sees the key."""
        self.put()
        for query, agent in (("?redirect=never", "curl"), ("", "Wget/1.2"), ("", "Java/17")):
            answer = self.get(query, User_Agent=agent)
            self.assertEqual((answer.status, answer.data), (200, BIG))
            self.assertEqual(answer.headers["Content-Type"], "a/b")
        self.assertFalse([text for text in self.host.seen if self.cloud.key in text])
        count = self.cloud.metric('pigpen_body_bytes_total{direction="out"}')
        self.assertEqual(count, 3 * len(BIG))

    def test_ranges(self) -> None:
        """A part of a big object is fetched as a part."""
        etag = self.put()
        part = self.get("?redirect=never", Range="bytes=10-19", If_Range=etag)
        self.assertEqual((part.status, part.data), (206, b"0123456789"))
        self.assertEqual(part.headers["Content-Range"], f"bytes 10-19/{len(BIG)}")
        whole = self.get("?redirect=never", Range="bytes=10-19", If_Range='"other"')
        self.assertEqual((whole.status, len(whole.data)), (200, len(BIG)))
        self.assertEqual(self.get("?redirect=never", Range="bytes=99999-").status, 416)

    def test_next_host(self) -> None:
        """A host that confirms and then does not deliver is passed over."""
        self.put()
        other = self.replicate("h2")

        async def refuse(request: Request) -> Response:
            if request.key.names[0] == "x":
                return Response(503)
            return await FakeHost.handle(other, request)

        other.handle = refuse  # type: ignore[method-assign]
        for _ in range(6):
            self.assertEqual(self.get("?redirect=never").data, BIG)

    def test_hop_by_hop(self) -> None:
        """What a host says beside the bytes goes no further."""
        self.put()

        async def talk(request: Request) -> Response:
            response = await FakeHost.handle(self.host, request)
            if request.key.names[0] == "x":
                response.headers.update({"Set-Cookie": "a=b", "X-Host": "h1", "ETag": '"lie"'})
            return response

        self.host.handle = talk  # type: ignore[method-assign]
        answer = self.get("?redirect=never")
        self.assertEqual(answer.data, BIG)
        self.assertNotIn("Set-Cookie", answer.headers)
        self.assertNotEqual(answer.headers["ETag"], '"lie"')

    def test_wrong_length(self) -> None:
        """A host that sends another length is not believed."""
        self.put()

        async def lie(request: Request) -> Response:
            if request.key.names[0] == "x":
                return Response(200, body=BytesBody(b"short"))
            return await FakeHost.handle(self.host, request)

        self.host.handle = lie  # type: ignore[method-assign]
        self.assertEqual(self.get("?redirect=never").status, 503)

    def test_rot(self) -> None:
        """Bytes that changed at a host never pass for a whole answer: it is cut."""
        self.put()

        async def rot(request: Request) -> Response:
            response = await FakeHost.handle(self.host, request)
            if request.key.names[0] == "x":
                data = bytearray(await read_all(response.body, len(BIG)))
                data[len(BIG) // 2] ^= 1
                response.body = BytesBody(bytes(data))
            return response

        self.host.handle = rot  # type: ignore[method-assign]
        with self.assertRaises(BodyAborted):
            self.get("?redirect=never")
        self.assertEqual(next(iter(self.cloud.coordinator.hosts)).streams, 0)

    def test_reader_leaves(self) -> None:
        """A reader who leaves while hosts are asked leaves nothing behind."""
        self.put()
        self.host.hangs = True
        request = Request("GET", Key(("api", "ann", "x")), query_string="redirect=never")
        request.headers["Authorization"] = f"Bearer {self.cloud.key}"
        asked = Deferred.fromCoroutine(self.cloud.coordinator.handler.handle(request))
        self.cloud.world.settle(0.1)
        asked.addErrback(lambda _: None)
        asked.cancel()
        self.assertIsNone(self.successResultOf(asked))

    def test_slow_readers(self) -> None:
        """Readers who stop reading never keep others from being redirected."""
        self.put()
        live = next(iter(self.cloud.coordinator.hosts))
        open_bodies = []
        for number in range(40):
            request = Request("GET", Key(("api", "ann", "x")), query_string="redirect=never")
            request.headers["Authorization"] = f"Bearer {self.cloud.key}"
            asked = self.cloud.coordinator.handler.handle(request)
            if number < MAX_STREAMS:
                open_bodies.append(self.cloud.run(asked).body)
            else:
                with self.assertRaises(Unavailable):
                    self.cloud.run(asked)
        self.assertEqual(self.get().status, 307)
        for body in open_bodies:
            self.cloud.run(body.aclose())
        self.assertEqual(live.streams, 0)
        self.assertEqual(self.get("?redirect=never").data, BIG)
        self.assertEqual(live.streams, 0)


class InlineTests(DownloadsCase):
    def test_facts(self) -> None:
        """What comes at once says as much as an offer would: time to the ms, SHA-256."""
        stored = self.cloud.ask("PUT", "/api/ann/x", b"1", X_OC_Mtime="1.5")
        self.assertEqual(stored.headers["Pigpen-Modified"], "1500")
        self.assertEqual(stored.json(wire.Stored).modified, 1500)
        answer = self.get("?redirect=false")
        self.assertEqual(answer.headers["Pigpen-Modified"], "1500")
        self.assertEqual(
            answer.headers["Repr-Digest"], format_digest(hashlib.sha256(b"1").digest())
        )
        self.cloud.ask("PUT", "/api/ann/x", b"2", X_OC_Mtime="1.7")
        self.assertEqual(self.get().headers["Pigpen-Modified"], "1700;same-second")

    def test_at_once(self) -> None:
        """Small objects come at once, with ranges, and safe to open in a browser."""
        self.assertEqual(
            self.cloud.ask("PUT", "/api/ann/x", b"<script>", Content_Type="text/html").status, 201
        )
        for query in ("", "?redirect=false", "?redirect=never"):
            answer = self.get(query)
            self.assertEqual((answer.status, answer.data), (200, b"<script>"))
            self.assertIn("ETag", answer.headers)
            self.assertEqual(answer.headers["Content-Disposition"], "attachment")
            self.assertEqual(answer.headers["X-Content-Type-Options"], "nosniff")
        part = self.get(Range="bytes=1-3")
        self.assertEqual((part.status, part.data), (206, b"scr"))
        head = self.get(method="HEAD")
        self.assertEqual((head.headers["Content-Length"], head.data), ("8", b""))
