"""Hosts in the catalog: registration, epochs, heartbeats, replicas."""

from __future__ import annotations

from typing import Any

from pigpen.coordinator.catalog import host_rows, namespace, writes
from pigpen.errors import Conflict, NotFound, Unauthorized
from pigpen.http import wire
from tests.catalog_kit import RulesCase, key

ONE, TWO = "1" * 64, "2" * 64


def registration(instance: str = ONE, **more: Any) -> wire.Registration:
    facts = {"target_size": 1000, "floor": 10, "used": 100, "disk_free": 500} | more
    return wire.Registration(instance=instance, addresses=["http://h:1"], **facts)


def heartbeat(epoch: int, **more: Any) -> wire.Heartbeat:
    facts = {
        "target_size": 1000,
        "used": 200,
        "reserved": 50,
        "floor": 10,
        "disk_free": 500,
        "state": "up",
        "addresses": ["http://h:2"],
    }
    return wire.Heartbeat(epoch=epoch, **(facts | more))


class HostTests(RulesCase):
    def register(self, instance: str = ONE) -> host_rows.NewHost:
        return host_rows.register_host(self.tx, self.me.account_id, registration(instance), "net")

    def test_register(self) -> None:
        """A new host has an id, epoch 1 and a key whose hash is kept."""
        new = self.register()
        self.assertEqual((new.row.epoch, new.row.owner_id), (1, self.me.account_id))
        self.assertEqual((new.row.addresses, new.row.network), (("http://h:1",), "net"))
        self.assertEqual(host_rows.all_hosts(self.tx), [new.row])
        self.assertNotIn(new.host_key, repr(new))
        self.assertNotIn(new.host_key, repr(self.tx.all("SELECT * FROM hosts")))
        found = host_rows.authenticate_host(self.tx, new.row.id, new.host_key)
        self.assertEqual(found, new.row)

    def test_strangers(self) -> None:
        """A wrong key, another host's key and an unknown id are the same 401 (A7)."""
        one, two = self.register(ONE), self.register(TWO)
        for host_id, host_key in (
            (one.row.id, "pph_x"),
            (one.row.id, two.host_key),
            (12345, one.host_key),
            (one.row.id, ""),
        ):
            enter = host_rows.authenticate_host
            self.assertRaises(Unauthorized, enter, self.tx, host_id, host_key)

    def test_register_again(self) -> None:
        """The answer was lost: the same process gets the same host, the old key is void."""
        first, second = self.register(), self.register()
        self.assertEqual(first.row.id, second.row.id)
        enter = host_rows.authenticate_host
        enter(self.tx, second.row.id, second.host_key)
        self.assertRaises(Unauthorized, enter, self.tx, first.row.id, first.host_key)

    def test_each_start_is_an_epoch(self) -> None:
        """A restart ends the process before; asking twice does not."""
        host_id = self.register().row.id
        for _ in range(2):
            row = host_rows.open_session(self.tx, host_id, registration(TWO))
            self.assertEqual(row.epoch, 2)
        beat = host_rows.store_heartbeat
        self.assertRaises(Conflict, beat, self.tx, host_id, heartbeat(1))
        self.assertEqual(beat(self.tx, host_id, heartbeat(2)).epoch, 2)
        # a catalog restored from last week gives no epoch out twice
        row = host_rows.open_session(self.tx, host_id, registration("3" * 64, last_epoch=9))
        self.assertEqual(row.epoch, 10)
        self.assertRaises(NotFound, host_rows.open_session, self.tx, 1, registration())

    def test_rival(self) -> None:
        """A second process is suspect while the first lives, not once it stopped."""
        host_id = self.register(ONE).row.id

        def rival(instance: str) -> bool:
            return host_rows.rival_of(self.tx, host_id, registration(instance)) is not None

        self.assertEqual((rival(ONE), rival(TWO)), (False, True))
        self.wait(host_rows.OFFLINE_MS)
        self.assertFalse(rival(TWO))
        host_rows.store_heartbeat(self.tx, host_id, heartbeat(1))
        self.assertTrue(rival(TWO))
        host_rows.store_heartbeat(self.tx, host_id, heartbeat(1, state="stopping"))
        self.assertFalse(rival(TWO))

    def test_heartbeat(self) -> None:
        """A heartbeat is kept whole; `since` tells when the state began."""
        host_id = self.register().row.id
        self.wait(10)
        row = host_rows.store_heartbeat(self.tx, host_id, heartbeat(1, state="draining"))
        self.wait(10)
        again = host_rows.store_heartbeat(self.tx, host_id, heartbeat(1, state="draining"))
        self.assertEqual((row.state, again.since, again.seen), ("draining", row.since, self.tx.now))
        self.assertEqual(again.addresses, ("http://h:2",))
        self.assertRaises(NotFound, host_rows.store_heartbeat, self.tx, 1, heartbeat(1))

    def test_room(self) -> None:
        """Room is what target size and disk leave, and never negative (CLD-60)."""
        host_id = self.register().row.id

        def room(**more: int) -> int:
            return host_rows.store_heartbeat(self.tx, host_id, heartbeat(1, **more)).room

        self.assertEqual(room(), 490)
        self.assertEqual(room(disk_free=10_000), 750)
        self.assertEqual(room(target_size=100), 0)
        self.assertEqual(room(disk_free=5), 0)

    def test_replicas(self) -> None:
        """A blob's hosts are those with a good copy; a bad one can come back."""
        one, two = self.register(ONE).row.id, self.register(TWO).row.id
        offer = writes.open_write(self.tx, self.me, writes.WriteWish(key("a"), length=9))
        receipt = wire.Receipt(offer.write, offer.blob, 9, "a" * 64, 1)
        for host_id in (one, two, two):
            writes.commit_receipt(self.tx, host_id, receipt)

        def hosts() -> set[int]:
            node = namespace.resolve(self.tx, self.me, key("a"))
            return set(node.hosts)

        self.assertEqual(hosts(), {one, two})
        host_rows.store_heartbeat(self.tx, one, heartbeat(1, bad=[offer.blob, "f" * 64]))
        self.assertEqual(hosts(), {two})
        host_rows.add_replica(self.tx, one, bytes.fromhex(offer.blob))
        self.assertEqual(hosts(), {one, two})

    def test_blobs_by_copies(self) -> None:
        """Metrics count blobs by reachable copies; ended versions and inline ones do not count."""
        one, two = self.register(ONE).row.id, self.register(TWO).row.id
        for name, hosts in (("a", [one]), ("b", [one, two]), ("gone", [one])):
            offer = writes.open_write(self.tx, self.me, writes.WriteWish(key(name), length=9))
            for host_id in hosts:
                receipt = wire.Receipt(offer.write, offer.blob, 9, "a" * 64, 1)
                writes.commit_receipt(self.tx, host_id, receipt)
        self.put("inline")
        namespace.delete(self.tx, self.me, key("gone"))
        count = host_rows.blobs_by_copies
        self.assertEqual(count(self.tx, {one, two}), {1: 1, 2: 1})
        self.assertEqual(count(self.tx, {two}), {0: 1, 1: 1})
        self.assertEqual(count(self.tx, set()), {0: 2})
