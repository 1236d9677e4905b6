"""What hosts say to the coordinator; scripted hosts in a simulated world."""

from __future__ import annotations

import hashlib

from twisted.trial.unittest import SynchronousTestCase

from pigpen.http import wire
from tests.cloud_kit import MIB, Cloud, FakeHost
from tests.raw_server_kit import RawServer

BIG = bytes(5000)
SHA256 = hashlib.sha256(BIG).hexdigest()
OTHER = "cd" * 32


class HostApiCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.cloud = Cloud()
        self.addCleanup(self.cloud.close)
        self.host = self.cloud.start_fake_host("h1")

    def act(self, action: str, value: object, key: str | None = None) -> int:
        return self.cloud.run(self.host.act(action, value, key)).status

    def session(self, host: FakeHost, **facts: object) -> int:
        """`host` starts with the folder of h1."""
        host.registered = self.host.registered
        answer = self.cloud.run(host.act("session", host.registration(**facts)))
        if answer.status == 200:
            host_key = host.registered.host_key  # type: ignore[union-attr]
            host.registered = answer.json(wire.Registered)
            host.registered.host_key = host_key
        return answer.status


class LifeTests(HostApiCase):
    def test_registration(self) -> None:
        """A new host gets an id, its key, and the secret by which it knows us."""
        registered = self.host.registered
        assert registered is not None
        self.assertEqual((registered.epoch, registered.heartbeat_seconds), (1, 10))
        self.assertTrue(registered.host_key)
        self.assertEqual(self.cloud.put("x", BIG).status, 201)

    def test_strangers(self) -> None:
        """Nobody registers, beats or sends receipts without the right key (REL-A7)."""
        registration = self.host.registration(instance=OTHER)
        post = self.host.post("", registration, "wrong")
        self.assertEqual(self.cloud.run(post).status, 401)
        other = self.cloud.start_fake_host("h2")
        assert other.registered is not None
        for key in ("", "wrong", self.cloud.key, other.registered.host_key):
            for action in ("session", "heartbeat", "receipts"):
                self.assertIn(self.act(action, self.host.heartbeat(), key), {401, 429})

    def test_unknown_host(self) -> None:
        """An id that is none, and paths that are none."""
        key = self.host.registered.host_key  # type: ignore[union-attr]
        for path, status in (
            ("/1/heartbeat", 401),
            ("/x/heartbeat", 404),
            (f"/{self.host.registered.id}/else", 404),  # type: ignore[union-attr]
            (f"/{self.host.registered.id}/drain", 501),  # type: ignore[union-attr]
        ):
            post = self.host.post(path, self.host.heartbeat(), key)
            self.assertEqual(self.cloud.run(post).status, status, path)

    def test_private_addresses(self) -> None:
        """On the Internet no host may point into private networks (REL-T4)."""
        self.cloud.close()
        self.cloud = Cloud(allow_private=False)
        host = FakeHost(self.cloud.world.node("h"), self.cloud.client, "h", self.cloud.key)
        for address in ("http://127.0.0.1:1", "http://10.0.0.1:1", "http://localhost:1"):
            host.facts["addresses"] = [address]
            post = host.post("", host.registration(), self.cloud.key)
            self.assertEqual(self.cloud.run(post).status, 400, address)
        host.facts["addresses"] = ["http://h.example.org:2575"]
        answer = self.cloud.run(host.post("", host.registration(), self.cloud.key))
        self.assertEqual(answer.status, 201)
        host.registered = answer.json(wire.Registered)
        beat = host.heartbeat(addresses=["http://169.254.169.254"])
        self.assertEqual(self.cloud.run(host.act("heartbeat", beat)).status, 400)

    def test_rebinding(self) -> None:
        """Nor by a name of the Internet that leads there (REL-T4)."""
        self.cloud.close()
        self.cloud = Cloud(allow_private=False)
        inside = self.cloud.world.node("inside.example.org")
        server = RawServer()
        port = self.cloud.run(inside.server_endpoint("tcp:2575").listen(server))
        host = FakeHost(self.cloud.world.node("h"), self.cloud.client, "h", self.cloud.key)
        host.facts["addresses"] = ["http://h.example.org:1", "http://inside.example.org:2575"]
        answer = self.cloud.run(host.post("", host.registration(), self.cloud.key))
        self.assertEqual(answer.status, 400)
        message = answer.json(wire.Problem).message
        self.assertIn("inside.example.org", message)
        self.assertNotIn(inside.host.address, message)
        self.assertEqual([connection.data for connection in server.connections], [b""])
        self.cloud.run(port.stopListening())

    def test_too_many_receipts(self) -> None:
        """More receipts than a batch may have are refused before any is judged."""
        one = wire.Receipt("a" * 64, "b" * 64, 1, "c" * 64, 1)
        for count, status in ((wire.MAX_BATCH, 200), (wire.MAX_BATCH + 1, 413)):
            self.assertEqual(self.act("receipts", [one] * count), status)

    def test_too_many_hosts(self) -> None:
        """An account has a limit of hosts, as each costs memory here; known ones may return."""
        self.cloud.close()
        self.cloud = Cloud(max_hosts=2)
        self.host = self.cloud.start_fake_host("h1")
        for name, status in (("2", 201), ("3", 409)):
            registration = self.host.registration(instance=name * 64)
            post = self.host.post("", registration, self.cloud.key)
            self.assertEqual(self.cloud.run(post).status, status)
        post = self.host.post("", self.host.registration(), self.cloud.key)
        self.assertEqual(self.cloud.run(post).status, 201)

    def test_restart(self) -> None:
        """A host that crashed and starts again gets the next epoch at once."""
        self.host.env.kill()
        again = FakeHost(self.cloud.user, self.cloud.client, "h1", self.cloud.key)
        again.instance = OTHER
        self.assertEqual(self.session(again), 200)
        self.assertEqual(again.registered.epoch, 2)  # type: ignore[union-attr]
        # the first one was not dead after all: it is fenced off
        old = self.host.heartbeat()
        self.assertEqual(self.cloud.run(again.act("heartbeat", old)).status, 409)

    def test_same_process_again(self) -> None:
        """A lost answer to a session costs no epoch."""
        self.assertEqual(self.session(self.host), 200)
        self.assertEqual(self.host.registered.epoch, 1)  # type: ignore[union-attr]

    def test_copied_folder(self) -> None:
        """A copy of a host's folder is refused while the first lives, and told of both."""
        twin = FakeHost(self.cloud.user, self.cloud.client, "twin", self.cloud.key)
        twin.registered = self.host.registered
        answer = self.cloud.run(twin.act("session", twin.registration()))
        self.assertEqual(answer.status, 409)
        message = answer.json(wire.Problem).message
        self.assertIn("http://h1:2575", message)
        self.assertIn("http://twin:2575", message)
        self.assertEqual(self.act("heartbeat", self.host.heartbeat()), 204)

    def test_silent_rival(self) -> None:
        """A host that hangs does not keep its next process out."""
        self.cloud.world.network.partition("h1", "coordinator")
        again = FakeHost(self.cloud.user, self.cloud.client, "h1", self.cloud.key)
        again.instance = OTHER
        self.assertEqual(self.session(again), 200)

    def test_offline(self) -> None:
        """Three missed heartbeats: nobody is sent there; the next one brings it back."""
        self.assertEqual(self.cloud.put("x", BIG).status, 201)
        self.cloud.world.settle(30)
        self.assertEqual(self.cloud.ask("GET", "/api/ann/x").code, "no-replica")
        self.assertEqual(self.cloud.metric('pigpen_hosts{state="offline"}'), 1)
        self.assertEqual(self.act("heartbeat", self.host.heartbeat()), 204)
        self.assertEqual(self.cloud.get("x").data, BIG)

    def test_catalog_full(self) -> None:
        """A coordinator whose disk is full for hours tells each host so, and still sends readers
        there."""
        self.assertEqual(self.cloud.put("x", BIG).status, 201)
        others = [self.cloud.start_fake_host(f"other{number}") for number in range(10)]
        writer = self.cloud.coordinator._catalog._writer
        assert writer is not None
        [pages] = writer.execute("PRAGMA page_count").fetchone()
        writer.execute(f"PRAGMA max_page_count = {pages}")
        # so long that the rows of the hosts need another page
        names = [f"http://{'.'.join(letter * 60 for _ in range(4))}" for letter in "abcdefg"]
        beat = self.host.heartbeat(addresses=["http://h1:2575", *names])
        for other in others:
            self.cloud.run(other.act("heartbeat", beat))
        for _ in range(5):
            self.assertEqual(self.act("heartbeat", beat), 503)
            self.cloud.world.settle(10)
        self.assertEqual(self.cloud.get("x").data, BIG)
        old = self.host.heartbeat(epoch=0)
        self.assertEqual(self.act("heartbeat", old), 409)

    def test_states(self) -> None:
        """Who is read-only or drains serves reads; who says goodbye is asked for nothing."""
        self.assertEqual(self.cloud.put("x", BIG).status, 201)
        for state, put, get in (
            ("read-only", 503, 307),
            ("draining", 503, 307),
            ("stopping", 503, 503),
            ("up", 201, 307),
        ):
            self.act("heartbeat", self.host.heartbeat(state=state))
            self.assertEqual(self.cloud.put("y", BIG).status, put, state)
            self.assertEqual(self.cloud.ask("GET", "/api/ann/x").status, get, state)

    def test_bad_blobs(self) -> None:
        """A copy that a host found gone is not there, though its name is known."""
        self.assertEqual(self.cloud.put("x", BIG).status, 201)
        bad = list(self.host.blobs)
        self.act("heartbeat", self.host.heartbeat(bad=bad))
        self.host.acknowledge = 404
        self.assertEqual(self.cloud.ask("GET", "/api/ann/x").status, 503)

    def test_nonsense(self) -> None:
        """A body that makes no sense changes nothing."""
        for action in ("session", "heartbeat", "receipts"):
            self.assertEqual(self.act(action, {"epoch": "x"}), 400)
        self.assertEqual(self.cloud.put("x", BIG).status, 201)

    def test_coordinator_restart(self) -> None:
        """After a restart hosts are trusted until they miss their heartbeats; a beat is enough."""
        self.cloud.restart_coordinator()
        self.assertEqual(self.cloud.put("x", BIG).status, 201)
        self.assertEqual(self.act("heartbeat", self.host.heartbeat(used=5 * MIB)), 204)
        live = self.cloud.coordinator.hosts.get(self.host.registered.id)  # type: ignore[union-attr]
        self.assertEqual(live.report.used, 5 * MIB)  # type: ignore[union-attr]


class ReceiptTests(HostApiCase):
    def offer(self) -> wire.Expectation:
        asked = self.cloud.ask(
            "PUT", "/api/ann/x?redirect=false", Upload_Length=str(len(BIG)), If_None_Match="*"
        )
        self.assertEqual(asked.status, 200)
        uuid = asked.json(wire.UploadOffer).uuid
        self.host.blobs[self.host.expected[uuid].blob] = BIG
        return self.host.expected[uuid]

    def test_repeated(self) -> None:
        """A receipt that comes twice counts once and gets the same answer."""
        expectation = self.offer()
        first = self.cloud.run(self.host.receipt(expectation))
        again = self.cloud.run(self.host.receipt(expectation))
        self.assertEqual(first.status, 201)
        self.assertEqual(first, again)
        account = self.cloud.ask("GET", "/account").json(wire.Account)
        self.assertEqual((account.used, account.reserved, account.objects), (len(BIG), 0, 1))
        self.assertEqual(self.cloud.metric('pigpen_commits_total{outcome="committed"}'), 2)

    def test_each_alone(self) -> None:
        """One refused receipt of a batch does not harm the others."""
        winner, loser = self.offer(), self.offer()
        receipts = [
            wire.Receipt(one.write or "", one.blob, len(BIG), SHA256, 1) for one in (winner, loser)
        ]
        answer = self.cloud.run(self.host.act("receipts", receipts))
        answers = answer.json(list[wire.ReceiptAnswer])
        self.assertEqual([one.status for one in answers], [201, 412])
        self.assertEqual(answers[1].error, "precondition")

    def test_given_up(self) -> None:
        """A receipt for a write that was given up changes nothing."""
        expectation = self.offer()
        self.cloud.ask("DELETE", f"/api/ann/x?write={expectation.write}")
        self.assertEqual(self.cloud.run(self.host.receipt(expectation)).status, 410)
        self.assertEqual(self.cloud.get("x").status, 404)
