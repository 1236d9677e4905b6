"""The cluster secret, and the control secrets made of it.

    FOLDER/cluster-secret       0600: 64 hexadecimal digits and a line end

A host recognises the coordinator by its control secret: HMAC-SHA256(cluster secret, "ID:EPOCH")
(CLD-20). It is nowhere in the catalog, so a stolen catalog lets nobody command a host.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import re

from pigpen.config import privacy_faults
from pigpen.env import Disk, Env, random_id
from pigpen.errors import ConfigError

_NAME = "cluster-secret"
_SHAPE = re.compile(rb"[0-9a-f]{64}\n?")


class ClusterSecret:
    """Makes control secrets; shows nothing of itself."""

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def control_secret(self, host_id: int, epoch: int) -> str:
        """What the coordinator shows at a host in one epoch: 64 hexadecimal digits."""
        return hmac.new(self._secret, f"{host_id}:{epoch}".encode(), hashlib.sha256).hexdigest()

    def __repr__(self) -> str:
        return "<ClusterSecret>"


def load_cluster_secret(env: Env, folder: str) -> ClusterSecret:
    """The secret of this folder, made at the first start. Blocks: call it in a thread.

    :raises ConfigError: the file is damaged. :raises OSError: the disk fails.
    """
    path = f"{folder}/{_NAME}"
    if env.disk.entry(path) is None:
        _make(env, folder, path)
    elif faults := privacy_faults(env.disk, path):
        raise ConfigError(path=path, reason=faults[0])
    try:
        text = env.disk.read(path, 100)
    except ValueError:
        text = b""
    if not _SHAPE.fullmatch(text):
        raise ConfigError(
            path=path, reason="it is damaged; restore it, or remove it and restart all hosts"
        )
    return ClusterSecret(bytes.fromhex(text.decode("ascii")))


def _make(env: Env, folder: str, path: str) -> None:
    # whole under its name or not there at all, whenever the power fails
    disk: Disk = env.disk
    temporary = f"{path}.{random_id(env)[:8]}"
    file = disk.create(temporary)
    try:
        try:
            file.write(random_id(env).encode("ascii") + b"\n")
            file.sync()
        finally:
            file.close()
        disk.rename(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            disk.remove(temporary)
        raise
    disk.sync_folder(folder)
