"""A whole cloud, simulated: one coordinator, two hosts, users. Time passes by itself."""

from __future__ import annotations

import hashlib

from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from pigpen.http import wire
from pigpen.http.body import StreamBody
from tests.cloud_kit import Cloud

BIG = bytes(range(256)) * 256 * 2


async def chunks(data: bytes):  # type: ignore[no-untyped-def]
    for start in range(0, len(data), 10_000):
        yield data[start : start + 10_000]


class CloudTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.cloud = Cloud()
        self.addCleanup(self.cloud.close)
        for name in ("h1", "h2"):
            self.cloud.start_host(name)

    def test_json_form(self) -> None:
        """pigpen's own client puts and gets; every byte arrives, none through the coordinator."""
        stored = self.cloud.put("a/b", BIG)
        self.assertEqual(stored.status, 201, stored)
        got = self.cloud.get("a/b")
        self.assertEqual(got.data, BIG)
        self.assertEqual(got.headers["ETag"], stored.json(wire.Stored).etag)
        for direction in ("in", "out"):
            name = f'pigpen_body_bytes_total{{direction="{direction}"}}'
            self.assertEqual(self.cloud.metric(name), 0)

    def test_download_offer(self) -> None:
        """The JSON form of a read names length, digest, and a host that expects the reader."""
        self.cloud.put("x", BIG, Content_Type="image/png")
        offer = self.cloud.ask("GET", "/api/ann/x?redirect=false").json(wire.DownloadOffer)
        self.assertEqual(offer.length, len(BIG))
        self.assertEqual(offer.digest, hashlib.sha256(BIG).hexdigest())
        self.assertEqual(offer.content_type, "image/png")
        part = self.cloud.ask("GET", offer.sources[0].url, Range="bytes=5-9")
        self.assertEqual((part.status, part.data), (206, BIG[5:10]))

    def test_streamed(self) -> None:
        """Clients that cannot follow put and get through the coordinator."""
        stored = self.cloud.ask("PUT", "/api/ann/x", BIG)
        self.assertEqual(stored.status, 201, stored)
        replaced = self.cloud.ask("PUT", "/api/ann/x", StreamBody(chunks(BIG[::-1])))
        self.assertEqual(replaced.status, 204, replaced)
        got = self.cloud.ask("GET", "/api/ann/x?redirect=never")
        self.assertEqual((got.status, got.data), (200, BIG[::-1]))
        self.assertEqual(got.headers["ETag"], replaced.headers["ETag"])

    def test_listing(self) -> None:
        """ls shows what was put, in order, with an end."""
        self.cloud.put("b/c", BIG)
        self.cloud.put("a", b"small")
        lines = self.cloud.ask("GET", "/api/ann/?depth=infinity").data.splitlines()
        self.assertEqual(len(lines), 4)
        self.assertIn(b'"name":"a"', lines[0])
        self.assertIn(b'"name":"b/c"', lines[2])
        self.assertEqual(lines[3], b'{"end":true,"next":null}')

    def test_conditions(self) -> None:
        """Two editors do not overwrite each other."""
        first = self.cloud.put("x", BIG)
        etag = first.json(wire.Stored).etag
        self.assertEqual(self.cloud.put("x", BIG, If_None_Match="*").status, 412)
        self.assertEqual(self.cloud.put("x", BIG, If_Match='"other"').status, 412)
        self.assertEqual(self.cloud.put("x", BIG, If_Match=etag).status, 201)
        self.assertEqual(self.cloud.put("x", BIG, If_Match=etag).status, 412)

    def test_host_killed_in_upload(self) -> None:
        """An upload cut by a dying host leaves the old version; asking settles what happened."""
        self.cloud.put("x", BIG)
        asked = self.cloud.ask("PUT", "/api/ann/x?redirect=false", Upload_Length=str(len(BIG)))
        offer = asked.json(wire.UploadOffer)
        host = "h1" if "//h1" in offer.url else "h2"
        self.cloud.nodes[host].env.kill()
        state = self.cloud.ask("GET", f"/api/ann/x?write={offer.write}")
        self.assertEqual(state.json(wire.WriteState).state, "open")
        self.assertEqual(self.cloud.ask("DELETE", f"/api/ann/x?write={offer.write}").status, 204)
        self.assertEqual(self.cloud.put("y", BIG).status, 201)

    def test_coordinator_restart(self) -> None:
        """A coordinator that was killed and started again knows everything, at once."""
        self.cloud.put("x", BIG)
        self.cloud.put("small", b"1")
        self.cloud.restart_coordinator()
        self.assertEqual(self.cloud.get("x").data, BIG)
        self.assertEqual(self.cloud.get("small").data, b"1")
        self.assertEqual(self.cloud.put("y", BIG).status, 201)

    def test_quota(self) -> None:
        """What is over the quota is refused before a byte is sent."""
        self.cloud.set_quota(len(BIG) + 10)
        self.assertEqual(self.cloud.put("x", BIG).status, 201)
        refused = self.cloud.put("y", BIG)
        self.assertEqual((refused.status, refused.code), (507, "quota"))

    def test_wrong_key(self) -> None:
        """Without a valid key nothing is told and nothing changes."""
        self.cloud.put("x", BIG)
        for method in ("GET", "PUT", "DELETE"):
            answer = self.cloud.ask(method, "/api/ann/x", key=self.cloud.key[:-1] + "x")
            self.assertEqual(answer.status, 401)
            self.assertEqual(len(answer.headers.getall("WWW-Authenticate")), 2)
        self.assertEqual(self.cloud.get("x").data, BIG)

    def test_no_host_left(self) -> None:
        """With all its hosts gone an object is unavailable, never not found."""
        self.cloud.put("x", BIG)
        for name in ("h1", "h2"):
            self.cloud.nodes[name].env.kill()
        gone = self.cloud.ask("GET", "/api/ann/x")
        self.assertEqual((gone.status, gone.code), (503, "no-replica"))
        self.assertIn("Retry-After", gone.headers)

    def test_no_secret_in_logs(self) -> None:
        """No access key, host key, control secret or request id is in any logged event (REL-A5)."""
        events: list[str] = []

        def observe(event: LogEvent) -> None:
            events.append(formatEvent(event) + repr(event))

        globalLogPublisher.addObserver(observe)  # type: ignore[arg-type]
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        offer = self.cloud.ask("PUT", "/api/ann/x?redirect=false", Upload_Length=str(len(BIG)))
        self.cloud.ask("PUT", offer.json(wire.UploadOffer).url, BIG)
        location = self.cloud.ask("GET", "/api/ann/x").headers["Location"]
        wrong = self.cloud.key[:-1] + "x"
        self.cloud.ask("GET", "/api/ann/x", key=wrong)
        self.cloud.nodes["h1"].env.kill()
        self.cloud.nodes["h2"].env.boot()
        self.cloud.start_host("h2")
        self.cloud.ask("GET", "/api/ann/x?redirect=never")
        self.cloud.restart_coordinator()
        session = self.cloud.nodes["h2"].part.session
        logged = "\n".join(events)
        self.assertIn("epoch", logged)
        for secret in (
            self.cloud.key,
            wrong,
            offer.json(wire.UploadOffer).uuid,
            location.rpartition("/")[2],
            session.identity.host_key,
            session.control,
        ):
            self.assertNotIn(secret, logged)
