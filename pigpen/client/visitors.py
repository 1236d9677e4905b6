"""Visitors: the accounts of whoever shows a login and an access key (DAV-100)."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Final

import msgspec

from pigpen.client.inputs import Pipes
from pigpen.client.namespace import RemoteNamespace
from pigpen.client.refusals import raised
from pigpen.client.session import Session
from pigpen.env import Env
from pigpen.errors import ConfigError, Refused, Unauthorized
from pigpen.web.sender import Sender

#: sessions that are remembered; the longest unused goes first
MAX_KNOWN: Final = 1000
#: for so long: a key that has ended stops working at once, as each request shows it again
KNOWN_SECONDS: Final = 300


class _Known(msgspec.Struct, frozen=True):
    namespace: RemoteNamespace
    until: float


class Visitors:
    """Passes keys on to the coordinator, which judges them."""

    def __init__(self, env: Env, http: Sender, coordinator: str) -> None:
        self._env = env
        self._http = http
        self._coordinator = coordinator
        self._pipes = Pipes()
        #: by a hash of what was shown
        self._known: OrderedDict[bytes, _Known] = OrderedDict()

    async def namespace_of(self, login: str, access_key: str) -> RemoteNamespace:
        """What a key opens. :raises Unauthorized: it is wrong, or another account's.

        :raises NoAnswer: the coordinator cannot be asked.
        """
        shown = hashlib.sha256(f"{login}\0{access_key}".encode()).digest()
        known = self._known.get(shown)
        if known is None or known.until < self._env.clock.seconds():
            namespace = await self._let_in(login, access_key)
            known = _Known(namespace, self._env.clock.seconds() + KNOWN_SECONDS)
            self._known[shown] = known
        self._known.move_to_end(shown)
        while len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        return known.namespace

    async def _let_in(self, login: str, access_key: str) -> RemoteNamespace:
        try:
            session = Session(self._env, self._http, self._coordinator, access_key, login)
            account = await session.account()
        except ConfigError:  # no key has such characters
            raise Unauthorized from None
        except Refused as error:
            if error.facts["status"] == 401:
                raise Unauthorized from None
            raise raised(error) from None
        if account.login != login:
            raise Unauthorized
        return RemoteNamespace(session, own_key=False, pipes=self._pipes)
