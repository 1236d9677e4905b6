"""Who may come into a namespace, and by what login (DAV-100, DAV-101).

Everyone, on loopback; whoever shows LOGIN and an access key, which the coordinator judges; or a
user of a file. A password in clear text (Basic) is asked for and accepted only where nobody can
listen.
"""

from __future__ import annotations

import base64
import binascii
from ipaddress import ip_address
from typing import Final, Protocol

from pigpen.dav.digest import Digest, Verdict, parse_answer
from pigpen.dav.users import Users
from pigpen.env import Env
from pigpen.errors import BadRequest, Unauthorized
from pigpen.http.answers import BASIC
from pigpen.http.message import Request
from pigpen.http.namespace import Admission, Namespace, Visit
from pigpen.web.throttle import Throttle

#: longer than any login, key and Digest answer
MAX_LENGTH: Final = 8192


class OpenAdmission:
    """Everyone comes in, without a login."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace

    async def admit(self, _: Request) -> Visit:
        return Visit(self._namespace, "")


class KeyHolders(Protocol):
    """The accounts that access keys open."""

    async def namespace_of(self, login: str, access_key: str) -> Namespace:
        """:raises Unauthorized: the key is wrong, or another account's."""


class KeyAdmission:
    """LOGIN and access key by Basic, passed on."""

    def __init__(self, env: Env, holders: KeyHolders) -> None:
        self._holders = holders
        self._throttle = Throttle(env.clock)

    async def admit(self, request: Request) -> Visit:
        login, access_key = _basic(_authorization(request), (BASIC,))
        address = request.caller.address
        self._throttle.check(login, address)
        try:
            namespace = await self._holders.namespace_of(login, access_key)
        except Unauthorized:
            self._throttle.failed(login, address)
            raise Unauthorized(challenges=(BASIC,)) from None
        self._throttle.succeeded(login, address)
        return Visit(namespace, login)


class UserAdmission:
    """Users of a file, all in one namespace: by Digest, and by Basic where that is safe."""

    def __init__(self, env: Env, users: Users, namespace: Namespace) -> None:
        self._users = users
        self._namespace = namespace
        self._digest = Digest(env, users)
        self._throttle = Throttle(env.clock)

    async def admit(self, request: Request) -> Visit:
        scheme, rest = _authorization(request)
        if scheme == "basic" and is_private(request):
            return self._by_password(request, rest)
        if scheme == "digest":
            return self._by_digest(request, rest)
        raise Unauthorized(challenges=self._challenges(request))

    def _by_password(self, request: Request, rest: str) -> Visit:
        name, password = _basic(("basic", rest), self._challenges(request))
        address = request.caller.address
        self._throttle.check(name, address)
        if not self._users.knows(name, password):
            self._throttle.failed(name, address)
            raise Unauthorized(challenges=self._challenges(request))
        self._throttle.succeeded(name, address)
        return Visit(self._namespace, name)

    def _by_digest(self, request: Request, rest: str) -> Visit:
        answer = parse_answer(rest)
        name = "" if answer is None else answer.username
        address = request.caller.address
        self._throttle.check(name, address)
        verdict = Verdict(None) if answer is None else self._digest.judge(request, answer)
        if verdict.user is None:
            if not verdict.stale:
                self._throttle.failed(name, address)
            raise Unauthorized(challenges=self._challenges(request, stale=verdict.stale))
        self._throttle.succeeded(name, address)
        return Visit(self._namespace, verdict.user)

    def _challenges(self, request: Request, *, stale: bool = False) -> tuple[str, ...]:
        digest = self._digest.challenges(stale=stale)
        return (*digest, BASIC) if is_private(request) else digest


def is_private(request: Request) -> bool:
    """Whether nobody can listen: TLS, or within this machine."""
    if request.secure:
        return True
    try:
        return ip_address(request.caller.address.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _authorization(request: Request) -> tuple[str, str]:
    """Scheme, in lower case, and what comes after it; both "" without the field."""
    values = request.headers.getall("Authorization", [])
    if len(values) > 1:
        raise BadRequest(reason="there is more than one Authorization field")
    if not values or len(values[0]) > MAX_LENGTH:
        return "", ""
    scheme, _, rest = values[0].strip(" \t").partition(" ")
    return scheme.lower(), rest.strip(" ")


def _basic(authorization: tuple[str, str], challenges: tuple[str, ...]) -> tuple[str, str]:
    scheme, rest = authorization
    try:
        text = base64.b64decode(rest, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        text = ""
    name, colon, password = text.partition(":")
    if scheme != "basic" or not colon:
        raise Unauthorized(challenges=challenges)
    return name, password


_are_admissions: tuple[type[Admission], ...] = (OpenAdmission, KeyAdmission, UserAdmission)
