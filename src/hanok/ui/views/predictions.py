"""Why this prediction: its features beside what the version was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from hanok.core.errors import HanokError, Invalid
from hanok.core.predictions import OUTCOMES, Found, Looked
from hanok.core.serving import Prediction
from hanok.engine.parts import find
from hanok.engine.predictions import Predictions as Answers
from hanok.parts.serving.bulk import answered_at
from hanok.ui.places import Place, place_of
from hanok.ui.views.common import AlertLine, Ask, alert_line, red_first

if TYPE_CHECKING:
    from hanok.compute.drift import Reference
    from hanok.core.monitoring import DriftReport
    from hanok.engine.app import App
    from hanok.parts.features.provenance import SourceRows

SHOWN = 40


@dataclass(frozen=True, slots=True)
class AnswerLine:
    id: str
    at: datetime
    version: int
    arm: str
    score: float | None
    entity: str
    error: str
    label: float | None
    right: bool | None
    says: str = ""  # the class that the score is of, where there are more than two


@dataclass(frozen=True, slots=True)
class PredictionsPage:
    """Answers of a model that are looked for: by words like customer=c7, day, version, outcome and batch."""

    now: datetime
    model: str
    models: tuple[str, ...]
    version: int
    shadows: bool
    find: str
    day: str
    outcome: str
    batch: str
    rows: tuple[AnswerLine, ...]
    problem: str = ""

    @property
    def searched(self) -> bool:
        return bool(self.find or self.day or self.outcome or self.batch or self.version)


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


def predictions(app: App, ask: Ask) -> PredictionsPage:
    """The newest answers of a model: the one in the URL, or the first that serves."""
    models = tuple(sorted(d.name for d in app.metadata.read(lambda r: r.deployments.all())))
    model = ask.text("model") or (models[0] if models else "")
    version = ask.number("version", 0, low=0, high=10**9)
    shadows = ask.text("shadows") == "yes"
    find_, day, outcome, batch = (ask.text(n).strip() for n in ("find", "day", "outcome", "batch"))
    rows, problem = tuple[AnswerLine, ...](), ""
    if model in models:
        try:
            looked = _looked(find_, day, outcome, batch, version, shadows)
            found = find(app, Answers).search(model, looked)
            classes = _classes(app, model, found)
            rows = tuple(_line(one, classes.get(one.version, ())) for one in found)
        except HanokError as error:
            problem = error.message
    return PredictionsPage(app.clock.now(), model, models, version, shadows, find_, day, outcome, batch, rows, problem)


def _looked(words: str, day: str, outcome: str, batch: str, version: int, shadows: bool) -> Looked:
    """Raises Invalid."""
    keys = dict(word.split("=", 1) for word in words.split() if "=" in word)
    if odd := [word for word in words.split() if "=" not in word]:
        raise Invalid(f"{odd[0][:80]!r} names no key: write it like customer=c0007")
    kind = next((o for o in OUTCOMES if o == outcome), "")
    try:
        since = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC) if day else None
    except ValueError:
        raise Invalid(f"{day[:40]!r} is no day like 2026-01-31") from None
    until = None if since is None else since + timedelta(days=1)
    return Looked(keys, since, until, version, kind, batch, shadows, SHOWN)  # type: ignore[arg-type]


def _line(found: Found, classes: Sequence[str]) -> AnswerLine:
    entity = ", ".join(f"{k}={v[:60]}" for k, v in found.entity.items())
    return AnswerLine(
        found.id,
        found.at,
        found.version,
        found.arm,
        found.score,
        entity,
        found.error,
        found.label,
        found.right,
        most_likely(found.scores, classes),
    )


def most_likely(scores: Sequence[float], classes: Sequence[str]) -> str:
    """The class of the highest of more than two scores; empty where nothing names it."""
    if not 2 < len(scores) == len(classes):
        return ""
    return str(classes[max(range(len(scores)), key=lambda i: scores[i])])


def _classes(app: App, model: str, answers: Sequence[Found]) -> dict[int, Sequence[str]]:
    """The names of the classes of each version that answered with more than two scores."""
    named: dict[int, Sequence[str]] = {}
    for found in answers:
        if len(found.scores) > 2 and found.version not in named:
            version = _version(app, model, found.version)
            manifest = app.packages.manifest(version.package) if version and version.package else {}
            named[found.version] = manifest.get("signature", {}).get("classes", [])
    return named


def prediction_page(app: App, ask: Ask) -> PredictionPage:
    """Raises Invalid for what is no id, PredictionNotFound."""
    found = app.serving.find(ask.path["prediction"])
    version = _version(app, found.deployment, found.version)
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


def _version(app: App, model: str, version: int) -> Any:
    """The version that answered; None when it was deleted since."""
    try:
        return app.tracking.registry.version(model, version)
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
    return tuple(app.features.source_rows(model, found.entity, found.at, answered_at(found))) if model else ()


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
