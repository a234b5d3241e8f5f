"""One training from data to a judged, registered version, in durable steps."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from hanok.compute.coverage import Gap, gaps
from hanok.compute.day_blocks import Days
from hanok.compute.drift import reference
from hanok.compute.encoding import written
from hanok.compute.frames import Frame
from hanok.compute.metrics import Floats, best_constant, chosen_metric, evaluate
from hanok.compute.runtimes import Package
from hanok.compute.states import TableState
from hanok.core.clock import Clock, from_micros, micros, wall_seconds
from hanok.core.declare import AutoML, Model, as_dict, digest, view_columns
from hanok.core.errors import LeaseLost, NotTrainable, Suspended
from hanok.core.lineage import Edge, EdgeKind, Event, Node, NodeKind
from hanok.core.records import from_body, to_body
from hanok.core.registry import ModelVersion
from hanok.core.tracking import Metric
from hanok.core.training import (
    Fit,
    Gated,
    Line,
    MadeSet,
    Metrics,
    Plan,
    Registration,
    Searched,
    Trained,
    TrainingFacts,
    TrainingRequest,
    facts_of,
)
from hanok.core.wording import give
from hanok.parts.training import gate, proofs
from hanok.parts.training.champions import Answers, Ground, answers
from hanok.parts.training.durable import Steps
from hanok.parts.training.environment import environment
from hanok.parts.training.needs import Executor, Fitter, ModelRegistry, Outcome, PackageStore, Runs, TrainingSets
from hanok.parts.training.splitting import by_time, has_unseen, judged_part, labelled, split, training_rows, weeks
from hanok.parts.training.splitting import frame_of as frame_of
from hanok.parts.training.splitting import key_split as key_split
from hanok.parts.training.suspicion import stop_if_certain, suspicions
from hanok.stores.ports import Blobs, Metadata, Repositories


@dataclass(frozen=True, slots=True)
class Tools:
    """What the pipeline works with."""

    metadata: Metadata
    blobs: Blobs
    clock: Clock
    sets: TrainingSets
    executor: Executor
    packages: PackageStore
    runs: Runs
    registry: ModelRegistry


@dataclass(frozen=True, slots=True)
class Job:
    """One training: the declaration, what was asked for, and where its run is recorded."""

    model: Model
    asked: TrainingRequest
    experiment_id: str
    steps: Steps
    began: float = field(default_factory=wall_seconds)

    @property
    def run_id(self) -> str:
        return run_of(self.steps.workflow.made_id)


def run_of(made_id: Callable[[str], str]) -> str:
    """The id of the run of a training, known before the run exists."""
    return made_id("run")


def run(job: Job, tools: Tools) -> Trained:
    """Training set -> search -> gate -> final fit -> registered version.

    What passed is fitted once more on all rows, the holdout included. What was refused is kept as it was judged.
    """
    steps = job.steps
    made = steps.record("training_set", MadeSet, lambda: _training_set(job, tools))
    stop_if_certain(job.model, made.leaks)
    with tools.executor.fitting(job.model.name, steps.check) as fitter:
        searched = steps.record("search", Searched, lambda: _search(job, tools, made, fitter))
        gated = steps.record("gate", Gated, lambda: _gate(job, tools, made, searched))
        fitted = steps.record("final_fit", Fit, lambda: _final_fit(job, tools, made, searched, gated, fitter))
    version = steps.record("register", Registration, lambda: _register(job, tools, made, searched, gated, fitted))
    return Trained(version.version, version.node, gated.verdict, searched.run_id, made.node)


def _version(tools: Tools, model: str, number: int) -> ModelVersion | None:
    return next((v for v in tools.registry.versions(model) if v.version == number), None) if number else None


def _seen_until(job: Job, tools: Tools) -> datetime | None:
    """Until when the champion's training rows reach."""
    champion = _version(tools, job.model.name, job.asked.champion)
    return facts_of(champion).trained_until if champion is not None else None


def _training_set(job: Job, tools: Tools) -> MadeSet:
    model = job.model
    made = tools.sets.training_set(model, end=job.asked.end, start=job.asked.start)
    frame = frame_of(model, made.rows)  # says now, not later, what cannot be trained on
    sink = io.BytesIO()
    pq.write_table(made.rows, sink, compression="zstd")
    sink.seek(0)
    address, size = tools.blobs.put(sink)
    node = tools.sets.record_training_set(model, made, address, node_id=job.steps.workflow.made_id("training set"))
    return MadeSet(
        node=node,
        digest=address,
        size_bytes=size,
        rows=made.rows.num_rows,
        snapshots=dict(made.snapshots),
        newest=from_micros(int(frame.at.max())),
        end=made.end,
        start=made.start,
        as_of=made.as_of,
        leaks=suspicions(model, made.rows, frame, made.leaks),
        gaps=tuple(gap.as_dict() for gap in _gaps(model, made.rows)),
    )


def _gaps(model: Model, rows: pa.Table) -> list[Gap]:
    """The feature views that give nothing for some of the rows."""
    text = [c for c in model.spine_columns if pa.types.is_string(rows.column(c).type)]
    return gaps(rows, {v.name: view_columns(v) for v in model.views}, text)


def _search(job: Job, tools: Tools, made: MadeSet, fitter: Fitter) -> Searched:
    model = job.model
    rows = training_rows(tools.blobs, made.digest)
    frame = frame_of(model, rows)
    train, test = (frame.take(part) for part in split(model, frame, rows, seen_until=_seen_until(job, tools)))
    run = tools.runs.create(
        job.experiment_id,
        name=f"{model.name} {tools.clock.now():%Y-%m-%d %H:%M}",
        tags={"hanok.model": model.name, "hanok.reason": job.asked.reason, "hanok.actor": job.asked.actor},
        read=[made.node],
        run_id=job.run_id,
    )
    try:
        found = _trained(job, train, tools, fitter)
        metrics = evaluate(model.task, test.y, found.package.load().score(test.X))
    except (LeaseLost, Suspended):  # who took it over, cancelled it or goes on with it has the run
        raise
    except Exception:
        tools.runs.finish(run.id, "FAILED")
        raise
    except BaseException:  # Ctrl-C: the run ends too
        tools.runs.finish(run.id, "KILLED")
        raise
    address = tools.packages.save(found.package)
    tools.runs.log(run.id, metrics=_logged(tools, metrics, found), params=_params(job, made, train, test, found))
    tools.runs.finish(run.id)
    return Searched(
        run_id=run.id,
        package=address,
        plan=found.plan,
        metric=found.metric,
        leaderboard=found.leaderboard,
        metrics=_finite(metrics),
        newest=from_micros(int(train.at.max())),
        holdout=_finite(evaluate(model.task, test.y, best_constant(model.task, test.y, len(test.signature.classes)))),
    )


@dataclass(frozen=True, slots=True)
class _Found:
    """What the search, or the user's own code, gave."""

    package: Package
    plan: Plan | None
    metric: str
    name: str
    leaderboard: tuple[Line, ...] = ()


def _logged(tools: Tools, metrics: Mapping[str, float], found: _Found) -> list[Metric]:
    now = micros(tools.clock.now()) // 1000
    logged = [Metric(f"holdout_{k}", float(v), now, 0) for k, v in metrics.items() if math.isfinite(v)]
    for place, line in enumerate(found.leaderboard):
        logged += [
            Metric(f"candidate_{k}", float(v), now, place)
            for k, v in line.metrics.items()
            if v is not None and math.isfinite(v)
        ]
    return logged


def _params(job: Job, made: MadeSet, train: Frame, test: Frame, found: _Found) -> dict[str, str]:
    return {
        "train": found.name,
        "rows": str(train.rows),
        "holdout_rows": str(test.rows),
        "features": str(len(train.features)),
        "training_until": made.end.isoformat(),
        **({k: str(v) for k, v in found.plan.recipe.shown.items()} if found.plan else {}),
    }


def _trained(job: Job, frame: Frame, tools: Tools, fitter: Fitter) -> _Found:
    model = job.model
    if isinstance(model.train, AutoML):
        plan = _plan_of(job, tools)
        if not by_time(model, frame):
            frame = replace(frame, at=np.zeros_like(frame.at))  # validation goes at random too
        found: Outcome = fitter.run_plan(frame, plan) if plan else fitter.search(frame, _left(model.train, job.began))
        name = f"automl:{found.plan.recipe.kind}"
        return _Found(found.package, found.plan, found.metric, name, tuple(found.lines))
    package = fitter.own(frame, model.train)
    return _Found(package, None, chosen_metric(model.task, model.gate.metric), model.train.name)


def _left(settings: AutoML, began: float) -> AutoML:
    """With what is left of the budget: it is one for the whole training."""
    if settings.budget is None:
        return settings
    left = settings.budget.total_seconds() - (wall_seconds() - began)
    made = copy(settings)
    give(made, "budget", timedelta(seconds=max(0.1, left)))
    return made


def _plan_of(job: Job, tools: Tools) -> Plan | None:
    """The recipe to repeat, if one is asked for."""
    version = _version(tools, job.model.name, job.asked.recipe_of)
    return facts_of(version).plan if version is not None else None


def _gate(job: Job, tools: Tools, made: MadeSet, searched: Searched) -> Gated:
    """Judge on the holdout: against the champion and the constant baseline, or the baseline alone."""
    model = job.model
    rows = training_rows(tools.blobs, made.digest)
    frame = frame_of(model, rows)
    seen = _seen_until(job, tools)
    parts = split(model, frame, rows, seen_until=seen)
    train, test = (frame.take(part) for part in parts)
    held_out = labelled(rows).take(pa.array(parts[1]))
    metric = chosen_metric(model.task, model.gate.metric if model.gate.metric != "auto" else searched.metric)
    challenger = tools.packages.load(searched.package).score_table(held_out)
    constant = _constant(model, train, test)
    version = _version(tools, model.name, job.asked.champion if model.gate.beats == "champion" else 0)
    champion, in_time = Answers(None), by_time(model, frame)
    if version is not None:
        unseen = in_time and (seen is None or has_unseen(frame, seen))
        package = version.package if unseen else facts_of(version).challenger_package or version.package
        ground = Ground(model, made, rows, parts[1], frame.signature.classes)
        champion = answers(version, package, ground, metadata=tools.metadata, sets=tools.sets, packages=tools.packages)
    if version is not None and champion.scores is not None:
        sides = gate.Sides(test.y, challenger, champion.scores, constant)
        against = f"champion (version {version.version})"
        verdict = gate.judge(model.gate, model.task, metric, sides, held_out, against, in_time=in_time)
    else:
        sides = gate.Sides(test.y, challenger, constant, None)
        verdict = gate.judge(model.gate, model.task, metric, sides, held_out, gate.BASELINE, in_time=in_time)
        verdict = gate.without_champion(verdict, champion.why)
    verdict = gate.without_leaks(verdict, made.leaks)
    node_id, now = job.steps.workflow.made_id("gate"), tools.clock.now()
    title = f"gate of {model.name}: {'passed' if verdict.passed else 'refused'}"
    node = Node(node_id, NodeKind.DECISION, title, now, to_body(verdict))
    told = {"model": model.name, "passed": verdict.passed, "why": verdict.why}

    def work(repositories: Repositories) -> None:
        repositories.lineage.add([node], [Edge(node_id, EdgeKind.EVALUATED_ON, made.node)])
        repositories.outbox.append(Event("gate_decided", node_id, now, told))

    tools.metadata.write(work)
    return Gated(verdict, node_id)


def _constant(model: Model, train: Frame, test: Frame) -> Floats:
    if model.task == "multiclass":
        shares = np.bincount(train.y.astype(int), minlength=len(train.signature.classes)) / train.rows
        return np.tile(shares, (test.rows, 1))
    return np.full(test.rows, float(train.y.mean()))


def _final_fit(job: Job, tools: Tools, made: MadeSet, searched: Searched, gated: Gated, fitter: Fitter) -> Fit:
    """The same recipe on all rows, holdout included, if the gate let it pass; else what the gate saw."""
    model, whole = job.model, gated.verdict.passed
    rows = training_rows(tools.blobs, made.digest)
    frame = frame_of(model, rows)
    newest = made.newest if whole else searched.newest
    if whole:
        address = tools.packages.save(fit(model, frame, searched.plan, fitter))
    else:
        address, frame = searched.package, judged_part(model, frame, rows, newest)
    blocks, days = weeks(frame.at), Days.of(frame.at)
    references = [reference(n, frame.table.column(n), blocks, days).as_dict() for n in frame.features]
    content = orjson.dumps(references, option=orjson.OPT_SERIALIZE_NUMPY)
    features = frame.table.select(list(frame.features))
    state = TableState.of(features)  # the other side of training-serving skew
    golden = proofs.golden_rows(tools.packages.load(address), features)
    return Fit(
        package=address,
        reference=tools.blobs.put(io.BytesIO(content))[0],
        statistics=tools.blobs.put(io.BytesIO(written(state)))[0],
        newest=newest,
        whole=whole,
        golden=tools.blobs.put(io.BytesIO(golden))[0] if golden else "",
    )


def fit(model: Model, frame: Frame, plan: Plan | None, fitter: Fitter) -> Package:
    """The model of a plan, or of the user's own code, on these rows."""
    if not isinstance(model.train, AutoML):
        return fitter.own(frame, model.train)
    if plan is None:
        raise NotTrainable(f"model {model.name!r} has no plan to repeat: was this version trained by code of its own?")
    return fitter.run_plan(frame, plan).package


def _register(job: Job, tools: Tools, made: MadeSet, searched: Searched, gated: Gated, fitted: Fit) -> Registration:
    model, workflow = job.model, job.steps.workflow
    for known in tools.registry.versions(model.name):
        if known.facts.get("workflow") == workflow.id:  # cut down after the commit, before the step was recorded
            return Registration(known.version, known.id)
    installed = environment()
    code = model.train.code_digest if not isinstance(model.train, AutoML) else digest(model.train)
    facts = TrainingFacts(
        workflow=workflow.id,
        task=model.task,
        metric=searched.metric,
        metrics=searched.metrics,
        holdout=searched.holdout,
        verdict=gated.verdict,
        plan=searched.plan,
        training_set=made.node,
        training_digest=made.digest,
        training_rows=made.rows,
        label_rows=made.snapshots.get(model.label.table, 0),
        trained_until=fitted.newest,
        holdout_included=fitted.whole,
        gaps=made.gaps,
        leaks=made.leaks,
        trained_at=tools.clock.now(),
        reference=fitted.reference,
        statistics=fitted.statistics,
        golden=fitted.golden,
        challenger_package=searched.package,
        environment=installed.digest,
        code=code,
        declaration=digest(model),
        feature_views={v.name: digest(v.stored) for v in model.views},
        reason=job.asked.reason,
    )
    job.steps.check()
    version = tools.registry.register(
        model.name,
        run_id=searched.run_id,
        package=fitted.package,
        facts=to_body(facts),
        trained_on=[made.node],
        actor=job.asked.actor,
        node_id=workflow.made_id("version"),
    )
    now = tools.clock.now()
    name = "automl" if isinstance(model.train, AutoML) else model.train.name
    nodes = [
        Node(installed.digest[:32], NodeKind.ENVIRONMENT, "environment", now, to_body(installed)),
        Node(code[:32], NodeKind.CODE, name, now, {"declaration": as_dict(model.train)}),
    ]
    edges = [Edge(version.id, EdgeKind.READ, n.id) for n in nodes]
    edges.append(Edge(version.id, EdgeKind.EVALUATED_ON, gated.node))
    tools.metadata.write(lambda r: r.lineage.add(nodes, edges))
    return Registration(version.version, version.id)


def _finite(metrics: Mapping[str, float]) -> Metrics:
    return {k: float(v) for k, v in metrics.items() if math.isfinite(v)}


def trained_again(body: Mapping[str, object]) -> Trained:
    """The outcome of a training that had come to its end before."""
    return from_body(Trained, body, what="training")
