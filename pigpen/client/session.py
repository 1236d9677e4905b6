"""Session: one account's conversation with its coordinator."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeVar
from urllib.parse import urlencode, urlsplit

import msgspec

from pigpen.env import Env
from pigpen.errors import (
    BadAnswer,
    BodyAborted,
    ConfigError,
    ConnectionLost,
    NoAnswer,
    PigpenError,
    Refused,
    Untrusted,
)
from pigpen.http import wire
from pigpen.http.answers import JSON, NDJSON
from pigpen.http.body import Body, BytesBody, read_all
from pigpen.http.key import Key
from pigpen.http.message import Headers, Response
from pigpen.web.sender import Sender

T = TypeVar("T")

#: the largest answer in JSON that a coordinator has reason to give
MAX_ANSWER_BYTES = 1024 * 1024
#: a line of a listing: a node may have 1 MiB of properties, and JSON writes some bytes as six
MAX_LINE_BYTES = 8 * 1024 * 1024

_ACCESS_KEY = re.compile(r"[!-~]{1,1000}")


def check_coordinator(url: str) -> str:
    """:return: the URL without a final slash. :raises ConfigError: it is none for a coordinator."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or "@" in parts.netloc or parts.query or parts.fragment or re.search(r"\s", url):
        reason = f"{url!r} is no address; write it like https://cloud.example:2573"
        raise ConfigError(path="coordinator", reason=reason)
    return url.rstrip("/")


class Session:
    """Requests of one account. The access key goes to its coordinator and nowhere else (CLD-7)."""

    def __init__(
        self,
        env: Env,
        http: Sender,
        coordinator: str,
        access_key: str,
        login: str | None = None,
    ) -> None:
        """:param login: asked of the coordinator if not given.

        :raises ConfigError: the address or the access key cannot be one.
        """
        if not _ACCESS_KEY.fullmatch(access_key):
            reason = "it holds a character that no access key has, or nothing at all"
            raise ConfigError(path="access key", reason=reason)
        self.env = env
        self.http = http
        self.coordinator = check_coordinator(coordinator)
        self.access_key = access_key
        self._login = login

    async def account(self) -> wire.Account:
        account = await self.read(await self._call("GET", "/account", brief=True), wire.Account)
        self._login = account.login
        return account

    async def login(self) -> str:
        """Whose paths these are: asked once of the coordinator, if it was not given."""
        if self._login is None:
            return (await self.account()).login
        return self._login

    async def new_key(self, label: str) -> wire.MadeKey:
        body = BytesBody(wire.encode(wire.NewKey(label=label)))
        headers = Headers({"Content-Type": JSON})
        answer = await self._call("POST", "/account/keys", headers=headers, body=body)
        return await self.read(answer, wire.MadeKey)

    async def delete_key(self, key_id: str) -> None:
        path = Key.of(["account", "keys", key_id]).to_path()
        await (await self._call("DELETE", path)).body.aclose()

    async def delete(self, key: Key) -> None:
        await (await self.call("DELETE", key)).body.aclose()

    async def list(
        self, key: Key, *, depth: str = "1", after: str | None = None
    ) -> AsyncGenerator[wire.ListLine, None]:
        """The members of a collection, in bytewise order, however many.

        :raises BadAnswer: it is no listing, or ended early. :raises ConnectionLost: it was cut.
        """
        query = {"depth": depth} | ({"after": after} if after is not None else {})
        headers = Headers({"Accept": NDJSON})
        answer = await self.call("GET", Key(key.names, True), query, headers=headers)
        async with aclosing(self.lines(answer.body)) as lines:
            async for line in lines:
                yield line

    def lines(self, body: Body) -> AsyncGenerator[wire.ListLine, None]:
        """Read the listing in the body of an answer. :raises BadAnswer: as `list`."""
        return self.records(body, wire.ListLine)

    async def records(self, body: Body, shape: type[T]) -> AsyncGenerator[T, None]:
        """Read an answer with a line of JSON for each thing. :raises BadAnswer: as `list`."""
        try:
            async for line in _lines(body):
                if line.startswith(b'{"end"'):
                    end = self._decode(line, wire.ListEnd)
                    if end.next is not None:
                        raise BadAnswer(peer=self.coordinator, reason="the listing stops early")
                    return
                yield self._decode(line, shape)
            raise BadAnswer(peer=self.coordinator, reason="the listing was cut; try again")
        except BodyAborted:
            raise self._lost() from None
        finally:
            await body.aclose()

    async def line(self, answer: Response) -> wire.ListLine:
        """The one line of a listing of depth 0. :raises BadAnswer: as `list`."""
        data = await self._whole(answer, MAX_LINE_BYTES)
        first, _, rest = data.partition(b"\n")
        if not rest.startswith(b'{"end"'):
            raise BadAnswer(peer=self.coordinator, reason="the listing was cut; try again")
        return self._decode(first, wire.ListLine)

    async def call(
        self,
        method: str,
        key: Key,
        query: dict[str, str] | None = None,
        *,
        headers: Headers | None = None,
        body: Body | None = None,
        brief: bool = False,
    ) -> Response:
        """A request for an object or collection: an answer below 300.

        :param brief: it may be sent twice, and its answer is small.
        :raises Refused: any other answer. :raises NoAnswer: see `Sender`.
        """
        path = f"/{wire.API}/{await self.login()}{key.to_path()}"
        if query:
            path += "?" + urlencode(query)
        return await self._call(method, path, headers=headers, body=body, brief=brief)

    async def _call(
        self,
        method: str,
        path: str,
        *,
        headers: Headers | None = None,
        body: Body | None = None,
        brief: bool = False,
    ) -> Response:
        headers = Headers() if headers is None else headers
        headers["Authorization"] = f"Bearer {self.access_key}"
        url = self.coordinator + path
        if brief and body is None:
            body = BytesBody()
        answer = await self.http.request(method, url, headers=headers, body=body, repeatable=brief)
        if answer.status >= 300:
            raise await refusal(answer, self.coordinator)
        return answer

    async def read(self, answer: Response, shape: type[T]) -> T:
        """The JSON of an answer. :raises BadAnswer: it is none of this shape."""
        return self._decode(await self._whole(answer, MAX_ANSWER_BYTES), shape)

    async def _whole(self, answer: Response, max_bytes: int) -> bytes:
        """:raises ConnectionLost: it was cut."""
        try:
            return await read_all(answer.body, max_bytes)
        except BodyAborted:
            raise self._lost() from None

    def _lost(self) -> ConnectionLost:
        return ConnectionLost(peer=self.coordinator, phase="receiving the answer")

    def _decode(self, data: bytes, shape: type[T]) -> T:
        try:
            return msgspec.json.decode(data, type=shape)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            reason = "is that the address of a pigpen coordinator?"
            raise BadAnswer(peer=self.coordinator, reason=reason) from None


def may_pass(error: PigpenError) -> bool:
    """Whether asking the same coordinator again, later, may help: it is away, or not ready."""
    if isinstance(error, Refused):
        status = int(str(error.facts["status"]))
        return status == 429 or status >= 500
    return isinstance(error, NoAnswer) and not isinstance(error, BadAnswer | Untrusted)


async def refusal(answer: Response, peer: str) -> Refused:
    """The error that an answer of status 300 or above means; its body is used up."""
    try:
        data = await read_all(answer.body, MAX_ANSWER_BYTES)
        problem = msgspec.json.decode(data, type=wire.Problem)
    except (BodyAborted, msgspec.MsgspecError, UnicodeDecodeError):
        message = f"{peer} answered {answer.status}, without saying why."
        problem = wire.Problem("status", message)
    retry = answer.headers.get("Retry-After", "")
    return Refused(
        message=problem.message,
        status=answer.status,
        code=problem.error,
        retry_after=int(retry) if re.fullmatch("[0-9]{1,6}", retry) else None,
        roots=tuple(problem.roots),
        allow=answer.headers.get("Allow", ""),
    )


async def _lines(body: Body) -> AsyncGenerator[bytes, None]:
    """Complete lines; a last one without its end is dropped, as it may have been cut."""
    rest = b""
    async for chunk in body:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                yield line
        if len(rest) > MAX_LINE_BYTES:
            raise BadAnswer(peer="The coordinator", reason="a line of the listing is too long")
