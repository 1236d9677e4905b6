"""The If field of WebDAV (RFC 4918 10.4): a linear parser, and its truth. Pure (DAV-33 to 35).

If   = 1*List | 1*( "<" URI-or-path ">" 1*List )
List = "(" 1*( ["Not"] ( "<" token ">" | "[" etag "]" ) ) ")"
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from pigpen.errors import BadField

MAX_BYTES = 16 * 1024
#: a token that no lock ever has (RFC 4918 10.4.8)
NO_LOCK = "DAV:no-lock"

_SPACE = re.compile(r"[ \t]*")
_ANGLED = re.compile(r"<([^<>\s]+)>")
# the RFC's own examples have spaces in a tag, which RFC 9110 allows no more
_BRACKETED = re.compile(r'\[[ \t]*((?:W/)?"[^"\x00-\x1f\x7f]*")[ \t]*\]')
_NOT = re.compile(r"not(?=[ \t<\[])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Condition:
    """A lock token or an entity tag that must match; with ``negated``, must not."""

    text: str
    is_etag: bool
    negated: bool = False


@dataclass(frozen=True, slots=True)
class ResourceState:
    """What a tag names: its ETag, if it has one, and the tokens of the locks that cover it."""

    etag: str | None
    tokens: frozenset[str]


@dataclass(frozen=True, slots=True)
class ConditionList:
    """Conditions that must all hold for one resource.

    ``tag``: as sent, or after `IfField.map_tags` the path of a key; None: the request's own.
    """

    tag: str | None
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class IfField:
    """A parsed field: true if one of its lists is."""

    lists: tuple[ConditionList, ...]

    @property
    def tokens(self) -> frozenset[str]:
        """All lock tokens it submits, inside Not too."""
        return frozenset(
            condition.text
            for one in self.lists
            for condition in one.conditions
            if not condition.is_etag
        )

    def map_tags(self, path_of: Callable[[str], str]) -> IfField:
        """:param path_of: the path of the key that a tag names; "": it is not ours."""
        return IfField(
            tuple(
                one if one.tag is None else replace(one, tag=path_of(one.tag)) for one in self.lists
            )
        )

    def to_text(self) -> str:
        """As a field's value: `parse_if` reads it back, unless a tag is empty."""
        if not self.lists or self.lists[0].tag is None:
            return " ".join(_list_text(one) for one in self.lists)
        # each list with its tag: a tag may be repeated
        return " ".join(f"<{one.tag}> {_list_text(one)}" for one in self.lists)

    def holds(self, state_of: Callable[[str | None], ResourceState | None]) -> bool:
        """:param state_of: what a tag names now; None: it is not ours. Asked once a tag."""
        known: dict[str | None, ResourceState | None] = {}
        for one in self.lists:
            if one.tag not in known:
                known[one.tag] = state_of(one.tag)
            if all(_matches(c, known[one.tag]) != c.negated for c in one.conditions):
                return True
        return False


def _list_text(one: ConditionList) -> str:
    return f"({' '.join(map(_condition_text, one.conditions))})"


def _condition_text(condition: Condition) -> str:
    text = f"[{condition.text}]" if condition.is_etag else f"<{condition.text}>"
    return f"Not {text}" if condition.negated else text


def _matches(condition: Condition, state: ResourceState | None) -> bool:
    if state is None:
        return False
    if condition.is_etag:
        # weak comparison would be enough (RFC 4918 10.4.4), and all our tags are strong
        return state.etag is not None and condition.text.removeprefix("W/") == state.etag
    return condition.text != NO_LOCK and condition.text in state.tokens


def parse_if(value: str) -> IfField:
    """Several fields are joined by ", " or a space before. :raises BadField: it is malformed."""
    if len(value) > MAX_BYTES:
        raise BadField(field="If", reason=f"it has more than {MAX_BYTES} bytes")
    return _Parser(value).parse()


class _Parser:
    __slots__ = ("_position", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0

    def parse(self) -> IfField:
        lists: list[ConditionList] = []
        tagged = self._peek() == "<"
        while self._peek():
            tag = self._angled() if tagged else None
            lists.append(ConditionList(tag, self._list()))
            while self._peek() == "(":
                lists.append(ConditionList(tag, self._list()))
        if not lists:
            raise _malformed("it is empty")
        return IfField(tuple(lists))

    def _peek(self) -> str:
        """The next character that counts; a comma may stand where fields were joined."""
        self._skip()
        while self._text[self._position : self._position + 1] == ",":
            self._position += 1
            self._skip()
        return self._text[self._position : self._position + 1]

    def _skip(self) -> None:
        match = _SPACE.match(self._text, self._position)
        assert match is not None
        self._position = match.end()

    def _take(self, pattern: re.Pattern[str], wanted: str) -> re.Match[str]:
        match = pattern.match(self._text, self._position)
        if match is None:
            raise _malformed(f"{wanted} is missing at character {self._position}")
        self._position = match.end()
        return match

    def _angled(self) -> str:
        return self._take(_ANGLED, "a <URI>").group(1)

    def _list(self) -> tuple[Condition, ...]:
        self._skip()
        if self._text[self._position : self._position + 1] != "(":
            raise _malformed(f"a ( is missing at character {self._position}")
        self._position += 1
        conditions: list[Condition] = []
        self._skip()
        while self._text[self._position : self._position + 1] != ")":
            conditions.append(self._condition())
            self._skip()
        self._position += 1
        if not conditions:
            raise _malformed("a list is empty")
        return tuple(conditions)

    def _condition(self) -> Condition:
        negated = _NOT.match(self._text, self._position)
        if negated is not None:
            self._position = negated.end()
            self._skip()
        if self._text[self._position : self._position + 1] == "<":
            return Condition(self._angled(), False, negated is not None)
        etag = self._take(_BRACKETED, "a <token> or [etag]").group(1)
        return Condition(etag, True, negated is not None)


def _malformed(reason: str) -> BadField:
    return BadField(field="If", reason=reason)
