"""Registered models, what serves, and what is declared, as the present caller sees them."""

from __future__ import annotations

import builtins
from datetime import datetime

from hanok.core.access import EVERY_PROJECT
from hanok.core.errors import NotFound
from hanok.core.registry import AliasChange, ModelVersion, RegisteredModel, StageChange
from hanok.core.serving import Deployment
from hanok.core.tracking import Experiment
from hanok.core.workflows import Step, Workflow
from hanok.parts.access.gate import Guarded, Place
from hanok.stores.ports import Declarations, Deployments, Document, Registry, Workflows
from hanok.stores.ports_tracking import RegistryUpkeep
from hanok.stores.ports_upkeep import Imports, StageHistory


class GuardedRegistry(Guarded[Registry]):
    __slots__ = ()

    def put_model(self, model: RegisteredModel) -> None:
        held = self._gate.model(model.name)
        self._gate.change(held)
        moved = model.project != held.project
        if moved:
            self._gate.land(model.project, "model", model.name)
        self._inner.put_model(model)
        if moved:
            self._gate.directory.forget()

    def models(self, name: str | None = None) -> list[RegisteredModel]:
        return [
            item for item in self._inner.models(name) if self._gate.may_see(Place(item.project, "model", item.name))
        ]

    def add_version(self, version: ModelVersion) -> ModelVersion:
        self._gate.change(self._gate.model(version.model))
        return self._inner.add_version(version)

    def versions(self, model: str, version: int | None = None) -> list[ModelVersion]:
        if not self._gate.may_see(self._gate.model(model)):
            return []
        return self._inner.versions(model, version)

    def move_alias(self, change: AliasChange) -> None:
        self._gate.change(self._gate.model(change.model))
        self._inner.move_alias(change)

    def alias_history(self, model: str, alias: str | None = None) -> list[AliasChange]:
        if not self._gate.may_see(self._gate.model(model)):
            return []
        return self._inner.alias_history(model, alias)

    def put_version(self, version: ModelVersion) -> None:
        self._gate.change(self._gate.model(version.model))
        self._inner.put_version(version)


class GuardedRegistryUpkeep(Guarded[RegistryUpkeep]):
    __slots__ = ()

    def rename_model(self, name: str, new_name: str, at: datetime) -> None:
        self._gate.change(self._gate.model(name))
        self._inner.rename_model(name, new_name, at)
        self._gate.directory.forget()

    def remove_model(self, name: str) -> None:
        self._gate.change(self._gate.model(name))
        self._inner.remove_model(name)
        self._gate.directory.forget()

    def remove_version(self, model: str, version: int) -> None:
        self._gate.change(self._gate.model(model))
        self._inner.remove_version(model, version)

    def all_versions(self) -> list[ModelVersion]:
        return [item for item in self._inner.all_versions() if self._gate.may_see(self._gate.model(item.model))]


class GuardedStageHistory(Guarded[StageHistory]):
    __slots__ = ()

    def add(self, change: StageChange) -> None:
        self._gate.change(self._gate.model(change.model))
        self._inner.add(change)

    def of(self, model: str) -> list[StageChange]:
        if not self._gate.may_see(self._gate.model(model)):
            return []
        return self._inner.of(model)


class GuardedImports(Guarded[Imports]):
    __slots__ = ()

    def add_experiment(self, experiment: Experiment) -> Experiment:
        self._gate.land(experiment.project, "experiment", experiment.name)
        made = self._inner.add_experiment(experiment)
        if experiment.location:
            self._gate.may_keep_artifacts_at(made.location)
        return made

    def add_version(self, version: ModelVersion) -> bool:
        self._gate.change(self._gate.model(version.model))
        return self._inner.add_version(version)


class GuardedDeclarations(Guarded[Declarations]):
    __slots__ = ()

    def put(self, kind: str, name: str, digest: str, body: Document, at: datetime) -> int:
        if kind == "model":
            self._gate.change(self._gate.model(name))
        return self._inner.put(kind, name, digest, body, at)

    def newest(self, kind: str, name: str) -> tuple[int, Document] | None:
        if kind == "model" and not self._gate.may_see(self._gate.model(name)):
            return None
        return self._inner.newest(kind, name)

    def names(self, kind: str) -> list[str]:
        found = self._inner.names(kind)
        return [name for name in found if kind != "model" or self._gate.may_see(self._gate.model(name))]

    def at_version(self, kind: str, name: str, version: int) -> Document | None:
        if kind == "model" and not self._gate.may_see(self._gate.model(name)):
            return None
        return self._inner.at_version(kind, name, version)


class GuardedDeployments(Guarded[Deployments]):
    __slots__ = ()

    def put(self, deployment: Deployment, *, expected: int) -> None:
        self._gate.change(self._gate.model(deployment.name))
        self._inner.put(deployment, expected=expected)

    def get(self, name: str) -> Deployment | None:
        if not self._gate.may_see(self._gate.model(name)):
            return None
        return self._inner.get(name)

    def all(self) -> list[Deployment]:
        return [item for item in self._inner.all() if self._gate.may_see(self._gate.model(item.name))]

    def history(self, name: str) -> list[Deployment]:
        if not self._gate.may_see(self._gate.model(name)):
            return []
        return self._inner.history(name)

    def generation(self) -> int:
        return self._inner.generation()


class GuardedWorkflows(Guarded[Workflows]):
    """A workflow belongs where its model does; one of no model is for those who may act everywhere."""

    __slots__ = ()

    def start(self, workflow: Workflow) -> Workflow:
        self._change(workflow)
        return self._inner.start(workflow)

    def claim(self, workflow_id: str, owner: str, now: datetime, until: datetime) -> int:
        self._change(self.get(workflow_id))
        return self._inner.claim(workflow_id, owner, now, until)

    def record(self, workflow_id: str, fence: int, step: Step) -> None:
        self._change(self.get(workflow_id))
        self._inner.record(workflow_id, fence, step)

    def finish(self, workflow_id: str, fence: int, state: str, result: Document, at: datetime) -> None:
        self._change(self.get(workflow_id))
        self._inner.finish(workflow_id, fence, state, result, at)

    def steps(self, workflow_id: str) -> builtins.list[Step]:
        return self._inner.steps(self.get(workflow_id).id)

    def list(self, *, kind: str | None = None, state: str | None = None, limit: int = 100) -> builtins.list[Workflow]:
        asked = limit
        while True:
            found = self._inner.list(kind=kind, state=state, limit=asked)
            seen = [workflow for workflow in found if self._gate.may_see(self._place(workflow))]
            if len(seen) >= limit or len(found) < asked:
                return seen[:limit]
            asked *= 4  # those of others are among them

    def get(self, workflow_id: str) -> Workflow:
        workflow = self._inner.get(workflow_id)
        if not self._gate.may_see(self._place(workflow)):
            raise NotFound(f"there is no workflow {workflow_id!r}")
        return workflow

    def _change(self, workflow: Workflow) -> None:
        self._gate.change(self._place(workflow))

    def _place(self, workflow: Workflow) -> Place:
        model = str(workflow.arguments.get("model", ""))
        return self._gate.model(model) if model else Place(EVERY_PROJECT, workflow.kind, workflow.id)
