"""The verbs of serving: which versions answer under a name, and answering."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from types import MappingProxyType

import pyarrow as pa

from hanok.compute.frames import Columns
from hanok.core.access import SYSTEM, acting
from hanok.core.clock import Clock, micros
from hanok.core.errors import HanokError, Invalid, PredictionNotFound, SignatureMismatch
from hanok.core.ids import PredictionId
from hanok.core.lineage import Edge, EdgeKind, Event, Node, NodeKind
from hanok.core.logged import KEY
from hanok.core.serving import Arm, Deployment, Prediction, Signature
from hanok.parts.serving.batches import Batches
from hanok.parts.serving.beside import Answered, score_beside
from hanok.parts.serving.bulk import Rows, decided, log_rows
from hanok.parts.serving.deployments import Deployments, Snapshot
from hanok.parts.serving.explaining import Explanation, Typical, check_explainable, explained
from hanok.parts.serving.log import PredictionLog
from hanok.parts.serving.needs import EntityKeys, UndeclaredKeys
from hanok.parts.serving.packages import Loaded, Packages
from hanok.parts.serving.records import entries_of
from hanok.parts.serving.router import answering, beside, primary_of, sticky
from hanok.parts.serving.scorer import Decision, answer_of, decide_with
from hanok.parts.serving.shadows import Score, Shadows
from hanok.stores.ports import Metadata, Repositories

DRAIN_S, ENDING_S = 2.0, 6.0
LOGGED_AT_ONCE = 1_000  # entries of a large request: freeing all of them at once would hold up every other thread
NO_OWN: Mapping[int, Columns] = {}  # a proxy could not be handed to another process
NO_ROWS: Mapping[int, pa.Table] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Answer:
    """What one row is answered with."""

    prediction_id: str
    version: int
    score: float | None
    scores: tuple[float, ...]
    label: str | None


@dataclass(frozen=True, slots=True)
class Routed:
    """A request that has its arm: decoded, answered and logged by this one snapshot, whatever is deployed meanwhile.

    `loaded` is the model that answers, `beside` are the arms that score the same rows after the reply.
    """

    model: str
    snapshot: Snapshot
    arm: Arm
    beside: tuple[Arm, ...]
    loaded: Loaded
    keys: Mapping[str, str]

    @property
    def signature(self) -> Signature:
        """What the answering arm takes and gives."""
        return self.loaded.signature


class BatchIds(list[str]):
    """The ids of a batch's answers in the order of its rows. `failed` says of each version that could not answer all
    of its rows why; those rows are logged with that error."""

    def __init__(self, ids: Sequence[str], failed: Mapping[int, str] | None = None) -> None:
        super().__init__(ids)
        self.failed = dict(failed or {})


class Serving:
    """Answers by what is deployed, and logs every answer."""

    def __init__(
        self,
        *,
        metadata: Metadata,
        packages: Packages,
        log: PredictionLog,
        clock: Clock,
    ) -> None:
        self._metadata, self._packages, self._log, self._clock = metadata, packages, log, clock
        self._versions = Deployments(metadata=metadata, packages=packages, clock=clock)
        self._shadows = Shadows(log, partial(score_beside, packages))
        self._finish_shadows: Callable[[], None] = lambda: None
        self.batches = Batches(metadata=metadata, versions=self._versions, log=log, clock=clock)
        self.typical: Typical = lambda name, version: None  # the engine puts there who knows typical rows
        self.keys: EntityKeys = UndeclaredKeys()  # the engine puts those of the declarations here
        self.deploy, self.refresh = self._versions.deploy, self._versions.refresh
        self.deployment, self.deployments = self._versions.current, self._versions.all
        self.signature = self._versions.signature
        self.history, self.last_primary_before = self._versions.history, self._versions.last_primary_before

    def model(self, name: str, version: int | None = None) -> Loaded:
        """A loaded version: the primary, or the one asked for. Raises ModelNotFound."""
        snapshot = self._versions.snapshot(name)
        if version is None or version in snapshot.broken:  # `refresh` loads what is broken again, no request does
            return snapshot.model(snapshot.deployment.primary if version is None else version)
        return snapshot.models[version] if version in snapshot.models else self._versions.load(name, version)

    # -- answering -------------------------------------------------------------------------------------------

    def route(
        self,
        name: str,
        *,
        version: int | None = None,
        entity: Mapping[str, object] | None = None,
        request_id: str = "",
    ) -> Routed:
        """Choose who answers a request. Raises ModelNotFound, BadKey, Unavailable (the model could not be
        loaded). The share of a canary that could not be loaded is answered by the primary."""
        snapshot = self._versions.snapshot(name)
        keys = self.keys.spelled(name, entity) if entity else {}
        if version is not None:
            return Routed(name, snapshot, Arm(version, "primary", 100), (), self.model(name, version), keys)
        arms = snapshot.deployment.arms
        place = answering(arms, sticky(keys, request_id or str(micros(self._clock.now())))) if len(arms) > 1 else 0
        if arms[place].mode == "canary" and arms[place].version not in snapshot.models:
            place = primary_of(arms)  # the canary is charged with this answer as its shadow
        arm = arms[place]
        return Routed(name, snapshot, arm, beside(arms, place), snapshot.model(arm.version), keys)

    def answer(self, routed: Routed, columns: Columns, *, by_version: Mapping[int, Columns] = NO_OWN) -> list[Answer]:
        """Answer rows given column by column, raw as they came; each is logged before this returns. `by_version` gives
        versions their own columns, where features of one name are not the same thing for all of them.

        Raises SignatureMismatch for columns that do not fit the answering arm, ScoringFailed when it fails on them.
        """
        if len({len(values) for own in (columns, *by_version.values()) for values in own.values()}) > 1:
            raise SignatureMismatch("the columns have different numbers of rows")
        own = by_version.get(routed.arm.version, columns)
        decision = decide_with(routed.loaded, routed.arm, own)
        if isinstance(decision.error, SignatureMismatch) and routed.arm.mode == "canary":
            routed = _by_the_primary(routed)
            own = by_version.get(routed.arm.version, columns)
            decision = decide_with(routed.loaded, routed.arm, own)
        if isinstance(decision.error, SignatureMismatch):
            raise decision.error
        at = micros(self._clock.now())
        if routed.keys and decision.rows != 1:
            raise SignatureMismatch(f"the entity names one row and the request has {decision.rows}")
        if not decision.rows:
            return []
        ids: list[str] = []
        for start in range(0, decision.rows, LOGGED_AT_ONCE):
            rows = range(start, min(start + LOGGED_AT_ONCE, decision.rows))
            entries = entries_of(decision, own, at=at, mode=routed.arm.mode, keys=routed.keys, rows=rows)
            ids += map(str, self._log.append_many(routed.model, entries))
        if routed.beside:
            answered = Answered(routed.beside, columns, by_version, routed.keys, at, ids)
            self._shadows.offer(routed.snapshot, answered)
        failure = decision.failure
        if failure is not None:
            raise failure
        return _answers(decision, ids)

    def predict(
        self,
        name: str,
        columns: Columns,
        *,
        version: int | None = None,
        entity: Mapping[str, object] | None = None,
        request_id: str = "",
    ) -> list[Answer]:
        """`route` and `answer`."""
        return self.answer(self.route(name, version=version, entity=entity, request_id=request_id), columns)

    def predict_batch(
        self,
        name: str,
        rows: pa.Table,
        *,
        key: str,
        record: bool = True,
        by_version: Mapping[int, pa.Table] = NO_ROWS,
    ) -> BatchIds:
        """Answer and log a table of features (with `key__...` and `_at` columns where known) in bulk. `by_version`
        gives versions the same rows with features of their own.

        Every version of the deployment scores every row: the arm that a row falls to answers it, the others are
        logged as shadows, so that they can be compared row by row. An arm that fails is logged with its error for each
        row, and named in the result when rows were its to answer. The same key again has no effect; with other rows it
        raises Conflict.
        """
        snapshot = self._versions.snapshot(name)
        if not rows.num_rows:
            return BatchIds(())
        keys = self.keys.spelled_columns(
            name, {n.removeprefix(KEY): rows.column(n) for n in rows.column_names if n.startswith(KEY)}
        )
        now = micros(self._clock.now())
        made = decided(snapshot, Rows(name, key, rows, keys, now, by_version))
        first = log_rows(self._log, made)
        answered = BatchIds(made.row_ids if first else self._log.batch_ids(name, key), made.failed)
        if record:
            self._record_batch(name, snapshot.deployment, key, rows.num_rows, answered.failed)
        return answered

    def runs_away(self, name: str, version: int) -> bool:
        """Whether a version that is loaded runs in a process of its own."""
        loaded = self._versions.snapshot(name).models.get(version)
        return loaded is not None and loaded.away

    def answers_away(self, name: str) -> bool:
        """Whether an arm that may answer under `name` runs in a process of its own."""
        live = next((s for s in self._versions.snapshots() if s.deployment.name == name), None)
        arms = live.deployment.arms if live is not None else ()
        return any(a.mode != "shadow" and self.runs_away(name, a.version) for a in arms)

    def explain(self, name: str, version: int, columns: Columns) -> list[Explanation]:
        """What each input does to the score of each row, as a version would give it. Nothing of it is logged."""
        return explained(self.model(name, version), columns, lambda: self.typical(name, version))

    def check_explainable(self, name: str, version: int | None, columns: Columns, rows: int) -> None:
        """Raises Invalid before anything is answered where the version, or without one each that may answer, could not
        be explained. What else is wrong with a version or with the rows is for the answer to say."""
        deployed = self.deployment(name) if version is None else None
        arms = deployed.arms if deployed is not None else ()
        for asked in [a.version for a in arms if a.mode != "shadow"] if version is None else [version]:
            try:
                check_explainable(self.model(name, asked), columns, rows, partial(self.typical, name, asked))
            except Exception as error:  # a model library's own too
                if type(error) is Invalid:
                    raise

    def tell_batch(self, name: str, key: str) -> None:
        """Say that a batch was asked for that left nothing to answer: labels that came before answers are joined."""
        facts = {"model": name, "key": key, "rows": 0}
        event = Event("batch_predicted", name, self._clock.now(), facts)
        self._metadata.write(lambda r: r.outbox.append(event))

    def batch_rows(self, name: str, prefix: str) -> pa.Table:
        """What answered in the batches whose key begins so: batch, row_id, version, arm, at, and the entity's keys."""
        return self._log.batch_rows(name, prefix)

    # -- the log ---------------------------------------------------------------------------------------------

    def find(self, prediction_id: str) -> Prediction:
        """Raises Invalid for what is no id, PredictionNotFound for what was never answered."""
        asked = PredictionId.parse(prediction_id)
        if self.deployment(asked.deployment) is None:
            raise PredictionNotFound(
                f"there is no prediction {asked}; ids stand in replies, and 'hanok predict' prints them"
            )
        return self._with_own_features(self._log.find(asked))

    def _with_own_features(self, found: Prediction) -> Prediction:
        """Without nulls of features that its version never had: rows of earlier releases do not say which were null,
        and stand in a table with the columns of all versions."""
        if found.error or None not in found.features.values():
            return found
        try:
            inputs = {c.name for c in self.signature(found.deployment, found.version).inputs}
        except HanokError:
            return found
        return replace(found, features={n: v for n, v in found.features.items() if v is not None or n in inputs})

    def answers_since(self, name: str, since: datetime) -> pa.Table:
        """What was answered up to now, open segments included: prediction_id, at, version, arm, error, `rows` and the
        `microseconds` of one row. Shadows are rows of their own (`arm` says so)."""
        return self._log.since(name, since)

    def unmoved_bytes(self, name: str) -> int:
        """Of the answers that are not in the table yet."""
        return self._log.size_bytes(name)

    def compact(self, *, everything: bool = False) -> int:
        """Move finished segments (with `everything` the open ones too, and what shadows answer) into the tables:
        those of all models, whoever caused it."""
        with acting(SYSTEM):
            return self._compact(everything)

    def _compact(self, everything: bool) -> int:
        if everything and self._shadows.drain(DRAIN_S):
            self._finish_shadows()
        known = {s.deployment.name: {v: m.signature for v, m in s.models.items()} for s in self._versions.snapshots()}
        return self._log.compact(known, everything=everything)

    def score_shadows_with(self, score: Score | None, finish: Callable[[], None] = lambda: None) -> None:
        """Let something else score what arms beside give: see `Shadows`. `finish` closes what it logs to, if that is
        not this process's log. None: this process again, once what waits is scored."""
        if score is None and self._shadows.drain(ENDING_S):
            self._finish_shadows()
        self._shadows.score, self._finish_shadows = score or partial(score_beside, self._packages), finish

    def close(self) -> None:
        """Let the shadows end, then close the log."""
        self._shadows.close()
        self._log.close()

    # -- inside ----------------------------------------------------------------------------------------------

    def _record_batch(self, name: str, deployment: Deployment, key: str, rows: int, failed: Mapping[int, str]) -> None:
        now = self._clock.now()
        node_id = hashlib.sha256(f"batch:{name}:{key}".encode()).hexdigest()[:32]
        facts = {"rows": rows, "key": key, "model": name} | (
            {"failed": {str(v): why for v, why in failed.items()}} if failed else {}
        )
        node = Node(node_id, NodeKind.PREDICTION_BATCH, f"{name} {key}", now, facts)

        def work(repositories: Repositories) -> None:
            repositories.lineage.add([node], [Edge(node_id, EdgeKind.SERVED_BY, deployment.node_id)])
            repositories.outbox.append(
                Event("batch_predicted", node_id, now, {"model": name, "key": key, "rows": rows})
            )

        self._metadata.write(work)


def _by_the_primary(routed: Routed) -> Routed:
    """What does not fit a canary is answered by the primary where it fits that one; the canary scores it as a shadow,
    so that it is charged with what it cannot take."""
    arms = routed.snapshot.deployment.arms
    place = primary_of(arms)
    loaded = routed.snapshot.models.get(arms[place].version)
    if loaded is None:
        return routed
    return replace(routed, arm=arms[place], beside=beside(arms, place), loaded=loaded)


def _answers(decision: Decision, ids: Sequence[str]) -> list[Answer]:
    signature, scores = decision.signature, decision.scores
    assert signature is not None and scores is not None
    return [Answer(i, decision.arm.version, *answer_of(signature, scores, row)) for row, i in enumerate(ids)]
