"""Access keys and Authorization fields: what is accepted as one. Nothing is looked up here."""

from __future__ import annotations

import base64
import random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pigpen.coordinator.catalog.access_keys import make_access_key, parse_access_key
from pigpen.coordinator.credentials import bearer_token, parse_authorization
from pigpen.errors import BadRequest, PigpenError, Unauthorized
from pigpen.http.message import Headers

KEY = make_access_key(random.Random(1))


def basic(text: str) -> Headers:
    return Headers({"Authorization": "Basic " + base64.b64encode(text.encode()).decode()})


class AccessKeyTests(SynchronousTestCase):
    @given(st.integers())
    def test_read_back(self, seed: int) -> None:
        """A key that was shown is understood again."""
        made = make_access_key(random.Random(seed))
        text = made.to_text()
        self.assertRegex(text, r"^pp_[0-9A-Za-z]{10}_[0-9A-Za-z_-]{43}[0-9A-Za-z]{6}$")
        self.assertEqual(parse_access_key(text), made)

    @given(st.integers(0, 62), st.characters(max_codepoint=127))
    def test_a_typing_error_is_seen(self, place: int, other: str) -> None:
        """One wrong character is told from a revoked key without asking the catalog."""
        text = KEY.to_text()
        wrong = text[:place] + other + text[place + 1 :]
        if wrong != text:
            self.assertRaises(Unauthorized, parse_access_key, wrong)

    @given(st.text())
    def test_any_text(self, text: str) -> None:
        """Whatever is sent is refused, and nothing else happens."""
        self.assertRaises(Unauthorized, parse_access_key, text)

    def test_known_key(self) -> None:
        """The form is fixed: keys made by one release work in the next."""
        text = "pp_0123456789_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh83XbjSp"
        self.assertEqual(parse_access_key(text).secret, bytes(range(32)))

    def test_no_secret_in_repr(self) -> None:
        """A key that is logged by mistake shows its id only."""
        self.assertNotIn(KEY.to_text()[15:50], repr(KEY))
        self.assertNotIn(repr(KEY.secret), repr(KEY))


class AuthorizationTests(SynchronousTestCase):
    def test_bearer_and_basic(self) -> None:
        """Both forms bring the same key; Basic a login too. Schemes have any case."""
        for value in (f"Bearer {KEY.to_text()}", f"bearer  {KEY.to_text()} "):
            found = parse_authorization(Headers({"Authorization": value}))
            self.assertEqual((found.key, found.login), (KEY, None))
        found = parse_authorization(basic(f"me:{KEY.to_text()}"))
        self.assertEqual((found.key, found.login), (KEY, "me"))

    def test_refused(self) -> None:
        """Nothing, nonsense, other schemes, a megabyte: one same 401 (A2)."""
        for headers in (
            Headers(),
            Headers({"Authorization": ""}),
            Headers({"Authorization": "Bearer"}),
            Headers({"Authorization": "Bearer " + "x" * 1_000_000}),
            Headers({"Authorization": KEY.to_text()}),
            Headers({"Authorization": f"Digest {KEY.to_text()}"}),
            Headers({"Authorization": "Basic !!!"}),
            Headers({"Authorization": "Basic " + base64.b64encode(b"\xff\xfe:").decode()}),
            basic(KEY.to_text()),
            Headers({"X-Access-Key": KEY.to_text(), "Cookie": f"key={KEY.to_text()}"}),
        ):
            self.assertRaises(Unauthorized, parse_authorization, headers)

    def test_two_fields(self) -> None:
        """Two Authorization fields are 400, even if both are right."""
        value = f"Bearer {KEY.to_text()}"
        headers = Headers([("Authorization", value), ("authorization", value)])
        self.assertRaises(BadRequest, parse_authorization, headers)

    @given(st.text(alphabet=st.characters(max_codepoint=255)))
    def test_any_field(self, value: str) -> None:
        """No field makes anything but a refusal."""
        self.assertRaises(PigpenError, parse_authorization, Headers({"Authorization": value}))
        self.assertRaises(
            PigpenError, parse_authorization, Headers({"Authorization": f"Basic {value}"})
        )

    def test_hosts_token(self) -> None:
        """A host shows its key as Bearer."""
        self.assertEqual(bearer_token(Headers({"Authorization": "Bearer pph_1"})), "pph_1")
        self.assertRaises(Unauthorized, bearer_token, Headers())
        self.assertRaises(Unauthorized, bearer_token, basic("a:b"))
        twice = Headers([("Authorization", "Bearer pph_1"), ("Authorization", "Bearer pph_1")])
        self.assertRaises(BadRequest, bearer_token, twice)
