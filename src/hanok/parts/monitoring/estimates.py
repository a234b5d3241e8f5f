"""Performance before labels, for each day and each week of a model's answers, and what came of it.

An estimate is made from what was labelled before its window began, kept, and compared with the truth once labels are
in. For two classes it rests on counts of scores by day (compute/score_counts.py), for more classes and for numbers on
the newest labelled rows (compute/estimation.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from hanok.compute import score_counts
from hanok.compute.duck import arrow, connect, quoted
from hanok.compute.estimation import ROWS_MIN, ClassReference, Estimate, estimate_classes, estimate_loss
from hanok.compute.metrics import evaluate
from hanok.compute.score_counts import ScoreCounts, check_calibration, counted, fit_calibration, merged
from hanok.core.alerts import INFO
from hanok.core.clock import Clock
from hanok.core.errors import Invalid
from hanok.core.lineage import Event
from hanok.core.logged import NUMBER, TABLE, feature_of
from hanok.core.performance import (
    ESTIMATES,
    SCORES,
    CalibrationHeld,
    EstimateCheck,
    EstimateReference,
    Experience,
    Interval,
    ScoredDay,
    WindowEstimate,
)
from hanok.core.records import to_body
from hanok.core.tables import Scan
from hanok.parts.monitoring.alerts import Alerts
from hanok.parts.monitoring.concept import ConceptDrift
from hanok.parts.monitoring.outcomes import OUTCOMES, counting, since_of
from hanok.stores.ports import Metadata, Repositories, Tables

DAY = timedelta(days=1)
WINDOWS = {"week": 7, "day": 1}
HEADLINE = {"binary": "auc", "multiclass": "accuracy", "regression": "mae"}
TASKS = {headline: task for task, headline in HEADLINE.items()}
METRICS = {"multiclass": ("accuracy", "log_loss"), "regression": ("mae", "rmse")}
MEMORY_DAYS = 120
REFERENCE_ROWS, DRAWS, REFITS = 2_000, 80, 8
LABELLED_MIN, CLASS_MIN = 300, 30
KNOWN_MIN = 0.9  # a window is checked when this share is labelled, a day after its end ...
SETTLED = timedelta(days=1)
STALLED = timedelta(days=3)  # ... or when no label has come for so long
UNCALIBRATED_MAX = 0.05
EXPERIENCE, EXPERIENCE_MIN, EXPERIENCE_SHARE = 26, 8, 0.9
MISSES, OF = 2, 3
CHECKED_BACK = 45


@dataclass(frozen=True, slots=True)
class Answers:
    """What a day's estimate is made of: everything answered, and of it what is labelled by now. `score` is P(1), the
    value, or (n, classes)."""

    score: np.ndarray
    labelled: np.ndarray
    label: np.ndarray


class Estimates:
    def __init__(self, *, metadata: Metadata, tables: Tables, alerts: Alerts, clock: Clock) -> None:
        self._metadata, self._tables, self._alerts, self._clock = metadata, tables, alerts, clock
        self._concept = ConceptDrift(metadata=metadata, alerts=alerts, clock=clock)

    # -- before labels ---------------------------------------------------------------------------------------

    def follow(
        self, model: str, task: str, answers: Mapping[datetime, Answers], day: datetime, doubts: Sequence[str] = ()
    ) -> list[WindowEstimate]:
        """Count the days of `answers` as far as labels have come, estimate `day` and the week that it lies in from what
        was labelled before each began, and check what is labelled by now; returns what was checked.

        `doubts` are reasons why inputs of the day cannot be trusted: then there is a value and no interval.
        """
        days = _Days(self._scored(model))
        now = self._clock.now()
        counted_days = {f"{d:%Y-%m-%d}": days.counted(f"{d:%Y-%m-%d}", task, a, now) for d, a in answers.items()}
        made = [self._made(model, task, days, day, window, doubts) for window in WINDOWS]

        def work(repositories: Repositories) -> None:
            for key, scored in counted_days.items():
                repositories.records.put(SCORES.name, model, key, SCORES.body(scored), now)
            for estimate in filter(None, made):
                _keep(repositories, model, estimate, now)

        self._metadata.write(work)
        return self._check(model, task, days)

    def _made(
        self, model: str, task: str, days: _Days, day: datetime, window: str, doubts: Sequence[str]
    ) -> WindowEstimate | None:
        """The estimate of the window that `day` lies in; None when it was checked already."""
        start = day - timedelta(days=day.weekday()) if window == "week" else day
        kind = ESTIMATES[window]
        earlier = kind.open(self._metadata.read(lambda r: r.records.get(kind.name, model, f"{start:%Y-%m-%d}")))
        if earlier is not None and earlier.checked:
            return None
        made = self._estimated(model, task, days, start, window)
        by_day = {**(earlier.doubts_by_day if earlier else {}), f"{day:%Y-%m-%d}": tuple(doubts)}
        reasons = (*(f"{r} on {d}" for d, said in sorted(by_day.items()) for r in said), *made.withheld)
        usual = self._usual(model, task, window)
        return replace(made, doubts=reasons, doubts_by_day=by_day, reliable=not reasons, usual=usual)

    def _estimated(self, model: str, task: str, days: _Days, start: datetime, window: str) -> WindowEstimate:
        """The estimate with the doubts of its own."""
        length = WINDOWS[window]
        end = start + timedelta(days=length)
        rows = sum(d.rows for d in days.within(start, length))
        made = WindowEstimate(
            f"{start:%Y-%m-%d}", f"{end:%Y-%m-%d}", self._clock.now(), rows, HEADLINE[task], {}, window
        )
        if task == "binary":
            return _from_counts(made, days, start, length)
        try:
            found = self._from_rows(model, task, start, end)
        except Invalid as error:
            return replace(made, doubts=(str(error),))
        return replace(made, metrics=_intervals(found), assumption=found[0].assumption)

    def _from_rows(self, model: str, task: str, start: datetime, end: datetime) -> list[Estimate]:
        known, window = self._rows(model, start, end)
        if min(known.num_rows, window.num_rows) < ROWS_MIN:
            raise Invalid(f"{known.num_rows} labelled and {window.num_rows} new answers; it takes {ROWS_MIN} of each")
        label = known.column("label").to_numpy()
        if task == "multiclass":
            scores = [np.array(t.column("scores").to_pylist(), float) for t in (known, window)]
            if scores[0].shape[1:] != scores[1].shape[1:]:
                raise Invalid("the classes of the model have changed since its last labels")
            return estimate_classes(ClassReference(scores[0], label), scores[1], METRICS[task], draws=DRAWS)
        columns = [n for n in known.column_names if _number(known.field(n))]
        inputs = [
            np.column_stack([t.column(n).to_numpy() for n in columns]) if columns else np.empty((t.num_rows, 0))
            for t in (known, window)
        ]
        values = [t.column("score").to_numpy() for t in (known, window)]
        sides = inputs[0], label, values[0], inputs[1], values[1]
        return [estimate_loss(*sides, metric, refits=REFITS) for metric in METRICS[task]]

    def _rows(self, model: str, start: datetime, end: datetime) -> tuple[pa.Table, pa.Table]:
        """The newest labelled answers before the window, and the answers of the window; both with their features."""
        since = start - timedelta(days=MEMORY_DAYS)
        log = self._tables.scan(TABLE + model, since=since)
        columns = ", ".join(["score", "scores", *(quoted(f.name) for f in log.schema if _number(f))])
        if not self._tables.size(OUTCOMES + model):
            raise Invalid("no answer is labelled yet")
        known = self._tables.scan(OUTCOMES + model, since=since)
        counts = self._counting(known, model, since, start)
        with connect({"log": log, "known": known}) as duck:
            window = arrow(duck, f"SELECT {columns} FROM log WHERE {_answered(start, end)}")
            labelled = arrow(
                duck,
                f"SELECT {columns}, label FROM (SELECT * FROM log WHERE {_answered(since, start)}) "
                f"JOIN (SELECT prediction_id, label FROM ({counts})) "
                f'USING (prediction_id) ORDER BY "at" DESC, prediction_id LIMIT {REFERENCE_ROWS}',
            )
        return labelled, window

    def _usual(self, model: str, task: str, window: str) -> Experience | None:
        """How far estimates of this kind were from the truth: the error that nine of ten stayed within."""
        metric = HEADLINE[task]
        checked = [e.checked.errors.get(metric) for e in self.list(model, window) if e.checked]
        errors = np.sort(np.abs([e for e in checked if e is not None][-EXPERIENCE:]))
        if len(errors) < EXPERIENCE_MIN:
            return None
        place = min(len(errors), int(np.ceil((len(errors) + 1) * EXPERIENCE_SHARE)))
        return Experience(float(errors[place - 1]), len(errors), EXPERIENCE_SHARE)

    # -- once labels are in ----------------------------------------------------------------------------------

    def _check(self, model: str, task: str, days: _Days) -> list[WindowEstimate]:
        """Compare what is labelled by now with its estimates; a miss is recorded with its reason. A missed week raises
        an alert that informs, two of three a warning."""
        now = self._clock.now()
        done: list[WindowEstimate] = []
        for window, length in WINDOWS.items():
            for estimate in self.list(model, window, limit=CHECKED_BACK):
                start = datetime.fromisoformat(estimate.start).replace(tzinfo=UTC)
                end = start + timedelta(days=length)
                if estimate.checked or not _settled(days.within(start, length), end, now):
                    continue
                found = self._checked(model, task, estimate, days, start, length)
                if found is not None:
                    done.append(replace(estimate, checked=found))
        if done:
            self._keep_checks(model, done)
        if any(e.window == "week" for e in done):
            self._tell(model)
        if any(e.window == "day" for e in done):
            self._concept.follow(model, task, self.list(model, "day", limit=MEMORY_DAYS))
        return done

    def _checked(
        self,
        model: str,
        task: str,
        estimate: WindowEstimate,
        days: _Days,
        start: datetime,
        length: int,
    ) -> EstimateCheck | None:
        labelled = sum(d.labelled for d in days.within(start, length))
        if labelled < ROWS_MIN:
            return None
        calibration = CalibrationHeld()
        if task == "binary":
            counts = days.counts(start, length)
            truth = score_counts.realised(merged(counts))
            if estimate.calibration:
                found = check_calibration(score_counts.rates(estimate.calibration), counts)
                calibration = CalibrationHeld(**asdict(found), why=found.reason)
        else:
            truth = self._realised(model, task, start, start + timedelta(days=length))
        truth = {m: v for m, v in truth.items() if np.isfinite(v)}
        if estimate.headline not in truth:
            return None
        headline = estimate.metrics.get(estimate.headline)
        hit = headline.low <= truth[estimate.headline] <= headline.high if headline and estimate.reliable else None
        return EstimateCheck(
            self._clock.now(),
            labelled,
            realised=truth,
            errors={m: truth[m] - e.value for m, e in estimate.metrics.items() if m in truth},
            inside=hit,
            calibration=calibration,
            reason=_reason(estimate, truth, calibration) if hit is False else "",
        )

    def _realised(self, model: str, task: str, start: datetime, end: datetime) -> dict[str, float]:
        """Metrics of the answers of [start, end) with the labels that count by now."""
        return _metrics(task, self._labelled(model, start, end))

    def _counting(self, known: Scan, model: str, start: datetime, end: datetime) -> str:
        """SQL of the outcomes `known` that count by now, of the answers of [start, end)."""
        bounds, since = _answered(start, end), since_of(self._metadata, model)
        return counting(known, known_by=self._clock.now(), bounds=bounds, view="known", since=since)

    def _labelled(self, model: str, start: datetime, end: datetime) -> pa.Table:
        known = self._tables.scan(OUTCOMES + model, since=start)
        counts = self._counting(known, model, start, end)
        with connect({"known": known}) as duck:
            return arrow(duck, f"SELECT score, scores, label FROM ({counts})")

    def _tell(self, model: str) -> None:
        weeks = [(e, e.checked) for e in self.list(model, "week") if e.checked and e.checked.inside is not None]
        if not weeks:
            return
        last, check = weeks[-1]
        if check.inside:
            for fingerprint in ("estimate", "estimate:again"):
                self._alerts.resolve(model, fingerprint, f"the estimate of the week of {last.start} was right")
            return
        said = f"week of {last.start}: {check.reason}"
        facts = {"start": last.start, "end": last.end, **to_body(check)}
        self._alerts.raise_(
            model, "estimate", "estimate", f"the estimate of {model} was off, {said}", severity=INFO, facts=facts
        )
        if sum(not c.inside for _, c in weeks[-OF:]) >= MISSES:
            self._alerts.raise_(
                model,
                "estimate",
                "estimate:again",
                f"estimates of {model} were off in {MISSES} of {OF} weeks, the {said}",
                facts=facts,
            )

    # -- what is kept ----------------------------------------------------------------------------------------

    def list(self, model: str, window: str = "week", *, limit: int = 60) -> list[WindowEstimate]:
        """The newest estimates, oldest first."""
        if window not in WINDOWS:
            raise Invalid(f"window={window!r} is none of {', '.join(WINDOWS)}")
        kind = ESTIMATES[window]
        found = kind.all(self._metadata.read(lambda r: r.records.list(kind.name, model, limit=limit)))
        return sorted(found, key=lambda e: e.start)

    def known(self, model: str, made: WindowEstimate) -> tuple[int, int, dict[str, float]]:
        """Answers of a window, how many are labelled, and the metrics of those: as the tables stand now, however long
        ago the window was measured."""
        start, end = (datetime.fromisoformat(day).replace(tzinfo=UTC) for day in (made.start, made.end))
        answers = self._answered(model, start, end)
        if not answers or not self._tables.size(OUTCOMES + model):
            return answers, 0, {}
        rows = self._labelled(model, start, end)
        truth = _metrics(TASKS[made.headline], rows)
        return answers, rows.num_rows, {m: v for m, v in truth.items() if np.isfinite(v)}

    def begun(self, model: str, task: str, window: str) -> WindowEstimate | None:
        """The window that goes on, for which nothing was estimated yet; None while it has no answers."""
        today = self._clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
        start = today - timedelta(days=today.weekday()) if window == "week" else today
        end = start + timedelta(days=WINDOWS[window])
        answers, bounds = self._answered(model, start, end), (f"{start:%Y-%m-%d}", f"{end:%Y-%m-%d}")
        if not answers:
            return None
        waits = ("it is not estimated yet: that is done once an hour",)
        return WindowEstimate(
            *bounds, self._clock.now(), answers, HEADLINE[task], {}, window, doubts=waits, reliable=False
        )

    def _answered(self, model: str, start: datetime, end: datetime) -> int:
        if not self._tables.size(TABLE + model):
            return 0
        with connect({"log": self._tables.scan(TABLE + model, since=start)}) as duck:
            return int(arrow(duck, f"SELECT count(*) FROM log WHERE {_answered(start, end)}").column(0)[0].as_py())

    def _scored(self, model: str) -> dict[str, ScoredDay]:
        """The counted days by date."""
        found = self._metadata.read(lambda r: r.records.list(SCORES.name, model, limit=MEMORY_DAYS + 30))
        return dict(zip([str(b["_key"]) for b in found], SCORES.all(found), strict=True))

    def _keep_checks(self, model: str, done: Sequence[WindowEstimate]) -> None:
        now = self._clock.now()

        def work(repositories: Repositories) -> None:
            for estimate in done:
                _keep(repositories, model, estimate, now)
                check = to_body(estimate.checked)
                facts = {"model": model, "window": estimate.window, "start": estimate.start, **check}
                repositories.outbox.append(Event("estimate_checked", model, now, facts))

        self._metadata.write(work)


class _Days:
    """The counted days of a model by date, each parsed once."""

    def __init__(self, days: Mapping[str, ScoredDay]) -> None:
        self._days = dict(days)
        self._parsed: dict[str, ScoreCounts] = {}

    def counted(self, key: str, task: str, answers: Answers, now: datetime) -> ScoredDay:
        """Take a day in."""
        counts = None
        if task == "binary":
            self._parsed[key] = _counts(answers)
            counts = self._parsed[key].as_dict()
        before, labelled = self._days.get(key), len(answers.label)
        grew = before.grew if before is not None and labelled <= before.labelled else now
        self._days[key] = ScoredDay(len(answers.score), labelled, grew, counts)
        return self._days[key]

    def within(self, start: datetime, length: int) -> list[ScoredDay]:
        return [self._days[k] for k in _keys(start, length) if k in self._days]

    def counts(self, start: datetime, length: int) -> list[ScoreCounts]:
        return [c for k in _keys(start, length) if (c := self._one(k)) is not None]

    def labelled_before(self, start: datetime) -> list[tuple[float, ScoreCounts]]:
        """Labelled days before `start`, each with its age in days."""
        ages = ((float(back), f"{start - back * DAY:%Y-%m-%d}") for back in range(1, MEMORY_DAYS + 1))
        known = ((age, key) for age, key in ages if key in self._days and self._days[key].labelled)
        return [(age, c) for age, key in known if (c := self._one(key)) is not None]

    def _one(self, key: str) -> ScoreCounts | None:
        """The counts of a day; None where none were kept."""
        day = self._days.get(key)
        if key not in self._parsed and day is not None and day.counts is not None:
            self._parsed[key] = ScoreCounts.from_dict(day.counts)
        return self._parsed.get(key)


def record(estimates: Sequence[WindowEstimate]) -> dict[str, int]:
    """Hits and misses of estimates whose labels came; `held` counts those whose calibration held."""
    judged = [e.checked for e in estimates if e.checked and e.checked.inside is not None]
    held = [c for c in judged if c.calibration.held]
    return {
        "checked": len(judged),
        "inside": sum(bool(c.inside) for c in judged),
        "held": len(held),
        "held_inside": sum(bool(c.inside) for c in held),
        "withheld": sum(not e.reliable or bool(e.withheld) for e in estimates),
    }


def _metrics(task: str, rows: pa.Table) -> dict[str, float]:
    several = task == "multiclass" and rows.num_rows
    score = np.array(rows.column("scores").to_pylist(), float) if several else rows.column("score").to_numpy()
    return evaluate(task, rows.column("label").to_numpy(), score)


def _number(field: pa.Field) -> bool:
    """Whether a column of the log holds the numbers of a feature."""
    return feature_of(field.name) is not None and field.name[:3] in NUMBER and pa.types.is_floating(field.type)


def _answered(start: datetime, end: datetime) -> str:
    """SQL: what was answered in [start, end), not by a shadow."""
    sides = f"\"at\" >= TIMESTAMPTZ '{start.isoformat()}' AND \"at\" < TIMESTAMPTZ '{end.isoformat()}'"
    return f"{sides} AND arm <> 'shadow'"


def _keep(repositories: Repositories, model: str, estimate: WindowEstimate, now: datetime) -> None:
    kind = ESTIMATES[estimate.window]
    repositories.records.put(kind.name, model, estimate.start, kind.body(estimate), now)


def _intervals(estimates: Sequence[Estimate]) -> dict[str, Interval]:
    return {e.metric: Interval(e.value, e.low, e.high) for e in estimates}


def _keys(start: datetime, length: int) -> list[str]:
    return [f"{start + i * DAY:%Y-%m-%d}" for i in range(length)]


def _counts(answers: Answers) -> ScoreCounts:
    whole = counted(answers.score, np.full(len(answers.score), np.nan))
    known = counted(answers.labelled, answers.label)
    return ScoreCounts(np.maximum(whole.rows, known.labelled), known.labelled, known.positive)


def _from_counts(made: WindowEstimate, days: _Days, start: datetime, length: int) -> WindowEstimate:
    known = days.labelled_before(start)
    reference = merged([c for _, c in known])
    labelled, positive = reference.labelled.sum(), reference.positive.sum()
    if labelled < LABELLED_MIN or min(positive, labelled - positive) < CLASS_MIN:
        few = f"{labelled:.0f} labelled answers before it, {positive:.0f} of them positive"
        return replace(made, doubts=(f"{few}: it takes {LABELLED_MIN}, and {CLASS_MIN} of each class",))
    window = merged(days.counts(start, length))
    if not window.rows.sum():
        return replace(made, doubts=("nothing was answered",))
    coefficients = fit_calibration(known)
    seen = np.flatnonzero(reference.labelled)
    outside = float((window.rows[: seen[0]].sum() + window.rows[seen[-1] + 1 :].sum()) / window.rows.sum())
    found = score_counts.estimates(score_counts.rates(coefficients), window.rows)
    strange = (f"{outside:.0%} of the scores lie where none was labelled",) if outside > UNCALIBRATED_MAX else ()
    return replace(
        made,
        metrics=_intervals(found),
        assumption=score_counts.ASSUMPTION,
        calibration=tuple(float(c) for c in coefficients),
        reference=EstimateReference(int(labelled), len(known), score_counts.realised(reference)),
        doubts=strange,
    )


def _settled(days: Sequence[ScoredDay], end: datetime, now: datetime) -> bool:
    rows, labelled = sum(d.rows for d in days), sum(d.labelled for d in days)
    if not labelled or now < end + SETTLED:
        return False
    stalled = now - max(d.grew for d in days) >= STALLED
    return labelled >= KNOWN_MIN * rows or stalled


def _reason(estimate: WindowEstimate, truth: Mapping[str, float], calibration: CalibrationHeld) -> str:
    metric = estimate.headline
    e = estimate.metrics[metric]
    off = f"{metric} is {truth[metric]:.3f}, estimated {e.value:.3f} ({e.low:.3f} to {e.high:.3f})"
    if calibration.held is None:
        return f"{off}: the same inputs have other labels than before, or the loss has another spread"
    if calibration.held:
        return f"{off} although calibration held"
    p_value = 1.0 if calibration.p_value is None else calibration.p_value
    return f"{off}: {'concept changed' if p_value < 0.05 else 'calibration moved'}, {calibration.why}"
