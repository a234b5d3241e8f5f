"""What several pages share: what is asked for, series over days, alerts, what a node is called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from hanok.core.alerts import Alert
from hanok.core.errors import Invalid
from hanok.ui.svg import Series

if TYPE_CHECKING:
    from hanok.engine.app import App

RANKS = {"critical": 0, "warning": 1, "info": 2}


@dataclass(frozen=True, slots=True)
class Ask:
    """A request for a page: values of the path, and of the query with repetitions."""

    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def text(self, name: str, default: str = "") -> str:
        values = self.query.get(name)
        return values[-1] if values else default

    def many(self, name: str) -> tuple[str, ...]:
        """Values given by repetition, by commas, or both."""
        return tuple(part.strip() for value in self.query.get(name, ()) for part in value.split(",") if part.strip())

    def number(self, name: str, default: int, *, low: int, high: int) -> int:
        """Raises Invalid for what is no whole number; a number out of bounds is moved to the nearest bound."""
        text = self.text(name)
        if not text:
            return default
        if not text.lstrip("-").isdecimal() or len(text) > 18:
            raise Invalid(f"{name}={text[:40]!r} is not a whole number")
        return min(high, max(low, int(text)))


@dataclass(frozen=True, slots=True)
class AlertLine:
    id: str
    subject: str
    kind: str
    severity: str
    state: str
    summary: str
    raised: datetime | None
    last_seen: datetime | None
    times: int


@dataclass(frozen=True, slots=True)
class Days:
    """Values by day for a line chart. `reference` is the level that the gate measured."""

    metric: str
    labels: tuple[str, ...]
    series: tuple[Series, ...]
    reference: float | None = None
    reference_name: str = ""
    marks: Mapping[str, str] = field(default_factory=dict)


def alert_line(alert: Alert) -> AlertLine:
    return AlertLine(
        alert.id,
        alert.subject,
        alert.kind,
        alert.severity,
        alert.state,
        alert.summary,
        alert.raised,
        alert.last_seen,
        alert.times,
    )


def red_first(alerts: Iterable[AlertLine]) -> tuple[AlertLine, ...]:
    """Critical before warning before what only informs, then the newest."""
    newest = sorted(alerts, key=lambda a: (a.raised.timestamp() if a.raised else 0.0, a.id), reverse=True)
    return tuple(sorted(newest, key=lambda a: RANKS.get(a.severity, 1)))


def all_days(first: str, last: str) -> tuple[str, ...]:
    """Every day from `first` to `last`, both written 2013-01-31."""
    start, end = (datetime.fromisoformat(d) for d in (first, last))
    return tuple(f"{start + timedelta(days=i):%Y-%m-%d}" for i in range((end - start).days + 1))


def performance_days(
    app: App, name: str, metric: str, *, days: int, reference: float | None = None, reference_name: str = ""
) -> Days:
    """The metric by day, one series for each version; a version that did not answer (shadow) is faint.

    The newest versions come first in the legend; at most five are drawn.
    """
    rows = [r for r in app.monitoring.performance(name, limit=8 * days) if metric in r.metrics]
    if not rows:
        return Days(metric, (), (), reference, reference_name)
    labels = all_days(rows[0].day, rows[-1].day)[-days:]
    values: dict[tuple[int, str], dict[str, float | None]] = {}
    for row in rows:
        values.setdefault((row.version, row.role), {})[row.day] = row.metrics[metric]
    newest = sorted({v for v, _ in values}, reverse=True)[:5]
    series = []
    for version in sorted(newest):
        answered, beside = values.get((version, "answered"), {}), values.get((version, "all"), {})
        if any(day in answered for day in labels):
            series.append(Series(f"version {version}", tuple(answered.get(d) for d in labels)))
        elif any(day in beside for day in labels):
            series.append(Series(f"version {version} (shadow)", tuple(beside.get(d) for d in labels), faint=True))
    marks = {f"{d.at:%Y-%m-%d}": f"{d.at:%Y-%m-%d}: {d.reason[:120]}" for d in reversed(app.serving.history(name))}
    return Days(
        metric, labels, tuple(series), reference, reference_name, {k: v for k, v in marks.items() if k in labels}
    )


def href(kind: str, name: str, facts: Mapping[str, Any], node: str) -> str:
    """The page that says most about a node."""
    from hanok.ui.text import segment

    if kind == "run":
        return f"/runs/{segment(node)}"
    if kind == "alert":
        return f"/alerts/{segment(node)}"
    if kind == "model_version" and "/" in name:
        model, _, version = name.rpartition("/")
        return f"/models/{segment(model)}?version={segment(version)}"
    if kind in ("check_result", "source_snapshot") and facts.get("table"):
        return f"/data/{segment(facts['table'])}"
    return f"/lineage/{segment(node)}"
