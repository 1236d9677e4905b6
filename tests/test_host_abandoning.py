"""Uploads that their senders give up: nothing of them is kept, and nothing stored is lost."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from pigpen.http.body import PushBody
from pigpen.http.message import Response
from tests.host_kit import Kit, chunks, digest_of, id_of

DATA = bytes(range(251)) * 6_000
BLOB = id_of(1 + 10**6)


class AbandonCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.kit = Kit().start()
        self.path = self.kit.expect_put(1, length=len(DATA), digest=digest_of(DATA))

    def send(self, count: int, path: str) -> Deferred[Response]:
        """A PUT of which so many bytes have come."""
        body = PushBody(len(DATA))
        answer = self.kit.ask("PUT", path, body=body)
        for start in range(0, count, 65536):
            body.push(DATA[start : min(count, start + 65536)])
            self.kit.advance(0.1)
        return answer

    def cut(self, count: int, path: str) -> None:
        answer = self.send(count, path)
        answer.cancel()
        self.failureResultOf(answer)
        self.kit.advance(1)

    def assert_nothing_kept(self, why: object = None) -> None:
        self.assertEqual(self.kit.files(), {}, why)
        self.assertEqual((self.kit.host.room.used, self.kit.host.room.reserved), (0, 0), why)
        self.assertEqual(self.kit.disk.open_files, ["/pool/pigpen-host.lock"], why)

    def assert_stored(self, why: object = None) -> None:
        self.assertEqual(list(self.kit.files()), [self.kit.blob_path(BLOB)], why)
        self.assertEqual(self.kit.disk.peek(self.kit.blob_path(BLOB)), DATA, why)


class AbandonTests(AbandonCase):
    def test_cut(self) -> None:
        """What came before a cut does not lie there for a day."""
        self.cut(1_000_000, self.path)
        self.assertEqual(sum(self.kit.files().values()) >= 1_000_000, True)
        for _ in range(2):
            self.assertEqual(self.kit.status("DELETE", self.path), 204)
            self.assert_nothing_kept()
        self.assertEqual(self.kit.status("PUT", self.path, body=DATA), 403)
        self.assert_nothing_kept()

    def test_under_way(self) -> None:
        """A sender whose old connection died unnoticed gives up by a new one."""
        for count in (0, 1000, 1_000_000):
            self.begin()
            answer = self.send(count, self.path)
            self.assertEqual(self.kit.status("DELETE", self.path), 204)
            self.assertEqual(self.kit.env.run(answer).status, 409)
            self.assert_nothing_kept()

    def test_never_begun(self) -> None:
        """Room that was set aside at a host that got no byte is free again."""
        self.assertEqual(self.kit.host.room.reserved, len(DATA))
        self.assertEqual(self.kit.status("DELETE", self.path), 204)
        self.assert_nothing_kept()

    def test_while_part_is_read_again(self) -> None:
        """Giving up ends a resumption that has not come to its first byte."""
        self.cut(1_000_000, self.path)
        self.kit.env.power_cut()
        self.kit = Kit(self.kit.env.boot(), self.kit.coordinator).start()
        path = self.kit.expect_put(2, blob=BLOB, length=len(DATA))
        fields = {"Upload-Offset": "1000000"}
        body = PushBody(len(DATA) - 1_000_000)
        answer = self.kit.ask("PUT", path, body=body, headers=fields)
        self.assertEqual(self.kit.status("DELETE", path), 204)
        self.assertEqual(self.kit.env.run(answer).status, 409)
        self.assert_nothing_kept()

    def test_complete(self) -> None:
        """What is stored stays, whoever gives it up."""
        self.assertEqual(self.kit.status("PUT", self.path, body=chunks(DATA, 65536)), 201)
        self.assertEqual(self.kit.status("DELETE", self.path), 409)
        self.assert_stored()
        again = self.kit.expect_put(2, blob=BLOB, length=len(DATA))
        self.assertEqual(self.kit.status("DELETE", again), 409)
        self.assert_stored()

    def test_receipt_on_its_way(self) -> None:
        """Nor is removed what only waits for the coordinator's word."""
        self.kit.coordinator.mute = True
        answer = self.kit.ask("PUT", self.path, body=chunks(DATA, 65536))
        self.kit.advance(1)
        self.assertEqual(self.kit.status("DELETE", self.path), 409)
        self.kit.advance(30)
        self.assertEqual(self.kit.env.run(answer).status, 202)
        self.assertEqual(self.kit.status("DELETE", self.path), 409)
        self.assert_stored()

    def test_other_id(self) -> None:
        """An old id does not end what its sender goes on with under a new one."""
        self.cut(600_000, self.path)
        path = self.kit.expect_put(2, blob=BLOB, length=len(DATA))
        body = PushBody(len(DATA) - 600_000)
        answer = self.kit.ask("PUT", path, body=body, headers={"Upload-Offset": "600000"})
        self.kit.advance(1)
        self.assertEqual(self.kit.status("DELETE", self.path), 409)
        body.push(DATA[600_000:])
        body.finish()
        self.assertEqual(self.kit.env.run(answer).status, 201)
        self.assert_stored()

    def test_refused_alike(self) -> None:
        """Only who holds the id of an upload ends it."""
        blob = self.kit.store(5, b"hello")
        got = self.kit.expect_get(blob, 6)
        away = self.kit.expect_put(7, length=9, from_="198.51.100.0/24")
        for path in (f"/x/{id_of(99)}", got, away):
            self.assertEqual(self.kit.status("DELETE", path), 403)
        self.assertEqual(self.kit.text(self.kit.answer("GET", got)), b"hello")


class EveryMomentTests(AbandonCase):
    def attempt(self, steps: int, *, leave: bool) -> bool:
        """Give up after so many events, the connection cut or still open.

        :return: whether the upload was over before."""
        self.begin()
        answer = self.kit.ask("PUT", self.path, body=chunks(DATA, 65536))
        for _ in range(steps):
            if answer.called or not self.kit.env.world.clock.step():
                break
        finished = answer.called
        if leave and not finished:
            answer.cancel()
            self.failureResultOf(answer)
        removal = self.kit.status("DELETE", self.path)
        self.kit.advance(1)
        status = 0 if leave and not finished else self.kit.env.run(answer).status
        if removal == 204:
            self.assertNotEqual(status, 201, steps)
            self.assertEqual(self.kit.coordinator.receipts, [], steps)
            self.assert_nothing_kept(steps)
        else:
            self.assertEqual(removal, 409, steps)
            self.assertIn(status, {0, 201}, steps)
            self.assert_stored(steps)
        self.assertEqual(self.kit.host.room.reserved, 0, steps)
        return finished

    def test_every_moment(self) -> None:
        """Given up at any moment: all of it is stored, or nothing of it is left."""
        for leave in (False, True):
            steps = 0
            while not self.attempt(steps, leave=leave):
                steps += 1
            self.assertGreater(steps, 5)
