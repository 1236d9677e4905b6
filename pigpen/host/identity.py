"""Identity: who this host is, in ``pigpen-host.json``. All of it blocks: call it in a thread."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass

import msgspec

from pigpen.config import privacy_faults
from pigpen.env import Disk, OpenFile
from pigpen.errors import ConfigError
from pigpen.host import durable

FILE = "pigpen-host.json"
LOCK = "pigpen-host.lock"
_MAX_BYTES = 64 * 1024


class Identity(msgspec.Struct, frozen=True):
    """``id`` 0: not registered yet. ``host_key``: shown to the coordinator, a secret. ``epoch``: of
    the latest start that the coordinator knows."""

    id: int = 0
    host_key: str = ""
    epoch: int = 0

    def __repr__(self) -> str:
        return f"<Identity {self.id}>"


@dataclass(frozen=True, slots=True)
class Claim:
    """A folder that is ours until ``lock`` is closed."""

    identity: Identity
    lock: OpenFile


def claim(disk: Disk, root: str) -> Claim:
    """Take a host folder, made if need be.

    :raises ConfigError: another process has it, it cannot be used, or its identity is missing.
    """
    try:
        disk.make_folder(root)
        lock = disk.lock(f"{root}/{LOCK}")
    except BlockingIOError:
        reason = "another pigpen host is running on this folder; stop it first"
        raise ConfigError(path=root, reason=reason) from None
    except OSError as error:
        reason = f"this folder cannot be used: {error.strerror}"
        raise ConfigError(path=root, reason=reason) from None
    try:
        return Claim(_read(disk, root), lock)
    except BaseException:
        lock.close()
        raise


def save(disk: Disk, root: str, identity: Identity) -> None:
    durable.write_file(disk, root, FILE, msgspec.json.encode(identity))


def _read(disk: Disk, root: str) -> Identity:
    path = f"{root}/{FILE}"
    if faults := privacy_faults(disk, path):  # it holds the host's key (REL-G2)
        raise ConfigError(path=path, reason=faults[0])
    try:
        return msgspec.json.decode(disk.read(path, _MAX_BYTES), type=Identity)
    except FileNotFoundError:
        return _new(disk, root)
    except (ValueError, msgspec.MsgspecError):
        reason = "this is no identity of a host; restore it, or use another folder"
        raise ConfigError(path=path, reason=reason) from None
    except OSError as error:
        raise ConfigError(path=path, reason=f"cannot read it: {error.strerror}") from None


def _new(disk: Disk, root: str) -> Identity:
    if disk.entry(f"{root}/blobs") is not None:
        reason = f"there are blobs but no {FILE}: is the disk mounted? Restore that file"
        raise ConfigError(path=root, reason=reason)
    identity = Identity()
    try:
        _sync_parent(disk, root)
        save(disk, root, identity)  # before the first folder: blobs never lie here without it
    except OSError as error:
        raise ConfigError(path=root, reason=f"cannot write here: {error.strerror}") from None
    return identity


def _sync_parent(disk: Disk, root: str) -> None:
    """Make the folder's own name durable: without it a power cut takes all that lies below."""
    with contextlib.suppress(PermissionError):  # then somebody else made the folder, long ago
        disk.sync_folder(os.path.dirname(os.path.normpath(root)) or ".")
