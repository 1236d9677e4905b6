"""What the coordinator counts (CLD-110). No login, key or uuid is a label."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from twisted.internet.interfaces import IReactorTime

from pigpen.errors import PigpenError
from pigpen.http.body import BytesBody
from pigpen.http.message import Headers, Response

if TYPE_CHECKING:
    from pigpen.coordinator.hosts import Hosts

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 2.0, 5.0)
# others would let a stranger make labels without end
_METHODS = frozenset(
    {"GET", "HEAD", "PUT", "DELETE", "POST", "PATCH", "OPTIONS", "MKCOL", "MOVE", "COPY",
     "PROPFIND", "PROPPATCH", "LOCK", "UNLOCK"}
)  # fmt: skip


#: how commits refuse; who gets another status came to none
_REFUSED = frozenset({409, 412, 422, 423, 507})


class Metrics:
    """The counters of one coordinator, in a registry of its own."""

    def __init__(self, hosts: Hosts) -> None:
        registry = self._registry = CollectorRegistry()
        self._requests = Counter(
            "pigpen_requests", "Requests answered.", ["method", "status"], registry=registry
        )
        self._children: dict[tuple[str, int], Counter] = {}
        self.redirect_seconds = _seconds(
            registry, "pigpen_redirect_seconds", "From a request to its 307."
        )
        self.acknowledge_seconds = _seconds(
            registry,
            "pigpen_acknowledge_seconds",
            "How long hosts took for a batch of expectations.",
        )
        self.commit_seconds = _seconds(
            registry, "pigpen_commit_seconds", "How long a durable commit took."
        )
        self._commits = Counter(
            "pigpen_commits", "Writes that ended, by outcome.", ["outcome"], registry=registry
        )
        self.retries = Counter(
            "pigpen_retries", "Expectations that had to go to another host.", registry=registry
        )
        body_bytes = Counter(
            "pigpen_body_bytes",
            "Bytes of objects that passed through this coordinator.",
            ["direction"],
            registry=registry,
        )
        self.bytes_in = body_bytes.labels("in")
        self.bytes_out = body_bytes.labels("out")
        self._blobs: dict[int, int] = {}
        registry.register(_HostStates(hosts))
        registry.register(_Blobs(self._blobs))

    def answered(self, method: str, status: int) -> None:
        child = self._children.get((method, status))
        if child is None:
            shown = method if method in _METHODS else "other"
            child = self._requests.labels(shown, str(status))
            if len(self._children) < 1000:
                self._children[method, status] = child
        child.inc()

    def committed(self, outcome: str) -> None:
        """:param outcome: "committed", or the code of the refusal."""
        self._commits.labels(outcome).inc()

    @contextmanager
    def committing(self, clock: IReactorTime) -> Iterator[None]:
        """Around a write whose bytes are committed by us, and not by a host's receipt."""
        begun = clock.seconds()
        try:
            yield
        except PigpenError as error:
            if error.status in _REFUSED:
                self.committed(error.code)
            raise
        self.commit_seconds.observe(clock.seconds() - begun)
        self.committed("committed")

    def set_blobs(self, by_copies: dict[int, int]) -> None:
        """How many blobs have how many reachable copies."""
        self._blobs.clear()
        self._blobs.update(by_copies)

    def answer(self) -> Response:
        """The answer to GET /metrics."""
        headers = Headers({"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"})
        return Response(200, headers, BytesBody(generate_latest(self._registry)))


def _seconds(registry: CollectorRegistry, name: str, about: str) -> Histogram:
    return Histogram(name, about, buckets=_SECONDS, registry=registry)


class _HostStates:
    """Hosts by state, counted when asked."""

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily("pigpen_hosts", "Hosts by state.", labels=["state"])
        for state, count in self._hosts.count_states().items():
            family.add_metric([state], count)
        yield family


class _Blobs:
    """Blobs by reachable copies, as last counted."""

    def __init__(self, by_copies: dict[int, int]) -> None:
        self._by_copies = by_copies

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily("pigpen_blobs", "Blobs by reachable copies.", labels=["copies"])
        for copies, count in self._by_copies.items():
            family.add_metric([str(copies)], count)
        yield family
