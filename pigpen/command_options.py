"""The options of the command ``pigpen``: its services, as for twistd, and what people type."""

from __future__ import annotations

import getopt
import sys
from typing import Any, ClassVar

from twisted.python import usage

from pigpen.config import parse_size
from pigpen.service_options import (
    CLOUD,
    REQUIRED,
    SERVICES,
    TRUSTED,
    CoordinatorOptions,
    Interleaved,
    Misused,
    Rows,
    did_you_mean,
    misused,
    parameters,
)

STATUS_HELP = """\
Status at the end: 0 done; 1 failed or refused; 2 the command line or a configuration file is wrong;
3 it is not known whether it was stored; 129, 130, 143 ended by SIGHUP, SIGINT (Ctrl-C), SIGTERM;
141 nobody read the output to its end."""

#: the spellings of the first pigpen, and what they are now
OLDER = {
    "--put": "put",
    "--get": "get",
    "--host": "host",
    "--runserver": "runserver",
    "--account": "account",
}


class CloudOptions(Interleaved):
    """Of a command that talks with the cloud."""

    optParameters = parameters(*CLOUD, ("config", None, "Read this file instead of ~/.pigpen."))
    optFlags: ClassVar[Rows] = [TRUSTED]


class PutOptions(CloudOptions):
    synopsis = "[options] KEY [FILE]"
    arguments: ClassVar[dict[str, Any]] = {"key": REQUIRED, "file": "-"}
    longdesc = "Store FILE, or standard input, under KEY. " + STATUS_HELP
    optParameters = parameters(("type", "t", "Content type, for readers over HTTP."))
    optFlags: ClassVar[Rows] = [["new", "n", "Only if nothing is stored there yet."]]


class GetOptions(CloudOptions):
    synopsis = "[options] KEY [FILE]"
    arguments: ClassVar[dict[str, Any]] = {"key": REQUIRED, "file": "-"}
    longdesc = (
        "Write what is stored under KEY to FILE, or to standard output. FILE gets its name when it"
        " is complete and its SHA-256 is right. " + STATUS_HELP
    )


class ListOptions(CloudOptions):
    synopsis = "[options] [KEY]"
    arguments: ClassVar[dict[str, Any]] = {"key": "/"}
    longdesc = "Show the names below KEY, or all. " + STATUS_HELP
    optFlags: ClassVar[Rows] = [
        ["long", "l", "Size and time as well."],
        ["recursive", "r", "All levels."],
    ]


class RemoveOptions(CloudOptions):
    synopsis = "[options] KEY"
    arguments: ClassVar[dict[str, Any]] = {"key": REQUIRED}
    longdesc = "Remove what is stored under KEY. " + STATUS_HELP
    optFlags: ClassVar[Rows] = [["recursive", "r", "A collection, with all in it."]]


class AccountOptions(CloudOptions):
    longdesc = "Show the account: what it stores, its quota, its access keys. " + STATUS_HELP
    optParameters = parameters(
        ("new-key", None, "Make another access key with this label, and print it."),
        ("delete-key", None, "End the access key of this id."),
    )


class LocksOptions(CloudOptions):
    longdesc = (
        "Show the locks that programs hold through WebDAV: token, end, user, kind, key. "
        + STATUS_HELP
    )
    optParameters = parameters(
        ("break", None, "End the lock of this token, whoever took it."),
    )


class OperatorOptions(CoordinatorOptions):
    """As for twistd, and what an operator does, whether the coordinator runs or not."""

    #: what ends at once instead of running the service; each names a login
    TASKS: ClassVar[tuple[str, ...]] = ("make-account", "add-key", "set-quota", "suspend", "resume")

    optParameters = parameters(
        ("make-account", None, "Make an account of this login, print its access key, and end."),
        ("add-key", None, "Print one more access key for the account of this login, and end."),
        ("suspend", None, "Refuse all access keys of this login, keep what it stores, and end."),
        ("resume", None, "Let this login in again, and end."),
        ("set-quota", None, "Give the account of this login what --quota says, and end."),
        ("quota", None, "What it may store, such as 10G; none: no limit. [new accounts: none]"),
    )

    @property
    def task(self) -> str | None:
        """Which of the tasks was asked for."""
        return next((name for name in self.TASKS if self[name] is not None), None)

    def postOptions(self) -> None:
        if sum(self[name] is not None for name in self.TASKS) > 1:
            raise Misused(
                "do one thing at a time: " + ", ".join(f"--{name}" for name in self.TASKS)
            )
        if self["quota"] is not None and self.task not in {"make-account", "set-quota"}:
            raise Misused("--quota goes with --make-account or --set-quota")
        if self["quota"] is None and self.task == "set-quota":
            raise Misused("--set-quota needs --quota=SIZE, or --quota=none for no limit")
        self.quota()
        super().postOptions()

    def quota(self) -> int | None:
        """In bytes; None: no limit. :raises Misused: it is no size."""
        text = self["quota"]
        if text in {None, "none"}:
            return None
        try:
            return parse_size(text)
        except ValueError as error:
            raise Misused(f"--quota: {error}") from None

    def _given(self) -> dict[str, object]:
        given = super()._given()
        for name in (*self.TASKS, "quota"):
            given.pop(name.replace("-", "_"), None)
        return given


class CommandOptions(usage.Options):
    """Of ``pigpen``."""

    longdesc = (
        "`pigpen COMMAND --help` tells more. The older spellings --put KEY, --get KEY, --host DIR"
        " and --runserver work as well. " + STATUS_HELP
    )
    subCommands: ClassVar[Rows] = [
        ["put", None, PutOptions, "store a file or standard input"],
        ["get", None, GetOptions, "fetch to a file or standard output"],
        ["ls", None, ListOptions, "list names"],
        ["rm", None, RemoveOptions, "remove"],
        ["account", None, AccountOptions, "show the account, change its access keys"],
        ["locks", None, LocksOptions, "show locks of WebDAV clients, break one"],
        ["coordinator", None, OperatorOptions, "know accounts, names and hosts"],
        *[row for row in SERVICES if row[0] != "coordinator"],
    ]

    opt_version = Interleaved.opt_version

    def getSynopsis(self) -> str:
        return "Usage: pigpen" if self.subCommand else "Usage: pigpen COMMAND [options] ..."

    def parseOptions(self, options: list[str] | None = None) -> None:
        given = sys.argv[1:] if options is None else options
        names = [row[0] for row in self.subCommands]
        command = given[0] if given else "-"
        if not command.startswith("-") and command not in names:
            near = did_you_mean(command, names)
            raise Misused(f"there is no command '{command}'{near and f'; did you mean {near}?'}")
        try:
            super().parseOptions(given)
        except usage.UsageError as error:
            if isinstance(error.__context__, getopt.error) and not isinstance(error, Misused):
                raise misused(error.__context__, self.longOpt) from None
            raise

    def postOptions(self) -> None:
        if self.subCommand is None:
            raise Misused("say what to do")

    def hint(self) -> str:
        """One line for somebody who misused it."""
        chosen: usage.Options = self.subOptions if self.subCommand else self
        command = f"pigpen {self.subCommand}" if self.subCommand else "pigpen"
        return f"{chosen.getSynopsis()}   (try `{command} --help`)"


def translated(arguments: list[str]) -> list[str]:
    """A command line in today's spelling: ``-k K --put KEY`` becomes ``put -k K KEY``."""
    if not arguments or not arguments[0].startswith("-"):
        return arguments
    for place, one in enumerate(arguments):
        name, equals, value = one.partition("=")
        if name in OLDER:
            rest = [value] if equals else []
            return [OLDER[name], *arguments[:place], *rest, *arguments[place + 1 :]]
        if one in OLDER.values():  # `pigpen -k K account`
            return [one, *arguments[:place], *arguments[place + 1 :]]
    return arguments
