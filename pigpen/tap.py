"""The options of the services, and `makeService`: what ``twistd pigpen`` and ``pigpen`` start.

Options, sections of a configuration file and fields in `pigpen.config` have the same names. What is
given on the command line wins over the file, the file over ~/.pigpen, that over the defaults.
"""

from __future__ import annotations

import atexit
import getopt
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from twisted.logger import Logger
from twisted.python import usage

from pigpen import __version__
from pigpen.errors import ConfigError, PigpenError

if TYPE_CHECKING:
    from types import TracebackType

    from twisted.application.service import IService

    from pigpen.config import Listen, UserConfig

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


class Interleaved(usage.Options):
    """Options may stand behind arguments, as in ``host DIR --target-size=10G``."""

    def parseOptions(self, options: list[str] | None = None) -> None:
        given = sys.argv[1:] if options is None else options
        try:
            found, rest = getopt.gnu_getopt(given, self.shortOpt, self.longOpt)
        except getopt.error as error:
            raise usage.UsageError(str(error)) from None
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

    def parseArgs(self, folder: str | None = None) -> None:
        self["folder"] = folder


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


class Options(usage.Options):
    """Of ``twistd pigpen``."""

    synopsis = "[options] host|coordinator|runserver|solo"
    subCommands = SERVICES

    def postOptions(self) -> None:
        if self.subCommand is None:
            raise usage.UsageError("say which service: host, coordinator, runserver or solo")


class Ending:
    """Ends a twistd process whose part cannot start: one line, status 1, no traceback."""

    log = Logger()

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def __call__(self, error: PigpenError) -> None:
        self.log.critical("cannot start: {reason}", reason=error.message)
        # twistd ends with status 0 whenever its reactor was stopped; this runs after its own
        # clean-up, when the reactor and its threads are gone
        atexit.register(os._exit, 1)
        self._reactor.callWhenRunning(self._stop)

    def _stop(self) -> None:
        if self._reactor.running:
            self._reactor.stop()


def makeService(options: Options) -> IService:
    """What ``twistd pigpen`` and etc/pigpen.tac run."""
    from twisted.internet import reactor

    from pigpen import services
    from pigpen.system import SystemEnv

    sys.excepthook = _say
    chosen: Any = options.subOptions
    fatal = Ending(reactor)
    try:
        return services.make(SystemEnv(reactor), chosen.section, chosen.config, fatal)
    except ConfigError as error:
        raise usage.UsageError(error.message) from None


def _say(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """The last words of a process that could not start."""
    if isinstance(error, PigpenError | usage.UsageError) and "PIGPEN_DEBUG" not in os.environ:
        sys.stderr.write(f"pigpen: {error}\n")
    else:
        sys.__excepthook__(kind, error, trace)


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


def _from_user(merged: Listen, user: UserConfig) -> Listen:
    import msgspec

    changes: dict[str, object] = {}
    if getattr(merged, "coordinator", "") is None:
        changes["coordinator"] = user.coordinator
    if getattr(merged, "access_key", "") is None:
        changes["access_key"] = user.accesskey
    return msgspec.structs.replace(merged, **changes)
