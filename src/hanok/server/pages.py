"""The pages: view models of the ui floor, rendered."""

from __future__ import annotations

from typing import Any

from hanok.server.metrics import ServerMetrics
from hanok.server.routes import Route


def routes(app: Any, metrics: ServerMetrics) -> list[Route]:
    """All pages."""
    return []
