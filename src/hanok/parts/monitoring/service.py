"""The verbs of monitoring."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hanok.compute.duck import arrow, connect
from hanok.compute.metrics import evaluate
from hanok.compute.units import ROWS_MIN as UNIT_ROWS_MIN
from hanok.core.clock import Clock, from_micros, micros
from hanok.core.performance import LABELS_MEASURED, PERFORMANCE, LabelsMeasured, Performance
from hanok.core.tables import ARRIVED
from hanok.core.validation import LATE_FEED, UNIT, Anomaly, ColumnStatistics
from hanok.parts.monitoring.alerts import Alerts
from hanok.parts.monitoring.drift import DriftWatch, between
from hanok.parts.monitoring.estimates import Answers, Estimates
from hanok.parts.monitoring.labels import Labels
from hanok.parts.monitoring.outcomes import PREDICTIONS
from hanok.parts.monitoring.skew import SkewWatch
from hanok.stores.ports import Metadata, Repositories, Tables

FEED_MEMORY = timedelta(days=14)
FEED_ARRIVALS_MIN = 48
FEED_SILENCE = 3
FEED_STEADY = timedelta(days=1)  # what came within less is one delivery
DAYS_MAX = 100_000
INTEGRITY = (
    "FEATURE_TYPE_NOT_PRESENT",
    "SCHEMA_MISSING_COLUMN",
    "UNEXPECTED_DATA_TYPE",
    "FLOAT_TYPE_BIG_FLOAT",
    "FLOAT_TYPE_SMALL_FLOAT",
    "FEATURE_TYPE_UNIT_CHANGED",
)


class Monitoring:
    """Follows the prediction log of each model."""

    def __init__(self, *, metadata: Metadata, tables: Tables, alerts: Alerts, clock: Clock) -> None:
        self._metadata, self._tables, self.alerts, self._clock = metadata, tables, alerts, clock
        self.labels = Labels(metadata=metadata, tables=tables, alerts=alerts, clock=clock)
        self.outcomes, self.next_known = self.labels.outcomes, self.labels.next_known
        watch = DriftWatch(metadata=metadata, tables=tables, alerts=alerts, clock=clock, outcomes=self.outcomes)
        self.drift, self.drift_reports, self.mark_benign = watch.measure, watch.reports, watch.mark_benign
        self.drift_report, self.answered_days = watch.report_of, watch.answered_days
        self.skew = SkewWatch(metadata=metadata, alerts=alerts, drift=watch, clock=clock)
        self.estimates = Estimates(metadata=metadata, tables=tables, alerts=alerts, clock=clock)

    # -- performance -----------------------------------------------------------------------------------------

    def measure(self, model: str, task: str, days: Sequence[datetime]) -> dict[datetime, Answers]:
        """Record the performance of each version on the answers of each day whose labels are known by now: of `days`,
        and of every earlier day that got labels since this was called last. Returns the answers of those days."""
        now = self._clock.now()
        made: list[Performance] = []
        late, steps = self._newly_labelled(model)
        found = self._outcomes_by_day(model, sorted({*days, *late}))
        for day, rows in found.items():
            if not rows.num_rows:
                continue
            for version in pc.unique(rows.column("version")).to_pylist():
                mine = rows.filter(pc.equal(rows.column("version"), version))
                answered = mine.filter(pc.not_equal(mine.column("arm"), "shadow"))
                for role, part in (("answered", answered), ("all", mine)):
                    if part.num_rows and (role == "answered" or part.num_rows != answered.num_rows):
                        made.append(_measured(task, part, f"{day:%Y-%m-%d}", version, role))

        def work(repositories: Repositories) -> None:
            for row in (*made, *self._no_more(repositories, model, set(found), made)):
                repositories.records.put(PERFORMANCE.name, model, row.key, PERFORMANCE.body(row), now)
            read_to = LABELS_MEASURED.body(LabelsMeasured(now, steps))
            repositories.records.put(LABELS_MEASURED.name, model, "labels", read_to, now)

        self._metadata.write(work)
        return self._answers(model, found)

    def _no_more(
        self, repositories: Repositories, model: str, days: Collection[datetime], made: Sequence[Performance]
    ) -> list[Performance]:
        """In place of what is kept of these days and was not measured again, as its labels count no more: nothing."""
        names, keys = {f"{day:%Y-%m-%d}" for day in days}, {row.key for row in made}
        kept = repositories.records.list(PERFORMANCE.name, model, limit=DAYS_MAX)
        gone = [b for b in kept if str(b["_key"]).partition("|")[0] in names and b["_key"] not in keys]
        return [
            Performance(0, {}, {}, day=p.day, version=p.version, role=p.role) for p in PERFORMANCE.all(gone) if p.rows
        ]

    def _outcomes_by_day(self, model: str, days: Sequence[datetime]) -> dict[datetime, pa.Table]:
        """Read once, whatever the number of days: labels of a whole year may have come."""
        if not days:
            return {}
        rows = self.outcomes(model, start=days[0], end=days[-1] + timedelta(days=1))
        if not rows.num_rows:
            return dict.fromkeys(days, rows)
        of = rows.column("at").to_numpy().astype("datetime64[D]")
        order = np.argsort(of, kind="stable")
        sorted_rows, places = rows.take(pa.array(order)), _places(of[order], days)
        return {day: sorted_rows.slice(low, high - low) for day, (low, high) in zip(days, places, strict=True)}

    def _newly_labelled(self, model: str) -> tuple[set[datetime], int]:
        """The days that got labels since they were measured, and the joins that this counts in. Joins are numbered as
        they are committed: one that took its instant before this looks and is committed later is the next to read."""
        last = self._metadata.read(lambda r: r.records.get(LABELS_MEASURED.name, model, "labels"))
        read_to = LABELS_MEASURED.open(last)
        steps = read_to.steps if read_to else 0
        since = read_to.at if read_to and steps is None else None
        found = self._metadata.read(lambda r: r.records.list("labelled-day", model, since=since, limit=DAYS_MAX))
        fresh = [b for b in found if read_to is None or steps is None or int(b.get("step", 0)) > steps]
        late = {datetime.fromisoformat(b["_key"]).replace(tzinfo=UTC) for b in fresh}
        return late, max([steps or 0, *(int(b.get("step", 0)) for b in fresh)])

    def _answers(self, model: str, outcomes: Mapping[datetime, pa.Table]) -> dict[datetime, Answers]:
        """What was answered on each of the days, with the labels that are known."""
        name = PREDICTIONS + model
        if not outcomes or not self._tables.size(name):
            return {}
        days = sorted(outcomes)
        window = " AND ".join(between("at", days[0], days[-1] + timedelta(days=1)))
        with connect({"log": self._tables.scan(name, since=days[0])}) as duck:
            rows = arrow(duck, f"SELECT score, \"at\" FROM log WHERE {window} AND arm <> 'shadow'")
        made, of = {}, rows.column("at").to_numpy().astype("datetime64[D]")
        order = np.argsort(of, kind="stable")
        scores, places = rows.column("score").to_numpy()[order], dict(zip(days, _places(of[order], days), strict=True))
        for day, known in outcomes.items():
            mine = scores[slice(*places[day])]
            if not len(mine):
                continue
            answered = known.filter(pc.not_equal(known.column("arm"), "shadow")) if known.num_rows else None
            label = _truth(answered) if answered is not None else np.empty(0)
            score = answered.column("score").to_numpy() if answered is not None else np.empty(0)
            made[day] = Answers(mine, score, label)
        return made

    def performance(self, model: str, *, limit: int = 1000) -> list[Performance]:
        """Daily measurements, oldest first."""
        found = self._metadata.read(lambda r: r.records.list(PERFORMANCE.name, model, limit=limit))
        return sorted((p for p in PERFORMANCE.all(found) if p.rows), key=lambda p: (p.day, p.version))

    def metric_over(
        self, model: str, task: str, *, start: datetime, end: datetime, version: int | None = None
    ) -> tuple[dict[str, float], int]:
        """Metrics of what was answered in [start, end) and is labelled by now; and on how many rows."""
        rows = self.outcomes(model, start=start, end=end, known_by=self._clock.now())
        if not rows.num_rows:
            return {}, 0
        rows = rows.filter(pc.not_equal(rows.column("arm"), "shadow"))
        if version is not None:
            rows = rows.filter(pc.equal(rows.column("version"), version))
        return evaluate(task, _truth(rows), _score(task, rows)), rows.num_rows

    # -- data quality ----------------------------------------------------------------------------------------

    def batch_checked(
        self,
        table: str,
        batch: str,
        node: str,
        anomalies: Sequence[Anomaly],
        measured: Sequence[ColumnStatistics],
        units: Collection[str] = (),
        waiting: Callable[[str], Sequence[str]] = lambda _: (),
        standing: Callable[[str, str, str], int] = lambda *_: 0,
    ) -> None:
        """Integrity faults of a batch alarm at once: one alert for each column of a table and kind of fault, however
        many batches have it. It is over when a batch (`measured` are its columns) has the column without the fault;
        `units` are those of which small batches together say that. Where rows were set aside it is not over before
        they were tried again: `waiting` are the reasons of those that were not, since a batch. Rows in another unit
        have to be corrected, or the alert marked as benign: `standing` says how many with a kind of fault of a column
        still count, since a batch."""
        faults = {f"{a.type}:{a.column}": a for a in anomalies if a.type in INTEGRITY}
        for fingerprint, anomaly in faults.items():
            self.alerts.raise_(
                table,
                "data",
                fingerprint,
                f"{table}: {anomaly.message}"
                + (f" ({anomaly.rows} rows set aside)" if anomaly.severity == "error" else ""),
                severity="critical" if anomaly.type == "FEATURE_TYPE_NOT_PRESENT" else "warning",
                facts={
                    "batch": batch,
                    "type": anomaly.type,
                    "column": anomaly.column,
                    "observed": anomaly.observed,
                    "set_aside": anomaly.severity == "error",
                },
                caused_by=node,
            )
        came = {c.name: c.rows - c.nulls for c in measured}
        for alert in self.alerts.list(table, state="open"):
            kind, column = str(alert.facts.get("type", "")), str(alert.facts.get("column", ""))
            if alert.kind != "data" or alert.fingerprint in faults:
                continue
            if f"{kind}:{column}" in faults:  # of an earlier release, which had one for each batch
                self.alerts.resolve(table, alert.fingerprint, "there is one alert for all batches now")
            elif came.get(column, 0) >= (UNIT_ROWS_MIN if kind == UNIT and column not in units else 1):
                since = str(alert.facts.get("batch", "")) if alert.facts.get("set_aside") else ""
                if since and any(why.startswith(f"{kind}: ") and column in why for why in waiting(since)):
                    continue
                if kind == UNIT and standing(kind, column, str(alert.facts.get("batch", ""))):
                    continue
                came_with = str(alert.facts.get("batch", ""))
                stay = (
                    ""
                    if alert.facts.get("set_aside") or kind == UNIT
                    else f"; the rows of {came_with!r} stay in as they came"
                )
                self.alerts.resolve(table, alert.fingerprint, f"{column} is in order again in {batch!r}{stay}")

    def check_feed(self, table: str) -> None:
        """Alarm on the first look when a table that gets rows steadily, for a day at least, has stopped: nothing has
        arrived for over three times its longest silence of the two weeks before. Resolved when rows arrive again."""
        now = self._clock.now()
        if not self._tables.size(table):
            return
        since = now - FEED_MEMORY
        with connect({"feed": self._tables.scan(table, since=since)}) as duck:
            rows = duck.execute(
                f"SELECT DISTINCT epoch_us({ARRIVED}) FROM feed WHERE {ARRIVED} >= TIMESTAMPTZ '{since.isoformat()}'"
            ).fetchnumpy()
        instants = next(iter(rows.values()))
        if len(instants) < FEED_ARRIVALS_MIN:
            return
        gaps, newest = _gaps(np.asarray(instants, np.int64))
        silence, steady = micros(now) - newest, timedelta(microseconds=int(gaps.sum())) >= FEED_STEADY
        if steady and silence > FEED_SILENCE * int(gaps.max()):
            hours, usual = silence / 3.6e9, gaps.max() / 3.6e9
            self.alerts.raise_(
                table,
                "feed",
                "late-feed",
                f"{table} has sent nothing for {_long(hours)} (since {from_micros(newest):%Y-%m-%d %H:%M}); "
                f"its longest silence in two weeks was {_long(usual)}",
                severity="critical",
                facts={"type": LATE_FEED, "silent_hours": hours, "usual_hours": usual},
            )
        else:
            self.alerts.resolve(table, "late-feed", "rows arrive again")


def _long(hours: float) -> str:
    return f"{hours:.0f} h" if hours >= 2 else f"{hours * 60:.0f} min"


def _gaps(instants: np.ndarray) -> tuple[np.ndarray, int]:
    """Gaps between successive arrivals, and the newest one (microseconds)."""
    ordered = np.unique(instants)
    return np.diff(ordered), int(ordered[-1])


def _places(ordered: np.ndarray, days: Sequence[datetime]) -> list[tuple[int, int]]:
    """Where each of the days begins and ends in ordered days."""
    wanted = np.array([f"{day:%Y-%m-%d}" for day in days], "datetime64[D]")
    low, high = (np.searchsorted(ordered, wanted, side).tolist() for side in ("left", "right"))
    return list(zip(low, high, strict=True))


def _truth(rows: pa.Table) -> np.ndarray:
    return rows.column("label").to_numpy()


def _score(task: str, rows: pa.Table) -> np.ndarray:
    if task == "multiclass":
        return np.array(rows.column("scores").to_pylist(), float)
    return rows.column("score").to_numpy()


def _measured(task: str, rows: pa.Table, day: str, version: int, role: str) -> Performance:
    y, score = _truth(rows), _score(task, rows)
    slices: dict[str, Mapping[str, Mapping[str, int | float | None]]] = {}
    for column in (c for c in rows.column_names if c.startswith("slice__")):
        values = rows.column(column).fill_null("(null)").to_numpy(zero_copy_only=False)
        slices[column.removeprefix("slice__")] = {
            str(value): {"rows": int((values == value).sum())}
            | _clean(evaluate(task, y[values == value], score[values == value]))
            for value in np.unique(values)
        }
    means = (None, None) if task == "multiclass" else (float(score.mean()), float(y.mean()))
    metrics = _clean(evaluate(task, y, score))
    return Performance(rows.num_rows, metrics, slices, *means, day=day, version=version, role=role)


def _clean(metrics: Mapping[str, float]) -> dict[str, float | None]:
    return {name: None if np.isnan(value) else round(float(value), 6) for name, value in metrics.items()}
