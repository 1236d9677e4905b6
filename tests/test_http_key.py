"""Keys: what may name an object, and that no encoding leads around it."""

from __future__ import annotations

from urllib.parse import quote_from_bytes

from twisted.trial.unittest import SynchronousTestCase

from pigpen.errors import BadKey, KeyTooLong, PigpenError
from pigpen.http.key import MAX_KEY_BYTES, MAX_NAME_BYTES, Key
from tests.hypothesis_kit import example, given, st

ROOT = Key((), True)
#: what round-trips (DAV-60)
ODD_NAMES = ("%", "#", "+", ";", '"', "&", "<", ">", "?", ":", "\\", "€", "ü", "🐷", "end.", "end ",
             " ", "a%2e", "%2F", "...", ".a", "~", "\x80", "\u2028")  # fmt: skip

characters = st.characters(exclude_categories=["Cs"], exclude_characters="/\x7f\ufffe\uffff",
                           min_codepoint=32)  # fmt: skip
names = st.text(characters, min_size=1, max_size=20).filter(lambda name: name not in {".", ".."})
keys = st.builds(
    lambda parts, collection: Key(tuple(parts), collection or not parts),
    st.lists(names, max_size=5),
    st.booleans(),
)
paths = st.text("ab/.%2eEfF50c0\\?é\x00 ", max_size=12).map(lambda text: "/" + text)


class RoundTripTests(SynchronousTestCase):
    @given(keys)
    def test_path(self, key: Key) -> None:
        """A key survives the way through a URL, whatever its names are."""
        path = key.to_path()
        self.assertRegex(path, r"^/[!-~]*$")
        self.assertEqual(Key.from_path(path), key)

    @given(keys)
    def test_escapes(self, key: Key) -> None:
        """Encoding every byte names the same object."""
        path = "".join(
            "/" + "".join(f"%{byte:02x}" for byte in name.encode()) for name in key.names
        )
        self.assertEqual(Key.from_path(path + "/" * key.collection), key)

    @given(keys)
    def test_text(self, key: Key) -> None:
        """A key as people write it names the same object, with a leading slash or without."""
        self.assertEqual(Key.from_text(str(key)), key)
        self.assertEqual(Key.from_text("/" + str(key)), key)

    def test_odd_names(self) -> None:
        """All that DAV-60 allows is an ordinary name."""
        for name in ODD_NAMES:
            key = Key.of(["a", name, "b"])
            self.assertEqual(Key.from_path(key.to_path()), key)

    def test_decoded_once(self) -> None:
        """`%252e%252e` is the plain name `%2e%2e`, not the parent."""
        self.assertEqual(Key.from_path("/%252e%252e").names, ("%2e%2e",))

    def test_root(self) -> None:
        """The root has one spelling."""
        self.assertEqual(Key.from_path("/"), ROOT)
        self.assertEqual(Key.from_text(""), ROOT)
        self.assertEqual((ROOT.to_path(), str(ROOT), ROOT.name, ROOT.parent), ("/", "", "", ROOT))
        self.assertTrue(ROOT.is_root)


class RefusalTests(SynchronousTestCase):
    def test_refused(self) -> None:
        """DAV-60 and hostile paths: 400, whatever the spelling (P1)."""
        for path in (
            "", "a", "*", "//", "/a//b", "//evil/x", "/./", "/a/./b", "/..", "/../a", "/a/..", "/.",
            "/%2e", "/%2e%2e", "/%2E%2e/a", "/.%2e", "/a%2fb", "/..%2f", "/%2F", "/%00", "/a%00",
            "/a\x00", "/%0a", "/%0d%0aX: y", "/%1f", "/%7f", "/\x7f", "/%c0%ae", "/%c0%af", "/%ff",
            "/%ed%a0%80", "/%ef%bf%be", "/%ef%bf%bf", "/\ud800", "/\udc80", "/%zz", "/%", "/%2",
            "/a%", "/%e9", "http://a/x",
        ):  # fmt: skip
            error = self.assertRaises(BadKey, Key.from_path, path)
            self.assertEqual(error.status, 400, path)

    def test_refused_names(self) -> None:
        """Names made by programs are judged alike."""
        for name in ("", ".", "..", "\x00", "a\nb", "\x7f", "\ufffe", "\uffff", "\ud800"):
            self.assertRaises(BadKey, Key.of, ["a", name])
            self.assertRaises(BadKey, ROOT.child, name)
        for text in ("a//b", "//a", "a/../b", ".."):
            self.assertRaises(BadKey, Key.from_text, text)

    @given(paths)
    @example("/%5c..%5c")
    def test_nothing_slips_through(self, path: str) -> None:
        """Whatever a path is, it becomes checked names or a refusal."""
        try:
            key = Key.from_path(path)
        except PigpenError as error:
            self.assertIn(error.status, {400, 414})
            return
        for name in key.names:
            self.assertNotIn(name, {"", ".", ".."})
            self.assertNotRegex(name, "[\x00-\x1f\x7f/]")
        self.assertEqual(Key.from_path(key.to_path()), key)

    @given(st.binary(max_size=8))
    def test_bytes(self, data: bytes) -> None:
        """Only UTF-8 makes a name, and exactly its bytes come back."""
        path = "/" + quote_from_bytes(data, safe="")
        try:
            key = Key.from_path(path, encoded_slash=True)
        except BadKey:
            return
        self.assertEqual("".join(key.names).encode(), data)

    def test_encoded_slash(self) -> None:
        """Where a handler asks for it, `%2F` is part of a name, and stays it."""
        key = Key.from_path("/a%2Fb/c", encoded_slash=True)
        self.assertEqual(key.names, ("a/b", "c"))
        self.assertEqual(key.to_path(), "/a%2Fb/c")


class LengthTests(SynchronousTestCase):
    def test_name(self) -> None:
        """A name has at most 255 bytes, not characters."""
        for longest in ("x" * 255, "ü" * 127 + "x", "🐷" * 63 + "xyz"):
            self.assertEqual(len(longest.encode()), MAX_NAME_BYTES)
            Key.of([longest])
            self.assertEqual(Key.from_path(Key.of([longest]).to_path()).name, longest)
            self.assertRaises(KeyTooLong, Key.of, [longest + "x"])
            self.assertRaises(KeyTooLong, Key.from_path, Key.of([longest]).to_path() + "x")

    def test_key(self) -> None:
        """A key has at most 4,096 bytes with its slashes; a mount's prefix does not count."""
        parts = ["x" * 255] * 16
        self.assertEqual(len("/".join(parts)), MAX_KEY_BYTES - 1)
        key = Key.of(parts, collection=True)
        self.assertRaises(KeyTooLong, Key.of, ["y", *parts])
        self.assertRaises(KeyTooLong, key.child, "y")
        mounted = Key.from_path("/api/login" + key.to_path())
        self.assertEqual(mounted.below(2), key)
        self.assertRaises(KeyTooLong, mounted.below, 0)
        self.assertRaises(KeyTooLong, mounted.below, 1)
        self.assertEqual(mounted.below(1, more=1).below(1), key)
        longer = Key(("api", "login", "y", *parts), True)
        self.assertRaises(KeyTooLong, longer.below, 1, 1)

    @given(st.lists(st.sampled_from(["x" * 255, "ü" * 100, "🐷" * 60, "y"]), max_size=20))
    def test_exact(self, parts: list[str]) -> None:
        """The limit is judged by bytes, exactly."""
        size = len("/".join(parts).encode())
        if size > MAX_KEY_BYTES:
            self.assertRaises(KeyTooLong, Key.of, parts)
        else:
            Key.of(parts)


class TreeTests(SynchronousTestCase):
    @given(st.lists(keys, max_size=6))
    def test_order(self, some: list[Key]) -> None:
        """Keys sort by the bytes of their names, as a listing promises."""
        by_bytes = sorted(some, key=lambda k: ([n.encode() for n in k.names], k.collection))
        self.assertEqual(sorted(some), by_bytes)

    @given(keys, names)
    def test_family(self, key: Key, name: str) -> None:
        """A child lies in its parent, and its parent contains it."""
        child = key.child(name)
        self.assertEqual(child.name, name)
        self.assertEqual(child.parent.names, key.names)
        self.assertTrue(key.contains(child) and key.contains(key) and ROOT.contains(child))
        self.assertFalse(child.contains(key))

    def test_below(self) -> None:
        """What is below a mount; the mount itself is the root."""
        key = Key(("a", "b"), False)
        self.assertEqual(key.below(1), Key(("b",)))
        self.assertEqual(key.below(2), ROOT)

    def test_not_normalised(self) -> None:
        """NFC and NFD are two names."""
        self.assertNotEqual(Key.of(["\u00fc"]), Key.of(["u\u0308"]))
