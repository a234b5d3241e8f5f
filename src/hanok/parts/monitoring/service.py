"""The verbs of monitoring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hanok.compute.coverage import unseen
from hanok.compute.drift import Drift, Reference, bin_counts, compare, sampled
from hanok.compute.duck import arrow, connect, literal, quoted
from hanok.compute.frames import labels as encoded_labels
from hanok.compute.metrics import DEFAULT_METRIC, evaluate, row_losses
from hanok.compute.two_sample import benjamini_hochberg
from hanok.core.clock import Clock, from_micros, micros
from hanok.core.ids import new_id
from hanok.core.lineage import Edge, EdgeKind, Event, Node, NodeKind
from hanok.core.serving import Signature
from hanok.core.tables import ARRIVED, SEQUENCE
from hanok.core.validation import LATE_FEED, Anomaly
from hanok.parts.monitoring.alerts import Alerts
from hanok.stores.ports import Metadata, Repositories, Tables

PREDICTIONS, OUTCOMES = "predictions--", "outcomes--"
MATCH_DAYS = 60
DRIFT_WINDOW = timedelta(days=7)
FEED_MEMORY = timedelta(days=14)
FEED_ARRIVALS_MIN = 48
FEED_SILENCE = 3
SIGNIFICANCE = 0.01
EFFECT = 0.1
HARM = 0.02
COSTS_MIN = 0.005  # drift that adds less than this share to the loss is harmless
TRIAL_ROWS_MIN, TRIAL_ROWS_MAX = 500, 2_500
WINDOWS, OF = 2, 3
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

        def work(repositories: Repositories) -> None:
            repositories.lineage.add([node])
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
        bounds = _between("at", start, end)
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

    def measure(self, model: str, task: str, days: Sequence[datetime]) -> None:
        """Record the performance of each version on the answers of each day whose labels are known by now."""
        now = self._clock.now()
        bodies: list[tuple[str, dict[str, Any]]] = []
        for day in days:
            rows = self.outcomes(model, start=day, end=day + timedelta(days=1))
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

        if bodies:
            self._metadata.write(work)

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

    # -- drift -----------------------------------------------------------------------------------------------

    def drift(
        self,
        model: str,
        version_node: str,
        references: Sequence[Reference],
        importance: Mapping[str, float],
        live: LiveModel,
        *,
        start: datetime,
        end: datetime,
    ) -> Mapping[str, Any] | None:
        """Compare the features of the week up to `end` with the reference of the version that is `live`; a feature that
        is null in everything answered in [start, end) is an integrity fault. Until a whole week was answered nothing
        but those alarms.

        Drift that could matter is tried: where enough of the week is labelled, the week is scored again with that
        feature drawn from its reference. If that does not lower the loss, the drift is harmless and does not alarm.

        Returns the recorded report: features ranked by harm, each with its distances, significance and whether it
        alarms; and the values of categories that training had not seen. None when nothing was predicted in the window.
        """
        name = PREDICTIONS + model
        if not self._tables.size(name):
            return None
        logged = set(self._tables.scan(name).schema.names)
        references = [r for r in references if "f__" + r.column in logged]
        if not references:
            return None
        columns = ", ".join(quoted("f__" + r.column) for r in references)
        window = " AND ".join(_between("at", end - DRIFT_WINDOW, end))
        with connect({"log": self._tables.scan(name, since=end - DRIFT_WINDOW)}) as duck:
            rows = arrow(
                duck,
                f"SELECT {columns}, {quoted('at')}, prediction_id FROM log WHERE {window} AND arm <> 'shadow' "
                f"ORDER BY {SEQUENCE}",
            )
        newest = rows.filter(pc.greater_equal(rows.column("at"), pa.scalar(start, rows.schema.field("at").type)))
        if not newest.num_rows:
            return None
        found = [compare(r, bin_counts(r, rows.column("f__" + r.column))) for r in references]
        whole = pc.min(rows.column("at")).as_py() <= end - DRIFT_WINDOW + timedelta(days=1)
        gone = {r.column for r in references if newest.column("f__" + r.column).null_count == newest.num_rows}
        trial = _Trial(live, references, rows, self.outcomes(model, start=end - DRIFT_WINDOW, end=end))
        features = self._judged(model, found, importance, gone, start, whole, trial)
        new = {
            c.name: unseen(newest.column("f__" + c.name), c.categories)
            for c in live.signature.inputs
            if c.categories and "f__" + c.name in newest.column_names
        }
        now = self._clock.now()
        node = Node(
            new_id(now),
            NodeKind.DRIFT_REPORT,
            f"{model} {start:%Y-%m-%d}",
            now,
            {"model": model, "start": start.isoformat(), "end": end.isoformat(), "worst": features[0]["feature"]},
        )
        body = {
            "day": f"{start:%Y-%m-%d}",
            "start": start.isoformat(),
            "end": end.isoformat(),
            "rows": rows.num_rows,
            "features": features,
            "unseen": {name: values for name, values in new.items() if values},
            "node": node.id,
        }

        def work(repositories: Repositories) -> None:
            repositories.lineage.add([node], [Edge(node.id, EdgeKind.EVALUATED_ON, version_node)])
            repositories.records.put("drift", model, body["day"], body, now)
            repositories.outbox.append(Event("drift_measured", node.id, now, {"model": model, "day": body["day"]}))

        self._metadata.write(work)
        self._alarm(model, body, node.id)
        return body

    def drift_reports(self, model: str, *, limit: int = 400) -> list[Mapping[str, Any]]:
        """Oldest first."""
        found = self._metadata.read(lambda r: r.records.list("drift", model, limit=limit))
        return sorted(found, key=lambda b: b["day"])

    def _judged(
        self,
        model: str,
        found: Sequence[Drift],
        importance: Mapping[str, float],
        null_now: set[str],
        start: datetime,
        whole: bool,
        trial: _Trial,
    ) -> list[dict[str, Any]]:
        p_values = benjamini_hochberg([d.p_value for d in found])
        earlier = {b["_key"]: b for b in self._metadata.read(lambda r: r.records.list("drift", model, limit=OF + 2))}
        before = [b for key, b in sorted(earlier.items()) if key < f"{start:%Y-%m-%d}"][-(OF - 1) :]
        suspects = [{f["feature"] for f in b["features"] if f["suspicious"]} for b in before]
        judged = []
        for drift, p in zip(found, p_values, strict=True):
            share = importance.get(drift.column, 0.0)
            suspicious = whole and p < SIGNIFICANCE and drift.effect > EFFECT
            gone = drift.column in null_now and drift.reference_null_share < 0.5
            persistent = suspicious and sum(drift.column in s for s in suspects) + 1 >= WINDOWS
            matters = suspicious and share * drift.effect > HARM
            costs = trial.costs(drift.column) if matters else None
            harmless = costs is not None and costs < COSTS_MIN
            judged.append(
                {
                    "feature": drift.column,
                    "psi": round(drift.psi, 4),
                    "psi_noise_floor": round(drift.psi_noise_floor, 4),
                    "usual_psi": round(drift.usual_psi, 4),
                    "js_distance_base2": round(drift.js_distance_base2, 4),
                    "p_adjusted": p,
                    "importance": round(share, 4),
                    "harm": round(share * drift.effect, 4),
                    "null_share": round(drift.null_share, 4),
                    "costs": None if costs is None else round(costs, 4),
                    "harmless": harmless,
                    "suspicious": suspicious,
                    "integrity": gone,
                    "alarm": gone or (persistent and matters and not harmless),
                }
            )
        return sorted(judged, key=lambda f: (-f["integrity"], f["harmless"], -f["harm"], f["feature"]))

    def _alarm(self, model: str, report: Mapping[str, Any], node: str) -> None:
        for feature in report["features"]:
            fingerprint = f"drift:{feature['feature']}"
            if feature["integrity"]:
                self.alerts.raise_(
                    model,
                    "integrity",
                    fingerprint,
                    f"{feature['feature']} of {model} is null in every prediction of {report['day']}",
                    severity="critical",
                    facts=feature,
                    caused_by=node,
                )
            elif feature["alarm"]:
                self.alerts.raise_(
                    model,
                    "drift",
                    fingerprint,
                    f"{feature['feature']} of {model} has drifted: PSI {feature['psi']:.2f}, "
                    f"harm {feature['harm']:.3f} ({feature['importance']:.0%} of the model's gain)",
                    facts=feature,
                    caused_by=node,
                )
            elif not feature["suspicious"]:
                self.alerts.resolve(model, fingerprint, f"back within its reference on {report['day']}")
            elif feature["harmless"]:
                self.alerts.resolve(
                    model, fingerprint, f"it does no harm: with its old values the loss of {report['day']} is no lower"
                )

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


class LiveModel(Protocol):
    """The model that answers, as far as drift needs it."""

    @property
    def signature(self) -> Signature: ...

    def score(self, columns: Mapping[str, Any]) -> np.ndarray: ...


class _Trial:
    """The labelled answers of a window, to be scored again with a feature as it was in training."""

    def __init__(self, live: LiveModel, references: Sequence[Reference], rows: pa.Table, outcomes: pa.Table) -> None:
        self._live, self._references = live, {r.column: r for r in references}
        self._rows, self._outcomes = rows, outcomes

    @cached_property
    def _labelled(self) -> tuple[dict[str, Any], np.ndarray] | None:
        inputs = [c.name for c in self._live.signature.inputs]
        if not self._outcomes.num_rows or any("f__" + n not in self._rows.column_names for n in inputs):
            return None
        places = pc.index_in(
            self._rows.column("prediction_id"), self._outcomes.column("prediction_id").combine_chunks()
        )
        mine = self._rows.filter(places.is_valid())
        if mine.num_rows < TRIAL_ROWS_MIN:
            return None
        truth = self._outcomes.column("label").take(places.drop_null()).to_numpy()
        step = -(-mine.num_rows // TRIAL_ROWS_MAX)
        mine, truth = mine.take(pa.array(np.arange(0, mine.num_rows, step))), truth[::step]
        return {n: mine.column("f__" + n) for n in inputs}, truth

    @cached_property
    def _loss(self) -> float:
        assert self._labelled is not None
        return self._mean_loss(self._labelled[0])

    def _mean_loss(self, columns: Mapping[str, Any]) -> float:
        assert self._labelled is not None
        task = self._live.signature.task
        return float(row_losses(task, DEFAULT_METRIC[task], self._labelled[1], self._live.score(columns)).mean())

    def costs(self, column: str) -> float | None:
        """The share of the window's loss that goes away when the column is drawn from its reference; None when too few
        rows are labelled."""
        if self._labelled is None or column not in self._labelled[0]:
            return None
        values = sampled(self._references[column], len(self._labelled[1]), seed=len(column))
        return 1 - self._mean_loss({**self._labelled[0], column: values}) / max(self._loss, 1e-12)


def _gaps(instants: np.ndarray) -> tuple[np.ndarray, int]:
    """Gaps between successive arrivals, and the newest one (microseconds)."""
    ordered = np.unique(instants)
    return np.diff(ordered), int(ordered[-1])


def _between(column: str, start: datetime | None, end: datetime | None) -> list[str]:
    """SQL conditions for start <= column < end."""
    bounds = ((">=", start), ("<", end))
    return [f"{quoted(column)} {op} TIMESTAMPTZ '{t.isoformat()}'" for op, t in bounds if t is not None]


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
