"""Training-serving skew: weeks of answers beside the training set, judged by the policy that judges drift, and told
once for each root cause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from hanok.compute.alarms import AlarmPolicy, AlarmState, Verdict
from hanok.compute.shift import Span, compare
from hanok.core.alerts import OPEN, Alert
from hanok.core.clock import Clock
from hanok.core.monitoring import SKEW, FeatureSkew, SkewReport
from hanok.parts.monitoring.alerts import EVERYTHING, Alerts
from hanok.parts.monitoring.drift import POLICY, DriftWatch
from hanok.parts.monitoring.judging import HARM
from hanok.stores.ports import Metadata

NEWEST = "newest"
WEEK = timedelta(days=7)
WEEKS = POLICY.of


def weeks_of(days: Sequence[str]) -> list[list[str]]:
    """Days ("2013-02-08") as up to three weeks that share none, counted back from the newest day; oldest first. Weeks
    without a day are left out."""
    if not days:
        return []
    end = datetime.fromisoformat(days[-1]) + timedelta(days=1)
    bounds = [(end - (back + 1) * WEEK, end - back * WEEK) for back in reversed(range(WEEKS))]
    weeks = [[d for d in days if low <= datetime.fromisoformat(d) < high] for low, high in bounds]
    return [week for week in weeks if week]


def skew_report(
    model: str, version: int, trained: Span, weeks: Sequence[Span], policy: AlarmPolicy = POLICY
) -> SkewReport:
    """Each feature of the newest of `weeks` against what the version was trained on, the farthest first."""
    state, verdicts = AlarmState(), tuple[Verdict, ...]()
    for week in weeks:
        state, verdicts = policy.update(state, compare(trained, week))
    newest = weeks[-1]
    ranked = sorted(verdicts, key=lambda v: -v.drift.effect)
    return SkewReport(model, version, newest.start, newest.end, newest.rows, len(weeks), tuple(map(_feature, ranked)))


class SkewWatch:
    """Keeps the newest report of each model, and raises or resolves its alerts."""

    def __init__(self, *, metadata: Metadata, alerts: Alerts, drift: DriftWatch, clock: Clock) -> None:
        self._metadata, self._alerts, self._drift, self._clock = metadata, alerts, drift, clock

    def follow(self, report: SkewReport, importance: Mapping[str, float], tables: Mapping[str, str]) -> SkewReport:
        """A feature alarms when the policy says so and its importance times its effect could matter. What the drift
        report of that week judges already (moved, gone, harmless, benign) is told by it alone. `tables` says where
        each feature comes from: the features of one table are one root cause, and one alert names them."""
        told = {
            f.feature
            for r in self._drift.reports(report.model, limit=1)
            if r.day >= report.first
            for f in r.features
            if f.suspicious or f.integrity
        }
        judged = [_weighed(f, importance.get(f.column, 0.0), tables.get(f.column, ""), told) for f in report.features]
        kept = replace(report, features=tuple(sorted(judged, key=lambda f: -f.harm)))
        now = self._clock.now()
        self._metadata.write(lambda r: r.records.put(SKEW.name, report.model, NEWEST, SKEW.body(kept), now))
        earlier = {a.fingerprint.removeprefix("skew:"): a for a in self._open(report.model)}
        for table in sorted({*tables.values(), *earlier}):
            self._tell(kept, table, told, earlier.get(table))
        return kept

    def forget(self, model: str, version: int) -> None:
        """What was skewed for other versions than the one that answers is over."""
        for alert in self._open(model):
            if alert.facts.get("version") != version:
                self._alerts.resolve(model, alert.fingerprint, _answers_no_more(alert))

    def _open(self, model: str) -> list[Alert]:
        return [a for a in self._alerts.list(model, state=OPEN, limit=EVERYTHING) if a.kind == "skew"]

    def newest(self, model: str) -> SkewReport | None:
        return SKEW.open(self._metadata.read(lambda r: r.records.get(SKEW.name, model, NEWEST)))

    def _tell(self, report: SkewReport, table: str, told: set[str], earlier: Alert | None) -> None:
        mine = [f for f in report.features if f.table == table]
        alarming, fingerprint = [f for f in mine if f.alarm], f"skew:{table}"
        if not alarming:
            moved = [f for f in mine if f.moved and f.harm > HARM]
            if earlier is None or any(f.column not in told for f in moved):
                return  # neither lasting nor over: what is open stays open
            reason = "it is told as drift" if moved else f"as in training from {report.first} to {report.last}"
            reason = reason if earlier.facts.get("version") == report.version else _answers_no_more(earlier)
            self._alerts.resolve(report.model, fingerprint, reason)
            return
        worst = alarming[0]
        others = f" and {len(alarming) - 1} more of {table}" if len(alarming) > 1 else f" of {table}"
        self._alerts.raise_(
            report.model,
            "skew",
            fingerprint,
            f"{worst.column}{others}: what {report.model} answers with is not what version {report.version} was "
            f"trained on, PSI {worst.psi:.2f}",
            facts={
                "table": table,
                "features": [f.column for f in alarming],
                "version": report.version,
                "from": report.first,
                "to": report.last,
                "psi": worst.psi,
                "harm": worst.harm,
            },
        )


def _answers_no_more(alert: Alert) -> str:
    return f"version {alert.facts.get('version')}, which it is of, answers no more"


def _feature(verdict: Verdict) -> FeatureSkew:
    drift = verdict.drift
    return FeatureSkew(
        drift.column,
        drift.psi,
        drift.psi_noise_floor,
        drift.js_distance_base2,
        drift.p_value,
        drift.rows,
        drift.null_share,
        drift.reference_null_share,
        drift.usual_psi,
        drift.effect,
        verdict.p_adjusted,
        verdict.suspect,
        verdict.alarm,
    )


def _weighed(feature: FeatureSkew, importance: float, table: str, told: set[str]) -> FeatureSkew:
    harm = importance * feature.effect
    alarm = feature.alarm and harm > HARM and feature.column not in told
    return replace(feature, harm=harm, table=table, alarm=alarm)
