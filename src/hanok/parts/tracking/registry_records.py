"""What the registry's verbs do inside one commit: nodes, edges, events and the look-ups that refuse."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from hanok.core.errors import Invalid, LoggedModelNotFound, ModelNotFound
from hanok.core.ids import new_id
from hanok.core.lineage import Edge, EdgeKind, Event, Node, NodeKind
from hanok.core.registry import AliasChange, ModelVersion, RegisteredModel, StageChange
from hanok.core.tracking import DELETED
from hanok.parts.tracking.lineage import is_node
from hanok.stores.ports import Repositories

STAGES = ("None", "Staging", "Production", "Archived")
MODEL_VERSIONS_TAG = "mlflow.modelVersions"
PROMPT_TAG = "mlflow.prompt.is_prompt"


def touch(r: Repositories, model: str, now: datetime) -> None:
    """A change of what versions there are is a change of the model."""
    r.registry.put_model(replace(model_named(r, model), updated=now))


def record_move(r: Repositories, change: AliasChange) -> None:
    """The move, its node, an edge to where the alias now stands and one to what it superseded, and the event."""
    ends = {EdgeKind.READ: change.after, EdgeKind.SUPERSEDED: change.before}
    edges = [
        Edge(change.id, kind, version.id)
        for kind, number in ends.items()
        if number is not None
        for version in r.registry.versions(change.model, number)
    ]
    r.registry.move_alias(change)
    facts: dict[str, int | str | None] = {
        "alias": change.alias,
        "before": change.before,
        "after": change.after,
        "actor": change.actor,
        "reason": change.reason,
    }
    name = f"{change.model}@{change.alias}"
    r.lineage.add([Node(change.id, NodeKind.ALIAS_CHANGE, name, change.at, facts)], edges)
    told = {"model": change.model, **facts, **prompt_mark(model_named(r, change.model).tags)}
    r.outbox.append(Event("alias_moved", change.id, change.at, told))


def prompt_mark(tags: Mapping[str, str]) -> dict[str, bool]:
    """The fact by which events of prompts are told from those of models."""
    return {"prompt": True} if PROMPT_TAG in tags else {}


def record_stage(
    r: Repositories, version: ModelVersion, stage: str, now: datetime, actor: str, reason: str
) -> ModelVersion:
    """The version at its stage; a move is kept with its node, an edge to the version, and the event."""
    moved = replace(version, stage=stage, updated=now)
    r.registry.put_version(moved)
    if version.stage == stage:
        return moved
    change = StageChange(new_id(now), version.model, version.version, version.stage, stage, now, actor, reason)
    r.stage_history.add(change)
    facts = {"stage": stage, "before": version.stage, "actor": actor, "reason": reason}
    node = Node(change.id, NodeKind.ALIAS_CHANGE, f"{version.model}/{version.version} {stage}", now, facts)
    r.lineage.add([node], [Edge(change.id, EdgeKind.READ, version.id)])
    r.outbox.append(Event("stage_moved", change.id, now, {"model": version.model, "version": version.version, **facts}))
    return moved


def origins(r: Repositories, version: ModelVersion, trained_on: Sequence[str], logged_model_id: str) -> list[Edge]:
    edges = [Edge(version.id, EdgeKind.TRAINED_ON, node_id) for node_id in trained_on]
    if is_node(r, version.run_id):
        edges.append(Edge(version.run_id, EdgeKind.WROTE, version.id))
        read = r.runs.get(version.run_id).datasets
        edges += [Edge(version.id, EdgeKind.TRAINED_ON, used.dataset.id) for used in read]
    if logged_model_id:
        edges.append(Edge(version.id, EdgeKind.READ, logged_model_id))
    return edges


def tell_logged_model(r: Repositories, version: ModelVersion, logged_model_id: str) -> None:
    """MLflow's pages and clients read from a tag of the logged model which versions were made of it."""
    if logged_model_id:
        logged = r.logged_models.get(logged_model_id)
        known = json.loads(logged.tags.get(MODEL_VERSIONS_TAG, "[]"))
        listed = json.dumps([*known, {"name": version.model, "version": version.version}])
        r.logged_models.put(replace(logged, tags={**logged.tags, MODEL_VERSIONS_TAG: listed}, updated=version.created))


def location_of(r: Repositories, source: str) -> str:
    """Where the bytes are: "models:/" sources are followed to what they name."""
    scheme, _, rest = source.partition(":/")
    if scheme != "models":
        return source
    name, _, version = rest.strip("/").partition("/")
    if not version:
        logged = r.logged_models.get(name)
        if logged.lifecycle == DELETED:
            raise LoggedModelNotFound(f"logged model {name} was deleted")
        return logged.artifact_uri
    if not version.isdigit():
        raise Invalid(f"source {source[:120]!r} is not models:/<name>/<version> nor models:/<logged model id>")
    found = version_numbered(r, name, int(version))
    return str(found.facts.get("location") or found.source)


def run_behind(r: Repositories, source: str, logged_model_id: str) -> str:
    """The run that logged the model a version is made of, when the caller did not say it; "" when none did."""
    scheme, _, rest = source.partition(":/")
    model_id = logged_model_id or (rest.strip("/") if scheme == "models" and "/" not in rest.strip("/") else "")
    return r.logged_models.get(model_id).source_run_id if model_id else ""


def model_named(r: Repositories, name: str) -> RegisteredModel:
    found = r.registry.models(name)
    if not found:
        raise ModelNotFound(f"Registered Model with name={name[:120]} not found; see: hanok model list")
    return found[0]


def version_numbered(r: Repositories, model: str, version: int) -> ModelVersion:
    found = r.registry.versions(model, version)
    if not found:
        newest = r.registry.versions(model)
        hint = f"the newest is {newest[0].version}" if newest else "it has none"
        raise ModelNotFound(
            f"Model Version (name={model[:120]}, version={version}) not found; {hint}. See: hanok model show {model}"
        )
    return found[0]


def stage_named(stage: str) -> str:
    for known in STAGES:
        if known.lower() == stage.lower():
            return known
    raise Invalid(f"stage {stage[:40]!r} is not one of {', '.join(STAGES)}")


def without(tags: Mapping[str, str], key: str) -> dict[str, str]:
    return {k: v for k, v in tags.items() if k != key}
