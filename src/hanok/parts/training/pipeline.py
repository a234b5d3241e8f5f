"""One training from data to a judged, registered version, in durable steps."""

from __future__ import annotations

import importlib.metadata
import io
import json
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hanok.compute.coverage import Gap, gaps
from hanok.compute.drift import reference
from hanok.compute.frames import Frame, time_split
from hanok.compute.leaks import alone
from hanok.compute.metrics import chosen_metric, evaluate
from hanok.compute.runtimes import Package
from hanok.compute.runtimes.convert import convert
from hanok.compute.states import TableState
from hanok.core.clock import Clock, from_micros, micros
from hanok.core.declare import AutoML, Model, OwnCode, RandomSplit, TimeSplit, as_dict, digest, view_columns
from hanok.core.errors import HanokError, NotTrainable, TrainingFailed
from hanok.core.ids import new_id
from hanok.core.lineage import Edge, EdgeKind, Event, Node, NodeKind
from hanok.core.tracking import Metric
from hanok.parts.training import gate
from hanok.parts.training.durable import Steps
from hanok.parts.training.needs import ModelRegistry, PackageStore, Runs, Searched, Searcher, TrainingSets
from hanok.stores.ports import Blobs, Metadata, Repositories

Positions = NDArray[np.int64]
LABEL = "_label"
HOLDOUT_SHARE_MAX = 0.25
DAY_US = 86_400_000_000
HOLDOUT_ROWS_MIN = 5
UNSEEN_ROWS_MIN = 50


@dataclass(frozen=True, slots=True)
class Tools:
    """What the pipeline works with."""

    metadata: Metadata
    blobs: Blobs
    clock: Clock
    sets: TrainingSets
    searcher: Searcher
    packages: PackageStore
    runs: Runs
    registry: ModelRegistry


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be trained, why, for whom. `champion` is the version to beat, 0 when none serves."""

    model: Model
    reason: str
    actor: str
    experiment_id: str
    champion: int
    end: datetime | None = None
    start: datetime | None = None
    recipe_of: int = 0


def run(steps: Steps, request: Request, tools: Tools) -> dict[str, Any]:
    """Training set -> search -> gate -> final fit -> registered version. Returns version, verdict and ids.

    What passed is fitted once more on all rows, the holdout included. What was refused is kept as it was judged.
    """
    made = steps("training_set", lambda: _training_set(request, tools))
    searched = steps("search", lambda: _search(request, tools, made))
    verdict = steps("gate", lambda: _gate(request, tools, made, searched))
    fitted = steps("final_fit", lambda: _final_fit(request, tools, made, searched, verdict))
    registered = steps(
        "register", lambda: _register(request, tools, made, searched, verdict, fitted, steps.workflow.id)
    )
    return {**registered, "verdict": verdict["verdict"], "run_id": searched["run_id"], "training_set": made["node"]}


def training_rows(blobs: Blobs, digest_: str) -> pa.Table:
    with blobs.open(digest_) as file:
        return pq.read_table(io.BytesIO(file.read()))


def frame_of(model: Model, rows: pa.Table) -> Frame:
    return Frame.of(rows, model.feature_columns, model.task, LABEL)


def split(
    model: Model, frame: Frame, rows: pa.Table, *, seen_until: datetime | None = None
) -> tuple[Positions, Positions]:
    """Row numbers of the training part and of the untouched holdout.

    A holdout by time takes at most a quarter of the time covered. Rows before `seen_until` were in the champion's
    training: it would know their answers by heart, so the holdout begins after it, and half of what is new is left to
    learn from. When next to nothing is new, the holdout is the usual one, and the champion has to be represented by the
    model of its own gate, which had not seen it. A random holdout goes by the entity's key, so that a row is held out
    in every training or in none.
    """
    if isinstance(model.split, RandomSplit) or frame.at.min() == frame.at.max():
        chosen = model.split if isinstance(model.split, RandomSplit) else RandomSplit()
        train, test = key_split(_labelled(rows), chosen)
    else:
        span = int(frame.at.max() - frame.at.min())
        length = min(model.split.test // timedelta(microseconds=1), int(span * HOLDOUT_SHARE_MAX))
        if seen_until is not None and has_unseen(frame, seen_until):
            length = min(length, (int(frame.at.max()) - micros(seen_until)) // 2)
        train, test = time_split(frame.at, length)
    if len(test) < HOLDOUT_ROWS_MIN or len(train) < HOLDOUT_ROWS_MIN:
        raise NotTrainable(f"{frame.rows} labelled rows leave too few to hold out; a model needs more data")
    return train, test


def has_unseen(frame: Frame, seen_until: datetime) -> bool:
    """Whether enough rows are younger than the champion's training to judge on half of them."""
    return int((frame.at > micros(seen_until)).sum()) >= 2 * UNSEEN_ROWS_MIN


def key_split(rows: pa.Table, chosen: RandomSplit) -> tuple[Positions, Positions]:
    """A seeded share of the entities (columns `key__...`), the same ones whatever other rows there are."""
    keys = [rows.column(n).to_pylist() for n in rows.column_names if n.startswith("key__")]
    texts = [repr((chosen.seed, *key)).encode() for key in zip(*keys, strict=True)]
    points = np.array([int.from_bytes(sha256(t).digest()[:4], "big") / 2**32 for t in texts])
    return np.flatnonzero(points >= chosen.test), np.flatnonzero(points < chosen.test)


def _labelled(rows: pa.Table) -> pa.Table:
    return rows.filter(rows.column(LABEL).is_valid())


def _seen_until(request: Request, tools: Tools) -> datetime | None:
    """Until when the champion's training rows reach."""
    for version in tools.registry.versions(request.model.name):
        if version.version == request.champion and "trained_until" in version.facts:
            return datetime.fromisoformat(version.facts["trained_until"])
    return None


def _training_set(request: Request, tools: Tools) -> dict[str, Any]:
    made = tools.sets.training_set(request.model, end=request.end, start=request.start)
    frame = frame_of(request.model, made.rows)  # says now, not later, what cannot be trained on
    sink = io.BytesIO()
    pq.write_table(made.rows, sink, compression="zstd")
    sink.seek(0)
    address, size = tools.blobs.put(sink)
    node = tools.sets.record_training_set(request.model, made, address)
    return {
        "node": node,
        "digest": address,
        "size_bytes": size,
        "rows": made.rows.num_rows,
        "snapshots": dict(made.snapshots),
        "newest": from_micros(int(frame.at.max())).isoformat(),
        "end": made.end.isoformat(),
        "start": made.start and made.start.isoformat(),
        "as_of": made.as_of.isoformat(),
        "leaks": [leak.as_dict() for leak in (*made.leaks, *alone(frame))],
        "gaps": [gap.as_dict() for gap in _gaps(request.model, made.rows)],
    }


def _gaps(model: Model, rows: pa.Table) -> list[Gap]:
    """The feature views that give nothing for some of the rows."""
    text = [c for c in model.spine_columns if pa.types.is_string(rows.column(c).type)]
    return gaps(rows, {v.name: view_columns(v) for v in model.views}, text)


def _search(request: Request, tools: Tools, made: Mapping[str, Any]) -> dict[str, Any]:
    model = request.model
    rows = training_rows(tools.blobs, made["digest"])
    frame = frame_of(model, rows)
    train, test = (frame.take(part) for part in split(model, frame, rows, seen_until=_seen_until(request, tools)))
    run = tools.runs.create(
        request.experiment_id,
        name=f"{model.name} {tools.clock.now():%Y-%m-%d %H:%M}",
        tags={"hanok.model": model.name, "hanok.reason": request.reason, "hanok.actor": request.actor},
        read=[made["node"]],
    )
    try:
        outcome = _trained(request, train, tools)
    except Exception:
        tools.runs.finish(run.id, "FAILED")
        raise
    metrics = evaluate(model.task, test.y, outcome["package"].load().score(test.X))
    address = tools.packages.save(outcome["package"])
    now = micros(tools.clock.now()) // 1000
    logged = [Metric(f"holdout_{k}", float(v), now, 0) for k, v in metrics.items() if np.isfinite(v)]
    for place, line in enumerate(outcome["leaderboard"]):
        logged += [
            Metric(f"candidate_{k}", float(v), now, place)
            for k, v in line["metrics"].items()
            if v is not None and np.isfinite(v)
        ]
    params = {
        "train": outcome["name"],
        "rows": str(train.rows),
        "holdout_rows": str(test.rows),
        "features": str(len(frame.features)),
        "training_until": made["end"],
        **{k: str(v) for k, v in outcome["parameters"].items()},
    }
    tools.runs.log(run.id, metrics=logged, params=params)
    tools.runs.finish(run.id)
    return {
        "run_id": run.id,
        "package": address,
        "plan": outcome["plan"],
        "metric": outcome["metric"],
        "leaderboard": outcome["leaderboard"],
        "metrics": {k: v for k, v in metrics.items() if np.isfinite(v)},
        "newest": from_micros(int(train.at.max())).isoformat(),
    }


def _trained(request: Request, frame: Frame, tools: Tools) -> dict[str, Any]:
    model = request.model
    if isinstance(model.train, AutoML):
        plan = _plan_of(request, tools)
        found = tools.searcher.run_plan(frame, plan) if plan else tools.searcher.search(frame, model.train)
        board = [dict(line) for line in tools.searcher.leaderboard(found)]
        chosen = found.plan["candidates"][found.plan["chosen"]]
        parameters = {k: v for k, v in chosen.get("parameters", chosen).items() if k != "kind"}
        name = f"automl:{chosen['kind']}"
        return {
            "package": found.package,
            "plan": dict(found.plan),
            "metric": found.metric,
            "leaderboard": board,
            "parameters": parameters,
            "name": name,
        }
    package = convert(own_model(model.train, frame), frame)
    metric = chosen_metric(model.task, model.gate.metric)
    return {
        "package": package,
        "plan": {},
        "metric": metric,
        "leaderboard": [],
        "parameters": {},
        "name": model.train.name,
    }


def own_model(own: OwnCode, frame: Frame) -> Any:
    """What the user's function returns. Raises TrainingFailed with its error and line."""
    try:
        return own.function(frame)
    except HanokError:
        raise
    except Exception as error:
        line = traceback.extract_tb(error.__traceback__)[-1]
        raise TrainingFailed(
            f"{own.name} raised {type(error).__name__}: {error} ({Path(line.filename).name}, line {line.lineno})"
        ) from error


def _plan_of(request: Request, tools: Tools) -> Mapping[str, Any]:
    """The recipe to repeat, if one is asked for."""
    versions = tools.registry.versions(request.model.name) if request.recipe_of else []
    return next((v.facts.get("plan") or {} for v in versions if v.version == request.recipe_of), {})


def _gate(request: Request, tools: Tools, made: Mapping[str, Any], searched: Mapping[str, Any]) -> dict[str, Any]:
    """Judge on the holdout. Against nothing that serves, the challenger has to beat the constant baseline."""
    model = request.model
    rows = training_rows(tools.blobs, made["digest"])
    frame = frame_of(model, rows)
    parts = split(model, frame, rows, seen_until=_seen_until(request, tools))
    train, test = (frame.take(part) for part in parts)
    held_out = _labelled(rows).take(pa.array(parts[1]))
    metric = chosen_metric(model.task, model.gate.metric if model.gate.metric != "auto" else searched["metric"])
    challenger = tools.packages.load(searched["package"]).score_table(held_out)
    if request.champion and model.gate.beats == "champion":
        version = next(v for v in tools.registry.versions(model.name) if v.version == request.champion)
        by_time = isinstance(model.split, TimeSplit) and frame.at.min() != frame.at.max()
        seen = _seen_until(request, tools)
        unseen = by_time and (seen is None or has_unseen(frame, seen))
        address = version.package if unseen else version.facts.get("challenger_package") or version.package
        loaded = tools.packages.load(address)
        against = f"champion (version {request.champion})"
        champion = in_classes(loaded.score_table(held_out), loaded.signature.classes, frame.signature.classes)
    else:
        against, champion = gate.BASELINE, _constant(model, train, test)
    verdict = gate.judge(
        model.gate, model.task, metric, test.y, challenger, champion, held_out, against=against
    ).as_dict()
    for leak in made["leaks"]:
        verdict["why"] += f"; {leak['message']}"
        verdict["passed"] = verdict["passed"] and not leak["certain"]
    node_id = new_id(tools.clock.now())
    now = tools.clock.now()
    node = Node(
        node_id,
        NodeKind.DECISION,
        f"gate of {model.name}: {'passed' if verdict['passed'] else 'refused'}",
        now,
        _json(verdict),
    )

    def work(repositories: Repositories) -> None:
        repositories.lineage.add([node], [Edge(node_id, EdgeKind.EVALUATED_ON, made["node"])])
        repositories.outbox.append(
            Event(
                "gate_decided", node_id, now, {"model": model.name, "passed": verdict["passed"], "why": verdict["why"]}
            )
        )

    tools.metadata.write(work)
    return {"verdict": _json(verdict), "node": node_id}


def in_classes(scores: np.ndarray, have: Sequence[str], want: Sequence[str]) -> np.ndarray:
    """Multiclass scores in the order of other classes; a class that the model does not know has probability 0."""
    if scores.ndim == 1 or tuple(have) == tuple(want):
        return scores
    place = {name: i for i, name in enumerate(have)}
    return np.column_stack([scores[:, place[c]] if c in place else np.zeros(len(scores)) for c in want])


def _constant(model: Model, train: Frame, test: Frame) -> np.ndarray:
    if model.task == "multiclass":
        shares = np.bincount(train.y.astype(int), minlength=len(train.signature.classes)) / train.rows
        return np.tile(shares, (test.rows, 1))
    return np.full(test.rows, float(train.y.mean()))


def _final_fit(
    request: Request,
    tools: Tools,
    made: Mapping[str, Any],
    searched: Mapping[str, Any],
    verdict: Mapping[str, Any],
) -> dict[str, Any]:
    """The same recipe on all rows, holdout included, if the gate let it pass; else what the gate saw."""
    model, whole = request.model, bool(verdict["verdict"]["passed"])
    rows = training_rows(tools.blobs, made["digest"])
    frame = frame_of(model, rows)
    newest = made["newest"] if whole else searched["newest"]
    if whole:
        address = tools.packages.save(fit(model, frame, searched["plan"], tools.searcher.run_plan))
    else:
        address, frame = searched["package"], judged_part(model, frame, rows, newest)
    blocks = weeks(frame.at)
    references = [reference(n, frame.table.column(n), blocks).as_dict() for n in frame.features]
    content = orjson.dumps(references, option=orjson.OPT_SERIALIZE_NUMPY)
    state = TableState.of(frame.table.select(list(frame.features)))  # the other side of training-serving skew
    return {
        "package": address,
        "reference": tools.blobs.put(io.BytesIO(content))[0],
        "statistics": tools.blobs.put(io.BytesIO(state.to_bytes()))[0],
        "newest": newest,
        "whole": whole,
    }


def fit(model: Model, frame: Frame, plan: Mapping[str, Any], run_plan: Callable[..., Searched]) -> Package:
    """The model of a plan, or of the user's own code, on these rows."""
    if isinstance(model.train, AutoML):
        return run_plan(frame, plan).package
    return convert(own_model(model.train, frame), frame)


def judged_part(model: Model, frame: Frame, rows: pa.Table, newest: str) -> Frame:
    """The rows that the model before the gate was trained on: all but the holdout, the newest of them at `newest`."""
    if isinstance(model.split, RandomSplit) or frame.at.min() == frame.at.max():
        return frame.take(split(model, frame, rows)[0])
    order = np.argsort(frame.at, kind="stable")
    return frame.take(order[frame.at[order] <= micros(datetime.fromisoformat(newest))])


def weeks(at: NDArray[np.int64]) -> list[Positions]:
    """Row numbers of each whole week of the training rows; none when there are fewer than three."""
    number = (at - at.min()) // (7 * DAY_US)
    whole = range(int((at.max() - at.min()) // (7 * DAY_US)))
    return [np.flatnonzero(number == w) for w in whole if (number == w).any()] if len(whole) >= 3 else []


def _register(
    request: Request,
    tools: Tools,
    made: Mapping[str, Any],
    searched: Mapping[str, Any],
    verdict: Mapping[str, Any],
    fitted: Mapping[str, Any],
    workflow_id: str,
) -> dict[str, Any]:
    model = request.model
    for known in tools.registry.versions(model.name):
        if known.facts.get("workflow") == workflow_id:  # cut down after the commit, before the step was recorded
            return {"version": known.version, "node": known.id}
    installed = environment()
    code = model.train.code_digest if not isinstance(model.train, AutoML) else digest(model.train)
    facts = {
        "workflow": workflow_id,
        "task": model.task,
        "metric": searched["metric"],
        "metrics": searched["metrics"],
        "verdict": verdict["verdict"],
        "plan": searched["plan"],
        "training_set": made["node"],
        "training_digest": made["digest"],
        "training_rows": made["rows"],
        "label_rows": made["snapshots"].get(model.label.table, 0),
        "trained_until": fitted["newest"],
        "holdout_included": fitted["whole"],
        "gaps": made["gaps"],
        "leaks": made["leaks"],
        "trained_at": tools.clock.now().isoformat(),
        "reference": fitted["reference"],
        "statistics": fitted.get("statistics", ""),
        "challenger_package": searched["package"],
        "environment": installed["digest"],
        "code": code,
        "declaration": digest(model),
        "feature_views": {v.name: digest(v) for v in model.views},
        "reason": request.reason,
    }
    version = tools.registry.register(
        model.name,
        run_id=searched["run_id"],
        package=fitted["package"],
        facts=facts,
        trained_on=[made["node"]],
        actor=request.actor,
    )
    now = tools.clock.now()
    nodes = [
        Node(installed["digest"][:32], NodeKind.ENVIRONMENT, "environment", now, installed),
        Node(
            code[:32],
            NodeKind.CODE,
            getattr(model.train, "name", "") or "automl",
            now,
            {"declaration": as_dict(model.train)},
        ),
    ]
    edges = [Edge(version.id, EdgeKind.READ, n.id) for n in nodes]
    edges.append(Edge(version.id, EdgeKind.EVALUATED_ON, verdict["node"]))
    tools.metadata.write(lambda r: r.lineage.add(nodes, edges))
    return {"version": version.version, "node": version.id}


@cache
def environment() -> dict[str, Any]:
    """What was installed: the lock that a version carries."""
    import platform
    import sys

    packages = sorted(
        {f"{d.metadata['Name']}=={d.version}" for d in importlib.metadata.distributions() if d.metadata["Name"]}
    )
    lock = {"python": sys.version.split()[0], "machine": platform.machine(), "packages": packages}
    return {**lock, "digest": sha256(json.dumps(lock, sort_keys=True).encode()).hexdigest()}


def _json(value: Any) -> Any:
    """The value as JSON gives it back: NaN and infinities become null."""
    return orjson.loads(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY))
