"""Writes: opened, committed by receipts, repeated, resumed, refused, given up.

A host row stands for a host; `receipt` is what one would send. Nothing here does I/O.
"""

from __future__ import annotations

import contextlib
import hashlib
from typing import Any

from pigpen.coordinator.catalog import accounts, host_rows, namespace, pending_writes, writes
from pigpen.coordinator.catalog.listing import list_page
from pigpen.errors import (
    Conflict,
    Gone,
    MethodNotAllowed,
    NotFound,
    PigpenError,
    PreconditionFailed,
    QuotaExceeded,
    TooLarge,
)
from pigpen.http import wire
from pigpen.http.conditions import Conditions
from pigpen.http.if_header import parse_if
from pigpen.http.namespace import When
from tests.catalog_kit import RulesCase, if_match, if_none_match, key
from tests.hypothesis_kit import given, settings, st

WRITE = "c" * 64


class WritesCase(RulesCase):
    def setUp(self) -> None:
        super().setUp()
        self.host = self.make_host("1")
        self.other_host = self.make_host("2")

    def make_host(self, digit: str) -> int:
        registration = wire.Registration(digit * 64, ["http://h:1"], 1, 1, 1, 1)
        return host_rows.register_host(self.tx, self.me.account_id, registration).row.id

    def open(self, text: str = "a", **more: Any) -> writes.OpenWrite:
        wish = writes.WriteWish(key(text), **({"length": 9} | more))
        return writes.open_write(self.tx, self.me, wish)

    def commit(
        self, offer: writes.OpenWrite, length: int = 9, host: int | None = None, **more: Any
    ) -> wire.ReceiptAnswer:
        facts = {"write": offer.write, "blob": offer.blob, "sha256": "a" * 64, "epoch": 1} | more
        receipt = wire.Receipt(length=length, **facts)
        return writes.commit_receipt(self.tx, host or self.host, receipt)

    def renew(
        self, write: str, principal: accounts.Principal | None = None, text: str = "a"
    ) -> writes.OpenWrite:
        wish = writes.WriteWish(key(text), write=write)
        return writes.renew(self.tx, principal or self.me, wish)

    def state(self, offer: writes.OpenWrite) -> wire.WriteState:
        return writes.write_state(self.tx, self.me, offer.write)

    def set_quota(self, quota: int) -> None:
        accounts.set_quota(self.tx, self.me.account_id, quota)


class CommitTests(WritesCase):
    def test_open_then_receipt(self) -> None:
        """201: the object is there, on that host, and counted once."""
        offer = self.open("a/b", content_type="text/plain")
        self.assertEqual(self.sums(), (0, 9, 0))
        self.assertRaises(NotFound, namespace.resolve, self.tx, self.me, key("a"))
        answer = self.commit(offer)
        node = namespace.resolve(self.tx, self.me, key("a/b"))
        self.assertEqual((answer.status, answer.etag), (201, node.etag))
        self.assertEqual(answer.version, f"{node.version_id:016x}")
        self.assertEqual((node.blob, node.hosts), (offer.blob, (self.host,)))
        self.assertEqual((node.length, node.content_type), (9, "text/plain"))
        self.assertEqual(answer.modified, node.modified)
        self.assertEqual(self.sums(), (9, 0, 1))

    def test_replace(self) -> None:
        """204: the old version ends, its bytes count no more."""
        self.commit(self.open())
        answer = self.commit(self.open(length=4), 4)
        self.assertEqual((answer.status, self.sums()), (204, (4, 0, 1)))
        ended = self.tx.one("SELECT count(*) FROM versions WHERE ended IS NOT NULL")
        self.assertEqual(ended, (1,))

    def test_repeated_receipt(self) -> None:
        """The answer was lost: the same answer for 7 days, one version, quota once (C3)."""
        offer = self.open()
        first = self.commit(offer)
        self.put("a", b"newer")
        for day in range(7):
            self.wait(day * 24 * 3600 * 1000 // 4)
            self.assertEqual(self.commit(offer), first)
        self.assertEqual(self.sums(), (5, 0, 1))
        self.wait(7 * 24 * 3600 * 1000)
        pending_writes.forget_writes(self.tx)
        self.assertEqual(self.commit(offer).status, 404)

    def test_unknown_write(self) -> None:
        """A receipt of a write nobody remembers, as it is old or a backup was restored: 404, so
        that the host keeps the blob, which may be what a key names (K2)."""
        offer = self.open()
        self.commit(offer)
        self.tx.run("DELETE FROM pending_writes")
        answer = self.commit(offer)
        self.assertEqual((answer.status, answer.error), (404, "not-found"))
        self.assertEqual(namespace.resolve(self.tx, self.me, key("a")).blob, offer.blob)

    def test_second_host(self) -> None:
        """Another host has the blob too: one version, two replicas."""
        offer = self.open()
        first = self.commit(offer)
        self.assertEqual(self.commit(offer, host=self.other_host), first)
        node = namespace.resolve(self.tx, self.me, key("a"))
        self.assertEqual(set(node.hosts), {self.host, self.other_host})

    def test_inconsistent_receipts(self) -> None:
        """Another blob, length or digest, wrong inline bytes: refused, and the write stays open."""
        offer = self.open()
        self.assertEqual(self.commit(offer, blob="f" * 64).status, 409)
        self.assertEqual(self.commit(offer, 8).status, 409)
        self.assertEqual(self.commit(offer, data=b"not these").status, 422)
        self.assertEqual(self.state(offer).state, "open")
        self.assertEqual(self.commit(offer).status, 201)
        other = self.commit(offer, host=self.other_host, sha256="b" * 64)
        self.assertEqual((other.status, other.error), (409, "conflict"))
        self.assertRaises(NotFound, self.commit, offer, host=12345)

    def test_inline_bytes_in_a_receipt(self) -> None:
        """A small object's bytes come with its receipt, so that reading needs no host."""
        data = b"123456789"
        self.commit(self.open(), data=data, sha256=hashlib.sha256(data).hexdigest())
        node = namespace.resolve(self.tx, self.me, key("a"))
        self.assertEqual((node.data, node.hosts), (data, (self.host,)))

    def test_conditions_at_commit(self) -> None:
        """What changed during the transfer counts: 412, nothing kept, the same when asked again."""
        offer = self.open(when=if_none_match("*"))
        self.put("a", b"quick")
        answer = self.commit(offer)
        self.assertEqual((answer.status, answer.error), (412, "precondition"))
        self.assertEqual(self.commit(offer, host=self.other_host), answer)
        state = self.state(offer)
        self.assertEqual((state.state, state.status), ("refused", 412))
        self.assertEqual((state.error, state.message), (answer.error, answer.message))
        self.assertEqual(self.sums(), (5, 0, 1))
        self.assertIsNone(self.tx.one("SELECT 1 FROM replicas"))

    def test_stale_if_match(self) -> None:
        """Of two writers with the same If-Match the second gets 412 (Y3)."""
        tag = self.put("a").etag or ""
        one, two = self.open(when=if_match(tag)), self.open(when=if_match(tag))
        self.assertEqual(self.commit(one).status, 204)
        self.assertEqual(self.commit(two).status, 412)

    def test_ten_creators(self) -> None:
        """Ten uploads at once with If-None-Match: one 201, nine 412 (Y3)."""
        offers = [self.open(when=if_none_match("*")) for _ in range(10)]
        found = sorted(self.commit(offer).status for offer in offers)
        self.assertEqual(found, [201] + [412] * 9)
        self.assertEqual(self.sums(), (9, 0, 1))

    def test_last_commit_wins(self) -> None:
        """Without conditions the last to finish is what readers get."""
        one, two = self.open(), self.open()
        self.assertEqual([self.commit(two).status, self.commit(one).status], [201, 204])
        node = namespace.resolve(self.tx, self.me, key("a"))
        self.assertEqual(node.blob, one.blob)

    def test_late_receipt(self) -> None:
        """An old write never buries a newer one (CLD-34)."""
        late, newer = self.open(), self.open()
        self.commit(newer)
        answer = self.commit(late, late=True)
        self.assertEqual((answer.status, answer.error), (409, "superseded"))
        on_time = self.open()
        self.assertEqual(self.commit(on_time, late=True).status, 204)

    def test_late_after_delete(self) -> None:
        """A late write does not bring a deleted object back."""
        self.commit(self.open())
        late = self.open()
        namespace.delete(self.tx, self.me, key("a"))
        self.assertEqual(self.commit(late, late=True).status, 409)

    def test_older_epoch_is_late(self) -> None:
        """A process that woke up after its host was started anew buries nothing (C7)."""
        early, newer = self.open(), self.open()
        self.commit(newer)
        self.assertEqual(self.commit(early, epoch=0).error, "superseded")
        self.assertEqual(self.commit(self.open("b"), epoch=0).status, 201)

    def test_path_is_resolved_at_commit(self) -> None:
        """The key counts, whatever was moved meanwhile; what is in the way is named (CLD-33)."""
        self.put("c/x")
        offer = self.open("c/y")
        namespace.move(self.tx, self.me, key("c"), key("d"))
        self.assertEqual(self.commit(offer).status, 201)
        namespace.resolve(self.tx, self.me, key("c/y"))
        below, onto = self.open("e/f"), self.open("g")
        without_parent = self.open("c/z", when=When(parents=False))
        self.put("e")
        namespace.make_collection(self.tx, self.me, key("g"))
        namespace.delete(self.tx, self.me, key("c"))
        found = [self.commit(offer).status for offer in (below, onto, without_parent)]
        self.assertEqual(found, [409, 405, 409])
        self.assertEqual(self.sums()[1], 0)

    def test_thousand_creates(self) -> None:
        """1,000 creates by 10 clients, half acknowledged twice, then a listing (Y6)."""
        offers = [self.open(f"d/{n:04}") for n in range(1000)]
        for n, offer in enumerate(offers):
            self.assertEqual(self.commit(offer).status, 201)
            if n % 2:
                self.commit(offer)
        page = list_page(self.tx, self.me, key("d"))
        self.assertEqual([line.name for line in page.lines], [f"{n:04}" for n in range(1000)])
        self.assertEqual(self.sums(), (9000, 0, 1000))


class OpenTests(WritesCase):
    def test_refused_early(self) -> None:
        """What is sure to fail is refused before the body, and reserves nothing."""
        self.put("a", b"1")
        for text, when, error in (
            ("a", if_none_match("*"), PreconditionFailed),
            ("new", if_match("*"), PreconditionFailed),
            ("a/b", When(), Conflict),
            ("", When(), MethodNotAllowed),
            ("x/y", When(parents=False), Conflict),
        ):
            self.assertRaises(error, self.open, text, when=when)
        self.assertEqual(self.sums(), (1, 0, 1))
        self.assertEqual(self.tx.all("SELECT * FROM pending_writes"), [])

    def test_quota(self) -> None:
        """Uploads that fit singly but not together are refused at the opening (CLD-4, 38)."""
        self.set_quota(20)
        first = self.open("a")
        self.open("b")
        self.assertRaises(QuotaExceeded, self.open, "c")
        self.commit(first)
        self.assertRaises(QuotaExceeded, self.open, "c")
        self.assertEqual(self.open("c", length=2).max_bytes, 2)

    def test_unknown_length(self) -> None:
        """An unknown length may take what is left, but not what others reserved."""
        self.set_quota(20)
        unknown = self.open("a", length=None)
        self.assertEqual(unknown.max_bytes, 20)
        known = self.open("b", length=15)
        self.assertEqual(self.open("c", length=None).max_bytes, 5)
        answer = self.commit(unknown, 6)
        self.assertEqual((answer.status, answer.error), (507, "quota"))
        self.assertEqual(self.commit(known, 15).status, 201)
        self.assertEqual(self.commit(self.open("d", length=None), 5).status, 201)
        self.assertEqual(self.sums(), (20, 0, 2))

    def test_a_full_account_can_edit(self) -> None:
        """What a write replaces is room for it; an account over its quota can shrink."""
        self.set_quota(10)
        self.commit(self.open(length=10), 10)
        self.assertEqual(self.commit(self.open(length=10), 10).status, 204)
        self.set_quota(5)
        self.assertEqual(self.commit(self.open(length=9)).status, 204)
        self.assertRaises(QuotaExceeded, self.open, length=10)

    def test_a_full_account_can_go_on(self) -> None:
        """A write of unknown length that was cut may still take the room of what it replaces."""
        self.set_quota(10)
        self.commit(self.open(length=10), 10)
        first = self.open(length=None)
        self.assertEqual((first.max_bytes, self.renew(first.write).max_bytes), (10, 10))
        self.assertEqual(self.commit(first, 10).status, 204)

    def test_quota_lowered_in_transfer(self) -> None:
        """The transfer may end, the commit is refused (A6)."""
        offer = self.open()
        self.set_quota(5)
        self.assertEqual(self.commit(offer).error, "quota")
        self.assertEqual(self.sums(), (0, 0, 0))

    def test_same_id_same_write(self) -> None:
        """A client's own id: asking again goes on with the same blob and reserves once (CLD-36)."""
        first = self.open(write=WRITE, hosts=(5, 3))
        again = self.open(write=WRITE)
        self.assertEqual((first.write, again.write), (WRITE, WRITE))
        self.assertEqual((again.blob, again.hosts), (first.blob, (5, 3)))
        self.assertEqual((first.resumed, again.resumed), (False, True))
        self.assertEqual(self.sums(), (0, 9, 0))
        answer = self.commit(first)
        self.assertEqual(self.open(write=WRITE).answer, answer)
        self.assertRaises(Conflict, self.open, "b", write=WRITE)
        self.assertRaises(Conflict, self.open, write=WRITE, length=8)
        stranger = self.make_principal("other")
        wish = writes.WriteWish(key("a"), length=9, write=WRITE)
        self.assertRaises(Conflict, writes.open_write, self.tx, stranger, wish)

    def test_refusal_is_repeated(self) -> None:
        """A refused write answers the same when it is tried again under its id."""
        offer = self.open(write=WRITE, when=if_none_match("*"))
        self.put("a")
        self.commit(offer)
        error = self.assertRaises(PigpenError, self.open, write=WRITE)
        self.assertEqual((error.status, error.code), (412, "precondition"))
        self.assertEqual(error.message, PreconditionFailed().message)

    def test_resume(self) -> None:
        """An expired transfer goes on with the same blob, for another day (CLD-37)."""
        offer = self.open(hosts=(self.host,))
        self.wait(pending_writes.OPEN_MS - 1)
        again = self.renew(offer.write)
        self.assertEqual((again.blob, again.hosts), (offer.blob, (self.host,)))
        self.wait(pending_writes.OPEN_MS - 1)
        pending_writes.forget_writes(self.tx)
        self.assertEqual(self.commit(offer).status, 201)
        done = self.renew(offer.write).answer
        self.assertEqual(done and done.status, 201)
        self.assertRaises(NotFound, self.renew, "f" * 64)
        stranger = self.make_principal("other")
        self.assertRaises(NotFound, self.renew, offer.write, stranger)

    def test_expiry(self) -> None:
        """An upload nobody finishes frees its reservation after a day (E4)."""
        offers = [self.open(str(n)) for n in range(5)]
        self.wait(pending_writes.OPEN_MS)
        self.assertEqual(pending_writes.forget_writes(self.tx, 3), 3)
        self.assertEqual(pending_writes.forget_writes(self.tx, 3), 2)
        self.assertEqual(pending_writes.forget_writes(self.tx, 3), 0)
        self.assertEqual(self.sums(), (0, 0, 0))
        self.assertEqual(self.state(offers[0]).state, "abandoned")
        self.assertEqual(self.commit(offers[0]).status, 410)
        self.assertRaises(Gone, self.renew, offers[0].write, text="0")
        self.wait(pending_writes.REMEMBER_MS)
        pending_writes.forget_writes(self.tx)
        self.assertRaises(NotFound, self.state, offers[0])

    def test_terms_are_kept(self) -> None:
        """All that was asked is judged again at the commit, also after a restart."""
        when = When(
            conditions=Conditions(("*",), ('"x"',), None, 5),
            if_field=parse_if('</a> (<urn:uuid:1> Not ["e"])'),
            principal="p",
            loose=True,
            parents=False,
        )
        wish = writes.WriteWish(key("é/b"), when, "a/b", None, 7, b"d" * 32, WRITE, (1, 2))
        row = writes._pending(self.tx, self.me, wish, None)
        pending_writes.insert_pending(self.tx, row)
        self.assertEqual(pending_writes.find_pending(self.tx, row.write), row)


class AskTests(WritesCase):
    def test_states(self) -> None:
        """Every unknown can be settled by asking (CLD-36)."""
        offer = self.open()
        self.assertEqual(self.state(offer), wire.WriteState("open"))
        answer = self.commit(offer)
        self.assertEqual(self.state(offer), wire.WriteState("committed", 201, answer.etag))
        self.assertRaises(NotFound, writes.write_state, self.tx, self.me, "f" * 64)
        stranger = self.make_principal("other")
        self.assertRaises(NotFound, writes.write_state, self.tx, stranger, offer.write)

    def test_withdraw(self) -> None:
        """A request that finds no host takes its write back; but not from another request that
        has gone on with it meanwhile, nor one that was opened anew under the same id."""
        first = self.open(write=WRITE)
        writes.withdraw(self.tx, first)
        self.assertRaises(NotFound, writes.write_state, self.tx, self.me, WRITE)
        self.assertEqual(self.sums(), (0, 0, 0))
        second = self.open(write=WRITE)
        writes.withdraw(self.tx, first)
        third = self.open(write=WRITE)
        writes.withdraw(self.tx, second)
        self.assertEqual(self.state(third), wire.WriteState("open"))
        self.assertEqual(self.commit(third).status, 201)
        writes.withdraw(self.tx, third)
        self.assertEqual(self.state(third).state, "committed")

    def test_give_up(self) -> None:
        """A write given up is gone for its hosts; a committed one cannot be."""
        offer = self.open()
        writes.abandon(self.tx, self.me, offer.write)
        writes.abandon(self.tx, self.me, offer.write)
        self.assertEqual(self.commit(offer).status, 410)
        self.assertEqual(self.sums(), (0, 0, 0))
        done = self.open()
        self.commit(done)
        self.assertRaises(Conflict, writes.abandon, self.tx, self.me, done.write)
        stranger = self.make_principal("other")
        self.assertRaises(NotFound, writes.abandon, self.tx, stranger, done.write)
        self.assertRaises(NotFound, writes.abandon, self.tx, stranger, done.write, key("a"))

    def test_give_up_before_it_comes(self) -> None:
        """What is given up while it is still on its way is refused when it arrives: who heard that
        nothing is stored finds nothing."""
        writes.abandon(self.tx, self.me, WRITE, key("a"))
        self.assertEqual(writes.write_state(self.tx, self.me, WRITE).state, "abandoned")
        wish = writes.WriteWish(key("a"), write=WRITE)
        self.assertRaises(Gone, writes.open_write, self.tx, self.me, wish)
        self.assertRaises(Gone, writes.store_inline, self.tx, self.me, wish, b"late")
        self.assertEqual(self.sums(), (0, 0, 0))
        self.assertRaises(NotFound, writes.abandon, self.tx, self.me, "cd" * 32, key(""))
        week = pending_writes.REMEMBER_MS
        self.tx.now += week + 1
        pending_writes.forget_writes(self.tx)
        self.assertRaises(NotFound, writes.write_state, self.tx, self.me, WRITE)


class InlineTests(WritesCase):
    def test_store(self) -> None:
        """A small object needs no host: 201, then 204; it is read from the catalog."""
        self.assertEqual(self.put("a/b", b"x" * 4096).status, 201)
        answer = self.put("a/b", b"")
        node = namespace.resolve(self.tx, self.me, key("a/b"))
        self.assertEqual((answer.status, answer.etag), (204, node.etag))
        self.assertEqual((node.data, node.hosts, node.length), (b"", (), 0))
        self.assertEqual(node.sha256, hashlib.sha256(b"").digest())
        self.assertRaises(TooLarge, self.put, "c", b"x" * 4097)

    def test_under_an_id(self) -> None:
        """The same id again is the same write, whatever happened since."""
        first = self.put("a", b"1", write=WRITE)
        self.put("a", b"2")
        self.assertEqual(self.put("a", b"1", write=WRITE), first)
        state = writes.write_state(self.tx, self.me, WRITE)
        self.assertEqual((state.state, state.etag), ("committed", first.etag))
        node = namespace.resolve(self.tx, self.me, key("a"))
        self.assertEqual((node.data, self.sums()), (b"2", (1, 0, 1)))

    def test_of_an_open_write(self) -> None:
        """Bytes for a write that was opened before finish it, and free its reservation."""
        offer = self.open(write=WRITE, length=4)
        answer = self.put("a", b"1234", write=WRITE)
        self.assertEqual(answer.etag, f'"{offer.blob[:32]}"')
        self.assertEqual(self.sums(), (4, 0, 1))

    def test_quota(self) -> None:
        """A small object counts too."""
        self.set_quota(9)
        self.open("a")
        self.assertRaises(QuotaExceeded, self.put, "b", b"1")
        self.assertRaises(NotFound, namespace.resolve, self.tx, self.me, key("b"))


STEPS = st.tuples(
    st.sampled_from(["open", "commit", "late", "abandon", "inline", "delete", "day"]),
    st.integers(0, 7),
    st.integers(0, 6),
)


class SumTests(WritesCase):
    @settings(max_examples=60, deadline=None)
    @given(st.lists(STEPS, min_size=5, max_size=40))
    def test_sums_always_agree(self, steps: list[tuple[str, int, int]]) -> None:
        """Whatever happens in whatever order: used, reserved and objects are what is there."""
        self.setUp()
        self.set_quota(12)
        offers: list[writes.OpenWrite] = []
        for name, n, size in steps:
            with contextlib.suppress(PigpenError):  # a refusal changes nothing: compare anyway
                self._step(name, n, size, offers)
            self._compare()

    def _step(self, name: str, n: int, size: int, offers: list[writes.OpenWrite]) -> None:
        if name == "open":
            offers.append(self.open(f"k{n % 3}", length=None if size == 6 else size))
        elif name == "inline":
            self.put(f"k{n % 3}", b"x" * size)
        elif name == "delete":
            namespace.delete(self.tx, self.me, key(f"k{n % 3}"))
        elif name == "day":
            self.wait(pending_writes.OPEN_MS // 2)
            pending_writes.forget_writes(self.tx)
        elif offers and name == "abandon":
            writes.abandon(self.tx, self.me, offers[n % len(offers)].write)
        elif offers:
            offer = offers[n % len(offers)]
            length = size if offer.length is None else offer.length
            self.commit(offer, length, late=name == "late")

    def _compare(self) -> None:
        stored = self.tx.one(
            "SELECT coalesce(sum(b.length), 0), count(*) FROM nodes n"
            " JOIN versions v ON v.id = n.version_id JOIN blobs b ON b.id = v.blob_id"
        )
        waiting = self.tx.one(
            "SELECT coalesce(sum(length), 0) FROM pending_writes WHERE state = ?",
            pending_writes.OPEN,
        )
        assert stored is not None
        assert waiting is not None
        self.assertEqual(self.sums(), (stored[0], waiting[0], stored[1]))
        self.assertLessEqual(stored[0], 12)
        live = self.tx.one("SELECT count(*) FROM versions WHERE ended IS NULL")
        self.assertEqual(live, (stored[1],))
