"""`hanok why`: from a strange window, prediction or alert to its ranked causes, each with its proof.

It joins what the parts know: the prediction log, the feature store, the deployments, the labels. The tests for what is
strange are in compute/diagnosis.py.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hanok.compute.diagnosis import EXPLAINS_MIN, Effect, Suspicion, effect, explained, resampled, skewed, strange
from hanok.compute.drift import Reference, sampled
from hanok.compute.duck import connect, quoted
from hanok.compute.hypotheses import judged
from hanok.compute.metrics import paired_gain, row_losses
from hanok.core.clock import from_micros
from hanok.core.declare import Model
from hanok.core.errors import NotFound
from hanok.core.monitoring import DriftReport
from hanok.core.serving import Deployment
from hanok.core.training import facts_of
from hanok.engine.answered import answers, failures, last_day, widened
from hanok.engine.causes import change, scores_moved, suspects, unexplained
from hanok.engine.diagnosed import Diagnosis, Suspect, Symptom
from hanok.engine.evidence import Evidence
from hanok.engine.incident import incident
from hanok.engine.labels_apart import other_labels, worse_than_gate
from hanok.engine.unanswered import why_nothing
from hanok.engine.version_inputs import LoggedInputs, spine_inputs
from hanok.parts.serving.log import FEATURE, TABLE

DAY = timedelta(days=1)
BEFORE_DAYS = 10
LABELS_MIN = 100
RECENT_VERSION = timedelta(days=14)
FIRST_REPORTS = 7  # a drift of few rows a day takes some days to be told
DRAWS = 6  # of the training rows, in place of windows before where nothing was answered in them
MOST = 0.5  # of the rows; values that were served otherwise in more of them are no guess about the same column
MEANS = ("log_loss", "brier", "mae")  # metrics that are a mean loss of rows

Suspicions: TypeAlias = Mapping[str, tuple[Suspicion, pa.ChunkedArray]]
"""By column: why it is suspected, and the values that restore it."""


@dataclass
class _Case:
    """The window under investigation, with everything that the hypotheses need."""

    parts: Evidence
    model: Model
    start: datetime
    end: datetime
    rows: pa.Table
    deployment: Deployment
    version: int
    references: list[Reference]
    truth: np.ndarray

    @cached_property
    def before(self) -> list[pa.Table]:
        """Windows of the same length before this one, the oldest first."""
        alike, length = LoggedInputs(self.parts, self.model.name, self.version).of, self.end - self.start
        starts = [self.start - (i + 1) * length for i in range(BEFORE_DAYS)]
        return [alike(answers(self.parts, self.model.name, s, s + length)) for s in reversed(starts)]

    @property
    def labelled(self) -> np.ndarray:
        return np.isfinite(self.truth)

    @property
    def given(self) -> np.ndarray:
        """The scores that were answered; (rows,) or (rows, classes). NaN for a version of other classes."""
        if self.model.task != "multiclass":
            return self.rows.column("score").to_numpy()
        each = self.rows.column("scores").to_pylist()
        width = len(self.parts.serving.model(self.model.name, self.version).signature.classes)
        return np.array([s if s and len(s) == width else [np.nan] * width for s in each], float)

    def columns(self) -> dict[str, pa.ChunkedArray]:
        return {r.column: self.rows.column(FEATURE + r.column) for r in self.references}

    def score(self, columns: Mapping[str, pa.ChunkedArray], version: int | None = None) -> np.ndarray:
        return self.parts.serving.model(self.model.name, version or self.version).score(columns)

    def losses(self, scores: np.ndarray) -> np.ndarray:
        return self.losses_of(self.truth[self.labelled], scores[self.labelled])

    def losses_of(self, label: np.ndarray, scores: np.ndarray) -> np.ndarray:
        metric = self.parts.training.version(self.model.name, self.version).facts["metric"]
        return row_losses(self.model.task, metric, label, scores)

    @property
    def in_bulk(self) -> bool:
        """Whether most rows were answered as rows of a table, not as somebody sent them."""
        batches = self.rows.column("batch") if "batch" in self.rows.column_names else None
        return batches is not None and pc.sum(pc.not_equal(pc.fill_null(batches, ""), "")).as_py() * 2 > len(batches)

    @property
    def answered_before(self) -> bool:
        return any(d.num_rows for d in self.before)

    def past(self, reference: Reference) -> list[pa.ChunkedArray]:
        """A column in the windows before, oldest first; where nothing was answered in them, as it was in training."""
        if self.answered_before:
            return [d.column(FEATURE + reference.column) for d in self.before if d.num_rows]
        return [self.trained(reference, seed) for seed in range(DRAWS)]

    def trained(self, reference: Reference, seed: int = 0) -> pa.ChunkedArray:
        """As many values as the window has rows, as they were in training."""
        return pa.chunked_array([sampled(reference, self.rows.num_rows, seed)])

    @cached_property
    def drifted(self) -> Mapping[str, tuple[float, str]]:
        """Features whose drift alarmed in this window and that were never as in training since the model answers, with
        the distance and since when. What came later is held against the windows before."""
        found: dict[str, tuple[float, str]] = {}
        since: dict[str, str] = {}
        reports = self.parts.monitoring.drift_reports(self.model.name)
        first = {r.start for r in reports[:FIRST_REPORTS]}
        for report in reports:
            if report.start >= self.end.isoformat():
                break
            moved = {f.feature: f for f in report.features if f.suspicious or f.run_suspicious}
            since = {name: since.get(name, report.start) for name in moved}
            if report.end > self.start.isoformat():
                ever = [f for f in moved.values() if f.alarm and since[f.feature] in first]
                found |= {f.feature: (max(f.psi, f.run_psi), since[f.feature]) for f in ever}
        return found

    @property
    def loss(self) -> Callable[[np.ndarray], float] | None:
        """Mean loss of scores on the labelled rows; None when too few are labelled."""
        return (lambda scores: float(self.losses(scores).mean())) if self.labelled.sum() >= LABELS_MIN else None


def why_window(
    parts: Evidence, model_name: str, start: datetime, end: datetime, *, version: int | None = None
) -> Diagnosis:
    """Rank the causes of what changed in [start, end), for `version` or else the one that answered most. A day that has
    too few answers is looked at together with those before it. Raises NotFound when nothing was predicted then."""
    failed = failures(parts, model_name, start, end)
    if failed.all_failed:
        return failed.alone(model_name, start, end)
    if not failed.asked and (kept := why_nothing(parts, model_name, start, end)):
        return kept
    if (wide := widened(parts, model_name, start, end)) is not None:
        found = wide.before(_diagnosed(_case(parts, model_name, wide.start, end, version)), start)
    else:
        found = _diagnosed(_case(parts, model_name, start, end, version))
    return failed.beside(found)


def _diagnosed(case: _Case) -> Diagnosis:
    house = incident(case.parts, case.model, case.version, case.references, case.start, case.end)
    verdict = judged(house.case)
    if not verdict.compared:
        return _beside_training(case)
    found = change(house, verdict)
    served = _skews(case)
    usual = {"score": found.usual.score, "loss": found.usual.loss}
    observed = effect(case.score, case.columns(), {}, case.loss)
    skews = _suspects(case, served, observed, usual)
    told = {c for s in skews if s.explains >= EXPLAINS_MIN or (s.proof["rows"] or 0.0) > MOST for c in s.columns}
    ours = [s for s in suspects(house, verdict, found, case.score, case.losses_of) if not _told(s, told)]
    ours = [*(s for s in skews if s.columns[0] in told), *ours, *(s for s in skews if s.columns[0] not in told)]
    if not ours:
        ours = _suspects(case, _drifted(case), observed, usual)
    ranked = _with_version(case, ours, found.usual.loss) or other_labels(case)
    sentence = "" if ranked else unexplained(house, verdict, found, exchanged=_replaced(case) is not None)
    sentence = sentence or _sentence(case, ranked, scores_moved(found))
    start, end = case.start.isoformat(), case.end.isoformat()
    return Diagnosis(case.model.name, start, end, sentence, _symptom(case, observed, usual), tuple(ranked))


def _beside_training(case: _Case) -> Diagnosis:
    """Where hardly anything was answered before: each column beside itself in the windows before, or in training."""
    observed, usual = effect(case.score, case.columns(), {}, case.loss), _usual(case)
    skews = _suspects(case, _skews(case), observed, usual)
    told = {c for s in skews if s.explains >= EXPLAINS_MIN for c in s.columns}
    found = [*_suspects(case, _odd(case, told), observed, usual), *skews]
    exchanged = _version(case, usual["loss"])
    ranked = other_labels(case) + sorted(
        [*found, *([exchanged] if exchanged else [])],
        key=lambda s: (s.kind == "skew" and s.explains < EXPLAINS_MIN, -s.explains),
    )
    ends = case.start.isoformat(), case.end.isoformat()
    return Diagnosis(case.model.name, *ends, _sentence(case, ranked), _symptom(case, observed, usual), tuple(ranked))


def _symptom(case: _Case, observed: Effect, usual: Mapping[str, float | None]) -> Symptom:
    labelled = int(case.labelled.sum())
    return Symptom(case.rows.num_rows, labelled, observed.score, usual["score"], observed.loss, usual["loss"])


def _told(suspect: Suspect, told: Collection[str]) -> bool:
    """Whether skew says the same: the columns were served otherwise than the store has them."""
    return bool(suspect.columns) and set(suspect.columns) <= set(told)


def _with_version(case: _Case, found: Sequence[Suspect], usual_loss: float | None) -> list[Suspect]:
    """A version that is worse than the one before stands where its share puts it, and in place of labels that seem to
    have changed."""
    exchanged = _version(case, usual_loss)
    if exchanged is None:
        return list(found)
    others = [s for s in found if s.kind not in ("labels", "concept")]
    place = next((i for i, s in enumerate(others) if s.explains < exchanged.explains), len(others))
    return [*others[:place], exchanged, *others[place:]]


def why_alert(parts: Evidence, alert_id: str) -> Diagnosis:
    """The causes of what an alert is about: of the newest answers until it was resolved or last seen in which a drift
    or a fault was seen, else of the day on which it was raised, or, about a model, the newest one before it that was
    answered."""
    alert = parts.alerts.get(alert_id)
    known = [*parts.declared.live(), *parts.training.models()]
    models = [m for m in known if m.name == alert.subject] or [m for m in known if alert.subject in m.tables]
    if not models:
        raise NotFound(f"alert {alert_id} is about {alert.subject!r}, which no declared model reads")
    name, feature = models[0].name, alert.fingerprint.removeprefix("drift:")
    seen = seen_in(parts.monitoring.drift_reports(name), feature, until=alert.resolved or alert.last_seen)
    if seen is not None:
        return why_window(parts, name, *seen)
    day = (alert.raised - timedelta(microseconds=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    if alert.subject == name:
        day = max(parts.monitoring.answered_days(name, until=day + DAY, limit=1), default=day)
    return why_window(parts, name, day, day + DAY)


def seen_in(reports: Sequence[DriftReport], feature: str, *, until: datetime) -> tuple[datetime, datetime] | None:
    """The newest answers until then in which a drift or a fault of a feature was seen; reports come the oldest first.
    A later one is of another incident."""
    for report in reversed(reports):
        ends = (report.run_start, report.run_end) if report.run_end else (report.start, report.end)
        start, end = (datetime.fromisoformat(x) for x in ends)
        if end <= until and any(f.feature == feature and (f.alarm or f.integrity) for f in report.features):
            return start, end
    return None


# -- the case ------------------------------------------------------------------------------------------------


def _case(parts: Evidence, name: str, start: datetime, end: datetime, version: int | None) -> _Case:
    rows = answers(parts, name, start, end)
    if not rows.num_rows:
        last = f"the last day with answers is {last_day(parts, name):%Y-%m-%d}"
        raise NotFound(
            f"{name} answered nothing between {start:%Y-%m-%d %H:%M} and {end:%Y-%m-%d %H:%M}"
            + (f"; {last}" if parts.tables.size(TABLE + name) else "")
        )
    versions, counts = np.unique(rows.column("version").to_numpy(), return_counts=True)
    version = int(versions[counts.argmax()]) if version is None else version
    alike = LoggedInputs(parts, name, version).of
    rows = alike(rows)
    deployment = next(d for d in parts.serving.history(name) if any(a.version == version for a in d.arms))
    trained = parts.training.version(name, version)
    facts = trained.facts
    model = parts.declared.of(name, version) or parts.declared.present(name)
    outcomes = parts.monitoring.outcomes(name, start=start, end=end)
    known = (
        dict(zip(outcomes.column("prediction_id").to_pylist(), outcomes.column("label").to_pylist(), strict=True))
        if outcomes.num_rows
        else {}
    )
    truth = np.array([known.get(i, np.nan) for i in rows.column("prediction_id").to_pylist()], float)
    references = parts.references.of(facts.get("reference", ""))
    return _Case(parts, model, start, end, rows, deployment, version, references, truth)


def _usual(case: _Case) -> dict[str, float | None]:
    """The mean score and loss of the windows before; where nothing was answered in them, of training."""
    if not case.answered_before:
        return _trained(case)
    scores = [d.column("score").to_numpy() for d in case.before if d.num_rows]
    first = case.start - BEFORE_DAYS * (case.end - case.start)
    outcomes = case.parts.monitoring.outcomes(case.model.name, start=first, end=case.start)
    loss = None
    if outcomes.num_rows >= LABELS_MIN and case.model.task != "multiclass":
        answered = outcomes.filter(pc.not_equal(outcomes.column("arm"), "shadow"))
        metric = case.parts.training.version(case.model.name, case.version).facts["metric"]
        loss = float(
            row_losses(
                case.model.task, metric, answered.column("label").to_numpy(), answered.column("score").to_numpy()
            ).mean()
        )
    return {"score": float(np.mean(np.concatenate(scores))), "loss": loss}


def _trained(case: _Case) -> dict[str, float | None]:
    """The mean score of rows as they were in training (None with free text, which nobody draws), the gate's loss."""
    facts = facts_of(case.parts.training.version(case.model.name, case.version))
    texts = any(c.terms for c in case.parts.serving.model(case.model.name, case.version).signature.inputs)
    drawn = {} if texts else {r.column: case.trained(r, seed) for seed, r in enumerate(case.references)}
    score = effect(case.score, drawn, {}, None).score if drawn else None
    return {"score": score, "loss": facts.metrics.get(facts.metric) if facts.metric in MEANS else None}


# -- hypotheses ----------------------------------------------------------------------------------------------


def _suspects(
    case: _Case, suspicions: Suspicions, observed: Effect, usual: Mapping[str, float | None]
) -> list[Suspect]:
    """Suspected columns, grouped by the source they come from, each with what restoring it changes."""
    trained = _trained(case) if any(s.kind == "drift" for s, _ in suspicions.values()) else usual
    made = []
    for group, columns in _grouped(case.model, suspicions).items():
        restored = {c: suspicions[c][1] for c in columns}
        after = effect(case.score, case.columns(), restored, case.loss)
        kinds = {suspicions[c][0].kind for c in columns}
        beside = trained if "drift" in kinds else usual
        share = explained(observed, after, beside["score"], beside["loss"])
        if share < EXPLAINS_MIN and "skew" not in kinds and "null" not in kinds:
            continue
        made.append(_suspect(case, group, columns, suspicions, observed, after, share))
    return sorted(made, key=lambda s: -s.explains)


def _odd(case: _Case, told: set[str]) -> Suspicions:
    """Columns that are unlike training or the windows before, but for those whose fault is told."""
    suspicions: dict[str, tuple[Suspicion, pa.ChunkedArray]] = {}
    for index, reference in enumerate(case.references):
        column = reference.column
        if column in told:
            continue
        past = case.past(reference)
        if past and (odd := strange(reference, case.rows.column(FEATURE + column), past)) is not None:
            pool = pa.chunked_array([c for p in past for c in p.chunks])
            suspicions[column] = odd, resampled(pool, case.rows.num_rows, seed=index)
    return {**{c: s for c, s in _drifted(case).items() if c not in told}, **suspicions}


def _drifted(case: _Case) -> Suspicions:
    """Columns that lie otherwise than in training, as the drift of these days said."""
    made: dict[str, tuple[Suspicion, pa.ChunkedArray]] = {}
    for reference in case.references:
        column = reference.column
        if column in case.drifted:
            reason = f"its values lie otherwise than in training (PSI {case.drifted[column][0]:.2f})"
            made[column] = Suspicion(column, "drift", reason, 1.0), case.trained(reference)
    return made


def _skews(case: _Case) -> Suspicions:
    """Columns that differ from what the store gives for the same rows at the instants of the answers; rows that the
    store does not have count as alike."""
    truth, places = spine_inputs(case.parts, case.model, case.rows)
    suspicions: dict[str, tuple[Suspicion, pa.ChunkedArray]] = {}
    if truth is None:
        return suspicions
    taken, found = truth.take(pa.array(places, pa.int64())), pa.array([p is not None for p in places])
    for column in (r.column for r in case.references if r.column in taken.column_names):
        logged = case.rows.column(FEATURE + column)
        restored = pc.if_else(found, taken.column(column).cast(logged.type, safe=False), logged)
        if (skew := skewed(column, logged, restored)) is not None:
            suspicions[column] = skew, restored
    return suspicions


def _grouped(model: Model, suspicions: Suspicions) -> dict[str, list[str]]:
    """Columns of one view that show the same kind of fault are one suspect."""
    groups: dict[str, list[str]] = {}
    for column, (suspicion, _) in suspicions.items():
        view = column.partition("__")[0] if "__" in column else ""
        known = any(v.name == view for v in model.views)
        groups.setdefault(f"{view}:{suspicion.kind}" if known else column, []).append(column)
    return groups


def _suspect(
    case: _Case,
    group: str,
    columns: Sequence[str],
    suspicions: Suspicions,
    observed: Effect,
    after: Effect,
    share: float,
) -> Suspect:
    first = suspicions[columns[0]][0]
    view = next((v for v in case.model.views if group.startswith(f"{v.name}:")), None)
    name = f"input {columns[0]}" if len(columns) == 1 else f"inputs of {view.name if view else group}"
    reason = first.reason if len(columns) == 1 else f"{len(columns)} columns, {columns[0]} among them: {first.reason}"
    action = "compare how the request is made with the feature view; the store's values are in the proof"
    if first.kind != "skew" and columns[0] in case.model.spine_columns and case.in_bulk:
        action = f"look at what feeds {case.model.spine.table!r}; ingest the rows corrected"
    if first.kind == "drift":
        action = f"compare what comes in with what training had (another unit?): hanok skew {case.model.name}"
    if view is not None and first.kind == "null":
        newest = _newest(case, view.source.table, view.source.event_time)
        if newest is not None and case.end - newest > (view.horizon or DAY):
            name = f"source {view.source.table}"
            reason = f"its last row is of {newest:%Y-%m-%d %H:%M}; since then {reason}"
        action = f"look at what feeds {view.source.table!r}; ingest what is missing and predict again"
    proof = {
        "score_before": observed.score,
        "score_restored": after.score,
        "loss_before": observed.loss,
        "loss_restored": after.loss,
        "rows": suspicions[columns[0]][0].share,
    }
    return Suspect(name, first.kind, reason, share, _since(case, columns[0], first.kind), tuple(columns), proof, action)


def _newest(case: _Case, table: str, event_time: str) -> datetime | None:
    with connect({"source": case.parts.features.spines.scan(table)}) as duck:
        row = duck.execute(
            f"SELECT epoch_us(max(CAST({quoted(event_time)} AS TIMESTAMPTZ))) FROM source "
            f"WHERE CAST({quoted(event_time)} AS TIMESTAMPTZ) < TIMESTAMPTZ '{case.end.isoformat()}'"
        ).fetchone()
    return None if row is None or row[0] is None else from_micros(row[0])


def _since(case: _Case, column: str, kind: str) -> str:
    """The start of the first of the consecutive windows up to this one that show the fault."""
    if kind == "drift":
        return case.drifted[column][1]
    reference = next(r for r in case.references if r.column == column)
    start = case.start
    if kind in ("null", "outside", "unit"):
        for index in range(len(case.before) - 1, 4, -1):
            past = [d.column(FEATURE + column) for d in case.before[:index] if d.num_rows]
            window = case.before[index]
            if not window.num_rows or not past or strange(reference, window.column(FEATURE + column), past) is None:
                break
            start -= case.end - case.start
    return start.isoformat()


def _version(case: _Case, usual: float | None) -> Suspect | None:
    """Was the model exchanged shortly before, and would its predecessor have done better on these very rows?"""
    replaced = _replaced(case)
    if replaced is None or case.loss is None or not _takes(case, replaced[0]):
        return None
    earlier, began = replaced
    ours, theirs = (case.losses(case.score(case.columns(), v)) for v in (case.version, earlier))
    gain = paired_gain(ours, theirs, confidence=0.99, seed=7)
    if gain.low <= 0:
        return None
    excess = float(ours.mean()) - usual if usual is not None else gain.mean
    share = float(np.clip(gain.mean / excess, 0, 1)) if excess > 0 else 1.0
    return Suspect(
        f"model version {case.version}",
        "version",
        f"version {earlier}, which it replaced, has a lower loss on the same rows by {gain.mean:.4f} "
        f"(99% interval {gain.low:.4f} to {gain.high:.4f})",
        share,
        began.isoformat(),
        (),
        {"loss_before": float(ours.mean()), "loss_restored": float(theirs.mean()), "rows": gain.rows},
        f"hanok rollback {case.model.name} --to {earlier}",
    )


def _replaced(case: _Case) -> tuple[int, datetime] | None:
    """The version that this one replaced shortly before, and when."""
    history = case.parts.serving.history(case.model.name)
    began = [d.at for d in history if any(a.version == case.version and a.mode == "primary" for a in d.arms)]
    if not began or case.start - began[-1] > RECENT_VERSION:
        return None
    earlier = next((d.primary for d in history if d.at < began[-1] and d.primary != case.version), None)
    return None if earlier is None else (earlier, began[-1])


def _takes(case: _Case, version: int) -> bool:
    """Whether a version can answer the very rows of the case: it takes no input that they lack, or
    that was defined otherwise."""
    known = {c.name: c.datatype for c in case.parts.serving.model(case.model.name, case.version).signature.inputs}
    inputs = case.parts.serving.model(case.model.name, version).signature.inputs
    theirs = case.parts.declared.of(case.model.name, version)
    same = theirs is None or set(theirs.features) <= set(case.model.features)
    return same and all(known.get(c.name) == c.datatype for c in inputs)


def _sentence(case: _Case, suspects: Sequence[Suspect], moved: str = "") -> str:
    if not suspects:
        beside = "the days before" if case.answered_before else "its training (it answered nothing in the days before)"
        last = case.end - timedelta(microseconds=1)
        on = (
            f"on {case.start:%Y-%m-%d}" if last - case.start < DAY else f"from {case.start:%Y-%m-%d} to {last:%Y-%m-%d}"
        )
        day = f"{case.model.name} {on}"
        if worse := worse_than_gate(case):
            return f"unexplained: {worse}, and no input of {day} is unlike {beside}."
        if moved:
            return f"no cause found: no input of {day} is unlike {beside}, but {moved}."
        return f"no cause found: nothing about {day} is unlike {beside}."
    first = suspects[0]
    measured = first.proof.get("score_restored") != first.proof.get("score_before") and first.explains > 0
    by = "The same done to the days before makes up" if "score_reproduced" in first.proof else "Restoring it takes away"
    goes = f" {by} {first.explains:.0%} of the change." if measured else ""
    return f"{first.name}: {first.reason}{'' if first.reason.endswith('?') else '.'}{goes}"
