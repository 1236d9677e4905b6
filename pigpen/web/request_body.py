"""RequestBody: what a client sends, as it arrives."""

from __future__ import annotations

from collections.abc import Callable

from pigpen.http.body import PushBody


class RequestBody(PushBody):
    """Fed by the channel. While `held_back` the client waits for ``100 Continue``: the first ask
    for bytes calls ``on_ask``, so refusing costs the client nothing."""

    __slots__ = ("held_back", "on_ask", "received")

    def __init__(self, length: int | None, *, window: int, held_back: bool) -> None:
        super().__init__(length, window=window)
        self.held_back = held_back
        self.on_ask: Callable[[], None] = lambda: None
        #: bytes that came, asked for or not
        self.received = 0

    @property
    def reader_waits(self) -> bool:
        """Whether someone awaits the next chunk now."""
        return self._reader is not None

    @property
    def paused(self) -> bool:
        """Whether a full window waits to be asked for."""
        return self._paused

    def push(self, chunk: bytes) -> None:
        self.held_back = False
        self.received += len(chunk)
        super().push(chunk)

    async def _wait(self) -> None:
        if self.held_back:
            self.held_back = False
            self.on_ask()
        await super()._wait()
