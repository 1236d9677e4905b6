"""Jobs: DELETE, COPY and MOVE under way, as the records remember them over a restart.

    copy    values are copied; a new destination is not seen, the source is whole
    erase   the outcome is settled: `source` is not seen any more, its values are removed

A job that stopped in its copy phase is undone (a new destination is erased), or, where something
was being written over, done again from the start. One that stopped while erasing goes on.
"""

from __future__ import annotations

import enum

import msgspec

from pigpen.database.transaction import Transaction
from pigpen.http.key import Key
from pigpen.stores.sidecar.names import key_of


class Phase(enum.Enum):
    COPY = "copy"
    ERASE = "erase"


class Job(msgspec.Struct, frozen=True):
    """``source``, ``target``: names as the records write them; ``target`` only while copying."""

    id: int
    phase: Phase
    source: str
    target: str = ""
    #: COPY with all below; MOVE
    deep: bool = True
    moves: bool = False
    #: what the target named before; "": nothing
    replaced: str = ""

    @property
    def keys(self) -> list[Key]:
        """What nobody else may change meanwhile."""
        names = (self.source, self.target, self.replaced)
        return [key_of(name) for name in names if name]

    @property
    def hidden(self) -> Key | None:
        """What is not seen by anyone, with all below it."""
        if self.phase is Phase.ERASE:
            return key_of(self.source)
        return None if self.replaced else key_of(self.target)


class Jobs:
    """The jobs that are not at their end."""

    def __init__(self) -> None:
        self._jobs: dict[int, Job] = {}
        #: those that someone is working on
        self.running: set[int] = set()

    def set(self, job: Job) -> None:
        self._jobs[job.id] = job

    def drop(self, job: Job) -> None:
        self._jobs.pop(job.id, None)

    def hides(self, key: Key) -> bool:
        return any(
            hidden is not None and hidden.contains(key)
            for hidden in (job.hidden for job in self._jobs.values())
        )

    def left(self) -> list[Job]:
        """Those that stopped before their end."""
        return [job for job in self._jobs.values() if job.id not in self.running]


# -- rules ----------------------------------------------------------------------------------------


def load(tx: Transaction) -> list[Job]:
    return [msgspec.json.decode(row[0], type=Job) for row in tx.all("SELECT job FROM jobs")]


def put(tx: Transaction, job: Job) -> None:
    """Remember a job, or the next phase of one."""
    text = msgspec.json.encode(job).decode()
    tx.run(
        "INSERT INTO jobs (id, job) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET job = ?",
        job.id,
        text,
        text,
    )


def drop(tx: Transaction, job: Job) -> None:
    tx.run("DELETE FROM jobs WHERE id = ?", job.id)
