"""Doubles of `Sender`: what is asked, as one thing; a test says how it is answered."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from pigpen.http.body import Body, BytesBody, read_all
from pigpen.http.message import Headers, Response
from pigpen.web.sender import Sender

MAX_BYTES = 10 * 2**20


@dataclass(frozen=True, slots=True)
class Asked:
    """One request."""

    method: str
    url: str
    headers: Headers
    body: Body
    pin: str | None

    async def data(self) -> bytes:
        """The whole body."""
        return await read_all(self.body, MAX_BYTES)


class FakeSender(ABC):
    """Gives each request to `answer`; its body is closed when that has ended."""

    @abstractmethod
    async def answer(self, asked: Asked) -> Response: ...

    async def close(self) -> None:
        return None

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Headers | None = None,
        body: Body | None = None,
        pin: str | None = None,
        repeatable: bool = False,
    ) -> Response:
        asked = Asked(
            method,
            url,
            Headers() if headers is None else headers,
            BytesBody() if body is None else body,
            pin,
        )
        try:
            return await self.answer(asked)
        finally:
            await asked.body.aclose()


_is_sender: type[Sender] = FakeSender
