"""Solo: coordinator, host and gateway in one process, on loopback, for one person.

DIR/coordinator/   the catalog          DIR/access_key   of the account "me", 0600
DIR/host/          the blobs               DIR/pigpen.yaml  if ~/.pigpen is of another cloud
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, maybeDeferred

from pigpen.config import CoordinatorConfig, GatewayConfig, HostConfig, SoloConfig, load_user
from pigpen.env import Disk, Env
from pigpen.errors import ConfigError, Conflict, PigpenError
from pigpen.gateway import make_gateway
from pigpen.services import (
    Fatal,
    PartService,
    end,
    make_coordinator,
    make_host,
    own_url,
)

if TYPE_CHECKING:
    from pigpen.coordinator.coordinator import Coordinator

LOGIN = "me"
KEY_FILE = "access_key"
#: instead of ~/.pigpen, where that is about another cloud
USER_FILE = "pigpen.yaml"
MAX_KEY_BYTES = 1000

Announce = Callable[[str], None]


class SoloService(MultiService):
    """Coordinator, host and gateway on loopback; `ready` fires when all have started."""

    def __init__(
        self,
        env: Env,
        config: SoloConfig,
        fatal: Fatal,
        announce: Announce,
        user_file: str,
        command: str = "pigpen",
    ) -> None:
        """:param announce: told what to type next. :param user_file: ~/.pigpen, which gets the
        access key unless it holds one. :param command: how ``pigpen`` is typed here."""
        super().__init__()
        self._env = env
        self._config = config
        self._fatal = fatal
        self._announce = announce
        self._user_file = user_file
        self._command = command
        self._starting: Deferred[None] | None = None
        self.ready: Deferred[None] = Deferred()
        self._folder = os.path.abspath(config.folder)

    def startService(self) -> None:
        super().startService()
        self._starting = Deferred.fromCoroutine(self._start()).addErrback(end, self._fatal)

    async def _start(self) -> None:
        config, fatal, env = self._config, self._fatal, self._env
        coordinator = CoordinatorConfig(
            folder=os.path.join(self._folder, "coordinator"), port=config.port, allow_private=True
        )
        url = own_url(coordinator)
        keeper = SoloKey(env, self._folder)
        await env.in_thread(_make_folder, env.disk, self._folder)
        redirects = make_coordinator(env, coordinator, fatal)
        await self._run(redirects)
        key = await keeper.obtain(redirects.part)
        host = HostConfig(
            folder=os.path.join(self._folder, "host"),
            coordinator=url,
            access_key=key,
            target_size=config.target_size,
            port=config.host_port,
        )
        lender = make_host(env, host, fatal)
        lender.port_option = "--host-port"
        await self._run(lender)
        gateway = GatewayConfig(coordinator=url, access_key=key, port=config.gateway_port)
        door = make_gateway(env, gateway, fatal)
        door.port_option = "--gateway-port"
        await self._run(door)
        own_file = os.path.join(self._folder, USER_FILE)
        kept = await env.in_thread(keep_for_user, env.disk, self._user_file, own_file, key, url)
        await lender.part.when_online()  # only then can something be stored
        places = Places(self._folder, url, own_url(gateway))
        for line in welcome(self._command, places, kept, key if keeper.made else None):
            self._announce(line)
        self.ready.callback(None)

    async def _run(self, part: PartService) -> None:
        part.setServiceParent(self)
        await part.ready

    def stopService(self) -> Deferred[None]:
        if self._starting is not None:
            self._starting.cancel()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        """In the reverse order, one after the other: each needs those before it."""
        for part in reversed(list(self)):
            await maybeDeferred(part.disownServiceParent)
        await maybeDeferred(super().stopService)


def _make_folder(disk: Disk, path: str) -> None:
    try:
        disk.make_folder(path)
    except OSError as error:
        reason = f"this folder cannot be made: {error.strerror}"
        raise ConfigError(path=path, reason=reason) from None


class SoloKey:
    """The access key of solo's account: made at the first start, kept for the gateway."""

    def __init__(self, env: Env, folder: str) -> None:
        self._env = env
        self._folder = folder
        self._path = os.path.join(folder, KEY_FILE)
        #: the key is new, so its owner has not seen it yet
        self.made = False

    async def obtain(self, coordinator: Coordinator) -> str:
        """The key; at the first start it is made, with the account."""
        key = await self._env.in_thread(self._read)
        if key is None:
            try:
                made = await coordinator.make_account(LOGIN)
            except Conflict:  # an earlier start was cut before the key was written down
                made = await coordinator.add_key(LOGIN, "pigpen solo")
            key = await self._env.in_thread(self._write, made)
            self.made = True
        return key

    def _read(self) -> str | None:
        try:
            if self._env.disk.entry(self._path) is None:
                return None
            return self._env.disk.read(self._path, MAX_KEY_BYTES).decode("ascii").strip()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it holds no access key"
            raise ConfigError(path=self._path, reason=f"{reason}; name another folder") from None

    def _write(self, key: str) -> str:
        write_secret(self._env.disk, self._path, key + "\n")
        return key


def write_secret(disk: Disk, path: str, text: str) -> None:
    """Make a file that only its owner can read, whole or not at all. Blocks."""
    temporary = f"{path}.new"
    if disk.entry(temporary) is not None:  # of a start that was cut
        disk.remove(temporary)
    file = disk.create(temporary)
    try:
        file.write(text.encode())
        file.sync()
    finally:
        file.close()
    disk.rename(temporary, path)
    disk.sync_folder(os.path.dirname(path))


@dataclass(frozen=True, slots=True)
class Kept:
    """Where a command finds the access key. ``options``: what it must be told for that."""

    path: str
    options: str = ""
    #: why it is not in ~/.pigpen
    reason: str | None = None


def keep_for_user(disk: Disk, path: str, other: str, key: str, coordinator: str) -> Kept:
    """Write ~/.pigpen, unless there is one; then the file `other`. Blocks."""
    text = f"accesskey: {key}\ncoordinator: {coordinator}\n"
    try:
        if disk.entry(path) is None:
            write_secret(disk, path, text)
            return Kept(path)
        user = load_user(disk, path, {})[0]
        if (user.accesskey, user.coordinator) == (key, coordinator):
            return Kept(path)
        reason = f"{path} is about another cloud and was left as it is"
    except PigpenError as error:
        reason = f"{error.message.rstrip('.')}; it was left as it is"
    except OSError as error:
        reason = f"{path} could not be written: {error.strerror}"
    write_secret(disk, other, text)
    return Kept(other, f"--config={shlex.quote(other)} ", reason)


@dataclass(frozen=True, slots=True)
class Places:
    """Of a running solo: a folder and two URLs."""

    folder: str
    coordinator: str
    gateway: str


def mounting(gateway: str, system: str) -> list[str]:
    """What to type for the cloud as a disk. :param system: as `sys.platform` names it."""
    if system == "darwin":
        return [f"mkdir -p ~/cloud && mount_webdav -S {gateway}/ ~/cloud"]
    if system == "win32":
        return [f"net use P: {gateway}/"]
    place = gateway.partition("://")[2]
    return [f"gio mount dav://{place}/", f"sudo mount -t davfs {gateway}/ /mnt"]


def welcome(
    command: str, places: Places, kept: Kept, key: str | None, system: str = sys.platform
) -> list[str]:
    """What to type next. :param key: to be shown, at the first start; None: not again."""
    relative = command != "pigpen" and not os.path.isabs(command)
    lines = [
        "",
        f"pigpen is running. Ctrl-C stops it; what is stored stays in {places.folder}.",
        "",
        *([] if key is None else [f"  access key  {key}"]),
        f"  kept in     {kept.path}",
    ]
    if kept.reason is not None:
        lines += [f"  note        {kept.reason}"]
    return [
        *lines,
        "",
        f"Type in another terminal{', in this folder' if relative else ''}:",
        "",
        f"  echo hello | {command} put {kept.options}hello.txt",
        f"  {command} get {kept.options}hello.txt",
        f"  {command} ls {kept.options}-l",
        "",
        "or with any HTTP client, here without the key, elsewhere with it:",
        "",
        f"  curl -T FILE {places.gateway}/FILE",
        f"  curl {places.gateway}/FILE",
        f"  curl -L -T FILE -u {LOGIN}:ACCESSKEY {places.coordinator}/api/{LOGIN}/FILE",
        "",
        "or as a disk, here:",
        "",
        *[f"  {line}" for line in mounting(places.gateway, system)],
        "",
        f"or in a browser: {places.gateway}/",
        "",
    ]
