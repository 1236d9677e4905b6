"""Accounts: who is let in, keys, quota."""

from __future__ import annotations

import random

from pigpen.coordinator.catalog import accounts
from pigpen.coordinator.catalog.access_keys import Credentials, make_access_key, parse_access_key
from pigpen.database.transaction import RANDOM_BITS
from pigpen.errors import BadRequest, Conflict, NotFound, QuotaExceeded, Unauthorized
from pigpen.http import wire
from tests.catalog_kit import RulesCase


class AccountTests(RulesCase):
    def make_key(self, **more: object) -> str:
        made = accounts.add_key(self.tx, self.me.account_id, wire.NewKey(**more))  # type: ignore[arg-type]
        return made.key

    def enter(self, text: str, login: str | None = None) -> accounts.Principal:
        return accounts.authenticate(self.tx, Credentials(parse_access_key(text), login))

    def refused(self, text: str, login: str | None = None) -> None:
        self.assertRaises(Unauthorized, self.enter, text, login)

    def test_let_in(self) -> None:
        """A key opens its account, with and without the login."""
        text = self.make_key()
        found = self.enter(text)
        self.assertEqual((found.login, found.account_id), ("me", self.me.account_id))
        self.assertEqual(found.root_id, self.me.root_id)
        self.assertEqual(self.enter(text, "me"), found)

    def test_refused(self) -> None:
        """Unknown id, wrong secret, other login, revoked, expired, suspended: all the same (A1)."""
        text = self.make_key()
        self.make_principal("other")
        self.refused(text, "other")
        self.refused(text, "")
        self.refused(make_access_key(random.Random(99)).to_text())
        own = parse_access_key(text)
        other = make_access_key(random.Random(98))
        twin = type(own)(own.id, other.secret)
        self.refused(twin.to_text())
        accounts.set_state(self.tx, self.me.account_id, accounts.SUSPENDED)
        self.refused(text)
        accounts.set_state(self.tx, self.me.account_id, accounts.ACTIVE)
        self.enter(text)

    def test_revoked(self) -> None:
        """A revoked key fails at once; others go on; it cannot be revoked by a stranger (A6)."""
        first, second = self.make_key(), self.make_key()
        stranger = self.make_principal("other")
        key_id = parse_access_key(first).id
        self.assertRaises(NotFound, accounts.revoke_key, self.tx, stranger.account_id, key_id)
        accounts.revoke_key(self.tx, self.me.account_id, key_id)
        self.refused(first)
        self.enter(second)
        self.assertRaises(NotFound, accounts.revoke_key, self.tx, self.me.account_id, key_id)

    def test_expired(self) -> None:
        """A key with an end works until then."""
        text = self.make_key(not_after=self.tx.now + 1000)
        self.wait(999)
        self.enter(text)
        self.wait(1)
        self.refused(text)
        self.assertRaises(BadRequest, self.make_key, not_after=self.tx.now)

    def test_stolen_catalog(self) -> None:
        """The database holds no secret, only its SHA-256 (A3)."""
        text = self.make_key()
        stored = repr(self.tx.all("SELECT * FROM access_keys"))
        self.assertNotIn(text[14:57], stored)
        self.assertNotIn(repr(parse_access_key(text).secret)[2:-1], stored)

    def test_at_most_32_keys(self) -> None:
        """The 33rd key is refused; deleting one makes room."""
        keys = [self.make_key(label=str(n)) for n in range(32)]
        self.assertRaises(Conflict, self.make_key)
        accounts.revoke_key(self.tx, self.me.account_id, parse_access_key(keys[0]).id)
        self.make_key()
        found = accounts.list_keys(self.tx, self.me.account_id)
        self.assertEqual(len(found), 32)
        self.assertNotIn("0", [info.label for info in found])

    def test_last_use(self) -> None:
        """Last use is written in batches, and never goes back."""
        key_id = parse_access_key(self.make_key()).id
        for moment in (5, 9, 7):
            accounts.note_used(self.tx, {key_id: moment, "unknown": 3})
        self.assertEqual(accounts.list_keys(self.tx, self.me.account_id)[0].last_used, 9)

    def test_logins(self) -> None:
        """A login is short, plain and free."""
        for login in ("", "A", "-a", ".a", "a/b", "a" * 64, "a\n", "ü"):
            self.assertRaises(BadRequest, accounts.make_account, self.tx, login)
        accounts.make_account(self.tx, "0a._-" + "x" * 58)
        self.assertRaises(Conflict, accounts.make_account, self.tx, "me")
        self.assertEqual(accounts.find_account(self.tx, "me"), self.me.account_id)
        self.assertRaises(NotFound, accounts.find_account, self.tx, "nobody")

    def test_ids_are_drawn_again(self) -> None:
        """A number that is taken is not used twice."""

        class Stuck(random.Random):
            drawn = [self.me.account_id % 2**RANDOM_BITS, 77, 78]  # noqa: RUF012

            def getrandbits(self, k: int) -> int:
                return self.drawn.pop(0)

        self.tx.random = Stuck()
        made = accounts.make_account(self.tx, "next")
        self.assertEqual(made % 2**RANDOM_BITS, 77)

    def test_info(self) -> None:
        """An account sees its sums, its quota and its keys."""
        accounts.set_quota(self.tx, self.me.account_id, 100)
        self.make_key(label="laptop")
        self.put("a", b"12345")
        info = accounts.account_info(self.tx, self.me.account_id)
        self.assertEqual((info.login, info.used, info.reserved, info.objects), ("me", 5, 0, 1))
        self.assertEqual((info.quota, info.copies, info.keys[0].label), (100, 3, "laptop"))
        self.assertRaises(NotFound, accounts.account_info, self.tx, 1)

    def test_quota(self) -> None:
        """What is over the quota is refused, what fits is not."""
        accounts.check_quota(self.tx, self.me.account_id, 2**61)
        accounts.set_quota(self.tx, self.me.account_id, 10)
        accounts.check_quota(self.tx, self.me.account_id, 10)
        check = accounts.check_quota
        self.assertRaises(QuotaExceeded, check, self.tx, self.me.account_id, 11)
        accounts.set_quota(self.tx, self.me.account_id, 0)
        accounts.check_quota(self.tx, self.me.account_id, 0)
