"""The command ``pigpen``: reads what was typed, runs it, and ends with one sentence at most."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, TextIO

from twisted.python import usage

from pigpen import tap
from pigpen.command_options import CommandOptions, translated
from pigpen.config import exposure
from pigpen.errors import BadKey, ConfigError, OutcomeUnknown, PigpenError
from pigpen.service_options import Misused, ServiceOptions, load_user, user_path

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from pigpen.client.session import Session
    from pigpen.env import Env

OK = 0
FAILED = 1
USAGE = 2
UNKNOWN = 3
#: what a shell shows for a program whose reader went away
PIPE_CLOSED = 141

REPORT = "https://github.com/pigpen/pigpen/issues"


def main() -> None:
    """What the console script runs."""
    from pigpen.client.console import complain

    try:
        status = run(sys.argv[1:])
    except Exception as error:  # the last frame: whatever it is, one sentence
        if "PIGPEN_DEBUG" in os.environ:
            raise
        complain(_unexpected(error))
        status = FAILED
    _leave(status)


def run(arguments: list[str]) -> int:
    """Do what was typed. :return: the status to end with."""
    from pigpen.client.console import complain, hide_key

    hide_key(arguments, _set_title)
    options = CommandOptions()
    try:
        options.parseOptions(translated(arguments))
    except usage.UsageError as error:
        command = options.subCommand or ""
        complain(f"{command + ': ' if command else ''}{error}")
        if isinstance(error, Misused):
            complain(options.hint(), who="")
        return USAGE
    chosen: Any = options.subOptions
    if isinstance(chosen, ServiceOptions) and not getattr(chosen, "task", None):
        return run_service(chosen)
    return run_command(options.subCommand or "", chosen)


def _set_title(title: str) -> None:
    from setproctitle import setproctitle

    setproctitle(title)


def _leave(status: int) -> None:
    """End now: a thread may wait for a pipe for ever, and nothing is left to be done."""
    from pigpen.client.console import complain, flush

    try:
        flush()
    except BrokenPipeError:
        status = PIPE_CLOSED
    except PigpenError as error:
        if status == OK:
            complain(error.message)
            status = FAILED
    os._exit(status)


# -- commands -------------------------------------------------------------------------------------


def run_command(name: str, options: Any) -> int:
    """Run one command on a reactor of its own. :return: the status to end with."""
    from twisted.internet import reactor as any_reactor
    from twisted.internet.defer import Deferred

    from pigpen.system import SystemEnv

    reactor: Any = any_reactor
    _log_only_for_debugging()
    env = SystemEnv(reactor)
    status: list[int] = []
    stopped: list[int] = []
    go: Deferred[None] = Deferred()

    async def run() -> None:
        await go
        try:
            await COMMANDS[name](env, options)
        finally:
            reactor.callLater(0, reactor.stop)

    command = Deferred.fromCoroutine(run())
    _ = command.addCallbacks(
        lambda _: status.append(OK), lambda failure: status.append(judge(failure, stopped))
    )
    _on_signals(lambda: reactor.callFromThread(command.cancel), stopped)
    reactor.callWhenRunning(go.callback, None)
    reactor.run(installSignalHandlers=False)
    return status[0]


def _on_signals(cancel: Callable[[], None], stopped: list[int]) -> None:
    """Ctrl-C cancels, so that what was begun is tidied away; twice, and it ends at once."""

    def handle(number: int, _: object) -> None:
        if stopped:
            os._exit(128 + number)
        stopped.append(number)
        cancel()

    for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        signal.signal(number, handle)


def judge(failure: Failure, stopped: list[int]) -> int:
    """The status for an error, which is told to the user."""
    from pigpen.client.console import complain

    error = failure.value
    if stopped:
        complain("interrupted")
        return 128 + stopped[0]
    if isinstance(error, BrokenPipeError):
        return PIPE_CLOSED
    if "PIGPEN_DEBUG" in os.environ:
        failure.printTraceback(sys.stderr)
    if isinstance(error, PigpenError):
        complain(error.message)
        if isinstance(error, OutcomeUnknown):
            return UNKNOWN
        return USAGE if isinstance(error, ConfigError | BadKey) else FAILED
    complain(_unexpected(error))
    return FAILED


def _unexpected(error: BaseException | None) -> str:
    name = type(error).__name__
    return (
        f"this should not happen ({name}); set PIGPEN_DEBUG=1 to see more, and report it: {REPORT}"
    )


def _log_only_for_debugging() -> None:
    from twisted.logger import globalLogBeginner, textFileLogObserver

    debug = "PIGPEN_DEBUG" in os.environ
    observers = [textFileLogObserver(sys.stderr)] if debug else []
    globalLogBeginner.beginLoggingTo(observers, redirectStandardIO=False)


async def _with_session(
    env: Env, options: Any, work: Callable[[Session], Coroutine[Any, Any, None]]
) -> None:
    from pigpen.client.session import Session
    from pigpen.web.client import HttpClient

    client = HttpClient(env)
    try:
        coordinator, access_key, login = _who(options)
        await work(Session(env, client, coordinator, access_key, login))
    finally:
        await client.close()


def _who(options: Any) -> tuple[str, str, str | None]:
    """Coordinator, access key and login: of the command line, else of ~/.pigpen."""
    from pigpen.client.console import complain

    path = options["config"] or user_path(os.environ)
    user, warnings = load_user(os.environ, options["config"])
    key = options["access-key"]
    if key is None:
        for warning in warnings:
            complain(f"warning: {path} holds an access key, but {warning}")
        key = user.accesskey
    if key is None:
        reason = "no access key: pass -k KEY, or write 'accesskey: KEY' there"
        raise ConfigError(path=path, reason=reason)
    coordinator = options["coordinator"] or user.coordinator
    exposed = exposure(coordinator)
    if exposed is not None and not (options["insecure"] or user.insecure):
        complain(f"warning: {exposed}")
    return coordinator, key, user.login


def _bar_stream(options: Any, stream: TextIO | None) -> TextIO | None:
    """Where a progress bar goes: not where a person types or reads what is stored."""
    if options["file"] == "-" and stream is not None and stream.isatty():
        return None
    return sys.stderr


async def _put(env: Env, options: Any) -> None:
    from pigpen.client import commands, console
    from pigpen.client.progress import ProgressBar
    from pigpen.http.key import Key
    from pigpen.http.message import Headers

    key = Key.from_text(options["key"])
    if key.collection and options["file"] != "-":
        key = key.child(os.path.basename(options["file"]))
    headers = Headers()
    if options["type"] is not None:
        headers["Content-Type"] = options["type"]
    if options["new"]:
        headers["If-None-Match"] = "*"
    data = await env.in_thread(console.open_input, env, options["file"])
    bar = ProgressBar(_bar_stream(options, sys.stdin), str(key), env.clock)
    await _with_session(
        env, options, lambda session: commands.put(session, key, data, bar, headers)
    )


async def _get(env: Env, options: Any) -> None:
    from pigpen.client import commands, console
    from pigpen.client.progress import ProgressBar
    from pigpen.http.key import Key

    key = Key.from_text(options["key"])
    output = await env.in_thread(console.open_output, env, options["file"], key.name)
    bar = ProgressBar(_bar_stream(options, sys.stdout), str(key), env.clock)
    await _with_session(env, options, lambda session: commands.get(session, key, output, bar))


async def _ls(env: Env, options: Any) -> None:
    from pigpen.client import commands, console

    key = _collection_or_key(options["key"])
    long, recursive = bool(options["long"]), bool(options["recursive"])
    await _with_session(
        env,
        options,
        lambda session: commands.show_list(
            session, key, console.show, long=long, recursive=recursive
        ),
    )


async def _rm(env: Env, options: Any) -> None:
    from pigpen.client import commands

    key = _collection_or_key(options["key"])
    recursive = bool(options["recursive"])
    await _with_session(
        env, options, lambda session: commands.remove(session, key, recursive=recursive)
    )


async def _account(env: Env, options: Any) -> None:
    from pigpen.client import commands, console

    async def work(session: Session) -> None:
        if options["delete-key"] is not None:
            await session.delete_key(options["delete-key"])
        if options["new-key"] is not None:
            console.show((await session.new_key(options["new-key"])).key)
        elif options["delete-key"] is None:
            await commands.show_account(session, console.show)

    await _with_session(env, options, work)


async def _locks(env: Env, options: Any) -> None:
    from pigpen.client import console, lock_commands

    async def work(session: Session) -> None:
        if options["break"] is not None:
            await lock_commands.break_lock(session, options["break"])
        else:
            await lock_commands.show_locks(session, console.show)

    await _with_session(env, options, work)


async def _coordinator(env: Env, options: Any) -> None:
    from pigpen.client import console
    from pigpen.coordinator.operator import Operator

    tap.keep_private()
    operator = Operator(env, os.path.abspath(options.config.folder), options.config.catalog)
    task, login = options.task, options[options.task]
    if task == "make-account":
        console.show(await operator.make_account(login, options.quota()))
    elif task == "add-key":
        console.show(await operator.add_key(login, "operator"))
    elif task == "set-quota":
        await operator.set_quota(login, options.quota())
    else:
        await operator.set_state(login, active=task == "resume")


def _collection_or_key(text: str) -> Any:
    from pigpen.http.key import Key

    return Key((), True) if text in {"", "/", "."} else Key.from_text(text)


COMMANDS: dict[str, Callable[[Env, Any], Coroutine[Any, Any, None]]] = {
    "put": _put,
    "get": _get,
    "ls": _ls,
    "rm": _rm,
    "account": _account,
    "locks": _locks,
    "coordinator": _coordinator,
}


# -- services -------------------------------------------------------------------------------------


def _log_to_stderr(section: str) -> None:
    """What an operator reads. Solo is for a person, whom a banner tells how it is."""
    from twisted.logger import FileLogObserver, globalLogBeginner, textFileLogObserver

    from pigpen.client.console import log_line

    observer: Any = FileLogObserver(sys.stderr, partial(log_line, quiet=section == "solo"))
    if "PIGPEN_DEBUG" in os.environ:
        observer = textFileLogObserver(sys.stderr)
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)


def run_service(options: Any) -> int:
    """Run a service until a signal comes. :return: the status to end with."""
    from twisted.internet import reactor as any_reactor

    from pigpen.client.console import announce, complain
    from pigpen.system import SystemEnv, settle_memory

    reactor: Any = any_reactor
    _log_to_stderr(options.section)
    tap.keep_private()
    errors: list[PigpenError] = []

    def fatal(error: PigpenError) -> None:
        errors.append(error)
        if len(errors) == 1:  # a reactor can be stopped once
            reactor.callWhenRunning(lambda: reactor.running and reactor.stop())

    try:
        service = tap.make(SystemEnv(reactor), options, fatal, announce)
    except PigpenError as error:
        complain(error.message)
        return USAGE
    try:
        service.privilegedStartService()
        service.startService()
    except PigpenError as error:  # the port is taken
        complain(error.message)
        return FAILED
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    settle_memory()
    reactor.run()
    if errors:
        complain(errors[0].message)
        return FAILED
    return OK


if __name__ == "__main__":
    main()
