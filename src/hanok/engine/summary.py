"""What a replay amounts to: performance, trainings, decisions, data. The same store gives the same summary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hanok.core.lineage import NodeKind
from hanok.engine.app import App


def summary(app: App) -> dict[str, Any]:
    """Facts only: no ids, no durations, so that two replays of the same feeds can be compared."""
    return {
        "until": app.clock.now().isoformat(),
        "tables": {
            name: {"rows": app.tables.size(name), "quarantined": app.tables.size("quarantine--" + name)}
            for name in app.tables.names()
            if "--" not in name
        },
        "models": [_model(app, model.name, model.task) for model in app.training.models()],
        "alerts": _alerts(app),
    }


def _model(app: App, name: str, task: str) -> dict[str, Any]:
    days = [p for p in app.monitoring.performance(name) if p["role"] == "answered"]
    deployments = [
        {"at": d.at.isoformat(), "arms": [[a.version, a.mode, a.share] for a in d.arms], "reason": d.reason}
        for d in reversed(app.serving.history(name))
    ]
    return {
        "name": name,
        "predictions": app.tables.size(f"predictions--{name}"),
        "labelled": sum(p["rows"] for p in days),
        "versions": [
            {
                "version": v.version,
                "reason": v.facts.get("reason", ""),
                "rows": v.facts.get("training_rows"),
                "metrics": v.facts.get("metrics", {}),
                "passed": (v.facts.get("verdict") or {}).get("passed"),
                "why": (v.facts.get("verdict") or {}).get("why", ""),
            }
            for v in reversed(app.tracking.registry.versions(name))
        ],
        "deployments": deployments,
        "weeks": _weeks(days),
        "triggers": [
            {"at": n.created.isoformat(), "kind": n.facts["kind"], "reason": n.facts["reason"]}
            for n in reversed(app.metadata.read(lambda r: r.lineage.find(NodeKind.DECISION, limit=1000)))
            if n.name.startswith(f"retrain {name}:")
        ],
    }


def _weeks(days: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Row-weighted means of the daily metrics by ISO week."""
    from datetime import date

    weeks: dict[str, list[Mapping[str, Any]]] = {}
    for day in days:
        year, number, _ = date.fromisoformat(day["day"]).isocalendar()
        weeks.setdefault(f"{year}-W{number:02d}", []).append(day)
    found: list[dict[str, Any]] = []
    for week, members in sorted(weeks.items()):
        metrics: dict[str, float] = {}
        for metric in sorted({m for d in members for m in d["metrics"]}):
            pairs = [(d["metrics"][metric], d["rows"]) for d in members if d["metrics"].get(metric) is not None]
            if pairs:
                metrics[metric] = round(sum(v * n for v, n in pairs) / sum(n for _, n in pairs), 4)
        found.append({"week": week, "rows": sum(d["rows"] for d in members)} | metrics)
    return found


def _alerts(app: App) -> dict[str, int]:
    counts: dict[str, int] = {}
    for alert in app.alerts.list(limit=100_000):
        counts[alert["kind"]] = counts.get(alert["kind"], 0) + 1
    return dict(sorted(counts.items()))
