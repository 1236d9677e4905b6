"""What anyone may know of a host: /status and /metrics. No uuid, login or key in either."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pigpen.http.answers import check_method, json_answer
from pigpen.http.body import BytesBody
from pigpen.http.message import Handler, Headers, Request, Response
from pigpen.http.wire import HostStatus


class StatusHandler:
    """GET /status."""

    def __init__(self, status: Callable[[], HostStatus]) -> None:
        self._status = status

    async def handle(self, request: Request) -> Response:
        check_method(request, "GET", "HEAD")
        return json_answer(200, self._status())


class Figures:
    """The figures of a host, asked for when somebody looks: the hot paths only count."""

    def __init__(self) -> None:
        self._gauges: list[tuple[str, str, Callable[[], float]]] = []
        self._counters: list[tuple[str, str, str, Callable[[], dict[str, int]]]] = []

    def gauge(self, name: str, help: str, value: Callable[[], float]) -> None:
        self._gauges.append((name, help, value))

    def counter(
        self, name: str, help: str, label: str, values: Callable[[], dict[str, int]]
    ) -> None:
        """:param values: by the value of `label`."""
        self._counters.append((name, help, label, values))

    def collect(self) -> list[Metric]:
        found: list[Metric] = []
        for name, help, value in self._gauges:
            found.append(GaugeMetricFamily(name, help, value()))
        for name, help, label, values in self._counters:
            family = CounterMetricFamily(name, help, labels=[label])
            for text, count in sorted(values().items()):
                family.add_metric([text], count)
            found.append(family)
        return found


class _FiguresCollector(Collector):
    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> list[Metric]:
        return self._figures.collect()


class MetricsHandler:
    """GET /metrics, in the text format of Prometheus."""

    def __init__(self, figures: Figures) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_FiguresCollector(figures))

    async def handle(self, request: Request) -> Response:
        check_method(request, "GET", "HEAD")
        headers = Headers({"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})
        return Response(200, headers, BytesBody(generate_latest(self._registry)))


_is_handler: tuple[type[Handler], ...] = (StatusHandler, MetricsHandler)
