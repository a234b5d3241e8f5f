"""Today: is everything that serves healthy, and what needs a look first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from hanok.core import training
from hanok.core.lineage import NodeKind
from hanok.core.monitoring import FEW_ANSWERS
from hanok.core.validation import CHECK, CheckResult
from hanok.engine.sizes import sizes
from hanok.parts.training import rollout as stages
from hanok.ui.text import instant
from hanok.ui.views.common import AlertLine, Days, alert_line, performance_days, red_first
from hanok.ui.views.direction import higher_is_better
from hanok.ui.views.estimates import Estimated, estimated
from hanok.ui.views.traffic import Traffic, traffic

if TYPE_CHECKING:
    from hanok.engine.app import App

DAYS = 42
KNOWN_DAYS = 7


@dataclass(frozen=True, slots=True)
class Standing:
    """The metric of what was answered in the last days whose labels are known, beside what the gate measured."""

    metric: str
    known: float | None
    rows: int
    since: str
    gate: float | None
    worse: bool
    chance: bool  # whether so many labels lie so far from the gate by chance


@dataclass(frozen=True, slots=True)
class RolloutState:
    champion: int
    challenger: int
    stage: str
    number: int
    stages: int
    since: datetime | None
    reason: str


@dataclass(frozen=True, slots=True)
class DriftLine:
    feature: str
    day: str
    harm: float
    psi: float
    importance: float
    alarm: bool
    integrity: bool
    rows: int
    few: bool


@dataclass(frozen=True, slots=True)
class LiveModel:
    name: str
    version: int
    generation: int
    since: datetime
    reason: str
    traffic: Traffic
    standing: Standing | None
    estimated: Estimated | None
    trend: Days | None
    drift: tuple[DriftLine, ...]
    rollout: RolloutState | None
    open_alerts: int


@dataclass(frozen=True, slots=True)
class SourceLine:
    table: str
    rows: int
    quarantined: int
    last_batch: str
    last_at: datetime | None
    last_rows: int
    anomalies: int
    by_batch: tuple[int, ...]
    damage: str = ""
    counting: int | None = None


@dataclass(frozen=True, slots=True)
class Today:
    now: datetime
    empty: bool
    project: bool
    models: tuple[LiveModel, ...]
    waiting: tuple[str, ...]
    alerts: tuple[AlertLine, ...]
    alerts_open: int
    sources: tuple[SourceLine, ...]
    has_runs: bool
    load: Mapping[str, float]


def today(app: App, load: Mapping[str, float]) -> Today:
    """The state of the home now. `load` is what the server measures of itself."""
    alerts = red_first(alert_line(a) for a in app.alerts.list(state="open", limit=1000))
    rollouts = app.training.rollouts()
    live = [_live(app, d, rollouts.get(d.name), alerts) for d in app.metadata.read(lambda r: r.deployments.all())]
    serving = {m.name for m in live}
    known = [m.name for m in app.metadata.read(lambda r: r.registry.models())]
    sources = sources_of(app)
    runs = bool(app.metadata.read(lambda r: r.lineage.find(NodeKind.RUN, limit=1)))
    return Today(
        app.clock.now(),
        not live and not sources and not runs and not alerts,
        app.config.project is not None,
        tuple(sorted(live, key=lambda m: m.name)),
        tuple(sorted(n for n in known if n not in serving)),
        alerts[:12],
        len(alerts),
        sources,
        runs,
        load,
    )


def sources_of(app: App) -> tuple[SourceLine, ...]:
    """Every table that data arrives in, with its last batch."""
    names = [n for n in app.tables.names() if "--" not in n]
    checks = app.metadata.read(lambda r: {n: r.records.list(CHECK.name, n, limit=30) for n in names})
    return tuple(_source(app, name, checks[name]) for name in names)


def _source(app: App, name: str, bodies: list[Mapping[str, Any]]) -> SourceLine:
    checks, found = CHECK.all(bodies), sizes(app.tables, app.validation.kept, name)
    last = checks[0] if checks else CheckResult(name, "", 0, 0, 0)
    return SourceLine(
        name,
        found.rows or 0,
        found.quarantined or 0,
        last.batch,
        bodies[0].get("_at") if bodies else None,
        last.rows,
        len(last.anomalies),
        tuple(c.rows for c in reversed(checks)),
        found.damage,
        found.counting,
    )


def _live(app: App, deployment: Any, rollout: training.RolloutState | None, alerts: tuple[AlertLine, ...]) -> LiveModel:
    name, version = deployment.name, deployment.primary
    facts = app.tracking.registry.version(name, version).facts
    metric, gate = facts.get("metric", ""), facts.get("metrics", {}).get(facts.get("metric", ""))
    trend = (
        performance_days(app, name, metric, days=DAYS, reference=gate, reference_name="at the gate") if metric else None
    )
    began = next((d.at for d in reversed(_streak(app, name, version))), deployment.at)
    return LiveModel(
        name,
        version,
        deployment.generation,
        began,
        deployment.reason,
        traffic(app, name, days=DAYS),
        _standing(app, name, facts, version, gate, trend),
        estimated(app, name),
        trend,
        drift_lines(app, name)[:4],
        _rollout(app, deployment, rollout),
        sum(a.subject == name for a in alerts),
    )


def _streak(app: App, name: str, version: int) -> list[Any]:
    """The newest deployments for as long as `version` was the primary, newest first."""
    found = []
    for deployment in app.serving.history(name):
        if deployment.primary != version:
            break
        found.append(deployment)
    return found


def _standing(
    app: App, name: str, facts: Mapping[str, Any], version: int, gate: float | None, trend: Days | None
) -> Standing | None:
    if trend is None or not trend.labels:
        return None
    last = instant(trend.labels[-1])
    assert last is not None
    start, end = last - timedelta(days=KNOWN_DAYS - 1), last + timedelta(days=1)
    values, rows = app.monitoring.metric_over(name, facts.get("task", "binary"), start=start, end=end, version=version)
    known = values.get(trend.metric)
    since = f"{start:%Y-%m-%d}"
    if known is None or gate is None:
        return Standing(trend.metric, known, rows, since, gate, False, False)
    chance = by_chance(known, gate, rows)
    worse = not chance and ((known < gate) if higher_is_better(trend.metric) else (known > gate))
    return Standing(trend.metric, known, rows, since, gate, worse, chance)


def by_chance(known: float, gate: float, rows: int) -> bool:
    """Whether a metric over so many rows lies by chance as far from the gate's as it does (two standard errors): of a
    mean between 0 and 1 they are at most those of a share, of another size those of a root mean square."""
    if not rows or known == gate:
        return True
    off = gate * (1 - gate) / rows if 0 <= gate <= 1 and 0 <= known <= 1 else gate**2 / (2 * rows)
    return bool(abs(known - gate) <= 2 * off**0.5)


def drift_lines(app: App, name: str) -> tuple[DriftLine, ...]:
    """The newest report's features, the most harmful first."""
    reports = app.monitoring.drift_reports(name, limit=1)
    if not reports:
        return ()
    report = reports[-1]
    rows = max(report.rows, report.run_rows)
    return tuple(
        DriftLine(f.feature, report.day, f.harm, f.psi, f.importance, f.alarm, f.integrity, rows, rows < FEW_ANSWERS)
        for f in report.features
    )


def _rollout(app: App, deployment: Any, state: training.RolloutState | None) -> RolloutState | None:
    """The stage is read from what answers, so that it is right without the declaration, too."""
    if state is None:
        return None
    arm = next((a for a in deployment.arms if a.version == state.challenger), None)
    stage = "under way" if arm is None else "shadow" if arm.mode == "shadow" else f"{arm.mode} {arm.share}\u202f%"
    declared = {m.name: m for m in app.training.models()}
    count = len(stages.stages(declared[deployment.name].rollout)) if deployment.name in declared else 0
    return RolloutState(
        state.champion,
        state.challenger,
        stage,
        state.stage + 1,
        count,
        state.since,
        state.reason,
    )
