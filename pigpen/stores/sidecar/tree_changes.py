"""DELETE, COPY, MOVE: judged, made a job, and worked on to its end whoever leaves meanwhile."""

from __future__ import annotations

from dataclasses import dataclass

from pigpen.errors import Forbidden, PreconditionFailed
from pigpen.http.key import Key
from pigpen.http.namespace import Node, When
from pigpen.stores.sidecar import preconditions
from pigpen.stores.sidecar.finder import Finder
from pigpen.stores.sidecar.jobs import Job, Phase
from pigpen.stores.sidecar.names import name_of
from pigpen.stores.sidecar.tree import Tree, existing_parent, name_at
from pigpen.stores.sidecar.worker import Worker


async def delete(tree: Tree, worker: Worker, key: Key, when: When) -> None:
    """The whole of `Namespace.delete`."""
    finder = tree.finder
    async with tree.changing([key, *preconditions.tagged_keys(when)]):
        node = await finder.get(key, loose=when.loose)
        if node.key.is_root:
            raise Forbidden(reason="the root cannot be deleted")
        preconditions.check_node(when, "DELETE", node)
        await preconditions.check_if(finder, key, when)
        await preconditions.check_locks(finder, when, [node.key, node.key.parent], [node.key])
        await worker.work(Job(_number(tree), Phase.ERASE, name_of(node.key)))


async def copy(
    tree: Tree, worker: Worker, source: Key, target: Key, *, deep: bool, overwrite: bool, when: When
) -> bool:
    """The whole of `Namespace.copy`."""
    finder = tree.finder
    async with tree.changing([source, target, *preconditions.tagged_keys(when)]):
        plan = await _plan(finder, source, target, overwrite, when)
        if deep and plan.source.key.contains(plan.parent):
            raise Forbidden(reason="a collection cannot be copied into itself")
        replaced = [] if plan.replaced is None else [plan.replaced]
        await preconditions.check_if(finder, source, when)
        await preconditions.check_locks(finder, when, [plan.parent, *replaced], replaced)
        await worker.work(plan.job(_number(tree), deep=deep, moves=False))
    return plan.replaced is None


async def move(
    tree: Tree, worker: Worker, source: Key, target: Key, *, overwrite: bool, when: When
) -> bool:
    """The whole of `Namespace.move`."""
    finder = tree.finder
    async with tree.changing([source, target, *preconditions.tagged_keys(when)]):
        plan = await _plan(finder, source, target, overwrite, when)
        if plan.source.key.is_root or plan.source.key.contains(plan.parent):
            raise Forbidden(reason="a collection cannot be moved into itself")
        node = plan.source.key
        replaced = [] if plan.replaced is None else [plan.replaced]
        changed = [node, node.parent, plan.parent, *replaced]
        await preconditions.check_if(finder, source, when)
        await preconditions.check_locks(finder, when, changed, [node, *replaced])
        await worker.work(plan.job(_number(tree), deep=True, moves=True))
    return plan.replaced is None


@dataclass(frozen=True, slots=True)
class _Plan:
    """What MOVE and COPY have in common. ``target`` in its stored spelling."""

    source: Node
    target: Key
    parent: Key
    replaced: Key | None

    def job(self, number: int, *, deep: bool, moves: bool) -> Job:
        return Job(
            number,
            Phase.COPY,
            name_of(self.source.key),
            name_of(self.target),
            deep,
            moves,
            "" if self.replaced is None else name_of(self.replaced),
        )


async def _plan(finder: Finder, source: Key, target: Key, overwrite: bool, when: When) -> _Plan:
    node = await finder.get(source, loose=when.loose)
    if target.is_root:
        raise Forbidden(reason="the root cannot be replaced")
    parent = await existing_parent(finder, target, when)
    replaced = await finder.member(parent.key, target.name, loose=when.loose)
    if replaced is not None:
        if replaced.key.names == node.key.names:
            raise Forbidden(reason="source and destination are the same")
        if replaced.key.contains(node.key):
            raise Forbidden(reason="the destination holds the source")
    preconditions.check_node(when, "MOVE", node)
    if replaced is not None and not overwrite:
        raise PreconditionFailed
    names = (*parent.key.names, name_at(replaced, target))
    return _Plan(
        node,
        Key(names, node.is_collection),
        parent.key,
        None if replaced is None else replaced.key,
    )


def _number(tree: Tree) -> int:
    return tree.env.random.getrandbits(62)
