"""Counts of requests for the statistics extension of the Open Inference Protocol, as tritonclient reads them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from hanok.core.clock import SystemClock, micros
from hanok.core.json import Json, JsonObject


@dataclass(slots=True)
class _Counts:
    requests: int = 0
    rows: int = 0
    seconds: float = 0.0
    failed: int = 0
    failed_seconds: float = 0.0
    last_ms: int = 0


class Statistics:
    """By model and version, since this process started."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, int], _Counts] = {}
        self._lock = threading.Lock()

    def count(self, name: str, version: int, rows: int, seconds: float, *, failed: bool = False) -> None:
        with self._lock:
            counts = self._counts.setdefault((name, version), _Counts())
            if failed:
                counts.failed, counts.failed_seconds = counts.failed + 1, counts.failed_seconds + seconds
                return
            counts.requests, counts.rows = counts.requests + 1, counts.rows + rows
            counts.seconds, counts.last_ms = counts.seconds + seconds, micros(SystemClock().now()) // 1000

    def told(self, wanted: Callable[[str, int], bool]) -> JsonObject:
        with self._lock:
            found: list[Json] = [
                _told(name, version, counts)
                for (name, version), counts in sorted(self._counts.items())
                if wanted(name, version)
            ]
        return {"model_stats": found}


def _told(name: str, version: int, counts: _Counts) -> JsonObject:
    none: JsonObject = {"count": 0, "ns": 0}
    success: JsonObject = {"count": counts.requests, "ns": int(counts.seconds * 1e9)}
    return {
        "name": name,
        "version": str(version),
        "last_inference": counts.last_ms,
        "inference_count": counts.rows,
        "execution_count": counts.requests,
        "inference_stats": {
            "success": success,
            "fail": {"count": counts.failed, "ns": int(counts.failed_seconds * 1e9)},
            "queue": none,
            "compute_input": none,
            "compute_infer": success,
            "compute_output": none,
        },
        "batch_stats": [],
    }
