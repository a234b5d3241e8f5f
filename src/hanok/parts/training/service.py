"""The verbs of continuous training: train, promote, roll back, and what happens at each tick of the clock."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

from hanok.core.clock import Clock
from hanok.core.declare import Model, as_dict, digest
from hanok.core.errors import Conflict, ConversionFailed, ModelNotFound, NotTrainable, TrainingFailed
from hanok.core.ids import new_id
from hanok.core.lineage import Event, Node, NodeKind
from hanok.core.registry import CHAMPION, ModelVersion
from hanok.core.serving import Arm
from hanok.parts.training import pipeline, rollout
from hanok.parts.training.durable import Durable
from hanok.parts.training.needs import Deployer, Performance
from hanok.parts.training.triggers import WATCH, Situation, Trigger, due
from hanok.stores.ports import Metadata, Repositories

log = logging.getLogger("hanok.training")
TRAIN = "train"


class Training:
    """Keeps every declared model trained, judged and rolled out."""

    def __init__(
        self,
        *,
        tools: pipeline.Tools,
        durable: Durable,
        deployer: Deployer,
        performance: Performance,
        experiment_of: Any,
        label_rows: Any,
    ) -> None:
        self._tools, self._durable = tools, durable
        self._metadata: Metadata = tools.metadata
        self._clock: Clock = tools.clock
        self._deployer, self._performance = deployer, performance
        self._experiment_of, self._label_rows = experiment_of, label_rows
        self._models: dict[str, Model] = {}

    # -- declarations ----------------------------------------------------------------------------------------

    def apply(self, model: Model) -> int:
        """Record a model's declaration; returns its version. Raises DeclarationError for rules that make no sense."""
        rollout.rules(model.rollout.rollback_if, model.task)
        now, body, key = self._clock.now(), as_dict(model), digest(model)

        def work(repositories: Repositories) -> int:
            version = repositories.declarations.put("model", model.name, key, body, now)
            node = Node(key[:32], NodeKind.MODEL, f"{model.name} (declaration {version})", now, {"declaration": body})
            repositories.lineage.add([node])
            return version

        version = self._metadata.write(work)
        self._models[model.name] = model
        return version

    def models(self) -> list[Model]:
        return list(self._models.values())

    def model(self, name: str) -> Model:
        """Raises ModelNotFound."""
        if name not in self._models:
            known = ", ".join(sorted(self._models)) or "none; run 'hanok apply'"
            raise ModelNotFound(f"no model {name!r} is declared (declared: {known})")
        return self._models[name]

    def version(self, name: str, version: int) -> ModelVersion:
        """Raises ModelNotFound."""
        found = [v for v in self._tools.registry.versions(name) if v.version == version]
        if not found:
            raise ModelNotFound(f"model {name!r} has no version {version}; see: hanok model show {name}")
        return found[0]

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
    ) -> Mapping[str, Any]:
        """Train, judge and register a version; one that passes its gate starts its rollout (`promote`).

        With `recipe_of` the plan of that version is trained anew instead of searching for another one. The same `key`
        again continues or returns the same training.
        """
        model = self.model(name)
        deployment = self._deployer.deployment(name)
        arguments = {
            "model": name,
            "reason": reason,
            "actor": actor,
            "champion": deployment.primary if deployment else 0,
            "start": start and start.isoformat(),
            "end": end and end.isoformat(),
            "promote": promote,
            "recipe_of": recipe_of,
            "at": self._clock.now().isoformat(),
        }
        workflow = self._durable.start(TRAIN, key or f"{name} {new_id(self._clock.now())}", arguments)
        return self._run(model, workflow)

    def resume(self) -> int:
        """Continue trainings that a dead process left; returns how many came to their end. One that fails is recorded
        as failed and does not hold up the others."""
        left = [w for w in self._durable.unfinished(TRAIN) if w.arguments["model"] in self._models]
        done = 0
        for workflow in reversed(left):
            try:
                self._run(self.model(workflow.arguments["model"]), workflow)
                done += 1
            except Exception as error:  # noqa: BLE001 (a job ends here; its workflow says why)
                log.warning("training %s, left by another process, failed: %s", workflow.key, error)
        return done

    def _run(self, model: Model, workflow: Any) -> Mapping[str, Any]:
        arguments = workflow.arguments
        request = pipeline.Request(
            model,
            arguments["reason"],
            arguments["actor"],
            self._experiment_of(model.name),
            arguments["champion"],
            _instant(arguments["end"]),
            _instant(arguments["start"]),
            arguments.get("recipe_of", 0),
        )

        def work(steps: Any) -> Mapping[str, Any]:
            result = pipeline.run(steps, request, self._tools)
            if arguments["promote"] and result["verdict"]["passed"]:
                why = result["verdict"]["why"]
                try:
                    steps("rollout", lambda: self._begin(model, result["version"], arguments["actor"], why))
                except Conflict as error:  # registered all the same; another version is being rolled out
                    return result | {"not_rolled_out": error.message}
            return result

        return self._durable.run(workflow, work)

    # -- rollout ---------------------------------------------------------------------------------------------

    def promote(self, name: str, version: int, *, actor: str, reason: str, force: bool = False) -> Mapping[str, Any]:
        """Start the rollout of a version. One that its gate refused needs `force`, which is recorded, and also ends a
        rollout that is under way."""
        model = self.model(name)
        found = self.version(name, version)
        verdict = found.facts.get("verdict") or {}
        if verdict and not verdict.get("passed") and not force:
            raise Conflict(
                f"version {version} of {name!r} was refused by its gate ({verdict.get('why')}); "
                f"to promote it all the same: hanok promote {name} --version {version} --force --reason '...'"
            )
        said = reason + (" (forced past its gate)" if force else "")
        return self._begin(model, version, actor, said, replace_rollout=force)

    def _begin(
        self, model: Model, version: int, actor: str, reason: str, *, replace_rollout: bool = False
    ) -> dict[str, Any]:
        deployment = self._deployer.deployment(model.name)
        if deployment is not None and deployment.primary == version and len(deployment.arms) == 1:
            return {"deployed": version, "stage": "primary"}
        planned = rollout.stages(model.rollout)
        if deployment is None or not planned:
            return self._make_primary(model.name, version, actor, reason)
        under_way = self.rollouts().get(model.name)
        if under_way is not None and under_way["challenger"] != version:
            complete = planned[under_way["stage"]].share == 100  # it answers everything already
            under_way = None if complete or replace_rollout else under_way
        if under_way is not None and under_way["challenger"] != version:
            raise Conflict(
                f"version {under_way['challenger']} of {model.name!r} is being rolled out: wait for it, or end it with "
                f"'hanok rollback {model.name}'"
            )
        if under_way is not None:
            return {"deployed": version, "stage": _stage_name(planned[under_way["stage"]].share)}
        champion = deployment.primary
        self._deployer.deploy(
            model.name, rollout.arms(champion, version, planned[0]), actor=actor, reason=f"rollout begins: {reason}"
        )
        if planned[0].share == 100:
            self._tools.registry.move_alias(model.name, CHAMPION, version, actor=actor, reason=reason)
        now = self._clock.now()
        state = {
            "champion": champion,
            "challenger": version,
            "stage": 0,
            "since": now.isoformat(),
            "began": now.isoformat(),
            "actor": actor,
            "reason": reason,
        }
        self._metadata.write(lambda r: r.records.put("rollout", model.name, "current", state, now))
        return {"deployed": version, "stage": _stage_name(planned[0].share)}

    def _make_primary(self, name: str, version: int, actor: str, reason: str) -> dict[str, Any]:
        self._deployer.deploy(name, [Arm(version, "primary", 100)], actor=actor, reason=reason)
        self._tools.registry.move_alias(name, CHAMPION, version, actor=actor, reason=reason)
        now = self._clock.now()
        self._metadata.write(lambda r: r.records.put("rollout", name, "current", {}, now))
        return {"deployed": version, "stage": "primary"}

    def rollback(self, name: str, *, to: int | None = None, actor: str, reason: str) -> Mapping[str, Any]:
        """Let the version that served before (or `to`) answer again, at once; returns the proof record.

        The proof compares the version's answers to its own golden rows, logged when it was live, with what it answers
        now: they must be bit-equal.
        """
        deployment = self._deployer.deployment(name)
        if deployment is None:
            raise ModelNotFound(f"{name!r} is not deployed, so there is nothing to roll back")
        state = self._metadata.read(lambda r: r.records.get("rollout", name, "current"))
        if to is None:
            to = state["champion"] if state else self._deployer.last_primary_before(name)
        before = deployment.primary
        self._make_primary(name, to, actor, f"rollback: {reason}")
        proof = {
            "model": name,
            "from": state["challenger"] if state else before,
            "to": to,
            "at": self._clock.now().isoformat(),
            "actor": actor,
            "reason": reason,
            "golden": self._golden(name, to),
        }
        now = self._clock.now()
        node = Node(new_id(now), NodeKind.DECISION, f"rollback of {name} to version {to}", now, proof)

        def work(repositories: Repositories) -> None:
            repositories.lineage.add([node])
            repositories.records.put("rollback", name, node.id, proof, now)
            repositories.outbox.append(Event("rolled_back", node.id, now, proof))

        self._metadata.write(work)
        return proof | {"node": node.id}

    def _golden(self, name: str, version: int) -> dict[str, Any]:
        """Re-score rows that the version answered when it was live and compare bit by bit."""
        rows = self._tools.sets.logged_answers(name, version, limit=500)
        if not rows.num_rows:
            return {"rows": 0, "bit_equal": None}
        loaded = self._tools.packages.load(self.version(name, version).package)
        again = loaded.score_table(rows)
        if again.ndim == 2:
            again = again.max(axis=1)
        equal = int((rows.column("score").to_numpy() == again).sum())
        return {"rows": rows.num_rows, "equal": equal, "bit_equal": equal == rows.num_rows}

    def rollouts(self) -> dict[str, Mapping[str, Any]]:
        """Rollouts under way, by model."""
        found = self._metadata.read(lambda r: r.records.list("rollout"))
        return {b["_name"]: b for b in found if b.get("challenger")}

    # -- the tick --------------------------------------------------------------------------------------------

    def tick(self, *, predictions: Any) -> list[Mapping[str, Any]]:
        """Move rollouts on, then retrain what is due; returns what was done. `predictions(model, since)` gives logged
        answers for the guard."""
        done: list[Mapping[str, Any]] = []
        for model in self._models.values():
            moved = self._advance(model, predictions)
            if moved is not None:
                done.append(moved)
            trigger = self.trigger(model)
            if trigger is not None:
                done.append(self._retrain(model, trigger))
        return done

    def trigger(self, model: Model) -> Trigger | None:
        """The trigger that is due now, if any. Nothing is retrained before a first training, or during a rollout."""
        if model.retrain is None or model.name in self.rollouts():
            return None
        versions = self._tools.registry.versions(model.name)
        if not versions:
            return None
        deployment = self._deployer.deployment(model.name)
        live = next((v for v in versions if deployment and v.version == deployment.primary), versions[0])
        now = self._clock.now()
        trained = [datetime.fromisoformat(v.facts["trained_at"]) for v in versions if "trained_at" in v.facts]
        if not trained:
            return None
        attempts = [w.created for w in self._durable.list(TRAIN, limit=200) if w.arguments["model"] == model.name]
        recent, rows, reference = None, 0, None
        if model.retrain.drop is not None:
            metric = model.retrain.drop[0]
            values, rows = self._performance.metric_over(model.name, model.task, start=now - WATCH, end=now)
            recent, reference = values.get(metric), live.facts["metrics"].get(metric)
        situation = Situation(
            now,
            max(trained),
            max([*trained, *attempts]),
            self._label_rows(model.label.table),
            versions[0].facts.get("label_rows", 0),
            recent,
            rows,
            reference,
        )
        return due(model.retrain, situation)

    def _retrain(self, model: Model, trigger: Trigger) -> Mapping[str, Any]:
        now = self._clock.now()
        node = Node(
            new_id(now),
            NodeKind.DECISION,
            f"retrain {model.name}: {trigger.kind}",
            now,
            {"kind": trigger.kind, "reason": trigger.reason, **trigger.facts},
        )

        def work(repositories: Repositories) -> None:
            repositories.lineage.add([node])
            repositories.outbox.append(
                Event(
                    "trigger_fired", node.id, now, {"model": model.name, "kind": trigger.kind, "reason": trigger.reason}
                )
            )

        self._metadata.write(work)
        try:
            result = self.train(
                model.name,
                reason=f"{trigger.kind}: {trigger.reason}",
                actor="hanok",
                key=f"{model.name} {trigger.kind} {now.isoformat()}",
                recipe_of=self._champion_with_plan(model.name),
            )
        except (NotTrainable, ConversionFailed, TrainingFailed) as error:
            return {"model": model.name, "did": "retrain", "trigger": trigger.kind, "failed": error.message}
        return {
            "model": model.name,
            "did": "retrain",
            "at": now.isoformat(),
            "trigger": trigger.kind,
            "reason": trigger.reason,
            "version": result["version"],
            "passed": result["verdict"]["passed"],
            "why": result["verdict"]["why"],
        }

    def _champion_with_plan(self, name: str) -> int:
        """The version whose recipe a triggered retraining repeats: the champion's; 0 when it has none."""
        deployment = self._deployer.deployment(name)
        versions = {v.version: v for v in self._tools.registry.versions(name)}
        live = versions.get(deployment.primary) if deployment else None
        return live.version if live is not None and live.facts.get("plan") else 0

    def _advance(self, model: Model, predictions: Any) -> Mapping[str, Any] | None:
        state = self.rollouts().get(model.name)
        if state is None:
            return None
        planned = rollout.stages(model.rollout)
        now, began = self._clock.now(), datetime.fromisoformat(state["began"])
        guard = partial(
            rollout.guard,
            rollout.rules(model.rollout.rollback_if, model.task),
            model.task,
            self._performance.outcomes(model.name, start=began, known_by=now),
            predictions(model.name, began),
            state["champion"],
            state["challenger"],
            block=rollout.block(model.rollout),
        )
        evidence = guard()
        if evidence is not None:
            proof = self.rollback(
                model.name, to=state["champion"], actor="hanok", reason=f"{evidence.rule}: {evidence.reason}"
            )
            return {"model": model.name, "did": "rollback", "at": now.isoformat(), **proof, "evidence": evidence.facts}
        stage = state["stage"]
        if now - datetime.fromisoformat(state["since"]) < planned[stage].hold:
            return None
        if stage + 1 == len(planned):
            if guard(confidence=rollout.DOUBT) is not None:
                return None
            self._make_primary(model.name, state["challenger"], "hanok", f"rollout complete: {state['reason']}")
            return {"model": model.name, "did": "promote", "at": now.isoformat(), "version": state["challenger"]}
        following = planned[stage + 1]
        self._deployer.deploy(
            model.name,
            rollout.arms(state["champion"], state["challenger"], following),
            actor="hanok",
            reason=f"rollout: {following.share}%",
        )
        if following.share == 100:
            self._tools.registry.move_alias(
                model.name, CHAMPION, state["challenger"], actor="hanok", reason=f"rolled out: {state['reason']}"
            )
        body = {k: v for k, v in state.items() if not k.startswith("_")} | {
            "stage": stage + 1,
            "since": now.isoformat(),
        }
        self._metadata.write(lambda r: r.records.put("rollout", model.name, "current", body, now))
        return {"model": model.name, "did": "advance", "at": now.isoformat(), "share": following.share}


def _stage_name(share: int) -> str:
    return {0: "shadow", 100: "primary, the former champion beside it"}.get(share, f"{share}%")


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
