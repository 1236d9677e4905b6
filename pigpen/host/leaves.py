"""Leaves of a large pool, made before blobs need them.

In a young pool nearly each small blob needs a leaf folder of its own, and making that durable takes
as long as the blob. So what will be needed sooner or later is made while nothing else is to do:
65,536 folders, of a block each.
"""

from __future__ import annotations

from collections.abc import Callable

from pigpen.env import Env, sleep
from pigpen.host.folder import LEAVES, OUTER_FOLDERS, Folder
from pigpen.host.tasks import Tasks

#: what an empty folder takes on most file systems
_FOLDER_BYTES = 4096
#: a pool whose target size is less makes them as it needs them: they would take over a hundredth
LEAST_TARGET_SIZE = 100 * LEAVES * _FOLDER_BYTES
#: between two outer folders: all of them take some seconds, and a part of one core
PAUSE_SECONDS = 0.02
#: after this we look again whether nothing is to do
BUSY_SECONDS = 0.5


async def make_leaves(env: Env, tasks: Tasks, folder: Folder, busy: Callable[[], bool]) -> None:
    """Make those that are missing. :raises OSError, DiskFailed: the disk does not take them."""
    for number in range(OUTER_FOLDERS):
        while busy():
            await sleep(env, BUSY_SECONDS)
        if await tasks.own(env.in_thread(folder.make_leaves, number)):
            await sleep(env, PAUSE_SECONDS)
