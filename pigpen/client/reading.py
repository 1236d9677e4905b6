"""RemoteReading: one version, out of the coordinator's answer or from hosts."""

from __future__ import annotations

from pigpen.client.calls import Calls
from pigpen.client.download import Download
from pigpen.client.nodes import offered_node
from pigpen.http.body import Body, BytesBody
from pigpen.http.namespace import Node, Reading
from pigpen.http.ranges import ByteRange


class RemoteReading:
    """A version that can be read."""

    def __init__(self, calls: Calls, download: Download) -> None:
        self._calls = calls
        self._download = download
        self._node = offered_node(download.place, download.offer)

    @property
    def node(self) -> Node:
        return self._node

    @property
    def locations(self) -> tuple[str, ...]:
        # a host with a pin has a certificate that only we believe
        return tuple(one.url for one in self._download.sources if one.pin is None)

    async def body(self, offset: int, length: int) -> Body:
        if length == 0:
            return BytesBody()
        if length == self._node.length:
            return await self._calls.run(self._download.begun())
        part = ByteRange(offset, offset + length - 1)
        return await self._calls.run(self._download.begun(part))

    async def close(self) -> None:
        return None


_is_reading: type[Reading] = RemoteReading
