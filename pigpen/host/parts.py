"""Parts: bodies that were cut, kept for a day so that their senders can go on (CLD-37)."""

from __future__ import annotations

from collections.abc import Callable

from pigpen.env import Env
from pigpen.host.batches import Batches
from pigpen.host.folder import PART_SECONDS, Folder, FoundPart
from pigpen.host.space import Room
from pigpen.host.tasks import Tasks
from pigpen.host.writer import BlobWriter, Pending, WriterTools


class Parts:
    """The writers that wait, by blob. Their bytes count as used."""

    def __init__(
        self,
        env: Env,
        folder: Folder,
        room: Room,
        tasks: Tasks,
        on_error: Callable[[BaseException], None],
    ) -> None:
        self._env = env
        self.batches = Batches(env, folder)
        self._room = room
        self._tasks = tasks
        self.on_error = on_error
        self._tools = WriterTools(env, folder, self.batches, on_error, Pending())
        self._waiting: dict[str, tuple[float, BlobWriter]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def new(self, blob: str) -> BlobWriter:
        return BlobWriter(self._tools, blob)

    def restore(self, found: list[FoundPart]) -> None:
        """Take over what an earlier process left."""
        now = self._env.clock.seconds()
        for part in found:
            writer = self.new(part.blob)
            writer.restore(part.offset)
            self._room.used += part.offset
            self._waiting[part.blob] = (now + PART_SECONDS - part.age, writer)

    def offset(self, blob: str) -> int:
        """How many bytes of a blob wait here."""
        waiting = self._waiting.get(blob)
        return waiting[1].offset if waiting else 0

    def take(self, blob: str) -> BlobWriter | None:
        """Go on with a part; hand it back by `keep` or end it."""
        waiting = self._waiting.pop(blob, None)
        return waiting[1] if waiting else None

    def keep(self, writer: BlobWriter) -> None:
        expires = self._env.clock.seconds() + PART_SECONDS
        self._waiting[writer.blob] = (expires, writer)

    async def discard(self, writer: BlobWriter) -> None:
        """Remove a part; its room is free when its file is gone."""
        try:
            await self._tasks.own(writer.drop())
        finally:
            self._room.wrote(-writer.offset)

    @property
    def expired(self) -> list[str]:
        """Those that have waited long enough."""
        now = self._env.clock.seconds()
        return [blob for blob, (expires, _) in self._waiting.items() if expires <= now]
