"""The verbs of monitoring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hanok.compute.duck import arrow, connect, literal, quoted
from hanok.compute.frames import labels as encoded_labels
from hanok.compute.metrics import evaluate
from hanok.core.clock import Clock, from_micros, micros
from hanok.core.ids import new_id
from hanok.core.lineage import Event, Node, NodeKind
from hanok.core.serving import Signature
from hanok.core.tables import ARRIVED, SEQUENCE
from hanok.core.validation import LATE_FEED, Anomaly
from hanok.parts.monitoring.alerts import Alerts
from hanok.parts.monitoring.drift import PREDICTIONS, DriftWatch, between
from hanok.parts.monitoring.estimates import Answers, Estimates
from hanok.stores.ports import Metadata, Repositories, Tables

OUTCOMES = "outcomes--"
MATCH_DAYS = 60
FEED_MEMORY = timedelta(days=14)
FEED_ARRIVALS_MIN = 48
FEED_SILENCE = 3
INTEGRITY = (
    "FEATURE_TYPE_NOT_PRESENT",
    "SCHEMA_MISSING_COLUMN",
    "UNEXPECTED_DATA_TYPE",
    "FLOAT_TYPE_BIG_FLOAT",
    "FLOAT_TYPE_SMALL_FLOAT",
)


class Monitoring:
    """Follows the prediction log of each model."""

    def __init__(self, *, metadata: Metadata, tables: Tables, alerts: Alerts, clock: Clock) -> None:
        self._metadata, self._tables, self.alerts, self._clock = metadata, tables, alerts, clock
        watch = DriftWatch(metadata=metadata, tables=tables, alerts=alerts, clock=clock, outcomes=self.outcomes)
        self.drift, self.drift_reports, self.mark_benign = watch.measure, watch.reports, watch.mark_benign
        self.estimates = Estimates(metadata=metadata, tables=tables, alerts=alerts, clock=clock)

    # -- labels ----------------------------------------------------------------------------------------------

    def join_labels(
        self,
        model: str,
        signature: Signature,
        keys: Sequence[str],
        labels: pa.Table,
        *,
        key: str,
        slices: Sequence[str],
        batch: str = "",
    ) -> int:
        """Join newly known labels to the predictions they are for; returns how many predictions got their label.

        `labels` has the key columns as text, `_label` and `_known`. A label that no prediction waits for is kept in
        its source table and joined to nothing. The same `key` again has no effect. With `batch` only predictions of
        that batch are looked at.
        """
        name = PREDICTIONS + model
        if not labels.num_rows or not self._tables.size(name):
            return 0
        truth = encoded_labels(signature, labels.column("_label"))
        side = labels.select([*keys, "_known"]).append_column("_truth", pa.array(truth, from_pandas=True))
        scan = self._tables.scan(name, since=self._clock.now() - timedelta(days=MATCH_DAYS))
        have = set(scan.schema.names)
        if missing := [k for k in keys if f"key__{k}" not in have]:
            return self._unmatched(model, missing[0])
        kept = [s for s in slices if f"f__{s}" in have]
        columns = ", ".join(f"CAST(p.{quoted('f__' + s)} AS VARCHAR) AS {quoted('slice__' + s)}" for s in kept)
        on = " AND ".join(f"p.{quoted('key__' + k)} = l.{quoted(k)}" for k in keys)
        only = f"AND p.batch = {literal(batch)}" if batch else ""
        with connect({"log": scan, "labels": side}) as duck:
            joined = arrow(
                duck,
                'SELECT p.prediction_id, p.row_id, p."at", p.version, p.arm, p.score, p.scores, l._truth AS label, '
                f"l._known AS known_at {',' if columns else ''} {columns} "
                f"FROM log p JOIN labels l ON {on} WHERE l._truth IS NOT NULL {only} ORDER BY p.{SEQUENCE}",
            )
        if batch:
            joined = self._without_known(model, joined)
        if not joined.num_rows:
            return 0
        now = self._clock.now()
        stamped = joined.append_column(ARRIVED, pa.array([now] * joined.num_rows, pa.timestamp("us", "UTC")))
        if self._tables.append(OUTCOMES + model, stamped, key=key).repeated:
            return joined.num_rows
        node = Node(new_id(now), NodeKind.LABEL_BATCH, f"{model} {key}", now, {"rows": joined.num_rows, "model": model})
        days = np.unique(joined.column("at").to_numpy().astype("datetime64[D]")).astype(str).tolist()

        def work(repositories: Repositories) -> None:
            repositories.lineage.add([node])
            for day in days:
                repositories.records.put("labelled-day", model, day, {}, now)
            repositories.outbox.append(Event("labels_joined", node.id, now, {"model": model, "rows": joined.num_rows}))

        self._metadata.write(work)
        return joined.num_rows

    def _without_known(self, model: str, joined: pa.Table) -> pa.Table:
        """Leave out predictions that have their label already."""
        if not joined.num_rows or not self._tables.size(OUTCOMES + model):
            return joined
        known = self.outcomes(model, start=pc.min(joined.column("at")).as_py()).column("prediction_id")
        return joined.filter(pc.invert(pc.is_in(joined.column("prediction_id"), known)))

    def _unmatched(self, model: str, key: str) -> int:
        self.alerts.raise_(
            model,
            "labels",
            "labels-unmatched",
            f"labels of {model} arrive with {key!r}, which its predictions do not carry: they cannot be matched. "
            "Send the entity with each request, or predict through the spine",
        )
        return 0

    def outcomes(
        self,
        model: str,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        known_by: datetime | None = None,
    ) -> pa.Table:
        """Predictions made in [start, end) whose label was known by `known_by`; the latest label of each counts."""
        if not self._tables.size(OUTCOMES + model):
            return pa.table({})
        bounds = between("at", start, end)
        if known_by is not None:
            bounds.append(f"known_at <= TIMESTAMPTZ '{known_by.isoformat()}'")
        scan = self._tables.scan(OUTCOMES + model, since=start)
        with connect({"outcomes": scan}) as duck:
            return arrow(
                duck,
                f"SELECT * FROM outcomes WHERE {' AND '.join(bounds) or 'true'} "
                f"QUALIFY row_number() OVER (PARTITION BY prediction_id ORDER BY {SEQUENCE} DESC) = 1 "
                f"ORDER BY {SEQUENCE}",
            )

    # -- performance -----------------------------------------------------------------------------------------

    def measure(self, model: str, task: str, days: Sequence[datetime]) -> dict[datetime, Answers]:
        """Record the performance of each version on the answers of each day whose labels are known by now: of `days`,
        and of every earlier day that got labels since this was called last. Returns the answers of those days."""
        now = self._clock.now()
        bodies: list[tuple[str, dict[str, Any]]] = []
        found: dict[datetime, pa.Table] = {}
        for day in self._with_newly_labelled(model, days):
            rows = self.outcomes(model, start=day, end=day + timedelta(days=1))
            found[day] = rows
            if not rows.num_rows:
                continue
            for version in pc.unique(rows.column("version")).to_pylist():
                mine = rows.filter(pc.equal(rows.column("version"), version))
                answered = mine.filter(pc.not_equal(mine.column("arm"), "shadow"))
                for role, part in (("answered", answered), ("all", mine)):
                    if part.num_rows and (role == "answered" or part.num_rows != answered.num_rows):
                        bodies.append(
                            (
                                f"{day:%Y-%m-%d}|{version}|{role}",
                                _measured(task, part) | {"day": f"{day:%Y-%m-%d}", "version": version, "role": role},
                            )
                        )

        def work(repositories: Repositories) -> None:
            for key, body in bodies:
                repositories.records.put("performance", model, key, body, now)
            repositories.records.put("labels-measured", model, "labels", {"at": now.isoformat()}, now)

        self._metadata.write(work)
        return self._answers(model, found)

    def _with_newly_labelled(self, model: str, days: Sequence[datetime]) -> list[datetime]:
        last = self._metadata.read(lambda r: r.records.get("labels-measured", model, "labels"))
        since = datetime.fromisoformat(last["at"]) if last else None
        fresh = self._metadata.read(lambda r: r.records.list("labelled-day", model, since=since))
        late = {datetime.fromisoformat(b["_key"]).replace(tzinfo=UTC) for b in fresh}
        return sorted({*days, *late})

    def _answers(self, model: str, outcomes: Mapping[datetime, pa.Table]) -> dict[datetime, Answers]:
        """What was answered on each of the days, with the labels that are known."""
        name = PREDICTIONS + model
        if not outcomes or not self._tables.size(name):
            return {}
        days = sorted(outcomes)
        window = " AND ".join(between("at", days[0], days[-1] + timedelta(days=1)))
        with connect({"log": self._tables.scan(name, since=days[0])}) as duck:
            rows = arrow(duck, f"SELECT score, \"at\" FROM log WHERE {window} AND arm <> 'shadow'")
        made, of = {}, rows.column("at").to_numpy().astype("datetime64[D]").astype(str)
        scores = rows.column("score").to_numpy()
        for day, known in outcomes.items():
            mine = scores[of == f"{day:%Y-%m-%d}"]
            if not len(mine):
                continue
            answered = known.filter(pc.not_equal(known.column("arm"), "shadow")) if known.num_rows else None
            label = _truth(answered) if answered is not None else np.empty(0)
            score = answered.column("score").to_numpy() if answered is not None else np.empty(0)
            made[day] = Answers(mine, score, label)
        return made

    def performance(self, model: str, *, limit: int = 1000) -> list[Mapping[str, Any]]:
        """Daily measurements, oldest first: day, version, role, rows, metrics, slices."""
        found = self._metadata.read(lambda r: r.records.list("performance", model, limit=limit))
        return sorted(found, key=lambda b: (b["day"], b["version"]))

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

    def batch_checked(self, table: str, batch: str, node: str, anomalies: Sequence[Anomaly]) -> None:
        """Integrity faults of a batch alarm at once."""
        for anomaly in anomalies:
            if anomaly.type in INTEGRITY:
                self.alerts.raise_(
                    table,
                    "data",
                    f"{anomaly.type}:{anomaly.column}:{batch}",
                    f"{table}: {anomaly.message}"
                    + (f" ({anomaly.rows} rows set aside)" if anomaly.severity == "error" else ""),
                    severity="critical" if anomaly.type == "FEATURE_TYPE_NOT_PRESENT" else "warning",
                    facts={
                        "batch": batch,
                        "type": anomaly.type,
                        "column": anomaly.column,
                        "observed": anomaly.observed,
                    },
                    caused_by=node,
                )

    def check_feed(self, table: str) -> None:
        """Alarm on the first look when a table that gets rows steadily has stopped: nothing has arrived for over three
        times its longest silence of the two weeks before. Resolved when rows arrive again."""
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
        silence = micros(now) - newest
        if silence > FEED_SILENCE * int(gaps.max()):
            hours, usual = silence / 3.6e9, gaps.max() / 3.6e9
            self.alerts.raise_(
                table,
                "feed",
                "late-feed",
                f"{table} has sent nothing for {hours:.0f} h (since {from_micros(newest):%Y-%m-%d %H:%M}); "
                f"its longest silence in two weeks was {usual:.0f} h",
                severity="critical",
                facts={"type": LATE_FEED, "silent_hours": hours, "usual_hours": usual},
            )
        else:
            self.alerts.resolve(table, "late-feed", "rows arrive again")


def _gaps(instants: np.ndarray) -> tuple[np.ndarray, int]:
    """Gaps between successive arrivals, and the newest one (microseconds)."""
    ordered = np.unique(instants)
    return np.diff(ordered), int(ordered[-1])


def _truth(rows: pa.Table) -> np.ndarray:
    return rows.column("label").to_numpy()


def _score(task: str, rows: pa.Table) -> np.ndarray:
    if task == "multiclass":
        return np.array(rows.column("scores").to_pylist(), float)
    return rows.column("score").to_numpy()


def _measured(task: str, rows: pa.Table) -> dict[str, Any]:
    y, score = _truth(rows), _score(task, rows)
    slices: dict[str, dict[str, Any]] = {}
    for column in (c for c in rows.column_names if c.startswith("slice__")):
        values = rows.column(column).fill_null("(null)").to_numpy(zero_copy_only=False)
        slices[column.removeprefix("slice__")] = {
            str(value): {"rows": int((values == value).sum())}
            | _clean(evaluate(task, y[values == value], score[values == value]))
            for value in np.unique(values)
        }
    body = {"rows": rows.num_rows, "metrics": _clean(evaluate(task, y, score)), "slices": slices}
    if task != "multiclass":
        body |= {"mean_score": float(score.mean()), "mean_label": float(y.mean())}
    return body


def _clean(metrics: Mapping[str, float]) -> dict[str, float | None]:
    return {name: None if np.isnan(value) else round(float(value), 6) for name, value in metrics.items()}
