"""Files and tables that are answered in pieces: begun once, each piece answered once, the same however often asked."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import orjson
import pyarrow as pa

from hanok.core.batches import BATCH, DONE, RUNNING, Batch, Wanted
from hanok.core.clock import Clock, micros
from hanok.core.errors import Conflict, Invalid, ModelNotFound, NotFound
from hanok.core.lineage import Edge, EdgeKind, Event, Node, NodeKind, snapshot_id
from hanok.core.records import to_body
from hanok.core.serving import Arm, Deployment
from hanok.parts.serving.bulk import Rows, answers, answers_logged, decided, log_rows
from hanok.parts.serving.deployments import Deployments, Snapshot
from hanok.parts.serving.log import PredictionLog
from hanok.stores.ports import Metadata, Repositories

PIECE_ROWS, PIECE_CELLS = 50_000, 2_000_000
LISTED = 1000
NO_ROWS: Mapping[int, pa.Table] = MappingProxyType({})


class Batches:
    """A batch is pinned to the arms and the instant at which it began, so that a piece that is asked for again after a
    kill, or after a deployment, has the same answers with the same ids."""

    def __init__(self, *, metadata: Metadata, versions: Deployments, log: PredictionLog, clock: Clock) -> None:
        self._metadata, self._versions, self._log, self._clock = metadata, versions, log, clock
        self._pinned: tuple[str, Snapshot] | None = None

    def begin(self, model: str, wanted: Wanted, *, upto: int, actor: str, row_key: tuple[str, ...] = ()) -> Batch:
        """The batch of this wish: one that has not ended goes on, one that was answered by what is deployed now is
        given back, else a new one begins. `upto` are the rows in all, 0 where a file's are not known. Raises
        ModelNotFound, Invalid for columns that are not there."""
        snapshot, node = self._answering(model, wanted.version)
        deployment = snapshot.deployment
        of_table = 0 if wanted.digest else upto
        wish = _digest(model, to_body(replace(wanted, out="", columns=())), of_table, *([row_key] if row_key else []))
        for known in self.list(model):
            if known.wanted == wish and (known.state == RUNNING or known.generation == deployment.generation):
                return known
        inputs = _inputs(snapshot)
        asked = (*inputs, *wanted.keys.values(), *wanted.keep, wanted.at)
        if missing := [n for n in asked if n and n not in wanted.columns]:
            raise Invalid(
                f"{wanted.source} has no column {missing[0]!r}"
                + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
                + f"; version {deployment.primary} of {model!r} takes {', '.join(inputs)}, and the columns are "
                + ", ".join(wanted.columns[:40])
            )
        named = [*inputs, *_beside(snapshot, wanted.columns), *wanted.keys.values(), *wanted.keep, wanted.at]
        columns = tuple(dict.fromkeys(n for n in named if n))
        now = self._clock.now()
        batch = Batch(
            _digest(model, wish, deployment.generation, [(a.version, a.mode, a.share) for a in deployment.arms])[:32],
            model,
            wish,
            wanted.source,
            wanted.digest,
            now,
            actor,
            deployment.generation,
            deployment.arms,
            node,
            inputs,
            columns,
            dict(wanted.keys),
            wanted.at,
            wanted.keep,
            wanted.piece_rows or max(1, min(PIECE_ROWS, PIECE_CELLS // max(1, len(columns)))),
            upto,
            wanted.out,
            row_key=row_key,
        )
        return self._metadata.write(lambda r: _record(r, batch))

    def get(self, model: str, batch_id: str) -> Batch:
        """Raises NotFound."""
        found = BATCH.open(self._metadata.read(lambda r: r.records.get(BATCH.name, model, batch_id)))
        if found is None:
            raise NotFound(f"there is no batch {batch_id[:40]!r} of {model!r}; see: hanok prediction batches {model}")
        return found

    def list(self, model: str | None = None) -> list[Batch]:
        """The newest first."""
        return BATCH.all(self._metadata.read(lambda r: r.records.list(BATCH.name, model, limit=LISTED)))

    def snapshot(self, batch: Batch) -> Snapshot:
        """The arms that answer a batch, loaded. Raises what loading the primary does."""
        pinned = self._pinned  # read once: another thread may pin another batch at any time
        if pinned is None or pinned[0] != batch.id:
            deployed = Deployment(batch.model, batch.generation, batch.arms, batch.begun, batch.actor, "")
            pinned = self._pinned = batch.id, self._versions.pinned(deployed)
        return pinned[1]

    def answer(self, batch: Batch, place: int, rows: pa.Table, keys: Mapping[str, pa.ChunkedArray]) -> pa.Table:
        """The answers to a piece, logged: see `answers_logged`. `rows` are features as they came, `keys` those of the
        entities, spelled. Raises Conflict for a piece that was answered with other rows, Unavailable where the model
        could not answer now: nothing is logged then, and the piece may be asked for again."""
        key, snapshot = batch.piece(place), self.snapshot(batch)
        made = decided(snapshot, Rows(batch.model, key, rows, keys, micros(batch.begun), NO_ROWS))
        if (fault := made.passing) is not None:
            self._pinned = None
            raise fault
        if log_rows(self._log, made):
            return answers(made)
        signatures = {version: loaded.signature for version, loaded in snapshot.models.items()}
        return answers_logged(self._log.batch_answers(batch.model, key), signatures)

    def finish(self, batch: Batch, *, rows: int, refused: int, failed: int) -> Batch:
        """Say that all pieces are answered. Raises Conflict where the log does not have as many answers."""
        if batch.state == DONE:
            return batch
        if rows < refused + failed:
            raise Conflict(f"{rows} rows cannot hold {refused} that were refused and {failed} that failed")
        answered = self._log.batch_size(batch.model, batch.piece(0)[:-1])
        if batch.digest and batch.upto and rows != batch.upto:
            raise Conflict(f"{batch.source} had {batch.upto} rows when its batch began, and {rows} are said to be read")
        if answered < rows - refused:
            raise Conflict(
                f"of {rows - refused} rows that are said to be answered, the log has {answered}: ask for every "
                "piece of the batch, then finish it"
            )
        now = self._clock.now()
        done = replace(batch, state=DONE, rows=rows, refused=refused, failed=failed, ended=now)
        facts = {"model": batch.model, "key": batch.id, "rows": rows - refused}

        def work(r: Repositories) -> None:
            r.records.put(BATCH.name, batch.model, batch.id, BATCH.body(done), batch.begun)
            r.outbox.append(Event("batch_predicted", batch.id, now, facts))

        self._metadata.write(work)
        self._pinned = None
        return done

    def _answering(self, model: str, version: int) -> tuple[Snapshot, str]:
        """Who answers, and the node that stands for it: the deployment, or a version that was asked for."""
        deployed = self._metadata.read(lambda r: r.deployments.get(model))
        if not version:
            if deployed is None:
                raise ModelNotFound(f"no model {model!r} is deployed; see 'hanok deploy --help', or name a version")
            return self._versions.pinned(deployed), deployed.node_id
        loaded = self._versions.load(model, version)
        (found,) = self._metadata.read(lambda r: r.registry.versions(model, version))
        alone = Deployment(model, 0, (Arm(version, "primary", 100),), self._clock.now(), "", "")
        return Snapshot(alone, {version: loaded}, {}), found.id


def _inputs(snapshot: Snapshot) -> tuple[str, ...]:
    """What the primary takes."""
    return tuple(c.name for c in snapshot.model(snapshot.deployment.primary).signature.inputs)


def _beside(snapshot: Snapshot, columns: Sequence[str]) -> list[str]:
    """What other arms take, as far as it is there."""
    return [c.name for m in snapshot.models.values() for c in m.signature.inputs if c.name in columns]


def _digest(*said: object) -> str:
    return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _record(r: Repositories, batch: Batch) -> Batch:
    """The batch, or the same one that another call began meanwhile."""
    if (known := BATCH.open(r.records.get(BATCH.name, batch.model, batch.id))) is not None:
        return known
    facts = {
        "model": batch.model,
        "source": batch.source,
        "digest": batch.digest,
        "rows": batch.upto,
        "generation": batch.generation,
        "out": batch.out,
    }
    source = _source(batch)
    node = Node(batch.node, NodeKind.PREDICTION_BATCH, f"{batch.model} {batch.source}", batch.begun, facts)
    edges = [Edge(batch.node, EdgeKind.SERVED_BY, batch.deployment), Edge(batch.node, EdgeKind.READ, source.id)]
    r.lineage.add([source, node], edges)
    r.records.put(BATCH.name, batch.model, batch.id, BATCH.body(batch), batch.begun)
    return batch


def _source(batch: Batch) -> Node:
    if batch.digest:
        file = {"file": batch.source, "digest": batch.digest}
        return Node(batch.digest[:32], NodeKind.SOURCE_SNAPSHOT, batch.source, batch.begun, file)
    facts = {"table": batch.source, "rows": batch.upto}
    title = f"{batch.source}[:{batch.upto}]"
    return Node(snapshot_id(batch.source, batch.upto), NodeKind.SOURCE_SNAPSHOT, title, batch.begun, facts)
