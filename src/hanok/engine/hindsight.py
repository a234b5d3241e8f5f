"""`hanok hindsight`: what a version would have answered, had it never been replaced, month by month beside what was."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hanok.compute.duck import arrow, connect, quoted
from hanok.compute.metrics import evaluate
from hanok.core.errors import NotFound
from hanok.core.performance import HINDSIGHT, Hindsight, HindsightMonth
from hanok.core.tables import SEQUENCE
from hanok.engine.evidence import Evidence
from hanok.parts.serving.log import FEATURE, TABLE
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
    theirs = loaded.score({c.name: rows.column(FEATURE + c.name) for c in loaded.signature.inputs})
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
    features = ", ".join(f"p.{quoted(n)}" for n in scan.schema.names if n.startswith(FEATURE))
    with connect({"log": scan, "known": known}) as duck:
        return arrow(
            duck,
            f"SELECT p.{quoted('at')}, p.score, p.scores, k.label, {features} FROM log p "
            f"JOIN known k ON p.prediction_id = k.prediction_id ORDER BY p.{SEQUENCE}",
        )


def newest(metadata: Metadata, name: str) -> Hindsight | None:
    """The last look back, if there was one."""
    return HINDSIGHT.open(metadata.read(lambda r: r.records.get(HINDSIGHT.name, name, "newest")))


def _rounded(metrics: Mapping[str, float]) -> dict[str, float]:
    return {k: round(float(v), 4) for k, v in metrics.items() if np.isfinite(v)}
