"""What the server measures of itself, in Prometheus' text format."""

from __future__ import annotations

import psutil
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

LATENCIES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class ServerMetrics:
    """Traffic, latency, CPU and memory; predictions by model and version. Label values are known names only."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "hanok_http_requests",
            "Requests by kind of route and status class",
            ["route", "status"],
            registry=self.registry,
        )
        self.latency = Histogram(
            "hanok_http_request_duration_seconds",
            "Time to answer",
            ["route"],
            buckets=LATENCIES,
            registry=self.registry,
        )
        self.predictions = Counter("ml_prediction", "Answers", ["model", "version"], registry=self.registry)
        self._cpu = Gauge("process_cpu_seconds_total", "CPU time of this process", registry=self.registry)
        self._memory = Gauge("process_resident_memory_bytes", "Memory of this process", registry=self.registry)
        self._machine_cpu = Gauge("machine_cpu_percent", "CPU in use on this machine", registry=self.registry)
        self._machine_memory = Gauge(
            "machine_memory_available_bytes", "Free memory of this machine", registry=self.registry
        )
        self._children: dict[tuple[str, int], tuple[Counter, Histogram]] = {}  # a look-up of labels costs as much again
        self._process = psutil.Process()
        psutil.cpu_percent()

    def observe(self, route: str, status: int, seconds: float) -> None:
        counted = self._children.get((route, status // 100))
        if counted is None:
            counted = self.requests.labels(route, f"{status // 100}xx"), self.latency.labels(route)
            self._children[route, status // 100] = counted
        counted[0].inc()
        counted[1].observe(seconds)

    def render(self) -> bytes:
        times = self._process.cpu_times()
        self._cpu.set(times.user + times.system)
        self._memory.set(self._process.memory_info().rss)
        self._machine_cpu.set(psutil.cpu_percent())
        self._machine_memory.set(psutil.virtual_memory().available)
        return generate_latest(self.registry)

    def load(self) -> dict[str, float]:
        """CPU and memory as the pages show them."""
        return {
            "process_memory_mb": self._process.memory_info().rss / 1e6,
            "machine_cpu_percent": psutil.cpu_percent(),
            "machine_memory_available_gb": psutil.virtual_memory().available / 1e9,
        }
