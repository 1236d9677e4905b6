"""Receipts: what is durable on a host becomes visible once, or is dropped (CLD-33 to 35, C3)."""

from __future__ import annotations

import errno

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from pigpen.host.uploads import OFFSET
from pigpen.http import wire
from pigpen.http.body import BytesBody
from pigpen.http.message import Headers, Response
from tests.host_kit import Kit, chunks, digest_of, id_of

BLOB = id_of(1 + 10**6)


class ReceiptTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.kit = Kit().start()
        self.path = self.kit.expect_put(1, length=5)

    def refuse(self, status: int, error: str | None = None) -> None:
        self.kit.coordinator.judge = lambda receipt: wire.ReceiptAnswer(
            receipt.write, status, error=error, message=error and "do this"
        )

    def problem(self, response: Response) -> wire.Problem:
        return msgspec.json.decode(self.kit.text(response), type=wire.Problem)

    def state(self) -> wire.WriteState:
        response = self.kit.answer("GET", self.path)
        return msgspec.json.decode(self.kit.text(response), type=wire.WriteState)

    def test_refused(self) -> None:
        """What the coordinator refuses at commit is what the PUT answers; nothing is kept."""
        for number, status in enumerate((409, 410, 412, 423, 507), 10):
            self.refuse(status, "reason")
            path = self.kit.expect_put(number, length=5)
            response = self.kit.answer("PUT", path, body=b"hello")
            self.assertEqual(response.status, status)
            self.assertEqual(self.problem(response), wire.Problem("reason", "do this"))
            self.kit.advance(1)
            self.assertEqual(self.kit.files(), {})
            self.assertEqual(self.kit.host.room.used, 0)

    def test_unknown_write(self) -> None:
        """A blob the coordinator knows nothing of is kept: its catalog may be an old backup."""
        self.refuse(404)
        self.assertEqual(self.kit.status("PUT", self.path, body=b"hello"), 404)
        self.kit.advance(1)
        self.assertEqual(list(self.kit.files().values()), [5])

    def test_replaced(self) -> None:
        """A new version of an object is 201 too, and says that it replaced one."""
        self.refuse(204)
        response = self.kit.answer("PUT", self.path, body=b"hello")
        self.assertEqual(response.status, 201)
        stored = msgspec.json.decode(self.kit.text(response), type=wire.Stored)
        self.assertTrue(stored.replaced)

    def test_busy_coordinator(self) -> None:
        """A coordinator that cannot commit now is asked again until it can."""
        answers = [503, 500, 429, 201]
        self.kit.coordinator.judge = lambda receipt: wire.ReceiptAnswer(
            receipt.write, answers.pop(0)
        )
        self.assertEqual(self.kit.status("PUT", self.path, body=b"hello"), 201)
        self.assertEqual(len(self.kit.coordinator.receipts), 4)

    def late_put(self) -> Response:
        self.kit.coordinator.down = True
        answer = self.kit.ask("PUT", self.path, body=b"hello")
        self.kit.advance(9.9)
        self.assertNoResult(answer)
        self.kit.advance(1)
        return self.kit.env.run(answer)

    def test_silent_coordinator(self) -> None:
        """After 10 s of silence the PUT is 202: durable, visible later, and to be asked for."""
        response = self.late_put()
        self.assertEqual((response.status, response.headers["Location"]), (202, self.path))
        self.assertEqual(self.state(), wire.WriteState("open"))
        self.kit.advance(300)
        self.kit.coordinator.down = False
        self.kit.advance(60)
        [receipt] = self.kit.coordinator.receipts
        self.assertEqual((receipt.late, receipt.data), (True, None))
        etag = f'"{BLOB[:32]}"'
        self.assertEqual(self.state(), wire.WriteState("committed", 201, etag))
        self.assertEqual(self.kit.disk.peek("/pool/outbox"), b"")

    def test_asked_after_a_second_upload(self) -> None:
        """Whoever got 202 and asks later is answered, though the write was announced once more,
        and its receipt asked for, under another id."""
        self.kit.coordinator.instead["receipts"] = Response(503)
        self.assertEqual(self.late_put().status, 202)
        self.kit.coordinator.down = False
        again = self.kit.expect_put(2, length=5, write=id_of(1), blob=BLOB)
        second = self.kit.ask("PUT", again, headers={OFFSET: "5"})
        self.kit.advance(1)
        del self.kit.coordinator.instead["receipts"]
        self.kit.advance(60)
        self.assertEqual(self.kit.env.run(second).status, 202)
        self.assertEqual(len(self.kit.coordinator.receipts), 1)
        for path in (again, self.path):
            self.path = path
            self.assertEqual(self.state().state, "committed")

    def test_how_long_the_client_waits(self) -> None:
        """A receipt says by the coordinator's own clock until when its client waits: held up in the
        network for longer, it buries nothing newer (CLD-34)."""
        kit = self.kit
        kit.coordinator.instead["heartbeat"] = Response(204, Headers({wire.CLOCK: "c:1"}))
        kit.coordinator.instead["receipts"] = Response(503, Headers({wire.CLOCK: "c:2"}))
        kit.advance(30)  # some heartbeats
        answer = kit.ask("PUT", self.path, body=b"hello")
        sent = kit.coordinator.sent
        kit.advance(5)
        del kit.coordinator.instead["receipts"]
        kit.env.run(answer)
        self.assertEqual(sent[0].heard, "c:1")
        self.assertTrue(10 < (sent[0].waits or 0) < 25, sent[0].waits)
        # a later try has less time left, counted from what was heard with the refusal before
        self.assertEqual(sent[1].heard, "c:2")
        self.assertTrue(9 < (sent[1].waits or 0) <= 10, sent[1].waits)

    def test_late_and_superseded(self) -> None:
        """A late write that a newer one has overtaken is dropped."""
        self.late_put()
        self.refuse(409, "superseded")
        self.kit.coordinator.down = False
        self.kit.advance(60)
        state = self.state()
        self.assertEqual((state.state, state.status, state.error), ("refused", 409, "superseded"))
        self.assertTrue(state.message)
        self.assertEqual(self.kit.files(), {})

    def test_back_before_the_next_try(self) -> None:
        """A coordinator that expects another write hears of the late one first, however long the
        pause between tries has become: else that would bury the newer write."""
        self.late_put()
        self.kit.advance(300)
        self.kit.coordinator.down = False
        path = self.kit.expect_put(2, length=5)
        self.kit.advance(0.1)
        self.assertEqual(len(self.kit.coordinator.receipts), 1)
        self.assertEqual(self.kit.status("PUT", path, body=b"world"), 201)
        sent = [(receipt.write, receipt.late) for receipt in self.kit.coordinator.receipts]
        self.assertEqual(sent, [(id_of(1), True), (id_of(2), False)])

    def test_202_survives_a_power_cut(self) -> None:
        """What was answered 202 is delivered after any crash, in order, in the new epoch."""
        self.assertEqual(self.late_put().status, 202)
        self.path = self.kit.expect_put(2, length=5)
        self.assertEqual(self.late_put().status, 202)
        self.kit.coordinator.down = False
        self.kit.coordinator.instead["receipts"] = Response(503)
        self.kit.env.power_cut()
        self.kit = Kit(self.kit.env.boot(), self.kit.coordinator).start()
        self.kit.advance(5)
        del self.kit.coordinator.instead["receipts"]
        self.kit.advance(60)
        sent = [(receipt.write, receipt.epoch) for receipt in self.kit.coordinator.receipts]
        self.assertEqual(sent, [(id_of(1), 2), (id_of(2), 2)])
        self.assertEqual(self.kit.disk.peek("/pool/outbox"), b"")
        self.kit.env.boot()

    def test_torn_outbox(self) -> None:
        """A line that was not written to its end was never acknowledged."""
        line = msgspec.json.encode(
            {"receipt": wire.Receipt(id_of(1), BLOB, 5, digest_of(b"hello"), 1, True)}
        )
        done = msgspec.json.encode({"done": id_of(1)})
        for data, count in ((line + b"\n" + line[:-9], 1), (line + b"\n" + done + b"\n", 0)):
            kit = Kit()
            kit.disk.plant_file("/pool/pigpen-host.json", b'{"id":7,"host_key":"k","epoch":1}')
            kit.disk.plant_file("/pool/outbox", data)
            kit.start()
            kit.advance(1)
            self.assertEqual(len(kit.coordinator.receipts), count)

    def test_outbox_cannot_be_written(self) -> None:
        """Without a durable receipt there is no 202: the client must ask."""
        for error, status in ((errno.ENOSPC, 503), (errno.EIO, 500)):
            self.kit = Kit().start()
            self.path = self.kit.expect_put(1, length=5)
            self.kit.coordinator.down = True
            answer = self.kit.ask("PUT", self.path, body=b"hello")
            self.kit.advance(5)
            self.kit.disk.fail_always(OSError(error, "planned"))
            self.assertEqual(self.kit.env.run(answer).status, status)

    def test_client_gone_before_the_commit(self) -> None:
        """A write whose client has left is late: it never buries a newer version."""
        for body in (BytesBody(b"hello"), chunks(b"hello", 5, 5)):
            self.setUp()
            self.kit.coordinator.down = True
            answer = self.kit.ask("PUT", self.path, body=body)
            self.kit.advance(3)
            answer.cancel()
            self.failureResultOf(answer)
            self.kit.coordinator.down = False
            self.kit.advance(60)
            self.assertTrue(self.kit.coordinator.receipts[-1].late)
            self.assertEqual(self.state().state, "committed")

    def test_stopped_while_clients_wait(self) -> None:
        """Clients get their answers, 202 at worst, before a host ends."""
        self.kit.coordinator.down = True
        answer = self.kit.ask("PUT", self.path, body=b"hello")
        self.kit.advance(1)
        self.kit.env.run(self.kit.host.stop(0), 30)
        self.assertEqual(self.successResultOf(answer).status, 202)
        self.assertEqual(self.kit.disk.open_files, [])

    def test_bug(self) -> None:
        """When something breaks that nobody foresaw, a client hears of it, and a host can end."""
        self.kit.coordinator.down = True
        answer = self.kit.ask("PUT", self.path, body=b"hello")
        self.kit.advance(1)
        self.kit.disk.fail_next(ZeroDivisionError(), "sync")
        world = self.kit.env.world
        with self.assertRaises(ZeroDivisionError):
            world.run(answer, errors_allowed=True)
        self.assertEqual(self.kit.host.room.reserved, 0)
        world.run(self.kit.host.stop(0), errors_allowed=True)
        self.flushLoggedErrors(ZeroDivisionError)

    def test_batched(self) -> None:
        """Receipts that wait share a request and a commit."""
        paths = [self.kit.expect_put(number, length=1) for number in range(10, 40)]
        self.kit.coordinator.down = True
        answers = [self.kit.ask("PUT", path, body=b"x") for path in paths]
        self.kit.advance(1)
        self.kit.coordinator.down = False
        before = len(self.kit.coordinator.calls)
        self.assertEqual([self.kit.env.run(one).status for one in answers], [201] * 30)
        self.assertLess(len(self.kit.coordinator.calls) - before, 5)

    def test_stop_keeps_receipts(self) -> None:
        """A host that is stopped while the coordinator is away delivers at its next start."""
        self.kit.coordinator.down = True
        answer = self.kit.ask("PUT", self.path, body=b"hello")
        self.kit.advance(1)
        self.kit.env.run(self.kit.host.stop(0))
        self.kit.env.run(answer)
        self.kit.coordinator.down = False
        again = Kit(self.kit.env.boot(), self.kit.coordinator).start()
        again.advance(1)
        self.assertEqual([one.write for one in self.kit.coordinator.receipts], [id_of(1)])
