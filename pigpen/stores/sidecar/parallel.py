"""Many requests to a store in parallel, a few at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred, DeferredList

T = TypeVar("T")

#: requests at a time: enough to hide the way to a store far off
WIDTH: Final = 8


async def in_parallel(work: Callable[[T], Awaitable[object]], items: Iterable[T]) -> None:
    """Do this with each item. After a failure no more are begun, and when those under way have
    ended, which may have changed something, the failure is raised."""
    waiting = iter(items)
    failed = False

    async def go_on() -> None:
        nonlocal failed
        for item in waiting:
            done = False
            try:
                await work(item)
                done = True
            finally:
                failed = failed or not done
            if failed:
                return

    running: list[Deferred[Any]] = [Deferred.fromCoroutine(go_on()) for _ in range(WIDTH)]
    for success, result in await DeferredList(running, consumeErrors=True):
        if not success:
            result.raiseException()
