"""Expectations in batches, acknowledged one by one.

`clock.advance(0)` ends the reactor turn, which sends a batch; `host.answer()` answers the oldest
request; 0.3 s is one host's time, 0.7 s everybody's.
"""

from __future__ import annotations

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from pigpen.coordinator.announcer import Announcer, Outcome
from pigpen.coordinator.hosts import Host, Hosts
from pigpen.coordinator.metrics import Metrics
from pigpen.coordinator.secrets import ClusterSecret
from pigpen.errors import ConnectFailed, NoAnswer, TimedOut
from pigpen.http import wire
from pigpen.http.body import BytesBody
from pigpen.http.message import Headers, Response
from tests.sender_kit import Asked, FakeSender


def make_host(host_id: int, **facts: object) -> Host:
    report = wire.Heartbeat(
        epoch=1, target_size=1000, used=0, reserved=0, floor=0, disk_free=1000, state="up",
        addresses=[f"http://host{host_id}.example:2575"],
    )  # fmt: skip
    return Host(
        host_id, epoch=1, instance="0" * 64, report=msgspec.structs.replace(report, **facts),
        created=0, heard=0,
    )  # fmt: skip


class Sent:
    """One request on its way."""

    def __init__(self, url: str, headers: Headers, data: bytes) -> None:
        self.url = url
        self.headers = headers
        self.batch = msgspec.json.decode(data, type=list[wire.Expectation])
        self.answered: Deferred[Response] = Deferred()

    def answer(self, *statuses: int) -> None:
        answers = [
            wire.ExpectationAnswer(expectation.uuid, status)
            for expectation, status in zip(self.batch, statuses, strict=True)
        ]
        self.answered.callback(Response(200, body=BytesBody(wire.encode(answers))))


class FakeClient(FakeSender):
    """Records requests; the test answers them."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []

    async def answer(self, asked: Asked) -> Response:
        sent = Sent(asked.url, asked.headers, await asked.data())
        self.sent.append(sent)
        return await sent.answered


class AnnouncerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.client = FakeClient()
        self.hosts = Hosts(self.clock, 10)
        self.metrics = Metrics(self.hosts)
        self.secret = ClusterSecret(b"s" * 32)
        self.announcer = Announcer(self.clock, self.client, self.hosts, self.secret, self.metrics)
        self.serial = 0
        for number in (1, 2, 3):
            self.hosts.add(make_host(number))

    def tearDown(self) -> None:
        self.announcer.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def host(self, number: int) -> Host:
        host = self.hosts.get(number)
        assert host is not None
        return host

    def expectation(self, _: Host | None = None) -> wire.Expectation:
        self.serial += 1
        return wire.Expectation(uuid=f"{self.serial:064x}", method="GET", blob="b" * 64)

    def announce(self, number: int = 1) -> Deferred[wire.ExpectationAnswer]:
        return self.announcer.announce(self.host(number), self.expectation())

    def confirm(self, *numbers: int, at_once: int = 1) -> Deferred[Outcome]:
        return Deferred.fromCoroutine(
            self.announcer.confirm(
                [self.host(number) for number in numbers], self.expectation, at_once=at_once
            )
        )

    def test_one_turn_one_batch(self) -> None:
        """Many downloads at once cost a host one request; each gets its own word."""
        answers = [self.announce() for _ in range(3)]
        self.clock.advance(0)
        [sent] = self.client.sent
        self.assertEqual(sent.url, "http://host1.example:2575/expect")
        sent.answer(204, 507, 404)
        self.assertEqual([self.successResultOf(a).status for a in answers], [204, 507, 404])

    def test_control_secret(self) -> None:
        """A host knows the coordinator by the secret of this host and this epoch."""
        answered = self.announce()
        self.clock.advance(0)
        self.assertEqual(
            self.client.sent[0].headers["Authorization"],
            f"Bearer {self.secret.control_secret(1, 1)}",
        )
        self.client.sent[0].answer(204)
        self.successResultOf(answered)

    def test_two_in_flight(self) -> None:
        """While two batches are on their way more gather, and go as one when one returns."""
        answers = []
        for _ in range(5):
            answers.append(self.announce())
            self.clock.advance(0)
        self.assertEqual([len(sent.batch) for sent in self.client.sent], [1, 1])
        self.client.sent[1].answer(204)
        self.clock.advance(0)
        self.assertEqual([len(sent.batch) for sent in self.client.sent], [1, 1, 3])
        self.client.sent[0].answer(204)
        self.client.sent[2].answer(204, 204, 204)
        for answered in answers:
            self.successResultOf(answered)

    def test_silent_host(self) -> None:
        """A host that does not answer is given up after 300 ms, not a moment later."""
        first = self.announce()
        self.clock.advance(0)
        second = self.announce()
        self.clock.advance(0.29)
        self.assertNoResult(first)
        self.clock.advance(0.011)
        self.failureResultOf(first, TimedOut)
        self.failureResultOf(second, TimedOut)

    def test_waiting_counts(self) -> None:
        """The 300 ms run from the question, also while two slow batches are before it."""
        for _ in range(2):
            self.announce().addErrback(lambda _: None)
            self.clock.advance(0)
        self.clock.advance(0.1)
        third = self.announce()
        self.clock.advance(0.2)
        self.clock.advance(0.101)
        self.failureResultOf(third, TimedOut)

    def test_nonsense(self) -> None:
        """A host that answers nonsense counts as one that does not answer."""
        for body in (b"{", b"[]", b'[{"uuid": "%s", "status": 204}]' % (b"f" * 64)):
            answered = self.announce()
            self.clock.advance(0)
            self.client.sent.pop().answered.callback(Response(200, body=BytesBody(body)))
            self.failureResultOf(answered, NoAnswer)

    def test_refused_secret(self) -> None:
        """So does one that does not take our word."""
        answered = self.announce()
        self.clock.advance(0)
        self.client.sent[0].answered.callback(Response(401))
        self.failureResultOf(answered, NoAnswer)

    def test_cancelled(self) -> None:
        """A client that leaves before the batch goes is not announced."""
        answered, other = self.announce(), self.announce()
        answered.addErrback(lambda _: None)
        answered.cancel()
        self.clock.advance(0)
        self.assertEqual(len(self.client.sent[0].batch), 1)
        self.client.sent[0].answer(204)
        self.successResultOf(other)

    def test_closed(self) -> None:
        """A coordinator that stops leaves nobody waiting."""
        answered = self.announce()
        self.clock.advance(0)
        self.announcer.close()
        self.failureResultOf(answered, NoAnswer)

    def test_next_host(self) -> None:
        """With one dead host a client is redirected to the next in under 400 ms."""
        outcome = self.confirm(1, 2)
        self.clock.advance(0)
        self.clock.advance(0.3)
        self.clock.advance(0)
        self.client.sent[-1].answer(204)
        [confirmed] = self.successResultOf(outcome).confirmed
        self.assertEqual(confirmed.host.host_id, 2)
        self.assertEqual(self.metrics.retries._value.get(), 1)

    def test_the_dead_come_last(self) -> None:
        """A host that was silent is asked after the others for a while."""
        outcome = self.confirm(1)
        self.clock.advance(0)
        self.client.sent[0].answered.errback(ConnectFailed(peer="host1", reason="refused"))
        self.assertEqual(self.successResultOf(outcome).confirmed, ())
        order = [host.host_id for host in self.hosts.in_order([1, 2, 3])]
        self.assertEqual(order, [2, 3, 1])
        self.clock.advance(5)
        self.assertEqual([host.host_id for host in self.hosts.in_order([1, 2])], [1, 2])

    def test_nobody(self) -> None:
        """If all hosts are silent the client hears so after 700 ms, before curl would send."""
        outcome = self.confirm(1, 2, 3)
        for _ in range(69):
            self.clock.advance(0.01)
        self.assertNoResult(outcome)
        self.clock.advance(0.011)
        self.assertEqual(self.successResultOf(outcome).confirmed, ())

    def test_refusals_are_told(self) -> None:
        """If all say that they are full, the caller can say so."""
        outcome = self.confirm(1, 2)
        for _ in range(2):
            self.clock.advance(0)
            self.client.sent[-1].answer(507)
        self.assertEqual(self.successResultOf(outcome).refusals, (507, 507))

    def test_several_at_once(self) -> None:
        """Alternatives are those that confirm within a moment of the first."""
        outcome = self.confirm(1, 2, 3, at_once=3)
        self.clock.advance(0)
        self.client.sent[2].answer(204)
        self.clock.advance(0.01)
        self.client.sent[0].answer(204)
        self.assertNoResult(outcome)
        self.clock.advance(0.02)
        confirmed = self.successResultOf(outcome).confirmed
        self.assertEqual([one.host.host_id for one in confirmed], [1, 3])

    def test_cancel_a_race(self) -> None:
        """A client that leaves while hosts are asked leaves nothing behind."""
        for at_once in (1, 3):
            outcome = self.confirm(1, 2, 3, at_once=at_once)
            outcome.addErrback(lambda _: None)
            self.clock.advance(0)
            outcome.cancel()
            self.assertIsNone(self.successResultOf(outcome))

    def test_new_session(self) -> None:
        """A host that was started again is asked at its new address with its new secret."""
        first = self.announce()
        self.hosts.add(make_host(1, addresses=["http://new.example:1"]))
        second = self.announce()
        self.failureResultOf(first, NoAnswer)
        self.clock.advance(0)
        self.assertEqual(self.client.sent[-1].url, "http://new.example:1/expect")
        self.client.sent[-1].answer(204)
        self.successResultOf(second)
