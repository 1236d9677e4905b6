"""Host: lends a folder's room to a cloud. Puts the parts together and watches over them."""

from __future__ import annotations

from collections import Counter

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from pigpen.env import Env, OpenFile, Space, sleep
from pigpen.errors import ConfigError, DiskFailed, PigpenError, Unavailable
from pigpen.host import durable, identity, leaves
from pigpen.host.confirming import ConfirmTools
from pigpen.host.downloads import Downloads
from pigpen.host.expect import ExpectHandler, ExpectTools
from pigpen.host.expectations import Expectations
from pigpen.host.files import OpenFiles
from pigpen.host.folder import Folder, FoundPart
from pigpen.host.identity import Identity
from pigpen.host.link import Link
from pigpen.host.outbox import Delivery, Outbox
from pigpen.host.outbox_file import OutboxFile
from pigpen.host.parts import Parts
from pigpen.host.session import Session
from pigpen.host.settings import HostSettings
from pigpen.host.space import Room
from pigpen.host.status import Figures, MetricsHandler, StatusHandler
from pigpen.host.tasks import Tasks
from pigpen.host.transfers import TransferHandler
from pigpen.host.uploads import UploadTools
from pigpen.http.message import Handler
from pigpen.http.wire import HostStatus, Receipt
from pigpen.web.sender import Sender
from pigpen.web.tree import ResourceTree

#: between two looks at what has expired
CHORES_SECONDS = 60


class Host:
    """Serve ``handler`` somewhere; `start` before, `stop` after."""

    log = Logger()

    def __init__(self, env: Env, client: Sender, settings: HostSettings) -> None:
        """:param client: an `HttpClient`, for the coordinator; it stays its owner's."""
        self._env = env
        self._settings = settings
        self._tasks = Tasks()
        self._chores: list[Deferred[None]] = []
        self._lock: OpenFile | None = None
        self._trash = 0
        self._outcomes: Counter[str] = Counter()
        self._folder = Folder(env.disk, settings.folder)
        self.room = Room(settings.target_size, settings.floor)
        self.table = Expectations(
            env.clock, settings.max_expectations, settings.max_account_expectations, self.room
        )
        link = Link(env, client, settings.coordinator)
        self.session = Session(env, self._tasks, link, settings, self.room)
        self.parts = Parts(env, self._folder, self.room, self._tasks, self._disk_error)
        self._files = OpenFiles(env, self._folder, self._tasks, settings.open_files, self._bad_blob)
        self._outbox_file = OutboxFile(env, self._folder, self._tasks, self._disk_error)
        self.outbox = Outbox(
            env, self._tasks, self._outbox_file, self.session.send_receipts, self._refused
        )
        self.session.on_online = self.outbox.wake
        self._downloads = Downloads(self._files, self.table)
        self._uploads = UploadTools(
            env=env,
            tasks=self._tasks,
            folder=self._folder,
            table=self.table,
            room=self.room,
            parts=self.parts,
            confirming=ConfirmTools(self.table, self.outbox),
            takes_writes=self._takes_writes,
        )
        self.handler: Handler = self._make_tree()

    # -- life --------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Take the folder, look through it and begin to register; `when_online` tells how that
        went.

        :raises ConfigError: the folder cannot be used, or another process has it.
        """
        found = await self._tasks.own(self._env.in_thread(self._open))
        claim, used, self._trash, parts, receipts, space = found
        self._lock = claim.lock
        self.session.identity = claim.identity
        if not claim.identity.id and not self._settings.access_key:
            await self._unlock()
            reason = "the first start needs an access key: pass --access-key"
            raise ConfigError(path=self._settings.folder, reason=reason)
        self.room.measured(space)
        self.room.used = used + self._trash
        self.parts.restore(parts)
        self.outbox.restore(receipts)
        self._chores = [Deferred.fromCoroutine(self._do_chores())]
        if self._settings.target_size >= leaves.LEAST_TARGET_SIZE:
            self._chores.append(Deferred.fromCoroutine(self._make_leaves()))
        self.session.life.start()

    def when_online(self) -> Deferred[None]:
        """Fires when the coordinator has accepted this host; fails with what it refused it for."""
        return self.session.when_online()

    async def stop(self, grace_seconds: float | None = None) -> None:
        """Take nothing new, give running transfers some time, keep what is cut, let go of all."""
        await self.session.say_goodbye()
        await self._finish_uploads(self._settings.grace if grace_seconds is None else grace_seconds)
        try:
            await self.outbox.stop()
        except PigpenError as error:
            self.log.error("receipts are lost: {reason}", reason=error.message)
        self.session.life.stop()
        self.table.close()
        chores, self._chores = self._chores, []
        for chore in chores:
            chore.cancel()
        self._files.close()
        await self._tasks.settled()
        self._tasks.forget(self._outbox_file.close())  # late receipts were kept until now
        await self._tasks.settled()
        await self._unlock()

    async def _finish_uploads(self, seconds: float) -> None:
        ends = self._env.clock.seconds() + seconds
        while self._uploads.running and self._env.clock.seconds() < ends:
            await sleep(self._env, min(0.1, seconds))
        for upload in list(self._uploads.running.values()):
            _ = upload.cut(Unavailable(reason="this host stops; go on elsewhere, or later"))

    async def _unlock(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            await self._env.in_thread(lock.close)

    def _open(
        self,
    ) -> tuple[identity.Claim, int, int, list[FoundPart], list[Receipt], Space]:
        """Blocks."""
        claim = identity.claim(self._env.disk, self._settings.folder)
        try:
            self._folder.make_folders()
            wall = self._env.wall()
            return (
                claim,
                self._folder.count_used(),
                self._folder.sweep_trash(wall),
                self._folder.sweep_incoming(wall),
                self._outbox_file.load(),
                self._env.disk.space(self._settings.folder),
            )
        except (OSError, DiskFailed) as error:
            claim.lock.close()
            reason = f"this folder cannot be used: {error}"
            raise ConfigError(path=self._settings.folder, reason=reason) from error
        except BaseException:
            claim.lock.close()
            raise

    async def _do_chores(self) -> None:
        while True:
            try:
                await sleep(self._env, CHORES_SECONDS)
                await self.clean_up()
            except CancelledError:
                return
            except (PigpenError, OSError) as error:
                self.log.error("cleaning up failed: {reason}", reason=str(error))

    async def clean_up(self) -> None:
        """Remove what has waited long enough."""
        for blob in self.parts.expired:
            await self._uploads.remove_part(blob)
        await self._sweep_trash()

    async def _make_leaves(self) -> None:
        def busy() -> bool:
            return bool(self._uploads.running) or self.room.left < leaves.LEAST_TARGET_SIZE // 100

        try:
            await leaves.make_leaves(self._env, self._tasks, self._folder, busy)
        except CancelledError:
            return
        except DiskFailed as error:
            self._disk_error(error)
        except OSError as error:  # each upload makes its own
            self.log.info("cannot make folders ahead: {reason}", reason=str(error))

    async def _sweep_trash(self) -> None:
        sweeping = self._env.in_thread(self._folder.sweep_trash, self._env.wall())
        trash = await self._tasks.own(sweeping)
        self.room.wrote(trash - self._trash)
        self._trash = trash

    # -- what happens to blobs ---------------------------------------------------------------------

    def _takes_writes(self) -> bool:
        return self.session.condition.takes_writes

    def _disk_error(self, error: BaseException) -> None:
        """A write failed: after a failed fsync nothing this disk says is believed."""
        if isinstance(error, DiskFailed):
            self.log.error(
                "the disk failed ({reason}): this host is read-only until it is started again",
                reason=str(error.__cause__),
            )
            self.session.set_state("read-only")

    def _bad_blob(self, blob: str) -> None:
        self._outcomes["bad"] += 1
        self.session.report_bad(blob)
        self._tasks.forget(Deferred.fromCoroutine(self._quarantine(blob)))

    async def _quarantine(self, blob: str) -> None:
        moving = self._env.in_thread(_quarantine, self._folder, blob, self._env.wall())
        try:
            await self._tasks.own(moving)
        except OSError as error:
            self.log.error("cannot move a bad blob away: {reason}", reason=str(error))

    def _refused(self, delivery: Delivery) -> None:
        """The coordinator does not want a blob: nothing is kept of it. One that it does not know
        stays: its catalog may be an old backup."""
        self._outcomes["refused"] += 1
        answer = delivery.answer
        if answer is not None and answer.status != 404:
            self._tasks.forget(Deferred.fromCoroutine(self._drop(delivery.receipt.blob)))

    async def _drop(self, blob: str) -> None:
        self._files.forget(blob)
        try:
            removing = self._env.in_thread(self._folder.remove_blob, blob)
            self.room.wrote(-await self._tasks.own(removing))
        except OSError as error:
            self._disk_error(durable.what_failed(error))

    # -- what is told ------------------------------------------------------------------------------

    def _make_tree(self) -> ResourceTree:
        tree = ResourceTree()
        expect = ExpectTools(
            env=self._env,
            tasks=self._tasks,
            folder=self._folder,
            files=self._files,
            parts=self.parts,
            room=self.room,
            table=self.table,
            running=self._uploads.running,
            displace=self._uploads.displace,
            control=lambda: self.session.control,
            takes_writes=self._takes_writes,
            stopping=lambda: self.session.condition.state == "stopping",
            heard=self.outbox.heard,
        )
        tree.mount("/expect", ExpectHandler(expect))
        tree.mount("/x/", TransferHandler(self._downloads, self._uploads))
        tree.mount("/status", StatusHandler(self.status))
        tree.mount("/metrics", MetricsHandler(self._figures()))
        return tree

    def status(self) -> HostStatus:
        me: Identity = self.session.identity
        return HostStatus(
            id=me.id,
            epoch=me.epoch,
            instance=self.session.instance,
            state=self.session.condition.state,
            target_size=self.room.target_size,
            used=self.room.used,
            reserved=self.room.reserved,
            floor=self.room.floor,
            disk_free=max(0, self.room.disk.free),
        )

    def _figures(self) -> Figures:
        figures = Figures()
        room = self.room
        figures.gauge("pigpen_host_used_bytes", "Allocated by blobs.", lambda: room.used)
        figures.gauge("pigpen_host_reserved_bytes", "Promised.", lambda: room.reserved)
        figures.gauge("pigpen_host_room_bytes", "Can be promised.", lambda: room.left)
        figures.gauge("pigpen_host_trash_bytes", "In the trash.", lambda: self._trash)
        figures.gauge("pigpen_host_expectations", "Live.", lambda: len(self.table))
        figures.gauge("pigpen_host_parts", "Waiting to be resumed.", lambda: len(self.parts))
        figures.gauge("pigpen_host_receipts_waiting", "Not acknowledged.", lambda: len(self.outbox))
        figures.gauge("pigpen_host_sent_bytes", "By downloads.", lambda: self._downloads.sent)
        figures.counter(
            "pigpen_host_violations", "Refused requests.", "kind", lambda: self.table.violations
        )
        figures.counter("pigpen_host_blobs", "Blobs lost.", "outcome", lambda: self._outcomes)
        return figures


def _quarantine(folder: Folder, blob: str, wall: float) -> None:
    """Blocks. Only what is there and no plain file is moved; the rest is looked at by people."""
    entry = folder.disk.entry(folder.blob(blob))
    if entry is not None and not entry.is_file:
        folder.quarantine(blob, wall)
