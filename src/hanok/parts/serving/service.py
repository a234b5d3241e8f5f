"""The verbs of serving: which versions answer under a name, and answering."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from hanok.compute.frames import PREDICT_AT, encode
from hanok.core.clock import Clock, micros, wall_seconds
from hanok.core.errors import Conflict, HanokError, ModelNotFound, PredictionNotFound
from hanok.core.ids import PredictionId, new_id
from hanok.core.lineage import Edge, EdgeKind, Event, Node, NodeKind
from hanok.core.registry import ModelVersion
from hanok.core.serving import Arm, Deployment, Prediction, Signature
from hanok.core.tables import ARRIVED
from hanok.parts.serving.log import FEATURE, INSTANT, KEY, Entry, PredictionLog
from hanok.parts.serving.packages import Loaded, Packages
from hanok.stores.ports import Metadata, Repositories


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request is answered with."""

    prediction_id: str
    version: int
    score: float | None
    scores: tuple[float, ...]
    label: str | None


@dataclass(frozen=True, slots=True)
class _Live:
    """A deployment with its models loaded."""

    deployment: Deployment
    models: Mapping[int, Loaded]


class Serving:
    """Holds what is deployed in memory; `refresh` follows changes that other processes made."""

    def __init__(self, *, metadata: Metadata, packages: Packages, log: PredictionLog, clock: Clock) -> None:
        self._metadata, self._packages, self._log, self._clock = metadata, packages, log, clock
        self._live: dict[str, _Live] = {}
        self._generation = -1
        self.refresh()

    # -- deployments -----------------------------------------------------------------------------------------

    def deploy(self, name: str, arms: Sequence[Arm], *, actor: str, reason: str, caused_by: str = "") -> Deployment:
        """Let these versions answer under `name`. The new versions are loaded before the old ones stop answering."""
        models = {arm.version: self._load(name, arm.version) for arm in arms}
        before = self.deployment(name)
        now = self._clock.now()
        node_id = new_id(now)
        generation = before.generation if before else 0
        deployment = Deployment(name, generation + 1, tuple(arms), now, actor, reason, node_id)
        facts = {
            "generation": generation + 1,
            "arms": [(a.version, a.mode, a.share) for a in arms],
            "actor": actor,
            "reason": reason,
        }

        def work(repositories: Repositories) -> None:
            repositories.deployments.put(deployment, expected=generation)
            edges = [
                Edge(repositories.registry.versions(name, arm.version)[0].id, EdgeKind.DEPLOYED_AS, node_id)
                for arm in arms
            ]
            if before is not None and before.node_id:
                edges.append(Edge(node_id, EdgeKind.SUPERSEDED, before.node_id))
            if caused_by:
                edges.append(Edge(node_id, EdgeKind.CAUSED_BY, caused_by))
            repositories.lineage.add(
                [Node(node_id, NodeKind.DEPLOYMENT, f"{name} g{generation + 1}", now, facts)], edges
            )
            repositories.outbox.append(Event("deployed", node_id, now, {"model": name, **facts}))

        self._metadata.write(work)
        kept = self._live[name].models if name in self._live else {}
        self._live[name] = _Live(
            deployment, {**{v: m for v, m in kept.items() if before and v == before.primary}, **models}
        )
        return deployment

    def deployment(self, name: str) -> Deployment | None:
        return self._metadata.read(lambda r: r.deployments.get(name))

    def deployments(self) -> list[Deployment]:
        return [live.deployment for live in self._live.values()]

    def history(self, name: str) -> list[Deployment]:
        return self._metadata.read(lambda r: r.deployments.history(name))

    def last_primary_before(self, name: str) -> int:
        """The version that answered before the present primary. Raises Conflict when there was none."""
        history = self.history(name)
        if not history:
            raise ModelNotFound(f"{name!r} is not deployed; see 'hanok deploy --help'")
        current = history[0].primary
        for earlier in history[1:]:
            if earlier.primary != current:
                return earlier.primary
        raise Conflict(f"{name!r} has served version {current} only; there is nothing to go back to")

    def refresh(self) -> None:
        """Load what is deployed by now."""
        generation = self._metadata.read(lambda r: r.deployments.generation())
        if generation == self._generation:
            return
        for deployment in self._metadata.read(lambda r: r.deployments.all()):
            known = self._live.get(deployment.name)
            if known is None or known.deployment.generation != deployment.generation:
                models = {a.version: self._load(deployment.name, a.version) for a in deployment.arms}
                self._live[deployment.name] = _Live(deployment, models)
        self._generation = generation

    def model(self, name: str, version: int | None = None) -> Loaded:
        """A loaded version: the primary, or the one asked for. Raises ModelNotFound."""
        live = self._live.get(name)
        if live is None:
            known = ", ".join(sorted(self._live)) or "none"
            raise ModelNotFound(f"no model {name!r} is deployed (deployed: {known}); see 'hanok deploy --help'")
        if version is None:
            return live.models[live.deployment.primary]
        return live.models[version] if version in live.models else self._load(name, version)

    def signatures(self) -> dict[str, Signature]:
        return {name: self.model(name).signature for name in self._live}

    # -- answering -------------------------------------------------------------------------------------------

    def predict(
        self,
        name: str,
        columns: Mapping[str, Sequence[Any]],
        *,
        version: int | None = None,
        entity: Mapping[str, Any] | None = None,
        request_id: str = "",
    ) -> list[Answer]:
        """Answer rows given column by column; each is logged before this returns. Raises SignatureMismatch."""
        started = wall_seconds()
        self.model(name)
        live = self._live[name]  # read once: a deployment may change meanwhile
        if version is None:
            arm, others = self._arm(live, entity, request_id)
            loaded = live.models[arm.version]
        else:
            arm, others, loaded = Arm(version, "primary", 100), list[Arm](), self.model(name, version)
        matrix = encode(loaded.signature, columns)
        try:
            scores = loaded.score_matrix(matrix)
        except HanokError as error:
            if error.status >= 500:
                at = micros(self._clock.now())
                self._log.append(
                    name, Entry(at, arm.version, arm.mode, None, [], {}, dict(entity or {}), error.message)
                )
            raise
        spent = int((wall_seconds() - started) * 1e6 / max(1, len(matrix)))
        at = micros(self._clock.now())
        answers = []
        for index in range(len(matrix)):
            features = {c.name: columns[c.name][index] for c in loaded.signature.inputs}
            score, many, label = _answer(loaded.signature, scores[index])
            entry = Entry(at, arm.version, arm.mode, score, list(many), features, dict(entity or {}), "", spent)
            prediction_id = str(self._log.append(name, entry))
            answers.append(Answer(prediction_id, arm.version, score, many, label))
            for other in others:
                beside = live.models[other.version]
                result = beside.score({k: [v] for k, v in features.items()})[0]
                entry.version, entry.arm, entry.row_id = other.version, "shadow", prediction_id
                entry.score, entry.scores = (
                    _answer(beside.signature, result)[0],
                    list(_answer(beside.signature, result)[1]),
                )
                self._log.append(name, entry)
        return answers

    def predict_batch(self, name: str, rows: pa.Table, *, key: str, record: bool = True) -> list[str]:
        """Answer and log a table of features (with `key__...` and `_at` columns where known) in bulk.

        Every version of the deployment scores every row: the arm that a row falls to answers it, the others are
        logged as shadows, so that they can be compared row by row. The same key again has no effect.
        """
        live = self._live.get(name)
        if live is None:
            self.model(name)
        assert live is not None
        if not rows.num_rows:
            return []
        order = rows.num_rows
        shares = self._shares(live, rows)
        now = micros(self._clock.now())
        batch_number = int(hashlib.sha256(key.encode()).hexdigest()[:6], 16)
        at = rows.column(PREDICT_AT) if PREDICT_AT in rows.column_names else pa.array([now] * order, pa.int64())
        ids = [str(PredictionId(name, now // 1000, batch_number, int(p) * order + i)) for i, p in enumerate(shares)]
        parts = []
        for place, arm in enumerate(live.deployment.arms):
            loaded = live.models[arm.version]
            scores = loaded.score_table(rows)
            mode = np.where(shares == place, arm.mode, "shadow")
            own = [str(PredictionId(name, now // 1000, batch_number, place * order + i)) for i in range(order)]
            parts.append(_logged(loaded.signature, rows, own, ids, at, arm.version, mode, scores, key))
        logged = pa.concat_tables(parts, promote_options="default")
        if not self._log.append_batch(name, logged, key):
            ids = self._log.batch_ids(name, key)
        if record:
            self._record_batch(name, live.deployment, key, order)
        return ids

    def find(self, prediction_id: str) -> Prediction:
        """Raises Invalid for what is no id, PredictionNotFound for what was never answered."""
        asked = PredictionId.parse(prediction_id)
        if self.deployment(asked.deployment) is None:
            raise PredictionNotFound(
                f"there is no prediction {asked}; ids stand in replies, and 'hanok predict' prints them"
            )
        return self._log.find(asked)

    def compact(self, *, everything: bool = False) -> int:
        return self._log.compact(self.signatures(), everything=everything)

    # -- inside ----------------------------------------------------------------------------------------------

    def _load(self, name: str, version: int) -> Loaded:
        found = self._metadata.read(lambda r: r.registry.versions(name, version))
        if not found:
            versions = self._metadata.read(lambda r: r.registry.versions(name))
            if not versions:
                raise ModelNotFound(f"there is no model {name!r}; 'hanok model list' shows all")
            raise ModelNotFound(
                f"model {name!r} has no version {version}; the newest is {versions[0].version}. "
                f"See: hanok model show {name}"
            )
        return self._packages.load(_package(found[0]))

    def _arm(self, live: _Live, entity: Mapping[str, Any] | None, request_id: str) -> tuple[Arm, list[Arm]]:
        arms = live.deployment.arms
        if len(arms) == 1:
            return arms[0], []
        sticky = repr(sorted(entity.items())) if entity else request_id or str(micros(self._clock.now()))
        point = int(hashlib.sha256(sticky.encode()).hexdigest()[:8], 16) / 0xFFFFFFFF * 100
        chosen = next(a for a in arms if a.mode == "primary")
        for arm in arms:
            if arm.mode == "canary":
                if point < arm.share:
                    chosen = arm
                    break
                point -= arm.share
        return chosen, [a for a in arms if a is not chosen]

    def _shares(self, live: _Live, rows: pa.Table) -> np.ndarray:
        """For each row the place of the arm that answers it; sticky by entity key."""
        arms = live.deployment.arms
        primary = next(i for i, a in enumerate(arms) if a.mode == "primary")
        chosen = np.full(rows.num_rows, primary)
        canaries = [i for i, a in enumerate(arms) if a.mode == "canary"]
        if not canaries:
            return chosen
        keys = [n for n in rows.column_names if n.startswith(KEY)]
        texts = zip(*(rows.column(k).to_pylist() for k in keys), strict=True) if keys else range(rows.num_rows)
        points = np.array([int(hashlib.sha256(repr(t).encode()).hexdigest()[:8], 16) / 0xFFFFFFFF * 100 for t in texts])
        low = 0.0
        for place in canaries:
            high = low + arms[place].share
            chosen[(points >= low) & (points < high)] = place
            low = high
        return chosen

    def _record_batch(self, name: str, deployment: Deployment, key: str, rows: int) -> None:
        now = self._clock.now()
        node_id = hashlib.sha256(f"batch:{name}:{key}".encode()).hexdigest()[:32]
        node = Node(node_id, NodeKind.PREDICTION_BATCH, f"{name} {key}", now, {"rows": rows, "key": key, "model": name})

        def work(repositories: Repositories) -> None:
            repositories.lineage.add([node], [Edge(node_id, EdgeKind.SERVED_BY, deployment.node_id)])
            repositories.outbox.append(
                Event("batch_predicted", node_id, now, {"model": name, "key": key, "rows": rows})
            )

        self._metadata.write(work)


def _package(version: ModelVersion) -> str:
    if not version.package:
        raise Conflict(
            f"version {version.version} of {version.model!r} has no servable package: it was registered from outside; "
            "train it with 'hanok train', with your own code if you like: docs/how-to/your-model.md"
        )
    return version.package


def _answer(signature: Signature, score: Any) -> tuple[float | None, tuple[float, ...], str | None]:
    """(score, class probabilities, label) of one row."""
    if signature.task == "multiclass":
        best = int(np.argmax(score))
        return float(score[best]), tuple(float(s) for s in score), signature.classes[best]
    value = float(score)
    if signature.task == "binary":
        return value, (), signature.classes[int(value >= 0.5)]
    return value, (), None


def _logged(
    signature: Signature,
    rows: pa.Table,
    ids: list[str],
    row_ids: list[str],
    at: Any,
    version: int,
    mode: np.ndarray,
    scores: np.ndarray,
    key: str,
) -> pa.Table:
    count = rows.num_rows
    multi = scores.ndim == 2
    columns: dict[str, Any] = {
        "prediction_id": pa.array(ids),
        "row_id": pa.array(row_ids),
        "at": at.cast(INSTANT),
        "version": pa.array(np.full(count, version)),
        "arm": pa.array(mode.astype(object), pa.string()),
        "batch": pa.array([key] * count),
        "score": pa.array(scores.max(axis=1) if multi else scores),
        "scores": pa.array(scores.tolist() if multi else [[]] * count, pa.list_(pa.float64())),
        "error": pa.array([""] * count),
        "microseconds": pa.nulls(count, pa.int64()),  # a batch has no latency of one row
    }
    for column in signature.inputs:
        kind = pa.string() if column.datatype == "BYTES" else pa.float64()
        columns[FEATURE + column.name] = rows.column(column.name).cast(kind)
    for name in rows.column_names:
        if name.startswith(KEY):
            columns[name] = key_text(rows.column(name))
    columns[ARRIVED] = columns["at"]
    return pa.table(columns)


def key_text(column: pa.ChunkedArray) -> pa.Array:
    """Entity keys as the log writes them: text, instants as Python's isoformat has them."""
    if pa.types.is_string(column.type):
        return column
    if not pa.types.is_timestamp(column.type):
        return column.cast(pa.string())
    instants = column.cast(INSTANT).to_numpy()
    seconds = instants.astype("datetime64[s]")
    text = np.where(instants == seconds, np.datetime_as_string(seconds), np.datetime_as_string(instants))
    return pa.array(np.char.add(text, "+00:00"), pa.string(), mask=np.isnat(instants))
