"""`hanok replay`: logged traffic scored by a candidate before it ships: what would have been answered otherwise."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hanok.compute.duck import arrow, connect
from hanok.compute.metrics import evaluate
from hanok.core.errors import HanokError, Invalid, NotFound
from hanok.core.logged import FEATURE, TABLE, key_of
from hanok.core.serving import Arm, Signature
from hanok.core.tables import SEQUENCE
from hanok.core.traffic_replay import TRAFFIC_REPLAY, Changed, Latency, ReplayedSlice, TrafficReplay
from hanok.engine.evidence import Evidence
from hanok.engine.version_inputs import LoggedInputs, spine_inputs
from hanok.parts.serving.apart import decide_apart
from hanok.parts.serving.packages import Loaded

ROWS_MAX = 200_000
OTHER_TASK = "answered by a version of another task, or by one that is gone"
SLICE_ROWS_MIN, SLICES_MAX, VALUES_MAX, LARGEST = 20, 12, 50, 10
TIMED_ROWS, TIMED_S = 200, 2.0
Floats = NDArray[np.float64]


def replay(parts: Evidence, name: str, version: int, since: datetime, until: datetime) -> TrafficReplay:
    """Score what was answered in [since, until) with `version`, by the features that it would have had: those that
    were logged where they are its own too, else a join for the spine row. Nothing of it is logged as an answer.

    Raises ModelNotFound, NotFound when nothing was answered, Invalid when no answer can be scored.
    """
    loaded = parts.serving.model(name, version)
    parts.serving.compact(everything=True)
    rows = _answers(parts, name, since, until)
    if not rows.num_rows:
        raise NotFound(f"{name} answered nothing from {since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M}")
    bounded = rows.num_rows == ROWS_MAX
    rows, other = _of_its_task(parts, name, loaded.signature, rows)
    rows, inputs, left_out = _inputs(parts, name, version, loaded, rows) if rows.num_rows else (rows, rows, {})
    left_out |= {OTHER_TASK: other} if other else {}
    if not rows.num_rows:
        why = "; ".join(f"{count} rows: {reason}" for reason, count in left_out.items())
        raise Invalid(f"version {version} of {name!r} cannot be replayed: {why}")
    decision = decide_apart(loaded, Arm(version, "primary", 100), inputs)
    broken = np.zeros(rows.num_rows, bool)
    broken[decision.broken_rows] = True
    scores = decision.scores
    if scores is None or broken.all():
        assert decision.failure is not None
        raise Invalid(f"version {version} of {name!r} fails on all {rows.num_rows} rows: {decision.failure.message}")
    fine = pa.array(~broken)
    theirs, kept = scores[~broken], rows.filter(fine)
    signature = loaded.signature
    several = signature.task == "multiclass"
    classes_of = {v: _classes(parts, name, v) for v in set(kept.column("version").to_pylist())} if several else {}
    classes = tuple(dict.fromkeys(c for one in (signature.classes, *classes_of.values()) for c in one))
    ours, theirs = _scores(kept, theirs, classes, classes_of), _in_classes(theirs, signature.classes, classes)
    was, would_be = _decided(signature, ours), _decided(signature, theirs)
    change = theirs - ours if theirs.ndim == 1 else np.abs(theirs - ours).sum(axis=1) / 2  # 0 to 1
    otherwise = was != would_be if signature.task != "regression" else np.zeros(len(was), bool)
    alike = all(c == signature.classes for c in classes_of.values())
    labelled, known = _known(parts, name, signature, kept, ours, theirs, alike)
    made = TrafficReplay(
        name,
        version,
        parts.clock.now(),
        since,
        until,
        rows.num_rows,
        bounded,
        left_out,
        int(broken.sum()),
        decision.failure.message if decision.failure is not None else "",
        int(otherwise.sum()),
        _directions(classes, was[otherwise], would_be[otherwise]),
        float(change.mean()),
        {q: float(np.quantile(np.abs(change), p)) for q, p in (("p50", 0.5), ("p95", 0.95), ("max", 1.0))},
        _slices(parts, name, inputs.filter(fine), otherwise, change),
        _largest(kept, _single(ours), _single(theirs), change),
        labelled,
        known,
        _latencies(parts, name, loaded, version, kept, inputs.filter(fine)),
    )
    parts.metadata.write(
        lambda r: r.records.put(TRAFFIC_REPLAY.name, name, f"{version}", TRAFFIC_REPLAY.body(made), made.at)
    )
    return made


def _answers(parts: Evidence, name: str, since: datetime, until: datetime) -> pa.Table:
    """The newest answers that came to a score, shadows left out."""
    if not parts.tables.size(TABLE + name):
        return pa.table({})
    with connect({"log": parts.tables.scan(TABLE + name, since=since)}) as duck:
        return arrow(
            duck,
            "SELECT * FROM log WHERE arm <> 'shadow' AND coalesce(error, '') = '' AND score IS NOT NULL "
            f'AND "at" >= ? AND "at" < ? ORDER BY {SEQUENCE} DESC LIMIT {ROWS_MAX}',
            [since, until],
        )


def _inputs(
    parts: Evidence, name: str, version: int, loaded: Loaded, rows: pa.Table
) -> tuple[pa.Table, pa.Table, dict[str, int]]:
    """The rows whose features are had, their features in the names of the inputs, and why others are left out."""
    logged, names = LoggedInputs(parts, name, version), [c.name for c in loaded.signature.inputs]
    alike = np.array([_same(logged, n) for n in rows.column("version").to_pylist()], bool)
    same = rows.filter(pa.array(alike))
    found = [same]
    tables = [logged.of(same).select([FEATURE + n for n in names]).rename_columns(names)] if same.num_rows else []
    rest, left_out = rows.filter(pa.array(~alike)), dict[str, int]()
    model = parts.declared.of(name, version) or next((m for m in parts.training.models() if m.name == name), None)
    if rest.num_rows and model is not None:
        truth, places = spine_inputs(parts, model, rest)
        there = np.array([p is not None for p in places], bool)
        if truth is not None and there.any():
            chosen = truth.take(pa.array([p for p in places if p is not None], pa.int64())).select(names)
            found.append(rest.filter(pa.array(there)))
            tables.append(chosen)
            rest = rest.filter(pa.array(~there))
    if rest.num_rows:
        left_out["answered with other features, and of no row of the spine"] = rest.num_rows
    rows = pa.concat_tables(found)
    return rows, pa.concat_tables(tables, promote_options="permissive") if tables else pa.table({}), left_out


def _same(logged: LoggedInputs, version: int) -> bool:
    try:
        return logged.same(version)
    except HanokError:  # a version that is gone: nobody knows what its features were
        return False


def _classes(parts: Evidence, name: str, version: int) -> tuple[str, ...]:
    return parts.serving.model(name, version).signature.classes


def _of_its_task(parts: Evidence, name: str, signature: Signature, rows: pa.Table) -> tuple[pa.Table, int]:
    """The rows whose answers can be held against those of the signature, and how many cannot. Of a version that is
    gone nobody knows the classes; that it gave one number shows that it had none or two."""

    def fits(version: int | None) -> bool | None:
        try:
            theirs = parts.serving.model(name, version).signature if version else None
        except HanokError:
            theirs = None
        return None if theirs is None else theirs.task == signature.task

    known = {v: fits(v) for v in set(rows.column("version").to_pylist())}
    several = signature.task == "multiclass"
    single = [not scores for scores in rows.column("scores").to_pylist()] if "scores" in rows.column_names else None
    fine = np.array(
        [
            fit if (fit := known[v]) is not None else not several and (single is None or single[i])
            for i, v in enumerate(rows.column("version").to_pylist())
        ],
        bool,
    )
    return rows.filter(pa.array(fine)), int((~fine).sum())


def _scores(rows: pa.Table, theirs: Floats, classes: Sequence[str], of: Mapping[int, Sequence[str]]) -> Floats:
    """What was answered, as the candidate's scores are: of several classes by their names in `classes`."""
    if theirs.ndim == 1:
        return rows.column("score").to_numpy().astype(float)
    found, place = np.zeros((rows.num_rows, len(classes))), {c: i for i, c in enumerate(classes)}
    pairs = zip(rows.column("version").to_pylist(), rows.column("scores").to_pylist(), strict=True)
    for row, (version, scores) in enumerate(pairs):
        found[row, [place[c] for c in of[version]]] = scores
    return found


def _in_classes(scores: Floats, own: Sequence[str], classes: Sequence[str]) -> Floats:
    """Probabilities of `own` as those of `classes`, which begin with them."""
    return scores if scores.ndim == 1 else np.pad(scores, ((0, 0), (0, len(classes) - len(own))))


def _decided(signature: Signature, scores: Floats) -> NDArray[np.int64]:
    if signature.task == "multiclass":
        return scores.argmax(axis=1)
    return (scores >= 0.5).astype(np.int64) if signature.task == "binary" else np.zeros(len(scores), np.int64)


def _single(scores: Floats) -> Floats:
    return scores if scores.ndim == 1 else scores.max(axis=1)


def _directions(names: Sequence[str], was: NDArray[np.int64], would_be: NDArray[np.int64]) -> dict[str, int]:
    counts = Counter(zip(was.tolist(), would_be.tolist(), strict=True))
    return {f"{names[a]} -> {names[b]}": n for (a, b), n in counts.most_common(12)}


def _slices(
    parts: Evidence, name: str, inputs: pa.Table, otherwise: NDArray[np.bool_], change: Floats
) -> tuple[ReplayedSlice, ...]:
    """The values in which most would change: of the gate's slices, else of every feature with few values."""
    model = next((m for m in parts.training.models() if m.name == name), None)
    wanted = [
        s
        for s in (model.gate.slices if model is not None and model.gate is not None else ())
        if s in inputs.column_names
    ]
    found = []
    for feature in wanted or inputs.column_names:
        column = inputs.column(feature)
        if not wanted and not (pa.types.is_string(column.type) and pc.count_distinct(column).as_py() <= VALUES_MAX):
            continue
        values = np.array([str(v) for v in column.to_pylist()], object)
        for value in np.unique(values.astype(str)):
            mask = values == value
            if mask.sum() >= SLICE_ROWS_MIN:
                share, mean = float(otherwise[mask].mean()), float(change[mask].mean())
                found.append(ReplayedSlice(feature, str(value), int(mask.sum()), share, mean))
    return tuple(sorted(found, key=lambda s: (-s.otherwise, -abs(s.change)))[:SLICES_MAX])


def _largest(rows: pa.Table, ours: Floats, theirs: Floats, change: Floats) -> tuple[Changed, ...]:
    places = np.argsort(-np.abs(change), kind="stable")[:LARGEST]
    chosen = rows.take(pa.array(places)).to_pylist()
    return tuple(
        Changed(
            row["prediction_id"],
            {k: str(v) for n, v in row.items() if (k := key_of(n)) is not None and v is not None},
            float(ours[place]),
            float(theirs[place]),
        )
        for place, row in zip(places.tolist(), chosen, strict=True)
    )


def _known(
    parts: Evidence, name: str, signature: Signature, rows: pa.Table, ours: Floats, theirs: Floats, alike: bool
) -> tuple[int, dict[str, tuple[float, float]]]:
    """How many of the rows are labelled, and each metric on those: as answered, and of the candidate."""
    outcomes = parts.monitoring.outcomes(name)
    if not outcomes.num_rows:
        return 0, {}
    labels = dict(zip(outcomes.column("prediction_id").to_pylist(), outcomes.column("label").to_pylist(), strict=True))
    truth = np.array([labels.get(i, np.nan) for i in rows.column("prediction_id").to_pylist()], float)
    mask = np.isfinite(truth)
    if not mask.any() or not alike:  # a label is the number of a class
        return int(mask.sum()), {}
    was = evaluate(signature.task, truth[mask], ours[mask])
    would_be = evaluate(signature.task, truth[mask], theirs[mask])
    return int(mask.sum()), {
        m: (float(was[m]), float(would_be[m])) for m in was if np.isfinite(was[m]) and np.isfinite(would_be[m])
    }


def _latencies(
    parts: Evidence, name: str, loaded: Loaded, version: int, rows: pa.Table, inputs: pa.Table
) -> Mapping[str, Latency]:
    """Of the candidate, and of what answers now where it takes the same inputs."""
    found = {f"version {version}": _latency(loaded, inputs)}
    deployment = parts.serving.deployment(name)
    if deployment is not None and deployment.primary != version:
        try:
            other = parts.serving.model(name, deployment.primary)
            found[f"version {deployment.primary}"] = _latency(other, inputs)
        except HanokError:
            pass
    return found


def _latency(loaded: Loaded, inputs: pa.Table) -> Latency:
    names, until = [c.name for c in loaded.signature.inputs], time.perf_counter() + TIMED_S
    given = inputs.slice(0, TIMED_ROWS).select(names) if set(names) <= set(inputs.column_names) else None
    if given is None:
        raise Invalid("it takes other inputs")
    spent = []
    for row in given.to_pylist():
        started = time.perf_counter()
        loaded.score({n: [row[n]] for n in names})
        spent.append((time.perf_counter() - started) * 1e6)
        if started > until:
            break
    return Latency(*(round(float(np.quantile(spent, q)), 1) for q in (0.5, 0.99)))
