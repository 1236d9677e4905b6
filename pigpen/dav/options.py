"""OPTIONS: what this server can do; anyone may ask, about any name (DAV-11)."""

from __future__ import annotations

import contextlib
from typing import Final

from pigpen.dav.above_prefix import AbovePrefix
from pigpen.errors import NoAnswer, TooManyRequests, Unauthorized, Unavailable
from pigpen.http.message import Headers, Request, Response
from pigpen.http.namespace import Ability, Admission, Namespace

METHODS: Final[tuple[str, ...]] = (
    "OPTIONS", "GET", "HEAD", "PUT", "DELETE", "MKCOL", "PROPFIND", "PROPPATCH", "COPY", "MOVE",
    "LOCK", "UNLOCK",
)  # fmt: skip
#: what collections can do that only lead to others (DAV-65)
_READING: Final = ("OPTIONS", "GET", "HEAD", "PROPFIND")
_LOCKING: Final = frozenset({"LOCK", "UNLOCK"})


def possible(namespace: Namespace) -> tuple[str, ...]:
    """The methods of a namespace."""
    if isinstance(namespace, AbovePrefix):
        return _READING
    if Ability.LOCKS in namespace.abilities:
        return METHODS
    return tuple(method for method in METHODS if method not in _LOCKING)


async def options(request: Request, admission: Admission) -> Response:
    """Finder and Office mount a server without locks read-only, so its classes count.

    :raises Misdirected: as any method. :raises Forbidden: likewise.
    """
    methods = METHODS  # as every namespace of ours; whoever logs in is told more exactly
    with contextlib.suppress(Unauthorized, TooManyRequests, NoAnswer, Unavailable):
        methods = possible((await admission.admit(request)).namespace)
    headers = Headers(
        {
            "DAV": "1, 2, 3, extended-mkcol" if "LOCK" in methods else "1, 3, extended-mkcol",
            "MS-Author-Via": "DAV",
            "Allow": ", ".join(methods),
        }
    )
    return Response(200, headers)
