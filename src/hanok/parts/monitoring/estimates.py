"""Performance before labels, for each day and each week of a model's answers, and what came of it.

An estimate is made from what was labelled before its window began, kept, and compared with the truth once labels are
in. For two classes it rests on counts of scores by day (compute/score_counts.py), for more classes and for numbers on
the newest labelled rows (compute/estimation.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from hanok.compute import score_counts
from hanok.compute.duck import arrow, connect, quoted
from hanok.compute.estimation import ROWS_MIN, ClassReference, Estimate, estimate_classes, estimate_loss
from hanok.compute.metrics import evaluate
from hanok.compute.score_counts import ScoreCounts, check_calibration, counted, fit_calibration, merged
from hanok.core.clock import Clock
from hanok.core.errors import Invalid
from hanok.core.lineage import Event
from hanok.core.tables import SEQUENCE
from hanok.parts.monitoring.alerts import INFO, Alerts
from hanok.parts.monitoring.concept import ConceptDrift
from hanok.stores.ports import Metadata, Repositories, Tables

DAY = timedelta(days=1)
WINDOWS = {"week": 7, "day": 1}
HEADLINE = {"binary": "auc", "multiclass": "accuracy", "regression": "mae"}
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
    ) -> list[Mapping[str, Any]]:
        """Count the days of `answers` as far as labels have come, estimate `day` and the week that it lies in from what
        was labelled before each began, and check what is labelled by now; returns what was checked.

        `doubts` are reasons why inputs of the day cannot be trusted: then there is a value and no interval.
        """
        days = _Days(self._metadata.read(lambda r: r.records.list("scores", model, limit=MEMORY_DAYS + 30)))
        now = self._clock.now()
        counted_days = {f"{d:%Y-%m-%d}": days.counted(f"{d:%Y-%m-%d}", task, a, now) for d, a in answers.items()}
        made = [self._made(model, task, days, day, window, doubts) for window in WINDOWS]

        def work(repositories: Repositories) -> None:
            for key, body in counted_days.items():
                repositories.records.put("scores", model, key, body, now)
            for body in filter(None, made):
                repositories.records.put(_kind(body["window"]), model, body["start"], body, now)

        self._metadata.write(work)
        return self._check(model, task, days)

    def _made(
        self, model: str, task: str, days: _Days, day: datetime, window: str, doubts: Sequence[str]
    ) -> dict[str, Any] | None:
        """The estimate of the window that `day` lies in; None when it was checked already."""
        start = day - timedelta(days=day.weekday()) if window == "week" else day
        earlier = self._metadata.read(lambda r: r.records.get(_kind(window), model, f"{start:%Y-%m-%d}")) or {}
        if earlier.get("checked"):
            return None
        body = self._estimated(model, task, days, start, WINDOWS[window]) | {"window": window}
        by_day = {**earlier.get("doubts_by_day", {}), f"{day:%Y-%m-%d}": list(doubts)}
        reasons = [f"{r} on {d}" for d, said in sorted(by_day.items()) for r in said] + body.pop("own_doubts")
        body |= {"doubts": reasons, "doubts_by_day": by_day, "reliable": not reasons}
        return body | {"usual": self._usual(model, task, window)}

    def _estimated(self, model: str, task: str, days: _Days, start: datetime, length: int) -> dict[str, Any]:
        end = start + timedelta(days=length)
        mine = days.within(start, length)
        body: dict[str, Any] = {
            "start": f"{start:%Y-%m-%d}",
            "end": f"{end:%Y-%m-%d}",
            "made": self._clock.now().isoformat(),
            "rows": sum(d["rows"] for d in mine),
            "headline": HEADLINE[task],
            "metrics": {},
            "own_doubts": [],
            "assumption": "",
            "checked": None,
        }
        if task == "binary":
            return body | _from_counts(days, start, length)
        try:
            found = self._from_rows(model, task, start, end)
        except Invalid as error:
            return body | {"own_doubts": [str(error)]}
        return body | {
            "metrics": {e.metric: {"value": e.value, "low": e.low, "high": e.high} for e in found},
            "assumption": found[0].assumption,
        }

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
        columns = [n for n in known.column_names if n.startswith("f__") and pa.types.is_floating(known.field(n).type)]
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
        log = self._tables.scan("predictions--" + model, since=since)
        columns = ", ".join(["score", "scores", *(quoted(n) for n in log.schema.names if n.startswith("f__"))])
        within = "\"at\" >= TIMESTAMPTZ '{}' AND \"at\" < TIMESTAMPTZ '{}' AND arm <> 'shadow'"
        if not self._tables.size("outcomes--" + model):
            raise Invalid("no answer is labelled yet")
        known = self._tables.scan("outcomes--" + model, since=since)
        with connect({"log": log, "known": known}) as duck:
            window = arrow(duck, f"SELECT {columns} FROM log WHERE {within.format(start.isoformat(), end.isoformat())}")
            labelled = arrow(
                duck,
                f"SELECT {columns}, label FROM (SELECT * FROM log WHERE "
                f"{within.format(since.isoformat(), start.isoformat())}) JOIN (SELECT prediction_id, label FROM known "
                f"QUALIFY row_number() OVER (PARTITION BY prediction_id ORDER BY {SEQUENCE} DESC) = 1) "
                f'USING (prediction_id) ORDER BY "at" DESC, prediction_id LIMIT {REFERENCE_ROWS}',
            )
        return labelled, window

    def _usual(self, model: str, task: str, window: str) -> dict[str, Any] | None:
        """How far estimates of this kind were from the truth: the error that nine of ten stayed within."""
        metric = HEADLINE[task]
        checked = [b["checked"]["errors"].get(metric) for b in self.list(model, window) if b["checked"]]
        errors = np.sort(np.abs([e for e in checked if e is not None][-EXPERIENCE:]))
        if len(errors) < EXPERIENCE_MIN:
            return None
        place = min(len(errors), int(np.ceil((len(errors) + 1) * EXPERIENCE_SHARE)))
        return {"within": float(errors[place - 1]), "windows": len(errors), "share": EXPERIENCE_SHARE}

    # -- once labels are in ----------------------------------------------------------------------------------

    def _check(self, model: str, task: str, days: _Days) -> list[Mapping[str, Any]]:
        """Compare what is labelled by now with its estimates; a miss is recorded with its reason. A missed week raises
        an alert that informs, two of three a warning."""
        now = self._clock.now()
        done: list[Mapping[str, Any]] = []
        for window, length in WINDOWS.items():
            for body in self.list(model, window, limit=CHECKED_BACK):
                start = datetime.fromisoformat(body["start"]).replace(tzinfo=UTC)
                if body["checked"] or not _settled(days.within(start, length), start + timedelta(days=length), now):
                    continue
                found = self._checked(model, task, body, days, start, length)
                if found is not None:
                    done.append(_public(body) | {"checked": found})
        if done:
            self._keep_checks(model, done)
        if any(b["window"] == "week" for b in done):
            self._tell(model)
        if any(b["window"] == "day" for b in done):
            self._concept.follow(model, task, self.list(model, "day", limit=MEMORY_DAYS))
        return done

    def _checked(
        self,
        model: str,
        task: str,
        body: Mapping[str, Any],
        days: _Days,
        start: datetime,
        length: int,
    ) -> dict[str, Any] | None:
        labelled = sum(d["labelled"] for d in days.within(start, length))
        if labelled < ROWS_MIN:
            return None
        calibration: dict[str, Any] = {"held": None, "why": ""}
        if task == "binary":
            counts = days.counts(start, length)
            truth = score_counts.realised(merged(counts))
            if body.get("calibration"):
                found = check_calibration(score_counts.rates(body["calibration"]), counts)
                calibration = asdict(found) | {"why": found.reason}
        else:
            truth = self._realised(model, task, start, start + timedelta(days=length))
        if not np.isfinite(truth.get(body["headline"], np.nan)):
            return None
        errors = {m: truth[m] - e["value"] for m, e in body["metrics"].items() if np.isfinite(truth.get(m, np.nan))}
        inside = {m: e["low"] <= truth[m] <= e["high"] for m, e in body["metrics"].items() if m in errors}
        hit = inside.get(body["headline"])
        return {
            "at": self._clock.now().isoformat(),
            "labelled": labelled,
            "realised": {m: v for m, v in truth.items() if np.isfinite(v)},
            "errors": errors,
            "inside": hit if body["reliable"] else None,
            "calibration": calibration,
            "reason": _reason(body, truth, calibration) if hit is False and body["reliable"] else "",
        }

    def _realised(self, model: str, task: str, start: datetime, end: datetime) -> dict[str, float]:
        known = self._tables.scan("outcomes--" + model, since=start)
        with connect({"known": known}) as duck:
            rows = arrow(
                duck,
                f"SELECT score, scores, label FROM known WHERE \"at\" >= TIMESTAMPTZ '{start.isoformat()}' AND "
                f"\"at\" < TIMESTAMPTZ '{end.isoformat()}' AND arm <> 'shadow' "
                f"QUALIFY row_number() OVER (PARTITION BY prediction_id ORDER BY {SEQUENCE} DESC) = 1",
            )
        several = task == "multiclass"
        score = np.array(rows.column("scores").to_pylist(), float) if several else rows.column("score").to_numpy()
        return evaluate(task, rows.column("label").to_numpy(), score)

    def _tell(self, model: str) -> None:
        weeks = [b for b in self.list(model, "week") if b["checked"] and b["checked"]["inside"] is not None]
        if not weeks:
            return
        last = weeks[-1]
        if last["checked"]["inside"]:
            for fingerprint in ("estimate", "estimate:again"):
                self._alerts.resolve(model, fingerprint, f"the estimate of the week of {last['start']} was right")
            return
        said = f"week of {last['start']}: {last['checked']['reason']}"
        facts = {"start": last["start"], "end": last["end"]} | last["checked"]
        self._alerts.raise_(
            model, "estimate", "estimate", f"the estimate of {model} was off, {said}", severity=INFO, facts=facts
        )
        if sum(not b["checked"]["inside"] for b in weeks[-OF:]) >= MISSES:
            self._alerts.raise_(
                model,
                "estimate",
                "estimate:again",
                f"estimates of {model} were off in {MISSES} of {OF} weeks, the {said}",
                facts=facts,
            )

    # -- what is kept ----------------------------------------------------------------------------------------

    def list(self, model: str, window: str = "week", *, limit: int = 60) -> list[Mapping[str, Any]]:
        """The newest estimates, oldest first."""
        if window not in WINDOWS:
            raise Invalid(f"window={window!r} is none of {', '.join(WINDOWS)}")
        found = self._metadata.read(lambda r: r.records.list(_kind(window), model, limit=limit))
        return sorted(found, key=lambda b: b["start"])

    def labelled(self, model: str, start: str, end: str) -> tuple[int, int, dict[str, float]]:
        """Answers of a window, how many are labelled by now, and for two classes the metrics of those."""
        found = self._metadata.read(lambda r: r.records.list("scores", model, limit=MEMORY_DAYS + 30))
        days = [d for d in found if start <= d["_key"] < end]
        known: dict[str, float] = {}
        if days and all("counts" in d for d in days):
            counts = merged([ScoreCounts.from_dict(d["counts"]) for d in days])
            if counts.labelled.sum():
                known = {m: v for m, v in score_counts.realised(counts).items() if np.isfinite(v)}
        return sum(d["rows"] for d in days), sum(d["labelled"] for d in days), known

    def _keep_checks(self, model: str, done: Sequence[Mapping[str, Any]]) -> None:
        now = self._clock.now()

        def work(repositories: Repositories) -> None:
            for body in done:
                repositories.records.put(_kind(body["window"]), model, body["start"], body, now)
                facts = {"model": model, "window": body["window"], "start": body["start"], **body["checked"]}
                repositories.outbox.append(Event("estimate_checked", model, now, facts))

        self._metadata.write(work)


class _Days:
    """The counted days of a model by date, each parsed once."""

    def __init__(self, bodies: Sequence[Mapping[str, Any]]) -> None:
        self._bodies = {str(b["_key"]): b for b in bodies}
        self._parsed: dict[str, ScoreCounts] = {}

    def counted(self, key: str, task: str, answers: Answers, now: datetime) -> dict[str, Any]:
        """Take a day in; returns its body."""
        body: dict[str, Any] = {"rows": len(answers.score), "labelled": len(answers.label), "grew": now.isoformat()}
        before = self._bodies.get(key)
        if before is not None and body["labelled"] <= before["labelled"]:
            body["grew"] = before["grew"]
        if task == "binary":
            self._parsed[key] = _counts(answers)
            body["counts"] = self._parsed[key].as_dict()
        self._bodies[key] = body
        return body

    def within(self, start: datetime, length: int) -> list[Mapping[str, Any]]:
        return [self._bodies[k] for k in _keys(start, length) if k in self._bodies]

    def counts(self, start: datetime, length: int) -> list[ScoreCounts]:
        return [self._one(k) for k in _keys(start, length) if "counts" in self._bodies.get(k, {})]

    def labelled_before(self, start: datetime) -> list[tuple[float, ScoreCounts]]:
        """Labelled days before `start`, each with its age in days."""
        ages = ((float(back), f"{start - back * DAY:%Y-%m-%d}") for back in range(1, MEMORY_DAYS + 1))
        known = ((age, key, self._bodies.get(key, {})) for age, key in ages)
        return [(age, self._one(key)) for age, key, body in known if "counts" in body and body["labelled"]]

    def _one(self, key: str) -> ScoreCounts:
        if key not in self._parsed:
            self._parsed[key] = ScoreCounts.from_dict(self._bodies[key]["counts"])
        return self._parsed[key]


def record(bodies: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Hits and misses of estimates whose labels came; `held` counts those whose calibration held."""
    judged = [b["checked"] for b in bodies if b["checked"] and b["checked"]["inside"] is not None]
    held = [c for c in judged if c["calibration"]["held"]]
    return {
        "checked": len(judged),
        "inside": sum(c["inside"] for c in judged),
        "held": len(held),
        "held_inside": sum(c["inside"] for c in held),
        "withheld": sum(not b["reliable"] for b in bodies),
    }


def _kind(window: str) -> str:
    return f"estimate-{window}"


def _keys(start: datetime, length: int) -> list[str]:
    return [f"{start + i * DAY:%Y-%m-%d}" for i in range(length)]


def _public(body: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in body.items() if not k.startswith("_")}


def _counts(answers: Answers) -> ScoreCounts:
    whole = counted(answers.score, np.full(len(answers.score), np.nan))
    known = counted(answers.labelled, answers.label)
    return ScoreCounts(np.maximum(whole.rows, known.labelled), known.labelled, known.positive)


def _from_counts(days: _Days, start: datetime, length: int) -> dict[str, Any]:
    known = days.labelled_before(start)
    reference = merged([c for _, c in known])
    labelled, positive = reference.labelled.sum(), reference.positive.sum()
    if labelled < LABELLED_MIN or min(positive, labelled - positive) < CLASS_MIN:
        few = f"{labelled:.0f} labelled answers before it, {positive:.0f} of them positive"
        return {"own_doubts": [f"{few}: it takes {LABELLED_MIN}, and {CLASS_MIN} of each class"]}
    window = merged(days.counts(start, length))
    if not window.rows.sum():
        return {"own_doubts": ["nothing was answered"]}
    coefficients = fit_calibration(known)
    seen = np.flatnonzero(reference.labelled)
    outside = float((window.rows[: seen[0]].sum() + window.rows[seen[-1] + 1 :].sum()) / window.rows.sum())
    found = score_counts.estimates(score_counts.rates(coefficients), window.rows)
    return {
        "metrics": {e.metric: {"value": e.value, "low": e.low, "high": e.high} for e in found},
        "assumption": score_counts.ASSUMPTION,
        "calibration": [float(c) for c in coefficients],
        "reference": {"rows": int(labelled), "days": len(known), "realised": score_counts.realised(reference)},
        "own_doubts": [f"{outside:.0%} of the scores lie where none was labelled"]
        if outside > UNCALIBRATED_MAX
        else [],
    }


def _settled(days: Sequence[Mapping[str, Any]], end: datetime, now: datetime) -> bool:
    rows, labelled = sum(d["rows"] for d in days), sum(d["labelled"] for d in days)
    if not labelled or now < end + SETTLED:
        return False
    stalled = now - max(datetime.fromisoformat(d["grew"]) for d in days) >= STALLED
    return labelled >= KNOWN_MIN * rows or stalled


def _reason(body: Mapping[str, Any], truth: Mapping[str, float], calibration: Mapping[str, Any]) -> str:
    metric = body["headline"]
    e = body["metrics"][metric]
    off = f"{metric} is {truth[metric]:.3f}, estimated {e['value']:.3f} ({e['low']:.3f} to {e['high']:.3f})"
    if calibration["held"] is None:
        return f"{off}: the same inputs have other labels than before, or the loss has another spread"
    if calibration["held"]:
        return f"{off} although calibration held"
    kind = "concept changed" if calibration["p_value"] < 0.05 else "calibration moved"
    return f"{off}: {kind}, {calibration['why']}"
