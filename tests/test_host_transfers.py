"""What clients see at /x/UUID: the table of CLD-24, row by row."""

from __future__ import annotations

import errno

import msgspec
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from pigpen.errors import BodyAborted
from pigpen.http import wire
from pigpen.http.body import FileBody, PushBody
from pigpen.http.fields import format_digest
from pigpen.http.message import Response
from pigpen.testing import SimEnv
from tests.host_kit import CONTROL, MIB, Kit, chunks, digest_of, id_of


class PutTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.kit = Kit().start()

    def assert_nothing_kept(self) -> None:
        self.assertEqual(self.kit.files(), {})
        self.assertEqual((self.kit.host.room.used, self.kit.host.room.reserved), (0, 0))
        self.assertEqual(self.kit.coordinator.receipts, [])
        self.assertEqual(self.kit.disk.open_files, ["/pool/pigpen-host.lock"])

    def test_stored(self) -> None:
        """A 201 means the bytes are there, durable, and the coordinator has committed them."""
        path = self.kit.expect_put(1, length=5, digest=digest_of(b"hello"))
        response = self.kit.answer("PUT", path, body=b"hello")
        self.assertEqual(response.status, 201)
        digest = format_digest(bytes.fromhex(digest_of(b"hello")))
        self.assertEqual(response.headers["Repr-Digest"], digest)
        stored = msgspec.json.decode(self.kit.text(response), type=wire.Stored)
        blob = id_of(1 + 10**6)
        self.assertEqual(stored, wire.Stored(f'"{blob[:32]}"', "v1", False, 1))
        self.kit.disk.crash()
        self.assertEqual(self.kit.disk.peek(self.kit.blob_path(blob)), b"hello")
        [receipt] = self.kit.coordinator.receipts
        self.assertEqual(
            receipt, wire.Receipt(id_of(1), blob, 5, digest_of(b"hello"), 1, False, b"hello")
        )

    def test_large_and_unknown_length(self) -> None:
        """A body of many windows whose length nobody announced arrives whole."""
        data = bytes(range(256)) * 4096 * 5
        path = self.kit.expect_put(1)
        body = chunks(data, 64 * 1024)
        self.assertEqual(self.kit.status("PUT", path, body=body), 201)
        blob = id_of(1 + 10**6)
        self.assertEqual(self.kit.disk.peek(self.kit.blob_path(blob)), data)
        self.assertEqual(self.kit.coordinator.receipts[0].sha256, digest_of(data))
        self.assertIsNone(self.kit.coordinator.receipts[0].data)
        self.assertEqual(self.kit.host.room.reserved, 0)
        self.assertEqual(self.kit.host.room.used, len(data))

    def test_empty_object(self) -> None:
        """An object of no bytes that was announced so is stored."""
        path = self.kit.expect_put(1, length=0)
        self.assertEqual(self.kit.status("PUT", path), 201)
        self.assertEqual(self.kit.coordinator.receipts[0].length, 0)

    def test_wrong_bodies(self) -> None:
        """Each wrong body gets its status and leaves nothing behind."""
        rows: list[tuple[int, dict[str, object], bytes | PushBody]] = [
            (413, {"length": 3}, b"four"),
            (413, {"length": 3}, chunks(b"four", 2)),
            (413, {"max_bytes": 3}, b"four"),
            (413, {"max_bytes": 3}, chunks(b"four", 1)),
            (413, {"max_bytes": MIB}, chunks(b"x" * (MIB + 1), 64 * 1024)),
            (400, {"length": 5}, b"four"),
            (400, {"length": 5}, chunks(b"four", 2)),
            (400, {"length": 2 * MIB}, chunks(b"x" * MIB, 64 * 1024)),
            (400, {}, b""),
            (400, {}, chunks(b"", 1)),
            (422, {"length": 4, "digest": digest_of(b"five")}, b"four"),
            (422, {"digest": digest_of(b"x")}, chunks(b"y" * MIB, 64 * 1024)),
        ]
        for number, (status, fields, body) in enumerate(rows):
            path = self.kit.expect_put(number, **fields)
            self.assertEqual(self.kit.status("PUT", path, body=body), status, rows[number])
            if status == 422 or isinstance(body, PushBody):
                self.assertEqual(self.kit.status("PUT", path, body=body), 403, "spent")
        self.kit.advance(1000)
        self.assert_nothing_kept()

    def test_announced_length_is_judged_before_the_body(self) -> None:
        """A client that waits for 100 Continue learns for free that its body is too long."""
        path = self.kit.expect_put(1, length=3)
        body = PushBody(4)
        self.assertEqual(self.kit.status("PUT", path, body=body), 413)
        self.assertIsNone(body._reader)
        self.assertEqual(self.kit.status("PUT", path, body=b"abc"), 201)

    def test_fields_of_a_put(self) -> None:
        """The client's own digest is checked; a part does not pass for the whole."""
        right = format_digest(bytes.fromhex(digest_of(b"hello")))
        wrong = format_digest(bytes(32))
        rows = [
            (400, {}, {"Content-Range": "bytes 0-4/5"}),
            (400, {}, {"Repr-Digest": "sha-256=hello"}),
            (400, {}, {"Upload-Offset": "-1"}),
            (422, {}, {"Repr-Digest": wrong}),
            (422, {"digest": digest_of(b"hello")}, {"Repr-Digest": wrong}),
            (201, {"digest": digest_of(b"hello")}, {"Repr-Digest": right}),
            (201, {}, {"Repr-Digest": right}),
        ]
        for number, (status, fields, headers) in enumerate(rows):
            path = self.kit.expect_put(number, length=5, **fields)
            answer = self.kit.status("PUT", path, body=b"hello", headers=headers)
            self.assertEqual(answer, status, headers)

    def test_two_at_once(self) -> None:
        """The second connection of an upload gets 409, and the first goes on."""
        path = self.kit.expect_put(1, length=6)
        body = PushBody(6)
        first = self.kit.ask("PUT", path, body=body)
        body.push(b"abc")
        self.assertEqual(self.kit.status("PUT", path, body=b"abcdef"), 409)
        # from where it would go on nobody knows yet: not from byte 0
        rest = self.kit.env.run(
            self.kit.ask("PUT", path, headers={"Upload-Offset": "3"}, body=b"def")
        )
        self.assertEqual((rest.status, rest.headers.get("Upload-Offset")), (409, None))
        body.push(b"def")
        body.finish()
        self.assertEqual(self.kit.env.run(first).status, 201)
        self.assertEqual(self.kit.status("PUT", path, body=b"abcdef"), 403)

    def test_silence_is_cut(self) -> None:
        """A client that sends nothing for `idle` seconds gets 408."""
        path = self.kit.expect_put(1, length=6, idle=20)
        body = PushBody(6)
        answer = self.kit.ask("PUT", path, body=body)
        body.push(b"abc")
        self.kit.advance(19)
        self.assertNoResult(answer)
        self.kit.advance(2)
        self.assertEqual(self.kit.env.run(answer).status, 408)
        self.kit.advance(1000)
        self.assert_nothing_kept()

    def test_end_cuts(self) -> None:
        """An upload that never pauses still ends at `end`."""
        path = self.kit.expect_put(1, length=1000, end=30)
        body = PushBody(1000)
        answer = self.kit.ask("PUT", path, body=body)
        for _ in range(40):
            body.push(b"x")
            self.kit.advance(1)
        self.assertEqual(self.kit.env.run(answer).status, 408)
        self.assertEqual(self.kit.status("PUT", path, body=b"x"), 403)
        self.assert_nothing_kept()

    def test_status_of_a_put(self) -> None:
        """A client that lost the answer asks by GET how its PUT ended."""
        path = self.kit.expect_put(1, length=5)
        self.assertEqual(self.state(path), wire.WriteState("open"))
        self.kit.status("PUT", path, body=b"hello")
        etag = f'"{id_of(1 + 10**6)[:32]}"'
        self.assertEqual(self.state(path), wire.WriteState("committed", 201, etag))
        response = self.kit.answer("HEAD", path)
        self.assertEqual((response.status, response.headers["Upload-Complete"]), (204, "?1"))
        self.assertEqual(response.headers["Upload-Offset"], "5")

    def state(self, path: str) -> wire.WriteState:
        return msgspec.json.decode(
            self.kit.text(self.kit.answer("GET", path)), type=wire.WriteState
        )

    def test_read_error_of_the_body(self) -> None:
        """A body that is cut is no object."""
        path = self.kit.expect_put(1, length=6)
        body = PushBody(6)
        answer = self.kit.ask("PUT", path, body=body)
        body.push(b"abc")
        body.fail(BodyAborted(received=3, reason="reset"))
        self.assertEqual(self.kit.env.run(answer).status, 500)
        self.assertEqual(self.kit.status("PUT", path, body=b"abcdef"), 201)


class ResumeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.kit = Kit().start()
        self.data = bytes(range(251)) * 10_000
        self.path = self.kit.expect_put(1, length=len(self.data), digest=digest_of(self.data))

    def cut(self, count: int, path: str) -> None:
        """Send so many bytes, and lose the connection."""
        body = PushBody(len(self.data))
        answer = self.kit.ask("PUT", path, body=body)
        for start in range(0, count, 65536):
            body.push(self.data[start : min(count, start + 65536)])
            self.kit.advance(0.1)
        answer.cancel()
        self.failureResultOf(answer)
        self.kit.advance(1)

    def offset(self, path: str) -> int:
        response = self.kit.answer("HEAD", path)
        self.assertEqual((response.status, response.headers["Upload-Complete"]), (204, "?0"))
        return int(response.headers["Upload-Offset"])

    def resume(self, path: str, offset: int) -> Response:
        headers = {"Upload-Offset": str(offset)}
        return self.kit.answer("PUT", path, body=self.data[offset:], headers=headers)

    def assert_stored(self) -> None:
        blob = id_of(1 + 10**6)
        self.assertEqual(list(self.kit.files()), [self.kit.blob_path(blob)])
        self.assertEqual(self.kit.disk.peek(self.kit.blob_path(blob)), self.data)
        room = self.kit.host.room
        self.assertEqual((room.reserved, room.used), (0, -(-len(self.data) // 4096) * 4096))

    def test_resume(self) -> None:
        """After a cut the client sends the rest only."""
        self.cut(1_000_000, self.path)
        self.assertEqual(self.offset(self.path), 1_000_000)
        wrong = self.resume(self.path, 999_999)
        self.assertEqual((wrong.status, wrong.headers["Upload-Offset"]), (409, "1000000"))
        self.assertEqual(self.resume(self.path, 1_000_000).status, 201)
        self.assert_stored()

    def test_sender_comes_back(self) -> None:
        """A client whose connection died unnoticed asks for the offset and goes on at once."""
        for again in (False, True):
            body = PushBody(len(self.data))
            answer = self.kit.ask("PUT", self.path, body=body)
            body.push(self.data[:600_000])
            self.kit.advance(1)
            path = self.path
            if again:
                path = self.kit.expect_put(5, blob=id_of(1 + 10**6), length=len(self.data))
            self.assertEqual(self.offset(path), 600_000)
            self.assertEqual(self.kit.env.run(answer).status, 409)
        self.assertEqual(self.resume(path, 600_000).status, 201)
        self.assertEqual(self.kit.status("PUT", self.path, body=self.data), 409)
        self.kit.advance(1000)
        self.assert_stored()

    def test_two_writers_of_one_blob(self) -> None:
        """While a blob waits for its receipt, another uuid for it cannot write it again."""
        self.kit.coordinator.mute = True
        first = self.kit.ask("PUT", self.path, body=self.data)
        self.kit.advance(1)
        path = self.kit.expect_put(5, blob=id_of(1 + 10**6), length=len(self.data))
        self.assertEqual(self.resume(path, len(self.data)).status, 409)
        first.cancel()
        self.failureResultOf(first)

    def test_again_and_again(self) -> None:
        """Resuming does not count as a request."""
        for count in (400_000, 800_000, 1_200_000):
            have = self.offset(self.path)
            body = PushBody(len(self.data) - have)
            headers = {"Upload-Offset": str(have)}
            answer = self.kit.ask("PUT", self.path, body=body, headers=headers)
            body.push(self.data[have : have + 400_000])
            self.kit.advance(1)
            answer.cancel()
            self.failureResultOf(answer)
            self.kit.advance(1)
            self.assertGreaterEqual(self.offset(self.path), count)
        self.assertEqual(self.resume(self.path, self.offset(self.path)).status, 201)
        self.assert_stored()

    def test_from_the_start(self) -> None:
        """A client that does not know of resuming sends all again."""
        self.cut(1_000_000, self.path)
        self.assertEqual(self.kit.status("PUT", self.path, body=self.data), 201)
        self.assert_stored()

    def test_new_expectation(self) -> None:
        """A new uuid for the same write says how much is here, and reserves the rest only."""
        self.cut(1_000_000, self.path)
        self.kit.advance(2000)
        self.assertEqual(self.kit.host.room.reserved, 0)
        again = wire.Expectation(id_of(2), "PUT", id_of(1 + 10**6), id_of(1), length=len(self.data))
        [answer] = self.kit.expect(again)
        self.assertEqual((answer.status, answer.offset), (204, 1_000_000))
        self.assertEqual(self.kit.host.room.reserved, len(self.data) - 1_000_000)
        self.assertEqual(self.resume(f"/x/{id_of(2)}", 1_000_000).status, 201)
        self.assert_stored()

    def test_after_a_power_cut(self) -> None:
        """What was acknowledged by HEAD survives a power cut; the part is hashed again."""
        self.cut(1_000_000, self.path)
        self.kit.env.power_cut()
        self.kit = Kit(self.kit.env.boot(), self.kit.coordinator).start()
        path = self.kit.expect_put(
            3, blob=id_of(1 + 10**6), length=len(self.data), digest=digest_of(self.data)
        )
        self.assertEqual(self.offset(path), 1_000_000)
        self.assertEqual(self.resume(path, 1_000_000).status, 201)
        self.assert_stored()

    def test_kept_a_day(self) -> None:
        """A part nobody comes back for is gone after 24 hours, with its room."""
        self.cut(1_000_000, self.path)
        self.kit.advance(24 * 3600 + 100)
        self.assertEqual(self.kit.files(), {})
        self.assertEqual((self.kit.host.room.used, self.kit.host.room.reserved), (0, 0))

    def test_back_as_it_goes(self) -> None:
        """Who comes back in the moment in which the part is removed stores all of it, at once or
        at the second try; the file is never taken from under the new upload."""
        for seed in range(5):
            env = SimEnv(seed)
            env.world.thread_seconds = (0.001, 0.02)
            self.kit = Kit(env).start()
            self.path = self.kit.expect_put(1, length=len(self.data))
            self.cut(1_000_000, self.path)
            self.kit.advance(24 * 3600)
            one = wire.Expectation(id_of(2), "PUT", id_of(1 + 10**6), length=len(self.data))
            self.assertEqual(self.kit.statuses(one), [204])
            cleaning = Deferred.fromCoroutine(self.kit.host.clean_up())
            status = self.kit.status("PUT", f"/x/{id_of(2)}", body=chunks(self.data, 65536))
            if status == 409:
                self.kit.advance(0.1)
                status = self.kit.status("PUT", f"/x/{id_of(2)}", body=self.data)
            self.assertEqual(status, 201, seed)
            self.successResultOf(cleaning)
            self.assert_stored()

    def test_full_since_the_part_is_gone(self) -> None:
        """One who was promised room for the rest only, and must send all, is refused if there is
        no more room; nothing of it is left."""
        self.cut(1_000_000, self.path)
        self.kit.advance(24 * 3600 - 100)
        one = wire.Expectation(id_of(2), "PUT", id_of(1 + 10**6), length=5, start=600, end=900)
        self.assertEqual(self.kit.statuses(one), [204])
        self.kit.advance(200)
        room = self.kit.host.room
        room.target_size = room.used
        self.assertEqual(self.kit.status("PUT", f"/x/{id_of(2)}", body=b"hello"), 507)
        self.kit.stop()
        self.assertEqual((room.used, room.reserved), (0, 0))

    def test_answer_lost(self) -> None:
        """If the host died after the rename, the client only asks for the receipt again."""
        self.kit.coordinator.mute = True
        answer = self.kit.ask("PUT", self.path, body=self.data)
        self.kit.advance(1)
        self.assertNoResult(answer)
        self.kit.env.power_cut()
        self.kit = Kit(self.kit.env.boot()).start()
        path = self.kit.expect_put(
            3, blob=id_of(1 + 10**6), length=len(self.data), digest=digest_of(self.data)
        )
        self.assertEqual(self.offset(path), len(self.data))
        self.assertEqual(self.kit.status("PUT", path, body=self.data), 409)
        self.assertEqual(self.resume(path, len(self.data)).status, 201)
        self.assertEqual(self.kit.coordinator.receipts[0].sha256, digest_of(self.data))
        self.assert_stored()


class GetTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.kit = Kit().start()
        self.data = bytes(range(256)) * 4
        self.blob = self.kit.store(1, self.data)
        self.number = 10

    def get(
        self, headers: dict[str, str] | None = None, method: str = "GET", **fields: object
    ) -> tuple[int, bytes, Response]:
        self.number += 1
        path = self.kit.expect_get(self.blob, self.number, **fields)
        response = self.kit.answer(method, path, headers=headers)
        return response.status, self.kit.text(response), response

    def test_idle(self) -> None:
        """A reader has the time that its expectation gives it."""
        body = self.get(idle=20)[2].body
        assert isinstance(body, FileBody)
        self.assertEqual(body.idle, 20)

    def test_whole(self) -> None:
        """A GET gives the bytes, and a browser never shows them as a page."""
        digest = digest_of(self.data)
        status, data, response = self.get(
            content_type="text/html", modified=1_700_000_000_123, digest=digest
        )
        self.assertEqual((status, data), (200, self.data))
        headers = dict(response.headers)
        self.assertEqual(headers.pop("Repr-Digest"), format_digest(bytes.fromhex(digest)))
        self.assertEqual(
            headers,
            {
                "Accept-Ranges": "bytes",
                "Cache-Control": "no-store",
                "Content-Disposition": "attachment",
                "Content-Length": "1024",
                "Content-Security-Policy": "sandbox",
                "Content-Type": "text/html",
                "ETag": f'"{self.blob[:32]}"',
                "Last-Modified": "Tue, 14 Nov 2023 22:13:20 GMT",
                "Referrer-Policy": "no-referrer",
                "X-Content-Type-Options": "nosniff",
            },
        )

    def test_announced_again(self) -> None:
        """One blob under two keys: each download says what was announced for it."""
        rows = [("text/html", 1_700_000_000_000), ("text/plain", None), ("text/html", None)]
        for content_type, modified in rows * 2:
            headers = self.get(content_type=content_type, modified=modified)[2].headers
            self.assertEqual(headers["Content-Type"], content_type)
            self.assertEqual("Last-Modified" in headers, modified is not None)
            self.assertEqual(headers["Content-Length"], "1024")

    def test_ranges(self) -> None:
        """Any one range of the blob, and the conditions of RFC 9110."""
        etag = f'"{self.blob[:32]}"'
        rows = [
            ({"Range": "bytes=0-9"}, 206, self.data[:10]),
            ({"Range": "bytes=-4"}, 206, self.data[-4:]),
            ({"Range": "bytes=1000-"}, 206, self.data[1000:]),
            ({"Range": "bytes=0-1,5-6"}, 200, self.data),
            ({"Range": "bytes=2-3", "If-Range": etag}, 206, self.data[2:4]),
            ({"Range": "bytes=2-3", "If-Range": '"x"'}, 200, self.data),
            ({"If-None-Match": etag}, 304, b""),
        ]
        for headers, status, data in rows:
            self.assertEqual(self.get(headers)[:2], (status, data), headers)
        self.assertEqual(self.get({"Range": "bytes=1024-"})[0], 416)
        self.assertEqual(self.get({"If-Match": '"x"'})[0], 412)

    def test_confined_to_a_range(self) -> None:
        """An expectation of a range gives these bytes or none."""
        etag = f'"{self.blob[:32]}"'
        rows = [
            ({}, 206, self.data[10:20]),
            ({"Range": "bytes=10-19"}, 206, self.data[10:20]),
            ({"Range": "bytes=12-13"}, 206, self.data[12:14]),
            ({"Range": "bytes=0-1,5-6"}, 206, self.data[10:20]),
            ({"Range": "bytes=12-13", "If-Range": etag}, 206, self.data[12:14]),
        ]
        for headers, status, data in rows:
            self.assertEqual(self.get(headers, range=(10, 19))[:2], (status, data), headers)
        for text in ("bytes=9-19", "bytes=10-20", "bytes=0-", "bytes=-1"):
            self.assertEqual(self.get({"Range": text}, range=(10, 19))[0], 403, text)
        stale = {"Range": "bytes=12-13", "If-Range": '"x"'}
        self.assertEqual(self.get(stale, range=(10, 19))[0], 412)
        self.assertEqual(self.get({"Range": "bytes=2000-"}, range=(10, 19))[0], 416)
        self.assertEqual(self.get({}, range=(2000, 2001))[0], 416)
        self.assertEqual(self.get({}, range=(1000, 2001))[:2], (206, self.data[1000:]))

    def test_head_is_free(self) -> None:
        """HEAD says what GET would and uses nothing up."""
        path = self.kit.expect_get(self.blob, 1, requests=1)
        for _ in range(5):
            response = self.kit.answer("HEAD", path)
            self.assertEqual(response.headers["Content-Length"], "1024")
            self.assertEqual(self.kit.text(response), b"")
        self.assertEqual(self.kit.status("GET", path), 200)

    def test_counted(self) -> None:
        """So many requests, and no more; one whose client left before the first byte is back."""
        path = self.kit.expect_get(self.blob, 1, requests=2)
        for _ in range(3):  # the body is closed unread
            self.assertEqual(self.kit.status("GET", path), 200)
        for _ in range(2):
            self.assertEqual(self.kit.text(self.kit.answer("GET", path)), self.data)
        self.assertEqual(self.kit.status("GET", path), 403)

    def test_counted_at_once(self) -> None:
        """Two connections cannot both have the one request that is left (Y5)."""
        self.kit.host._files.close()
        path = self.kit.expect_get(self.blob, 1, requests=1)
        first, second = self.kit.ask("GET", path), self.kit.ask("GET", path)
        statuses = sorted(self.kit.env.run(one).status for one in (first, second))
        self.assertEqual(statuses, [200, 403])

    def test_max_bytes(self) -> None:
        """`max_bytes` holds over all requests."""
        path = self.kit.expect_get(self.blob, 1, max_bytes=1030)
        part = {"Range": "bytes=0-5"}
        self.assertEqual(self.kit.text(self.kit.answer("GET", path)), self.data)
        self.assertEqual(self.kit.status("GET", path), 403)
        self.assertEqual(len(self.kit.text(self.kit.answer("GET", path, headers=part))), 6)
        self.assertEqual(self.kit.status("GET", path, headers=part), 403)

    def test_deadline(self) -> None:
        """Whoever sends the body is told when it must stop."""
        path = self.kit.expect_get(self.blob, 1, end=30)
        body = self.kit.answer("GET", path).body
        self.assertTrue(29 < body.deadline - self.kit.env.clock.seconds() <= 30)

    def test_refused_alike(self) -> None:
        """Unknown, late, spent, from elsewhere, by another method: one same 403."""
        spent = self.kit.expect_get(self.blob, 1, requests=1)
        self.kit.text(self.kit.answer("GET", spent))
        late = self.kit.expect_get(self.blob, 2, start=10)
        self.kit.advance(10)
        other = self.kit.expect_get(self.blob, 3, from_="198.51.100.0/24")
        head = self.kit.expect(wire.Expectation(id_of(4), "HEAD", self.blob))
        self.assertEqual(head[0].status, 204)
        put = self.kit.expect_get(self.blob, 5)
        asked = [
            ("GET", f"/x/{id_of(99)}", {}),
            ("GET", "/x/nonsense", {}),
            ("GET", "/x/", {}),
            ("GET", spent, {}),
            ("GET", late, {}),
            ("GET", other, {}),
            ("GET", f"/x/{id_of(4)}", {}),
            ("PUT", put, {"body": b"x"}),
            ("GET", put + "/", {}),
            ("GET", put, {"query": "a=b"}),
        ]
        texts = set()
        for method, path, options in asked:
            response = self.kit.answer(method, path, **options)
            self.assertEqual(response.status, 403, (method, path))
            texts.add((self.kit.text(response), tuple(sorted(response.headers.items()))))
        self.assertEqual(len(texts), 1)
        self.assertEqual(self.kit.status("POST", put), 405)
        self.assertEqual(self.kit.status("GET", other, address="::ffff:198.51.100.9"), 200)
        self.assertEqual(self.kit.status("HEAD", f"/x/{id_of(4)}"), 200)

    def test_bad_blobs(self) -> None:
        """A blob that is gone, no file, or of another length is 503, and reported at once."""
        beats = len(self.kit.coordinator.heartbeats)
        path = self.kit.expect_get(self.blob, 1, length=1023)
        self.assertEqual(self.kit.status("GET", path), 503)
        gone = self.kit.store(2, b"gone")
        path = self.kit.expect_get(gone, 2)
        self.kit.host._files.close()
        self.kit.disk.remove(self.kit.blob_path(gone))
        self.assertEqual(self.kit.status("GET", path), 503)
        linked = self.kit.store(3, b"linked")
        path = self.kit.expect_get(linked, 3)
        self.kit.host._files.close()
        self.kit.disk.remove(self.kit.blob_path(linked))
        self.kit.disk.plant_link(self.kit.blob_path(linked), "/etc/passwd")
        self.assertEqual(self.kit.status("GET", path), 503)
        self.kit.advance(3)
        self.assertNotIn(self.kit.blob_path(linked), self.kit.files())
        self.assertEqual(self.kit.statuses(wire.Expectation(id_of(77), "GET", gone)), [404])
        bad = [blob for beat in self.kit.coordinator.heartbeats[beats:] for blob in beat.bad]
        self.assertEqual(set(bad), {self.blob, gone, linked})

    def test_bad_while_read(self) -> None:
        """A blob that the disk cannot read, or that became shorter under its reader, is cut and
        reported, so that the next reader is sent to another copy (D3)."""
        for damage in (self.break_disk, self.shorten):
            beats = len(self.kit.coordinator.heartbeats)
            path = self.kit.expect_get(self.blob, self.number)
            response = self.kit.answer("GET", path)
            damage()
            with self.assertRaises((OSError, BodyAborted)):
                self.kit.text(response)
            self.kit.run(response.body.aclose())
            self.kit.advance(3)
            bad = [blob for beat in self.kit.coordinator.heartbeats[beats:] for blob in beat.bad]
            self.assertEqual(bad, [self.blob])
            self.number += 1

    def break_disk(self) -> None:
        self.kit.disk.fail_next(OSError(errno.EIO, "planned"), "read")

    def shorten(self) -> None:
        file = self.kit.disk.open_append(self.kit.blob_path(self.blob))
        file.truncate(0)
        file.close()

    def test_reader_leaves(self) -> None:
        """A reader who leaves, or a host short of memory, says nothing against the blob."""
        beats = len(self.kit.coordinator.heartbeats)
        response = self.kit.answer("GET", self.kit.expect_get(self.blob, 1))
        self.kit.run(response.body.aclose())
        response = self.kit.answer("GET", self.kit.expect_get(self.blob, 2))
        self.kit.disk.fail_next(OSError(errno.ENOMEM, "planned"), "read")
        with self.assertRaises(OSError):
            self.kit.text(response)
        self.kit.advance(15)
        bad = [blob for beat in self.kit.coordinator.heartbeats[beats:] for blob in beat.bad]
        self.assertEqual(bad, [])

    def test_read_while_removed(self) -> None:
        """Who is reading a blob gets it whole, even if it is removed meanwhile."""
        path = self.kit.expect_get(self.blob, 1)
        response = self.kit.answer("GET", path)
        self.kit.run(self.kit.host._drop(self.blob))
        self.assertEqual(self.kit.text(response), self.data)
        self.kit.advance(1)
        self.assertEqual(self.kit.disk.open_files, ["/pool/pigpen-host.lock"])


class ExpectTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.kit = Kit(target_size=10 * MIB, max_account_expectations=5).start()

    def test_only_the_coordinator(self) -> None:
        """A stranger's expectations are refused, and two answers never differ by time or text."""
        for value in (None, "Bearer x", f"Basic {CONTROL}", "Bearer ", f"Bearer {'d' * 64}"):
            headers = {} if value is None else {"Authorization": value}
            self.assertEqual(self.kit.status("POST", "/expect", headers=headers), 401, value)
        self.assertEqual(self.kit.status("GET", "/expect"), 405)

    def test_repeated_and_different(self) -> None:
        """Repeating an expectation is a no-op; another one under its uuid is 409."""
        one = wire.Expectation(id_of(1), "PUT", id_of(2), id_of(3), length=4 * MIB)
        self.assertEqual(self.kit.statuses(one, one), [204, 204])
        self.assertEqual(self.kit.host.room.reserved, 4 * MIB)
        other = wire.Expectation(id_of(1), "PUT", id_of(2), id_of(3), length=5)
        self.assertEqual(self.kit.statuses(other), [409])

    def test_statuses(self) -> None:
        """Each reason not to accept has its status; the others of the batch are accepted."""
        batch = [
            wire.Expectation(id_of(1), "GET", id_of(2)),
            wire.Expectation(id_of(3), "PUT", id_of(4), length=11 * MIB),
            wire.Expectation(id_of(5), "PUT", id_of(6)),
            wire.Expectation(id_of(7), "PUT", id_of(8), length=1, from_="nowhere"),
            wire.Expectation(id_of(9), "PUT", id_of(10), length=1),
        ]
        answers = self.kit.expect(*batch)
        self.assertEqual([answer.status for answer in answers], [404, 507, 400, 400, 204])
        self.assertEqual([answer.uuid for answer in answers], [one.uuid for one in batch])

    def test_closed_meanwhile(self) -> None:
        """A blob whose file was closed to make room for the others of a batch is not missed."""
        kit = Kit(open_files=2).start()
        first, second, third = (kit.store(number, b"hello") for number in range(3))
        kit.expect_get(first, 1)
        kit.expect_get(second, 2)
        batch = [
            wire.Expectation(id_of(10 + n), "GET", blob) for n, blob in enumerate((first, third))
        ]
        self.assertEqual(kit.statuses(*batch), [204, 204])
        for number in (10, 11):
            self.assertEqual(kit.text(kit.answer("GET", f"/x/{id_of(number)}")), b"hello")
        self.assertEqual(kit.host.session.condition.bad, {})
        self.assertEqual(sum(beat.bad != [] for beat in kit.coordinator.heartbeats), 0)

    def test_overcommit(self) -> None:
        """100 uploads that fit singly but not together: exactly those that fit get room (D5)."""
        batch = [wire.Expectation(id_of(n), "PUT", id_of(1000 + n), length=MIB) for n in range(100)]
        self.assertEqual(self.kit.statuses(*batch), [204] * 10 + [507] * 90)
        self.assertEqual(self.kit.host.room.left, 0)
        self.kit.advance(700)
        self.assertEqual(self.kit.host.room.reserved, 0)
        self.assertEqual(len(self.kit.host.table), 0)

    def test_full_in_mid_body(self) -> None:
        """A body of unknown length that outgrows the room is 507, and nothing is left of it."""
        kit = Kit(target_size=65 * MIB).start()
        path = kit.expect_put(1)
        self.assertEqual(kit.status("PUT", path, body=chunks(b"x" * (66 * MIB), MIB)), 507)
        self.assertEqual(kit.files(), {})
        self.assertEqual((kit.host.room.used, kit.host.room.reserved), (0, 0))

    def test_floor(self) -> None:
        """The disk's own free space counts, less the floor."""
        kit = Kit(floor=1 << 40).start()
        one = wire.Expectation(id_of(1), "PUT", id_of(2), length=1)
        self.assertEqual(kit.statuses(one), [507])

    def test_account_limit(self) -> None:
        """One account cannot use up the host's memory; other accounts go on."""
        batch = [
            wire.Expectation(id_of(n), "PUT", id_of(n), length=1, account="a") for n in range(6)
        ]
        self.assertEqual(self.kit.statuses(*batch), [204] * 5 + [429])
        other = wire.Expectation(id_of(50), "PUT", id_of(50), length=1, account="b")
        self.assertEqual(self.kit.statuses(other), [204])
        self.assertEqual(self.kit.status("PUT", f"/x/{id_of(0)}", body=b"x"), 201)
        self.assertEqual(self.kit.statuses(batch[5]), [204])

    def test_bad_batches(self) -> None:
        """What is no batch of expectations is refused whole."""
        headers = {"Authorization": f"Bearer {CONTROL}"}
        many = wire.encode([wire.Expectation(id_of(1), "GET", id_of(2))] * 1001)
        rows = [(b"", 400), (b"{}", 400), (b'[{"uuid":"../x"}]', 400), (many, 413)]
        for body, status in rows:
            self.assertEqual(self.kit.status("POST", "/expect", body=body, headers=headers), status)
        huge = b"[" + b" " * MIB + b"]"
        self.assertEqual(self.kit.status("POST", "/expect", body=huge, headers=headers), 413)
