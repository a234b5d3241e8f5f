"""The verbs of data validation: ingest a batch under its schema, inspect what was set aside."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import cast

import numpy as np
import orjson
import pyarrow as pa

from hanok.compute.content import content_digest
from hanok.compute.partitions import parts, sliced
from hanok.compute.schemas import Checked, allowing, as_came, check_batch, infer_schema, typed_rows, widened
from hanok.compute.states import TableState
from hanok.compute.statistics import measure, statistics, summary
from hanok.compute.units import USUAL_ROWS_MIN
from hanok.compute.values import ARROW, Brought, Cell, cells, column_type, unviewed
from hanok.core import validation as v
from hanok.core.clock import Clock
from hanok.core.errors import BadData, Invalid
from hanok.core.ids import checked_name, new_id
from hanok.core.lineage import Edge, EdgeKind, Event, Node, NodeKind, snapshot_id
from hanok.core.names import checked_columns, in_any_spelling, respelled
from hanok.core.records import to_body
from hanok.core.tables import ARRIVED, BOOKKEEPING, OWN_TABLES, ROW, SEQUENCE, Appended, Overlay
from hanok.core.validation import (
    CHECK,
    LATELY,
    REMADE,
    REPLAYED,
    SCHEMA,
    STATE,
    Anomaly,
    CheckResult,
    ColumnSchema,
    Lately,
    Remade,
    Replayed,
    SetAside,
    StateIndex,
    TableSchema,
)
from hanok.parts.validation.acceptable import acceptable, arrivals, require, sliceable
from hanok.parts.validation.again import Again, compared
from hanok.parts.validation.batches import QUARANTINE, Batches, sent_again
from hanok.parts.validation.corrected import made_anew
from hanok.parts.validation.declared import DeclaredSchemas, Held, free
from hanok.parts.validation.kept import KeptStates
from hanok.parts.validation.lately import judged
from hanok.parts.validation.learning import learned, promising, without_ranges
from hanok.parts.validation.newer import ends, left_as_it_is, newest, refuse_replayed, refuse_superseded, superseded
from hanok.parts.validation.readings import Readings
from hanok.parts.validation.turns import Turns, in_turn
from hanok.stores.ports import Blobs, Metadata, Repositories, Tables

LEARNING_ROWS = 1000
BEGUN = "batch-begun"


class Validation:
    """Batches are held to the schema that the first rows of their table taught."""

    def __init__(self, *, metadata: Metadata, tables: Tables, blobs: Blobs, clock: Clock) -> None:
        self._metadata, self._tables, self._clock = metadata, tables, clock
        self.kept = KeptStates(metadata=metadata, blobs=blobs)
        self.declared = DeclaredSchemas(metadata=metadata, kept=self.kept, clock=clock)
        self.readings = Readings(metadata=metadata, clock=clock)
        self.batches = Batches(metadata=metadata, tables=tables)
        self.turns = Turns()
        self.identifying: Callable[[str], Collection[str]] = lambda _: ()  # a table's keys, by whoever knows them
        self.overlay: Callable[[str], Overlay | None] = lambda _: None  # of a table, by whoever knows the declarations

    @in_turn
    def ingest(
        self,
        table: str,
        rows: pa.Table,
        *,
        key: str,
        event_time: str = "",
        keys: Sequence[str] = (),
        slices: Sequence[str] = (),
        row_key: Sequence[str] = (),
        known_by: Sequence[str] = (),
        again: Sequence[str] = (),
        arrived: pa.ChunkedArray | pa.Array | None = None,
        digest: str = "",
        partial: bool = False,
        learned_ranges: bool = True,
        actor: str = "local",
    ) -> CheckResult:
        """Check a batch and append what is good; the rest goes to quarantine with its reasons.

        Statistics of what was appended are kept by day and, for the columns in `slices`, by their values. Of rows that
        `row_key` tells apart, those that are there already are not appended again, and those that are there with other
        values are said to be corrected; of several in the batch each comes after the one before it. `known_by` says the
        same of a file that was read before (in the batches `again`), each of whose rows comes once; those that came in
        from elsewhere since are left as they are. `partial` rows hold some columns of the
        table and lack none: they teach nothing about the others. Without `learned_ranges` only what was declared says
        how far values may go.

        `key` names the batch: the same key again has no effect, and raises Conflict with other rows (of another
        `digest`, which is of their content where none is given). `arrived` gives each row's instant of arrival and is
        for feeds that know it (a replay, a backfill with its own log); it is the present otherwise. Raises BadData
        when the batch cannot be a batch of this table at all.
        """
        checked_name("table", table)
        if table.startswith(OWN_TABLES):
            raise Invalid(
                f"{table!r} is kept by Hanok itself and takes no rows from outside; give another table's name"
            )
        before = self.batches.earlier(table, key)
        schema = self.schema(table)
        rows, spelt = _named(table, unviewed(rows), schema)
        rows = _of_known_types(rows, schema)
        untyped = [f.name for f in rows.schema if pa.types.is_null(f.type)]  # no value yet, so no type: left out
        rows = rows.drop_columns(untyped)
        now = self._clock.now()
        declared = self.declared.current(table)
        came_at = arrivals(rows, arrived, now)
        first = schema is None
        if schema is None:
            require(table, rows, [*keys, event_time])
            typed, made = as_came(rows)
            spelt = (*spelt, *_changed(made))
            schema = infer_schema(table, statistics(typed), typed, event_time=event_time, keys=keys)
        identity = {*schema.keys, *keys, *self.identifying(table)}  # a new entity may have any value
        schema = without_ranges(schema, identity)
        held_to = learned_ranges and (first or schema.rows_seen >= LEARNING_ROWS)
        expected = schema if held_to else without_ranges(schema)
        if partial:
            expected = promising(expected, rows.column_names)
        sliceable(schema, slices)
        row_key = tuple(in_any_spelling(k, rows.column_names) for k in row_key)
        checked = check_batch(rows, free(expected, declared) if declared else expected, row_key)
        digest = digest or content_digest(checked.came)
        if before is not None:
            return sent_again(before, rows.num_rows, digest)
        acceptable(table, checked, () if partial else row_key)
        said = {(a.type, a.column) for a in spelt}
        later = [a for a in checked.anomalies if (a.type, a.column) not in said]
        checked = replace(checked, anomalies=(*spelt, *later))
        state = measure(checked.came)
        measured = tuple(summary(c) for c in state.columns.values())
        came = checked.came.append_column(ARRIVED, came_at)
        by = slices or schema.slices
        held = self.declared.hold(declared, came, state, checked, untyped, by, partial) if declared else Held(checked)
        checked = held.checked
        late = self._late(table, key, checked.rows, row_key or known_by, again)
        left = left_as_it_is(checked.rows, late, row_key or known_by)
        stays = pa.array(~checked.bad & ~late)
        unchanged = int((~checked.bad & late).sum())
        checked = replace(checked, bad=checked.bad & ~late)
        good = checked.rows.filter(stays).append_column(ARRIVED, came_at.filter(stays))
        lately = self._lately(table)
        anew = self._again(table, key, good, checked.came.column_names, row_key or known_by, bool(row_key))
        good = anew.rows
        if good.num_rows:
            appended = self._tables.append(table, good, key=key, digest=digest, first=self.batches.end(table))
        else:
            appended = Appended(self._tables.size(table), 0)
        self._set_aside(table, key, rows.append_column(ARRIVED, came_at), checked)
        learning = schema.rows_seen < LEARNING_ROWS
        if learning and schema.rows_seen and good.num_rows:
            told = good.drop_columns([c.name for c in schema.columns if c.name not in rows.column_names])
            schema = without_ranges(learned(schema, told if partial else good), identity)
        told_of = judged(
            expected, checked.came, measured, lately, identity={*identity, *row_key}, known=checked.anomalies
        )
        schema = told_of.taught(schema)
        result = CheckResult(
            table,
            key,
            rows.num_rows,
            good.num_rows,
            int(checked.bad.sum()),
            (*checked.anomalies, *left, *anew.changes, *told_of.anomalies),
            measured,
            anew.unchanged + unchanged,
            anew.corrected,
            units=told_of.units,
        )
        small = lately is not None or rows.num_rows < USUAL_ROWS_MIN
        kept = self._kept(schema, good, by, state if good.num_rows == rows.num_rows else None)
        kept = replace(kept, first=appended.first)
        remade = self._remade(schema, good, kept, by, appended) if anew.corrected else None
        schema = replace(schema, slices=tuple(slices) or schema.slices)
        self._record(
            result,
            widened(replace(schema, rows_seen=0) if first else schema, good),
            replace(appended, digest=digest),
            now,
            actor,
            kept,
            held,
            told_of.lately if small else None,
            remade,
        )
        return result

    def _lately(self, table: str) -> Lately | None:
        return LATELY.open(self._metadata.read(lambda r: r.records.get(LATELY.name, table, "newest")))

    def _again(
        self, table: str, key: str, good: pa.Table, came: Sequence[str], row_key: Sequence[str], dated: bool
    ) -> Again:
        """Which rows are new, against the table as it was when the batch was begun: a batch that was cut down between
        its rows and their record finds the same ones. One that was recorded, and whose rows are lost, begins anew."""
        if not row_key or not good.num_rows:
            return Again(good)

        upto = self._begun(table, key)
        there = self._tables.scan(table, upto=upto) if upto else None
        return compared(good, came, there, [in_any_spelling(k, good.column_names) for k in row_key], dated=dated)

    def _late(self, table: str, key: str, rows: pa.Table, by: Sequence[str], again: Sequence[str]) -> np.ndarray:
        """Which rows of a file that is read once more came in from elsewhere since it was read first."""
        results = [r for name in again if (r := self.result(table, name)) and r.first is not None]
        upto = self._begun(table, key) if results and by else 0
        if not upto:
            return np.zeros(rows.num_rows, bool)
        first = min(ends(results).values())
        there = self._tables.scan(table, upto=upto)
        own = [(r.first or 0, (r.first or 0) + r.accepted) for r in results]
        return newest(there, rows, by, [first] * rows.num_rows, without=own) >= 0

    def _begun(self, table: str, key: str) -> int:
        """How many rows the table had when the batch was begun."""

        def begun(repositories: Repositories) -> int:
            body = repositories.records.get(BEGUN, table, key)
            if body is None or repositories.records.get(CHECK.name, table, key) is not None:
                body = {"upto": self._tables.size(table)}
                repositories.records.put(BEGUN, table, key, body, self._clock.now())
            return int(body["upto"])

        return self._metadata.write(begun)

    def _kept(
        self, schema: TableSchema, good: pa.Table, slices: Sequence[str], measured: TableState | None
    ) -> StateIndex:
        """Statistics by partition and slice; `measured` are those of the batch as it came, where every row stayed."""
        found = parts(good, time=schema.event_time, slices=slices, whole=measured)
        return self.kept.write(found, sliced=sliced(good, slices))

    def _remade(
        self, schema: TableSchema, good: pa.Table, own: StateIndex, slices: Sequence[str], appended: Appended
    ) -> Remade | None:
        """Statistics of the days in which rows were corrected, where readers see corrected rows alone."""
        overlay, upto = self.overlay(schema.table), appended.first + appended.rows
        if overlay is None:
            return None
        there = self._tables.scan(schema.table, upto=upto)
        return made_anew(self.kept, there, good, own, overlay, schema, slices)

    def now(self) -> datetime:
        """The instant that a batch without instants of its own arrives at."""
        return self._clock.now()

    def schema(self, table: str) -> TableSchema | None:
        schema = SCHEMA.open(self._metadata.read(lambda r: r.records.get(SCHEMA.name, table, "current")))
        return None if schema is None else self._with_later_columns(schema)

    def knows(self, table: str) -> bool:
        """Whether the table has a schema; also where its rows are damaged."""
        return self._metadata.read(lambda r: r.records.get(SCHEMA.name, table, "current")) is not None

    def _with_later_columns(self, schema: TableSchema) -> TableSchema:
        """A column that entered after the table was learned is of the type that the table keeps it in, and no more is
        expected of it."""
        if not self._tables.size(schema.table):
            return schema
        known = {*BOOKKEEPING, *(c.name for c in schema.columns)}
        later = [f for f in self._tables.scan(schema.table).schema if f.name not in known]
        return replace(schema, columns=(*schema.columns, *(ColumnSchema(f.name, column_type(f.type)) for f in later)))

    @in_turn
    def slice_by(self, table: str, columns: Sequence[str]) -> tuple[str, ...]:
        """Keep statistics of each value of these columns apart, from the next batch on. Raises Invalid."""
        schema = self.schema(table)
        if schema is None:
            raise Invalid(f"there is no table {table!r} yet: ingest its first batch, then name its slices")
        sliceable(schema, columns)
        made, now = replace(schema, slices=tuple(columns)), self._clock.now()
        self._metadata.write(lambda r: r.records.put(SCHEMA.name, table, "current", SCHEMA.body(made), now))
        return made.slices

    def result(self, table: str, key: str) -> CheckResult | None:
        """The outcome of a batch that was ingested before."""
        return CHECK.open(self._metadata.read(lambda r: r.records.get(CHECK.name, table, key)))

    def results(self, table: str | None = None, *, limit: int = 100) -> list[CheckResult]:
        """The newest outcomes first."""
        return CHECK.all(self._metadata.read(lambda r: r.records.list(CHECK.name, table, limit=limit)))

    def quarantined(self, table: str, *, limit: int = 100) -> list[SetAside]:
        """Rows set aside, the newest first."""
        if not self._tables.size(QUARANTINE + table):
            return []
        from hanok.compute.duck import read

        rows = read(self._tables.scan(QUARANTINE + table)).to_pylist()[-limit:]
        again = self._metadata.read(
            lambda r: {b["_key"]: REPLAYED.open(b) for b in r.records.list(REPLAYED.name, table)}
        )
        tried = {key: replayed.batch for key, replayed in again.items() if replayed}
        found = [
            SetAside(r[SEQUENCE], r["batch"], r["reason"], orjson.loads(r["row"]), tried.get(str(r[SEQUENCE]), ""))
            for r in reversed(rows)
        ]
        since = self._superseded(table, [r for r in found if not r.replayed])
        return [replace(r, superseded=since.get(r.id, "")) for r in found]

    def _superseded(
        self, table: str, waiting: Sequence[SetAside], changes: Mapping[str, Cell] | None = None
    ) -> dict[int, str]:
        """The rows whose key came in after they were set aside, and with which batch."""
        overlay, schema = self.overlay(table), self.schema(table)
        if overlay is None or schema is None or not waiting or not self._tables.size(table):
            return {}
        results = self.results(table, limit=1 << 30)
        return superseded(self._tables.scan(table), schema, waiting, overlay.row_key, results, changes)

    @in_turn
    def replay(
        self,
        table: str,
        ids: Sequence[int],
        *,
        changes: Mapping[str, Cell] | None = None,
        allow: Sequence[str] = (),
        over_newer: bool = False,
        actor: str = "local",
    ) -> CheckResult:
        """Try rows of the quarantine again as a batch of their own, mended by `changes` (column to value).

        With `allow` the schema is widened first: the named columns may take the values that these rows have. Rows that
        are still bad are set aside again with their reason; a row is replayed once. They count as known from now on,
        in the order in which they came.
        Raises Invalid for rows that are not there, were replayed before, or whose key came in since (unless they are to
        count `over_newer` ones), and for columns that the table does not have.
        """
        waiting = {r.id: r for r in self.quarantined(table, limit=1 << 30)}
        if missing := [i for i in ids if i not in waiting]:
            raise Invalid(f"the quarantine of {table!r} has no row {missing[0]}; see: hanok quarantine list {table}")
        refuse_replayed(ids, waiting)
        schema = self.schema(table)
        if not ids or schema is None:
            raise Invalid("name the rows to replay by their ids")
        if unknown := [c for c in (*(changes or {}), *allow) if schema.column(c) is None]:
            raise Invalid(f"{table!r} has no column {unknown[0]!r}; it has {', '.join(c.name for c in schema.columns)}")
        if not over_newer:
            refuse_superseded(table, self._superseded(table, [waiting[i] for i in ids], changes))
        came = [cast(Mapping[str, Cell], waiting[i].row) for i in sorted(ids)]
        rows = typed_rows([{**row, **(changes or {})} for row in came], schema)
        now = self._clock.now()
        if allow:
            wider = allowing(schema, rows, allow)
            self._metadata.write(lambda r: r.records.put(SCHEMA.name, table, "current", SCHEMA.body(wider), now))
        batch = f"replay {' '.join(map(str, sorted(ids)))}"[:120]
        overlay = self.overlay(table)
        result = self.ingest(table, rows, key=batch, row_key=overlay.row_key if overlay else (), actor=actor)

        def note(repositories: Repositories) -> None:
            body = REPLAYED.body(Replayed(batch, {k: str(v) for k, v in (changes or {}).items()}, actor))
            for i in ids:
                repositories.records.put(REPLAYED.name, table, str(i), body, now)

        self._metadata.write(note)
        return result

    def state(self, table: str, *, batch: str | None = None) -> TableState:
        """The merged statistics of the rows of a table, or of one batch: read from what was kept, not from the rows."""
        return self.kept.select(table, batch=batch or "").merged

    def _set_aside(self, table: str, key: str, rows: pa.Table, checked: Checked) -> None:
        hit = np.flatnonzero(checked.bad)
        if not len(hit):
            return
        raw = rows.take(pa.array(hit))
        kept = pa.table(
            {
                "batch": pa.array([key] * len(hit)),
                "reason": pa.array([checked.reasons[i] for i in hit]),
                "row": pa.array([_written(r) for r in cells(raw.drop_columns([ARRIVED]))]),
                ARRIVED: raw.column(ARRIVED),
            }
        )
        self._tables.append(QUARANTINE + table, kept, key=key)

    def _record(
        self,
        result: CheckResult,
        schema: TableSchema,
        appended: Appended,
        now: datetime,
        actor: str,
        kept: StateIndex,
        held: Held,
        lately: Lately | None,
        remade: Remade | None,
    ) -> None:
        node_id = new_id(now)
        facts = {
            "table": result.table,
            "batch": result.batch,
            "rows": result.rows,
            "accepted": result.accepted,
            "quarantined": result.quarantined,
            "anomalies": [to_body(a) for a in result.anomalies],
            "unchanged": result.unchanged,
            "corrected": result.corrected,
            "first": appended.first,
            "actor": actor,
        }
        node = Node(node_id, NodeKind.CHECK_RESULT, f"{result.table} {result.batch}", now, facts)
        snapshot = Node(
            snapshot_id(result.table, appended.first + appended.rows),
            NodeKind.SOURCE_SNAPSHOT,
            f"{result.table}[:{appended.first + appended.rows}]",
            now,
            {"table": result.table, "rows": appended.first + appended.rows},
        )
        body = CHECK.body(replace(result, node=node_id, digest=appended.digest, first=appended.first))

        def work(repositories: Repositories) -> None:
            repositories.lineage.add([node, snapshot], [Edge(node_id, EdgeKind.WROTE, snapshot.id)])
            repositories.records.put(SCHEMA.name, result.table, "current", SCHEMA.body(schema), now)
            repositories.records.put(CHECK.name, result.table, result.batch, body, now)
            repositories.records.put(STATE.name, result.table, result.batch, STATE.body(kept), now)
            if remade is not None:
                repositories.records.put(REMADE.name, result.table, result.batch, REMADE.body(remade), now)
            self.declared.note(repositories, result.table, result.batch, held)
            if lately is not None:
                repositories.records.put(LATELY.name, result.table, "newest", LATELY.body(lately), now)
            repositories.outbox.append(
                Event(
                    "batch_ingested",
                    node_id,
                    now,
                    {"table": result.table, "batch": result.batch, "first": appended.first, "rows": appended.rows},
                )
            )

        self._metadata.write(work)


def _named(table: str, rows: pa.Table, schema: TableSchema | None) -> tuple[pa.Table, tuple[Anomaly, ...]]:
    """The batch with the table's spelling of its columns, and what was spelt otherwise. Raises BadData."""
    known = [c.name for c in schema.columns] if schema else []
    where = f"the batch for {table!r}"
    if not rows.column_names:
        raise BadData(f"{where} has no columns")
    checked_columns(where, rows.column_names, known=[*known, ROW])
    other = respelled(rows.column_names, known)
    if not other:
        return rows, ()
    said = tuple(
        Anomaly(v.RESPELLED, theirs, "warning", f"{mine!r} is taken as the table's {theirs!r}", mine, theirs)
        for mine, theirs in other.items()
    )
    return rows.rename_columns([other.get(n, n) for n in rows.column_names]), said


def _of_known_types(rows: pa.Table, schema: TableSchema | None) -> pa.Table:
    """A column without a value has the type of its column in the table: that it is null is what the batch says."""
    for i, field in enumerate(rows.schema):
        column = schema.column(field.name) if schema is not None and pa.types.is_null(field.type) else None
        if column is not None and column.type in ARROW:
            rows = rows.set_column(i, field.name, pa.nulls(rows.num_rows, ARROW[column.type]))
    return rows


def _changed(made: Mapping[str, Brought]) -> tuple[Anomaly, ...]:
    """What the first rows of a table lost or gained on their way into a type that holds them."""
    return tuple(
        Anomaly(v.CONVERTED, name, "warning", f"{name} {brought.remark}")
        for name, brought in made.items()
        if brought.remark
    )


def _written(row: Mapping[str, Cell]) -> str:
    """A row as JSON that says what it held: infinite numbers as text, which JSON has no number for."""
    return orjson.dumps({k: _kept(value) for k, value in row.items()}, default=str).decode()


def _kept(value: Cell) -> Cell:
    return str(value) if isinstance(value, bytes) or (isinstance(value, float) and math.isinf(value)) else value
