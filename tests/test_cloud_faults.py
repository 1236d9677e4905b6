"""A whole cloud, simulated, with one part failing at every moment of a write.

`step` runs one event of the world; killing at each step covers every gap between two events.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from pigpen.env import sleep
from pigpen.errors import NoAnswer
from pigpen.http import wire
from pigpen.http.body import StreamBody
from tests.cloud_kit import Cloud
from tests.test_cloud import chunks

OLD = b"old" * 3000
NEW = b"new" * 4000
ID = "ab" * 32
#: events between two moments at which something is killed: a prime, so that rounds differ
STRIDE = 7


class FaultCase(SynchronousTestCase):
    def make_cloud(self) -> Cloud:
        cloud = Cloud()
        self.addCleanup(cloud.close)
        cloud.start_host("h1")
        self.assertEqual(cloud.put("x", OLD).status, 201)
        return cloud

    def account(self, cloud: Cloud) -> wire.Account:
        return cloud.ask("GET", "/account").json(wire.Account)

    def kill_everywhere(
        self, write: Callable[[Cloud], Coroutine[Any, Any, int]], kill: Callable[[Cloud], None]
    ) -> list[str]:
        """Write NEW over OLD, kill something after 0, STRIDE, 2 STRIDE... events.

        :return: how the writes ended.
        """
        ends: list[str] = []
        steps = 0
        while True:
            cloud = self.make_cloud()
            writing = Deferred.fromCoroutine(write(cloud))
            statuses: list[int] = []
            writing.addCallbacks(statuses.append, lambda failure: failure.trap(NoAnswer))
            with cloud.world.watching():
                for _ in range(steps):
                    if writing.called or not cloud.world.clock.step():
                        break
                finished = writing.called
                kill(cloud)
                cloud.world.settle(120)
            self.assertTrue(writing.called, steps)
            ends.append(self.check(cloud, statuses, steps))
            if finished:
                return ends
            steps += STRIDE

    def check(self, cloud: Cloud, statuses: list[int], steps: int) -> str:
        """Old or new, whole; 201 means new; sums are right; asking settles it."""
        asked = cloud.ask("GET", f"/api/ann/x?write={ID}")
        state = "unknown" if asked.status == 404 else asked.json(wire.WriteState).state
        got = cloud.get("x")
        self.assertEqual(got.status, 200, (steps, got))
        self.assertEqual(got.data, NEW if state == "committed" else OLD, steps)
        if {200, 201, 204} & set(statuses):
            self.assertEqual(state, "committed", steps)
        if state == "open":
            given_up = cloud.ask("DELETE", f"/api/ann/x?write={ID}")
            self.assertEqual(given_up.status, 204, steps)
        account = self.account(cloud)
        self.assertEqual((account.used, account.reserved), (len(got.data), 0), steps)
        self.assertEqual(cloud.put("y", NEW).status, 201, steps)
        return state


async def json_put(cloud: Cloud) -> int:
    offer = await cloud.asking(
        "PUT", "/api/ann/x?redirect=false", Upload_Length=str(len(NEW)), Pigpen_Write=ID
    )
    if offer.status != 200:
        return offer.status
    url = offer.json(wire.UploadOffer).url
    return (await cloud.asking("PUT", url, StreamBody(chunks(NEW), len(NEW)))).status


async def streamed_put(cloud: Cloud) -> int:
    body = StreamBody(chunks(NEW), len(NEW))
    return (await cloud.asking("PUT", "/api/ann/x", body, Pigpen_Write=ID)).status


class CoordinatorKilledTests(FaultCase):
    def restart(self, cloud: Cloud) -> None:
        cloud.restart_coordinator()

    def test_json_form(self) -> None:
        """The coordinator dies anywhere in an upload: no version is lost, cut or doubled."""
        ends = self.kill_everywhere(json_put, self.restart)
        self.assertLessEqual({"unknown", "committed"}, set(ends))

    def test_streamed_form(self) -> None:
        """Nor where the bytes pass through it."""
        ends = self.kill_everywhere(streamed_put, self.restart)
        self.assertLessEqual({"unknown", "committed"}, set(ends))


class HostKilledTests(FaultCase):
    def restart(self, cloud: Cloud) -> None:
        cloud.nodes["h1"].env.boot()
        cloud.start_host("h1")

    def test_json_form(self) -> None:
        """A host dies anywhere in an upload and comes back: the same."""
        ends = self.kill_everywhere(json_put, self.restart)
        self.assertLessEqual({"unknown", "committed"}, set(ends))

    def test_streamed_form(self) -> None:
        """The coordinator knows how it ended: never open after its answer."""
        ends = self.kill_everywhere(streamed_put, self.restart)
        self.assertLessEqual({"committed", "abandoned"}, set(ends))
        self.assertNotIn("open", ends)


class OutageTests(FaultCase):
    def test_coordinator_down_at_commit(self) -> None:
        """The coordinator is gone when the bytes are there: 202, and the version appears later."""
        cloud = self.make_cloud()
        offer = cloud.ask(
            "PUT", "/api/ann/x?redirect=false", Upload_Length=str(len(NEW)), Pigpen_Write=ID
        )
        cloud.coordinator._catalog.drop()
        cloud.nodes["coordinator"].env.kill()
        answer = cloud.ask("PUT", offer.json(wire.UploadOffer).url, NEW)
        self.assertEqual(answer.status, 202)
        cloud.restart_coordinator()
        cloud.world.settle(60)
        self.assertEqual(cloud.get("x").data, NEW)

    def test_late_never_buries(self) -> None:
        """A write that was late does not bury one that came between."""
        cloud = self.make_cloud()
        offer = cloud.ask(
            "PUT", "/api/ann/x?redirect=false", Upload_Length=str(len(NEW)), Pigpen_Write=ID
        )
        cloud.coordinator._catalog.drop()
        cloud.nodes["coordinator"].env.kill()
        answer = cloud.ask("PUT", offer.json(wire.UploadOffer).url, NEW)
        self.assertEqual(answer.status, 202)
        cloud.restart_coordinator()
        self.assertEqual(cloud.ask("PUT", "/api/ann/x", b"between").status, 204)
        cloud.world.settle(120)
        self.assertEqual(cloud.get("x").data, b"between")
        state = cloud.ask("GET", f"/api/ann/x?write={ID}").json(wire.WriteState)
        self.assertEqual((state.state, state.status), ("refused", 409))

    def test_left_before_a_repetition(self) -> None:
        """Nor does one whose client left while the host could not tell the coordinator, when the
        connection breaks and what was said of that client is said again (CLD-34)."""
        cloud = self.make_cloud()
        network = cloud.world.network
        offer = cloud.ask("PUT", "/api/ann/x?redirect=false", Upload_Length=str(len(NEW)))
        network.partition("h1", "coordinator")
        sending = Deferred.fromCoroutine(cloud.asking("PUT", offer.json(wire.UploadOffer).url, NEW))
        cloud.run(sleep(cloud.user, 1))
        sending.cancel()
        self.failureResultOf(sending)
        cloud.run(sleep(cloud.user, 1))
        network.reset_all("h1", "coordinator")
        self.assertEqual(cloud.ask("PUT", "/api/ann/x", b"newer").status, 204)
        cloud.run(sleep(cloud.user, 1))
        network.heal("h1", "coordinator")
        cloud.world.settle(60)
        self.assertEqual(cloud.get("x").data, b"newer")

    def test_coordinator_cut_off(self) -> None:
        """Where the coordinator does not reach a host, nobody is sent there: 503 within a second,
        and all is well when the network is."""
        cloud = self.make_cloud()
        cloud.world.network.partition("h1", "coordinator")
        begun = cloud.world.clock.seconds()
        self.assertEqual(cloud.ask("GET", "/api/ann/x").status, 503)
        self.assertEqual(cloud.put("y", NEW).status, 503)
        self.assertLess(cloud.world.clock.seconds() - begun, 2)
        cloud.world.network.heal("h1", "coordinator")
        cloud.world.settle(30)
        self.assertEqual(cloud.get("x").data, OLD)
        self.assertEqual(cloud.put("y", NEW).status, 201)

    def test_key_revoked_in_transfer(self) -> None:
        """A transfer that began goes on when its key is deleted; a new one does not begin."""
        cloud = self.make_cloud()
        made = cloud.ask("POST", "/account/keys").json(wire.MadeKey)
        offer = cloud.ask(
            "PUT", "/api/ann/x?redirect=false", key=made.key, Upload_Length=str(len(NEW))
        )
        cloud.ask("DELETE", f"/account/keys/{made.id}")
        self.assertEqual(cloud.ask("GET", "/api/ann/x", key=made.key).status, 401)
        self.assertEqual(cloud.ask("PUT", offer.json(wire.UploadOffer).url, NEW).status, 201)
        self.assertEqual(cloud.get("x").data, NEW)
