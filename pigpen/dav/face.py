"""WebDav: a handler over a `Namespace`, which is all it knows (DAV-1).

A request is let in, its path becomes a key, its conditions become terms; then one function per
method does the rest.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec

from pigpen.dav.above_prefix import AbovePrefix
from pigpen.dav.call import Call
from pigpen.dav.copy_move import copy, move
from pigpen.dav.delete import delete
from pigpen.dav.get import get, head
from pigpen.dav.lock import lock, unlock
from pigpen.dav.mkcol import mkcol
from pigpen.dav.options import METHODS, options, possible
from pigpen.dav.propfind import propfind
from pigpen.dav.proppatch import proppatch
from pigpen.dav.put import put
from pigpen.dav.refusals import refusal
from pigpen.dav.settings import DavSettings
from pigpen.dav.targets import key_below, when_of
from pigpen.env import Env
from pigpen.errors import MethodNotAllowed, NotBuilt, PigpenError
from pigpen.http.key import Key
from pigpen.http.message import Handler, Request, Response
from pigpen.http.namespace import Admission

Method = Callable[[Call], Awaitable[Response]]

_METHODS: Final[Mapping[str, Method]] = {
    "GET": get,
    "HEAD": head,
    "PUT": put,
    "DELETE": delete,
    "MKCOL": mkcol,
    "PROPFIND": propfind,
    "PROPPATCH": proppatch,
    "COPY": copy,
    "MOVE": move,
    "LOCK": lock,
    "UNLOCK": unlock,
}
#: known, and never possible here; any other is 501 (DAV-22)
_NEVER: Final = frozenset({"POST", "TRACE", "PATCH"})
_ROOT: Final = Key((), True)

_DEFAULT_SETTINGS: Final = DavSettings()


class WebDav:
    """Classes 1, 2 and 3 of RFC 4918.

    It sees whole paths, the prefix of its settings too, so mount it at ``/``: the collections above
    its prefix are its own too.
    """

    def __init__(
        self, env: Env, admission: Admission, settings: DavSettings = _DEFAULT_SETTINGS
    ) -> None:
        self._env = env
        self._admission = admission
        self._settings = settings

    async def handle(self, request: Request) -> Response:
        call = None
        try:
            if request.method == "OPTIONS":
                return await options(request, self._admission)
            call = await self._let_in(request)
            return await _method_of(call)(call)
        except MethodNotAllowed as error:
            error.facts["allow"] = _allow(call, request.method)
            return refusal(error, call)
        except PigpenError as error:
            return refusal(error, call)

    async def _let_in(self, request: Request) -> Call:
        visit = await self._admission.admit(request)
        settings, namespace = self._settings, visit.namespace
        key = key_below(settings.prefix, request.key)
        if key is None:
            namespace, key = AbovePrefix(settings.prefix), request.key
            settings = msgspec.structs.replace(settings, prefix=_ROOT)
        when = when_of(request, settings, visit.principal)
        return Call(self._env, settings, request, namespace, key, when)


def _method_of(call: Call) -> Method:
    """:raises MethodNotAllowed: :raises NotBuilt: nobody knows it here."""
    name = call.request.method
    method = _METHODS.get(name)
    if method is None and name not in _NEVER:
        raise NotBuilt(reason=f"the method {name} is not known")
    if method is None or name not in possible(call.namespace):
        raise MethodNotAllowed(method=name, allow="")
    return method


def _allow(call: Call | None, refused: str) -> str:
    """What else is possible where a method is not."""
    methods = METHODS if call is None else possible(call.namespace)
    return ", ".join(method for method in methods if method != refused)


_is_handler: type[Handler] = WebDav
