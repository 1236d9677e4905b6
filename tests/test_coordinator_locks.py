"""Locks: a locked node changes only with its token, for every method (CLD-14, DAV-40 to 47)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from pigpen.coordinator.catalog import host_rows, locking, locks, namespace, writes
from pigpen.coordinator.catalog.locks import LockRow, key_of
from pigpen.coordinator.request_terms import path_of_tag
from pigpen.errors import (
    Conflict,
    Forbidden,
    InsufficientStorage,
    Locked,
    NotFound,
    PigpenError,
    PreconditionFailed,
    WrongLock,
)
from pigpen.http import namespace_rules, wire
from pigpen.http.conditions import Conditions
from pigpen.http.if_header import IfField, parse_if
from pigpen.http.namespace import LockWish, Property, When
from tests.catalog_kit import RulesCase, if_none_match, key

SHARED = LockWish(exclusive=False)


def with_tokens(*held: LockRow, principal: str = "") -> When:
    return When(
        if_field=parse_if("(" + " ".join(f"<{one.token}>" for one in held) + ")"),
        principal=principal,
    )


def any_of(*held: LockRow) -> When:
    """All tokens submitted, true whatever they cover."""
    lists = "".join(f"(<{one.token}>)" for one in held)
    return When(if_field=if_of(lists + "(Not <DAV:no-lock>)"))


def if_of(text: str) -> IfField:
    """As the coordinator reads it from a request."""
    return parse_if(text).map_tags(lambda tag: path_of_tag("me", tag))


class LocksCase(RulesCase):
    def lock(self, text: str, wish: LockWish | None = None, when: When | None = None) -> LockRow:
        return locking.lock(self.tx, self.me, key(text), wish or LockWish(), when or When())[1]

    def delete(self, text: str, when: When | None = None) -> None:
        namespace.delete(self.tx, self.me, key(text), when or When())

    def move(self, source: str, destination: str, when: When | None = None) -> None:
        namespace.move(self.tx, self.me, key(source), key(destination), when=when or When())

    def copy(self, source: str, destination: str, when: When | None = None) -> None:
        namespace.copy(self.tx, self.me, key(source), key(destination), when=when or When())

    def mkcol(self, text: str, when: When | None = None) -> None:
        namespace.make_collection(self.tx, self.me, key(text), when or When())

    def patch_properties(self, text: str, when: When | None = None) -> None:
        change = (Property("n", "p", "v"),)
        namespace.change_properties(self.tx, self.me, key(text), change, when or When())

    def locked(self, act: Callable[..., object], *arguments: object) -> tuple[str, ...]:
        """The roots that a 423 names."""
        error = self.assertRaises(Locked, act, *arguments)
        return tuple(str(root) for root in error.facts["roots"])


class CostTests(LocksCase):
    def test_by_index(self) -> None:
        """Whether a node is locked is looked up along its path, not among all locks (DAV-142)."""
        plan = self.plan(locks._COVERING, 1, 0)
        self.assertRegex(plan, r"SEARCH l USING INDEX \w+ \(node_id=\?|Index Scan using locks_node")
        self.assertNotRegex(plan, "SCAN l |SCAN n|Seq Scan")


class NeedTokenTests(LocksCase):
    def test_object(self) -> None:
        """PUT, PROPPATCH, DELETE, MOVE and being written over need the token; reading does not."""
        self.put("a/b")
        self.put("a/c")
        held = self.lock("a/b")
        for act, *arguments in (
            (self.put, "a/b", b"x"),
            (self.patch_properties, "a/b"),
            (self.delete, "a/b"),
            (self.move, "a/b", "a/x"),
            (self.move, "a/c", "a/b"),
            (self.copy, "a/c", "a/b"),
            (self.delete, "a"),
            (self.move, "a", "x"),
        ):
            self.assertEqual(self.locked(act, *arguments), ("a/b",))
        namespace.resolve(self.tx, self.me, key("a/b"))
        self.copy("a/b", "a/copy")
        self.put("a/new")
        token = with_tokens(held)
        self.put("a/b", b"x", token)
        self.patch_properties("a/b", token)
        self.copy("a/c", "a/b", any_of(held))
        self.delete("a", any_of(held))
        self.assertEqual(locking.all_locks(self.tx, self.me), [])

    def test_parent(self) -> None:
        """A locked collection gets and loses members with its token only."""
        self.put("a/b")
        self.put("c")
        held = self.lock("a", LockWish(infinite=False))
        for act, *arguments in (
            (self.put, "a/new"),
            (self.mkcol, "a/new"),
            (self.delete, "a/b"),
            (self.move, "a/b", "x"),
            (self.move, "c", "a/x"),
            (self.copy, "c", "a/x"),
        ):
            self.assertEqual(self.locked(act, *arguments), ("a/",))
        # Depth 0: what the members hold is free
        self.put("a/b", b"changed")
        self.put("a/new", b"", any_of(held))
        self.delete("a/b", any_of(held))

    def test_infinite(self) -> None:
        """The lock of a tree covers every member, new ones too, and its token serves all."""
        self.put("a/b/c")
        held = self.lock("a")
        self.assertEqual(self.locked(self.put, "a/b/c"), ("a/",))
        self.assertEqual(self.locked(self.put, "a/b/x/y/z"), ("a/",))
        self.put("a/b/x/y/z", b"", with_tokens(held))
        self.assertEqual(self.locked(self.put, "a/b/x/y/z"), ("a/",))
        self.delete("a/b/x/y/z", any_of(held))

    def test_all_members_are_named(self) -> None:
        """DELETE of a tree names each lock in it; one token is not enough for all."""
        self.put("a/1")
        self.put("a/2/x")
        one, two = self.lock("a/1"), self.lock("a/2")
        self.assertEqual(set(self.locked(self.delete, "a")), {"a/1", "a/2/"})
        self.assertEqual(self.locked(self.delete, "a", any_of(one)), ("a/2/",))
        self.delete("a", any_of(one, two))

    def test_shared(self) -> None:
        """Of several shared locks one token is enough."""
        self.put("a")
        one, _two = self.lock("a", SHARED), self.lock("a", SHARED)
        self.locked(self.put, "a")
        self.put("a", b"", with_tokens(one))

    def test_other_users_token(self) -> None:
        """A token counts only from the user who took the lock (DAV-46)."""
        self.put("a")
        held = self.lock("a", when=When(principal="ann"))
        self.locked(self.put, "a", b"", with_tokens(held, principal="bob"))
        self.put("a", b"", with_tokens(held, principal="ann"))

    def test_at_commit(self) -> None:
        """A lock taken during an upload is asked for when it ends."""
        self.put("a")
        offer = writes.open_write(self.tx, self.me, writes.WriteWish(key("a"), length=1))
        self.lock("a")
        registration = wire.Registration("1" * 64, ["http://h:1"], 1, 1, 1, 1)
        host = host_rows.register_host(self.tx, self.me.account_id, registration).row.id
        receipt = wire.Receipt(offer.write, offer.blob, 1, "a" * 64, 1)
        answer = writes.commit_receipt(self.tx, host, receipt)
        self.assertEqual((answer.status, answer.error), (423, "locked"))

    def test_expiry(self) -> None:
        """A lock that ended is no more, to the second (DAV-43)."""
        self.put("a")
        self.lock("a", LockWish(seconds=10))
        self.wait(9_999)
        self.locked(self.put, "a")
        self.wait(1)
        self.put("a")
        self.assertEqual(locks.forget_locks(self.tx), 1)
        self.assertFalse(locks.has_locks(self.tx, self.me.account_id))

    def test_other_accounts(self) -> None:
        """Another account's locks are none of ours."""
        stranger = self.make_principal("other")
        self.put("a")
        held = self.lock("a")
        namespace.make_collection(self.tx, stranger, key("a"))
        self.assertRaises(NotFound, locking.break_lock, self.tx, stranger, held.token)


class IfTests(LocksCase):
    def test_order_of_refusals(self) -> None:
        """False 412, true without the token 423 (DAV-35)."""
        tag = self.put("a").etag
        self.assertRaises(PreconditionFailed, self.put, "a", b"", When(if_field=if_of('(["no"])')))
        self.put("a", b"", When(if_field=if_of(f"([{tag}])")))
        self.lock("a")
        self.locked(self.put, "a", b"", When(if_field=if_of("(Not <DAV:no-lock>)")))

    def test_tags(self) -> None:
        """A tagged list is about the key it names, as path or URI; others match nothing."""
        self.put("b c")
        held = self.lock("b c")
        for tag in ("/api/me/b%20c", "http://any:1/api/me/b%20c", "/api/me/%62%20c"):
            self.put("x", b"", When(if_field=if_of(f"<{tag}> (<{held.token}>)")))
        for tag in ("/api/other/b%20c", "/b%20c", "b%20c", "/api/me/%zz", "http://h", "/api/me/x"):
            when = When(if_field=if_of(f"<{tag}> (<{held.token}>)"))
            self.assertRaises(PreconditionFailed, self.put, "x", b"", when)

    def test_free_name_below_a_lock(self) -> None:
        """A name that is free is covered by an infinite lock above, not by a depth 0 one."""
        self.mkcol("deep")
        self.mkcol("flat")
        deep, flat = self.lock("deep"), self.lock("flat", LockWish(infinite=False))
        self.put("deep/x", b"", with_tokens(deep))
        self.assertRaises(PreconditionFailed, self.put, "flat/x", b"", with_tokens(flat))
        tagged = When(if_field=if_of(f"</api/me/flat> (<{flat.token}>)"))
        self.put("flat/x", b"", tagged)

    def test_keys_of_tags(self) -> None:
        """Only API paths of the account are its keys."""
        self.assertEqual(path_of_tag("me", "https://h/api/me/a/"), "/a/")
        self.assertEqual(path_of_tag("me", "/api/me"), "/")
        for tag in ("/api/you/a", "/x/api/me/a", "mailto:me", "/api/me/../a", ""):
            self.assertEqual(path_of_tag("me", tag), "")


class LockingTests(LocksCase):
    def test_free_name(self) -> None:
        """LOCK of a free name makes an empty object; UNLOCK leaves it (DAV-42)."""
        root, held, made = locking.lock(self.tx, self.me, key("a"), LockWish(), When())
        self.assertTrue(made)
        node = namespace.resolve(self.tx, self.me, key("a"))
        self.assertEqual((node.data, locking.locks_on(self.tx, node)), (b"", [(root, held)]))
        self.assertEqual(root, key("a"))
        locking.unlock(self.tx, self.me, key("a"), held.token, When())
        namespace.resolve(self.tx, self.me, key("a"))
        self.assertEqual(locking.locks_on(self.tx, node), [])
        self.assertRaises(Conflict, self.lock, "no/parent")
        self.assertRegex(held.token, "^urn:uuid:[0-9a-f-]{36}$")

    def test_conflicts(self) -> None:
        """Exclusive meets nothing, shared meets shared; above and below count for trees."""
        self.put("a/b/c")
        self.lock("a/b/c", SHARED)
        self.lock("a", SHARED)
        for text in ("a/b/c", "a/b", "a"):
            self.locked(self.lock, text)
        self.assertEqual(self.locked(self.lock, "a/b", LockWish(infinite=False)), ("a/",))
        self.lock("a/b", SHARED)
        self.lock("x")
        self.locked(self.lock, "x", SHARED)

    def test_depth_0_of_a_tree(self) -> None:
        """A lock without depth beside members' own locks."""
        self.put("a/b")
        self.lock("a/b")
        self.lock("a", LockWish(infinite=False))
        self.locked(self.lock, "a", SHARED)

    def test_conditions(self) -> None:
        """If-None-Match: * on a name that exists is 412 (davfs2, DAV-30)."""
        self.put("a")
        self.assertRaises(PreconditionFailed, self.lock, "a", None, if_none_match("*"))
        stale = When(conditions=Conditions(if_match=('"x"',)))
        self.assertRaises(PreconditionFailed, self.lock, "new", None, stale)
        self.assertRaises(NotFound, namespace.resolve, self.tx, self.me, key("new"))

    def test_refresh(self) -> None:
        """Same token, new time, also through a member; else 412 (DAV-44)."""
        self.put("a/b")
        held = self.lock("a", LockWish(seconds=10))
        self.wait(9_000)
        root, again = locking.refresh(self.tx, self.me, key("a/b"), 10**9, with_tokens(held))
        self.assertEqual(root, key("a/"))
        self.assertEqual(again.token, held.token)
        self.assertEqual(again.expires, self.tx.now + 3600 * 1000)
        other = self.lock("x")
        for when in (with_tokens(other), When(), any_of(other), with_tokens(held, principal="bob")):
            self.assertRaises(
                PreconditionFailed, locking.refresh, self.tx, self.me, key("a"), 5, when
            )

    def test_unlock(self) -> None:
        """Through any key it covers, by its holder only; another token is a 409."""
        self.put("a/b")
        held = self.lock("a", when=When(principal="ann"))
        other = self.lock("x")
        for text, token, when, error in (
            ("a", other.token, When(principal="ann"), Conflict),
            ("a", "urn:uuid:none", When(principal="ann"), Conflict),
            ("x", held.token, When(principal="ann"), Conflict),
            ("a", held.token, When(principal="bob"), Forbidden),
            ("gone", held.token, When(principal="ann"), NotFound),
        ):
            kind: type[PigpenError] = error
            act = locking.unlock
            self.assertRaises(kind, act, self.tx, self.me, key(text), token, when)
        locking.unlock(self.tx, self.me, key("a/b"), held.token, When(principal="ann"))
        self.put("a/b")

    def test_unlock_through_what_is_not_covered(self) -> None:
        """A lock of depth 0 is not ended through a member, one that has ended not at all."""
        self.put("a/b")
        held = self.lock("a", LockWish(infinite=False, seconds=10))
        unlock = partial(locking.unlock, self.tx, self.me)
        self.assertRaises(WrongLock, unlock, key("a/b"), held.token, When())
        self.wait(10_000)
        self.assertRaises(WrongLock, unlock, key("a"), held.token, When())

    def test_root(self) -> None:
        """A lock says where it lies as it is stored, however its name was asked for."""
        self.put("c/a")
        for asked, stored in (("c", "c/"), ("c/", "c/"), ("c/a", "c/a")):
            wish = LockWish(exclusive=False)
            root, held, _ = locking.lock(self.tx, self.me, key(asked), wish, When())
            self.assertEqual((root, key_of(self.tx, held.node_id)), (key(stored), key(stored)))
        self.assertRaises(NotFound, self.lock, "c/a/", SHARED)

    def test_list_and_break(self) -> None:
        """An account sees all its locks and can end any (DAV-46)."""
        one = self.lock("b", LockWish(owner="<o/>"), When(principal="ann"))
        two = self.lock("a")
        found = locking.all_locks(self.tx, self.me)
        self.assertEqual({(str(where), lock.token) for where, lock in found},
                         {("a", two.token), ("b", one.token)})  # fmt: skip
        self.assertEqual({lock.owner for _, lock in found}, {"<o/>", ""})
        first, second = found
        self.assertEqual(locking.all_locks(self.tx, self.me, "", 1), [first])
        self.assertEqual(locking.all_locks(self.tx, self.me, first[1].token), [second])
        locking.break_lock(self.tx, self.me, one.token)
        self.assertRaises(NotFound, locking.break_lock, self.tx, self.me, one.token)
        self.put("b")

    def test_long_owners(self) -> None:
        """What people's programs say about themselves fills no memory when all locks are read."""
        self.lock("a", LockWish(owner="x" * 4096))
        [(_, lock)] = locking.all_locks(self.tx, self.me)
        self.assertEqual(len(lock.owner), 200)

    def test_what_becomes_of_locks(self) -> None:
        """MOVE ends the source's, COPY copies none, one on a name written over stays (DAV-47)."""
        self.put("a/b")
        self.put("target")
        tree, target = self.lock("a"), self.lock("target")
        self.copy("a", "copy")
        self.put("copy/b")
        self.move("a", "target", any_of(tree, target))
        found = locking.all_locks(self.tx, self.me)
        self.assertEqual([(str(where), lock.token) for where, lock in found],
                         [("target/", target.token)])  # fmt: skip
        self.locked(self.put, "target/b")
        self.put("copy/x")
        self.copy("copy/x", "target", any_of(target))
        self.locked(self.put, "target")

    def test_counted(self) -> None:
        """However locks end, the account has room for others again."""
        self.put("d/x")
        self.put("y")
        ends = (
            lambda held: locking.unlock(self.tx, self.me, key("d/x"), held.token, When()),
            lambda held: locking.break_lock(self.tx, self.me, held.token),
            lambda held: self.move("d", "e", any_of(held)),
            lambda held: self.wait(10**9),
        )
        for end in ends:
            held = self.lock("d/x" if end is not ends[-1] else "y")
            self.assertEqual(self.tx.one("SELECT locks FROM accounts"), (1,))
            end(held)
            locks.forget_locks(self.tx)
            self.assertEqual(self.tx.one("SELECT locks FROM accounts"), (0,))

    def test_meeting(self) -> None:
        """What a listing tells of one member's locks stays a line that can be read."""
        self.put("d/e")
        self.patch(namespace_rules, "MAX_MEETING", 3)
        shared = LockWish(exclusive=False)
        for where in ("d", "d/e", "d/e"):
            self.lock(where, shared)
        self.assertRaises(InsufficientStorage, self.lock, "d/e", shared)
        self.assertRaises(InsufficientStorage, self.lock, "d", shared)
        self.lock("d", LockWish(exclusive=False, infinite=False))

    def test_bounded(self) -> None:
        """An account has not more locks than it can pay for."""
        self.patch(locking, "MAX_LOCKS", 2)
        self.lock("a")
        self.lock("b")
        self.assertRaises(InsufficientStorage, self.lock, "c")
