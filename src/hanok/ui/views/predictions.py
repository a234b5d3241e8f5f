"""Why this prediction: its features beside what the version was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from hanok.core.errors import HanokError
from hanok.core.serving import Prediction
from hanok.ui.places import Place, place_of
from hanok.ui.views.common import AlertLine, Ask, alert_line, red_first
from hanok.ui.views.traffic import PredictionLine, latest

if TYPE_CHECKING:
    from hanok.compute.drift import Reference
    from hanok.core.monitoring import DriftReport
    from hanok.engine.app import App
    from hanok.parts.features.provenance import SourceRows

SHOWN = 40


@dataclass(frozen=True, slots=True)
class Predictions:
    now: datetime
    model: str
    models: tuple[str, ...]
    version: int
    shadows: bool
    rows: tuple[PredictionLine, ...]


@dataclass(frozen=True, slots=True)
class FeatureLine:
    name: str
    value: Any
    importance: float | None
    place: Place | None
    harm: float | None
    drifting: bool


@dataclass(frozen=True, slots=True)
class PredictionPage:
    now: datetime
    id: str
    model: str
    version: int
    arm: str
    at: datetime
    batch: str
    task: str
    score: float | None
    scores: tuple[tuple[str, float], ...]
    label: Any
    label_known_at: datetime | None
    entity: Mapping[str, Any]
    features: tuple[FeatureLine, ...]
    unusual: int
    run_id: str
    version_node: str
    training_set: str
    drift_day: str
    drift_node: str
    alerts: tuple[AlertLine, ...]
    source_rows: tuple[SourceRows, ...]


def predictions(app: App, ask: Ask) -> Predictions:
    """The newest answers of a model: the one in the URL, or the first that serves."""
    models = tuple(sorted(d.name for d in app.metadata.read(lambda r: r.deployments.all())))
    model = ask.text("model") or (models[0] if models else "")
    version = ask.number("version", 0, low=0, high=10**9)
    shadows = ask.text("shadows") == "yes"
    rows = latest(app, model, limit=SHOWN, version=version, shadows=shadows) if model in models else ()
    return Predictions(app.clock.now(), model, models, version, shadows, rows)


def prediction_page(app: App, ask: Ask) -> PredictionPage:
    """Raises Invalid for what is no id, PredictionNotFound."""
    found = app.serving.find(ask.path["prediction"])
    version = _version(app, found)
    facts: Mapping[str, Any] = version.facts if version else {}
    manifest = app.packages.manifest(version.package) if version and version.package else {}
    importance = manifest.get("notes", {}).get("importance", {})
    classes = manifest.get("signature", {}).get("classes", [])
    report = _report(app, found)
    lines = _features(app, found, facts.get("reference", ""), importance, report)
    label, known = _label(app, found)
    return PredictionPage(
        app.clock.now(),
        found.id,
        found.deployment,
        found.version,
        found.arm,
        found.at,
        found.batch,
        facts.get("task", ""),
        found.score,
        tuple(zip(map(str, classes), found.scores, strict=False)),
        label,
        known,
        found.entity,
        lines,
        sum(1 for f in lines if f.place is not None and f.place.unusual),
        version.run_id if version else "",
        version.id if version else "",
        facts.get("training_set", ""),
        report.day if report else "",
        report.node if report else "",
        _alerts(app, found),
        _source_rows(app, found),
    )


def _version(app: App, found: Prediction) -> Any:
    """The version that answered; None when it was deleted since."""
    try:
        return app.tracking.registry.version(found.deployment, found.version)
    except HanokError:
        return None


def _features(
    app: App, found: Prediction, reference: str, importance: Mapping[str, float], report: DriftReport | None
) -> tuple[FeatureLine, ...]:
    """The unusual ones first, each group by importance."""
    references: dict[str, Reference] = {r.column: r for r in app.references.of(reference)}
    drift = {f.feature: f for f in report.features} if report else {}
    lines = []
    for name, value in found.features.items():
        place = place_of(references[name], value) if name in references else None
        mine = drift.get(name)
        harm, alarm = (mine.harm, mine.alarm) if mine else (None, False)
        lines.append(FeatureLine(name, value, importance.get(name), place, harm, alarm))
    return tuple(sorted(lines, key=lambda f: (not (f.place and f.place.unusual), -(f.importance or 0.0), f.name)))


def _report(app: App, found: Prediction) -> DriftReport | None:
    return app.monitoring.drift_report(found.deployment, f"{found.at:%Y-%m-%d}")


def _source_rows(app: App, found: Prediction) -> tuple[SourceRows, ...]:
    model = app.declared.of_answer(found.deployment, found.version)
    return tuple(app.features.source_rows(model, found.entity, found.at)) if model else ()


def _label(app: App, found: Prediction) -> tuple[Any, datetime | None]:
    outcomes = app.monitoring.outcomes(found.deployment, start=found.at, end=found.at + timedelta(microseconds=1))
    mine = [r for r in outcomes.to_pylist() if r["prediction_id"] == found.id] if outcomes.num_rows else []
    return (mine[-1]["label"], mine[-1]["known_at"]) if mine else (None, None)


def _alerts(app: App, found: Prediction) -> tuple[AlertLine, ...]:
    """Alerts of the model that were open when it answered; data and drift of that day are raised a day later."""
    near = found.at + timedelta(days=2)
    kept = [
        alert_line(a)
        for a in app.alerts.list(found.deployment, limit=1000)
        if a.raised <= near and (a.resolved is None or a.resolved >= found.at)
    ]
    return red_first(kept)[:8]
