"""The namespace: what each method does to keys, with which status.

A model test compares random series of calls with a dict; the others name single promises. Small
objects stand for all, as the rules do not look at where bytes lie.
"""

from __future__ import annotations

import unicodedata
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from pigpen.coordinator.catalog import copying, key_lengths, namespace, properties
from pigpen.coordinator.catalog.accounts import Principal
from pigpen.coordinator.catalog.listing import list_page
from pigpen.coordinator.catalog.nodes import find
from pigpen.errors import (
    BadKey,
    Conflict,
    Forbidden,
    InsufficientStorage,
    MethodNotAllowed,
    NotFound,
    PigpenError,
    PreconditionFailed,
    QuotaExceeded,
)
from pigpen.http.conditions import Conditions
from pigpen.http.key import Key
from pigpen.http.namespace import Property, When
from tests.catalog_kit import RulesCase, if_match, if_none_match, key
from tests.hypothesis_kit import given, settings, st


class NamespaceCase(RulesCase):
    def mkcol(self, text: str, **more: Any) -> None:
        namespace.make_collection(self.tx, self.me, key(text), **more)

    def delete(self, text: str, **more: Any) -> None:
        namespace.delete(self.tx, self.me, key(text), **more)

    def move(self, source: str, destination: str, **more: Any) -> bool:
        return namespace.move(self.tx, self.me, key(source), key(destination), **more)

    def copy(self, source: str, destination: str, **more: Any) -> bool:
        return namespace.copy(self.tx, self.me, key(source), key(destination), **more)

    def read(self, text: str) -> bytes | None:
        """What an object holds; None for a collection."""
        return namespace.resolve(self.tx, self.me, key(text)).data

    def names(self) -> list[str]:
        """Of all there is."""
        page = list_page(self.tx, self.me, key(""), depth="infinity")
        return [line.name for line in page.lines]

    def tree(self) -> dict[str, bytes | None]:
        return {name: self.read(name) for name in self.names()}

    def sweep(self) -> int:
        rounds = 0
        while namespace.sweep(self.tx, 10):
            rounds += 1
        return rounds


class ResolveTests(NamespaceCase):
    def test_object_and_collections(self) -> None:
        """A key is found exactly; a collection with and without slash, an object without."""
        self.put("a/b/c", b"x")
        node = namespace.resolve(self.tx, self.me, key("a/b/c"))
        self.assertEqual((node.data, node.length, node.content_type), (b"x", 1, node.content_type))
        self.assertEqual(node.etag, f'"{node.blob[:32]}"')
        for text in ("", "a", "a/", "a/b/"):
            found = namespace.resolve(self.tx, self.me, key(text))
            self.assertTrue(found.is_collection)
            self.assertEqual(found.key, Key(key(text).names, True))
        for text in ("a/b/c/", "b", "a/b/c/d", "A", "a/b/c/d/e"):
            self.assertRaises(NotFound, namespace.resolve, self.tx, self.me, key(text))

    def test_deep_keys(self) -> None:
        """2,048 names deep, as a key of 4,096 bytes may be."""
        for depth in (15, 16, 17, 33, 2048):
            self.put("/".join("x" * depth), b"%d" % depth) if depth == 2048 else None
            if depth < 2048:
                self.put("/".join("x" * (depth - 1) + "y"), b"%d" % depth)
                self.assertEqual(self.read("/".join("x" * (depth - 1) + "y")), b"%d" % depth)
        self.assertEqual(self.read("/".join("x" * 2048)), b"2048")

    def test_other_accounts_see_nothing(self) -> None:
        """The same key in two accounts is two things."""
        other = self.make_principal("other")
        self.put("a", b"mine")
        self.assertIsNone(find(self.tx, other.root_id, key("a")))

    def test_loose_spelling(self) -> None:
        """An accent composed or not is one name, if asked loosely; the stored spelling wins."""
        composed, decomposed = (unicodedata.normalize(form, "é/ü") for form in ("NFC", "NFD"))
        for stored, asked in ((composed, decomposed), (decomposed, composed)):
            self.setUp()
            self.put(stored, b"x")
            self.assertIsNone(find(self.tx, self.me.root_id, key(asked)))
            found = namespace.resolve(self.tx, self.me, key(asked), loose=True)
            self.assertEqual(found.key.names, key(stored).names)
            answer = self.put(asked, b"y", When(loose=True))
            self.assertEqual((answer.status, self.read(stored)), (204, b"y"))
            self.assertEqual(self.put(asked, b"z").status, 201)
            self.assertEqual(self.put(asked, b"z", When(loose=True)).status, 204)
            self.assertEqual(self.read(stored), b"y")

    def test_slash_in_a_name(self) -> None:
        """A name with a slash, as some stores allow, has no place in this tree."""
        self.assertRaises(BadKey, namespace.make_collection, self.tx, self.me, Key(("a/b",)))


class PutTests(NamespaceCase):
    def test_statuses(self) -> None:
        """201 new, 204 replaced, 409 below an object or without parent, 405 on a collection."""
        self.assertEqual(self.put("a/b/c", b"1").status, 201)
        self.assertEqual(self.put("a/b/c", b"22").status, 204)
        self.assertEqual(self.read("a/b/c"), b"22")
        self.assertRaises(Conflict, self.put, "a/b/c/d")
        self.assertRaises(Conflict, self.put, "a/b/c/d/e")
        for text in ("", "a", "a/b/"):
            self.assertRaises(MethodNotAllowed, self.put, text)
        self.assertRaises(Conflict, self.put, "new/")
        self.assertRaises(Conflict, self.put, "x/y", when=When(parents=False))
        self.assertRaises(NotFound, namespace.resolve, self.tx, self.me, key("x"))
        self.assertEqual(self.put("a/y", when=When(parents=False)).status, 201)

    def test_conditions(self) -> None:
        """A stale If-Match and a taken name are 412, judged where the change is made (Y3)."""
        tag = self.put("a").etag or ""
        self.assertRaises(PreconditionFailed, self.put, "a", when=if_none_match("*"))
        self.assertRaises(PreconditionFailed, self.put, "new", when=if_match("*"))
        self.assertRaises(PreconditionFailed, self.put, "a", when=if_match('"other"'))
        self.assertEqual(self.put("a", when=if_match(tag)).status, 204)
        self.assertRaises(PreconditionFailed, self.put, "a", when=if_match(tag))

    def test_one_of_ten_creates(self) -> None:
        """Ten clients create the same key with If-None-Match: one wins (Y3)."""
        won = 0
        for n in range(10):
            try:
                won += self.put("a", b"%d" % n, if_none_match("*")).status == 201
            except PreconditionFailed:
                continue
        self.assertEqual((won, self.read("a")), (1, b"0"))

    def test_last_modified_grows(self) -> None:
        """Each write has a later time, also with a clock that stands or goes back (CLD-13, D7)."""
        times = []
        for step in (0, 0, 5, -3_600_000, 0):
            self.wait(step)
            times.append(self.put("a").modified or 0)
        self.assertEqual(times, sorted(set(times)))

    def test_time_set_by_the_writer(self) -> None:
        """A writer's own time is kept; a far one stays a date that HTTP can say (DAV-54)."""
        self.assertEqual(self.put("a", modified=5000).modified, 5000)
        self.assertEqual(self.put("a", modified=10**15).modified, 253_402_300_799_000)

    def test_two_versions_in_a_second(self) -> None:
        """No date is taken for a version that shares its second with the one before (DAV-32)."""

        def verdict(**conditions: int) -> int | None:
            node = namespace.resolve(self.tx, self.me, key("a"))
            return Conditions(**conditions).verdict("GET", node.validators)

        second = (self.put("a").modified or 0) // 1000
        self.assertEqual(verdict(if_modified_since=second), 304)
        self.put("a")
        self.assertEqual(verdict(if_modified_since=second), None)
        self.assertEqual(verdict(if_unmodified_since=second), 412)
        self.assertEqual(verdict(if_unmodified_since=second + 1), None)
        self.wait(1000)
        self.put("a")
        self.assertEqual(verdict(if_modified_since=second + 1), 304)

    def test_a_collection_shows_when_it_changed(self) -> None:
        """A folder's date is that of its last new or lost member."""
        self.put("a/b")
        self.wait(5000)
        before = namespace.resolve(self.tx, self.me, key("a")).modified
        self.put("a/c")
        after = namespace.resolve(self.tx, self.me, key("a")).modified
        self.assertEqual(after - before, 5000)


class CollectionTests(NamespaceCase):
    def test_make(self) -> None:
        """201; 405 if anything is there; 409 without parent or below an object."""
        self.mkcol("a/")
        self.mkcol("a/b")
        self.put("o")
        for text in ("", "a", "a/b/", "o"):
            self.assertRaises(MethodNotAllowed, self.mkcol, text)
        for text in ("x/y", "o/x"):
            self.assertRaises(Conflict, self.mkcol, text)
        self.assertEqual(list(self.tree()), ["a/", "a/b/", "o"])

    def test_make_with_properties(self) -> None:
        """A collection and its properties are made together, or not at all."""
        self.mkcol("a", wishes=(Property("n", "color", "<c/>"),))
        node = namespace.resolve(self.tx, self.me, key("a"))
        found = properties.read(self.tx, node.id)
        self.assertEqual(found, [Property("n", "color", "<c/>")])
        big = (Property("n", "big", "x" * 70_000),)
        self.assertRaises(InsufficientStorage, self.mkcol, "b", wishes=big)

    def test_delete(self) -> None:
        """204 once, then 404; a collection takes all with it; the root stays."""
        self.put("a/b/c")
        self.put("o")
        self.delete("o")
        self.assertRaises(NotFound, self.delete, "o")
        self.delete("a/")
        self.assertEqual(self.tree(), {})
        self.assertRaises(Forbidden, self.delete, "")
        self.put("a/b/c", b"new")
        self.assertRaises(PreconditionFailed, self.delete, "a/b/c", when=if_match('"stale"'))
        self.assertEqual(self.tree(), {"a/": None, "a/b/": None, "a/b/c": b"new"})

    def test_sweep(self) -> None:
        """A big deleted tree is freed in small steps; the names are free at once."""
        for n in range(30):
            self.put(f"a/{n % 3}/{n}", b"12345")
        self.put("keep", b"1")
        self.delete("a")
        self.assertGreater(self.sweep(), 2)
        self.assertEqual(self.sums(), (1, 0, 1))
        rows = self.tx.one("SELECT count(*) FROM nodes")
        self.assertEqual(rows, (2,))
        live = self.tx.one("SELECT count(*) FROM versions WHERE ended IS NULL")
        self.assertEqual(live, (1,))


class MoveTests(NamespaceCase):
    def test_one_row(self) -> None:
        """Renaming a big collection changes one row and keeps versions."""
        tag = self.put("a/b/c", b"x").etag
        node = namespace.resolve(self.tx, self.me, key("a"))
        self.assertTrue(self.move("a", "z"))
        moved = namespace.resolve(self.tx, self.me, key("z/b/c"))
        self.assertEqual(moved.etag, tag)
        self.assertEqual(namespace.resolve(self.tx, self.me, key("z")).id, node.id)
        self.assertEqual(list(self.tree()), ["z/", "z/b/", "z/b/c"])

    def test_statuses(self) -> None:
        """404, 409, 403, 412; 201 new, 204 replaced. Nothing is lost on any refusal."""
        self.put("a/b/c", b"x")
        self.put("o", b"o")
        before = self.tree()
        refusals = [
            ("nothing", "x", NotFound),
            ("o", "nowhere/x", Conflict),
            ("a", "o/x", Conflict),
            ("a", "a", Forbidden),
            ("a", "a/x", Forbidden),
            ("a", "a/b/x", Forbidden),
            ("a/b/c", "a/b", Forbidden),
            ("a/b/c", "a", Forbidden),
            ("a/b/c", "", Forbidden),
            ("", "x", Forbidden),
            ("o/", "x", NotFound),
        ]
        for source, destination, error in refusals:
            self.assertRaises(error, self.move, source, destination)
        self.assertRaises(PreconditionFailed, self.move, "o", "a", overwrite=False)
        self.assertRaises(PreconditionFailed, self.move, "o", "x", when=if_match('"stale"'))
        self.assertEqual(self.tree(), before)
        self.assertFalse(self.move("o", "a"))
        self.sweep()
        self.assertEqual(self.tree(), {"a": b"o"})
        self.assertEqual(self.sums(), (1, 0, 1))

    def test_each_into_the_other(self) -> None:
        """MOVE a to b/x and b to a/x: the second finds no place; no cycle, nothing lost (Y4)."""
        self.put("a/1", b"1")
        self.put("b/2", b"2")
        self.move("a", "b/x")
        self.assertRaises(Conflict, self.move, "b", "a/x")
        self.assertEqual(self.tree(), {"b/": None, "b/2": b"2", "b/x/": None, "b/x/1": b"1"})

    def test_too_deep(self) -> None:
        """No MOVE makes keys longer than 4,096 bytes, as nobody could ask for them."""
        names = "/".join(["é" * 127] * 15)  # 3,824 bytes
        self.put(f"a/{names}/x")
        self.put("a/b/c")
        target = "t" * 100
        self.mkcol(target)
        longest = f"{target}/" + "u" * (4096 - len(f"{target}//{names}/x".encode()))
        before = self.tree()
        self.assertRaises(Forbidden, self.move, "a", longest + "u")
        self.assertEqual(self.tree(), before)
        self.move("a", longest)
        self.assertEqual(self.read(f"{longest}/{names}/x"), b"data")
        self.move(f"{longest}/b", "a" * 255)

    def test_too_deep_to_look(self) -> None:
        """Of a large collection only so many members are looked at; what was missed is listed, and
        there when it is moved back."""
        lowest = "/".join(["n" * 255] * 14 + ["x" * 255])
        target = "t" * 255
        self.put(f"a/{lowest}")
        self.mkcol(target)
        self.patch(key_lengths, "MAX_LOOKED", 15)
        self.assertRaises(Forbidden, self.move, "a", f"{target}/t")
        self.patch(key_lengths, "MAX_LOOKED", 14)
        self.move("a", f"{target}/t")
        self.assertIn(f"{target}/t/{lowest}", self.names())
        self.move(f"{target}/t", "a")
        self.assertEqual(self.read(f"a/{lowest}"), b"data")

    def test_exchange(self) -> None:
        """MOVE a to b with b to a at once: one of them replaces, the other is a 404 (Y4)."""
        self.put("a/1", b"1")
        self.put("b/2", b"2")
        self.assertFalse(self.move("a", "b"))
        self.assertTrue(self.move("b", "a"))
        self.sweep()
        self.assertEqual(self.tree(), {"a/": None, "a/1": b"1"})

    def test_write_into_a_moved_tree(self) -> None:
        """A write that began before a MOVE is stored under the key it named (Y4, CLD-33)."""
        self.put("a/b", b"1")
        self.move("a", "c")
        self.put("a/b", b"2")
        self.assertEqual((self.read("c/b"), self.read("a/b")), (b"1", b"2"))


class CopyTests(NamespaceCase):
    def test_copy(self) -> None:
        """Copies share blobs, count in the quota, and live on their own."""
        tag = self.put("a/b/c", b"123").etag
        self.put("a/d", b"4")
        self.assertTrue(self.copy("a", "z"))
        self.assertEqual(namespace.resolve(self.tx, self.me, key("z/b/c")).etag, tag)
        self.assertEqual(self.sums(), (8, 0, 4))
        self.put("a/b/c", b"new")
        self.assertEqual(self.read("z/b/c"), b"123")
        self.delete("a")
        self.sweep()
        self.assertEqual(self.tree(), {"z/": None, "z/b/": None, "z/b/c": b"123", "z/d": b"4"})
        self.assertEqual(self.sums(), (4, 0, 2))

    def test_properties_go_along(self) -> None:
        """Properties follow COPY and MOVE and end with DELETE (DAV-52)."""
        wish = (Property("n", "p", "v"),)
        self.mkcol("a", wishes=wish)
        self.copy("a", "b")
        self.move("a", "c")
        for text in "bc":
            node = namespace.resolve(self.tx, self.me, key(text))
            self.assertEqual(properties.read(self.tx, node.id), list(wish))
            self.delete(text)
        self.sweep()
        self.assertEqual(self.tx.all("SELECT * FROM properties"), [])

    def test_depth_0(self) -> None:
        """A collection without its members; even into itself."""
        self.put("a/b", b"1")
        self.copy("a", "z", deep=False)
        self.copy("a", "a/c", deep=False)
        self.assertEqual(list(self.tree()), ["a/", "a/b", "a/c/", "z/"])

    def test_statuses(self) -> None:
        """As MOVE; nothing is lost on any refusal (DAV-29)."""
        self.put("a/b/c", b"x")
        self.put("o", b"o")
        before = self.tree()
        for source, destination, error in (
            ("nothing", "x", NotFound),
            ("o", "nowhere/x", Conflict),
            ("a", "a", Forbidden),
            ("a", "a/b/x", Forbidden),
            ("", "a/x", Forbidden),
            ("a/b/c", "a", Forbidden),
            ("a/b", "", Forbidden),
        ):
            self.assertRaises(error, self.copy, source, destination)
        self.assertRaises(PreconditionFailed, self.copy, "o", "a", overwrite=False)
        self.assertEqual(self.tree(), before)
        self.assertFalse(self.copy("o", "a"))
        self.assertEqual(self.tree(), {"a": b"o", "o": b"o"})

    def test_too_many(self) -> None:
        """A tree over the limit is refused before anything is copied."""
        for n in range(5):
            self.put(f"a/{n}")
        self.patch(copying, "MAX_COPIED", 5)
        self.assertRaises(Forbidden, self.copy, "a", "b")
        self.patch(copying, "MAX_COPIED", 6)
        self.copy("a", "b")

    def test_deep(self) -> None:
        """No copy is made that nobody could ask for: keys have 4,096 bytes."""
        names = "/".join(["é" * 127] * 15)  # 3,824 bytes
        self.put(f"a/{names}/x")
        longest = "b" * (4096 - len(f"/{names}/x".encode()))
        before = self.tree()
        self.mkcol(longest[:200])
        self.assertRaises(Forbidden, self.copy, "a", f"{longest[:200]}/{longest[201:]}b")
        self.assertEqual({*self.tree()} - {*before}, {longest[:200] + "/"})
        self.copy("a", f"{longest[:200]}/{longest[201:]}")
        self.assertEqual(self.read(f"{longest[:200]}/{longest[201:]}/{names}/x"), b"data")
        self.copy("a", f"{longest[:200]}/{longest[201:]}b", deep=False)

    def test_pages(self) -> None:
        """A big collection is copied whole, with the properties of its members."""
        self.patch(copying, "PAGE", 3)
        for n in range(10):
            self.put(f"a/{n}/x", b"%d" % n)
            self.put(f"a/{n}-", b"")
        wish = (Property("n", "p", "v"),)
        namespace.change_properties(self.tx, self.me, key("a/7/x"), wish)
        before = {name.removeprefix("a/"): data for name, data in self.tree().items()}
        self.copy("a", "b")
        self.delete("a")
        after = {name.removeprefix("b/"): data for name, data in self.tree().items()}
        self.assertEqual(after, before)
        node = namespace.resolve(self.tx, self.me, key("b/7/x"))
        self.assertEqual(properties.read(self.tx, node.id), list(wish))
        self.assertEqual(len(self.tx.all("SELECT * FROM properties")), 2)

    def test_quota(self) -> None:
        """A copy over the quota is refused whole."""
        self.put("a/1", b"12345")
        self.tx.run("UPDATE accounts SET quota = 9 WHERE id = ?", self.me.account_id)
        self.assertRaises(QuotaExceeded, self.copy, "a", "b")
        self.tx.run("UPDATE accounts SET quota = 10 WHERE id = ?", self.me.account_id)
        self.copy("a", "b")
        self.assertEqual(self.sums(), (10, 0, 2))


# -- the model ------------------------------------------------------------------------------------

Tree = dict[tuple[str, ...], bytes | None]


class Model:
    """A namespace as a dict of paths: collections hold None. Each call gives its status."""

    def __init__(self) -> None:
        self.tree: Tree = {(): None}

    def _parent(self, path: tuple[str, ...]) -> bool:
        return self.tree.get(path[:-1], b"") is None

    def _below(self, path: tuple[str, ...]) -> list[tuple[str, ...]]:
        return [p for p in self.tree if p[: len(path)] == path]

    def put(self, path: tuple[str, ...], data: bytes) -> int:
        for end in range(len(path)):
            if self.tree.get(path[:end]) is not None:
                return 409
        if path in self.tree and self.tree[path] is None:
            return 405
        status = 204 if path in self.tree else 201
        for end in range(1, len(path)):
            self.tree[path[:end]] = None
        self.tree[path] = data
        return status

    def mkcol(self, path: tuple[str, ...]) -> int:
        if path in self.tree:
            return 405
        if not self._parent(path):
            return 409
        self.tree[path] = None
        return 201

    def delete(self, path: tuple[str, ...]) -> int:
        if path not in self.tree:
            return 404
        if not path:
            return 403
        for p in self._below(path):
            del self.tree[p]
        return 204

    def transfer(
        self, source: tuple[str, ...], target: tuple[str, ...], *, keep: bool, overwrite: bool
    ) -> int:
        if source not in self.tree:
            return 404
        if not target:
            return 403
        if target[:-1] not in self.tree or not self._parent(target):
            return 409
        if target in self.tree and source[: len(target)] == target:
            return 403
        if target in self.tree and not overwrite:
            # which of the two is named first does not matter to anyone
            return 412
        if target[: len(source)] == source:
            return 403
        status = 204 if target in self.tree else 201
        found = {target + p[len(source) :]: self.tree[p] for p in self._below(source)}
        if target in self.tree:
            self.delete(target)
        if not keep:
            self.delete(source)
        self.tree.update(found)
        return status


# few paths, so that calls meet; the root seldom
NAMES = ("a", "b", "a-", "a/b", "a/a", "b/a", "b/é", "a/b/a", "a/b/b", "b/a/b")
PATHS = st.sampled_from([tuple(name.split("/")) for name in NAMES] * 3 + [()])
CALLS = st.one_of(
    st.tuples(st.just("put"), PATHS, st.binary(max_size=3)),
    st.tuples(st.just("mkcol"), PATHS),
    st.tuples(st.just("move"), PATHS, PATHS, st.sampled_from([True, True, False])),
    st.tuples(st.just("copy"), PATHS, PATHS, st.sampled_from([True, True, False])),
    st.tuples(st.sampled_from(["delete", "sweep"]), PATHS),
)


class ModelTests(SynchronousTestCase):
    @settings(max_examples=100, deadline=None)
    @given(st.lists(CALLS, min_size=10, max_size=30))
    def test_like_a_dict(self, calls: list[Any]) -> None:
        """Any series of calls leaves what a dict of paths would hold, with the same statuses."""
        case = NamespaceCase()
        case.setUp()
        try:
            model = Model()
            for name, *arguments in calls:
                self.assertEqual(_act(case, name, arguments), _expected(model, name, arguments))
                self._compare(case, model)
        finally:
            case.doCleanups()

    def _compare(self, case: NamespaceCase, model: Model) -> None:
        expected = {
            "/".join(path) + ("/" if data is None else ""): data
            for path, data in model.tree.items()
            if path
        }
        self.assertEqual(list(case.tree()), sorted(expected, key=str.encode))
        self.assertEqual(case.tree(), expected)
        while namespace.sweep(case.tx):
            pass
        sizes = [len(data) for data in model.tree.values() if data is not None]
        self.assertEqual(case.sums(), (sum(sizes), 0, len(sizes)))


def _act(case: NamespaceCase, name: str, arguments: list[Any]) -> int:
    keys = [Key(a, not a) if isinstance(a, tuple) else a for a in arguments]
    tx, me = case.tx, case.me
    try:
        if name == "put":
            return case.put("/".join(arguments[0]), arguments[1]).status
        if name == "mkcol":
            namespace.make_collection(tx, me, keys[0])
            return 201
        if name == "delete":
            namespace.delete(tx, me, keys[0])
            return 204
        if name == "sweep":
            namespace.sweep(tx, 2)
            return 0
        act = namespace.move if name == "move" else namespace.copy
        return 201 if act(tx, me, keys[0], keys[1], overwrite=keys[2]) else 204
    except PigpenError as error:
        return error.status


def _expected(model: Model, name: str, arguments: list[Any]) -> int:
    if name in {"put", "mkcol", "delete"}:
        status: int = getattr(model, name)(*arguments)
        return status
    if name == "sweep":
        return 0
    source, target, overwrite = arguments
    return model.transfer(source, target, keep=name == "copy", overwrite=overwrite)


_is_principal: type[Principal] = Principal
