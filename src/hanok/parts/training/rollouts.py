"""Rollouts and rollbacks: which version is to answer, moved in steps that a kill at any moment leaves mendable.

A stage is deployed and recorded in one commit, on the condition that the deployment is still the one on which it was
decided. The champion's alias follows; a kill in between is mended by the next look.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from hanok.core.clock import Clock
from hanok.core.declare import Model
from hanok.core.errors import Conflict, HanokError, ModelNotFound, StaleGeneration, words
from hanok.core.ids import new_id
from hanok.core.json import JsonObject
from hanok.core.lineage import Event, Node, NodeKind
from hanok.core.records import from_body, to_body
from hanok.core.registry import CHAMPION, ModelVersion
from hanok.core.rules import Rule, parse_rules
from hanok.core.serving import Arm, Deployment
from hanok.core.training import (
    ROLLBACK,
    ROLLOUT,
    Begun,
    Golden,
    RollbackProof,
    RollbackRequest,
    RolloutState,
    TickOutcome,
    facts_of,
)
from hanok.core.workflows import FAILED, Workflow
from hanok.parts.training import proofs
from hanok.parts.training.durable import Durable, Steps
from hanok.parts.training.guards import CONFIDENCE, DOUBT, Look, Pair, guard
from hanok.parts.training.needs import Answered, Deployer, ModelRegistry, PackageStore, Performance
from hanok.parts.training.rollout import (
    WHOLE,
    after,
    arms,
    block,
    number,
    planned_blocks,
    share_of,
    stage_name,
    stage_of,
    stages,
)
from hanok.stores.ports import Blobs, Metadata, Repositories

ROLL_BACK = "rollback"
CURRENT = "current"
LOOKS_MAX = 20  # so often is a change decided anew because somebody else was quicker
log = logging.getLogger("hanok.training")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What rollouts work with."""

    metadata: Metadata
    blobs: Blobs
    clock: Clock
    registry: ModelRegistry
    packages: PackageStore
    deployer: Deployer
    performance: Performance
    answered: Answered
    durable: Durable


@dataclass(frozen=True, slots=True)
class Asked:
    """What a look depends on; `mark` changes with each answer and label."""

    pair: Pair
    rules: tuple[str, ...]
    began: datetime
    mark: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Looked:
    """The last look; it holds `until` a label that is here already becomes known."""

    asked: Asked
    until: datetime | None
    look: Look


def _looking_again(change: Callable[[], Begun]) -> Begun:
    """A change that is decided anew while somebody else moves the deployment under it. Raises StaleGeneration."""
    for _ in range(LOOKS_MAX - 1):
        try:
            return change()
        except StaleGeneration as error:
            log.info("decided again: %s", error.message)
    return change()


class Rollouts:
    """Lets versions answer, in stages or at once, and takes them back.

    Nobody waits for anybody: each change names the generation of the deployment on which it was decided, and of two
    that move at once, in one process or in two, one wins and the other looks again.
    """

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._metadata, self._clock, self._deployer = reach.metadata, reach.clock, reach.deployer
        self._looked: dict[tuple[str, float], Looked] = {}
        self._followed: dict[str, int] = {}  # the generation at which the alias was last seen to follow

    # -- reading ---------------------------------------------------------------------------------------------

    def under_way(self) -> dict[str, RolloutState]:
        """Rollouts under way, by model."""
        found = self._metadata.read(lambda r: r.records.list(ROLLOUT.name))
        return {b["_name"]: from_body(RolloutState, b, what=ROLLOUT.name) for b in found if b.get("challenger")}

    def of(self, name: str) -> RolloutState | None:
        return ROLLOUT.open(self._metadata.read(lambda r: r.records.get(ROLLOUT.name, name, CURRENT)))

    def undone(self, name: str) -> set[int]:
        """Versions that were rolled back from. None of them is chosen again unless it is named."""
        found = self._metadata.read(lambda r: r.records.list(ROLLBACK.name, name))
        return {proof.undone for proof in ROLLBACK.all(found)}

    def version(self, name: str, number: int) -> ModelVersion:
        """Raises ModelNotFound."""
        for found in self._reach.registry.versions(name):
            if found.version == number:
                return found
        raise ModelNotFound(f"model {name!r} has no version {number}; see: hanok model show {name}")

    # -- forward ---------------------------------------------------------------------------------------------

    def begin(self, model: Model, version: int, actor: str, reason: str, *, force: bool = False) -> Begun:
        """Start the rollout of a version, or let it answer at once where no stages are declared. Raises Conflict while
        another version is being rolled out, unless `force` ends that."""
        return _looking_again(lambda: self._begun(model, version, actor, reason, force))

    def _begun(self, model: Model, version: int, actor: str, reason: str, force: bool) -> Begun:
        deployment, state = self._deployer.deployment(model.name), self.of(model.name)
        planned = stages(model.rollout)
        if deployment is None or not planned:
            return self.answer_alone(model.name, version, actor, reason)
        if state is not None and state.challenger == version:
            return Begun(version, stage_name(share_of(state, deployment)))
        if deployment.primary == version and len(deployment.arms) == 1:
            return self.answer_alone(model.name, version, actor, reason)
        if state is not None and share_of(state, deployment) < WHOLE and not force:
            raise Conflict(
                f"version {state.challenger} of {model.name!r} is being rolled out: wait for it, or end it with "
                f"'hanok rollback {model.name}'"
            )
        now, champion = self._clock.now(), deployment.primary
        if champion == version:  # the challenger that answers everything already, promoted anew
            return self.answer_alone(model.name, version, actor, reason)
        fresh = RolloutState(champion, version, now, now, actor, reason)
        self._move(model.name, fresh, planned[0].share, deployment, f"rollout begins: {reason}", reason, actor)
        return Begun(version, stage_name(planned[0].share))

    def answer_alone(self, name: str, version: int, actor: str, reason: str, *, expected: int | None = None) -> Begun:
        """Let a version answer everything at once; ends a rollout. Whoever else moves the deployment meanwhile, this
        version answers in the end; with `expected` it does so only if nobody did: else it raises StaleGeneration."""
        self.version(name, version)
        if expected is not None:
            begun = self._alone(name, version, actor, reason, expected)
        else:
            begun = _looking_again(lambda: self._alone(name, version, actor, reason, None))
        self._point(name, actor, reason)
        return begun

    def _alone(self, name: str, version: int, actor: str, reason: str, expected: int | None) -> Begun:
        before = self._deployer.deployment(name)
        stands = before.generation if before is not None else 0
        alone = before is not None and before.primary == version and len(before.arms) == 1
        mine = before is not None and (before.actor, before.reason) == (actor, reason)  # done before a kill
        if not alone or (expected is not None and expected != stands and not mine):
            self._deployer.deploy(
                name,
                [Arm(version, "primary", WHOLE)],
                actor=actor,
                reason=reason,
                expected=stands if expected is None else expected,
                along=lambda r: self._put(r, name, None),
            )
            return Begun(version, "primary")

        def work(repositories: Repositories) -> None:
            now = repositories.deployments.get(name)
            if now is not None and now.generation == stands:
                self._put(repositories, name, None)

        self._metadata.write(work)
        return Begun(version, "primary")

    def _move(
        self,
        name: str,
        state: RolloutState,
        share: int,
        deployment: Deployment,
        said: str,
        reason: str,
        actor: str,
    ) -> None:
        """Deploy a stage and record it, in one commit. Raises StaleGeneration when the deployment is another by now."""
        moved = replace(state, share=share, since=self._clock.now(), generation=deployment.generation + 1)
        self._deployer.deploy(
            name,
            arms(state.champion, state.challenger, share),
            actor=actor,
            reason=said,
            expected=deployment.generation,
            along=lambda r: self._put(r, name, moved),
        )
        self._point(name, actor, reason)

    def _point(self, name: str, actor: str, reason: str) -> None:
        """Let the champion's alias stand where the version is that answers by default. It is looked at again after
        each move, because somebody else may have deployed meanwhile."""
        for _ in range(LOOKS_MAX):
            deployment = self._deployer.deployment(name)
            if deployment is None:
                return
            version = self.version(name, deployment.primary)
            if CHAMPION in version.aliases:
                return
            self._reach.registry.move_alias(name, CHAMPION, version.version, actor=actor, reason=reason)

    def follow(self, name: str) -> None:
        """Mend what a kill between a deployment and the champion's alias left. An alias moved by hand since stays."""
        deployment = self._deployer.deployment(name)
        if deployment is None or self._followed.get(name) == deployment.generation:
            return
        moves = self._metadata.read(lambda r: r.registry.alias_history(name, CHAMPION))
        if all(move.at <= deployment.at for move in moves):
            try:
                self._point(name, deployment.actor, deployment.reason)
            except ModelNotFound as error:
                log.warning("the champion of %s is not marked: %s", name, error.message)
        self._followed[name] = deployment.generation

    def _put(self, repositories: Repositories, name: str, state: RolloutState | None) -> None:
        body = {} if state is None else ROLLOUT.body(state)
        repositories.records.put(ROLLOUT.name, name, CURRENT, body, self._clock.now())

    def _replace(self, name: str, seen: RolloutState, state: RolloutState | None) -> None:
        """Record a rollout instead of the one that was seen; another one that stands there by now stays."""

        def work(repositories: Repositories) -> None:
            if ROLLOUT.open(repositories.records.get(ROLLOUT.name, name, CURRENT)) == seen:
                self._put(repositories, name, state)

        self._metadata.write(work)

    # -- the look of the guard -------------------------------------------------------------------------------

    def advance(self, model: Model) -> TickOutcome | None:
        """Look at a rollout under way: mend what a kill left, roll back, or move on; None when nothing was done.

        Nobody waits for a look. What comes of it is done only while the deployment is the one that was looked at; when
        somebody moved it meanwhile, the next look begins with what stands then.
        """
        state = self.of(model.name)
        deployment = self._deployer.deployment(model.name)
        if state is None or deployment is None:
            return None
        try:
            if not self._stands(model, state, deployment):
                return None
            return self._advanced(model, state, deployment)
        except StaleGeneration as error:
            log.info("the look at the rollout of %s/%s is void: %s", model.name, state.challenger, error.message)
            return None

    def _stands(self, model: Model, state: RolloutState, deployment: Deployment) -> bool:
        """Whether the rollout is what is deployed. What a kill left is mended: the stage that an earlier release had
        recorded and not deployed, and a rollout that something else ended."""
        name, share = model.name, share_of(state, deployment)
        if state.share is not None and deployment.generation == state.generation - 1:
            said = f"rollout goes on: {state.reason}"
            self._move(name, state, share, deployment, said, state.reason, state.actor)
            return False
        present = {arm.version for arm in deployment.arms}
        if present != {state.champion, state.challenger}:
            log.info("the rollout of %s/%s is over: %s was deployed", name, state.challenger, sorted(present))
            self._replace(name, state, None)
            return False
        self._point(name, "hanok", f"rolled out: {state.reason}")
        return True

    def _advanced(self, model: Model, state: RolloutState, deployment: Deployment) -> TickOutcome | None:
        now, share, stands = self._clock.now(), share_of(state, deployment), deployment.generation
        look = self._look(model, state)
        if look.undecided != state.undecided:
            for line in look.undecided:
                log.warning("rollout of %s/%s: undecided: %s", model.name, state.challenger, line)
            seen, state = state, replace(state, undecided=look.undecided)
            self._replace(model.name, seen, state)
        if look.broken is not None:
            why = f"{look.broken.rule}: {look.broken.reason}"
            asked = RollbackRequest(model.name, state.challenger, state.champion, now, "hanok", why, stands)
            proof = self._began_back(asked)
            return TickOutcome(model.name, "rollback", now, reason=why, proof=proof, evidence=look.broken.facts)
        if now - state.since < stage_of(model.rollout, share).hold:
            return None
        following = after(model.rollout, share)
        if following is None:
            if self._look(model, state, confidence=DOUBT).broken is not None:
                return None
            said = f"rollout complete: {state.reason}"
            self.answer_alone(model.name, state.challenger, "hanok", said, expected=stands)
            return TickOutcome(model.name, "promote", now, version=state.challenger)
        state = replace(state, stage=number(model.rollout, following.share))
        said, reason = f"rollout: {following.share}%", f"rolled out: {state.reason}"
        self._move(model.name, state, following.share, deployment, said, reason, "hanok")
        return TickOutcome(model.name, "advance", now, share=following.share)

    def _look(self, model: Model, state: RolloutState, *, confidence: float = CONFIDENCE) -> Look:
        """What the rules say. Nothing is read again while no answer and no label has come since the last look."""
        planned = planned_blocks(model.rollout) if confidence == CONFIDENCE else 0
        pair = Pair(model.task, state.champion, state.challenger, block(model.rollout), state.began, planned)
        rules = parse_rules(model.rollout.rollback_if, model.task)
        asked = Asked(pair, tuple(model.rollout.rollback_if), state.began, self._reach.answered.mark(model.name))
        before, now = self._looked.get((model.name, confidence)), self._clock.now()
        if before is not None and before.asked == asked and (before.until is None or now < before.until):
            return before.look
        look = self._look_anew(model, state, rules, pair, confidence)
        until = self._reach.performance.next_known(model.name, now)
        self._looked[model.name, confidence] = Looked(asked, until, look)
        return look

    def _look_anew(
        self, model: Model, state: RolloutState, rules: Sequence[Rule], pair: Pair, confidence: float
    ) -> Look:
        outcomes = self._reach.performance.outcomes(model.name, start=state.began, known_by=self._clock.now())
        answers = self._reach.answered.since(model.name, state.began)
        return guard(rules, pair, outcomes, answers, confidence=confidence)

    # -- back ------------------------------------------------------------------------------------------------

    def roll_back(self, name: str, *, to: int | None = None, actor: str, reason: str) -> RollbackProof:
        """Let an earlier version answer again, at once; returns the proof record.

        Without `to` it is the champion while a rollout is under way, else the version that answered before and was
        never rolled back from. Killed anywhere, it is finished by the next process. Raises ModelNotFound, Conflict.
        """
        target, undone = self._target(name, to)
        return self._began_back(RollbackRequest(name, undone, target, self._clock.now(), actor, reason))

    def _began_back(self, asked: RollbackRequest) -> RollbackProof:
        workflow = self._reach.durable.start(ROLL_BACK, f"{asked.model} {new_id(asked.at)}", to_body(asked))
        return self._rolled_back(workflow)

    def finish_left(self) -> int:
        """Finish rollbacks that a dead process left; returns how many."""
        done = 0
        for workflow in self._reach.durable.abandoned(ROLL_BACK):
            try:
                self._rolled_back(workflow)
                done += 1
            except HanokError as error:
                log.warning("rollback %s, left by another process, failed: %s", workflow.key, error.message)
                if workflow.fence > 3:
                    self._reach.durable.close(workflow.id, FAILED, error.message)
        return done

    def _target(self, name: str, to: int | None) -> tuple[int, int]:
        """The version to let answer, and the one that is rolled back from."""
        deployment = self._deployer.deployment(name)
        if deployment is None:
            raise ModelNotFound(f"{name!r} is not deployed, so there is nothing to roll back")
        state = self.of(name)
        if state is not None and {a.version for a in deployment.arms} != {state.champion, state.challenger}:
            state = None  # something else was deployed meanwhile
        undone = state.challenger if state is not None else deployment.primary
        if to is not None:
            self.version(name, to)
            if to == undone:
                what = "is what is being rolled out" if state is not None else "answers already"
                raise Conflict(f"version {to} of {name!r} {what}: name another one, or leave 'to' out")
            return to, undone
        if state is not None:
            return state.champion, undone
        return self._last_good(name, undone), undone

    def back_to(self, name: str) -> int | None:
        """The version that a rollback would let answer; None when there is none to go back to."""
        try:
            return self._target(name, None)[0]
        except HanokError:
            return None

    def _last_good(self, name: str, current: int) -> int:
        served = list(dict.fromkeys(d.primary for d in self._deployer.history(name)))
        bad = self.undone(name)
        kept = {v.version for v in self._reach.registry.versions(name)}
        good = [v for v in served if v != current and v not in bad and v in kept]
        if good:
            return good[0]
        others = [str(v) for v in served if v != current]
        if not others:
            raise Conflict(f"{name!r} has served version {current} only; there is nothing to go back to")
        raise Conflict(
            f"{name!r} has served nothing older that was good: version {', '.join(others)} was rolled back from or is "
            f"gone. To go there all the same: hanok rollback {name} --to {others[0]}"
        )

    def _rolled_back(self, workflow: Workflow) -> RollbackProof:
        asked = from_body(RollbackRequest, workflow.arguments, what="rollback")

        def deployed() -> JsonObject:
            said = f"rollback: {asked.reason}"
            self.answer_alone(asked.model, asked.to, asked.actor, said, expected=asked.expected)
            return {}

        def work(steps: Steps) -> JsonObject:
            steps("deploy", deployed)
            return steps("prove", lambda: ROLLBACK.body(self._proven(workflow.id, asked)))

        return from_body(RollbackProof, self._reach.durable.run(workflow, work), what=ROLLBACK.name)

    def _proven(self, node_id: str, asked: RollbackRequest) -> RollbackProof:
        golden = self._golden(asked.model, asked.to)
        proof = RollbackProof(asked.model, asked.undone, asked.to, asked.at, asked.actor, asked.reason, golden, node_id)
        body, now = ROLLBACK.body(proof), self._clock.now()
        title = f"rollback of {asked.model} to version {asked.to}"

        def work(repositories: Repositories) -> None:
            repositories.lineage.add([Node(node_id, NodeKind.DECISION, title, now, body)])
            repositories.records.put(ROLLBACK.name, asked.model, node_id, body, now)
            repositories.outbox.append(Event("rolled_back", node_id, now, body))

        self._metadata.write(work)
        return proof

    def _golden(self, name: str, number: int) -> Golden:
        """Answer again what the version answered when it was live; else what was kept when it was registered. Whatever
        stands in the way is said in the proof: the rollback itself is done."""
        try:
            version = self.version(name, number)
            model = self._reach.packages.load(version.package)
            logged = self._reach.answered.of_version(name, number, limit=proofs.LOGGED_ROWS)
            found = proofs.of_log(model, logged)
            kept = facts_of(version).golden
            if found.rows or not kept:
                return found
            with self._reach.blobs.open(kept) as file:
                return proofs.of_registration(model, file.read())
        except Exception as error:  # noqa: BLE001 (the proof ends here: it says what it could not do)
            log.warning("the answers of %s/%s could not be given again: %s", name, number, error)
            return Golden(0, why=words(error))
