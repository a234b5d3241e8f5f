"""The import itself: repeatable and resumable. What is there already stays; a run that has not changed is skipped."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Any

from hanok.core.errors import HanokError
from hanok.core.ids import new_id
from hanok.core.lineage import Edge, EdgeKind, Node, NodeKind
from hanok.core.registry import AliasChange, ModelVersion, RegisteredModel
from hanok.core.tracking import ACTIVE, DELETED, Artifact, Experiment, LoggedModel, Metric, ModelOutput, Run
from hanok.engine.mlflow_import.sources import Source
from hanok.parts.tracking.artifacts import in_tree
from hanok.parts.tracking.lineage import is_node
from hanok.parts.tracking.registry_records import origins, record_move
from hanok.parts.tracking.run_records import artifacts_of, write_inputs
from hanok.parts.tracking.service import Tracking
from hanok.stores.ports import Metadata, Repositories

RECORD = "mlflow-import"
POINTS_AT_ONCE = 20_000
NOT_BROUGHT = ("traces", "evaluation datasets", "webhooks", "users", "gateway")


@dataclass(slots=True)
class Summary:
    """What came over now, what was there and unchanged, and what was left out and why."""

    experiments: int = 0
    runs: int = 0
    unchanged_runs: int = 0
    points: int = 0
    artifacts: int = 0
    bytes: int = 0
    logged_models: int = 0
    registered_models: int = 0
    versions: int = 0
    renumbered: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    not_brought: tuple[str, ...] = NOT_BROUGHT

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"not_brought": list(self.not_brought)}


def import_mlflow(
    metadata: Metadata,
    tracking: Tracking,
    source: Source,
    uri: str,
    *,
    actor: str = "local",
    step: Callable[[str], None] = lambda _: None,
) -> Summary:
    """Bring everything of `source` into a home. `step` is told of each run and each model."""
    return _Import(metadata, tracking, source, uri, actor, step).all()


class _Import:
    def __init__(
        self,
        metadata: Metadata,
        tracking: Tracking,
        source: Source,
        uri: str,
        actor: str,
        step: Callable[[str], None],
    ) -> None:
        self._clock, self._source, self._uri, self._actor, self._step = tracking.clock, source, uri, actor, step
        self._key = hashlib.sha256(uri.encode()).hexdigest()[:16]
        self._metadata, self._artifacts = metadata, tracking.artifacts
        self._moved: dict[str, str] = {}  # where artifacts were, and where they are now
        self.summary = Summary()

    def all(self) -> Summary:
        for experiment in self._source.experiments():
            target = self._experiment(experiment)
            for run in self._source.runs(experiment.id):
                self._run(run, target)
            for model in self._source.logged_models(experiment.id):
                self._logged_model(model, target)
        for registered, versions in self._source.registered():
            self._registered(registered, versions)
        return self.summary

    def _experiment(self, found: Experiment) -> Experiment:
        """By name when there is one, else under its own id."""

        def work(r: Repositories) -> tuple[Experiment, bool]:
            present = r.experiments.named(found.name)
            if present is not None:
                tags = {**found.tags, **present.tags}
                if tags != dict(present.tags):
                    present = replace(present, tags=tags)
                    r.experiments.put(present)
                return present, False
            return r.imports.add_experiment(replace(found, location="")), True

        made, new = self._metadata.write(work)
        self.summary.experiments += new
        if made.id != found.id:
            self.summary.renumbered[found.id] = made.id
        return made

    def _run(self, found: Run, experiment: Experiment) -> None:
        mark = _fingerprint(found)
        held = self._metadata.read(lambda r: r.records.get(RECORD, self._key, found.id))
        run = replace(found, experiment_id=experiment.id, artifact_uri=artifacts_of(experiment, found.id))
        self._moved[found.artifact_uri.rstrip("/")] = run.artifact_uri
        self._step(found.name or found.id)
        if held is not None and held["fingerprint"] == mark:
            self.summary.unchanged_runs += 1
            return
        try:
            self._metadata.write(lambda r: self._begin(r, run))
            for key in (m.key for m in run.metrics):
                for points in _pieces(self._source.history(run.id, key)):
                    self._metadata.write(partial(_append, run.id, points))
                    self.summary.points += len(points)
            self._files(found, in_tree(run.artifact_uri), f"run {run.id}")
            self._metadata.write(lambda r: self._finish(r, run, mark))
        except HanokError as error:
            self.summary.left_out.append(f"run {found.id}: {error.message}")
            return
        self.summary.runs += 1

    def _begin(self, r: Repositories, run: Run) -> None:
        now = self._clock.now()
        r.runs.add(replace(run, lifecycle=ACTIVE))
        r.lineage.add([Node(run.id, NodeKind.RUN, run.name, run.started, {"experiment": run.experiment_id})])
        r.runs.add_params(run.id, run.params)
        r.runs.set_tags(run.id, run.tags)
        write_inputs(r, run.id, run.datasets, [], now)

    def _finish(self, r: Repositories, run: Run, mark: str) -> None:
        now = self._clock.now()
        r.runs.put(run)
        if run.lifecycle == DELETED:
            r.lineage.tombstone(run.id, now)
        r.records.put(RECORD, self._key, run.id, {"fingerprint": mark, "uri": self._uri[:500]}, now)

    def _logged_model(self, found: LoggedModel, experiment: Experiment) -> None:
        uri = f"{experiment.location}/models/{found.id}/artifacts"
        self._moved[found.artifact_uri.rstrip("/")] = uri
        self._step(found.name or found.id)
        model = replace(found, experiment_id=experiment.id, artifact_uri=uri)

        def work(r: Repositories) -> None:
            if not is_node(r, model.id):
                r.logged_models.add(model)
                facts = {"type": model.model_type}
                r.lineage.add([Node(model.id, NodeKind.LOGGED_MODEL, model.name, model.created, facts)])
                self.summary.logged_models += 1
            r.logged_models.put(model)
            r.logged_models.add_metrics(model.metrics)
            if is_node(r, model.source_run_id) and r.runs.get(model.source_run_id).lifecycle == ACTIVE:
                r.run_links.add_models_written(model.source_run_id, [ModelOutput(model.id)])
                r.lineage.add([], [Edge(model.source_run_id, EdgeKind.WROTE, model.id)])

        try:
            self._metadata.write(work)
            self._files(found, in_tree(uri), f"logged model {model.id}")
        except HanokError as error:
            self.summary.left_out.append(f"logged model {found.id}: {error.message}")

    def _files(self, owner: Run | LoggedModel, root: str, called: str) -> None:
        """Stream what is not there yet. A file that is out of reach is left out, the others come."""
        try:
            for path, opened in self._source.files(owner):
                try:
                    if self._metadata.read(partial(_artifact, f"{root}/{path}")) is not None:
                        continue
                    with opened() as content:
                        stored = self._artifacts.put(f"{root}/{path}", content)
                    self.summary.artifacts += 1
                    self.summary.bytes += stored.size_bytes
                except HanokError as error:
                    self.summary.left_out.append(f"{called}, artifact {path}: {error.message}")
        except HanokError as error:
            self.summary.left_out.append(f"{called}, artifacts: {error.message}")

    def _registered(self, found: RegisteredModel, versions: Sequence[ModelVersion]) -> None:
        self._step(found.name)

        def work(r: Repositories) -> None:
            present = r.registry.models(found.name)
            if not present:
                self.summary.registered_models += 1
            r.registry.put_model(found)
            for version in versions:
                self._version(r, version)
            for alias, number in found.aliases.items():
                self._alias(r, found.name, alias, number)
            r.registry.put_model(found)

        try:
            self._metadata.write(work)
        except HanokError as error:
            self.summary.left_out.append(f"registered model {found.name}: {error.message}")

    def _version(self, r: Repositories, found: ModelVersion) -> None:
        location = self._location(r, found)
        kept = replace(found, id=new_id(found.created), facts={**found.facts, "location": location})
        if r.registry.versions(found.model, found.version):
            present = r.registry.versions(found.model, found.version)[0]
            facts = {**present.facts, **kept.facts}
            r.registry.put_version(replace(kept, id=present.id, package=present.package, facts=facts))
            return
        if not r.imports.add_version(kept):
            self.summary.left_out.append(f"version {found.version} of {found.model}: it was deleted here")
            return
        node = Node(
            kept.id, NodeKind.MODEL_VERSION, f"{kept.model}/{kept.version}", kept.created, {"source": kept.source}
        )
        logged = str(kept.facts.get("logged_model_id", ""))
        r.lineage.add([node], origins(r, kept, (), logged if is_node(r, logged) else ""))
        self.summary.versions += 1

    def _alias(self, r: Repositories, model: str, alias: str, number: int) -> None:
        stands = r.registry.models(model)[0].aliases.get(alias)
        if stands != number:
            now = self._clock.now()
            why = f"imported from {self._uri[:200]}"
            record_move(r, AliasChange(new_id(now), model, alias, stands, number, now, self._actor, why))

    def _location(self, r: Repositories, version: ModelVersion) -> str:
        """Where a version's bytes are now."""
        source = version.source.rstrip("/")
        if source.startswith("models:/m-"):
            model_id = source.removeprefix("models:/")
            return r.logged_models.get(model_id).artifact_uri if is_node(r, model_id) else source
        for before, after in self._moved.items():
            if before and (source == before or source.startswith(before + "/")):
                return after + source[len(before) :]
        return source


def _fingerprint(run: Run) -> str:
    told = (
        run.name,
        run.status,
        run.lifecycle,
        run.ended,
        sorted(map(repr, run.metrics)),
        sorted(run.params.items()),
        sorted(run.tags.items()),
        [d.dataset.id for d in run.datasets],
    )
    return hashlib.sha256(repr(told).encode()).hexdigest()


def _pieces(points: Iterator[Metric]) -> Iterator[list[Metric]]:
    while piece := list(islice(points, POINTS_AT_ONCE)):
        yield piece


def _append(run: str, points: Sequence[Metric], repositories: Repositories) -> None:
    repositories.metrics.append(run, points)


def _artifact(path: str, repositories: Repositories) -> Artifact | None:
    return repositories.artifacts.get(path)
