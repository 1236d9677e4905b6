"""Telling hosts that an upload is given up: nobody waits long for it, and nothing goes wrong."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from pigpen.env import sleep
from pigpen.errors import ConnectFailed
from pigpen.http.message import Response
from pigpen.http.wire import Target
from pigpen.testing.env import SimEnv
from pigpen.web.give_up import GIVE_UP_SECONDS, give_up
from tests.sender_kit import Asked, FakeSender


class Hosts(FakeSender):
    """Answers by the name of the host: a status, not at all, or never."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.stopped = 0

    async def answer(self, asked: Asked) -> Response:
        url = asked.url
        self.asked.append(f"{asked.method} {url} {asked.pin}")
        if "gone" in url:
            raise ConnectFailed(peer=url, reason="refused")
        if "silent" in url:
            try:
                await Deferred()
            finally:
                self.stopped += 1
        return Response(int(url.rpartition("/")[2]))


class GiveUpTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.env = SimEnv()
        self.hosts = Hosts()

    def tell(self, *names: str) -> Deferred[None]:
        targets = [Target("ab" * 32, f"http://h/{name}", "PIN") for name in names]
        return Deferred.fromCoroutine(give_up(self.hosts, self.env.clock, targets))

    def test_answers(self) -> None:
        """Whatever hosts say: one that is older does not know of it."""
        self.successResultOf(self.tell("204", "405", "403", "gone", "409", "500"))
        self.assertEqual(self.hosts.asked[0], "DELETE http://h/204 PIN")
        self.assertEqual(len(self.hosts.asked), 6)
        self.successResultOf(self.tell())

    def test_silent(self) -> None:
        """Silent hosts cost some seconds once, not each."""
        told = self.tell("silent", "silent", "204")
        self.assertNoResult(told)
        self.env.run(sleep(self.env, GIVE_UP_SECONDS))
        self.successResultOf(told)
        self.assertEqual(self.hosts.stopped, 2)

    def test_cancelled(self) -> None:
        """Whoever gives up may be stopped in it."""
        told = self.tell("silent")
        told.cancel()
        self.failureResultOf(told, CancelledError)
        self.assertEqual(self.hosts.stopped, 1)
        self.assertEqual(self.env.world.clock.getDelayedCalls(), [])
