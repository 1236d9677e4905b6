"""What every namespace does with locks (DAV-40 to 47)."""

# mypy: allow-untyped-calls
from __future__ import annotations

from typing import Any

from pigpen.errors import (
    Conflict,
    Forbidden,
    InsufficientStorage,
    LockConflict,
    Locked,
    NotFound,
    PreconditionFailed,
    WrongLock,
)
from pigpen.http.key import Key
from pigpen.http.namespace import MAX_LOCK_SECONDS, MAX_OWNER_BYTES, LockWish, Property, WriteMeta
from pigpen.testing.namespace_case import AskedBody, NamespaceCase

SHARED = LockWish(exclusive=False)


def field(*tokens: str) -> str:
    """An If field that holds and submits these tokens."""
    return "(Not <DAV:no-lock>) " + " ".join(f"(<{token}>)" for token in tokens)


def roots(refusal: Locked) -> set[Key]:
    """Where the locks in the way were taken."""
    found: Any = refusal.facts["roots"]
    return set(found)


class LockTests(NamespaceCase):
    """Without its token nobody changes what a lock protects."""

    def test_what_a_lock_is(self) -> None:
        """LOCK tells, and lockdiscovery shows, everything the client said."""
        self.make_collection("d")
        self.write("d/a")
        owner = '<D:owner xmlns:D="DAV:"><D:href>mailto:ann</D:href></D:owner>'
        wish = LockWish(exclusive=False, infinite=True, owner=owner, seconds=300)
        lock, made = self.run_now(self.locking("d", wish))
        self.assertFalse(made)
        self.assertRegex(lock.token, "^urn:uuid:[0-9a-f-]{36}$")
        self.assertEqual(
            (lock.root, lock.exclusive, lock.infinite, lock.principal, lock.owner),
            (Key(("d",), True), False, True, self.principal, owner),
        )
        self.assertLessEqual(abs(lock.expires - 1000 * (self.env.wall() + 300)), 2000)
        for key in ("d", "d/a"):
            self.assertEqual(self.locks(key), [lock])
        self.assertEqual(self.locks("/"), [])

    def test_long_owner(self) -> None:
        """A listing repeats an owner with each member below the lock: it has 4 KiB at most."""
        self.write("a")
        inside = "x" * (MAX_OWNER_BYTES - len("<o></o>"))
        for text in (inside + "x", "\u00e9" + inside[1:]):
            wish = LockWish(owner=f"<o>{text}</o>")
            self.refused(InsufficientStorage, self.locking("a", wish))
            self.refused(InsufficientStorage, self.locking("new", wish))
        self.assertEqual([node.key.name for node in self.nodes("/")], ["a"])
        lock = self.lock("a", owner=f"<o>{inside}</o>")
        self.assertEqual(self.locks("a"), [lock])

    def test_depths(self) -> None:
        """Depth 0 covers the collection alone, infinity new members too."""
        self.make_collection("d", "e")
        self.lock("d", infinite=False)
        token = self.lock("e").token
        self.write("e/a", If=field(token))
        self.write("e/b/c", If=field(token), parents=True)
        for key in ("e/a", "e/b/c"):
            self.assertEqual([lock.token for lock in self.locks(key)], [token])
            self.write(key, If=field(token))
            self.refused(Locked, self.writing(key))
        self.refused(Locked, self.writing("d/a"))
        self.refused(Locked, self.writing("e/n"))

    def test_time_is_clamped(self) -> None:
        lock = self.lock("a", seconds=10 * MAX_LOCK_SECONDS)
        self.assertLessEqual(lock.expires, 1000 * (self.env.wall() + MAX_LOCK_SECONDS + 1))

    def test_every_change_of_an_object(self) -> None:
        """PUT, PROPPATCH, DELETE, MOVE need its token, and COPY or MOVE onto it (DAV-41)."""
        self.write("a", b"old")
        self.write("b")
        lock = self.lock("a")
        body = AskedBody()
        works = [self.writing("a", body), self.patching("a", modified=1000), self.deleting("a"),
                 self.moving("a", "c"), self.copying("b", "a"), self.moving("b", "a")]  # fmt: skip
        for work in works:
            self.assertEqual(self.refused(Locked, work).facts["roots"], (Key(("a",)),))
        self.assertFalse(body.asked)
        self.assertEqual((self.names(), self.read("a")), (["a", "b"], b"old"))
        self.run_now(self.copying("a", "c"))
        terms: dict[str, Any] = {"If": field(lock.token)}
        self.write("a", b"new", **terms)
        self.run_now(self.patching("a", modified=1000, **terms))
        self.run_now(self.copying("b", "a", **terms))
        self.run_now(self.deleting("a", **terms))

    def test_members_of_a_locked_collection(self) -> None:
        """Adding and removing members needs the token of the collection."""
        self.make_collection("d", "free")
        self.write("d/a")
        self.write("b")
        lock = self.lock("d", infinite=False)
        works = [self.writing("d/n"), self.making("d/n"), self.deleting("d/a"),
                 self.moving("d/a", "x"), self.moving("b", "d/b"), self.copying("b", "d/b"),
                 self.locking("d/n"), self.writing("d/x/y", parents=True)]  # fmt: skip
        for work in works:
            self.assertEqual(self.refused(Locked, work).facts["roots"], (Key(("d",), True),))
        self.write("d/a", b"a member changes without it")
        self.run_now(self.patching("d/a", modified=1000))
        self.write("d/n", If=field(lock.token))
        self.run_now(self.moving("d/n", "free/n", If=field(lock.token)))
        self.assertEqual(self.names(deep=True), ["b", "d/", "d/a", "free/", "free/n"])

    def test_locked_members(self) -> None:
        """DELETE and MOVE of a collection need the token of every locked node below."""
        self.make_collection("d", "d/e")
        self.write("d/e/a")
        self.write("d/b")
        a, b = self.lock("d/e/a"), self.lock("d/b")
        self.make_collection("other")
        for work in (self.deleting("d"), self.moving("d", "n"), self.moving("other", "d"),
                     self.copying("other", "d")):  # fmt: skip
            self.assertEqual(roots(self.refused(Locked, work)), {a.root, b.root})
        refusal = self.refused(Locked, self.deleting("d", If=field(a.token)))
        self.assertEqual(refusal.facts["roots"], (b.root,))
        self.assertEqual(self.names("d", deep=True), ["b", "e/", "e/a"])
        self.run_now(self.deleting("d", If=field(a.token, b.token)))
        self.assertEqual(self.names(), ["other/"])

    def test_locked_target(self) -> None:
        """A free name in a free collection needs no token at the target (Office)."""
        self.make_collection("d", "e")
        self.write("d/a")
        lock = self.lock("d/a")
        self.run_now(self.moving("d/a", "e/a", If=field(lock.token)))
        self.assertEqual(self.locks("e/a"), [])

    # -- conflicts --------------------------------------------------------------------------------

    def test_conflicts(self) -> None:
        """An exclusive lock suffers no other, a shared one only shared ones."""
        self.make_collection("d", "d/e")
        self.write("d/e/a")
        shared = self.lock("d/e/a", exclusive=False)
        self.lock("d/e/a", exclusive=False)
        for key in ("d/e/a", "d", "d/e", "/"):
            refusal = self.refused(LockConflict, self.locking(key))
            self.assertEqual(refusal.facts["roots"], (shared.root,), key)
        self.lock("d", infinite=False)
        self.refused(LockConflict, self.locking("d", SHARED))
        self.lock("d/e", infinite=False)
        self.assertEqual(len(self.locks("d/e/a")), 2)

    def test_infinite_above(self) -> None:
        """Nobody locks a member of what is locked with all below."""
        self.make_collection("d")
        self.write("d/a")
        outer = self.lock("d")
        for key in ("d/a", "d"):
            refusal = self.refused(LockConflict, self.locking(key, If=field(outer.token)))
            self.assertEqual(refusal.facts["roots"], (outer.root,))
            self.refused(LockConflict, self.locking(key, SHARED))
        self.refused(Locked, self.locking("d/new"))
        self.assertFalse(self.is_there("d/new"))

    def test_one_shared_token_is_enough(self) -> None:
        self.write("a")
        first = self.lock("a", exclusive=False)
        self.lock("a", exclusive=False)
        self.refused(Locked, self.writing("a"))
        self.write("a", If=field(first.token))

    # -- names that are free ----------------------------------------------------------------------

    def test_free_name(self) -> None:
        """LOCK of a free name makes an empty object, which stays (DAV-42)."""
        lock, made = self.run_now(self.locking("a"))
        self.assertTrue(made)
        self.assertEqual((self.names(), self.read("a")), (["a"], b""))
        self.write("a", b"data", If=field(lock.token))
        self.run_now(self.namespace.unlock(Key(("a",)), lock.token, self.when()))
        self.assertEqual((self.read("a"), self.locks("a")), (b"data", []))

    def test_free_name_without_a_place(self) -> None:
        self.write("file")
        self.refused(Conflict, self.locking("none/a"))
        self.refused(Conflict, self.locking("file/a"))
        self.refused(PreconditionFailed, self.locking("file", none_match="*"))
        self.assertEqual(self.names(), ["file"])
        self.assertTrue(self.run_now(self.locking("new", none_match="*"))[1])

    # -- refresh, unlock, the end -----------------------------------------------------------------

    def test_refresh(self) -> None:
        """The same token, a new time, also through a member (DAV-44)."""
        self.make_collection("d")
        self.write("d/a")
        self.write("other")
        lock = self.lock("d", seconds=100)
        self.wait(90)
        terms = self.when(If=f"(<{lock.token}>)")
        for key in ("d", "d/a"):
            again = self.run_now(self.namespace.refresh(Key.from_text(key), 100, terms))
            self.assertEqual((again.token, again.root), (lock.token, lock.root))
            self.assertGreater(again.expires, lock.expires + 80_000)
        self.wait(90)
        self.assertEqual(len(self.locks("d/a")), 1)
        unknown = self.when(If="(<urn:uuid:00000000-0000-4000-8000-000000000000>)")
        for key, when in (("other", terms), ("d", unknown), ("d", self.when())):
            self.refused(PreconditionFailed, self.namespace.refresh(Key.from_text(key), 100, when))
        self.refused(NotFound, self.namespace.refresh(Key(("none",)), 100, terms))

    def test_end(self) -> None:
        """A lock ends by the clock: no stale 423."""
        self.make_collection("d")
        self.write("d/a")
        lock = self.lock("d", seconds=60)
        self.wait(61)
        self.assertEqual(self.locks("d/a"), [])
        self.write("d/a", b"free")
        self.refused(PreconditionFailed, self.writing("d/a", If=f"(<{lock.token}>)"))
        self.lock("d/a")

    def test_unlock(self) -> None:
        """Through any key that it covers, and no other."""
        self.make_collection("d")
        self.write("d/a")
        self.write("b")
        lock, other = self.lock("d"), self.lock("b")
        unlock = self.namespace.unlock
        self.refused(WrongLock, unlock(Key(("b",)), lock.token, self.when()))
        self.refused(WrongLock, unlock(Key(("b",)), "urn:x", self.when()))
        self.refused(WrongLock, unlock(Key(("d", "a")), other.token, self.when()))
        self.refused(NotFound, unlock(Key(("none",)), lock.token, self.when()))
        self.run_now(unlock(Key(("d", "a")), lock.token, self.when()))
        self.assertEqual(self.locks("d"), [])
        self.write("d/a")

    def test_others(self) -> None:
        """A token counts only from the user who took the lock (DAV-46)."""
        self.write("a", b"old")
        lock = self.lock("a")
        self.assertEqual(lock.principal, self.principal)
        theirs = self.when(If=field(lock.token), principal=self.other)
        namespace, key = self.as_other(), Key(("a",))
        body = AskedBody(b"theirs")
        self.refused(Locked, namespace.write(key, body, WriteMeta(), theirs))
        self.refused(Locked, namespace.delete(key, theirs))
        self.refused(PreconditionFailed, namespace.refresh(key, 100, theirs))
        self.refused(Forbidden, namespace.unlock(key, lock.token, self.when(principal=self.other)))
        self.refused(LockConflict, namespace.lock(key, LockWish(), theirs))
        self.assertEqual((self.read("a"), self.locks("a")), (b"old", [lock]))

    def test_what_ends_locks(self) -> None:
        """DELETE ends locks, MOVE those of the source, COPY copies none (DAV-47)."""
        self.make_collection("d", "e")
        self.write("d/a")
        inner = self.lock("d/a")
        terms: dict[str, Any] = {"If": field(inner.token)}
        self.run_now(self.copying("d", "copy"))
        self.assertEqual(self.locks("copy/a"), [])
        self.run_now(self.moving("d", "e/d", **terms))
        self.assertEqual(self.locks("e/d/a"), [])
        self.make_collection("d")
        self.write("d/a")
        self.assertEqual(self.locks("d/a"), [])
        last = self.lock("d")
        self.run_now(self.deleting("d", If=field(last.token)))
        self.make_collection("d")
        self.assertEqual(self.locks("d"), [])

    def test_lock_on_a_name_written_over(self) -> None:
        """It stays: the client that saves by MOVE keeps its lock."""
        self.write("a", b"old")
        lock = self.lock("a")
        for act in (self.copying, self.moving):
            self.write("t", b"new")
            self.run_now(act("t", "a", If=field(lock.token)))
            self.assertEqual([one.token for one in self.locks("a")], [lock.token])
            self.refused(Locked, self.writing("a"))
        self.write("a", b"newer", If=field(lock.token))
        self.assertEqual([one.token for one in self.locks("a")], [lock.token])

    def test_move_within_a_locked_tree(self) -> None:
        """The token of the top serves both ends."""
        self.make_collection("d", "d/e")
        self.write("d/a")
        lock = self.lock("d")
        self.refused(Locked, self.moving("d/a", "d/e/b"))
        self.run_now(self.moving("d/a", "d/e/b", If=field(lock.token)))
        self.assertEqual([one.token for one in self.locks("d/e/b")], [lock.token])

    def test_properties_of_a_locked_node(self) -> None:
        self.make_collection("d")
        lock = self.lock("d")
        change = Property("n:", "k", '<k xmlns="n:"/>')
        self.refused(Locked, self.patching("d", change))
        self.run_now(self.patching("d", change, If=field(lock.token)))

    def test_root(self) -> None:
        """A lock on the root covers everything."""
        self.write("a")
        lock = self.lock("/")
        self.assertEqual(lock.root, Key((), True))
        for work in (self.writing("a"), self.writing("b"), self.making("d"), self.deleting("a")):
            self.refused(Locked, work)
        self.write("b", If=field(lock.token))
        self.assertEqual([one.token for one in self.locks("b")], [lock.token])
        self.run_now(self.namespace.unlock(Key(("b",)), lock.token, self.when()))
        self.write("a")

    def test_every_spelling(self) -> None:
        """A lock holds however its name is spelled, and If finds it (DAV-62)."""
        composed, decomposed = "\u00e9", "e\u0301"
        self.write(composed, b"old")
        etag = self.stat(composed).etag
        lock = self.lock(composed)
        self.refused(Locked, self.writing(decomposed, loose=True))
        self.refused(Locked, self.deleting(decomposed, loose=True))
        self.refused(LockConflict, self.locking(decomposed, loose=True))
        tagged = f"</{Key((decomposed,)).to_path()[1:]}> (<{lock.token}> [{etag}])"
        self.assertFalse(self.write(decomposed, b"new", If=tagged, loose=True).created)
        self.assertEqual([node.key.name for node in self.nodes("/")], [composed])

    def test_parent_of_the_target(self) -> None:
        """COPY and MOVE into a locked collection need its token, new name or old."""
        self.make_collection("d")
        self.write("a")
        self.write("d/b")
        lock = self.lock("d", infinite=False)
        for act in (self.copying, self.moving):
            for target in ("d/b", "d/n"):
                self.refused(Locked, act("a", target))
        self.run_now(self.copying("a", "d/b", If=field(lock.token)))
        self.run_now(self.moving("a", "d/n", If=field(lock.token)))
