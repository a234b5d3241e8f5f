"""Runs and experiments by what people call them: an id, the beginning of one, or a name."""

from __future__ import annotations

from hanok.core.errors import ExperimentNotFound, RunNotFound
from hanok.core.tracking import Experiment, RunQuery
from hanok.parts.tracking.service import Tracking

SEARCHED = 1000


def run_id_of(tracking: Tracking, text: str) -> str:
    """A run by its id, the beginning of it, or its name. Raises RunNotFound."""
    if len(text) == 32:
        return text
    experiments = tuple(e.id for e in tracking.experiments.search().items)
    runs = tracking.runs.search(RunQuery(experiments, limit=SEARCHED)).items if experiments else ()
    found = [r.id for r in runs if r.id.startswith(text) or r.name == text]
    if len(found) != 1:
        raise RunNotFound(
            f"{'no run' if not found else 'more than one run'} matches {text!r}; 'hanok run list' shows ids"
        )
    return found[0]


def experiment_of(tracking: Tracking, text: str) -> Experiment:
    """By name, else by id. Raises ExperimentNotFound."""
    try:
        return tracking.experiments.named(text)
    except ExperimentNotFound:
        return tracking.experiments.get(text)
