"""Giving up: hosts are told that the rest of an upload will not come (DELETE /x/UUID).

Only after the coordinator has ended the write: a receipt that overtakes this is refused then.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredList, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from pigpen.errors import NoAnswer
from pigpen.http.wire import Target
from pigpen.web.sender import Sender

#: whoever gives up does not wait for a host that is gone: it forgets a part in a day
GIVE_UP_SECONDS: Final = 5.0

_log = Logger()


async def give_up(client: Sender, clock: IReactorTime, targets: Iterable[Target]) -> None:
    """Tell hosts, all at once; one that does not answer, or refuses, is left alone."""
    work = [_tell(client, clock, target) for target in targets]
    telling: list[Deferred[Any]] = [Deferred.fromCoroutine(one) for one in work]
    for success, result in await DeferredList(telling, consumeErrors=True):
        if not success:  # we are cancelled
            result.raiseException()


async def _tell(client: Sender, clock: IReactorTime, target: Target) -> None:
    asking = client.request("DELETE", target.url, pin=target.pin, repeatable=True)
    try:
        answer = await Deferred.fromCoroutine(asking).addTimeout(GIVE_UP_SECONDS, clock)
    except (NoAnswer, TimeoutError) as error:
        _log.info("a host may keep a part for a day: {reason}", reason=str(error))
        return
    await answer.body.aclose()
