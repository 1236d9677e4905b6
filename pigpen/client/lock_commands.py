"""What ``pigpen locks`` does: show all locks of an account, and break one (DAV-46)."""

from __future__ import annotations

from contextlib import aclosing
from datetime import datetime
from urllib.parse import unquote

from pigpen.client.commands import Printer
from pigpen.client.session import Session
from pigpen.errors import BadAnswer, BadKey, KeyTooLong
from pigpen.http.key import Key
from pigpen.http.wire import LockInfo

_ROOT = Key((), True)


async def show_locks(session: Session, show: Printer) -> None:
    """A line each, by key."""
    answer = await session.call("GET", _ROOT, {"locks": ""})
    async with aclosing(session.records(answer.body, LockInfo)) as locks:
        found = [(_key(lock), lock) async for lock in locks]
    for key, lock in sorted(found, key=lambda one: (one[0], one[1].token)):
        show(describe(key, lock))


async def break_lock(session: Session, token: str) -> None:
    """:raises Refused: there is no such lock."""
    answer = await session.call("DELETE", _ROOT, {"locks": token.strip("<>")})
    await answer.body.aclose()


def describe(key: Key, lock: LockInfo) -> str:
    """A lock in a line for a person: its token, until when, of whom, how, on what."""
    until = f"{datetime.fromtimestamp(lock.expires / 1000):%Y-%m-%d %H:%M}"
    kind = "exclusive" if lock.exclusive else "shared"
    name = "/" if key.is_root else str(key)
    below = " and all below" if lock.infinite and key.collection else ""
    user = unquote(lock.principal) or "-"
    return f"{lock.token}  until {until}  {user}  {kind}  {name}{below}"


def _key(lock: LockInfo) -> Key:
    try:
        return Key.from_path(lock.root).below(2)
    except (BadKey, KeyTooLong):
        raise BadAnswer(peer="The coordinator", reason="a lock has no place") from None
