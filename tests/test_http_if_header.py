"""The If field: what is understood, and when it is true. A brute-force evaluator is the oracle."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pigpen.errors import BadField
from pigpen.http.if_header import NO_LOCK, ResourceState, parse_if

STATES = {
    None: ResourceState('"own"', frozenset({"urn:uuid:1"})),
    "/a": ResourceState('"a"', frozenset({"urn:uuid:1", "urn:uuid:2"})),
    "http://h/b": ResourceState(None, frozenset()),
}


def state_of(tag: str | None) -> ResourceState | None:
    return STATES.get(tag)


def holds(value: str) -> bool:
    return parse_if(value).holds(state_of)


def calls_in(value: str) -> int:
    """How many functions parsing it calls, Python's own too: its effort, on any machine."""
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        parse_if(value)
    except BadField:
        pass
    finally:
        sys.setprofile(before)
    return calls


class ParseTests(SynchronousTestCase):
    def test_examples_of_the_rfc(self) -> None:
        """What RFC 4918 10.4 shows is understood."""
        for value, lists, tokens in (
            ('(<urn:uuid:181d4fae> ["I am an ETag"]) (["I am another ETag"])', 2, 1),
            ("(Not <urn:uuid:181d4fae> <urn:uuid:58f202ac>)", 1, 2),
            ("(<urn:uuid:181d4fae>) (Not <DAV:no-lock>)", 2, 2),
            ('</resource1> (<urn:uuid:181d4fae> [W/"A weak ETag"]) (["strong ETag"])', 2, 1),
            ("<http://www.example.com/specs/> (<urn:uuid:181d4fae>)", 1, 1),
            ('</specs/rfc2518.doc> (["4217"])', 1, 0),
            ('(["a"]),(["b"])', 2, 0),
            ("(<opaquelocktoken:1>)(<opaquelocktoken:2>)", 2, 2),
        ):
            found = parse_if(value)
            self.assertEqual((len(found.lists), len(found.tokens)), (lists, tokens), value)

    def test_malformed(self) -> None:
        """Anything else is 400, never guessed at."""
        for value in (
            "",
            " ",
            "()",
            "( )",
            "(",
            ")",
            "<a>",
            "<a> <b> (<c>)",
            "(<a>) <b> (<c>)",
            "(<a>",
            "(a)",
            "([a])",
            '("a")',
            '(["a)',
            "(<a b>)",
            "(Not)",
            "(Not Not <a>)",
            "(<>)",
            '(["a"]) x',
            "(Nota <a>)",
        ):
            self.assertRaises(BadField, parse_if, value)

    def test_bounded(self) -> None:
        """10,000 tokens are refused, and no field takes more than linear effort (X4)."""
        self.assertRaises(BadField, parse_if, "(<a>)" * 10_000)
        for piece in ("(<a>)", "(", "<a>", "(Not ", '(["', " ", ",", "[", "(<a> ", "<a>(<a>)"):
            effort = [calls_in(piece * (size // len(piece))) for size in (4_000, 16_000)]
            self.assertLess(effort[1], 5 * effort[0], piece)

    @given(st.text(alphabet='()<>[]"NotW/ ,a:\t', max_size=40))
    def test_any_text(self, value: str) -> None:
        """Whatever comes is understood or 400."""
        try:
            parse_if(value)
        except BadField:
            return


class TruthTests(SynchronousTestCase):
    def test_tokens(self) -> None:
        """A token matches where its lock covers; a tag that is not ours matches nothing."""
        for value, wanted in (
            ("(<urn:uuid:1>)", True),
            ("(<urn:uuid:2>)", False),
            ("</a> (<urn:uuid:2>)", True),
            ("</unknown> (<urn:uuid:1>)", False),
            ("</unknown> (Not <urn:uuid:1>)", True),
            (f"(<{NO_LOCK}>)", False),
            (f"(Not <{NO_LOCK}>)", True),
            ('(["own"])', True),
            ('([W/"own"])', True),
            ('(["other"]) (<urn:uuid:1>)', True),
            ('(<urn:uuid:1> ["other"])', False),
            ('<http://h/b> (["own"])', False),
            ('<http://h/b> (Not ["own"])', True),
        ):
            self.assertEqual(holds(value), wanted, value)

    def test_submitted_inside_not(self) -> None:
        """A token inside Not is submitted too."""
        self.assertEqual(parse_if("(Not <t:1> <t:2>)").tokens, {"t:1", "t:2"})


@dataclass
class Plain:
    """A condition for the oracle."""

    negated: bool
    text: str

    def render(self, spaced: bool) -> str:
        word = ("Not " if spaced else "NOT") if self.negated else ""
        return word + (f"[{self.text}]" if '"' in self.text else f"<{self.text}>")

    def true_for(self, state: ResourceState | None) -> bool:
        if state is None:
            return self.negated
        known = set(state.tokens) | ({state.etag, f"W/{state.etag}"} if state.etag else set())
        return (self.text in known) != self.negated


CONDITIONS = st.builds(
    Plain,
    st.booleans(),
    st.sampled_from(["urn:uuid:1", "urn:uuid:2", NO_LOCK, '"own"', 'W/"a"', '"a"']),
)
LISTS = st.lists(st.lists(CONDITIONS, min_size=1, max_size=3), min_size=1, max_size=3)
TAGS = st.sampled_from(["/a", "http://h/b", "/unknown"])
FIELDS = st.one_of(
    LISTS.map(lambda lists: [(None, lists)]),
    st.lists(st.tuples(TAGS, LISTS), min_size=1, max_size=3),
)


class OracleTests(SynchronousTestCase):
    @settings(max_examples=200, deadline=None)
    @given(FIELDS, st.booleans())
    def test_like_brute_force(
        self, field: list[tuple[str | None, list[list[Plain]]]], spaced: bool
    ) -> None:
        """Random fields are as true as a naive reading says."""
        space = " " if spaced else ""
        text = ""
        for tag, lists in field:
            text += f"<{tag}>{space}" if tag else ""
            for one in lists:
                text += "(" + space.join(c.render(spaced) for c in one) + ")" + space
        wanted = any(
            all(c.true_for(STATES.get(tag)) for c in one) for tag, lists in field for one in lists
        )
        self.assertEqual(holds(text), wanted, text)


class TextTests(SynchronousTestCase):
    def test_round_trip(self) -> None:
        """What a gateway sends on says what it was told."""
        for value in (
            '(<urn:x> Not ["e"])',
            '(<a:1>) (Not <DAV:no-lock> [W/"w"])',
            '</a%20b> (<a:1>) </a%20b> (["e"]) <http://h/c> (Not <a:2>)',
        ):
            field = parse_if(value)
            self.assertEqual(parse_if(field.to_text()), field)

    def test_map_tags(self) -> None:
        """Tags become what the next one calls them; untagged lists stay."""
        field = parse_if("</p/a> (<t:1>)").map_tags(lambda tag: tag.removeprefix("/p"))
        self.assertEqual(field.to_text(), "</a> (<t:1>)")
        self.assertEqual(parse_if("(<t:1>)").map_tags(lambda _: "x"), parse_if("(<t:1>)"))
