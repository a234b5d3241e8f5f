"""Verbs of monitoring: performance before labels, and alarms that a person knows to be benign."""

from __future__ import annotations

from datetime import timedelta

from hanok.core.access import Access
from hanok.core.json import Json, JsonObject
from hanok.core.performance import WindowEstimate
from hanok.core.records import to_body
from hanok.engine.arguments import Count
from hanok.engine.bus import Bus
from hanok.engine.references import References
from hanok.engine.verbs.registry import verb
from hanok.engine.watching import Watching
from hanok.parts.access import GuardedMetadata
from hanok.parts.monitoring.alerts import Alerts
from hanok.parts.monitoring.estimates import record
from hanok.parts.monitoring.service import Monitoring
from hanok.parts.tracking.service import Tracking
from hanok.parts.training.service import Training


@verb("estimate", Access.READ, "heavy")
def estimate(
    tracking: Tracking,
    training: Training,
    monitoring: Monitoring,
    *,
    model: str,
    window: str = "week",
    limit: Count = 12,
) -> JsonObject:
    """How good a model is estimated to be before labels, by week or day, and what came of earlier estimates. Answers
    and labels of the newest window are counted as they are now."""
    tracking.registry.model(model)
    found = monitoring.estimates.list(model, window, limit=1000)
    newest, task = found[-1] if found else None, next((m.task for m in training.models() if m.name == model), None)
    begun = monitoring.estimates.begun(model, task, window) if task else None
    if begun is not None and (newest is None or newest.start < begun.start):
        newest = begun
    return {
        "model": model,
        "window": window,
        "newest": _newest(monitoring, model, newest) if newest else None,
        "record": record(found),
        "windows": [_line(e) for e in found[-limit:]],
    }


@verb("measure", Access.EDIT, "heavy")
def measure(watching: Watching, monitoring: Monitoring, bus: Bus, *, model: str) -> JsonObject:
    """Join the labels that came and measure the newest days now: performance by day, and of each feature how far it
    has moved."""
    now = watching.measure_now(model)
    bus.drain()
    answered = monitoring.answered_days(model, until=now + timedelta(days=1), limit=1)
    newest = max(answered, default=now)
    since = newest - timedelta(days=8)
    days = [d for d in monitoring.performance(model, limit=100) if d.day >= f"{since:%Y-%m-%d}"]
    reports = monitoring.drift_reports(model)
    moved = [f for f in reports[-1].features if f.suspicious or f.run_suspicious or f.integrity] if reports else []
    return {
        "model": model,
        "measured_at": now.isoformat(),
        "answered": bool(answered),
        "newest_day": f"{newest:%Y-%m-%d}",
        "days": [to_body(d) for d in days],
        "judged_rows": max(reports[-1].rows, reports[-1].run_rows) if reports else 0,
        "moved": [
            {"feature": f.feature, "psi": max(f.psi, f.run_psi), "alarm": f.alarm, "harmless": f.harmless}
            for f in moved
        ],
    }


@verb("alert.benign", Access.EDIT, "read")
def benign(
    alerts: Alerts,
    metadata: GuardedMetadata,
    monitoring: Monitoring,
    references: References,
    *,
    actor: str,
    alert: str,
    why: str,
) -> JsonObject:
    """Mark an alert as benign: it is resolved, and later weeks in which a feature that drifts looks alike do not alarm.
    One of data is resolved while rows that were set aside wait; the fault alarms again when it comes again."""
    subject = alerts.get(alert)
    if subject.kind == "drift":
        metadata.require_model(subject.subject, Access.EDIT)
    return dict(monitoring.mark_benign(alert, why=why, actor=actor, reference=references.live))


def _newest(monitoring: Monitoring, model: str, made: WindowEstimate) -> dict[str, Json]:
    answers, labelled, known = monitoring.estimates.known(model, made)
    return _line(made) | {
        "rows": max(answers, made.rows),
        "labelled": labelled / answers if answers else 0.0,
        "known": known.get(made.headline),
        "assumption": made.assumption,
        "usual_error": to_body(made.usual) if made.usual else None,
        "metrics": {metric: to_body(interval) for metric, interval in made.metrics.items()},
    }


def _line(made: WindowEstimate) -> dict[str, Json]:
    interval, checked = made.metrics.get(made.headline), made.checked
    reliable = made.reliable and not made.withheld
    return {
        "start": made.start,
        "rows": made.rows,
        "metric": made.headline,
        "estimated": interval.value if interval else None,
        "low": interval.low if interval and reliable else None,
        "high": interval.high if interval and reliable else None,
        "reliable": reliable,
        "realised": checked.realised.get(made.headline) if checked else None,
        "inside": checked.inside if checked else None,
        "calibration_held": checked.calibration.held if checked else None,
        "why": "; ".join(made.withheld) or (checked.reason if checked else ""),
    }
