"""Digest access authentication (RFC 7616): challenges, and whether an answer is right (DAV-101).

A nonce is ``TIME RANDOM SEAL`` in hexadecimal: its age and that it is ours can be seen without a
memory. What is remembered is which counts (nc) were used with a nonce that was answered rightly, so
that nothing can be sent twice.
"""

from __future__ import annotations

import hmac
import re
from collections import OrderedDict
from typing import Final

import msgspec

from pigpen.dav.users import ALGORITHMS, REALM, Users, hash_text
from pigpen.env import Env
from pigpen.errors import PigpenError
from pigpen.http.key import Key
from pigpen.http.message import Request

NONCE_SECONDS: Final = 300
#: nonces whose counts are remembered; the longest unused goes first. With it all go that are not
#: younger, used or not, so that nothing can be sent twice: clients then ask again
MAX_NONCES: Final = 10_000
#: how far behind the highest count one may come in: clients use several connections at once
WINDOW: Final = 1024

_PARAMETER = re.compile(
    r"[ \t,]*([A-Za-z0-9_*-]+)[ \t]*=[ \t]*"
    r'(?:"((?:[^"\\]|\\.){0,4096})"|([^\s,"]{1,4096}))[ \t]*(?:,|$)'
)
_NONCE = re.compile("([0-9a-f]{12})([0-9a-f]{16})([0-9a-f]{32})")
_COUNT = re.compile("[0-9a-f]{8}")


class Answer(msgspec.Struct, frozen=True):
    """What a client sent after ``Digest``; parameters by name, unquoted."""

    username: str
    realm: str
    nonce: str
    uri: str
    response: str
    qop: str
    nc: str
    cnonce: str
    algorithm: str = "MD5"

    def expected(self, method: str, ha1: str) -> str:
        """RFC 7616 3.4.1."""
        ha2 = hash_text(self.algorithm, f"{method}:{self.uri}")
        rest = f"{self.nonce}:{self.nc}:{self.cnonce}:{self.qop}:{ha2}"
        return hash_text(self.algorithm, f"{ha1}:{rest}")


def parse_answer(text: str) -> Answer | None:
    """:param text: the credentials without the scheme, as a header field has them.

    :return: None: they make no sense.
    """
    text = _as_utf8(text)
    found: dict[str, str] = {}
    position = 0
    while position < len(text):
        match = _PARAMETER.match(text, position)
        if match is None or match.group(1).lower() in found:
            return None
        quoted = match.group(2)
        value = match.group(3) if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        found[match.group(1).lower()] = value
        position = match.end()
    try:
        answer = msgspec.convert(found, Answer)
    except msgspec.ValidationError:
        return None
    return answer if answer.algorithm in ALGORITHMS else None


def _as_utf8(text: str) -> str:
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text


class Verdict(msgspec.Struct, frozen=True):
    """``user``: who it is; None: nobody. ``stale``: all was right but the nonce's age."""

    user: str | None
    stale: bool = False


class _Counts(msgspec.Struct):
    """Which counts were used: the highest, and a bit for each one in the window behind it."""

    highest: int = 0
    used: int = 0

    def take(self, count: int) -> bool:
        if count > self.highest:
            # no further than the window: a shift by four billion would fill the memory
            ahead = min(count - self.highest, WINDOW)
            self.used = (self.used << ahead | 1) & ((1 << WINDOW) - 1)
            self.highest = count
            return True
        behind = self.highest - count
        if behind >= WINDOW or self.used >> behind & 1:
            return False
        self.used |= 1 << behind
        return True


class Digest:
    """Makes challenges and judges what comes back."""

    def __init__(self, env: Env, users: Users, max_nonces: int = MAX_NONCES) -> None:
        self._env = env
        self._max_nonces = max_nonces
        self._users = users
        self._secret = env.random.randbytes(32)
        self._counts: OrderedDict[str, _Counts] = OrderedDict()
        #: when the youngest nonce was made whose counts were forgotten
        self._forgotten = -1

    def challenges(self, *, stale: bool = False) -> tuple[str, ...]:
        """Values of WWW-Authenticate, one for each algorithm that users have hashes of."""
        nonce = self._nonce()
        end = ", stale=true" if stale else ""
        return tuple(
            f'Digest realm="{REALM}", qop="auth", algorithm={algorithm}, nonce="{nonce}",'
            f" charset=UTF-8{end}"
            for algorithm in self._users.algorithms
        )

    def judge(self, request: Request, answer: Answer) -> Verdict:
        if answer.realm != REALM or answer.qop != "auth":
            return Verdict(None)
        ha1 = self._users.ha1(answer.username, answer.algorithm)
        expected = answer.expected(request.method, ha1 or "")
        right = hmac.compare_digest(expected.encode(), answer.response.lower().encode())
        if not right or ha1 is None or not _is_about(answer.uri, request):
            return Verdict(None)
        if not self._is_fresh(answer.nonce):
            return Verdict(None, stale=True)
        if not self._first_use(answer.nonce, answer.nc):
            return Verdict(None, stale=True)
        return Verdict(answer.username)

    def _nonce(self) -> str:
        body = f"{int(self._env.wall()):012x}{self._env.random.randbytes(8).hex()}"
        return body + self._seal(body)

    def _seal(self, body: str) -> str:
        return hmac.digest(self._secret, body.encode(), "sha256").hex()[:32]

    def _is_fresh(self, nonce: str) -> bool:
        match = _NONCE.fullmatch(nonce)
        if match is None or not hmac.compare_digest(self._seal(nonce[:28]), match.group(3)):
            return False
        return 0 <= self._env.wall() - _made(nonce) <= NONCE_SECONDS

    def _first_use(self, nonce: str, nc: str) -> bool:
        if not _COUNT.fullmatch(nc.lower()):
            return False
        counts = self._counts.get(nonce)
        if counts is None:
            if _made(nonce) <= self._forgotten:
                return False
            counts = self._counts[nonce] = _Counts()
        self._counts.move_to_end(nonce)
        if len(self._counts) > self._max_nonces:
            oldest, _ = self._counts.popitem(last=False)
            self._forgotten = max(self._forgotten, _made(oldest))
        return counts.take(int(nc, 16))


def _made(nonce: str) -> int:
    """When a nonce of ours was made, in seconds since 1970."""
    return int(nonce[:12], 16)


def _is_about(uri: str, request: Request) -> bool:
    """Whether an answer is for this request: its uri is the target, or the URI with a host."""
    path, _, query = uri.partition("?")
    if "://" in path:
        path = "/" + path.partition("://")[2].partition("/")[2]
    if query != request.query_string:
        return False
    try:
        key = Key.from_path(path)
    except PigpenError:
        return uri == "*"
    return key.names == request.key.names
