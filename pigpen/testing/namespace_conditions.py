"""What every namespace does with conditions and the If field (DAV-30 to 35)."""

# mypy: allow-untyped-calls
from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from pigpen.errors import Locked, NotFound, PreconditionFailed
from pigpen.http.key import Key
from pigpen.http.namespace import Ability, When
from pigpen.testing.namespace_case import NamespaceCase


class ConditionTests(NamespaceCase):
    """A change whose condition fails changes nothing."""

    def changes(self, key: str, **terms: Any) -> list[Coroutine[Any, Any, Any]]:
        """Every method that changes what is there."""
        return [
            self.writing(key, b"new", **terms),
            self.patching(key, modified=5000, **terms),
            self.copying(key, "copy", **terms),
            self.locking(key, **terms),
            self.moving(key, "moved", **terms),
            self.deleting(key, **terms),
        ]

    def test_if_match(self) -> None:
        """Only the version that the client has seen is changed."""
        etag = self.write("a", b"old").node.etag or ""
        for work in self.changes("a", match='"other"') + self.changes("a", none_match=etag):
            self.refused(PreconditionFailed, work)
        for work in self.changes("a", none_match="*"):
            self.refused(PreconditionFailed, work)
        self.assertEqual((self.names(), self.read("a")), (["a"], b"old"))
        self.assertEqual(self.locks("a"), [])
        written = self.write("a", b"new", match=etag)
        self.refused(PreconditionFailed, self.writing("a", b"late", match=etag))
        self.run_now(self.deleting("a", match=written.node.etag))
        self.assertFalse(self.is_there("a"))

    def test_of_what_is_not_there(self) -> None:
        self.refused(PreconditionFailed, self.writing("a", match="*"))
        self.assertTrue(self.write("a", none_match="*").created)
        self.refused(PreconditionFailed, self.writing("a", none_match="*"))
        self.refused(NotFound, self.deleting("b", match="*"))
        self.refused(PreconditionFailed, self.making("c", match="*"))

    def test_dates(self) -> None:
        """If-Unmodified-Since holds for the exact time and any later one (DAV-32)."""
        node = self.write("a", b"1").node
        second = node.modified // 1000
        self.refused(PreconditionFailed, self.writing("a", b"2", unmodified=second - 1))
        self.write("a", b"2", unmodified=second)
        again = self.stat("a")
        if again.same_second:  # no date tells this version from the one before
            self.refused(PreconditionFailed, self.writing("a", b"3", unmodified=second))
        self.write("a", b"3", unmodified=second + 60)

    # -- If ---------------------------------------------------------------------------------------

    def checking(self, key: str, field: str, **terms: Any) -> Coroutine[Any, Any, None]:
        return self.namespace.check(Key.from_text(key), self.when(If=field, **terms))

    def holds(self, key: str, field: str) -> bool:
        try:
            self.run_now(self.checking(key, field))
        except PreconditionFailed:
            return False
        return True

    def test_truth(self) -> None:
        """Lists are alternatives, conditions in one must all hold; tags name other resources."""
        self.need(Ability.LOCKS)
        self.make_collection("d")
        mine = self.write("a").node.etag
        other = self.write("d/b", b"other").node.etag
        token = self.lock("d").token
        self.make_collection("flat")
        flat = self.lock("flat", infinite=False).token
        true = (f"([{mine}])", "(Not <DAV:no-lock>)", f'(["x"]) ([{mine}])', f"(Not <{token}>)",
                f"</d/b> ([{other}])", f"</d/b> (<{token}> [{other}])", f"</d> (<{token}>)",
                f"</d/new> (<{token}>)", f"</flat> (<{flat}>)",
                f'</a> (["x"]) </d/> (<{token}>)', '(Not ["x"])',
                f"([{mine}] Not <{token}>)", f"</none> (Not [{mine}])")  # fmt: skip
        false = ('(["x"])', "(<DAV:no-lock>)", f"(<{token}>)", f"([{other}])", "(<urn:x>)",
                 f"</d/b> ([{mine}])", f'([{mine}] ["x"])', f"(Not [{mine}])", "</none> (<urn:x>)",
                 f"</a/none> (<{token}>)", f"</flat/new> (<{flat}>)",
                 f"(Not [{mine}] <{token}>)")  # fmt: skip
        for field in true:
            self.assertTrue(self.holds("a", field), field)
        for field in false:
            self.assertFalse(self.holds("a", field), field)
        self.assertTrue(self.holds("none", "(Not <DAV:no-lock>)"))
        self.assertFalse(self.holds("none", f"([{mine}])"))

    def test_foreign_tags(self) -> None:
        """A tag that is not ours matches nothing, which Not turns round."""
        field = self.when(If="<http://elsewhere/> (<urn:x>)").if_field
        assert field is not None
        elsewhere = field.map_tags(lambda tag: "")
        negated = self.when(If="<http://elsewhere/> (Not <urn:x>)").if_field
        assert negated is not None
        self.refused(
            PreconditionFailed, self.namespace.check(Key(("a",)), When(if_field=elsewhere))
        )
        self.run_now(
            self.namespace.check(Key(("a",)), When(if_field=negated.map_tags(lambda tag: "")))
        )

    def test_false_on_every_change(self) -> None:
        """412 for a field that does not hold, before any lock is looked at."""
        self.write("a", b"old")
        for work in self.changes("a", If='(["x"])'):
            self.refused(PreconditionFailed, work)
        self.refused(PreconditionFailed, self.making("d", If='(["x"])'))
        self.refused(PreconditionFailed, self.writing("new", If="(<urn:x>)"))
        self.assertEqual((self.names(), self.read("a")), (["a"], b"old"))

    def test_order_of_refusals(self) -> None:
        """False 412; true without the token of the lock 423."""
        self.need(Ability.LOCKS)
        etag = self.write("a").node.etag
        token = self.lock("a").token
        self.refused(PreconditionFailed, self.writing("a", If=f'(<{token}> ["x"])'))
        self.refused(Locked, self.writing("a", If=f"([{etag}])"))
        self.refused(Locked, self.writing("a", If="(Not <DAV:no-lock>)"))
        self.write("a", If=f"([{etag}] <{token}>)")
        # a token inside Not counts as submitted too
        self.write("a", If=f"(<urn:x>) (Not <DAV:no-lock>) (Not <{token}>)")
