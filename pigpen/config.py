"""~/.pigpen and the configuration of services: typed, strict, and able to say what is wrong.

    ~/.pigpen                      accesskey: pp_...
                                   coordinator: https://cloud.example:2573
    pigpen.yaml (see etc/)         host: {folder: /srv/pigpen, target_size: 10G, access_key: pp_...}
                                   coordinator: ..., runserver: ..., solo: ...

A value that is wholly ``${env:NAME}`` or ``${file:PATH}`` is taken from there, so that a secret
need not stand in the file. YAML's aliases and tags are refused: nothing here needs them.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

import msgspec
import yaml
from msgspec import Struct

from pigpen.env import Disk
from pigpen.errors import ConfigError

S = TypeVar("S", bound=Struct)

COORDINATOR_PORT = 2573
GATEWAY_PORT = 2574
HOST_PORT = 2575
DEFAULT_COORDINATOR = f"http://127.0.0.1:{COORDINATOR_PORT}"

#: a configuration is written by hand
MAX_FILE_BYTES = 64 * 1024
MAX_DEPTH = 8

_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,3})?)[ ]?([KMGTP]?)(?:iB|B)?", re.IGNORECASE)
_TIME = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,3})?)[ ]?(ms|s|m|h|d)?")
_TIME_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_REFERENCE = re.compile(r"\$\{(env|file):([^}]+)\}")
_KEYS = frozenset({"access_key", "accesskey"})
#: in the address of a database
_PASSWORD = re.compile(r"://[^/?#]*:[^/?#@]*@|[?&]password=")


class ByteSize(int):
    """A number of bytes, written "10G"; K, M, G, T, P are powers of 1024."""


class Duration(float):
    """A number of seconds, written "30s", "5m", "4h", "7d"."""


def parse_size(text: str) -> ByteSize:
    """:raises ValueError: it is no size; says how to write one."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no size; write it like 500M or 10G")
    factor = 1024 ** " KMGTP".index(match[2].upper() or " ")
    size = int(float(match[1]) * factor) if "." in match[1] else int(match[1]) * factor
    if size > 2**62:
        raise ValueError(f"{text!r} is too large")
    return ByteSize(size)


def format_size(size: int) -> str:
    """Bytes for a person: "1.5 GiB"."""
    amount = float(size)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if round(amount, 1) < 1024:
            return f"{size} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} PiB"


def parse_duration(text: str) -> Duration:
    """:raises ValueError: it is no time; says how to write one."""
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no time; write it like 30s, 5m, 4h or 7d")
    return Duration(float(match[1]) * _TIME_UNITS[match[2] or "s"])


#: 0: the system chooses one
Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]


class UserConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What ~/.pigpen may say; ``accesskey`` is written as one word there. ``insecure``: no warning
    when the access key goes over plain http."""

    accesskey: str | None = None
    coordinator: str = DEFAULT_COORDINATOR
    login: str | None = None
    insecure: bool = False


class Listen(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a service listens. ``insecure``: plain HTTP even where other machines reach it.
    ``proxies``: addresses of servers in front, whose X-Forwarded fields are believed."""

    port: Port
    interface: str = "127.0.0.1"
    certificate: str | None = None
    private_key: str | None = None
    insecure: bool = False
    proxies: list[str] = []


class HostConfig(Listen, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``addresses``: URLs under which others reach this host; derived if empty. A coordinator and
    an access key that are not given here come from ~/.pigpen."""

    port: Port = HOST_PORT
    folder: str = ""
    coordinator: str | None = None
    access_key: str | None = None
    target_size: ByteSize = ByteSize(10 * 1024**3)
    floor: ByteSize | None = None
    addresses: list[str] = []
    zone: str = ""


class CoordinatorConfig(Listen, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``catalog``: another file than the one in ``folder``, or postgresql://user@host/name."""

    port: Port = COORDINATOR_PORT
    folder: str = ""
    catalog: str | None = None
    public_url: str | None = None
    allow_private: bool = False
    dav_redirect: bool = False


class GatewayConfig(Listen, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``users``: a file of users, who share the gateway's account. ``aliases``: names that clients
    may call it by. ``redirect``: some programs read from hosts themselves. ``infinity``: PROPFIND
    of all levels. ``trusted``: no warning when the access key goes over plain http."""

    port: Port = GATEWAY_PORT
    coordinator: str | None = None
    access_key: str | None = None
    prefix: str = "/"
    aliases: list[str] = []
    users: str | None = None
    redirect: bool = False
    infinity: bool = False
    trusted: bool = False


class SoloConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything in one process, on loopback."""

    folder: str = ""
    target_size: ByteSize = ByteSize(10 * 1024**3)
    port: Port = COORDINATOR_PORT
    gateway_port: Port = GATEWAY_PORT
    host_port: Port = HOST_PORT


class ServiceConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """A whole configuration file; each service reads its section."""

    host: HostConfig = HostConfig()
    coordinator: CoordinatorConfig = CoordinatorConfig()
    runserver: GatewayConfig = GatewayConfig()
    solo: SoloConfig = SoloConfig()


def is_loopback(interface: str) -> bool:
    """Whether only this machine can reach it."""
    if interface == "localhost":
        return True
    try:
        return ipaddress.ip_address(interface).is_loopback
    except ValueError:
        return False


def exposure(coordinator: str) -> str | None:
    """A warning, if the access key can be read on its way to this URL."""
    try:
        parts = urlsplit(coordinator)
        if parts.scheme != "http" or is_loopback(parts.hostname or ""):
            return None
    except ValueError:  # it is refused where it is used
        return None
    return (
        f"the access key goes to {coordinator} over plain http, where others can read it: use"
        " https, or --insecure if the network is yours alone"
    )


# -- from text ------------------------------------------------------------------------------------


def parse(text: str, shape: type[S], path: str) -> S:
    """The YAML of a file as a `shape`. :raises ConfigError: says where and what to do."""
    return convert(load_yaml(text, path), shape, path)


def convert(data: object, shape: type[S], path: str, *, strict: bool = True) -> S:
    """:param strict: False: numbers may be text, as on a command line."""
    if isinstance(data, dict):  # a section with every line commented out is no mistake
        data = {name: value for name, value in data.items() if value is not None}
    _check_names(data, shape, path, "")
    try:
        return msgspec.convert(data, shape, strict=strict, dec_hook=_decode)
    except msgspec.ValidationError as error:
        what, _, where = str(error).rstrip("`").partition(" - at `$.")
        reason = f"{where or 'it'}: {what[:1].lower()}{what[1:]}"
        raise ConfigError(path=path, reason=reason) from None


def load_yaml(text: str, path: str) -> object:
    """Plain values only. :raises ConfigError: no YAML, or more than a configuration needs."""
    if len(text) > MAX_FILE_BYTES:
        raise ConfigError(path=path, reason=f"it is larger than {MAX_FILE_BYTES} bytes")
    try:
        loaded = yaml.load(text, Loader=_Loader)  # noqa: S506  # a SafeLoader with limits
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(path=path, reason=f"line {line}: {error.problem}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(path=path, reason=" ".join(str(error).split())) from None
    return {} if loaded is None else loaded


class _Loader(yaml.SafeLoader):
    """Safe YAML without aliases (a few lines of them fill all memory) and without double keys."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise _refused("aliases are not allowed here: write the value again", event)
        if self.depth > MAX_DEPTH:
            raise _refused(f"values are nested more than {MAX_DEPTH} deep", event)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen = set()
        for name, _ in node.value:
            if name.value in seen:
                raise _refused(f"{name.value!r} stands here twice", name)
            if isinstance(name.value, str):
                seen.add(name.value)
        return super().construct_mapping(node, deep)


def _refused(problem: str, at: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=at.start_mark)


def _decode(kind: type, value: object) -> object:
    if kind is ByteSize:
        return parse_size(value if isinstance(value, str) else str(value))
    if kind is Duration:
        return parse_duration(value if isinstance(value, str) else str(value))
    raise NotImplementedError


def _check_names(data: object, shape: type[Struct], path: str, where: str) -> None:
    if not isinstance(data, dict):
        example = shape.__struct_fields__[0]
        reason = f"{where or 'it'}: write names and values, such as '{example}: ...'"
        raise ConfigError(path=path, reason=reason)
    fields = {field.name: field.type for field in msgspec.structs.fields(shape)}
    for name, value in data.items():
        if name not in fields:
            raise ConfigError(path=path, reason=_unknown(f"{where}{name}", str(name), fields))
        kind = fields[name]
        if isinstance(kind, type) and issubclass(kind, Struct):
            _check_names(value, kind, path, f"{where}{name}.")


def _unknown(full_name: str, name: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(known)}"
    return f"'{full_name}' is not known; {hint}"


# -- from files -----------------------------------------------------------------------------------


def load_user(disk: Disk, path: str, environ: Mapping[str, str]) -> tuple[UserConfig, list[str]]:
    """~/.pigpen and warnings about who else may read it; the defaults if there is no such file.

    Blocks. :raises ConfigError: it cannot be read or understood.
    """
    if disk.entry(path) is None:
        return UserConfig(), []
    raw = load_yaml(_text(disk, path), path)
    faults = privacy_faults(disk, path) + _faults_elsewhere(raw, disk)
    return convert(_references(raw, disk, path, environ), UserConfig, path), faults


def load_service(disk: Disk, path: str, environ: Mapping[str, str]) -> ServiceConfig:
    """A service's configuration. Blocks.

    :raises ConfigError: as `load_user`, and if it holds or names a secret that others may read.
    """
    raw = load_yaml(_text(disk, path), path)
    faults = privacy_faults(disk, path, group_may_read=True)
    if faults and any(not _REFERENCE.fullmatch(secret) for secret in _secrets(raw)):
        raise ConfigError(path=path, reason=f"it holds a secret, but {faults[0]}")
    if faults := _faults_elsewhere(raw, disk):
        raise ConfigError(path=path, reason=faults[0])
    return convert(_references(raw, disk, path, environ), ServiceConfig, path)


def load_private(disk: Disk, path: str, limit: int) -> str:
    """A file of secrets that is no configuration. Blocks.

    :raises ConfigError: it cannot be read, or others may read it.
    """
    if disk.entry(path) is None:
        raise ConfigError(path=path, reason="there is no such file")
    faults = privacy_faults(disk, path, group_may_read=True)
    if faults:
        raise ConfigError(path=path, reason=faults[0])
    return _text(disk, path, limit)


def privacy_faults(disk: Disk, path: str, *, group_may_read: bool = False) -> list[str]:
    """Why a file is no place for a secret; each says what to do (REL-G2)."""
    faults = []
    entry = disk.entry(path)
    if entry is not None and not entry.is_file:
        faults.append("it is a symbolic link: put a regular file there")
        entry = disk.entry(os.path.realpath(path))
    if entry is None:
        return faults
    if entry.mode & (0o027 if group_may_read else 0o077):
        faults.append(f"other users may read it: chmod 600 {path}")
    if not entry.mine:
        faults.append(f"it belongs to another user: chown it to yourself, or remove {path}")
    return faults


def _text(disk: Disk, path: str, limit: int = MAX_FILE_BYTES) -> str:
    try:
        return disk.read(os.path.realpath(path), limit).decode()
    except UnicodeDecodeError:
        raise ConfigError(path=path, reason="it is not UTF-8 text") from None
    except ValueError:
        raise ConfigError(path=path, reason=f"it is larger than {limit} bytes") from None
    except OSError as error:
        raise ConfigError(path=path, reason=error.strerror or "cannot be read") from None


def _secrets(raw: object) -> Iterator[str]:
    """Values that are secret, or say where the secret is."""
    for name, value in raw.items() if isinstance(raw, dict) else ():
        if not isinstance(value, str):
            yield from _secrets(value)
        elif (
            name in _KEYS
            or _PASSWORD.search(value)
            or (name == "catalog" and _REFERENCE.fullmatch(value))
        ):
            yield value


def _faults_elsewhere(raw: object, disk: Disk) -> list[str]:
    """As `privacy_faults`, of the files in which secrets are said to lie."""
    matches = [match for secret in _secrets(raw) if (match := _REFERENCE.fullmatch(secret))]
    paths = [os.path.realpath(match[2]) for match in matches if match[1] == "file"]
    found = [privacy_faults(disk, path, group_may_read=True) for path in paths]
    return [f"where a secret lies, {faults[0]}" for faults in found if faults]


def _references(value: Any, disk: Disk, path: str, environ: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _references(one, disk, path, environ) for name, one in value.items()}
    match = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return value
    kind, name = match.groups()
    if kind == "file":
        return _text(disk, name).strip()
    if name not in environ:
        raise ConfigError(path=path, reason=f"the environment has no variable {name}")
    return environ[name]
