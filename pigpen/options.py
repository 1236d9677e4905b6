"""All options that ``pigpen`` and ``twistd pigpen`` know, and how they become a configuration.

Options, sections of a configuration file and fields in `pigpen.config` have the same names. What is
given on the command line wins over the file, the file over ~/.pigpen, that over the defaults.
"""

from __future__ import annotations

import difflib
import getopt
import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from twisted.python import usage

from pigpen import __version__
from pigpen.config import GatewayConfig, UserConfig
from pigpen.errors import ConfigError

#: as `usage.Options` wants its tables
Rows = list[list[Any]]


def parameters(*rows: tuple[str, str | None, str]) -> Rows:
    return [[name, short, None, text] for name, short, text in rows]


CONFIG = ("config", None, "Read this YAML file; etc/pigpen.yaml is a sample.")
CLOUD = (
    ("coordinator", None, "URL of the coordinator. [default: ~/.pigpen, http://127.0.0.1:2573]"),
    ("access-key", "k", "Access key; better kept in ~/.pigpen, as others can see this one."),
)
LISTEN = (
    ("interface", "i", "Address to listen on. [default: 127.0.0.1]"),
    ("certificate", None, "PEM file with the certificate chain: serve https."),
    ("private-key", None, "PEM file with its private key."),
)
TARGET_SIZE = ("target-size", None, "Lend so much, such as 500M or 10G. [default: 10G]")
INSECURE = ["insecure", None, "Serve plain HTTP even where other machines can reach it."]
TRUSTED = ["insecure", None, "Do not warn that plain http shows the access key to the network."]


#: an argument without a default
REQUIRED = object()


class Misused(usage.UsageError):
    """Not what this command takes: to be followed by a line about what it does."""


class Interleaved(usage.Options):
    """Options may stand behind arguments, as in ``host DIR --target-size=10G``."""

    #: the arguments by name, in order, and their defaults
    arguments: ClassVar[dict[str, Any]] = {}

    def parseArgs(self, *given: str) -> None:
        """:raises Misused: there are too few, or too many."""
        if len(given) > len(self.arguments):
            raise Misused(f"'{given[len(self.arguments)]}' is one argument too many")
        for place, (name, default) in enumerate(self.arguments.items()):
            self[name] = given[place] if place < len(given) else default
            if self[name] is REQUIRED:
                raise Misused(f"{name.upper()} is missing")

    def parseOptions(self, options: list[str] | None = None) -> None:
        given = sys.argv[1:] if options is None else options
        try:
            found, rest = getopt.gnu_getopt(given, self.shortOpt, self.longOpt)
        except getopt.error as error:
            raise _misused(error, self.longOpt) from None
        first: list[str] = []
        for name, value in found:
            if not name.startswith("--"):
                first += [name, value] if f"{name[1:]}:" in self.shortOpt else [name]
            elif f"{name[2:]}=" in self.longOpt:
                first.append(f"{name}={value}")
            else:
                first.append(name)
        super().parseOptions([*first, "--", *rest])

    def opt_version(self) -> None:
        """Display the version and exit."""
        sys.stdout.write(f"pigpen {__version__}\n")
        sys.exit(0)


def _misused(error: getopt.error, known: Iterable[str]) -> Misused:
    """What getopt says, in the form of our other sentences."""
    name = f"--{error.opt}" if len(error.opt) > 1 else f"-{error.opt}"
    if "requires argument" in error.msg:
        return Misused(f"option {name} needs a value")
    if "must not have" in error.msg:
        return Misused(f"option {name} takes no value")
    if "unique prefix" in error.msg:
        return Misused(f"option {name} could be more than one: write it in full")
    near = did_you_mean(error.opt, [one.rstrip("=") for one in known])
    return Misused(f"there is no option {name}{near and f'; did you mean --{near}?'}")


def did_you_mean(typed: str, known: Iterable[str]) -> str:
    """The name that is most like what was typed; empty if none is."""
    near = difflib.get_close_matches(typed, list(known), n=1, cutoff=0.6)
    return near[0] if near else ""


class ServiceOptions(Interleaved):
    """What all services share; `config` holds the checked result."""

    #: the section of the file, and the name of the subcommand
    section: ClassVar[str]
    config: Any

    def postOptions(self) -> None:
        """:raises usage.UsageError: one sentence about what is wrong."""
        try:
            self.config = self.checked(os.environ)
        except ConfigError as error:
            raise usage.UsageError(error.message) from None

    def checked(self, environ: Mapping[str, str]) -> Any:
        """The section of this service. :raises ConfigError: something in it is wrong."""
        import msgspec

        from pigpen import config
        from pigpen.system import SystemDisk

        whole = config.ServiceConfig()
        if self["config"] is not None:
            disk = SystemDisk(None)  # type: ignore[arg-type]  # its files are read at once
            whole = config.load_service(disk, self["config"], environ)
        base = getattr(whole, self.section)
        given = self._given()
        parsed = config.convert(given, type(base), "the command line", strict=False)
        merged = msgspec.structs.replace(base, **{name: getattr(parsed, name) for name in given})
        return self._completed(merged, environ)

    def _given(self) -> dict[str, object]:
        """What stands on the command line, by the names of the configuration."""
        given = {name.replace("-", "_"): value for name, value in self.items() if value}
        given.pop("config", None)
        return given

    def _completed(self, merged: Any, environ: Mapping[str, str]) -> Any:
        if not getattr(merged, "folder", "given"):
            reason = f"name a folder: pigpen {self.section} DIR"
            raise ConfigError(path="the command line", reason=reason)
        if hasattr(merged, "coordinator"):
            return _from_user(merged, load_user(environ)[0])
        return merged


class FolderOptions(ServiceOptions):
    """Options of a service that keeps its things in a folder."""

    synopsis = "[options] DIR"
    arguments: ClassVar[dict[str, Any]] = {"folder": None}  # the file may name it


class HostOptions(FolderOptions):
    longdesc = "Lend the free space of DIR to the cloud."
    section = "host"
    optParameters = parameters(
        CONFIG,
        *CLOUD,
        TARGET_SIZE,
        ("floor", None, "Leave so much of the disk free. [default: 1 %, at least 256M]"),
        ("zone", None, "Copies are kept in different zones where possible."),
        ("port", "p", "Port to listen on. [default: 2575]"),
        *LISTEN,
    )
    optFlags: ClassVar[Rows] = [INSECURE]

    def opt_address(self, url: str) -> None:
        """URL under which others reach this host; may be given more than once."""
        self.setdefault("addresses", []).append(url)


class CoordinatorOptions(FolderOptions):
    longdesc = "Know accounts, names and hosts; the catalog lies in DIR."
    section = "coordinator"
    optParameters = parameters(
        CONFIG,
        ("public-url", None, "How people reach it, if a proxy stands before it."),
        ("port", "p", "Port to listen on. [default: 2573]"),
        *LISTEN,
    )
    optFlags: ClassVar[Rows] = [
        INSECURE,
        ["allow-private", None, "Take hosts at private addresses: a LAN, this machine."],
    ]


class GatewayOptions(ServiceOptions):
    longdesc = "Serve the cloud over HTTP to programs on this machine, without a login."
    section = "runserver"
    optParameters = parameters(
        CONFIG,
        *CLOUD,
        ("port", "p", "Port to listen on. [default: 2574]"),
        *LISTEN,
    )
    optFlags: ClassVar[Rows] = [INSECURE]


class SoloOptions(FolderOptions):
    longdesc = "Run coordinator, host and gateway in one process, for this machine, in DIR."
    section = "solo"
    optParameters = parameters(
        CONFIG,
        TARGET_SIZE,
        ("port", "p", "Port of the coordinator. [default: 2573]"),
        ("gateway-port", None, "Port of the gateway. [default: 2574]"),
        ("host-port", None, "Port of the host. [default: 2575]"),
    )


#: of `pigpen` and of `twistd pigpen`
SERVICES: Rows = [
    ["host", None, HostOptions, "lend disk space to the cloud"],
    ["coordinator", None, CoordinatorOptions, "know accounts, names and hosts"],
    ["runserver", None, GatewayOptions, "serve the cloud to this machine"],
    ["solo", None, SoloOptions, "all of it in one process"],
]


# -- of the command pigpen -------------------------------------------------------------------------

STATUS_HELP = """\
Status at the end: 0 done; 1 failed or refused; 2 the command line or a configuration file is wrong;
3 it is not known whether it was stored; 130 interrupted; 141 nobody read the output to its end."""

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


class OperatorOptions(CoordinatorOptions):
    """As for twistd, and what an operator does while the coordinator is stopped."""

    optParameters = parameters(
        ("make-account", None, "Make an account of this login, print its access key, and end.")
    )

    def _given(self) -> dict[str, object]:
        given = super()._given()
        given.pop("make_account", None)
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
                raise _misused(error.__context__, self.longOpt) from None
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


# -- ~/.pigpen -------------------------------------------------------------------------------------


def user_path(environ: Mapping[str, str]) -> str:
    """Where ~/.pigpen is; PIGPEN_HOME names another folder than the home folder."""
    home = environ.get("PIGPEN_HOME") or os.path.expanduser("~")
    return os.path.join(home, ".pigpen")


def load_user(environ: Mapping[str, str], path: str | None = None) -> tuple[UserConfig, list[str]]:
    """~/.pigpen, and warnings about who may read it. :raises ConfigError: it is wrong."""
    from pigpen import config
    from pigpen.system import SystemDisk

    disk = SystemDisk(None)  # type: ignore[arg-type]  # its files are read at once
    if path is not None and not os.path.exists(path):
        raise ConfigError(path=path, reason="there is no such file")
    return config.load_user(disk, path or user_path(environ), environ)


def _from_user(merged: Any, user: UserConfig) -> Any:
    import msgspec

    changes: dict[str, object] = {}
    if getattr(merged, "coordinator", "") is None:
        changes["coordinator"] = user.coordinator
    if getattr(merged, "access_key", "") is None:
        changes["access_key"] = user.accesskey
    if isinstance(merged, GatewayConfig) and user.insecure:
        changes["insecure"] = True
    return msgspec.structs.replace(merged, **changes)
