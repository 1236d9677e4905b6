"""The copy phase of a COPY or MOVE: values go from the source's names to the target's."""

from __future__ import annotations

from contextlib import aclosing
from typing import Final

from pigpen.errors import Forbidden, NoAnswer
from pigpen.http.key import Key
from pigpen.http.message import Headers
from pigpen.http.namespace import NOTHING, Node
from pigpen.http.namespace_rules import check_key_bytes
from pigpen.stores.sidecar.entry_rows import Entry
from pigpen.stores.sidecar.jobs import Job
from pigpen.stores.sidecar.listing import members
from pigpen.stores.sidecar.names import key_of
from pigpen.stores.sidecar.parallel import in_parallel
from pigpen.stores.sidecar.tree import Tree, grown_time

#: values one COPY or MOVE handles at most
MAX_COPIED: Final = 100_000
#: fields that belong to a version; a store that knows its digest checks the copy by it
_KEPT: Final = (
    "Content-Type",
    "Content-Encoding",
    "Content-Language",
    "Content-Disposition",
    "Repr-Digest",
)


class CopyPhase:
    """One run of a job's copy phase; repeating it does no harm while the source is whole.

    ``touched``: something of what was there before may have been changed.
    """

    def __init__(self, tree: Tree, job: Job) -> None:
        self.touched = False
        self._tree = tree
        self._job = job

    async def run(self) -> list[Entry]:
        """:return: what is to be known of the copies.

        :raises Forbidden: too many values, or a key would be too long.
        """
        job = self._job
        wanted = await self._objects(job.source, deep=job.deep, target=job.target)
        there = await self._objects(job.replaced, deep=True) if job.replaced else {}
        stale = [name for name in there if name not in wanted]
        other_kind = bool(job.replaced) and job.replaced != job.target
        if other_kind:  # a store may not have both under one name
            stale = list(there)
            await self._erase(stale)
        entries = []

        async def copy(name: str) -> None:
            before = None if other_kind else there.get(name)
            entry = await self._copy(wanted[name], job.target + name, before)
            if entry is not None:
                entries.append(entry)

        await in_parallel(copy, wanted)
        if not other_kind:
            await self._erase(stale)
        return entries

    async def _objects(self, name: str, *, deep: bool, target: str = "") -> dict[str, Node]:
        """The objects under a name, by what follows it. :param target: where they go."""
        key, finder = key_of(name), self._tree.finder
        if not key.collection:
            node = await finder.find(key)
            return {} if node is None or node.is_collection else {"": node}
        found: dict[str, Node] = {}
        if not deep:
            return found
        listing = members(finder, key, deep=True, want=NOTHING, after="")
        async with aclosing(listing) as nodes:
            async for node in nodes:
                rest = str(Key(node.key.names[len(key.names) :], node.is_collection))
                check_key_bytes(len((target + rest).encode()) - 1)  # a name begins with a slash
                if node.is_collection:
                    continue
                if len(found) == MAX_COPIED:
                    reason = f"one COPY or MOVE handles at most {MAX_COPIED} objects; take parts"
                    raise Forbidden(reason=reason)
                found[rest] = node
        return found

    async def _erase(self, names: list[str]) -> None:
        self.touched = self.touched or bool(names)
        keys = [key_of(self._job.replaced + name) for name in names]
        await in_parallel(self._tree.values.delete, keys)

    async def _copy(self, node: Node, name: str, before: Node | None) -> Entry | None:
        """:return: None: another writer has removed it."""
        response = await self._tree.values.open(node.key)
        if response is None:
            return None
        headers = Headers(
            {name: response.headers[name] for name in _KEPT if name in response.headers}
        )
        try:
            etag = await self._tree.values.put(key_of(name), response.body, headers)
        except NoAnswer:
            self.touched = True
            raise
        finally:
            await response.body.aclose()
        self.touched = True
        return self._entry(node, name, etag, before)

    def _entry(self, node: Node, name: str, etag: str, before: Node | None) -> Entry:
        now = self._tree.now
        if not self._job.moves:
            created = now if before is None or before.created is None else before.created
            return Entry(name, etag, created, *grown_time(now, before))
        same = node.same_second
        if before is not None:
            same = same or before.modified // 1000 == node.modified // 1000
        created = now if node.created is None else node.created
        return Entry(name, etag, created, node.modified, same)
