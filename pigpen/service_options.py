"""The options of services, as `pigpen` and `twistd pigpen` read them, and how they are configured.

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
from pigpen.database.postgresql.address import has_password
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
            raise misused(error, self.longOpt) from None
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


def misused(error: getopt.error, known: Iterable[str]) -> Misused:
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


class ListenOptions(ServiceOptions):
    """Options of a service that listens by itself, beside `LISTEN`."""

    def opt_proxy(self, address: str) -> None:
        """Address of a proxy in front, whose X-Forwarded fields count; repeatable."""
        self.setdefault("proxies", []).append(address)


class FolderOptions(ServiceOptions):
    """Options of a service that keeps its things in a folder."""

    synopsis = "[options] DIR"
    arguments: ClassVar[dict[str, Any]] = {"folder": None}  # the file may name it


class HostOptions(ListenOptions, FolderOptions):
    longdesc = "Lend the free space of DIR to the cloud."
    section = "host"
    optParameters = parameters(
        CONFIG,
        *CLOUD,
        TARGET_SIZE,
        ("floor", None, "Leave so much of the disk free. [default: 1 %, at least 256M]"),
        ("zone", None, "Where it stands, such as attic: for copies apart, once there are several."),
        ("port", "p", "Port to listen on. [default: 2575]"),
        *LISTEN,
    )
    optFlags: ClassVar[Rows] = [INSECURE]

    def opt_address(self, url: str) -> None:
        """URL under which others reach this host; may be given more than once."""
        self.setdefault("addresses", []).append(url)


class CoordinatorOptions(ListenOptions, FolderOptions):
    longdesc = "Know accounts, names and hosts; the catalog lies in DIR."
    section = "coordinator"
    optParameters = parameters(
        CONFIG,
        (
            "catalog",
            None,
            "Where the catalog is: a file, or postgresql://user@host/name."
            " [default: DIR/catalog.sqlite]",
        ),
        ("public-url", None, "How people reach it, if a proxy stands before it."),
        ("port", "p", "Port to listen on. [default: 2573]"),
        *LISTEN,
    )
    optFlags: ClassVar[Rows] = [
        INSECURE,
        ["allow-private", None, "Take hosts at private addresses: a LAN, this machine."],
        ["dav-redirect", None, "Send WebDAV programs that follow redirects to hosts."],
    ]

    def _given(self) -> dict[str, object]:
        if has_password(self["catalog"] or ""):
            reason = "others can see a password here: write it to ~/.pgpass, or use --config"
            raise ConfigError(path="--catalog", reason=reason)
        return super()._given()


class GatewayOptions(ListenOptions):
    longdesc = (
        "Serve the cloud by WebDAV and HTTP: on this machine without a login, elsewhere over TLS to"
        " whoever has a login and an access key, or to the users of a file."
    )
    section = "runserver"
    optParameters = parameters(
        CONFIG,
        *CLOUD,
        ("port", "p", "Port to listen on. [default: 2574]"),
        *LISTEN,
        ("users", None, "Serve the account of -k to the users of this file (htdigest)."),
        ("prefix", None, "Serve below this path. [default: /]"),
    )
    optFlags: ClassVar[Rows] = [
        INSECURE,
        ["redirect", None, "Let programs that can read straight from hosts do so."],
        ["infinity", None, "Allow listings of all levels at once (PROPFIND, Depth: infinity)."],
    ]

    def opt_alias(self, name: str) -> None:
        """A name that clients call this server by, such as cloud.example; repeatable."""
        self.setdefault("aliases", []).append(name)


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
    ["runserver", None, GatewayOptions, "serve the cloud by WebDAV, to be mounted"],
    ["solo", None, SoloOptions, "all of it in one process"],
]


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
        changes["trusted"] = True
    return msgspec.structs.replace(merged, **changes)
