"""What a replay amounts to: performance, trainings, decisions, data. The same store gives the same summary."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import timedelta

import numpy as np

from hanok.compute.coverage import unusual
from hanok.compute.frames import PREDICT_AT
from hanok.core.errors import NotFound
from hanok.core.json import Json, JsonObject
from hanok.core.lineage import NodeKind
from hanok.core.performance import HINDSIGHT, Performance
from hanok.engine.app import App
from hanok.engine.diagnose import why_alert
from hanok.engine.evidence import Evidence
from hanok.engine.hindsight import hindsight
from hanok.engine.parts import find
from hanok.engine.sizes import sizes

WAIT = timedelta(days=3)  # for labels of the last days
UNLABELLED_MIN = 0.1
CAUSES_MAX = 10


def summary(app: App) -> JsonObject:
    """Facts only: no ids, no durations, so that two replays of the same feeds can be compared."""
    return {
        "until": app.clock.now().isoformat(),
        "tables": {
            name: sizes(app.tables, app.validation.kept, name).as_dict()
            for name in app.tables.names()
            if "--" not in name
        },
        "models": [_model(app, model.name, model.task) for model in app.training.models()],
        "alerts": _alerts(app),
        "causes": _causes(app),
    }


def _model(app: App, name: str, task: str) -> JsonObject:
    days = [p for p in app.monitoring.performance(name) if p.role == "answered"]
    deployments = [
        {"at": d.at.isoformat(), "arms": [[a.version, a.mode, a.share] for a in d.arms], "reason": d.reason}
        for d in reversed(app.serving.history(name))
    ]
    return {
        "name": name,
        "predictions": app.tables.size(f"predictions--{name}"),
        "labelled": sum(p.rows for p in days),
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
        "gaps": _newest_gaps(app, name),
        "unusual_days": _unusual_days(app, name),
        "drift": _drift(app, name),
        "unseen": _unseen(app, name),
        "months": HINDSIGHT.body(hindsight(find(app, Evidence), name))["months"] if days else [],
        "weeks": _weeks(days),
        "triggers": [
            {"at": n.created.isoformat(), "kind": n.facts["kind"], "reason": n.facts["reason"]}
            for n in reversed(app.metadata.read(lambda r: r.lineage.find(NodeKind.DECISION, limit=1000)))
            if n.name.startswith(f"retrain {name}:")
        ],
    }


def _weeks(days: list[Performance]) -> list[dict[str, Json]]:
    """Row-weighted means of the daily metrics by ISO week."""
    from datetime import date

    weeks: dict[str, list[Performance]] = {}
    for day in days:
        year, number, _ = date.fromisoformat(day.day).isocalendar()
        weeks.setdefault(f"{year}-W{number:02d}", []).append(day)
    found: list[dict[str, Json]] = []
    for week, members in sorted(weeks.items()):
        metrics: dict[str, float] = {}
        for metric in sorted({m for d in members for m in d.metrics}):
            pairs = [(v, d.rows) for d in members if (v := d.metrics.get(metric)) is not None]
            if pairs:
                metrics[metric] = round(sum(v * n for v, n in pairs) / sum(n for _, n in pairs), 4)
        found.append({"week": week, "rows": sum(d.rows for d in members), **metrics})
    return found


def _alerts(app: App) -> dict[str, int]:
    counts: dict[str, int] = {}
    for alert in app.alerts.list(limit=100_000):
        counts[alert.kind] = counts.get(alert.kind, 0) + 1
    return dict(sorted(counts.items()))


def _newest_gaps(app: App, name: str) -> list[JsonObject]:
    """Feature views that gave nothing for some rows of the newest training set."""
    versions = app.tracking.registry.versions(name)
    return list(versions[0].facts.get("gaps", ())) if versions else []


def _unusual_days(app: App, name: str) -> list[JsonObject]:
    """Days on which far more rows than usual never got a label. The last days may still wait for theirs."""
    model = app.training.model(name)
    spine = app.features.spine_rows(model, end=app.clock.now() - WAIT)
    if not spine.num_rows:
        return []
    missing = app.features.labels(model, spine).is_null().to_numpy(zero_copy_only=False)
    days, place = np.unique(spine.column(PREDICT_AT).to_numpy().astype("datetime64[D]"), return_inverse=True)
    rows = np.bincount(place)
    share = np.bincount(place, weights=missing) / rows
    return [
        {
            "day": str(days[i]),
            "rows": int(rows[i]),
            "unlabelled": round(float(share[i]), 4),
            "usual": round(float(np.median(share)), 4),
        }
        for i in unusual(share)
        if share[i] > UNLABELLED_MIN
    ]


@dataclass(slots=True)
class _Farthest:
    feature: str
    psi: float = 0.0
    suspicious: int = 0
    harmless: int = 0
    alarmed: int = 0


def _drift(app: App, name: str) -> list[JsonObject]:
    """For each feature its farthest drift, on how many days it was suspicious, found harmless, and alarmed."""
    found: dict[str, _Farthest] = {}
    for report in app.monitoring.drift_reports(name):
        for feature in report.features:
            line = found.setdefault(feature.feature, _Farthest(feature.feature))
            line.psi = max(line.psi, feature.psi)
            line.suspicious += feature.suspicious
            line.harmless += feature.harmless
            line.alarmed += feature.alarm
    return [asdict(x) for x in sorted(found.values(), key=lambda x: (-x.alarmed, -x.psi, x.feature))]


def _unseen(app: App, name: str) -> dict[str, dict[str, int]]:
    """Values of categories that the version that answered had not seen in training, and how often each came."""
    counts: dict[str, dict[str, int]] = {}
    for report in app.monitoring.drift_reports(name):
        for column, values in report.unseen.items():
            mine = counts.setdefault(column, {})
            for value, count in values.items():
                mine[value] = mine.get(value, 0) + count
    return {column: dict(sorted(values.items(), key=lambda v: (-v[1], v[0]))) for column, values in counts.items()}


def _causes(app: App) -> list[JsonObject]:
    """What `why` names as the cause of each critical alert."""
    causes: list[JsonObject] = []
    alerts = sorted(app.alerts.list(limit=100_000), key=lambda a: (a.raised, a.subject, a.fingerprint))
    for alert in alerts:
        if alert.severity == "critical" and len(causes) < CAUSES_MAX:
            try:
                found = why_alert(find(app, Evidence), alert.id)
            except NotFound:
                continue
            causes.append(
                {
                    "alert": alert.summary,
                    "model": found.model,
                    "day": found.start[:10],
                    "cause": found.suspects[0].name if found.suspects else None,
                    "explains": round(found.suspects[0].explains, 3) if found.suspects else None,
                    "sentence": found.sentence,
                }
            )
    return causes
