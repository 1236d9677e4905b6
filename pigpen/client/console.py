"""The files, pipes and terminal that a command was started with."""

from __future__ import annotations

import contextlib
import os
import re
import select
import stat
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, TextIO

from twisted.logger import LogEvent, LogLevel, eventAsText

from pigpen.client.inputs import FileInput, Input, PipeInput, ThreadBody
from pigpen.client.outputs import pour, save
from pigpen.env import Env
from pigpen.errors import FileFailed
from pigpen.http.body import Body
from pigpen.system import SystemFile

# how an access key is given: getopt takes flags before -k, and the beginning of a long name
_LONG = "--access-key"
_LONGS = "|".join(_LONG[:end] for end in range(len("--a"), len(_LONG) + 1))
_KEY_OPTION = re.compile(f"(-[lnr]*k|(?:{_LONGS})(?:=|$))(.*)", re.DOTALL)

#: read from a pipe at a time, and what we ask the system to let a pipe hold
PIPE_BYTES = 256 * 1024


def open_input(env: Env, path: str) -> Input:
    """What to store; blocks where opening does.

    :param path: "-": standard input. :raises FileFailed: it cannot be read.
    """
    name = "standard input" if path == "-" else path
    try:
        descriptor = 0 if path == "-" else os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        facts = os.fstat(descriptor)
        if stat.S_ISDIR(facts.st_mode):
            reason = "it is a folder; pack it: tar -c FOLDER | pigpen put KEY"
            raise FileFailed(action="read", path=name, reason=reason)
        if stat.S_ISREG(facts.st_mode):
            start = os.lseek(descriptor, 0, os.SEEK_CUR)
            length = max(facts.st_size - start, 0)
            return FileInput(SystemFile(env, descriptor), start, length, _identity(facts, start))
    except OSError as error:
        raise _failed("read", name, error) from None
    _widen(descriptor)
    return PipeInput(ThreadBody(env, partial(_read, descriptor), name))


def _identity(facts: os.stat_result, start: int) -> str:
    """The same text only for the same file with the same bytes: any change sets ctime."""
    numbers = (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
    return " ".join(map(str, (*numbers, start)))


def _read(descriptor: int) -> bytes:
    while True:
        try:
            return os.read(descriptor, PIPE_BYTES)
        except BlockingIOError:  # whoever shares it with us made it so
            select.select([descriptor], [], [])


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            select.select([], [descriptor], [])


def _widen(descriptor: int) -> None:
    """Let a pipe hold more, so that fewer switches between threads are needed; Linux only."""
    try:
        import fcntl

        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, 4 * PIPE_BYTES)
    except (ImportError, AttributeError, OSError):
        return


class PipeOutput:
    """An open descriptor: standard output, a device, a named pipe."""

    def __init__(self, env: Env, descriptor: int, name: str) -> None:
        self._env = env
        self._descriptor = descriptor
        self._name = name
        _widen(descriptor)

    async def take(self, body: Body) -> None:
        """:raises BrokenPipeError: nobody reads. :raises FileFailed: it cannot be written."""
        try:
            await pour(self._env, body, partial(_write, self._descriptor))
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _failed("write", self._name, error) from None


class FileOutput:
    """A file that gets its name when it is whole."""

    def __init__(self, env: Env, path: str, mode: int) -> None:
        self._env = env
        self._path = path
        self._mode = mode

    async def take(self, body: Body) -> None:
        await save(self._env, body, self._path, self._publish)

    def _publish(self, temporary: str) -> None:
        os.chmod(temporary, self._mode)


def open_output(env: Env, path: str, name: str) -> PipeOutput | FileOutput:
    """Where to write; nothing is created yet.

    :param path: "-": standard output. :param name: of the file, if `path` is a folder.
    """
    if path == "-":
        return PipeOutput(env, 1, "standard output")
    if os.path.isdir(path):
        path = os.path.join(path, name)
    path = os.path.realpath(path)  # a link stays a link
    try:
        facts = os.stat(path)
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return FileOutput(env, path, 0o666 & ~mask)
    except OSError as error:
        raise _failed("write", path, error) from None
    if stat.S_ISREG(facts.st_mode):
        return FileOutput(env, path, stat.S_IMODE(facts.st_mode) & 0o777)
    try:
        return PipeOutput(env, os.open(path, os.O_WRONLY | os.O_CLOEXEC), path)
    except OSError as error:
        raise _failed("write", path, error) from None


def complain(message: str, who: str = "pigpen: ") -> None:
    """One line on standard error, with nothing in it that could play tricks on a terminal."""
    text = _harmless(" ".join(message.split()))
    try:
        sys.stderr.write(f"{who}{text}\n")
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):  # closed: there is nobody to tell
        return


def _harmless(text: str) -> str:
    """Without what a terminal would obey: names are made by others."""
    return "".join(one if one.isprintable() else "?" for one in text)


def show(line: str) -> None:
    """A line on standard output; a terminal gets no control characters, as with ls(1).

    :raises BrokenPipeError: nobody reads it.

    :raises FileFailed: it cannot be written.
    """
    _on_stdout(lambda stdout: stdout.write((_harmless(line) if stdout.isatty() else line) + "\n"))


def announce(line: str) -> None:
    """As `show`, at once; if nobody can read it, the service runs all the same."""
    with contextlib.suppress(FileFailed, BrokenPipeError):
        show(line)
        flush()


def flush() -> None:
    """Write what `show` holds back; raises as it does."""
    if sys.stdout is not None:
        _on_stdout(lambda stdout: stdout.flush())


def _on_stdout(step: Callable[[TextIO], Any]) -> None:
    if sys.stdout is None:  # it was closed before we began
        raise FileFailed(action="write", path="standard output", reason="it is closed")
    try:
        step(sys.stdout)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _failed("write", "standard output", error) from None


def log_line(event: LogEvent, *, quiet: bool) -> str | None:
    """How an operator reads an event; None: not at all, as with what Twisted says of its ports.

    :param quiet: only what is wrong.
    """
    level = event.get("log_level") or LogLevel.info
    ours = str(event.get("log_namespace", "")).startswith("pigpen.")
    if level < (LogLevel.info if ours and not quiet else LogLevel.warn):
        return None
    mark = "" if level is LogLevel.info else f"{level.name}: "
    stamp, _, said = eventAsText(event, includeSystem=False).partition(" ")
    return f"{stamp} {mark}{said}\n"


def hide_key(arguments: list[str], set_title: Callable[[str], Any]) -> None:
    """Take the access key out of what others see in the list of processes."""
    hidden: list[str] = []
    after = False
    for one in arguments:
        if after:
            one, after = "...", False
        elif match := _KEY_OPTION.fullmatch(one):
            after = not match[2]
            one = match[1] if after else f"{match[1]}..."
        hidden.append(one)
    if hidden != arguments:
        set_title(" ".join(["pigpen", *hidden]))


def _failed(action: str, path: str, error: OSError) -> FileFailed:
    return FileFailed(action=action, path=path, reason=error.strerror or "it failed")
