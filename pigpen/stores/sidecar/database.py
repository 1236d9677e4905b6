"""The records of a gateway in a file of its own, never inside the store (DAV-7)."""

from __future__ import annotations

from functools import partial

from pigpen.database.sqlite.database import SqliteDatabase
from pigpen.env import Env
from pigpen.errors import InsufficientStorage
from pigpen.stores.sidecar.records import PACKAGE, Records


class SidecarDatabase(SqliteDatabase):
    """``sidecar.sqlite``: one gateway at a time may have it open."""

    noun = "sidecar"
    user = "gateway"
    package = PACKAGE
    full = partial(InsufficientStorage, reason="the disk of the gateway is full")


async def open_records(env: Env, folder: str) -> Records:
    """:param folder: the gateway's state folder, which is there; another store needs another one.
    :raises ConfigError: another gateway uses it, a newer program made it, or it is damaged.
    """
    return await SidecarDatabase.open(env, f"{folder}/sidecar.sqlite")


_is_records: type[Records] = SidecarDatabase
