"""Many rows answered under one key: every arm scores every row, the arm that a row falls to answers it, and all of it
is in the log before anybody sees it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hanok.compute.content import content_digest
from hanok.compute.frames import PREDICT_AT
from hanok.core.clock import from_micros
from hanok.core.errors import HanokError, SignatureMismatch
from hanok.core.ids import PredictionId
from hanok.core.serving import Arm, Prediction, Signature
from hanok.parts.serving.apart import decide_apart
from hanok.parts.serving.deployments import Snapshot
from hanok.parts.serving.log import PredictionLog
from hanok.parts.serving.router import answering_rows, primary_of, sticky
from hanok.parts.serving.rows import BatchRows, errors_of
from hanok.parts.serving.scorer import Decision, passing, rows_of

BATCH_WORKERS = 0x8000  # ids of batches have worker numbers that no process has


@dataclass(frozen=True, slots=True)
class Rows:
    """What is to be answered: features as they came, with `_at` where each row has an instant of its own. `keys` are
    the entity's, spelled. `by_version` gives versions the same rows with features of their own."""

    name: str
    key: str
    table: pa.Table
    keys: Mapping[str, pa.ChunkedArray]
    now: int
    by_version: Mapping[int, pa.Table]

    @property
    def count(self) -> int:
        return int(self.table.num_rows)

    @property
    def at(self) -> pa.ChunkedArray | pa.Array:
        if PREDICT_AT in self.table.column_names:
            return self.table.column(PREDICT_AT)
        return pa.array(np.full(self.count, self.now), pa.int64())


@dataclass(frozen=True, slots=True)
class Decided:
    """What the arms gave. `places` says of each row which arm answers it, `ids` are those of each arm's rows."""

    rows: Rows
    places: NDArray[np.int64]
    ids: Sequence[Sequence[str]]
    decisions: Sequence[Decision]

    @property
    def row_ids(self) -> list[str]:
        """The ids of the answers."""
        return [self.ids[place][row] for row, place in enumerate(self.places.tolist())]

    @property
    def failed(self) -> dict[int, str]:
        """Why versions did not answer rows that were theirs."""
        failed = {}
        for place, decision in enumerate(self.decisions):
            own = np.isin(np.flatnonzero(self.places == place), decision.broken_rows)
            if own.any() and (failure := decision.failure) is not None:
                failed[decision.arm.version] = failure.message
        return failed

    @property
    def passing(self) -> HanokError | None:
        """Why rows have no answer that may have one when they are asked again."""
        for place, decision in enumerate(self.decisions):
            if decision.error is not None and passing(decision.error) and (self.places == place).any():
                return decision.error
        return None

    def logged(self, known: pa.Schema | None) -> pa.Table:
        """The rows of the log, for a table that has the columns `known` already."""
        parts, row_ids = list[pa.Table](), self.row_ids
        for place, decision in enumerate(self.decisions):
            modes = np.where(self.places == place, decision.arm.mode, "shadow").tolist()
            own = self.rows.by_version.get(decision.arm.version, self.rows.table)
            batch = BatchRows(own, key=self.rows.key, at=self.rows.at, keys=self.rows.keys)
            part = batch.table(decision, ids=self.ids[place], row_ids=row_ids, modes=modes, known=known)
            parts.append(part)
            known = part.schema if known is None else pa.unify_schemas([known, part.schema])
        return pa.concat_tables(parts, promote_options="default")


def decided(snapshot: Snapshot, rows: Rows) -> Decided:
    """Let every arm score every row. An arm that fails is data here.

    As online, what does not fit a canary, or falls to one that could not be loaded, is answered by the primary."""
    arms = snapshot.deployment.arms
    texts = _sticky_rows(rows) if any(a.mode == "canary" for a in arms) else [""] * rows.count
    places = answering_rows(arms, texts)
    ids = [list(_ids(rows, place * rows.count)) for place in range(len(arms))]
    decisions = [_decide(snapshot, arm, rows.by_version.get(arm.version, rows.table)) for arm in arms]
    for place, decision in enumerate(decisions):
        if decision.arm.mode == "canary":
            places[(places == place) & _for_the_primary(snapshot, decision, rows.count)] = primary_of(arms)
    return Decided(rows, places, ids, decisions)


def log_rows(log: PredictionLog, made: Decided) -> bool:
    """Log what was decided; False when the key was answered before. Raises Conflict when other rows were."""
    rows = made.rows
    return log.append_batch(rows.name, made.logged, rows.key, content_digest(rows.table))


def answers(made: Decided) -> pa.Table:
    """What each row is answered with: see `answers_logged`."""
    count = made.rows.count
    score, errors, wide = np.full(count, np.nan), np.full(count, "", object), np.full(count, None, object)
    for place, decision in enumerate(made.decisions):
        own = np.flatnonzero(made.places == place)
        errors[own] = np.array(errors_of(decision, count), object)[own]
        if decision.scores is None:
            continue
        given = decision.scores[own]
        score[own] = given if given.ndim == 1 else given.max(axis=1)
        if given.ndim == 2:
            for row, scores in zip(own.tolist(), given.tolist(), strict=True):
                wide[row] = scores
    versions = np.array([d.arm.version for d in made.decisions], np.int64)[made.places]
    rows = pa.table(
        {
            "prediction_id": pa.array(made.row_ids, pa.string()),
            "version": pa.array(versions),
            "score": pa.array(score),
            "scores": pa.array(wide.tolist(), pa.list_(pa.float64())),
            "error": pa.array(errors.tolist(), pa.string()),
        }
    )
    return answers_logged(rows, {d.arm.version: d.signature for d in made.decisions if d.signature})


def answers_logged(rows: pa.Table, signatures: Mapping[int, Signature]) -> pa.Table:
    """Rows of the log as answers: prediction_id, version, score, scores (of classes, where a version has several),
    label, error. A row that came to no score has none, and an error."""
    errors = pc.if_else(pc.equal(rows.column("error"), ""), pa.scalar(None, pa.string()), rows.column("error"))
    fine = errors.is_null()
    score = pc.if_else(fine, rows.column("score"), pa.scalar(None, pa.float64()))
    columns = {
        "prediction_id": rows.column("prediction_id"),
        "version": rows.column("version"),
        "score": score,
    }
    if any(s.task == "multiclass" for s in signatures.values()):
        pairs = zip(rows.column("scores").to_pylist(), errors.to_pylist(), strict=True)
        columns["scores"] = pa.array([s if s and e is None else None for s, e in pairs], pa.list_(pa.float64()))
    columns["label"] = _labels(rows, score, signatures)
    columns["error"] = errors
    return pa.table(columns)


def _labels(rows: pa.Table, score: pa.ChunkedArray, signatures: Mapping[int, Signature]) -> pa.Array:
    values = score.to_numpy(zero_copy_only=False)
    versions, known = rows.column("version").to_numpy(), ~np.isnan(values)
    labels = np.full(rows.num_rows, None, object)
    for version, signature in signatures.items():
        own = np.flatnonzero((versions == version) & known)
        if signature.task == "binary":
            labels[own] = np.array(signature.classes, object)[(values[own] >= 0.5).astype(int)]
        elif signature.task == "multiclass":
            wide = rows.column("scores").take(pa.array(own)).to_pylist()
            labels[own] = [signature.classes[int(np.argmax(scores))] for scores in wide]
    return pa.array(labels.tolist(), pa.string())


def _decide(snapshot: Snapshot, arm: Arm, table: pa.Table) -> Decision:
    try:
        loaded = snapshot.model(arm.version)
    except HanokError as error:
        return Decision(arm, rows_of(dict(zip(table.column_names, table.columns, strict=True))), None, None, error, 0)
    return decide_apart(loaded, arm, table)


def _for_the_primary(snapshot: Snapshot, canary: Decision, count: int) -> NDArray[np.bool_]:
    if canary.arm.version not in snapshot.models:
        return np.full(count, True)
    if snapshot.deployment.primary not in snapshot.models:
        return np.full(count, False)
    unfit = np.full(count, isinstance(canary.error, SignatureMismatch))
    unfit[[row for row, error in canary.row_errors.items() if isinstance(error, SignatureMismatch)]] = True
    return unfit


def _sticky_rows(rows: Rows) -> list[str]:
    """The texts by which the rows of a batch are routed."""
    columns = {name: texts.to_pylist() for name, texts in rows.keys.items()}
    names = sorted(columns)
    return [
        sticky({n: columns[n][row] for n in names if columns[n][row] is not None}, f"{rows.key} {row}")
        for row in range(rows.count)
    ]


def _ids(rows: Rows, first: int) -> Iterator[str]:
    """Ids that the batch's key decides, so that a batch that is answered again has the same."""
    digest = int(hashlib.sha256(rows.key.encode()).hexdigest()[:10], 16)
    worker, segment = BATCH_WORKERS | digest >> 24 & 0x7FFF, digest & 0xFFFFFF
    file = PredictionId(rows.name, rows.now // 1000, segment, 0, worker).file
    return (f"{rows.name}~{file}-{number:08x}" for number in range(first, first + rows.count))


def batch_instant(prediction_id: str) -> datetime:
    """When rows were answered in bulk, by the id of one of the answers: the end of that millisecond."""
    return from_micros((PredictionId.parse(prediction_id).start_ms + 1) * 1000 - 1)


def answered_at(found: Prediction) -> datetime:
    """When it was answered: what is answered in bulk is dated to when it was due."""
    return max(found.at, batch_instant(found.id)) if found.batch else found.at
