"""RemoteNamespace: an account's namespace at its coordinator (DAV-6).

Each call is one request to the coordinator. Bytes of more than 4 KiB go to and come from hosts:
`reading` and `writing`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

import msgspec

from pigpen.client.calls import LOOSE, Calls, seconds_text
from pigpen.client.download import Wanted, ask_download
from pigpen.client.inputs import Pipes
from pigpen.client.nodes import lock_of, node_of, place_of
from pigpen.client.reading import RemoteReading
from pigpen.client.session import Session
from pigpen.client.writing import RemoteWriter
from pigpen.errors import (
    MethodNotAllowed,
    NoAnswer,
    NotFound,
    Refused,
    Unavailable,
)
from pigpen.http import wire
from pigpen.http.answers import JSON, NDJSON
from pigpen.http.body import Body, BytesBody
from pigpen.http.key import Key
from pigpen.http.message import Headers
from pigpen.http.namespace import (
    NOTHING,
    ON_COLLECTION,
    Ability,
    Changes,
    Lock,
    LockWish,
    Namespace,
    Node,
    Quota,
    Reading,
    Want,
    When,
    WriteMeta,
    Written,
)

_ABILITIES: Final = frozenset(Ability)
_LINES: Final = {"Accept": NDJSON}


class RemoteNamespace:
    """What one access key opens."""

    def __init__(
        self, session: Session, *, own_key: bool = True, pipes: Pipes | None = None
    ) -> None:
        """:param own_key: the access key is this service's own: whoever asks is not to blame if
        the coordinator refuses it. :param pipes: shared by namespaces of one process."""
        self._calls = Calls(session, own_key=own_key)
        self._session = session
        self._writer = RemoteWriter(self._calls, Pipes() if pipes is None else pipes)

    @property
    def abilities(self) -> frozenset[Ability]:
        return _ABILITIES

    # -- looking ----------------------------------------------------------------------------------

    async def stat(self, key: Key, want: Want = NOTHING) -> Node:
        query = {"depth": "0", **LOOSE, **_want(want)}
        answer = await self._calls.ask("GET", key, query, headers=Headers(_LINES), brief=True)
        line = await self._calls.run(self._session.line(answer))
        return node_of(line, place_of(answer, key))

    async def list(
        self, key: Key, *, deep: bool = False, want: Want = NOTHING, after: str = ""
    ) -> AsyncGenerator[Node, None]:
        query = {"depth": "infinity" if deep else "1", **LOOSE, **_want(want)}
        if after:
            query["after"] = after
        asked = Key(key.names, True)
        answer = await self._calls.ask("GET", asked, query, headers=Headers(_LINES))
        place = place_of(answer, asked)
        async with aclosing(self._session.lines(answer.body)) as lines:
            async for line in lines:
                yield node_of(line, place)

    async def open(self, key: Key) -> Reading:
        try:
            download = await ask_download(Wanted(self._session, key, LOOSE))
        except Refused as error:
            if error.facts["code"] == "collection":
                raise MethodNotAllowed(method="GET", allow=ON_COLLECTION) from None
            raise self._calls.told(error) from None
        return RemoteReading(self._calls, download)

    async def quota(self, key: Key) -> Quota:
        if not key.is_root:
            await self.stat(key)
        account = await self._calls.run(self._session.account())
        return Quota(account.used, account.available)

    # -- changing ---------------------------------------------------------------------------------

    async def check(self, key: Key, when: When) -> None:
        if when.if_field is None:
            return
        try:
            answer = await self._calls.change("GET", key, when, query={"lock": ""}, brief=True)
        except NotFound:  # the field was judged first
            return
        await answer.body.aclose()

    async def write(self, key: Key, body: Body, meta: WriteMeta, when: When) -> Written:
        written = await self._writer.write(key, body, meta, when)
        if not when.loose or str(key).isascii():
            return written
        return await self._as_spelled(written)

    async def _as_spelled(self, written: Written) -> Written:
        """The key of what was written in its stored spelling, which a host does not know."""
        try:
            node = await self.stat(written.node.key)
        except (NotFound, NoAnswer, Unavailable):  # stored it is all the same
            return written
        return msgspec.structs.replace(
            written, node=msgspec.structs.replace(written.node, key=node.key)
        )

    async def make_collection(self, key: Key, changes: Changes, when: When) -> None:
        body = _json(changes) if changes else None
        answer = await self._calls.change("MKCOL", key, when, body=body, headers=_typed(body))
        await answer.body.aclose()

    async def change_properties(
        self, key: Key, changes: Changes, when: When, modified: int | None = None
    ) -> None:
        body = _json(changes)
        headers = _typed(body)
        if modified is not None:
            headers["X-OC-Mtime"] = seconds_text(modified)
        answer = await self._calls.change(
            "PATCH", key, when, query={"properties": ""}, headers=headers, body=body
        )
        await answer.body.aclose()

    async def delete(self, key: Key, when: When) -> None:
        await (await self._calls.change("DELETE", key, when)).body.aclose()

    async def copy(
        self, source: Key, destination: Key, *, deep: bool, overwrite: bool, when: When
    ) -> bool:
        headers = Headers({"Depth": "infinity" if deep else "0"})
        return await self._transfer("COPY", source, destination, overwrite, when, headers)

    async def move(self, source: Key, destination: Key, *, overwrite: bool, when: When) -> bool:
        return await self._transfer("MOVE", source, destination, overwrite, when, Headers())

    async def _transfer(
        self,
        method: str,
        source: Key,
        destination: Key,
        overwrite: bool,
        when: When,
        headers: Headers,
    ) -> bool:
        headers["Destination"] = await self._calls.path(destination)
        headers["Overwrite"] = "T" if overwrite else "F"
        answer = await self._calls.change(method, source, when, headers=headers)
        await answer.body.aclose()
        return answer.status == 201

    # -- locks ------------------------------------------------------------------------------------

    async def lock(self, key: Key, wish: LockWish, when: When) -> tuple[Lock, bool]:
        body = _json(wish)
        answer = await self._calls.change(
            "POST", key, when, query={"lock": ""}, headers=_typed(body), body=body
        )
        info = await self._calls.run(self._session.read(answer, wire.LockInfo))
        return lock_of(info), answer.status == 201

    async def refresh(self, key: Key, seconds: int, when: When) -> Lock:
        query = {"lock": "", "seconds": str(seconds)}
        answer = await self._calls.change("POST", key, when, query=query)
        return lock_of(await self._calls.run(self._session.read(answer, wire.LockInfo)))

    async def unlock(self, key: Key, token: str, when: When) -> None:
        answer = await self._calls.change("DELETE", key, when, query={"lock": token})
        await answer.body.aclose()


def _want(want: Want) -> dict[str, str]:
    """The query's ``want`` (CLD-51)."""
    names = ["properties"] if want.properties else ["names"] if want.names else []
    if want.locks:
        names.append("locks")
    return {"want": ",".join(names)} if names else {}


def _json(value: object) -> BytesBody:
    return BytesBody(wire.encode(value))


def _typed(body: Body | None) -> Headers:
    return Headers() if body is None else Headers({"Content-Type": JSON})


_is_namespace: type[Namespace] = RemoteNamespace
