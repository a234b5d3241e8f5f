"""The case that hypotheses are tried on: answers of the window and of the weeks before it, with what the house has kept
about them: labels, arrivals of the tables, faults that checks found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from hanok.compute.drift import Reference
from hanok.compute.duck import arrow, connect, quoted
from hanok.compute.hypotheses import Case, TableDays
from hanok.compute.hypotheses.case import Numbers, Values
from hanok.compute.metrics import row_losses
from hanok.core.clock import micros
from hanok.core.declare import Model
from hanok.core.json import Json
from hanok.core.tables import ARRIVED, SEQUENCE
from hanok.engine.answered import SCORED, within
from hanok.engine.evidence import Evidence
from hanok.engine.version_inputs import LoggedInputs
from hanok.parts.serving.log import FEATURE, TABLE
from hanok.parts.validation.batches import QUARANTINE

DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)
BEFORE = 21  # periods before the window
ROWS_MAX = 40_000
ASKED_MAX = 14
KEPT_OUT_MAX = 5_000


@dataclass(frozen=True, slots=True)
class Incident:
    """A case, when it ends, the length of its periods, and when each label became known (microseconds; 0 without)."""

    case: Case
    end: datetime
    length: timedelta
    known_at: NDArray[np.int64]

    def began(self, onset: int) -> datetime:
        return self.end - onset * self.length


def incident(
    parts: Evidence, model: Model, version: int, references: Sequence[Reference], start: datetime, end: datetime
) -> Incident:
    """The window in periods of at most a day, and what was answered in the three weeks before it."""
    asked = min(ASKED_MAX, max(1, round((end - start) / DAY)))
    length = (end - start) / asked
    periods = asked + BEFORE
    rows, answered = _answers(parts, model.name, end, length, periods)
    rows = LoggedInputs(parts, model.name, version).of(rows)
    at = rows.column("at").cast(pa.int64()).to_numpy() if rows.num_rows else np.empty(0, np.int64)
    period = np.minimum((micros(end) - 1 - at) // (length // MICROSECOND), periods - 1).astype(np.int64)
    columns = {r.column: _values(rows.column(FEATURE + r.column), r.numeric) for r in references} if len(at) else {}
    kinds = {r.column: r.numeric for r in references}
    scores = _scores(parts, model, version, rows)
    label, known_at = _labels(parts, model.name, rows, end - periods * length, end)
    known = np.isfinite(label)
    loss = np.full(len(label), np.nan)
    if known.any():
        metric = str(parts.training.version(model.name, version).facts["metric"])
        loss[known] = row_losses(model.task, metric, label[known], scores[known])
    case = Case(
        task=model.task,
        columns=columns,
        period=period,
        score=scores if scores.ndim == 1 else scores.max(axis=1),
        label=label,
        loss=loss,
        table=_tables(model),
        rolling=frozenset(c for v in model.views if v.aggregate for c in columns if c.startswith(f"{v.name}__")),
        spine=model.spine.table,
        labels=model.label.table,
        answered=answered,
        asked=asked,
        complete=parts.clock.now() >= end,
        tables=tuple(_arrivals(parts, model, t, end, length, periods, kinds) for t in model.tables),
    )
    return Incident(case, end, length, known_at)


def _answers(
    parts: Evidence, name: str, end: datetime, length: timedelta, periods: int
) -> tuple[pa.Table, tuple[int, ...]]:
    """Rows of all periods that have a score, at most some ten thousands of them; and how many answers there were in
    each, failed ones among them."""
    start = end - periods * length
    if not parts.tables.size(TABLE + name):
        return pa.table({}), (0,) * periods
    window = within(start, end)
    with connect({"log": parts.tables.scan(TABLE + name, since=start)}) as duck:
        ago = _ago(end, length, "at")
        found = duck.execute(f"SELECT {ago} AS p, count(*) FROM log WHERE {window} GROUP BY p").fetchall()
        counts = {int(p): int(n) for p, n in found}
        every = 1 + sum(counts.values()) // ROWS_MAX
        some = "" if every == 1 else f" AND hash({SEQUENCE}) % {every} = 0"
        rows = arrow(duck, f"SELECT * FROM log WHERE {window} AND {SCORED}{some} ORDER BY {SEQUENCE}")
    return rows, tuple(counts.get(p, 0) for p in range(periods))


def _values(column: pa.ChunkedArray, numeric: bool) -> Values:
    if numeric:
        return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), float)
    return np.array(column.cast(pa.string()).to_pylist(), object)


def _scores(parts: Evidence, model: Model, version: int, rows: pa.Table) -> Numbers:
    """As they were answered; where several versions answered, as this one would have: its own change is another
    question."""
    if not rows.num_rows:
        return np.empty(0)
    if np.unique(rows.column("version").to_numpy()).size > 1:
        served = parts.serving.model(model.name, version)
        return np.asarray(served.score({c.name: rows.column(FEATURE + c.name) for c in served.signature.inputs}))
    if model.task == "multiclass":
        return np.array(rows.column("scores").to_pylist(), float)
    return np.asarray(rows.column("score").to_numpy(), float)


def _labels(
    parts: Evidence, name: str, rows: pa.Table, start: datetime, end: datetime
) -> tuple[Numbers, NDArray[np.int64]]:
    """The label of each row, and when it became known."""
    found = parts.monitoring.outcomes(name, start=start, end=end)
    if not found.num_rows or not rows.num_rows:
        return np.full(rows.num_rows, np.nan), np.zeros(rows.num_rows, np.int64)
    known_at = found.column("known_at").cast(pa.int64()).to_pylist()
    told = zip(found.column("label").to_pylist(), known_at, strict=True)
    known = dict(zip(found.column("prediction_id").to_pylist(), told, strict=True))
    both = [known.get(i, (np.nan, 0)) for i in rows.column("prediction_id").to_pylist()]
    return np.array([label for label, _ in both], float), np.array([at or 0 for _, at in both], np.int64)


def _tables(model: Model) -> dict[str, str]:
    """Where each feature comes from."""
    views = {v.name: v.source.table for v in model.views}
    made = {}
    for column in model.feature_columns:
        view, mark, _ = column.partition("__")
        made[column] = views[view] if mark and view in views else model.spine.table
    return made


def _arrivals(
    parts: Evidence,
    model: Model,
    table: str,
    end: datetime,
    length: timedelta,
    periods: int,
    kinds: Mapping[str, bool],
) -> TableDays:
    if not parts.tables.size(table):
        return TableDays(table, (0,) * periods, (float("nan"),) * periods)
    start = end - periods * length
    scan = parts.tables.scan(table, since=start)
    dated = _dated(model, table)
    kind = scan.schema.field(dated).type if dated in scan.schema.names else None
    lag = "NULL"
    if kind is not None and pa.types.is_timestamp(kind):
        lag = f"median(epoch_us({ARRIVED}) - epoch_us(CAST({quoted(dated)} AS TIMESTAMPTZ)))"
    with connect({"arrived": scan}) as duck:
        found = duck.execute(
            f"SELECT {_ago(end, length, ARRIVED)} AS p, count(*), {lag} FROM arrived "
            f"WHERE {ARRIVED} >= TIMESTAMPTZ '{start.isoformat()}' AND {ARRIVED} < TIMESTAMPTZ '{end.isoformat()}' "
            "GROUP BY p"
        ).fetchall()
    rows, lags = [0] * periods, [float("nan")] * periods
    for p, count, behind in found:
        rows[int(p)], lags[int(p)] = int(count), float("nan") if behind is None else float(behind) / 3.6e9
    out = _kept_out(parts, model, table, end, length, periods, kinds)
    return TableDays(table, tuple(rows), tuple(lags), _faults(parts, table, end, length), *out)


def _kept_out(
    parts: Evidence, model: Model, table: str, end: datetime, length: timedelta, periods: int, kinds: Mapping[str, bool]
) -> tuple[tuple[int, ...], dict[str, Values], NDArray[np.int64], str]:
    """The rows that checks set aside: how many a period, the newest of them by feature (some thousands), and the
    commonest reason."""
    nothing: tuple[tuple[int, ...], dict[str, Values], NDArray[np.int64], str]
    nothing = (0,) * periods, {}, np.empty(0, np.int64), ""
    start, name = end - periods * length, QUARANTINE + table
    if not parts.tables.size(name):
        return nothing
    ago = _ago(end, length, ARRIVED)
    window = f"{ARRIVED} >= TIMESTAMPTZ '{start.isoformat()}' AND {ARRIVED} < TIMESTAMPTZ '{end.isoformat()}'"
    with connect({"aside": parts.tables.scan(name, since=start)}) as duck:
        counted = duck.execute(f"SELECT {ago} AS p, count(*) FROM aside WHERE {window} GROUP BY p").fetchall()
        if not counted:
            return nothing
        common = duck.execute(
            f"SELECT reason FROM aside WHERE {window} GROUP BY reason ORDER BY count(*) DESC, reason LIMIT 1"
        ).fetchall()
        found = duck.execute(
            f"SELECT {ago} AS p, row FROM aside WHERE {window} ORDER BY p LIMIT {KEPT_OUT_MAX}"
        ).fetchall()
    counts = {int(p): int(n) for p, n in counted}
    rows = [orjson.loads(row) for _, row in found]
    values: dict[str, Values] = {}
    for feature, source in _tables(model).items():
        own = feature.rpartition("__")[2]
        if source == table and feature in kinds and any(own in r for r in rows):
            cells = [r.get(own) for r in rows]
            values[feature] = (
                np.array([_float(v) for v in cells])
                if kinds[feature]
                else np.array([None if v is None else str(v) for v in cells], object)
            )
    shown = np.array([int(p) for p, _ in found], np.int64)
    return tuple(counts.get(p, 0) for p in range(periods)), values, shown, str(common[0][0])


def _ago(end: datetime, length: timedelta, instant: str) -> str:
    """The period of an instant, in SQL: 0 is the last one before `end`."""
    return f"({micros(end)} - 1 - epoch_us({quoted(instant)})) // {length // MICROSECOND}"


def _float(value: Json) -> float:
    try:
        return float(value) if isinstance(value, int | float | str) else float("nan")
    except ValueError:
        return float("nan")


def _dated(model: Model, table: str) -> str:
    view = next((v for v in model.views if v.source.table == table), None)
    if view is not None:
        return view.source.event_time
    return model.label.known_at if table == model.label.table else model.spine.predict_at.column


def _faults(parts: Evidence, table: str, end: datetime, length: timedelta) -> tuple[tuple[str, str, str, int], ...]:
    made = []
    for alert in parts.alerts.list(table, state="open"):
        if alert.kind == "data" and alert.raised <= end + length:
            ago = max(1, -(-(end - alert.raised) // length))
            made.append((str(alert.facts.get("type", "")), str(alert.facts.get("column", "")), alert.summary, int(ago)))
    return tuple(made)
