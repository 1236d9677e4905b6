"""Calls: a namespace's calls as requests to the coordinator (CLD-11, 14, 50, 51; DAV-6).

``when`` travels as the standard fields; `If` names keys by their paths in the API.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Final, TypeVar
from urllib.parse import quote

from pigpen.client.refusals import raised
from pigpen.client.session import Session
from pigpen.errors import PigpenError, Unauthorized, Unavailable
from pigpen.http import wire
from pigpen.http.body import Body
from pigpen.http.key import Key
from pigpen.http.message import Headers, Response
from pigpen.http.namespace import ALWAYS, When

T = TypeVar("T")

#: finds other Unicode spellings of a name too (DAV-62)
LOOSE: Final = {"lookup": "loose"}
#: a tag of an If field that names nothing of ours, at the coordinator neither
FOREIGN: Final = "urn:foreign"
#: of a user's name, left as they are in a field; all ASCII but blanks, %, controls
_PLAIN: Final = "!\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~"


class Calls:
    """Asks the coordinator; what it refuses is raised as it was raised there."""

    def __init__(self, session: Session, *, own_key: bool) -> None:
        """:param own_key: the access key is this service's, not of whoever asks."""
        self.session = session
        self._own_key = own_key

    async def ask(
        self,
        method: str,
        key: Key,
        query: dict[str, str],
        *,
        headers: Headers | None = None,
        body: Body | None = None,
        brief: bool = False,
    ) -> Response:
        """:param brief: see `Session.call`.

        :raises PigpenError: the refusal. :raises NoAnswer: there was none.
        """
        return await self.run(
            self.session.call(method, key, query, headers=headers, body=body, brief=brief)
        )

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` returns; what it raises, as callers of a namespace know it."""
        try:
            return await work
        except PigpenError as error:
            raise self.told(error) from None

    def told(self, error: PigpenError) -> PigpenError:
        """The error that a caller is told."""
        known = raised(error)
        if isinstance(known, Unauthorized) and self._own_key:
            # no password that a user may type changes this
            return Unavailable(reason="the coordinator knows this server's access key no more")
        return known

    async def change(
        self,
        method: str,
        key: Key,
        when: When,
        *,
        query: dict[str, str] | None = None,
        headers: Headers | None = None,
        body: Body | None = None,
        brief: bool = False,
    ) -> Response:
        """As `ask`, under the terms of `when`."""
        fields = await self.fields(when)
        if headers is not None:
            fields.extend(headers)
        terms = query_of(when, query)
        return await self.ask(method, key, terms, headers=fields, body=body, brief=brief)

    async def fields(self, when: When) -> Headers:
        """The header fields that say the terms of a call."""
        headers = when.conditions.to_headers()
        if when.if_field is not None:
            prefix = f"/{wire.API}/{await self.run(self.session.login())}"
            field = when.if_field.map_tags(lambda path: prefix + path if path else FOREIGN)
            headers["If"] = field.to_text()
        if when.principal:
            headers[wire.PRINCIPAL] = quote(when.principal, safe=_PLAIN)
        return headers

    async def path(self, key: Key) -> str:
        """Where a key is in the API."""
        return f"/{wire.API}/{await self.run(self.session.login())}{key.to_path()}"


def query_of(when: When = ALWAYS, query: dict[str, str] | None = None) -> dict[str, str]:
    """The query that says the other terms of a call."""
    found = {} if query is None else dict(query)
    if when.loose:
        found |= LOOSE
    if not when.parents:
        found["parents"] = "false"
    return found


def seconds_text(milliseconds: int) -> str:
    """The value of X-OC-Mtime: exact to the millisecond."""
    whole, rest = divmod(abs(milliseconds), 1000)
    return f"{'-' if milliseconds < 0 else ''}{whole}.{rest:03}"
