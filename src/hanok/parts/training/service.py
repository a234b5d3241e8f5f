"""The verbs of continuous training: train, promote, roll back, and what happens at each tick of the clock."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from hanok.core.declare import Model, as_dict, digest
from hanok.core.errors import (
    Conflict,
    DeclarationError,
    HanokError,
    LeaseLost,
    ModelNotFound,
    Suspended,
    TrainingDied,
    TrainingTimedOut,
    no_model,
    undeclared,
    words,
)
from hanok.core.ids import new_id
from hanok.core.json import JsonObject
from hanok.core.lineage import Event, Node, NodeKind
from hanok.core.metric_names import DEFAULT_METRIC
from hanok.core.records import from_body, to_body
from hanok.core.registry import ModelVersion
from hanok.core.rules import parse_rules
from hanok.core.training import (
    Begun,
    RollbackProof,
    RolloutState,
    TickOutcome,
    Trained,
    TrainingFacts,
    TrainingRequest,
    Trigger,
    facts_of,
    result_of,
)
from hanok.core.workflows import CANCELLED, DONE, FAILED, Workflow
from hanok.parts.training import pipeline
from hanok.parts.training.decline import WATCH, WATCH_ROWS_MIN, WIDER, Decline, Level, told_span, watch
from hanok.parts.training.durable import Durable, Steps
from hanok.parts.training.needs import Alarms, Answered, Deployer, Performance
from hanok.parts.training.resting import Resting
from hanok.parts.training.rollouts import Reach, Rollouts
from hanok.parts.training.triggers import Situation, due
from hanok.stores.ports import Repositories

log = logging.getLogger("hanok.training")
TRAIN = "train"
SERVER, COMMAND = "server", "command"  # who began a training: a server goes on with it after a restart
DEATHS_MAX = 3  # of processes within one training: what kills a process is not begun for ever
DECLINE = 0.1  # of the loss at the gate: what a person hears of, where no trigger says otherwise


class Training:
    """Keeps every declared model trained, judged and rolled out."""

    def __init__(
        self,
        *,
        tools: pipeline.Tools,
        durable: Durable,
        deployer: Deployer,
        performance: Performance,
        answered: Answered,
        alarms: Alarms,
        experiment_of: Callable[[str], str],
        label_rows: Callable[[str], int],
    ) -> None:
        self._tools, self._durable, self._alarms = tools, durable, alarms
        self._metadata, self._clock = tools.metadata, tools.clock
        self._deployer, self._performance = deployer, performance
        self._experiment_of, self._label_rows = experiment_of, label_rows
        self._models: dict[str, Model] = {}
        self._withheld, self._fit = "", frozenset[str]()
        self._began = COMMAND
        reach = Reach(
            metadata=tools.metadata,
            blobs=tools.blobs,
            clock=tools.clock,
            registry=tools.registry,
            packages=tools.packages,
            deployer=deployer,
            performance=performance,
            answered=answered,
            durable=durable,
        )
        self._rollouts = Rollouts(reach)
        self._resting = Resting(
            metadata=tools.metadata,
            durable=durable,
            alarms=alarms,
            clock=tools.clock,
            label_rows=lambda table: self._label_rows(table),
        )

    # -- declarations ----------------------------------------------------------------------------------------

    def apply(self, model: Model) -> int:
        """Record a model's declaration; returns its version. Raises DeclarationError for rules that make no sense."""
        self.check(model)
        now, body, key = self._clock.now(), as_dict(model), digest(model)

        def work(repositories: Repositories) -> int:
            version = repositories.declarations.put("model", model.name, key, body, now)
            node = Node(key[:32], NodeKind.MODEL, f"{model.name} (declaration {version})", now, {"declaration": body})
            repositories.lineage.add([node])
            return version

        version = self._metadata.write(work)
        self._models[model.name] = model
        return version

    @staticmethod
    def check(model: Model) -> None:
        """Raises DeclarationError for rules that make no sense."""
        parse_rules(model.rollout.rollback_if, model.task)

    def restore(self, models: Iterable[Model]) -> None:
        """Declare models that were applied before; nothing is recorded."""
        self._models = {model.name: model for model in models}

    def withhold(self, why: str, *, fit: Iterable[str] = ()) -> None:
        """Begin no trainings, but of the models in `fit`: the project that is to be trained is refused. "" ends it."""
        self._withheld, self._fit = why, frozenset(fit)

    def withheld(self, name: str) -> str:
        """Why a model is not trained now; "" when it is."""
        return "" if name in self._fit else self._withheld

    def models(self) -> list[Model]:
        return list(self._models.values())

    def model(self, name: str) -> Model:
        """Raises ModelNotFound."""
        if name not in self._models:
            seen = self._metadata.read(lambda r: r.declarations.names("model"))
            known = [n for n in seen if n in self._models]
            deployment = self._deployer.deployment(name)
            raise no_model(name, known) if deployment is None else undeclared(name, deployment.primary, known)
        return self._models[name]

    def version(self, name: str, version: int) -> ModelVersion:
        """Raises ModelNotFound."""
        return self._rollouts.version(name, version)

    def facts(self, name: str, version: int) -> TrainingFacts:
        """What a version says of its training. Raises ModelNotFound."""
        return facts_of(self.version(name, version))

    # -- training --------------------------------------------------------------------------------------------

    def train(
        self,
        name: str,
        *,
        reason: str = "on request",
        actor: str = "local",
        key: str = "",
        start: datetime | None = None,
        end: datetime | None = None,
        promote: bool = True,
        recipe_of: int = 0,
        resume: bool = False,
    ) -> Trained:
        """Train, judge and register a version; one that passes its gate starts its rollout (`promote`). With `resume`
        on the rows of the last training that was cut down, whose finished candidates are not fitted again.

        With `recipe_of` the plan of that version is trained anew instead of searching for another one. The same `key`
        again continues or returns the same training. Raises DeclarationError while the project is refused.
        """
        if why := self.withheld(name):
            raise DeclarationError(f"model {name!r} is not trained: {why}")
        model = self.model(name)
        if resume:
            start, end = self._cut_down(name)
        deployment = self._deployer.deployment(name)
        asked = TrainingRequest(
            model=name,
            reason=reason,
            actor=actor,
            champion=deployment.primary if deployment else 0,
            start=start,
            end=end,
            promote=promote,
            recipe_of=recipe_of,
            at=self._clock.now(),
            began=self._began,
        )
        workflow = self._durable.start(TRAIN, key or f"{name} {new_id(self._clock.now())}", to_body(asked))
        return self._run(model, workflow)

    def _cut_down(self, name: str) -> tuple[datetime | None, datetime | None]:
        """The window of the last training of a model, if it was interrupted. Raises Conflict."""
        last = next((w for w in self._durable.list(TRAIN) if w.arguments.get("model") == name), None)
        if last is None or last.state != CANCELLED:
            how = "none yet" if last is None else f"its last one is {last.state}"
            raise Conflict(f"no training of {name!r} was cut down ({how}): hanok train {name} begins one")
        asked = from_body(TrainingRequest, last.arguments, what="training")
        return asked.start, asked.end or asked.at

    def resume(self, *, deaths_max: int | None = DEATHS_MAX) -> int:
        """Finish what a dead server left: rollbacks, then trainings; returns how many trainings came to their end. One
        that fails is recorded as failed and does not hold up the others; one in which `deaths_max` processes died is
        closed (None: a person starts it again each time, and may). From now on what this process begins is gone on
        with after a restart."""
        self._began = SERVER
        self._rollouts.finish_left()
        self.close_interrupted()
        done = 0
        for workflow in self._durable.abandoned(TRAIN):
            if workflow.arguments["model"] not in self._models or self.withheld(str(workflow.arguments["model"])):
                continue
            try:
                if deaths_max is not None and (deaths := self._durable.deaths(workflow)) >= deaths_max:
                    self._end(workflow, FAILED, f"{deaths} servers died in the middle of it")
                    model = self.model(str(workflow.arguments["model"]))
                    self._resting.died(model, workflow.id, f"{deaths} servers died in the middle of a training")
                    continue
                self._run(self.model(str(workflow.arguments["model"])), workflow)
                done += 1
            except Suspended as error:
                log.info("%s", error.message)
                break
            except Exception as error:  # noqa: BLE001 (a job ends here; its workflow says why)
                log.warning("training %s, left by another process, failed: %s", workflow.key, error)
        return done

    def close_interrupted(self) -> int:
        """End trainings that a command began and did not finish: nobody asked to go on with them. Their runs end as
        KILLED. Returns how many."""
        left = [w for w in self._durable.abandoned(TRAIN) if w.arguments.get("began", SERVER) == COMMAND]
        for workflow in left:
            self._end(workflow, CANCELLED, "interrupted: the command that began it ended before it did")
        return len(left)

    def cancel(self, workflow: Workflow, actor: str) -> None:
        """End a job, whoever works at it. A training's run ends as KILLED. Raises Conflict when it has ended."""
        if workflow.kind == TRAIN:
            self._end(workflow, CANCELLED, f"cancelled by {actor}")
        else:
            self._durable.close(workflow.id, CANCELLED, f"cancelled by {actor}")

    def _end(self, workflow: Workflow, state: str, reason: str) -> None:
        try:
            self._durable.close(workflow.id, state, reason)
            self._tools.runs.finish(pipeline.run_of(workflow.made_id), "KILLED")
        except HanokError as error:  # it ended meanwhile, or had no run yet
            log.info("training %s: %s", workflow.key, error.message)
        log.warning("training %s is closed: %s", workflow.key, reason)

    def _run(self, model: Model, workflow: Workflow) -> Trained:
        asked = from_body(TrainingRequest, workflow.arguments, what="training")
        if workflow.state == DONE:
            return pipeline.trained_again(workflow.result)
        outcome: list[Trained] = []

        def work(steps: Steps) -> JsonObject:
            job = pipeline.Job(model, asked, self._experiment_of(model.name), steps)
            result = pipeline.run(job, self._tools)
            if asked.promote and result.verdict.passed:
                try:
                    steps("rollout", lambda: to_body(self._begin(model, result, asked.actor)))
                except LeaseLost:
                    raise
                except Conflict as error:  # registered all the same; another version is being rolled out
                    result = replace(result, not_rolled_out=error.message)
            outcome.append(result)
            return result_of(result)

        try:
            self._durable.run(workflow, work)
        except (TrainingDied, TrainingTimedOut) as error:
            self._resting.died(model, workflow.id, error.message)
            raise
        self._resting.came_to_its_end(model.name)
        return outcome[0]

    def _begin(self, model: Model, result: Trained, actor: str) -> Begun:
        return self._rollouts.begin(model, result.version, actor, result.verdict.why)

    # -- rollout ---------------------------------------------------------------------------------------------

    def promote(self, name: str, version: int, *, actor: str, reason: str, force: bool = False) -> Begun:
        """Start the rollout of a version. One that its gate refused, or that was rolled back from, needs `force`, which
        is recorded, and also ends a rollout that is under way."""
        model = self.model(name)
        verdict = self.facts(name, version).verdict
        against = f"was refused by its gate ({verdict.why})" if verdict is not None and not verdict.passed else ""
        if not against and version in self._rollouts.undone(name):
            against = "was rolled back from"
        if against and not force:
            raise Conflict(
                f"version {version} of {name!r} {against}; "
                f"to promote it all the same: hanok promote {name} --version {version} --force --reason '...'"
            )
        said = reason + (" (forced past its gate)" if force else "")
        return self._rollouts.begin(model, version, actor, said, force=force)

    def deploy(self, name: str, version: int = 0, *, actor: str, reason: str) -> Begun:
        """Let a version answer everything at once, without gate and rollout; ends a rollout under way. By default the
        newest that was never rolled back from. Raises ModelNotFound, Conflict."""
        return self._rollouts.answer_alone(name, version or self.newest(name), actor, reason)

    def newest(self, name: str) -> int:
        """The newest version that was never rolled back from. Raises ModelNotFound, Conflict."""
        versions = [v.version for v in self._tools.registry.versions(name)]
        if not versions:
            raise ModelNotFound(f"model {name!r} has no version yet: hanok train {name}")
        undone = self._rollouts.undone(name)
        good = [v for v in versions if v not in undone]
        if not good:
            raise Conflict(f"each version of {name!r} was rolled back from; name the one you want with --version")
        return good[0]

    def rollback(self, name: str, *, to: int | None = None, actor: str, reason: str) -> RollbackProof:
        """Let the version that served before (or `to`) answer again, at once; returns the proof record.

        The proof compares the version's answers to its own golden rows, logged when it was live, with what it answers
        now: they must be bit-equal.
        """
        return self._rollouts.roll_back(name, to=to, actor=actor, reason=reason)

    def rollouts(self) -> dict[str, RolloutState]:
        """Rollouts under way, by model."""
        return self._rollouts.under_way()

    def back_to(self, name: str) -> int | None:
        """The version that a rollback would let answer; None when there is none to go back to."""
        return self._rollouts.back_to(name)

    # -- the tick --------------------------------------------------------------------------------------------

    def tick(self) -> list[TickOutcome]:
        """Move rollouts on, then retrain what is due, model by model; returns what was done."""
        return [done for model in self.models() for done in (*self._watched(model), *self._retrained(model))]

    def guard(self) -> list[TickOutcome]:
        """Look at the rollouts under way, and that the alias follows elsewhere: cheap, and never behind a training."""
        under_way = self.rollouts()
        for name in {model.name for model in self.models()} - set(under_way):
            self._rollouts.follow(name)
        return [done for model in self.models() if model.name in under_way for done in self._watched(model)]

    def retrain(self) -> list[TickOutcome]:
        """Retrain what is due."""
        return [done for model in self.models() for done in self._retrained(model)]

    def _watched(self, model: Model) -> list[TickOutcome]:
        return self._alone(model, "rollout-failed", lambda: self._rollouts.advance(model))

    def _retrained(self, model: Model) -> list[TickOutcome]:
        def work() -> TickOutcome | None:
            trigger = None if self.withheld(model.name) else self.trigger(model)
            return None if trigger is None else self._retrain(model, trigger)

        return self._alone(model, "trigger-failed", work)

    def _alone(self, model: Model, fingerprint: str, work: Callable[[], TickOutcome | None]) -> list[TickOutcome]:
        """What fails for one model is said, and holds up no other."""
        try:
            done = work()
        except Exception as error:  # a job ends here: it is tried again at the next tick
            log.exception("%s of %s", fingerprint, model.name)
            what = "its rollout cannot be looked at" if fingerprint == "rollout-failed" else "it cannot be retrained"
            said = f"{model.name}: {what}: {words(error)}"
            self._alarms.raise_(model.name, "training", fingerprint, said, severity="critical")
            return [TickOutcome(model.name, "failed", self._clock.now(), failed=words(error))]
        self._alarms.resolve(model.name, fingerprint, "it works again")
        return [] if done is None else [done]

    def trigger(self, model: Model) -> Trigger | None:
        """The trigger that is due now, if any. Nothing is retrained before a first training, or during a rollout."""
        if model.retrain is None or model.name in self.rollouts():
            return None
        versions = self._tools.registry.versions(model.name)
        if not versions:
            return None
        facts = {v.version: facts_of(v) for v in versions}
        trained = [f.trained_at for f in facts.values() if f.trained_at is not None]
        attempts = [w for w in self._durable.list(TRAIN, limit=200) if w.arguments["model"] == model.name]
        if not trained or self._resting.rests(model, attempts):
            return None
        deployment = self._deployer.deployment(model.name)
        live = facts.get(deployment.primary) if deployment else None
        reference, found = None, Decline(None, 0)
        if model.retrain.drop is not None:
            metric, allowed = model.retrain.drop
            reference = _level(live or facts[versions[0].version], metric)
            found = self._watched_metric(model, metric, reference, allowed)
        situation = Situation(
            self._clock.now(),
            max(trained),
            max([*trained, *(w.created for w in attempts)]),
            self._label_rows(model.label.table),
            facts[versions[0].version].label_rows,
            found.recent,
            found.rows,
            reference,
            found.span,
            found.certain,
        )
        return due(model.retrain, situation)

    def _watched_metric(self, model: Model, metric: str, reference: Level | None, allowed: float) -> Decline:
        """A metric on what the version that answers first has answered lately."""
        now = self._clock.now()
        return watch(model.task, metric, reference, allowed, lambda start: self._outcomes(model, start, now), now)

    def _outcomes(self, model: Model, start: datetime | None, end: datetime) -> pa.Table:
        """The labelled answers of the version that answers first, with the labels that are known now."""
        deployment = self._deployer.deployment(model.name)
        rows = self._performance.outcomes(model.name, start=start, end=end, known_by=self._clock.now())
        if not rows.num_rows:
            return rows
        rows = rows.filter(pc.not_equal(rows.column("arm"), "shadow"))
        return rows.filter(pc.equal(rows.column("version"), deployment.primary)) if deployment else rows

    def _labelled_until(self, model: Model) -> datetime:
        """Now, or, where labels are so late that none of the last weeks has come, the newest answer that has one."""
        now = self._clock.now()
        if self._outcomes(model, now - WIDER[-1], now).num_rows:
            return now
        rows = self._outcomes(model, None, now)
        newest = pc.max(rows.column("at")).as_py() if rows.num_rows else None
        return now if newest is None else newest + timedelta(microseconds=1)

    def declined(self, model: Model) -> str:
        """What says that the version which answers has become worse than at its gate, with too little traffic for daily
        estimates to show it; "" while nothing does."""
        deployment = self._deployer.deployment(model.name)
        if deployment is None:
            return ""
        version = self.version(model.name, deployment.primary)
        metric = DEFAULT_METRIC[model.task]
        reference = _level(facts_of(version), metric)
        if reference is None:
            return ""
        until = self._labelled_until(model)
        allowed = DECLINE * abs(reference.value)
        found = watch(model.task, metric, reference, allowed, lambda s: self._outcomes(model, s, until), until)
        if not found.certain or found.recent is None or (found.span == WATCH and found.rows >= WATCH_ROWS_MIN):
            return ""
        return (
            f"{model.name} has become worse: {metric} is {found.recent.value:.3f} on the {found.rows} labelled answers "
            f"of {told_span(found.span, until, self._clock.now())}, at its gate it was {reference.value:.3f}"
        )

    def _retrain(self, model: Model, trigger: Trigger) -> TickOutcome:
        now = self._clock.now()
        facts = {"kind": trigger.kind, "reason": trigger.reason, **trigger.facts}
        node = Node(new_id(now), NodeKind.DECISION, f"retrain {model.name}: {trigger.kind}", now, facts)
        fired = Event(
            "trigger_fired", node.id, now, {"model": model.name, "kind": trigger.kind, "reason": trigger.reason}
        )

        def work(repositories: Repositories) -> None:
            repositories.lineage.add([node])
            repositories.outbox.append(fired)

        self._metadata.write(work)
        told = TickOutcome(model.name, "retrain", now, trigger=trigger.kind, reason=trigger.reason)
        try:
            result = self.train(
                model.name,
                reason=f"{trigger.kind}: {trigger.reason}",
                actor="hanok",
                key=f"{model.name} {trigger.kind} {now.isoformat()}",
                recipe_of=self._champion_with_plan(model.name),
            )
        except HanokError as error:
            return replace(told, failed=error.message)
        return replace(told, version=result.version, passed=result.verdict.passed, why=result.verdict.why)

    def _champion_with_plan(self, name: str) -> int:
        """The version whose recipe a triggered retraining repeats: the champion's; 0 when it has none."""
        deployment = self._deployer.deployment(name)
        versions = {v.version: v for v in self._tools.registry.versions(name)}
        live = versions.get(deployment.primary) if deployment else None
        return live.version if live is not None and facts_of(live).plan is not None else 0


def _level(facts: TrainingFacts, metric: str) -> Level | None:
    value = facts.metrics.get(metric)
    return None if value is None else Level(value, facts.holdout.get(metric))
