"""Models: versions with the evidence of their gate, what served when, how it went, and the way back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from hanok.compute.metrics import HIGHER_IS_BETTER
from hanok.core.errors import Invalid
from hanok.core.registry import ModelVersion
from hanok.core.rehearsal import KindRehearsed, Rehearsal, by_kind
from hanok.core.serving import Arm
from hanok.ui.text import instant
from hanok.ui.views.common import AlertLine, Ask, Days, alert_line, performance_days, red_first
from hanok.ui.views.estimates import Estimated, estimated

if TYPE_CHECKING:
    from hanok.engine.app import App
from hanok.engine.hindsight import newest
from hanok.engine.rehearsing import newest as rehearsed

VERSIONS_SHOWN, HISTORY_SHOWN, DAYS, SKEW_SHOWN = 25, 20, 120, 8


@dataclass(frozen=True, slots=True)
class ModelLine:
    name: str
    versions: int
    newest: int | None
    serving: int | None
    since: datetime | None
    aliases: Mapping[str, int]
    updated: datetime
    metric: str
    value: float | None


@dataclass(frozen=True, slots=True)
class Models:
    now: datetime
    models: tuple[ModelLine, ...]


@dataclass(frozen=True, slots=True)
class Slice:
    name: str
    rows: int
    gain: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """The gate's evidence: gain in mean loss per row over `against`, with its interval; None where the rows cover too
    few days for one."""

    passed: bool
    why: str
    against: str
    gain: float
    low: float | None
    high: float | None
    rows: int
    slices: tuple[Slice, ...]
    metrics: tuple[tuple[str, float | None, float | None], ...]

    @property
    def bounds(self) -> tuple[float, float]:
        """The ends of the overall interval and of all slices, for plots on one scale."""
        return _ends([self, *self.slices])


def _ends(intervals: Sequence[Verdict | Slice]) -> tuple[float, float]:
    """The ends of those that are known."""
    low = [one.low for one in intervals if one.low is not None]
    high = [one.high for one in intervals if one.high is not None]
    return min(low, default=0.0), max(high, default=0.0)


@dataclass(frozen=True, slots=True)
class VersionLine:
    version: int
    node: str
    created: datetime
    aliases: tuple[str, ...]
    stage: str
    run_id: str
    reason: str
    metric: str
    value: float | None
    verdict: Verdict | None
    training_rows: int | None
    serving: str
    servable: bool


@dataclass(frozen=True, slots=True)
class VersionFacts:
    """One version in full."""

    line: VersionLine
    training_set: str
    trained_until: datetime | None
    package: str
    runtime: str
    environment: str
    code: str
    metrics: Mapping[str, float]
    importance: tuple[tuple[str, float], ...]
    gaps: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Month:
    """A month of answers, and what a version that was replaced would have made of it."""

    month: str
    rows: int
    answered: Mapping[str, float]
    version: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class LookBack:
    """`gain`: by how much less loss (or more of a metric that is better when higher) was answered than kept."""

    version: int
    metric: str
    months: tuple[Month, ...]
    gains: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class DeploymentLine:
    generation: int
    arms: tuple[Arm, ...]
    at: datetime
    actor: str
    reason: str
    node: str


@dataclass(frozen=True, slots=True)
class Change:
    """A registration, or a move of an alias or a stage: who, when, why, from and to."""

    what: str
    before: int | str | None
    after: int | str | None
    at: datetime
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class Alias:
    """`back_to` is where a rollback would put it; None when it has stood nowhere else."""

    name: str
    version: int
    back_to: int | None


@dataclass(frozen=True, slots=True)
class Proof:
    """A rollback and what it showed: how many rows that the version had answered it answers bit-equal again."""

    node: str
    before: int | None
    after: int | None
    at: datetime | None
    actor: str
    reason: str
    rows: int
    equal: int | None
    bit_equal: bool | None
    why: str


@dataclass(frozen=True, slots=True)
class DriftRow:
    feature: str
    psi: float
    psi_noise_floor: float
    js_distance_base2: float
    p_adjusted: float
    importance: float
    harm: float
    null_share: float
    alarm: bool
    integrity: bool
    suspicious: bool
    harmless: bool
    benign: str
    history: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Drift:
    day: str
    rows: int
    node: str
    features: tuple[DriftRow, ...]


@dataclass(frozen=True, slots=True)
class SkewRow:
    feature: str
    table: str
    psi: float
    psi_noise_floor: float
    harm: float
    moved: bool
    alarm: bool


@dataclass(frozen=True, slots=True)
class Skew:
    """What was answered in the newest week beside what the version was trained on."""

    version: int
    first: str
    last: str
    rows: int
    features: tuple[SkewRow, ...]


@dataclass(frozen=True, slots=True)
class ModelPage:
    now: datetime
    name: str
    description: str
    task: str
    arms: tuple[Arm, ...]
    versions: tuple[VersionLine, ...]
    versions_total: int
    chosen: VersionFacts | None
    performance: Days | None
    estimated: Estimated | None
    drift: Drift | None
    skew: Skew | None
    look_back: LookBack | None
    rehearsal: Rehearsal | None
    rehearsed_kinds: Sequence[KindRehearsed]
    deployments: tuple[DeploymentLine, ...]
    aliases: tuple[Alias, ...]
    history: tuple[Change, ...]
    proofs: tuple[Proof, ...]
    back_to: int | None
    alerts: tuple[AlertLine, ...]

    @property
    def gain_bounds(self) -> tuple[float, float]:
        """The ends of all versions' intervals, so that they are drawn on one scale."""
        return _ends([v.verdict for v in self.versions if v.verdict])


def models(app: App, ask: Ask) -> Models:
    lines = []
    for model in app.metadata.read(lambda r: r.registry.models()):
        versions = app.tracking.registry.versions(model.name)
        deployment = app.serving.deployment(model.name)
        shown = next(
            (v for v in versions if deployment and v.version == deployment.primary), versions[0] if versions else None
        )
        metric = shown.facts.get("metric", "") if shown else ""
        lines.append(
            ModelLine(
                model.name,
                len(versions),
                versions[0].version if versions else None,
                deployment.primary if deployment else None,
                deployment.at if deployment else None,
                dict(model.aliases),
                model.updated,
                metric,
                shown.facts.get("metrics", {}).get(metric) if shown else None,
            )
        )
    return Models(app.clock.now(), tuple(lines))


def model_page(app: App, ask: Ask) -> ModelPage:
    """One model; `version` in the URL says whose evidence is shown in full. Raises ModelNotFound, Invalid."""
    name = ask.path["model"]
    model = app.tracking.registry.model(name)
    versions = app.tracking.registry.versions(name)
    history = app.serving.history(name)
    ways_back = app.tracking.registry_history.ways_back(name)
    arms = history[0].arms if history else ()
    chosen = _chosen(ask, versions)
    live = next((v for v in versions if arms and v.version == history[0].primary), chosen)
    rehearsal = rehearsed(app.metadata, name)
    return ModelPage(
        app.clock.now(),
        name,
        model.description,
        str(live.facts.get("task", "")) if live else "",
        arms,
        tuple(_line(v, arms) for v in versions[:VERSIONS_SHOWN]),
        len(versions),
        _facts(app, chosen, arms) if chosen else None,
        _performance(app, name, live) if live else None,
        estimated(app, name),
        _drift(app, name),
        _skew(app, name),
        _look_back(app, name, live),
        rehearsal,
        by_kind(rehearsal.faults) if rehearsal is not None else (),
        tuple(
            DeploymentLine(d.generation, d.arms, d.at, d.actor, d.reason, d.node_id) for d in history[:HISTORY_SHOWN]
        ),
        tuple(Alias(a, at, ways_back.get(a)) for a, at in sorted(model.aliases.items())),
        tuple(Change(**asdict(row)) for row in app.tracking.registry_history.of(name)[:HISTORY_SHOWN]),
        _proofs(app, name),
        app.training.back_to(name),
        _open_alerts(app, name),
    )


def _open_alerts(app: App, name: str) -> tuple[AlertLine, ...]:
    """Of the model, and of the tables that the version which answers reads; of those declared while none does."""
    declared = next((m for m in app.training.models() if m.name == name), None)
    deployment = app.serving.deployment(name)
    answering = app.declared.of_answer(name, deployment.primary) if deployment else None
    reads = answering or declared
    subjects = {name, *(reads.tables if reads else ())}
    found = app.alerts.list(state="open", limit=500)
    return red_first(alert_line(a) for a in found if a.subject in subjects)[:8]


def _chosen(ask: Ask, versions: list[ModelVersion]) -> ModelVersion | None:
    if not versions:
        return None
    number = ask.number("version", versions[0].version, low=0, high=10**9)
    found = next((v for v in versions if v.version == number), None)
    if found is None:
        raise Invalid(f"model {versions[0].model!r} has no version {number}; the newest is {versions[0].version}")
    return found


def verdict_of(version: ModelVersion) -> Verdict | None:
    body = version.facts.get("verdict")
    if not body:
        return None
    slices = tuple(
        Slice(n, s["rows"], s["gain"], s["low"], s["high"])
        for n, s in body.get("slices", {}).items()
        if s["low"] is not None
    )
    sides = body.get("challenger", {}), body.get("champion", {})
    metrics = tuple((k, sides[0].get(k), sides[1].get(k)) for k in sorted({*sides[0], *sides[1]}))
    return Verdict(
        bool(body["passed"]),
        body["why"],
        body.get("against", ""),
        body["gain"],
        body["low"],
        body["high"],
        body["rows"],
        tuple(sorted(slices, key=lambda s: s.gain)),
        metrics,
    )


def _line(version: ModelVersion, arms: tuple[Arm, ...]) -> VersionLine:
    metric = version.facts.get("metric", "")
    mine = next((a for a in arms if a.version == version.version), None)
    return VersionLine(
        version.version,
        version.id,
        version.created,
        version.aliases,
        version.stage if version.stage != "None" else "",
        version.run_id,
        str(version.facts.get("reason", "") or version.description),
        metric,
        version.facts.get("metrics", {}).get(metric),
        verdict_of(version),
        version.facts.get("training_rows"),
        "" if mine is None else f"{mine.mode} {mine.share}\u202f%" if mine.mode != "shadow" else "shadow",
        bool(version.package),
    )


def _facts(app: App, version: ModelVersion, arms: tuple[Arm, ...]) -> VersionFacts:
    facts = version.facts
    manifest: Mapping[str, Any] = app.packages.manifest(version.package) if version.package else {}
    importance = manifest.get("notes", {}).get("importance", {})
    return VersionFacts(
        _line(version, arms),
        facts.get("training_set", ""),
        instant(facts.get("trained_until")),
        version.package,
        manifest.get("runtime", ""),
        facts.get("environment", ""),
        facts.get("code", ""),
        facts.get("metrics", {}),
        tuple(sorted(((str(k), float(v)) for k, v in importance.items()), key=lambda kv: -kv[1])[:30]),
        tuple(facts.get("gaps", ())),
    )


def _performance(app: App, name: str, live: ModelVersion) -> Days | None:
    metric = live.facts.get("metric")
    if not metric:
        return None
    gate = live.facts.get("metrics", {}).get(metric)
    return performance_days(
        app, name, metric, days=DAYS, reference=gate, reference_name=f"version {live.version} at its gate"
    )


def _drift(app: App, name: str) -> Drift | None:
    """The newest report, each feature with its PSI over the last reports."""
    reports = app.monitoring.drift_reports(name, limit=30)
    if not reports:
        return None
    last = reports[-1]
    by_day = [{f.feature: f.psi for f in r.features} for r in reports]
    rows = tuple(
        DriftRow(
            f.feature,
            f.psi,
            f.psi_noise_floor,
            f.js_distance_base2,
            f.p_adjusted,
            f.importance,
            f.harm,
            f.null_share,
            f.alarm,
            f.integrity,
            f.suspicious,
            f.harmless,
            f.benign,
            tuple(day.get(f.feature) for day in by_day),
        )
        for f in last.features
    )
    return Drift(last.day, last.rows, last.node, rows)


def _skew(app: App, name: str) -> Skew | None:
    """What moved, then the rest by harm."""
    found = app.monitoring.skew.newest(name)
    if found is None:
        return None
    ranked = sorted(found.features, key=lambda f: (not f.alarm, not f.moved, -f.harm))[:SKEW_SHOWN]
    rows = tuple(SkewRow(f.column, f.table, f.psi, f.psi_noise_floor, f.harm, f.moved, f.alarm) for f in ranked)
    return Skew(found.version, found.first, found.last, found.rows, rows)


def _look_back(app: App, name: str, live: ModelVersion | None) -> LookBack | None:
    found = newest(app.metadata, name)
    metric = live.facts.get("metric", "") if live else ""
    if found is None or not metric:
        return None
    months = tuple(Month(m.month, m.rows, m.answered, m.version) for m in found.months)
    sign = 1 if HIGHER_IS_BETTER.get(metric) else -1
    gains = tuple(sign * (m.answered.get(metric, 0.0) - m.version.get(metric, 0.0)) for m in months)
    return LookBack(found.version, metric, months, gains)


def _proofs(app: App, name: str) -> tuple[Proof, ...]:
    found = app.metadata.read(lambda r: r.records.list("rollback", name, limit=HISTORY_SHOWN))
    return tuple(
        Proof(
            b["_key"],
            b["from"],
            b["to"],
            instant(b["at"]),
            b["actor"],
            b["reason"],
            b["golden"]["rows"],
            b["golden"].get("equal"),
            b["golden"]["bit_equal"],
            b["golden"].get("why", ""),
        )
        for b in found
    )
