"""What the verbs of runs do inside one commit: rows, nodes, edges and events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from hanok.core.errors import Invalid, ParamChanged
from hanok.core.lineage import Edge, EdgeKind, Event, Node, NodeKind
from hanok.core.tracking import ACTIVE, ENDED, RUN_NAME_TAG, Dataset, DatasetInput, Experiment, Metric, Run
from hanok.stores.ports import Repositories


def artifacts_of(experiment: Experiment, run_id: str) -> str:
    """Where a run of the experiment keeps its artifacts."""
    return f"{experiment.location}/{run_id}/artifacts"


def add_run(r: Repositories, run: Run, experiment: Experiment, now: datetime, *, read: Sequence[str] = ()) -> None:
    """The run, its node and the event. `read` are lineage nodes. Raises Invalid for a deleted experiment."""
    if experiment.lifecycle != ACTIVE:
        raise Invalid(f"experiment {experiment.id} is deleted, not in its 'active' state; restore it first")
    r.runs.add(run)
    facts = {"experiment": experiment.id}
    r.lineage.add(
        [Node(run.id, NodeKind.RUN, run.name, now, facts)], [Edge(run.id, EdgeKind.READ, target) for target in read]
    )
    r.outbox.append(Event("run_created", run.id, now, facts))


def tell_end(r: Repositories, before: Run, after: Run, now: datetime) -> None:
    """An event, when the run has just ended."""
    if after.status in ENDED and before.status not in ENDED:
        facts = {"experiment": after.experiment_id, "status": after.status}
        r.outbox.append(Event("run_ended", after.id, now, facts))


def write_log(
    r: Repositories, run_id: str, metrics: Sequence[Metric], params: Mapping[str, str], tags: Mapping[str, str]
) -> None:
    """Raises RunNotFound, RunDeleted, ParamChanged."""
    r.metrics.append(run_id, metrics)
    if params:
        _check_unchanged(run_id, params, r.runs.add_params(run_id, params))
    if tags:
        r.runs.set_tags(run_id, tags)
        if tags.get(RUN_NAME_TAG):
            r.runs.put(replace(r.runs.get(run_id), name=tags[RUN_NAME_TAG]))


def write_inputs(
    r: Repositories, run_id: str, datasets: Sequence[DatasetInput], models: Sequence[str], now: datetime
) -> None:
    """Each dataset is a node, each reading an edge. Raises LoggedModelNotFound."""
    for model_id in models:
        r.logged_models.get(model_id)
    r.run_links.add_datasets(run_id, datasets)
    r.run_links.add_models_read(run_id, models)
    nodes = [_dataset_node(used.dataset, now) for used in datasets]
    targets = [node.id for node in nodes] + list(models)
    r.lineage.add(nodes, [Edge(run_id, EdgeKind.READ, target) for target in targets])


def _dataset_node(dataset: Dataset, now: datetime) -> Node:
    facts = {"digest": dataset.digest, "source_type": dataset.source_type, "source": dataset.source[:1000]}
    return Node(dataset.id, NodeKind.DATASET, dataset.name, now, facts)


def _check_unchanged(run_id: str, given: Mapping[str, str], held: Mapping[str, str]) -> None:
    for key, value in given.items():
        if held[key] != value:
            raise ParamChanged(
                f"param {key!r} of run {run_id} was already logged with value {held[key]!r}; params do not change, "
                f"so {value[:200]!r} is refused. Start another run, or log it under another key"
            )
