"""Key: the only way from foreign text to the name of an object.

Split at ``/``, then decoded once (``a%252e`` is the plain name ``a%2e``). What a name may not be
is refused here and nowhere else, so no text of a user reaches a path, a query or a header
unchecked. Keys compare bytewise and are never normalised.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Self
from urllib.parse import quote, unquote_to_bytes

import msgspec

from pigpen.errors import BadKey, KeyTooLong

MAX_NAME_BYTES = 255
MAX_KEY_BYTES = 4096

# C0 controls and DEL; U+FFFE and U+FFFF are no characters (Unicode 23.7)
_FORBIDDEN = re.compile("[\x00-\x1f\x7f\ufffe\uffff]")
_PLAIN_PATH = re.compile(r"(?:/[A-Za-z0-9_~!$&'()*+,;=:@-][A-Za-z0-9._~!$&'()*+,;=:@-]{0,254})+/?")
_BAD_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")
_SAFE = "!$&'()*+,;=:@"  # RFC 3986 3.3: pchar


class Key(msgspec.Struct, frozen=True, order=True):
    """A decoded, checked path: names from the root, and whether it ended in a slash.

    ``Key(())`` with ``collection=True`` is the root. Order is bytewise by names: the code point
    order of str is that of UTF-8.
    """

    names: tuple[str, ...]
    collection: bool = False

    @classmethod
    def from_path(cls, path: str, *, encoded_slash: bool = False) -> Self:
        """Read the path of a request target: absolute and percent-encoded.

        The total length is not checked here, as a path may carry a mount's prefix: `below` does.

        :param encoded_slash: let ``%2F`` stand for a slash inside a name (CMB-4); else refused.
        :raises BadKey: DAV-60. :raises KeyTooLong: a name has over 255 bytes.
        """
        if _PLAIN_PATH.fullmatch(path):
            names = tuple(path[1:].split("/"))
            return cls(names) if names[-1] else cls(names[:-1], True)
        if not path.startswith("/"):
            raise BadKey(reason="it does not begin with a slash")
        if _BAD_ESCAPE.search(path):
            raise BadKey(reason="a % is not followed by two hexadecimal digits")
        parts = path[1:].split("/")
        collection = parts[-1] == ""
        if collection:
            parts.pop()
        names = tuple(_decoded(part) for part in parts)
        if not encoded_slash and any("/" in name for name in names):
            raise BadKey(reason="a name holds an encoded slash")
        return cls(tuple(map(_checked, names)), collection)

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read a key as people write it, not encoded: ``a/b c``; a leading slash is allowed."""
        names = text.removeprefix("/").split("/")
        collection = names[-1] == ""
        if collection:
            names.pop()
        return cls.of(names, collection=collection)

    @classmethod
    def of(cls, names: Iterable[str], *, collection: bool = False) -> Self:
        """Make a key of names, each checked; a name may hold a slash.

        :raises BadKey: DAV-60. :raises KeyTooLong: over 255 bytes a name or 4,096 in all.
        """
        return cls(tuple(_checked(name) for name in names), collection)._bounded()

    def below(self, depth: int, more: int = 0) -> Self:
        """The key relative to its first ``depth`` names: what a mount hands on.

        :param more: names that its handler takes off in its turn: they do not count.
        :raises KeyTooLong: over 4,096 bytes are left.
        """
        if more:
            self.below(depth + more)
        rest = self.names[depth:]
        key = type(self)(rest, self.collection or not rest) if depth else self
        return key if more else key._bounded()

    @property
    def name(self) -> str:
        """The last name; empty for the root."""
        return self.names[-1] if self.names else ""

    @property
    def parent(self) -> Self:
        """The collection this lies in; the root's is the root."""
        return type(self)(self.names[:-1], True)

    @property
    def is_root(self) -> bool:
        return not self.names

    def child(self, name: str, *, collection: bool = False) -> Self:
        return type(self)((*self.names, _checked(name)), collection)._bounded()

    def contains(self, other: Key) -> bool:
        """Whether `other` is this key or lies below it."""
        return other.names[: len(self.names)] == self.names

    def to_path(self) -> str:
        """The absolute, percent-encoded path: `from_path` reads it back."""
        path = "/" + "/".join(self.names)
        # a name may hold a slash, which is then encoded
        if _PLAIN_PATH.fullmatch(path) is None or path.count("/") != len(self.names):
            path = "".join("/" + quote(name, safe=_SAFE) for name in self.names)
        return path + "/" if self.collection or not path else path

    def __str__(self) -> str:
        """As people write it, without a leading slash; for logs and messages only."""
        return "/".join(self.names) + ("/" if self.collection and self.names else "")

    def _bounded(self) -> Self:
        names = self.names
        # no name is longer than that, so most keys need no adding up
        if len(names) * (MAX_NAME_BYTES + 1) > MAX_KEY_BYTES:
            size = sum(len(name.encode()) for name in names) + len(names) - 1 + self.collection
            if size > MAX_KEY_BYTES:
                raise KeyTooLong
        return self


def _decoded(part: str) -> str:
    try:
        return unquote_to_bytes(part.encode("utf-8", "surrogateescape")).decode("utf-8")
    except UnicodeError:
        raise BadKey(reason="a name is not UTF-8") from None


def _checked(name: str) -> str:
    if name == "":
        raise BadKey(reason="a name is empty")
    if name in {".", ".."}:
        raise BadKey(reason="'.' and '..' are no names")
    if _FORBIDDEN.search(name):
        raise BadKey(reason="a name holds a control character")
    try:
        size = len(name.encode("utf-8"))
    except UnicodeEncodeError:
        raise BadKey(reason="a name is not UTF-8") from None
    if size > MAX_NAME_BYTES:
        raise KeyTooLong
    return name
