"""Drift of what a model is asked, weighed by the harm it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import Protocol, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hanok.compute.alarms import AlarmPolicy, AlarmState, Window
from hanok.compute.coverage import unseen
from hanok.compute.drift import Reference, sampled
from hanok.compute.duck import arrow, connect, quoted
from hanok.compute.metrics import DEFAULT_METRIC, row_losses
from hanok.compute.shift import Evidence, Span, compare
from hanok.core.clock import Clock
from hanok.core.errors import Invalid
from hanok.core.ids import new_id
from hanok.core.json import JsonObject
from hanok.core.lineage import Edge, EdgeKind, Event, Node, NodeKind
from hanok.core.logged import FEATURE
from hanok.core.monitoring import DRIFT, DriftReport, FeatureDrift
from hanok.core.records import to_body
from hanok.core.serving import Signature
from hanok.core.tables import SEQUENCE
from hanok.parts.monitoring.alerts import Alerts
from hanok.parts.monitoring.benign import TRIAL, Benign, alike, said
from hanok.parts.monitoring.outcomes import PREDICTIONS, feature_column
from hanok.stores.ports import Metadata, Repositories, Tables

DRIFT_WINDOW = timedelta(days=7)
SIGNIFICANCE = 0.01
EFFECT = 0.1
HARM = 0.02
MISSING = 0.5  # a column that is null so much more often than in the reference is as good as gone
COSTS_MIN = 0.005  # drift that adds less than this share to the loss is harmless
TRIAL_ROWS_MIN, TRIAL_ROWS_MAX = 500, 2_500
POLICY = AlarmPolicy(significance=SIGNIFICANCE, effect=EFFECT)
REMEMBERED = (POLICY.of + 1) * 7  # reports: one a day

Column: TypeAlias = pa.ChunkedArray | pa.Array
Columns: TypeAlias = Mapping[str, Column]
References = Callable[[str], Sequence[Reference]]


class Outcomes(Protocol):
    """The labelled answers of a model in [start, end)."""

    def __call__(self, model: str, *, start: datetime | None = None, end: datetime | None = None) -> pa.Table: ...


class LiveModel(Protocol):
    """The model that answers, as far as drift needs it."""

    @property
    def signature(self) -> Signature: ...

    def score(self, columns: Columns) -> np.ndarray: ...


class DriftWatch:
    """Compares what each model was asked with what its version was trained on."""

    def __init__(self, *, metadata: Metadata, tables: Tables, alerts: Alerts, clock: Clock, outcomes: Outcomes) -> None:
        self._metadata, self._tables, self.alerts, self._clock = metadata, tables, alerts, clock
        self._outcomes = outcomes
        self.benign = Benign(metadata=metadata, clock=clock)

    def measure(
        self,
        model: str,
        version_node: str,
        references: Sequence[Reference],
        importance: Mapping[str, float],
        live: LiveModel,
        *,
        start: datetime,
        end: datetime,
    ) -> DriftReport | None:
        """Compare the features of the week up to `end` with the reference of the version that is `live`; a feature that
        is null in everything answered in [start, end) is an integrity fault. Until a whole week was answered nothing
        but those alarms.

        Drift that could matter is tried: where enough of the week is labelled, the week is scored again with that
        feature drawn from its reference. If that does not lower the loss, the drift is harmless and does not alarm, and
        its shape is learned: a later week of that shape is quiet even before its labels come. What a person marked as
        benign is quiet, too.

        Returns the recorded report: features ranked by harm, each with its distances, significance and whether it
        alarms; and the values of categories that training had not seen. None when nothing was predicted in the window.
        """
        name = PREDICTIONS + model
        if not self._tables.size(name):
            return None
        schema = self._tables.scan(name).schema
        held = {r.column: feature_column(schema, r.column, numeric=r.numeric) for r in references}
        references = [r for r in references if held[r.column]]
        if not references:
            return None
        columns = ", ".join(f"{quoted(held[r.column] or '')} AS {quoted(FEATURE + r.column)}" for r in references)
        window = " AND ".join(between("at", end - DRIFT_WINDOW, end))
        with connect({"log": self._tables.scan(name, since=end - DRIFT_WINDOW)}) as duck:
            rows = arrow(
                duck,
                f"SELECT {columns}, {quoted('at')}, prediction_id FROM log WHERE {window} AND arm <> 'shadow' "
                f"ORDER BY {SEQUENCE}",
            )
        newest = rows.filter(pc.greater_equal(rows.column("at"), pa.scalar(start, rows.schema.field("at").type)))
        if not newest.num_rows:
            return None
        gone = {r.column: newest.column(FEATURE + r.column).null_count / newest.num_rows for r in references}
        evidence = compare(Span({r.column: r for r in references}), _week(rows, references, gone, end))
        trial = _Trial(live, references, rows, self._outcomes(model, start=end - DRIFT_WINDOW, end=end))
        features = self._judged(model, evidence, importance, gone, f"{start:%Y-%m-%d}", trial)
        new = {
            c.name: unseen(newest.column(FEATURE + c.name), c.categories)
            for c in live.signature.inputs
            if c.categories and FEATURE + c.name in newest.column_names
        }
        now = self._clock.now()
        day = f"{start:%Y-%m-%d}"
        facts = {"model": model, "start": start.isoformat(), "end": end.isoformat(), "worst": features[0].feature}
        node = Node(new_id(now), NodeKind.DRIFT_REPORT, f"{model} {day}", now, facts)
        found = {name: values for name, values in new.items() if values}
        report = DriftReport(day, start.isoformat(), end.isoformat(), rows.num_rows, features, node.id, found)

        def work(repositories: Repositories) -> None:
            repositories.lineage.add([node], [Edge(node.id, EdgeKind.EVALUATED_ON, version_node)])
            repositories.records.put(DRIFT.name, model, day, DRIFT.body(report), now)
            repositories.outbox.append(Event("drift_measured", node.id, now, {"model": model, "day": day}))

        self._metadata.write(work)
        self._alarm(model, report, node.id)
        return report

    def reports(self, model: str, *, limit: int = 400) -> list[DriftReport]:
        """Oldest first."""
        found = self._metadata.read(lambda r: r.records.list(DRIFT.name, model, limit=limit))
        return sorted(DRIFT.all(found), key=lambda b: b.day)

    def report_of(self, model: str, day: str) -> DriftReport | None:
        return DRIFT.open(self._metadata.read(lambda r: r.records.get(DRIFT.name, model, day)))

    def _judged(
        self,
        model: str,
        evidence: Evidence,
        importance: Mapping[str, float],
        null_now: Mapping[str, float],
        day: str,
        trial: _Trial,
    ) -> tuple[FeatureDrift, ...]:
        """The policy says what moved and lasts; what matters, does harm and is not known to be benign alarms."""
        _, verdicts = POLICY.update(self._state(model, day), evidence)
        shapes = self.benign.shapes(model)
        judged = []
        for verdict in verdicts:
            drift = verdict.drift
            share, name = importance.get(drift.column, 0.0), FEATURE + drift.column
            matters = verdict.suspect and share * drift.effect > HARM
            costs = trial.costs(drift.column) if matters else None
            harmless = costs is not None and costs < COSTS_MIN
            known = None
            if matters and not harmless:
                mine = shapes.get(drift.column, [])
                mine = mine if costs is None else [b for b in mine if b.by != TRIAL]
                known = alike(mine, trial.rows.column(name))
            if harmless:
                self.benign.learn(model, trial.references[drift.column], trial.rows.column(name), day)
            judged.append(
                FeatureDrift(
                    feature=drift.column,
                    psi=round(drift.psi, 4),
                    psi_noise_floor=round(drift.psi_noise_floor, 4),
                    usual_psi=round(drift.usual_psi, 4),
                    js_distance_base2=round(drift.js_distance_base2, 4),
                    p_adjusted=verdict.p_adjusted,
                    importance=round(share, 4),
                    harm=round(share * drift.effect, 4),
                    null_share=round(drift.null_share, 4),
                    null_today=round(null_now[drift.column], 4),
                    costs=None if costs is None else round(costs, 4),
                    harmless=harmless,
                    benign=said(known) if known else "",
                    suspicious=verdict.suspect,
                    integrity=verdict.broken,
                    missing=null_now[drift.column] - drift.reference_null_share > MISSING,
                    alarm=verdict.broken or (verdict.alarm and matters and not harmless and not known),
                )
            )
        return tuple(sorted(judged, key=_rank))

    def _state(self, model: str, day: str) -> AlarmState:
        """The weeks before, as their reports say: each ends with its day, so most of them overlap."""
        bodies = self._metadata.read(lambda r: r.records.list(DRIFT.name, model, limit=REMEMBERED))
        return AlarmState(
            tuple(
                Window(
                    (datetime.fromisoformat(r.end) - DRIFT_WINDOW).isoformat(),
                    r.end,
                    frozenset(f.feature for f in r.features if f.suspicious),
                )
                for r in DRIFT.all(bodies)
                if r.day < day
            )
        )

    def _alarm(self, model: str, report: DriftReport, node: str) -> None:
        for feature in report.features:
            fingerprint = f"drift:{feature.feature}"
            if feature.integrity:
                self.alerts.raise_(
                    model,
                    "integrity",
                    fingerprint,
                    f"{feature.feature} of {model} is null in every prediction of {report.day}",
                    severity="critical",
                    facts=to_body(feature),
                    caused_by=node,
                )
            elif feature.alarm:
                self.alerts.raise_(
                    model,
                    "drift",
                    fingerprint,
                    f"{feature.feature} of {model} has drifted: PSI {feature.psi:.2f}, "
                    f"harm {feature.harm:.3f} ({feature.importance:.0%} of the model's gain)",
                    facts=to_body(feature),
                    caused_by=node,
                )
            elif not feature.suspicious:
                self.alerts.resolve(model, fingerprint, f"back within its reference on {report.day}")
            elif feature.benign:
                self.alerts.resolve(model, fingerprint, f"benign: {feature.benign}")
            elif feature.harmless:
                self.alerts.resolve(
                    model, fingerprint, f"it does no harm: with its old values the loss of {report.day} is no lower"
                )

    def mark_benign(self, alert_id: str, *, why: str, actor: str, reference: References) -> JsonObject:
        """A person knows that this drift does no harm: the alert is resolved, and weeks of its shape stay quiet.

        Raises NotFound for an unknown alert, Invalid for one that is not of drift.
        """
        alert = self.alerts.get(alert_id)
        if alert.kind != "drift" or not why.strip():
            raise Invalid(
                f"only a drift alert can be marked as benign, and with a reason; this is of kind {alert.kind}: "
                "hanok alert list"
            )
        model, feature = alert.subject, str(alert.facts["feature"])
        whole = next((r for r in reference(model) if r.column == feature), None)
        end = alert.last_seen
        window = " AND ".join(between("at", end - DRIFT_WINDOW, end))
        scan = self._tables.scan(PREDICTIONS + model, since=end - DRIFT_WINDOW)
        column = whole and feature_column(scan.schema, feature, numeric=whole.numeric)
        nothing = Invalid(
            f"{feature} was not answered with in the week to {end:%Y-%m-%d}, or {model} no longer reads it"
        )
        if whole is None or not column:
            raise nothing
        with connect({"log": scan}) as duck:
            rows = arrow(duck, f"SELECT {quoted(column)} FROM log WHERE {window} AND arm <> 'shadow'")
        if not rows.num_rows:
            raise nothing
        day = f"{end - timedelta(microseconds=1):%Y-%m-%d}"
        marked = self.benign.mark(model, whole, rows.column(column), day, why=why, actor=actor, alert=alert.id)
        self.alerts.resolve(model, alert.fingerprint, f"benign, marked by {actor}: {why}")
        return {"model": model} | {k: v for k, v in to_body(marked).items() if k not in ("shape", "forgotten")}


class _Trial:
    """The labelled answers of a window, to be scored again with a feature as it was in training."""

    def __init__(self, live: LiveModel, references: Sequence[Reference], rows: pa.Table, outcomes: pa.Table) -> None:
        self._live, self.references = live, {r.column: r for r in references}
        self.rows, self._outcomes = rows, outcomes

    @cached_property
    def _labelled(self) -> tuple[dict[str, Column], np.ndarray] | None:
        inputs = [c.name for c in self._live.signature.inputs]
        if not self._outcomes.num_rows or any(FEATURE + n not in self.rows.column_names for n in inputs):
            return None
        places = pc.index_in(self.rows.column("prediction_id"), self._outcomes.column("prediction_id").combine_chunks())
        mine = self.rows.filter(places.is_valid())
        if mine.num_rows < TRIAL_ROWS_MIN:
            return None
        truth = self._outcomes.column("label").take(places.drop_null()).to_numpy()
        step = -(-mine.num_rows // TRIAL_ROWS_MAX)
        mine, truth = mine.take(pa.array(np.arange(0, mine.num_rows, step))), truth[::step]
        return {n: mine.column(FEATURE + n) for n in inputs}, truth

    @cached_property
    def _loss(self) -> float:
        assert self._labelled is not None
        return self._mean_loss(self._labelled[0])

    def _mean_loss(self, columns: Columns) -> float:
        assert self._labelled is not None
        task = self._live.signature.task
        return float(row_losses(task, DEFAULT_METRIC[task], self._labelled[1], self._live.score(columns)).mean())

    def costs(self, column: str) -> float | None:
        """The share of the window's loss that goes away when the column is drawn from its reference; None when too few
        rows are labelled."""
        if self._labelled is None or column not in self._labelled[0]:
            return None
        values = sampled(self.references[column], len(self._labelled[1]), seed=len(column))
        return 1 - self._mean_loss({**self._labelled[0], column: values}) / max(self._loss, 1e-12)


def _week(rows: pa.Table, references: Sequence[Reference], gone: Mapping[str, float], end: datetime) -> Span:
    """The answers of the week that ends at `end`. What is null in everything answered today and was not in training is
    broken."""
    begun = end - DRIFT_WINDOW
    usual = {r.column: float(r.counts[-1]) / max(1.0, float(sum(r.counts))) for r in references}
    return Span(
        {r.column: rows.column(FEATURE + r.column) for r in references},
        rows.num_rows,
        begun.isoformat(),
        end.isoformat(),
        complete=pc.min(rows.column("at")).as_py() <= begun + timedelta(days=1),
        broken=frozenset(n for n, share in gone.items() if share == 1 and usual[n] < 0.5),
    )


def _rank(feature: FeatureDrift) -> tuple[bool, bool, bool, float, str]:
    """Integrity faults first and what is known to be harmless last; between them what was tried, by what it costs,
    before what was not, by importance times effect."""
    quiet, costs = feature.harmless or bool(feature.benign), feature.costs
    return not feature.integrity, quiet, costs is None, -(feature.harm if costs is None else costs), feature.feature


def between(column: str, start: datetime | None, end: datetime | None) -> list[str]:
    """SQL conditions for start <= column < end."""
    bounds = ((">=", start), ("<", end))
    return [f"{quoted(column)} {op} TIMESTAMPTZ '{t.isoformat()}'" for op, t in bounds if t is not None]
