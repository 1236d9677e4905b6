"""Who may come in. Passwords are in the file `FILE`; `env.advance` makes nonces old."""

from __future__ import annotations

import base64
import hashlib
import re
import tracemalloc
from typing import cast

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from pigpen.dav.admission import KeyAdmission, OpenAdmission, UserAdmission
from pigpen.dav.digest import Digest, Verdict, parse_answer
from pigpen.dav.users import parse_users, user_lines
from pigpen.errors import BadRequest, ConfigError, TooManyRequests, Unauthorized
from pigpen.http.key import Key
from pigpen.http.message import Caller, Headers, Request
from pigpen.http.namespace import Admission, Namespace, Visit
from pigpen.testing import SimEnv

NAMESPACE = cast(Namespace, object())
FILE = user_lines("ann", "secret") + "# a comment\n\n" + user_lines("bob", "pä:ss")


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


class AdmissionCase(SynchronousTestCase):
    admission: Admission

    def setUp(self) -> None:
        self.env = SimEnv()

    def request(
        self,
        *authorization: str,
        method: str = "GET",
        address: str = "127.0.0.1",
        secure: bool = False,
        query: str = "",
    ) -> Request:
        headers = Headers([("Authorization", one) for one in authorization])
        return Request(
            method,
            Key(("a b",)),
            query_string=query,
            headers=headers,
            caller=Caller(address),
            secure=secure,
        )

    def admit(self, request: Request) -> Visit:
        return self.successResultOf(Deferred.fromCoroutine(self.admission.admit(request)))

    def refused(self, request: Request) -> tuple[str, ...]:
        """The challenges of a 401."""
        failed = Deferred.fromCoroutine(self.admission.admit(request))
        error = self.failureResultOf(failed, Unauthorized).value
        return cast(tuple[str, ...], error.facts["challenges"])


class OpenTests(AdmissionCase):
    def test_everyone(self) -> None:
        """On loopback nobody is asked."""
        self.admission = OpenAdmission(NAMESPACE)
        self.assertEqual(self.admit(self.request()), Visit(NAMESPACE, ""))


class Holders:
    """One account with one key."""

    async def namespace_of(self, login: str, access_key: str) -> Namespace:
        if (login, access_key) != ("me", "pp_key"):
            raise Unauthorized
        return NAMESPACE


class KeyTests(AdmissionCase):
    def setUp(self) -> None:
        super().setUp()
        self.admission = KeyAdmission(self.env, Holders())

    def test_key(self) -> None:
        """The account's login is who takes locks."""
        self.assertEqual(self.admit(self.request(basic("me", "pp_key"))), Visit(NAMESPACE, "me"))

    def test_refused(self) -> None:
        """No login, a wrong one, or one that makes no sense."""
        for text in ("", basic("me", "no"), basic("you", "pp_key"), "Basic !", "Basic", "Bearer x"):
            self.assertEqual(len(self.refused(self.request(text))), 1, text)
        self.assertEqual(self.refused(self.request()), ('Basic realm="pigpen", charset="UTF-8"',))

    def test_two(self) -> None:
        """Two Authorization fields are no login at all."""
        request = self.request(basic("me", "pp_key"), basic("me", "x"))
        self.failureResultOf(Deferred.fromCoroutine(self.admission.admit(request)), BadRequest)

    def test_guessing(self) -> None:
        """The twelfth wrong key within a minute is not looked at."""
        for _ in range(11):
            self.refused(self.request(basic("me", "no"), address="192.0.2.1"))
        request = self.request(basic("me", "pp_key"), address="192.0.2.1")
        self.failureResultOf(Deferred.fromCoroutine(self.admission.admit(request)), TooManyRequests)


class UserTests(AdmissionCase):
    def setUp(self) -> None:
        super().setUp()
        self.admission = UserAdmission(self.env, parse_users(FILE, "users"), NAMESPACE)

    def test_basic(self) -> None:
        """Over TLS or within the machine a password is enough."""
        for name, password in (("ann", "secret"), ("bob", "pä:ss")):
            visit = self.admit(
                self.request(basic(name, password), address="192.0.2.1", secure=True)
            )
            self.assertEqual(visit, Visit(NAMESPACE, name))
        self.admit(self.request(basic("ann", "secret")))
        for name, password in (("ann", "no"), ("eve", "secret"), ("", ""), ("ann", "")):
            self.refused(self.request(basic(name, password)))

    def test_no_basic_in_clear(self) -> None:
        """Where others can listen, a password is neither asked for nor taken."""
        challenges = self.refused(self.request(basic("ann", "secret"), address="192.0.2.1"))
        self.assertEqual([one.partition(" ")[0] for one in challenges], ["Digest", "Digest"])
        private = self.refused(self.request())
        self.assertEqual([one.partition(" ")[0] for one in private], ["Digest", "Digest", "Basic"])

    def test_guessing(self) -> None:
        """The twelfth wrong password within a minute is not looked at."""
        for _ in range(11):
            self.refused(self.request(basic("ann", "no")))
        request = self.request(basic("ann", "secret"))
        self.failureResultOf(Deferred.fromCoroutine(self.admission.admit(request)), TooManyRequests)


class DigestTests(AdmissionCase):
    """As a client does it, by the text of RFC 7616 3.4."""

    def setUp(self) -> None:
        super().setUp()
        self.admission = UserAdmission(self.env, parse_users(FILE, "users"), NAMESPACE)

    def challenge(self, algorithm: str = "MD5") -> str:
        """A fresh nonce."""
        for one in self.refused(self.request(address="192.0.2.1")):
            if f"algorithm={algorithm}," in one:
                match = re.search('nonce="([^"]+)"', one)
                assert match is not None
                return match.group(1)
        raise AssertionError(algorithm)

    def answer(
        self,
        nonce: str,
        *,
        name: str = "ann",
        password: str = "secret",
        algorithm: str = "MD5",
        uri: str = "/a%20b",
        method: str = "GET",
        nc: str = "00000001",
    ) -> str:
        def h(text: str) -> str:
            make = hashlib.sha256 if algorithm == "SHA-256" else hashlib.md5
            return make(text.encode()).hexdigest()

        ha1, ha2 = h(f"{name}:pigpen:{password}"), h(f"{method}:{uri}")
        response = h(f"{ha1}:{nonce}:{nc}:c:auth:{ha2}")
        text = (
            f'Digest username="{name}", realm="pigpen", nonce="{nonce}", uri="{uri}",'
            f' response="{response}", algorithm={algorithm}, cnonce="c", nc={nc}, qop=auth'
        )
        return text.encode().decode("latin-1")

    def test_right(self) -> None:
        """Both algorithms; names and passwords beyond ASCII."""
        for algorithm in ("MD5", "SHA-256"):
            nonce = self.challenge(algorithm)
            text = self.answer(nonce, algorithm=algorithm)
            self.assertEqual(self.admit(self.request(text)).principal, "ann")
            text = self.answer(
                nonce, algorithm=algorithm, name="bob", password="pä:ss", nc="00000002"
            )
            self.assertEqual(self.admit(self.request(text)).principal, "bob")

    def test_wrong(self) -> None:
        """Another password, user, method, target, query, nonce or realm."""
        nonce = self.challenge()
        good = self.answer(nonce)
        for text in (
            self.answer(nonce, password="no"),
            self.answer(nonce, name="eve"),
            self.answer(nonce, method="PUT"),
            self.answer(nonce, uri="/b"),
            self.answer(nonce, uri="/a%20b?x"),
            self.answer("0" * 60),
            self.answer(nonce[:-1] + "0" if nonce[-1] != "0" else nonce[:-1] + "1"),
            good.replace('realm="pigpen"', 'realm="other"'),
            good.replace("qop=auth", "qop=auth-int"),
            good.replace(", cnonce", ", cnonce=x, cnonce"),
            good.replace("algorithm=MD5", "algorithm=SHA-1"),
            re.sub('response="[^"]*"', 'response="ü"', good),
            "Digest",
            "Digest username=",
            'Digest username="' + "\\" * 5000,
        ):
            self.refused(self.request(text))
            self.env.world.clock.advance(7)  # not so fast that it looks like guessing
        self.admit(self.request(good))

    def test_counted(self) -> None:
        """An answer works once; several connections may use counts out of order."""
        nonce = self.challenge()
        for nc in ("00000001", "00000005", "00000003"):
            self.admit(self.request(self.answer(nonce, nc=nc)))
        for nc in ("00000001", "00000003", "00000005"):
            challenges = self.refused(self.request(self.answer(nonce, nc=nc)))
            self.assertIn("stale=true", challenges[0])
        self.admit(self.request(self.answer(nonce, nc="00010000")))
        self.refused(self.request(self.answer(nonce, nc="00000002")))

    def test_count_far_ahead(self) -> None:
        """A client may count as it likes; it costs no memory."""
        nonce = self.challenge()
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        for nc in ("00000001", "ffffffff"):
            self.admit(self.request(self.answer(nonce, nc=nc)))
        self.assertLess(tracemalloc.get_traced_memory()[1], 1024 * 1024)
        self.refused(self.request(self.answer(nonce, nc="ffffffff")))
        self.refused(self.request(self.answer(nonce, nc="00000002")))

    def test_many_nonces(self) -> None:
        """An answer cannot be sent again, however many others were sent meanwhile."""
        digest = Digest(self.env, parse_users(FILE, "users"), max_nonces=3)

        def judge(authorization: str) -> Verdict:
            answer = parse_answer(authorization.removeprefix("Digest "))
            assert answer is not None
            return digest.judge(self.request(), answer)

        def made() -> str:
            self.env.world.clock.advance(1)
            match = re.search('algorithm=MD5, nonce="([^"]+)"', "".join(digest.challenges()))
            assert match is not None
            return self.answer(match.group(1))

        first = made()
        self.assertEqual(judge(first), Verdict("ann"))
        self.assertEqual([judge(made()).user for _ in range(3)], ["ann"] * 3)
        self.assertEqual(judge(first), Verdict(None, stale=True))
        self.assertEqual(judge(made()), Verdict("ann"))

    def test_old(self) -> None:
        """After five minutes the client is told to take a new nonce, without asking the user."""
        nonce = self.challenge()
        self.env.world.clock.advance(301)
        challenges = self.refused(self.request(self.answer(nonce)))
        self.assertIn("stale=true", challenges[0])
        self.admit(self.request(self.answer(self.challenge())))


class UsersFileTests(SynchronousTestCase):
    def test_bad_lines(self) -> None:
        """The line that is wrong is named, never its hash."""
        for text in (
            "",
            "# nobody\n",
            "ann\n",
            "ann:pigpen:xyz\n",
            f"ann:other:{'0' * 32}\n",
            f":pigpen:{'0' * 32}\n",
            f"ann:pigpen:{'0' * 40}\n",
        ):
            error = self.assertRaises(ConfigError, parse_users, text, "users")
            self.assertIn("users", error.message)
            self.assertNotIn("0" * 32, error.message)

    def test_names(self) -> None:
        """A name with a colon or a quote cannot be one."""
        for name in ("", "a:b", 'a"', "a\\", "a\n", "x" * 201):
            self.assertRaises(ConfigError, user_lines, name, "p")

    def test_hidden(self) -> None:
        """A log that shows the users shows no hash."""
        self.assertEqual(repr(parse_users(FILE, "users")), "<4 users>")
