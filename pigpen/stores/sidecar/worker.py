"""Worker: what a job does to the store and the records, in steps that are safe to repeat."""

from __future__ import annotations

from contextlib import aclosing
from typing import Final

from twisted.logger import Logger

from pigpen.database.transaction import Transaction
from pigpen.errors import PigpenError
from pigpen.http.key import Key
from pigpen.stores.sidecar import entry_rows, jobs, lock_rows
from pigpen.stores.sidecar.copy_phase import CopyPhase
from pigpen.stores.sidecar.entry_rows import Entry
from pigpen.stores.sidecar.jobs import Job, Phase
from pigpen.stores.sidecar.names import key_of, parent_of, place_of
from pigpen.stores.sidecar.parallel import in_parallel
from pigpen.stores.sidecar.tree import Tree

#: names read before they are erased
PAGE: Final = 1000


class Worker:
    """Works jobs to their end, one step after the other. The claims are the caller's."""

    log = Logger()

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._jobs = tree.jobs

    async def work(self, job: Job) -> None:
        """Begin a job. When this returns its outcome is settled and durable.

        :raises PigpenError: the store refused or failed; all is as before, or, where something was
            being written over, the job is left for `settle`.
        """
        self._jobs.running.add(job.id)
        try:
            await self._set(job)
            await self._go_on(job)
        finally:
            self._jobs.running.discard(job.id)

    async def settle(self) -> None:
        """Finish or undo what stopped half way; what still cannot be is left."""
        for job in self._jobs.left():
            async with self._tree.claims.hold(job.keys):
                if job in self._jobs.left():
                    await self._settle(job)

    async def _settle(self, job: Job) -> None:
        self._jobs.running.add(job.id)
        try:
            if job.phase is Phase.COPY and not job.replaced:
                job = await self._set(_undone(job))
            await self._go_on(job)
        except PigpenError as error:
            self.log.error("a change is not finished yet: {error}", error=error)
        finally:
            self._jobs.running.discard(job.id)

    async def _set(self, job: Job) -> Job:
        await self._tree.records.write(jobs.put, job)
        self._jobs.set(job)
        return job

    async def _drop(self, job: Job) -> None:
        await self._tree.records.write(jobs.drop, job)
        self._jobs.drop(job)

    async def _go_on(self, job: Job) -> None:
        if job.phase is Phase.COPY:
            await self._copy(job)
        else:
            await self._erase(job)

    # -- copying ----------------------------------------------------------------------------------

    async def _copy(self, job: Job) -> None:
        copying = CopyPhase(self._tree, job)
        try:
            entries = await copying.run()
            following = await self._tree.records.write(_switch, job, entries)
        except PigpenError:
            await self._give_up(job, touched=copying.touched)
            raise
        if following is None:
            self._jobs.drop(job)
        else:
            self._jobs.set(following)
            await self._erase(following)

    async def _give_up(self, job: Job, *, touched: bool) -> None:
        if not job.replaced:
            await self._erase(await self._set(_undone(job)))
        elif not touched:
            await self._drop(job)

    # -- erasing ----------------------------------------------------------------------------------

    async def _erase(self, job: Job) -> None:
        """Nobody sees the values any more; if the store does not answer they go later.

        :raises PigpenError: the store refuses to delete: what is left of them is seen again.
        """
        try:
            await self._erase_values(key_of(job.source))
        except PigpenError as error:
            if error.status < 500:
                await self._drop(job)
                raise
            self.log.error("a removal is not finished yet: {error}", error=error)
            return
        await self._tree.records.write(_erased, job)
        self._jobs.drop(job)

    async def _erase_values(self, key: Key) -> None:
        if not key.collection:
            await self._tree.values.delete(key)
            return
        before: list[str] = []
        # a store that still lists what it has deleted is not asked for ever
        while (names := await self._page(key)) and names != before:
            keys = [Key((*key.names, *name.split("/"))) for name in names]
            await in_parallel(self._tree.values.delete, keys)
            before = names

    async def _page(self, collection: Key) -> list[str]:
        names: list[str] = []
        async with aclosing(self._tree.values.lines(collection, deep=True)) as lines:
            async for line in lines:
                if line.type == "object":
                    names.append(line.name)
                if len(names) == PAGE:
                    break
        return names


def _undone(job: Job) -> Job:
    """What removes a new destination again."""
    return Job(job.id, Phase.ERASE, job.target)


# -- rules ----------------------------------------------------------------------------------------


def _switch(tx: Transaction, job: Job, entries: list[Entry]) -> Job | None:
    """All values are copied: from now on the target is what the source was.

    :return: what is left to do.
    """
    source, target = job.source, job.target
    place = place_of(key_of(target))
    entry_rows.forget(tx, job.replaced or target)
    lock_rows.end_all(tx, place, keep=True)
    lock_rows.set_kind(tx, place, collection=target.endswith("/"))
    if target.endswith("/"):
        entry_rows.copy_collections(tx, source, target, deep=job.deep, same_times=job.moves)
    for entry in entries:
        entry_rows.put(tx, entry)
        entry_rows.keep_collections(tx, parent_of(entry.name))
    entry_rows.copy_properties(tx, source, target, deep=job.deep)
    entry_rows.touch(tx, parent_of(target))
    if not job.moves:
        jobs.drop(tx, job)
        return None
    following = Job(job.id, Phase.ERASE, source)
    jobs.put(tx, following)
    return following


def _erased(tx: Transaction, job: Job) -> None:
    entry_rows.forget(tx, job.source)
    lock_rows.end_all(tx, place_of(key_of(job.source)))
    entry_rows.touch(tx, parent_of(job.source))
    jobs.drop(tx, job)
