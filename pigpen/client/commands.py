"""What put, get, ls, rm and account do, apart from where bytes and text come from and go to."""

from __future__ import annotations

from contextlib import aclosing, suppress
from datetime import datetime
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred, TimeoutError

from pigpen.client.download import open_download
from pigpen.client.inputs import Input
from pigpen.client.session import Session
from pigpen.client.upload import Upload
from pigpen.config import format_size
from pigpen.errors import NoAnswer, Refused
from pigpen.http.answers import NDJSON
from pigpen.http.body import Body
from pigpen.http.fields import parse_date
from pigpen.http.key import Key
from pigpen.http.message import Headers
from pigpen.http.wire import Account, ListLine
from pigpen.web.give_up import GIVE_UP_SECONDS


class Bar(Protocol):
    """A progress bar; see `client.progress`."""

    def start(self, total: int | None) -> None: ...

    def show(self, done: int) -> None: ...

    def stop(self) -> None: ...


class Output(Protocol):
    """Where a download goes: a file or a pipe."""

    async def take(self, body: Body) -> None: ...


class Printer(Protocol):
    """Standard output, a line at a time."""

    def __call__(self, line: str) -> None: ...


async def put(session: Session, key: Key, data: Input, bar: Bar, headers: Headers) -> None:
    bar.start(data.length)
    upload = Upload(session, key, data, headers, bar.show)
    try:
        await upload.run()
    except CancelledError:
        if upload.begun and not upload.resumable:
            await _give_up(session, upload)
        raise
    finally:
        bar.stop()


async def _give_up(session: Session, upload: Upload) -> None:
    """Nobody will go on with it; who does not answer soon forgets it in a day."""
    giving_up = Deferred.fromCoroutine(upload.give_up())
    with suppress(NoAnswer, Refused, TimeoutError):
        await giving_up.addTimeout(GIVE_UP_SECONDS, session.env.clock)


async def get(session: Session, key: Key, output: Output, bar: Bar) -> None:
    download = await open_download(session, key)
    bar.start(download.offer.length)
    try:
        await output.take(download.body(on_bytes=bar.show))
    finally:
        bar.stop()


async def remove(session: Session, key: Key, *, recursive: bool) -> None:
    """:raises Refused: there is nothing, or it is a collection and `recursive` is not set."""
    if not recursive:
        answer = await session.call("HEAD", key, {"redirect": "false"})
        await answer.body.aclose()
        if key.collection or answer.headers.get("Content-Type", "").startswith(NDJSON):
            message = f"{key} is a collection; `pigpen rm -r {key}` removes it with all in it."
            raise Refused(message=message, status=409, code="collection")
    await session.delete(key)


async def show_list(
    session: Session, key: Key, show: Printer, *, long: bool, recursive: bool
) -> None:
    """Print the members of a collection, or the one object of that name."""
    depth = "infinity" if recursive else "1"
    try:
        async with aclosing(session.list(key, depth=depth)) as lines:
            async for line in lines:
                show(_long(line) if long else line.name)
    except Refused as error:
        if key.collection or error.facts["status"] not in {404, 405, 409}:
            raise
        line = await _one(session, key, error)
        show(_long(line) if long else line.name)


async def _one(session: Session, key: Key, error: Refused) -> ListLine:
    answer = await session.call("HEAD", key, {"redirect": "false"})
    await answer.body.aclose()
    if "ETag" not in answer.headers:
        raise error
    length = answer.headers.get("Content-Length", "")
    modified = parse_date(answer.headers.get("Last-Modified", "")) or 0
    return ListLine(str(key), "object", modified * 1000, int(length) if length else None)


def _long(line: ListLine) -> str:
    if line.type == "collection":
        return f"{'':>14}  {'':16}  {line.name}"
    when = f"{datetime.fromtimestamp(line.modified / 1000):%Y-%m-%d %H:%M}"
    return f"{line.length if line.length is not None else '?':>14}  {when}  {line.name}"


async def show_account(session: Session, show: Printer) -> None:
    account = await session.account()
    for line in describe(account):
        show(line)


def describe(account: Account) -> list[str]:
    """An account in lines for a person."""
    objects = "1 object" if account.objects == 1 else f"{account.objects:,} objects"
    quota = "none" if account.quota is None else format_size(account.quota)
    lines = [
        f"login     {account.login}",
        f"stored    {format_size(account.used)} in {objects}",
        f"reserved  {format_size(account.reserved)} by uploads under way",
        f"quota     {quota}",
    ]
    for key in account.keys:
        used = "never used" if key.last_used is None else f"last used {_day(key.last_used)}"
        end = "" if key.not_after is None else f", ends {_day(key.not_after)}"
        label = f"  {key.label}" if key.label else ""
        lines.append(f"key       {key.id}{label}  made {_day(key.created)}, {used}{end}")
    return lines


def _day(milliseconds: int) -> str:
    return f"{datetime.fromtimestamp(milliseconds / 1000):%Y-%m-%d}"
