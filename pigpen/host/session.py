"""Session: carries out what `life` decides: registers, beats, sends receipts in its epoch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from pigpen.env import Env, random_id
from pigpen.errors import ConfigError, NoAnswer, PigpenError, Refused, Unavailable
from pigpen.host import durable, identity
from pigpen.host.identity import Identity
from pigpen.host.life import Effects, make_life
from pigpen.host.link import Link, is_transient
from pigpen.host.settings import HostSettings
from pigpen.host.space import Room
from pigpen.host.tasks import Tasks
from pigpen.http import wire

#: between tries to register, doubled each time
FIRST_PAUSE = 0.5
MAX_PAUSE = 60
#: the coordinator does not know our key, our session or our epoch
_FENCED = {401, 403, 404, 409, 410}


@dataclass(slots=True)
class Condition:
    """How a host is, apart from its session."""

    state: str = "up"
    bad: dict[str, None] = field(default_factory=dict)

    @property
    def takes_writes(self) -> bool:
        return self.state == "up"


class Session:
    """One host's dealings with its coordinator."""

    log = Logger()

    def __init__(
        self, env: Env, tasks: Tasks, link: Link, settings: HostSettings, room: Room
    ) -> None:
        self._env = env
        self._tasks = tasks
        self._link = link
        self._settings = settings
        self._room = room
        self.identity = Identity()
        self.condition = Condition()
        self.instance = random_id(env)
        #: what the coordinator shows at POST /expect; None: not registered in this process yet
        self.control: str | None = None
        #: told when the coordinator is there (again)
        self.on_online: Callable[[], None] = lambda: None
        self._heartbeat_seconds: float = 10
        self._failures = 0
        #: the last trouble with the coordinator that the log tells
        self._said = ""
        self._timer: IDelayedCall | None = None
        self._beating = self._beat_again = False
        self._online = False
        self._waiters: list[Deferred[None]] = []
        self.life = make_life(self)

    # -- for the host ------------------------------------------------------------------------------

    def when_online(self) -> Deferred[None]:
        """Fires when the coordinator has accepted us; fails with what it refused us for."""
        waiter: Deferred[None] = Deferred()
        if self._online:
            waiter.callback(None)
        else:
            self._waiters.append(waiter)
        return waiter

    def set_state(self, state: str) -> None:
        """``up``, ``read-only``, ``draining`` or ``stopping``; the coordinator hears at once."""
        if state != self.condition.state:
            self.log.info("this host is {state} now", state=state)
            self.condition.state = state
            self.life.changed()

    def report_bad(self, blob: str) -> None:
        """Tell the coordinator that a copy is missing or damaged."""
        self.condition.bad[blob] = None
        self.life.changed()

    async def send_receipts(self, receipts: list[wire.Receipt]) -> list[wire.ReceiptAnswer]:
        """:param receipts: what they say of this session and its clock is changed.
        :raises PigpenError: there was no answer, or no session to send them in."""
        if self.control is None:
            raise Unavailable(reason="the coordinator has not accepted this host yet")
        me = self.identity
        for receipt in receipts:
            self._stamp(receipt)
        try:
            return await self._link.receipts(me.id, me.host_key, receipts)
        except Refused as error:
            if error.facts["status"] in _FENCED:
                self.life.fenced()
            raise

    def _stamp(self, receipt: wire.Receipt) -> None:
        """It is sent now: in our epoch, its time told by the coordinator's clock."""
        receipt.epoch = self.identity.epoch
        receipt.heard = None
        if self._link.heard is None:
            receipt.waits = None
        elif receipt.waits is not None:
            receipt.heard, moment = self._link.heard
            since = self._env.clock.seconds() - moment
            receipt.waits = min(since + receipt.waits, wire.MAX_SECONDS)

    async def say_goodbye(self) -> None:
        """A last heartbeat, so that no more transfers are sent here."""
        self.condition.state = "stopping"
        if self._online:
            try:
                await self._send_beat()
            except PigpenError:
                self.log.info("the coordinator did not hear that this host stops")

    # -- Effects -----------------------------------------------------------------------------------

    def register(self) -> None:
        self._failures = 0
        self._tasks.forget(Deferred.fromCoroutine(self._register()))

    def register_later(self) -> None:
        self._failures += 1
        seconds = min(MAX_PAUSE, FIRST_PAUSE * 2 ** min(self._failures, 10))
        self._later(seconds, self._try_again)

    def _try_again(self) -> None:
        self._tasks.forget(Deferred.fromCoroutine(self._register()))

    def come_online(self) -> None:
        self.log.info(
            "host {id} is online in epoch {epoch}", id=self.identity.id, epoch=self.identity.epoch
        )
        self._online = True
        self._wake(None)
        self.on_online()

    def go_offline(self) -> None:
        self._online = False

    def beat_now(self) -> None:
        self._later(0, self._begin_beat)

    def beat_later(self) -> None:
        self._later(self._heartbeat_seconds, self._begin_beat)

    def be_still(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
        self._online = False
        self.control = None
        self._wake(Unavailable(reason="this host stops"))

    def _later(self, seconds: float, what: Callable[[], None]) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = self._env.clock.callLater(seconds * self._env.random.uniform(0.8, 1.2), what)

    def _wake(self, error: PigpenError | None) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if waiter.called:
                continue
            if error is None:
                waiter.callback(None)
            else:
                waiter.errback(error)

    # -- registration ------------------------------------------------------------------------------

    async def _register(self) -> None:
        try:
            await self._open_session()
        except (NoAnswer, Unavailable) as error:
            self._say("not registered yet", error)
            self.life.failed()
        except PigpenError as error:
            self.log.error("this host is not accepted: {reason}", reason=error.message)
            if not is_transient(error):
                self._wake(error)
            self.life.failed()
        else:
            self._said = ""
            self.life.accepted()

    def _say(self, what: str, error: PigpenError) -> None:
        """Once, however often it is tried again."""
        if self._said != what + error.message:
            self._said = what + error.message
            self.log.info("{what}: {reason}", what=what, reason=error.message)

    async def _open_session(self) -> None:
        value = self._registration()
        if self.identity.id:
            answer = await self._link.session(self.identity.id, self.identity.host_key, value)
        elif self._settings.access_key:
            answer = await self._link.register(self._settings.access_key, value)
        else:
            reason = "the first start needs an access key: pass --access-key"
            raise ConfigError(path=self._settings.folder, reason=reason)
        host_key = answer.host_key or self.identity.host_key
        self.identity = Identity(answer.id, host_key, answer.epoch)
        await self._save()
        self._heartbeat_seconds = answer.heartbeat_seconds
        self.control = answer.control

    async def _save(self) -> None:
        """:raises PigpenError: the disk does not take it."""
        disk, folder = self._env.disk, self._settings.folder
        saving = self._env.in_thread(identity.save, disk, folder, self.identity)
        try:
            await self._tasks.own(saving)
        except OSError as error:
            raise durable.what_failed(error) from error

    def _registration(self) -> wire.Registration:
        return wire.Registration(
            instance=self.instance,
            addresses=self._settings.addresses,
            target_size=self._room.target_size,
            floor=self._room.floor,
            used=self._room.used,
            disk_free=self._room.disk.free,
            last_epoch=self.identity.epoch,
            zone=self._settings.zone,
            pin=self._settings.pin,
        )

    # -- heartbeats --------------------------------------------------------------------------------

    def _begin_beat(self) -> None:
        if self._beating:
            self._beat_again = True
        else:
            self._beating = True
            self._tasks.forget(Deferred.fromCoroutine(self._beat()))

    async def _beat(self) -> None:
        try:
            await self._send_beat()
        except Refused as error:
            if error.facts["status"] in _FENCED:
                self.log.info("the session is over: {reason}", reason=error.message)
                self.life.fenced()
            else:
                self.life.failed()
        except PigpenError as error:
            self._say("no heartbeat", error)
            self.life.failed()
        else:
            self._said = ""
            self.life.beat()
        finally:
            self._beating = False
            if self._beat_again:
                self._beat_again = False
                self.life.changed()

    async def _send_beat(self) -> None:
        folder = self._settings.folder
        space = self._env.in_thread(self._env.disk.space, folder)
        try:
            self._room.measured(await self._tasks.own(space))
        except OSError:
            self.log.error("cannot ask how much of the disk is free")
        bad = list(self.condition.bad)[:1000]
        value = self._heartbeat(bad)
        await self._link.heartbeat(self.identity.id, self.identity.host_key, value)
        for blob in bad:
            self.condition.bad.pop(blob, None)

    def _heartbeat(self, bad: list[str]) -> wire.Heartbeat:
        return wire.Heartbeat(
            epoch=self.identity.epoch,
            target_size=self._room.target_size,
            used=self._room.used,
            reserved=self._room.reserved,
            floor=self._room.floor,
            disk_free=self._room.disk.free,
            state=self.condition.state,  # type: ignore[arg-type]  # `set_state` names them
            addresses=self._settings.addresses,
            bad=bad,
        )


_is_effects: type[Effects] = Session
