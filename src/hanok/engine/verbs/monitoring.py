"""Verbs of monitoring: performance before labels, and alarms that a person knows to be benign."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hanok.core.access import Access
from hanok.core.json import Json, JsonObject
from hanok.engine.arguments import Count
from hanok.engine.references import References
from hanok.engine.verbs.registry import verb
from hanok.parts.access import GuardedMetadata
from hanok.parts.monitoring.alerts import Alerts
from hanok.parts.monitoring.estimates import record
from hanok.parts.monitoring.service import Monitoring
from hanok.parts.tracking.service import Tracking


@verb("estimate", Access.READ)
def estimate(
    tracking: Tracking, monitoring: Monitoring, *, model: str, window: str = "week", limit: Count = 12
) -> JsonObject:
    """How good a model is estimated to be before labels, by week or day, and what came of earlier estimates."""
    tracking.registry.model(model)
    found = monitoring.estimates.list(model, window, limit=1000)
    return {
        "model": model,
        "window": window,
        "newest": _newest(monitoring, model, found[-1]) if found else None,
        "record": record(found),
        "windows": [_line(b) for b in found[-limit:]],
    }


@verb("alert.benign", Access.EDIT)
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
    """Mark a drift alert as benign: it is resolved, and later weeks in which the feature looks alike do not alarm."""
    subject = alerts.get(alert)
    if subject["kind"] == "drift":
        metadata.require_model(subject["subject"], Access.EDIT)
    return dict(monitoring.mark_benign(alert, why=why, actor=actor, reference=references.live))


def _newest(monitoring: Monitoring, model: str, body: Mapping[str, Any]) -> dict[str, Json]:
    answers, labelled, known = monitoring.estimates.labelled(model, body["start"], body["end"])
    return _line(body) | {
        "labelled": labelled / answers if answers else 0.0,
        "known": known.get(body["headline"]),
        "assumption": body["assumption"],
        "usual_error": body["usual"],
        "metrics": body["metrics"],
    }


def _line(body: Mapping[str, Any]) -> dict[str, Json]:
    metric, checked = body["headline"], body["checked"] or {}
    made, sure = body["metrics"].get(metric, {}), body["reliable"]
    calibration = checked.get("calibration", {})
    return {
        "start": body["start"],
        "rows": body["rows"],
        "metric": metric,
        "estimated": made.get("value"),
        "low": made.get("low") if sure else None,
        "high": made.get("high") if sure else None,
        "reliable": sure,
        "realised": checked.get("realised", {}).get(metric),
        "inside": checked.get("inside"),
        "calibration_held": calibration.get("held"),
        "why": "; ".join(body["doubts"]) or checked.get("reason", ""),
    }
