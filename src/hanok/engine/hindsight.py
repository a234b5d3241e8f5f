"""`hanok hindsight`: what a version would have answered, had it never been replaced, month by month beside what was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hanok.compute.duck import arrow, connect, quoted
from hanok.compute.metrics import evaluate
from hanok.core.declare import Model
from hanok.core.errors import HanokError, Invalid, NotFound
from hanok.core.logged import FEATURE, TABLE, feature_of, key_of
from hanok.core.performance import HINDSIGHT, Hindsight, HindsightMonth
from hanok.core.tables import SEQUENCE
from hanok.engine.evidence import Evidence
from hanok.engine.version_inputs import LoggedInputs, spine_inputs
from hanok.parts.serving.packages import Loaded
from hanok.stores.ports import Metadata


def hindsight(parts: Evidence, name: str, version: int = 1) -> Hindsight:
    """Score `version` on every labelled answer with its own features, and compare by month: those that were logged
    where a version with the same features answered, else what it said as a shadow, else a join for the spine row.
    Answers for which none of these can be had are left out.

    Raises NotFound when nothing has been answered and labelled by a version of the same task and classes, Invalid when
    all answers are left out.
    """
    loaded = parts.packages.load(parts.training.version(name, version).package)
    model = parts.declared.of(name, version) or parts.declared.present(name)
    parts.serving.compact(everything=True)
    rows = _labelled_answers(parts, name)
    if not rows.num_rows:
        raise NotFound(f"{name} has no labelled answers yet, so there is nothing to look back on")
    rows = rows.filter(_alike(parts, name, loaded, rows))
    if not rows.num_rows:
        raise NotFound(
            f"{name} has no labelled answers of versions with the task and classes of version {version} "
            f"({model.task}), so there is nothing to compare it with"
        )
    scores = _own_scores(parts, model, version, loaded, rows)
    kept = np.array([s is not None for s in scores])
    if not kept.any():
        raise Invalid(
            f"version {version} of {name!r} has other features than the versions that answered, was no shadow beside "
            "them, and the answers are of no rows of its spine: what it would have said cannot be known"
        )
    rows, theirs = rows.filter(pa.array(kept)), np.array([s for s in scores if s is not None], float)
    ours = np.array(rows.column("scores").to_pylist(), float) if theirs.ndim == 2 else rows.column("score").to_numpy()
    truth, months = rows.column("label").to_numpy(), pc.strftime(rows.column("at"), "%Y-%m").to_numpy()
    found: list[HindsightMonth] = []
    for month in np.unique(months):
        mask = months == month
        found.append(
            HindsightMonth(
                str(month),
                int(mask.sum()),
                _rounded(evaluate(model.task, truth[mask], ours[mask])),
                _rounded(evaluate(model.task, truth[mask], theirs[mask])),
            )
        )
    made = Hindsight(name, version, tuple(found))
    now = parts.clock.now()
    parts.metadata.write(lambda r: r.records.put(HINDSIGHT.name, name, "newest", HINDSIGHT.body(made), now))
    return made


def _alike(parts: Evidence, name: str, loaded: Loaded, rows: pa.Table) -> pa.Array:
    """Which answers are of versions whose scores and labels mean what this version's do; those of versions that are
    gone are taken to be."""
    asked, versions = loaded.signature, rows.column("version")
    other = []
    for version in pc.unique(versions).to_pylist():
        try:
            found = parts.serving.model(name, version).signature
        except HanokError:
            continue
        if (found.task, found.classes) != (asked.task, asked.classes):
            other.append(version)
    return pc.invert(pc.is_in(versions, pa.array(other, versions.type)))


Score: TypeAlias = float | list[float] | None


def _own_scores(parts: Evidence, model: Model, version: int, loaded: Loaded, rows: pa.Table) -> list[Score]:
    """What a version says of each answered row by its own features; None where that cannot be known."""
    logged = LoggedInputs(parts, model.name, version)
    alike = np.array([logged.same(n) for n in rows.column("version").to_pylist()])
    scores: list[Score] = [None] * rows.num_rows
    inputs = [c.name for c in loaded.signature.inputs]

    def fill(places: Sequence[int], table: pa.Table, prefix: str) -> None:
        if len(places):
            for place, score in zip(places, loaded.score({n: table.column(prefix + n) for n in inputs}), strict=True):
                scores[place] = score.tolist()

    fill(np.flatnonzero(alike).tolist(), logged.of(rows), FEATURE)
    if alike.all():
        return scores
    beside = _shadows(parts, model.name, version, wide=model.task == "multiclass")
    ids = rows.column("prediction_id").to_pylist()
    for place in np.flatnonzero(~alike).tolist():
        scores[place] = beside.get(ids[place])
    truth, found = spine_inputs(parts, model, rows)
    left = [i for i, s in enumerate(scores) if s is None and found[i] is not None]
    if truth is not None and left:
        fill(left, truth.take(pa.array([found[i] for i in left], pa.int64())), "")
    return scores


def _shadows(parts: Evidence, name: str, version: int, *, wide: bool) -> dict[str, Score]:
    """What a version said as a shadow, by the id of the answer that it stood beside."""
    with connect({"log": parts.tables.scan(TABLE + name)}) as duck:
        found = arrow(
            duck,
            f"SELECT row_id, score, scores FROM log WHERE arm = 'shadow' AND version = {int(version)} "
            "AND coalesce(error, '') = '' AND score IS NOT NULL",
        ).to_pylist()
    return {r["row_id"]: list(r["scores"]) if wide else r["score"] for r in found}


def _labelled_answers(parts: Evidence, name: str) -> pa.Table:
    """What was answered and is labelled: label, score, scores, at, and version, keys and features as logged."""
    outcomes = parts.monitoring.outcomes(name)
    if not outcomes.num_rows:
        return pa.table({})
    known = outcomes.filter(pc.not_equal(outcomes.column("arm"), "shadow")).select(["prediction_id", "label"])
    scan = parts.tables.scan(TABLE + name)
    named = [n for n in scan.schema.names if feature_of(n) is not None or key_of(n) is not None]
    columns = ", ".join(f"p.{quoted(n)}" for n in named)
    with connect({"log": scan, "known": known}) as duck:
        return arrow(
            duck,
            f"SELECT p.prediction_id, p.version, p.{quoted('at')}, p.batch, p.score, p.scores, k.label"
            f"{', ' if columns else ''}{columns} FROM log p "
            f"JOIN known k ON p.prediction_id = k.prediction_id ORDER BY p.{SEQUENCE}",
        )


def newest(metadata: Metadata, name: str) -> Hindsight | None:
    """The last look back, if there was one."""
    return HINDSIGHT.open(metadata.read(lambda r: r.records.get(HINDSIGHT.name, name, "newest")))


def _rounded(metrics: Mapping[str, float]) -> dict[str, float]:
    return {k: round(float(v), 4) for k, v in metrics.items() if np.isfinite(v)}
