"""Side by side, only what differs: runs, or versions of a model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from hanok.core.errors import Invalid
from hanok.core.registry import ModelVersion
from hanok.core.tracking import CONTEXT_TAG, Run
from hanok.ui.views.capture import Captured, captured
from hanok.ui.views.common import Ask
from hanok.ui.views.curves import Curves, first_curves
from hanok.ui.views.direction import higher_is_better, telling_first
from hanok.ui.views.run import CANDIDATE, KNOWN_TAGS, SYSTEM
from hanok.ui.views.runs_state import RunsState, state_of

if TYPE_CHECKING:
    from hanok.engine.app import App

SIDES_MAX = 20
ROWS_MAX = 200
PLOTS_MAX = 6


@dataclass(frozen=True, slots=True)
class Side:
    """One of what is compared. `patch` is its uncommitted change to the code, "" where there is none."""

    name: str
    detail: str
    href: str
    id: str = ""
    user: str = ""
    patch: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """`best` is the place of the best side, None where the name does not tell which is better."""

    name: str
    values: tuple[Any, ...]
    best: int | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """`rows` differ between the sides; `same` do not."""

    name: str
    rows: tuple[Row, ...]
    same: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Winner:
    """A side that is best in some metrics, `metrics`, of `of` that differ and whose names tell a direction."""

    place: int
    metrics: tuple[str, ...]
    of: int


@dataclass(frozen=True, slots=True)
class Compare:
    now: datetime
    what: str
    sides: tuple[Side, ...]
    groups: tuple[Group, ...]
    equal: int
    winners: tuple[Winner, ...] = ()
    curves: Curves | None = None
    metrics: tuple[str, ...] = ()
    state: RunsState = field(default_factory=RunsState)


def compare(app: App, ask: Ask) -> Compare:
    """?runs=a,b or ?model=x&versions=1,2. Raises Invalid when there is nothing to compare."""
    runs, model = tuple(dict.fromkeys(ask.many("runs"))), ask.text("model")
    if len(runs) > SIDES_MAX:
        raise Invalid(f"{len(runs)} runs cannot be read side by side; choose at most {SIDES_MAX}")
    if len(runs) >= 2:
        return compare_runs(app, ask, runs)
    if model and ask.many("versions"):
        return _versions(app, model, ask.many("versions")[:SIDES_MAX])
    raise Invalid("choose at least two: /compare?runs=ID,ID or /compare?model=NAME&versions=1,2")


def compare_runs(app: App, ask: Ask, ids: Sequence[str]) -> Compare:
    """Metrics, curves, params, data, code and packages of runs; whose run is best."""
    state = state_of(ask)
    found = [app.tracking.runs.get(i) for i in ids]
    taken = [captured(app, r) for r in found]
    sides = tuple(
        Side(r.name, f"{r.status.lower()}, {r.started:%Y-%m-%d %H:%M}", f"/runs/{r.id}", r.id, r.user, c.patch)
        for r, c in zip(found, taken, strict=True)
    )
    metrics = [{k: v for k, v in r.latest.items() if not k.startswith(CANDIDATE)} for r in found]
    kinds: dict[str, Sequence[Mapping[str, Any]]] = {
        "Metrics": metrics,
        "Params": [dict(r.params) for r in found],
        "Data": [_data(r) for r in found],
        "Code": [_code(r, c) for r, c in zip(found, taken, strict=True)],
        "Environment": [{**c.machine, **c.packages} for c in taken],
        "Tags": [{k: v for k, v in r.tags.items() if k not in KNOWN_TAGS} for r in found],
    }
    made = _compare(app, "runs", sides, kinds)
    keys = sorted({k for m in metrics for k in m}, key=telling_first)
    wanted = [k for k in ask.query.get("metric", ()) if k in keys]
    own = [k for k in keys if not k.startswith(SYSTEM)]
    drawn = first_curves(app, found, wanted or own, state, limit=PLOTS_MAX)
    return replace(made, curves=drawn, metrics=tuple(keys), state=state, winners=_winners(made))


def _data(run: Run) -> dict[str, Any]:
    """Digests by dataset and by what it was used for."""
    found = {}
    for used in run.datasets:
        context = used.tags.get(CONTEXT_TAG, "")
        found[f"{used.dataset.name} ({context})" if context else used.dataset.name] = used.dataset.digest
    return found


def _code(run: Run, taken: Captured) -> dict[str, Any]:
    facts = {"commit": taken.commit, "branch": taken.branch, "source": taken.source, "command": taken.command}
    if taken.patch:
        changed = sum(line[:1] in "+-" and line[:3] not in ("+++", "---") for line in taken.patch.splitlines())
        digest = hashlib.sha256(taken.patch.encode()).hexdigest()[:8]
        facts["uncommitted"] = f"{changed} lines changed ({digest})"
    return {k: v for k, v in facts.items() if v}


def _winners(made: Compare) -> tuple[Winner, ...]:
    """The sides by how many metrics they are best in."""
    rows = [r for g in made.groups if g.name == "Metrics" for r in g.rows if r.best is not None]
    places = sorted({r.best for r in rows if r.best is not None}, key=lambda p: (-sum(r.best == p for r in rows), p))
    return tuple(Winner(p, tuple(r.name for r in rows if r.best == p), len(rows)) for p in places)


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
    groups = []
    for name, rows in kinds.items():
        keys = sorted({k for row in rows for k in row})
        if name == "Metrics":
            keys.sort(key=telling_first)
        differing = [k for k in keys if len({repr(row.get(k)) for row in rows}) > 1]
        same = tuple((k, rows[0].get(k)) for k in keys if k not in set(differing))
        if keys:
            made = tuple(_row(k, [row.get(k) for row in rows], name) for k in differing[:ROWS_MAX])
            groups.append(Group(name, made, same[:ROWS_MAX]))
    return Compare(app.clock.now(), what, sides, tuple(groups), sum(len(g.same) for g in groups))


def _row(key: str, values: Sequence[Any], group: str) -> Row:
    better = higher_is_better(key) if group == "Metrics" else None
    known = [(v, i) for i, v in enumerate(values) if isinstance(v, int | float) and v == v]
    if better is None or len(known) < 2:
        return Row(key, tuple(values))
    return Row(key, tuple(values), (max if better else min)(known, key=lambda pair: pair[0])[1])


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
