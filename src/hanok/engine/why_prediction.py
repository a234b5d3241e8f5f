"""Why one prediction: its day, and what each of its own inputs does to its score."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, timedelta

import numpy as np
from numpy.typing import ArrayLike

from hanok.compute.drift import Reference
from hanok.engine.diagnose import why_window
from hanok.engine.diagnosed import Diagnosis, InputEffect, Value
from hanok.engine.evidence import Evidence

DAY = timedelta(days=1)


def why_prediction(parts: Evidence, prediction_id: str) -> Diagnosis:
    """The causes of the day of a prediction, and what each of its own inputs does to its score: to the probability of
    the class that was answered, where there are many."""
    found = parts.serving.find(prediction_id)
    start = found.at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    parts.serving.compact(everything=True)
    whole = why_window(parts, found.deployment, start, start + DAY, version=found.version)
    if found.error:
        return replace(whole, sentence=f"this prediction failed with: {found.error.rstrip('.')}. {whole.sentence}")
    version = parts.training.version(found.deployment, found.version)
    loaded = parts.packages.load(version.package)
    references = parts.references.of(version.facts.get("reference", ""))
    base = loaded.score({k: [v] for k, v in found.features.items()})[0]
    rows = []
    for reference in references:
        value = found.features.get(reference.column)
        typical = _typical(reference)
        changed = {**found.features, reference.column: typical}
        moves = moved(base, loaded.score({k: [v] for k, v in changed.items()})[0])
        rows.append(InputEffect(reference.column, value, typical, moves, _flag(reference, value)))
    ranked = sorted(rows, key=lambda r: -abs(r.moves_score_by))
    top = ranked[0] if ranked else None
    own = f" Its own score is moved most by {top.feature} ({top.moves_score_by:+.3f})." if top else ""
    return Diagnosis(
        whole.model, whole.start, whole.end, whole.sentence + own, whole.symptom, whole.suspects, tuple(ranked)
    )


def moved(said: ArrayLike, otherwise: ArrayLike) -> float:
    """How much higher the score is than it would be otherwise; of many classes the probability of the one that was
    answered."""
    ours, theirs = np.atleast_1d(said), np.atleast_1d(otherwise)
    answered = int(ours.argmax())
    return float(ours[answered] - theirs[answered])


def _typical(reference: Reference) -> Value:
    """The most frequent value, or the middle edge."""
    points = reference.counts[: len(reference.points)]
    if not reference.numeric or (points and max(points) > 0.3 * sum(reference.counts)):
        return reference.points[int(np.argmax(points))] if points else None
    known = sorted([*reference.points, *reference.edges])
    return known[len(known) // 2] if known else None


def _flag(reference: Reference, value: Value) -> str:
    if value is None:
        return "null" if reference.counts[-1] < 0.5 * sum(reference.counts) else ""
    if not reference.numeric:
        return "" if value in reference.points else "rare or unseen in training"
    known = [*reference.points, *reference.edges]
    if known and not min(known) <= value <= max(known):
        return "among the extremes of training"
    return ""
