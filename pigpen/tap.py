"""What ``twistd pigpen`` and etc/pigpen.tac run."""

from __future__ import annotations

import atexit
import os
import shlex
import shutil
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger
from twisted.python import usage

from pigpen.config import UserConfig, exposure
from pigpen.errors import ConfigError, PigpenError
from pigpen.service_options import SERVICES, load_user, user_path

if TYPE_CHECKING:
    from types import TracebackType

    from twisted.application.service import IService
    from twisted.web.resource import IResource

    from pigpen.env import Env
    from pigpen.services import PartService

log = Logger()


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
        self._ended = False

    def __call__(self, error: PigpenError) -> None:
        """The first reason counts; others are its consequence."""
        if self._ended:
            return
        self._ended = True
        self.log.critical("cannot start: {reason}", reason=error.message)
        if sys.__stderr__ is not None:  # twistd's own stderr goes to the log
            sys.__stderr__.write(f"pigpen: {error.message}\n")
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

    from pigpen.system import SystemEnv, settle_memory

    sys.excepthook = _say
    keep_private()
    chosen: Any = options.subOptions
    service = make(SystemEnv(reactor), chosen, Ending(reactor), lambda _: None)
    settle_memory()
    return service


def keep_private() -> None:
    """Let only the owner of this process read what it writes: SQLite makes files by itself."""
    os.umask(0o077)


def make(
    env: Env, options: Any, fatal: Callable[[PigpenError], None], announce: Callable[[str], None]
) -> IService:
    """The service of a subcommand. :param announce: told what a person should read; may be secret.

    :raises ConfigError: what was configured cannot be run.
    """
    config = options.config
    if options.section == "solo":
        from pigpen.solo import SoloService

        command = spelled(sys.argv[0])
        return SoloService(env, config, fatal, announce, user_path(os.environ), command)
    service = _maker(options.section)(env, config, fatal)
    line = f"Listening on {config.interface}:{config.port} ..."
    _ = service.ready.addCallback(lambda _: announce(line))
    return service


def _maker(section: str) -> Callable[..., PartService]:
    from pigpen import services

    if section == "runserver":
        from pigpen.gateway import make_gateway

        return make_gateway
    return services.make_host if section == "host" else services.make_coordinator


def resource(reactor: Any = None, config: UserConfig | str | None = None) -> IResource:
    """The cloud of a user, to be put into a tree of twisted.web; `pigpen.resource` is this one.

        root.putChild(b"remote", pigpen.resource())

    Who reaches the site can read and change what the user stored: ask for a login before it.

    :param config: access key and coordinator, or the path of a file instead of ~/.pigpen.
    :raises ConfigError: there is no access key, or the file is wrong.
    """
    from twisted.internet.defer import Deferred

    from pigpen.client.session import Session
    from pigpen.gateway import handler_below
    from pigpen.system import SystemEnv
    from pigpen.web.client import HttpClient
    from pigpen.web.resource import PlacedResource

    path = config if isinstance(config, str) else None
    user = config if isinstance(config, UserConfig) else load_user(os.environ, path)[0]
    if user.accesskey is None:
        reason = "no access key: write 'accesskey: KEY' there"
        raise ConfigError(path=path or user_path(os.environ), reason=reason)
    if reactor is None:
        from twisted.internet import reactor
    env = SystemEnv(reactor, ours=False)
    client = HttpClient(env)
    session = Session(env, client, user.coordinator, user.accesskey, user.login)
    warning = exposure(user.coordinator)
    if warning is not None and not user.insecure:
        log.warn("{risk}", risk=warning)  # noqa: G010  # its only name in Twisted
    reactor.addSystemEventTrigger(
        "before", "shutdown", lambda: Deferred.fromCoroutine(client.close())
    )
    return PlacedResource(lambda place: handler_below(env, session, place), env)


def spelled(started: str) -> str:
    """How to type ``pigpen``. :param started: the program that runs, as it was started."""
    folder = os.path.dirname(started)
    here = os.path.join(folder, "pigpen")
    found = shutil.which("pigpen")
    if not folder or shutil.which(here) is None or (found and os.path.samefile(found, here)):
        return "pigpen"
    return shlex.quote(here)


def _say(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """The last words of a process that could not start."""
    if isinstance(error, PigpenError | usage.UsageError) and "PIGPEN_DEBUG" not in os.environ:
        sys.stderr.write(f"pigpen: {error}\n")
    else:
        sys.__excepthook__(kind, error, trace)
