"""Verbs that read: runs, models, predictions, alerts, lineage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated

from hanok.core.access import Access
from hanok.core.alerts import ALERT
from hanok.core.batches import BATCH
from hanok.core.errors import ModelNotFound
from hanok.core.json import Json, JsonObject
from hanok.core.keys import KeyValue
from hanok.core.lineage import Graph
from hanok.core.performance import PERFORMANCE
from hanok.core.predictions import Looked, Outcome
from hanok.core.records import to_body
from hanok.core.serving import Deployment
from hanok.core.tracking import Run, RunQuery
from hanok.engine.arguments import Between, Count
from hanok.engine.declared import Declared
from hanok.engine.finding import run_id_of
from hanok.engine.leaderboard import leaderboard_of
from hanok.engine.predictions import Predictions, named_classes
from hanok.engine.verbs.registry import verb
from hanok.parts.access import GuardedMetadata
from hanok.parts.features.service import Features
from hanok.parts.monitoring.alerts import Alerts
from hanok.parts.monitoring.service import Monitoring
from hanok.parts.serving.bulk import answered_at
from hanok.parts.serving.packages import Packages
from hanok.parts.serving.service import Serving
from hanok.parts.tracking.service import Tracking


@verb("run.list", Access.READ, "read")
def list_runs(tracking: Tracking, *, experiment: str = "", limit: Count = 100) -> Sequence[JsonObject]:
    """Runs, newest first, with their last metrics."""
    tracking = tracking
    experiments = [tracking.experiments.named(experiment)] if experiment else list(tracking.experiments.search().items)
    names = {e.id: e.name for e in experiments}
    if not names:
        return []
    page = tracking.runs.search(RunQuery(tuple(names), limit=limit))
    return [_run(run) | {"experiment": names.get(run.experiment_id, "")} for run in page.items]


@verb("run.show", Access.READ, "read")
def show_run(tracking: Tracking, metadata: GuardedMetadata, *, run: str) -> JsonObject:
    """A run with its params, metrics, tags, what it read and wrote, and the leaderboard of a search."""
    found = tracking.runs.get(run_id_of(tracking, run))
    board = leaderboard_of(tracking, metadata, found)
    lineage = _graph(metadata.read(lambda r: r.lineage.neighbours(found.id)))
    return _run(found) | ({"leaderboard": list(board)} if board else {}) | {"lineage": lineage}


@verb("run.compare", Access.READ, "read")
def compare_runs(tracking: Tracking, *, runs: Sequence[str]) -> JsonObject:
    """What differs between runs: params and metrics with unequal values."""
    found = [tracking.runs.get(run_id_of(tracking, r)) for r in runs]
    return {
        "runs": [r.id for r in found],
        "params": _differing([dict(r.params) for r in found]),
        "metrics": _differing([{m.key: m.value for m in r.metrics} for r in found]),
    }


@verb("model.list", Access.READ, "read")
def list_models(metadata: GuardedMetadata, tracking: Tracking, serving: Serving) -> Sequence[JsonObject]:
    """Registered models: newest version, what serves, since when."""
    rows: list[JsonObject] = []
    for model in metadata.read(lambda r: r.registry.models()):
        versions = tracking.registry.versions(model.name)
        deployment = serving.deployment(model.name)
        rows.append(
            {
                "name": model.name,
                "versions": len(versions),
                "newest": versions[0].version if versions else None,
                "serving": deployment.primary if deployment else None,
                "since": _primary_since(serving, deployment) if deployment else None,
                "aliases": dict(model.aliases),
            }
        )
    return rows


def _primary_since(serving: Serving, deployment: Deployment) -> str:
    """When the present primary began to answer."""
    since = deployment
    for earlier in serving.history(deployment.name):
        if earlier.primary != deployment.primary:
            break
        since = earlier
    return str(since.at.isoformat())


@verb("model.show", Access.READ, "read")
def show_model(
    tracking: Tracking, metadata: GuardedMetadata, serving: Serving, monitoring: Monitoring, *, actor: str, name: str
) -> JsonObject:
    """A model's versions with metrics and verdicts, its deployments, and performance by day."""
    versions = tracking.registry.versions(name)
    if not versions and not metadata.read(lambda r: r.registry.models(name)):
        raise ModelNotFound(f"there is no model {name!r}; 'hanok model list' shows all")
    return {
        "name": name,
        "versions": [
            {
                "version": v.version,
                "created": v.created.isoformat(),
                "run_id": v.run_id,
                "aliases": list(v.aliases),
                "metrics": v.facts.get("metrics", {}),
                "verdict": (v.facts.get("verdict") or {}).get("why", ""),
                "passed": (v.facts.get("verdict") or {}).get("passed"),
                "reason": v.facts.get("reason", ""),
                "training_rows": v.facts.get("training_rows"),
                "node": v.id,
            }
            for v in versions
        ],
        "deployments": [
            {
                "generation": d.generation,
                "arms": [asdict(a) for a in d.arms],
                "at": d.at.isoformat(),
                "actor": d.actor,
                "reason": d.reason,
            }
            for d in serving.history(name)
        ],
        "alias_history": [
            {
                "alias": c.alias,
                "before": c.before,
                "after": c.after,
                "at": c.at.isoformat(),
                "actor": c.actor,
                "reason": c.reason,
            }
            for c in tracking.registry.alias_history(name)
        ],
        "performance": [PERFORMANCE.body(p) for p in monitoring.performance(name)],
    }


@verb("model.compare", Access.READ, "heavy")
def compare_models(tracking: Tracking, *, name: str, versions: Sequence[Count]) -> JsonObject:
    """What differs between versions of a model: metrics, data, code, environment, features."""
    found = {v.version: v for v in tracking.registry.versions(name)}
    if missing := [v for v in versions if int(v) not in found]:
        raise ModelNotFound(f"model {name!r} has no version {missing[0]}")
    chosen = [found[int(v)] for v in versions]
    facts = [
        {k: v.facts.get(k) for k in ("training_rows", "trained_until", "environment", "code", "declaration", "reason")}
        | {f"metric {k}": x for k, x in v.facts.get("metrics", {}).items()}
        for v in chosen
    ]
    return {"model": name, "versions": [v.version for v in chosen], "differs": _differing(facts)}


@verb("prediction.list", Access.READ, "heavy")
def list_predictions(
    predictions: Predictions,
    packages: Packages,
    tracking: Tracking,
    *,
    model: str,
    entity: Mapping[str, KeyValue] | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    version: Count = 0,
    outcome: Outcome = "",
    batch: str = "",
    shadows: bool = False,
    limit: Annotated[int, Between(1, 10_000)] = 50,
) -> Sequence[JsonObject]:
    """Answers of a model, the newest first: of an entity, of a time, of a version, or of what came true of them. Where
    there are more than two classes, `answer` is the one that it named and `actual` the one that it was."""
    looked = Looked(dict(entity or {}), since, until, version, outcome, batch, shadows, limit)
    found = predictions.search(model, looked)
    named = named_classes(packages, tracking, model, found)
    return [
        {**to_body(one), **({} if answer is None else {"answer": answer, "actual": actual})}
        for one, (answer, actual) in zip(found, named, strict=True)
    ]


@verb("prediction.batches", Access.READ, "read")
def list_batches(serving: Serving, *, model: str = "", limit: Count = 50) -> Sequence[JsonObject]:
    """Files and tables that were answered in bulk, the newest first."""
    return [BATCH.body(batch) for batch in serving.batches.list(model or None)][:limit]


@verb("prediction.show", Access.READ, "read")
def show_prediction(
    serving: Serving,
    declared: Declared,
    features: Features,
    monitoring: Monitoring,
    *,
    prediction: str,
    explain: bool = False,
) -> JsonObject:
    """One prediction: features, version, score, later label, and the source rows its features came from; with
    `explain` what each input did to the score."""
    found = serving.find(prediction)
    body = asdict(found) | {"at": found.at.isoformat(), "label": None, "source_rows": []}
    model = declared.of_answer(found.deployment, found.version)
    if model is not None:
        body["source_rows"] = [
            asdict(s) for s in features.source_rows(model, found.entity, found.at, answered_at(found))
        ]
    if explain:
        columns = {name: [value] for name, value in found.features.items()}
        (why,) = serving.explain(found.deployment, found.version, columns)
        body["explanation"] = to_body(why)
    outcomes = monitoring.outcomes(found.deployment, start=found.at)
    if outcomes.num_rows:
        mine = [r for r in outcomes.to_pylist() if r["prediction_id"] == prediction]
        if mine:
            body |= {"label": mine[-1]["label"], "label_known_at": mine[-1]["known_at"].isoformat()}
    return body


@verb("alert.list", Access.READ, "read")
def list_alerts(alerts: Alerts, *, state: str = "", limit: Count = 100) -> Sequence[JsonObject]:
    """Alerts, newest first."""
    return [ALERT.body(a) for a in alerts.list(state=state or None, limit=limit)][:limit]


@verb("alert.show", Access.READ, "read")
def show_alert(alerts: Alerts, *, alert: str) -> JsonObject:
    """One alert with its facts."""
    return ALERT.body(alerts.get(alert))


@verb("lineage", Access.READ, "heavy")
def lineage(tracking: Tracking, metadata: GuardedMetadata, *, node: str, depth: Count = 20) -> JsonObject:
    """All that a node came from and all that came from it."""
    node_id = node
    if "@" in node or "/" in node:
        name, _, version = node.replace("/", "@").partition("@")
        found = tracking.registry.versions(name)
        match = [v for v in found if str(v.version) == version.removeprefix("v")]
        node_id = match[0].id if match else node
    return _graph(metadata.read(lambda r: r.lineage.walk(node_id, depth=depth)))


def _run(run: Run) -> dict[str, Json]:
    return {
        "id": run.id,
        "name": run.name,
        "status": str(run.status),
        "started": run.started.isoformat() if run.started else None,
        "ended": run.ended.isoformat() if run.ended else None,
        "params": dict(run.params),
        "metrics": {m.key: m.value for m in run.metrics},
        "tags": dict(run.tags),
    }


def _differing(rows: Sequence[JsonObject]) -> dict[str, Json]:
    names = sorted({k for row in rows for k in row})
    return {n: [row.get(n) for row in rows] for n in names if len({repr(row.get(n)) for row in rows}) > 1}


def _graph(graph: Graph) -> dict[str, Json]:
    return {
        "nodes": [
            {"id": n.id, "kind": n.kind.value, "name": n.name, "created": n.created.isoformat(), "facts": dict(n.facts)}
            for n in sorted(graph.nodes, key=lambda n: (n.created, n.id))
        ],
        "edges": [{"source": e.source, "kind": e.kind.value, "target": e.target} for e in graph.edges],
    }


def _public(body: JsonObject) -> JsonObject:
    return {k: v for k, v in body.items() if not k.startswith("_")}
