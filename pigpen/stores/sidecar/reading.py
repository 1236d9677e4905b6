"""Reading: one version of a value, held open."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from pigpen.http.body import Body, BytesBody, StreamBody
from pigpen.http.message import Response
from pigpen.http.namespace import Node, Reading
from pigpen.stores.sidecar.values import Values


class ValueReading:
    """The whole value is asked for at once: whatever is written meanwhile, it stays this version.

    A part comes by a request of its own if the store still has the version, else out of the whole.
    """

    locations: tuple[str, ...] = ()

    def __init__(self, values: Values, node: Node, response: Response) -> None:
        self.node = node
        self._values = values
        self._response = response

    async def body(self, offset: int, length: int) -> Body:
        if offset == 0 and length == self.node.length:
            return self._response.body
        if length == 0:
            await self.close()
            return BytesBody()
        assert self.node.etag is not None
        try:
            part = await self._values.open_part(self.node.key, self.node.etag, offset, length)
        except BaseException:
            await self.close()
            raise
        if part is None:
            return StreamBody(_cut(self._response.body, offset, length), length)
        await self.close()
        return part

    async def close(self) -> None:
        await self._response.body.aclose()


async def _cut(body: Body, offset: int, length: int) -> AsyncGenerator[bytes, None]:
    end = offset + length
    position = 0
    async with aclosing(body):
        async for chunk in body:
            part = chunk[max(0, offset - position) : max(0, end - position)]
            position += len(chunk)
            if part:
                yield part
            if position >= end:
                return


_is_reading: type[Reading] = ValueReading
