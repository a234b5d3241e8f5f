"""Verbs that read: runs, models, predictions, alerts, lineage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from hanok.core.access import Access
from hanok.core.errors import ModelNotFound, RunNotFound
from hanok.core.tracking import RunQuery
from hanok.engine.verbs.registry import verb


@verb("run.list", Access.READ)
def list_runs(app: Any, actor: str, *, experiment: str = "", limit: int = 100) -> list[dict[str, Any]]:
    """Runs, newest first, with their last metrics."""
    tracking = app.tracking
    experiments = [tracking.experiments.named(experiment)] if experiment else list(tracking.experiments.search().items)
    names = {e.id: e.name for e in experiments}
    if not names:
        return []
    page = tracking.runs.search(RunQuery(tuple(names), limit=limit))
    return [_run(run) | {"experiment": names.get(run.experiment_id, "")} for run in page.items]


@verb("run.show", Access.READ)
def show_run(app: Any, actor: str, *, run: str) -> dict[str, Any]:
    """A run with its params, metrics, tags, and what it read and wrote."""
    found = app.tracking.runs.get(run_id_of(app, run))
    return _run(found) | {"lineage": _graph(app.metadata.read(lambda r: r.lineage.neighbours(found.id)))}


@verb("run.compare", Access.READ)
def compare_runs(app: Any, actor: str, *, runs: Sequence[str]) -> dict[str, Any]:
    """What differs between runs: params and metrics with unequal values."""
    found = [app.tracking.runs.get(run_id_of(app, r)) for r in runs]
    return {
        "runs": [r.id for r in found],
        "params": _differing([dict(r.params) for r in found]),
        "metrics": _differing([{m.key: m.value for m in r.metrics} for r in found]),
    }


@verb("model.list", Access.READ)
def list_models(app: Any, actor: str) -> list[dict[str, Any]]:
    """Registered models: newest version, what serves, since when."""
    rows = []
    for model in app.metadata.read(lambda r: r.registry.models()):
        versions = app.tracking.registry.versions(model.name)
        deployment = app.serving.deployment(model.name)
        rows.append(
            {
                "name": model.name,
                "versions": len(versions),
                "newest": versions[0].version if versions else None,
                "serving": deployment.primary if deployment else None,
                "since": _primary_since(app, deployment) if deployment else None,
                "aliases": dict(model.aliases),
            }
        )
    return rows


def _primary_since(app: Any, deployment: Any) -> str:
    """When the present primary began to answer."""
    since = deployment
    for earlier in app.serving.history(deployment.name):
        if earlier.primary != deployment.primary:
            break
        since = earlier
    return str(since.at.isoformat())


@verb("model.show", Access.READ)
def show_model(app: Any, actor: str, *, name: str) -> dict[str, Any]:
    """A model's versions with metrics and verdicts, its deployments, and performance by day."""
    versions = app.tracking.registry.versions(name)
    if not versions and not app.metadata.read(lambda r: r.registry.models(name)):
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
            for d in app.serving.history(name)
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
            for c in app.tracking.registry.alias_history(name)
        ],
        "performance": [_public(p) for p in app.monitoring.performance(name)],
    }


@verb("model.compare", Access.READ)
def compare_models(app: Any, actor: str, *, name: str, versions: Sequence[int]) -> dict[str, Any]:
    """What differs between versions of a model: metrics, data, code, environment, features."""
    found = {v.version: v for v in app.tracking.registry.versions(name)}
    if missing := [v for v in versions if int(v) not in found]:
        raise ModelNotFound(f"model {name!r} has no version {missing[0]}")
    chosen = [found[int(v)] for v in versions]
    facts = [
        {k: v.facts.get(k) for k in ("training_rows", "trained_until", "environment", "code", "declaration", "reason")}
        | {f"metric {k}": x for k, x in v.facts.get("metrics", {}).items()}
        for v in chosen
    ]
    return {"model": name, "versions": [v.version for v in chosen], "differs": _differing(facts)}


@verb("prediction.show", Access.READ)
def show_prediction(app: Any, actor: str, *, prediction: str) -> dict[str, Any]:
    """One prediction: features, version, score, later label, and the source rows its features came from."""
    found = app.serving.find(prediction)
    body = asdict(found) | {"at": found.at.isoformat(), "label": None, "source_rows": []}
    model = next((m for m in app.training.models() if m.name == found.deployment), None)
    if model is not None:
        body["source_rows"] = [asdict(s) for s in app.features.source_rows(model, found.entity, found.at)]
    outcomes = app.monitoring.outcomes(found.deployment, start=found.at)
    if outcomes.num_rows:
        mine = [r for r in outcomes.to_pylist() if r["prediction_id"] == prediction]
        if mine:
            body |= {"label": mine[-1]["label"], "label_known_at": mine[-1]["known_at"].isoformat()}
    return body


@verb("alert.list", Access.READ)
def list_alerts(app: Any, actor: str, *, state: str = "", limit: int = 100) -> list[dict[str, Any]]:
    """Alerts, newest first."""
    return [_public(a) for a in app.alerts.list(state=state or None, limit=limit)][:limit]


@verb("alert.show", Access.READ)
def show_alert(app: Any, actor: str, *, alert: str) -> dict[str, Any]:
    """One alert with its facts."""
    return _public(app.alerts.get(alert))


@verb("lineage", Access.READ)
def lineage(app: Any, actor: str, *, node: str, depth: int = 20) -> dict[str, Any]:
    """All that a node came from and all that came from it."""
    node_id = node
    if "@" in node or "/" in node:
        name, _, version = node.replace("/", "@").partition("@")
        found = app.tracking.registry.versions(name)
        match = [v for v in found if str(v.version) == version.removeprefix("v")]
        node_id = match[0].id if match else node
    return _graph(app.metadata.read(lambda r: r.lineage.walk(node_id, depth=depth)))


def _run(run: Any) -> dict[str, Any]:
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


def run_id_of(app: Any, text: str) -> str:
    """A run by its id, the beginning of it, or its name. Raises RunNotFound."""
    if len(text) == 32:
        return text
    found = [r["id"] for r in list_runs(app, "", limit=1000) if r["id"].startswith(text) or r["name"] == text]
    if len(found) != 1:
        raise RunNotFound(
            f"{'no run' if not found else 'more than one run'} matches {text!r}; 'hanok run list' shows ids"
        )
    return str(found[0])


def _differing(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    names = sorted({k for row in rows for k in row})
    return {n: [row.get(n) for row in rows] for n in names if len({repr(row.get(n)) for row in rows}) > 1}


def _graph(graph: Any) -> dict[str, Any]:
    return {
        "nodes": [
            {"id": n.id, "kind": n.kind.value, "name": n.name, "created": n.created.isoformat(), "facts": dict(n.facts)}
            for n in sorted(graph.nodes, key=lambda n: (n.created, n.id))
        ],
        "edges": [{"source": e.source, "kind": e.kind.value, "target": e.target} for e in graph.edges],
    }


def _public(body: Any) -> dict[str, Any]:
    return {k: v for k, v in body.items() if not k.startswith("_")}
