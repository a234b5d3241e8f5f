"""Drift of what a model is asked, weighed by the harm it does."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from hanok.compute.alarms import DAYS, WEEKS, AlarmState, Verdict, Window
from hanok.compute.coverage import unseen
from hanok.compute.drift import Reference
from hanok.compute.duck import arrow, connect, quoted
from hanok.compute.shift import Evidence, Span, compare
from hanok.core.alerts import OPEN
from hanok.core.clock import Clock
from hanok.core.errors import Invalid
from hanok.core.ids import new_id
from hanok.core.json import JsonObject
from hanok.core.lineage import Edge, EdgeKind, Event, Node, NodeKind
from hanok.core.logged import FEATURE
from hanok.core.monitoring import DRIFT, DriftReport, FeatureDrift
from hanok.core.records import to_body
from hanok.core.tables import SEQUENCE
from hanok.parts.monitoring.alerts import EVERYTHING, Alerts
from hanok.parts.monitoring.benign import Benign
from hanok.parts.monitoring.day_runs import DayRun, held_against_days, newest_run
from hanok.parts.monitoring.judging import Judging, LiveModel, Trial, unlikely
from hanok.parts.monitoring.outcomes import PREDICTIONS, feature_column
from hanok.stores.ports import Metadata, Repositories, Tables

DRIFT_WINDOW = timedelta(days=7)
POLICY = WEEKS
REMEMBERED_DAYS = (POLICY.of + 1) * 7  # reports: one a day

References = Callable[[str], Sequence[Reference]]


class Outcomes(Protocol):
    """The labelled answers of a model in [start, end)."""

    def __call__(self, model: str, *, start: datetime | None = None, end: datetime | None = None) -> pa.Table: ...


class DriftWatch:
    """Compares what each model was asked with what its version was trained on."""

    def __init__(self, *, metadata: Metadata, tables: Tables, alerts: Alerts, clock: Clock, outcomes: Outcomes) -> None:
        self._metadata, self._tables, self.alerts, self._clock = metadata, tables, alerts, clock
        self._outcomes = outcomes
        self.benign = Benign(metadata=metadata, clock=clock)
        self._first: dict[tuple[str, frozenset[int] | None], datetime] = {}

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
        versions: Collection[int] | None = None,
    ) -> DriftReport | None:
        """Compare the features of the week up to `end` with the reference of the version that is `live`, and those of
        the newest run of whole days with how such runs lay in training; a feature that is null in everything answered
        in [start, end) is an integrity fault. Until a whole week was answered the week alarms nothing else; where the
        reference knows no days, nothing does. `versions` are those whose inputs mean the same; all by default.

        Drift that could matter is tried: where enough of the rows are labelled, they are scored again with that
        feature drawn from its reference. If that does not lower the loss, the drift is harmless and does not alarm, and
        the shape of such a week is learned: a later week of that shape is quiet even before its labels come. What a
        person marked as benign is quiet, too. Alerts of features that have no reference any more are over.

        Returns the recorded report: features ranked by harm, each with its distances, significance and whether it
        alarms; and the values of categories that training had not seen. None when nothing was predicted in the window.
        """
        self._forget(model, {r.column for r in references})
        name = PREDICTIONS + model
        if not self._tables.size(name):
            return None
        schema = self._tables.scan(name).schema
        references = [r for r in references if feature_column(schema, r.column, numeric=r.numeric)]
        if not references:
            return None
        rows = self._answers(name, references, end - DRIFT_WINDOW, end, versions)
        newest = rows.filter(pc.greater_equal(rows.column("at"), pa.scalar(start, rows.schema.field("at").type)))
        if not newest.num_rows:
            return None
        gone = {r.column: newest.column(FEATURE + r.column).null_count / newest.num_rows for r in references}
        begun = self._begun(name, versions)
        week = _week(rows, references, _broken(references, gone, newest.num_rows), begun, end)
        evidence = compare(Span({r.column: r for r in references}), week)
        run = newest_run(
            rows,
            references,
            begun=begun,
            until=min(end, self._clock.now()),
            load=lambda low, high: self._answers(name, references, low, high, versions),
        )
        outcomes = cache(lambda: self._outcomes(model, start=end - DRIFT_WINDOW, end=end))  # read when one is tried
        trial = Trial(live, references, rows, outcomes)
        remembered = REMEMBERED_DAYS if run is None else max(REMEMBERED_DAYS, (DAYS.of + 1) * run.days)
        before = self._before(model, f"{start:%Y-%m-%d}", remembered)
        lately: frozenset[str] = frozenset()
        judging = Judging(self.benign, model, importance, gone, f"{start:%Y-%m-%d}", newest.num_rows)
        features = judging.of(_week_verdicts(evidence, before), trial)
        if run is not None:
            verdicts = _run_verdicts(run, references, before)
            lately = frozenset(v.drift.column for v in verdicts if v.seen)
            features = judging.with_run(features, verdicts, Trial(live, references, run.rows, outcomes))
        new = {
            c.name: unseen(newest.column(FEATURE + c.name), c.categories)
            for c in live.signature.inputs
            if c.categories and FEATURE + c.name in newest.column_names
        }
        now = self._clock.now()
        day = f"{start:%Y-%m-%d}"
        features = tuple(sorted(features, key=_rank))
        facts = {"model": model, "start": start.isoformat(), "end": end.isoformat(), "worst": features[0].feature}
        node = Node(new_id(now), NodeKind.DRIFT_REPORT, f"{model} {day}", now, facts)
        found = {name: values for name, values in new.items() if values}
        span = (run.start.isoformat(), run.end.isoformat(), run.rows.num_rows) if run else ("", "", 0)
        report = DriftReport(day, start.isoformat(), end.isoformat(), rows.num_rows, features, node.id, found, *span)

        def work(repositories: Repositories) -> None:
            repositories.lineage.add([node], [Edge(node.id, EdgeKind.EVALUATED_ON, version_node)])
            repositories.records.put(DRIFT.name, model, day, DRIFT.body(report), now)
            repositories.outbox.append(Event("drift_measured", node.id, now, {"model": model, "day": day}))

        self._metadata.write(work)
        self._alarm(model, report, node.id, lately, week.complete)
        return report

    def _answers(
        self,
        name: str,
        references: Sequence[Reference],
        start: datetime,
        end: datetime,
        versions: Collection[int] | None,
    ) -> pa.Table:
        """The features of what was answered in [start, end), each in its `f__` column, with `at` and prediction ids."""
        scan = self._tables.scan(name, since=start)
        held = {r.column: feature_column(scan.schema, r.column, numeric=r.numeric) or "" for r in references}
        columns = ", ".join(f"{quoted(held[r.column])} AS {quoted(FEATURE + r.column)}" for r in references)
        window = " AND ".join([*between("at", start, end), *_of_versions(versions)])
        with connect({"log": scan}) as duck:
            return arrow(
                duck,
                f"SELECT {columns}, {quoted('at')}, prediction_id FROM log WHERE {window} AND arm <> 'shadow' "
                f"ORDER BY {SEQUENCE}",
            )

    def _begun(self, name: str, versions: Collection[int] | None) -> datetime:
        """When the first of the answers was given."""
        asked = name, None if versions is None else frozenset(versions)
        if asked not in self._first:
            where = " AND ".join(["arm <> 'shadow'", *_of_versions(versions)])
            with connect({"log": self._tables.scan(name)}) as duck:
                self._first[asked] = arrow(duck, f'SELECT min("at") FROM log WHERE {where}').column(0)[0].as_py()
        return self._first[asked]

    def answered_days(self, model: str, *, until: datetime, limit: int) -> list[datetime]:
        """The newest days before `until` on which a model answered, oldest first."""
        name = PREDICTIONS + model
        if not self._tables.size(name):
            return []
        with connect({"log": self._tables.scan(name)}) as duck:
            days = duck.execute(
                "SELECT DISTINCT epoch_us(\"at\") // 86400000000 AS day FROM log WHERE arm <> 'shadow' "
                f"AND \"at\" < TIMESTAMPTZ '{until.isoformat()}' ORDER BY day DESC LIMIT {limit}"
            ).fetchall()
        return [datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day) for (day,) in reversed(days)]

    def reports(self, model: str, *, limit: int = 400) -> list[DriftReport]:
        """Oldest first."""
        found = self._metadata.read(lambda r: r.records.list(DRIFT.name, model, limit=limit))
        return sorted(DRIFT.all(found), key=lambda b: b.day)

    def report_of(self, model: str, day: str) -> DriftReport | None:
        return DRIFT.open(self._metadata.read(lambda r: r.records.get(DRIFT.name, model, day)))

    def _before(self, model: str, day: str, limit: int) -> list[DriftReport]:
        bodies = self._metadata.read(lambda r: r.records.list(DRIFT.name, model, limit=limit))
        return [r for r in DRIFT.all(bodies) if r.day < day]

    def _open(self, model: str) -> dict[str, str]:
        """The kind of each open alert of a feature, by fingerprint."""
        found = self.alerts.list(model, state=OPEN, limit=EVERYTHING)
        return {a.fingerprint: a.kind for a in found if a.kind in ("drift", "integrity")}

    def _forget(self, model: str, judged: Collection[str]) -> None:
        for fingerprint in self._open(model):
            feature = fingerprint.removeprefix("drift:")
            if feature not in judged:
                self.alerts.resolve(
                    model, fingerprint, f"the version that answers does not read {feature}, or was trained elsewhere"
                )

    def _alarm(self, model: str, report: DriftReport, node: str, lately: Collection[str], complete: bool) -> None:
        """`lately` are features that an earlier one of the runs that count found suspicious. What was not judged (the
        week is not `complete`; of nulls: nothing but nulls came) is not over."""
        kinds = self._open(model)
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
                    model, "drift", fingerprint, _said(model, report, feature), facts=to_body(feature), caused_by=node
                )
            elif feature.run_suspicious or (feature.feature in lately and not feature.suspicious):
                continue  # neither lasting nor over: what is open stays open
            elif not feature.suspicious:
                judged = feature.null_today < 1 if kinds.get(fingerprint) == "integrity" else complete
                if judged:
                    self.alerts.resolve(model, fingerprint, f"back within its reference on {report.day}")
            elif feature.benign:
                self.alerts.resolve(model, fingerprint, f"benign: {feature.benign}")
            elif feature.harmless:
                self.alerts.resolve(
                    model, fingerprint, f"it does no harm: with its old values the loss of {report.day} is no lower"
                )

    def mark_benign(self, alert_id: str, *, why: str, actor: str, reference: References) -> JsonObject:
        """A person knows that this drift does no harm: the alert is resolved, and weeks of its shape stay quiet. One
        of data is resolved too, whatever rows wait; the fault alarms again when it comes again.

        Raises NotFound for an unknown alert, Invalid for one of another kind.
        """
        alert = self.alerts.get(alert_id)
        if alert.kind not in ("drift", "data") or not why.strip():
            raise Invalid(
                f"only an alert of drift or data can be marked as benign, and with a reason; this is of kind "
                f"{alert.kind}: hanok alert list"
            )
        if alert.kind == "data":
            self.alerts.resolve(alert.subject, alert.fingerprint, f"benign, marked by {actor}: {why}")
            return {"table": alert.subject, "alert": alert.id, "by": actor, "why": why}
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


def _week_verdicts(evidence: Evidence, before: Sequence[DriftReport]) -> Sequence[Verdict]:
    """With the weeks before, as their reports say: each ends with its day, so most of them overlap."""
    weeks = (
        Window(
            (datetime.fromisoformat(r.end) - DRIFT_WINDOW).isoformat(),
            r.end,
            frozenset(f.feature for f in r.features if f.suspicious),
        )
        for r in before[:REMEMBERED_DAYS]
    )
    return POLICY.update(AlarmState(tuple(weeks)), evidence)[1]


def _run_verdicts(run: DayRun, references: Sequence[Reference], before: Sequence[DriftReport]) -> Sequence[Verdict]:
    """With the runs before, of whatever length."""
    columns = {r.column: run.rows.column(FEATURE + r.column) for r in references}
    runs = (
        Window(r.run_start, r.run_end, frozenset(f.feature for f in r.features if f.run_suspicious))
        for r in before
        if r.run_end and r.run_end < run.end.isoformat()
    )
    return DAYS.update(AlarmState(tuple(runs)), held_against_days(run, references, columns))[1]


def _broken(references: Sequence[Reference], gone: Mapping[str, float], rows: int) -> frozenset[str]:
    """What is null in all the `rows` of a day, was mostly not in training, and is not so by chance."""
    usual = {r.column: float(r.counts[-1]) / max(1.0, float(sum(r.counts))) for r in references}
    return frozenset(n for n, share in gone.items() if share == 1 and usual[n] < 0.5 and unlikely(1, rows, usual[n]))


def _week(
    rows: pa.Table, references: Sequence[Reference], broken: frozenset[str], begun: datetime, end: datetime
) -> Span:
    """The answers of the week that ends at `end`. It is complete where answers had `begun` by then: a model may rest on
    some days."""
    start = end - DRIFT_WINDOW
    begun = min(begun, pc.min(rows.column("at")).as_py())
    return Span(
        {r.column: rows.column(FEATURE + r.column) for r in references},
        rows.num_rows,
        start.isoformat(),
        end.isoformat(),
        complete=begun <= start + timedelta(days=1),
        broken=broken,
    )


def _said(model: str, report: DriftReport, feature: FeatureDrift) -> str:
    """What moved, by the week or by the run of days that shows it."""
    gain = f"harm {feature.harm:.3f} ({feature.importance:.0%} of the model's gain)"
    if feature.run_suspicious and (feature.sudden or not feature.suspicious):
        first, last = report.run_start[:10], _day_before(report.run_end)
        when = f"on {first}" if first == last else f"from {first} to {last}"
        word = "has jumped" if feature.sudden else "has drifted"
        usual = f"up to {feature.run_usual_psi:.2f} is usual from day to day"
        return f"{feature.feature} of {model} {word} {when}: PSI {feature.run_psi:.2f} ({usual}), {gain}"
    return f"{feature.feature} of {model} has drifted: PSI {feature.psi:.2f}, {gain}"


def _day_before(instant: str) -> str:
    return f"{datetime.fromisoformat(instant) - timedelta(microseconds=1):%Y-%m-%d}"


def _of_versions(versions: Collection[int] | None) -> list[str]:
    return [] if versions is None else [f"version IN ({', '.join(str(int(v)) for v in sorted(versions)) or 'NULL'})"]


def _rank(feature: FeatureDrift) -> tuple[bool, bool, bool, float, str]:
    """Integrity faults first and what is known to be harmless last; between them what was tried, by what it costs,
    before what was not, by importance times effect."""
    quiet, costs = feature.harmless or bool(feature.benign), feature.costs
    return not feature.integrity, quiet, costs is None, -(feature.harm if costs is None else costs), feature.feature


def between(column: str, start: datetime | None, end: datetime | None) -> list[str]:
    """SQL conditions for start <= column < end."""
    bounds = ((">=", start), ("<", end))
    return [f"{quoted(column)} {op} TIMESTAMPTZ '{t.isoformat()}'" for op, t in bounds if t is not None]
