"""`hanok hindsight`: what a version would have answered, had it never been replaced, month by month beside what was."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hanok.compute.duck import arrow, connect, quoted
from hanok.compute.metrics import evaluate
from hanok.core.errors import NotFound
from hanok.core.logged import TABLE, feature_columns, feature_of
from hanok.core.performance import HINDSIGHT, Hindsight, HindsightMonth
from hanok.core.serving import Signature
from hanok.core.tables import SEQUENCE
from hanok.engine.evidence import Evidence
from hanok.stores.ports import Metadata


def hindsight(parts: Evidence, name: str, version: int = 1) -> Hindsight:
    """Score `version` on every labelled answer with the features it was logged with, and compare by month.

    Raises NotFound when nothing has been answered and labelled.
    """
    model = parts.training.model(name)
    loaded = parts.packages.load(parts.training.version(name, version).package)
    parts.serving.compact(everything=True)
    rows = _labelled_answers(parts, name)
    if not rows.num_rows:
        raise NotFound(f"{name} has no labelled answers yet, so there is nothing to look back on")
    theirs = loaded.score(_inputs(rows, loaded.signature))
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


def _labelled_answers(parts: Evidence, name: str) -> pa.Table:
    """What was answered and is labelled: label, score, scores, at and the features as they were logged."""
    outcomes = parts.monitoring.outcomes(name)
    if not outcomes.num_rows:
        return pa.table({})
    known = outcomes.filter(pc.not_equal(outcomes.column("arm"), "shadow")).select(["prediction_id", "label"])
    scan = parts.tables.scan(TABLE + name)
    features = ", ".join(f"p.{quoted(n)}" for n in scan.schema.names if feature_of(n) is not None)
    with connect({"log": scan, "known": known}) as duck:
        return arrow(
            duck,
            f"SELECT p.{quoted('at')}, p.score, p.scores, k.label, {features} FROM log p "
            f"JOIN known k ON p.prediction_id = k.prediction_id ORDER BY p.{SEQUENCE}",
        )


def _inputs(rows: pa.Table, signature: Signature) -> dict[str, pa.ChunkedArray]:
    """The inputs of a version, each from the column that holds its kind; null where it was never logged so."""
    text = {c.name: c.datatype == "BYTES" for c in signature.inputs}
    held = feature_columns({f.name: pa.types.is_string(f.type) for f in rows.schema}, text)
    return {
        name: rows.column(held[name])
        if name in held
        else pa.chunked_array([pa.nulls(rows.num_rows, pa.string() if is_text else pa.float64())])
        for name, is_text in text.items()
    }


def newest(metadata: Metadata, name: str) -> Hindsight | None:
    """The last look back, if there was one."""
    return HINDSIGHT.open(metadata.read(lambda r: r.records.get(HINDSIGHT.name, name, "newest")))


def _rounded(metrics: Mapping[str, float]) -> dict[str, float]:
    return {k: round(float(v), 4) for k, v in metrics.items() if np.isfinite(v)}
