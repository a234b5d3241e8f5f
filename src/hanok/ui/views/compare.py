"""Side by side, only what differs: runs, or versions of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from hanok.core.errors import Invalid
from hanok.core.registry import ModelVersion
from hanok.ui.views.common import Ask
from hanok.ui.views.direction import higher_is_better

if TYPE_CHECKING:
    from hanok.engine.app import App

SIDES_MAX = 12
ROWS_MAX = 200


@dataclass(frozen=True, slots=True)
class Side:
    name: str
    detail: str
    href: str


@dataclass(frozen=True, slots=True)
class Row:
    """`best` is the place of the best side, None where the name does not tell which is better."""

    name: str
    values: tuple[Any, ...]
    best: int | None = None


@dataclass(frozen=True, slots=True)
class Group:
    name: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Compare:
    now: datetime
    what: str
    sides: tuple[Side, ...]
    groups: tuple[Group, ...]
    equal: int


def compare(app: App, ask: Ask) -> Compare:
    """?runs=a,b or ?model=x&versions=1,2. Raises Invalid when there is nothing to compare."""
    runs, model = ask.many("runs"), ask.text("model")
    if len(runs) >= 2:
        return _runs(app, runs[:SIDES_MAX])
    if model and ask.many("versions"):
        return _versions(app, model, ask.many("versions")[:SIDES_MAX])
    raise Invalid("choose at least two: /compare?runs=ID,ID or /compare?model=NAME&versions=1,2")


def _runs(app: App, ids: Sequence[str]) -> Compare:
    found = [app.tracking.runs.get(i) for i in dict.fromkeys(ids)]
    metrics = [{k: v for k, v in r.latest.items() if not k.startswith("candidate_")} for r in found]
    datasets = [{d.dataset.name: d.dataset.digest for d in r.datasets} for r in found]
    tags = [{k: v for k, v in r.tags.items() if k != "mlflow.runName"} for r in found]
    sides = tuple(Side(r.name, f"{r.status.lower()}, {r.started:%Y-%m-%d %H:%M}", f"/runs/{r.id}") for r in found)
    kinds: dict[str, list[dict[str, Any]]] = {
        "Metrics": [*metrics],
        "Params": [dict(r.params) for r in found],
        "Data": [*datasets],
        "Tags": [*tags],
    }
    return _compare(app, "runs", sides, kinds)


def _versions(app: App, model: str, numbers: Sequence[str]) -> Compare:
    from hanok.ui.text import segment

    if bad := [n for n in numbers if not n.isdecimal()]:
        raise Invalid(f"{bad[0][:40]!r} is not a version number")
    found = [app.tracking.registry.version(model, int(n)) for n in dict.fromkeys(numbers)]
    if len(found) < 2:
        raise Invalid("choose at least two versions")
    sides = tuple(
        Side(
            f"{model} version {v.version}",
            f"{v.created:%Y-%m-%d %H:%M}",
            f"/models/{segment(model)}?version={v.version}",
        )
        for v in found
    )
    kinds: dict[str, list[dict[str, Any]]] = {
        "Metrics": [dict(v.facts.get("metrics", {})) for v in found],
        "Gate": [_gate(v) for v in found],
        "Data": [_facts(v, "training_rows", "trained_until", "training_set", "label_rows") for v in found],
        "Features": [dict(v.facts.get("feature_views", {})) for v in found],
        "Code and environment": [_facts(v, "code", "environment", "declaration", "package") for v in found],
        "Params": [_params(app, v) for v in found],
        "Importance": [_importance(app, v) for v in found],
        "Why it was trained": [_facts(v, "reason", "user") for v in found],
    }
    return _compare(app, f"versions of {model}", sides, kinds)


def _compare(app: App, what: str, sides: tuple[Side, ...], kinds: Mapping[str, Sequence[Mapping[str, Any]]]) -> Compare:
    groups, equal = [], 0
    for name, rows in kinds.items():
        keys = sorted({k for row in rows for k in row})
        differing = [k for k in keys if len({repr(row.get(k)) for row in rows}) > 1]
        equal += len(keys) - len(differing)
        if differing:
            groups.append(Group(name, tuple(_row(k, [row.get(k) for row in rows], name) for k in differing[:ROWS_MAX])))
    return Compare(app.clock.now(), what, sides, tuple(groups), equal)


def _row(key: str, values: Sequence[Any], group: str) -> Row:
    better = higher_is_better(key) if group == "Metrics" else None
    known = [(v, i) for i, v in enumerate(values) if isinstance(v, int | float) and v == v]
    if better is None or len(known) < 2:
        return Row(key, tuple(values))
    return Row(key, tuple(values), (max(known) if better else min(known))[1])


def _facts(version: ModelVersion, *names: str) -> dict[str, Any]:
    facts = {**version.facts, "package": version.package}
    return {n.replace("_", " "): facts.get(n) for n in names}


def _gate(version: ModelVersion) -> dict[str, Any]:
    verdict = version.facts.get("verdict") or {}
    return {k: verdict[k] for k in ("passed", "against", "gain", "low", "high", "rows") if k in verdict}


def _params(app: App, version: ModelVersion) -> dict[str, Any]:
    return dict(app.tracking.runs.get(version.run_id).params) if version.run_id else {}


def _importance(app: App, version: ModelVersion) -> dict[str, Any]:
    notes = app.packages.manifest(version.package).get("notes", {}) if version.package else {}
    return {k: round(v, 4) for k, v in notes.get("importance", {}).items()}
