"""Files and tables answered in bulk: serving joined with declarations, tables, and the types of what comes in."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hanok.compute.duck import arrow, connect, one_row, quoted, read, same_row
from hanok.compute.frames import PREDICT_AT
from hanok.compute.values import bring, column_type, unwrapped
from hanok.core.access import Access
from hanok.core.batches import OWN_COLUMNS, Batch, Wanted
from hanok.core.errors import Invalid
from hanok.core.names import folded
from hanok.core.tables import BOOKKEEPING, SEQUENCE, Scan
from hanok.core.validation import Reading
from hanok.engine.ingesting import Ingesting
from hanok.engine.predicting import DeclaredKeys
from hanok.engine.sources import as_declared
from hanok.parts.access import GuardedMetadata, GuardedTables
from hanok.parts.features.service import Features
from hanok.parts.serving.service import Serving
from hanok.parts.training.service import Training
from hanok.parts.validation.service import Validation
from hanok.wire.inference.cells import Foreign
from hanok.wire.inference.columns import CELLS, TYPED, cells_of, is_valid, read_column

NO_ROW = -1
PLACE_MAX = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Batching:
    """Made of an App by `parts.find`."""

    serving: Serving
    tables: GuardedTables
    metadata: GuardedMetadata
    features: Features
    ingesting: Ingesting
    training: Training
    validation: Validation

    def reading(self, model: str) -> tuple[Reading, list[str]]:
        """How files are read that hold rows of the model's spine, and which of their columns are numbers."""
        self.metadata.require_model(model, Access.USE)
        table, numbers = self._spine(model), []
        for one in self.serving.signature(model).inputs:
            numbers += [one.name] if one.datatype in ("FP64", "INT64") else []
        return self.validation.readings.usual(table) if table else Reading(), numbers

    def _spine(self, model: str) -> str:
        return next((m.spine.table for m in self.training.models() if m.name == model), "")

    def _dated(self, batch: Batch, rows: pa.Table) -> pa.Table:
        """Instants and keys of a file as the project declares that they are spelled."""
        asked = {folded(n) for n in (batch.at, *batch.keys.values())}
        kinds = self.ingesting.kinds(self._spine(batch.model)) if batch.digest else {}
        return as_declared(rows, {n: k for n, k in kinds.items() if folded(n) in asked and k.startswith("date ")})

    def begin(self, model: str, wanted: Wanted, actor: str, rows: int = 0) -> Batch:
        """See `Batches.begin`. Keys that nobody named are those of the model's declaration, where the source has all
        of them."""
        upto = rows
        row_key: tuple[str, ...] = ()
        if not wanted.digest:
            scan = self.features.spines.scan(wanted.source)
            row_key = scan.overlay.row_key if scan.overlay is not None else ()
            upto, columns = scan.upto, tuple(n for n in scan.schema.names if n not in BOOKKEEPING)
            wanted = replace(wanted, columns=columns)
        if not wanted.keys and isinstance(declared := self.serving.keys, DeclaredKeys):
            wanted = replace(wanted, keys={n: n for n in declared.of_columns(model, wanted.columns)})
        return self.serving.batches.begin(model, wanted, upto=upto, actor=actor, row_key=row_key)

    def piece(self, model: str, batch_id: str, place: int, rows: pa.Table | None) -> pa.Table:
        """The answers to one piece: `row`, the columns that are kept, and what `answers_logged` says. `rows` hold the
        batch's columns as they came; None for a table of the home. Rows with a value that fits no input are in no log,
        and have an error here. Raises Invalid for rows of another form."""
        self.metadata.require_model(model, Access.USE)
        batch = self.serving.batches.get(model, batch_id)
        if place > PLACE_MAX:
            raise Invalid(f"there is no piece {place}: pieces are numbered from 0 to {PLACE_MAX}")
        numbers = None
        if rows is None:
            rows = self._slice(batch, place)
            numbers = rows.column(SEQUENCE)
        if missing := [n for n in batch.columns if n not in rows.column_names]:
            raise Invalid(f"the piece has no column {missing[0]!r}; it has {', '.join(rows.column_names)}")
        if rows.num_rows > batch.piece_rows:
            raise Invalid(f"a piece of this batch has {batch.piece_rows} rows at most, not {rows.num_rows}")
        first = place * batch.piece_rows
        refused = np.full(rows.num_rows, None, object)
        typed = self._typed(batch, rows, refused)
        fine = pa.array(np.array([why is None for why in refused], bool))
        kept = typed.filter(fine)
        keys = {n: kept.column(f"key {n}") for n in batch.keys}
        features = kept.select([n for n in kept.column_names if not n.startswith("key ")])
        given = self.serving.batches.answer(batch, place, features, keys) if kept.num_rows else None
        rows = _legible(rows)
        beside = {_kept(n): rows.column(n) for n in dict.fromkeys((*batch.keys.values(), *batch.keep))}
        if numbers is None:
            numbers = pa.array(np.arange(first, first + rows.num_rows))
        return _joined(pa.table({"row": numbers, **beside}), refused.tolist(), given)

    def runs_away(self, model: str, batch_id: str) -> bool:
        """Whether a model that scores the rows of a batch runs in a process of its own."""
        self.metadata.require_model(model, Access.USE)
        snapshot = self.serving.batches.snapshot(self.serving.batches.get(model, batch_id))
        return any(loaded.away for loaded in snapshot.models.values())

    def _slice(self, batch: Batch, place: int) -> pa.Table:
        """The rows of a table that count, with their numbers: of those that were corrected since, the later ones."""
        if batch.digest:
            raise Invalid(f"the rows of {batch.source} are sent with each piece: it is a file")
        low, high = place * batch.piece_rows, min((place + 1) * batch.piece_rows, batch.upto)
        scan = self.tables.scan(batch.source, upto=batch.upto)
        return _counting(scan, [*batch.columns, SEQUENCE], low, high, batch.row_key)

    def _typed(self, batch: Batch, rows: pa.Table, refused: NDArray[np.object_]) -> pa.Table:
        """The columns that arms take, keys spelled as `key NAME`, instants as `_at`; adds of each row to `refused` why
        it cannot be asked."""
        columns = self._inputs(batch, rows, refused)
        rows = self._dated(batch, _legible(rows, {*batch.keys.values(), batch.at}, refused))
        if batch.at:
            made = bring(rows.column(batch.at), "TIMESTAMP")
            _refuse(refused, made.bad, rows.column(batch.at), batch.at, "an instant")
            columns[PREDICT_AT] = made.column
            _refuse(refused, made.column.is_null().to_numpy(zero_copy_only=False), rows.column(batch.at), batch.at,
                    "an instant")  # fmt: skip
        given = {key: rows.column(column) for key, column in batch.keys.items()}
        spelled = self.serving.keys.spelled_columns(batch.model, given, strict=False)
        for key, texts in spelled.items():
            odd = pc.and_(texts.is_null(), given[key].is_valid()).to_numpy(zero_copy_only=False)
            _refuse(refused, odd, given[key], key, "a key of its type")
            columns[f"key {key}"] = texts
        return pa.table(columns)

    def _inputs(self, batch: Batch, rows: pa.Table, refused: NDArray[np.object_]) -> dict[str, pa.ChunkedArray]:
        """What the arms take, by the rule of requests. What a shadow alone takes refuses no row: a value that does not
        fit is none to it."""
        written, models = TYPED not in (rows.schema.metadata or {}), self.serving.batches.snapshot(batch).models
        columns: dict[str, pa.ChunkedArray] = {}
        for arm in sorted(batch.arms, key=lambda a: a.mode == "shadow"):
            for wanted in models[arm.version].signature.inputs if arm.version in models else ():
                name = wanted.name
                if name not in rows.column_names or name in columns:
                    continue
                spelled = CELLS in (rows.schema.field(name).metadata or {})
                read = read_column(wanted, rows.column(name), written=written, spelled=spelled)
                columns[name] = read.column
                if arm.mode == "shadow":
                    fits = pa.array([row not in read.refused for row in range(rows.num_rows)], pa.bool_())
                    columns[name] = pc.if_else(fits, read.column, pa.scalar(None, read.column.type))
                    continue
                for row, why in read.refused.items():
                    refused[row] = refused[row] or why
        return columns


def _counting(scan: Scan, columns: Sequence[str], low: int, high: int, row_key: Sequence[str]) -> pa.Table:
    """The rows numbered from `low` to below `high` that no later row of the scan took the place of. Looks at the later
    rows of these keys only: a big table is read in many pieces."""
    within = f"{SEQUENCE} >= {low} AND {SEQUENCE} < {high}"
    if not row_key:
        return read(scan, list(columns), within)
    by = ", ".join(map(quoted, row_key))
    with connect({"source": scan}) as duck:
        return arrow(
            duck,
            f"WITH k AS (SELECT {by}, {SEQUENCE} FROM source WHERE {within}), newest AS "
            f"(SELECT max(t.{SEQUENCE}) AS n FROM source t SEMI JOIN k ON {same_row('t', 'k', row_key)} "
            f"WHERE t.{SEQUENCE} >= {low} GROUP BY {one_row(row_key, 't.')}) "
            f"SELECT {', '.join(map(quoted, columns))} FROM source "
            f"WHERE {within} AND {SEQUENCE} IN (SELECT n FROM newest) ORDER BY {SEQUENCE}",
        )


def _refuse(
    refused: NDArray[np.object_], bad: NDArray[np.bool_], column: pa.ChunkedArray, name: str, must: str
) -> None:
    for row in np.flatnonzero(bad).tolist():
        if refused[row] is None:
            (cell,) = cells_of(column.slice(row, 1))
            shown = "null" if cell is None else repr(cell)
            refused[row] = f"{name} is {shown if len(shown) <= 60 else shown[:57] + '...'}, which is not {must}"


def _legible(rows: pa.Table, asked: Collection[str] = (), refused: NDArray[np.object_] | None = None) -> pa.Table:
    """The rows with texts that are text: bytes that are no UTF-8 are shown escaped, and refuse a row that is `asked`
    about them. Columns of JSON are the texts that they hold."""
    for place, field in enumerate(rows.schema):
        column = rows.column(place)
        if CELLS in (field.metadata or {}):
            if refused is not None and field.name in asked:
                many = np.array([t is not None and t[0] in "[{" for t in column.to_pylist()], bool)
                _refuse(refused, many, column, field.name, "one value")
            column = pa.chunked_array([pa.array([_text_of(t) for t in column.to_pylist()], pa.string())])
        elif column_type(field.type) == "STRING" and not is_valid(column):
            cells = cells_of(column)
            bad = np.array([isinstance(c, Foreign) for c in cells], bool)
            if not bad.any() or not pa.types.is_string(unwrapped(column).type):
                continue
            column = pa.chunked_array([pa.array([c.text if isinstance(c, Foreign) else c for c in cells], pa.string())])
            if refused is not None and field.name in asked:
                _refuse(refused, bad, column, field.name, "UTF-8 text")
        else:
            continue
        rows = rows.set_column(place, field.name, column)
    return rows


def _text_of(spelled: str | None) -> str | None:
    if spelled is None or not spelled.startswith('"'):
        return spelled
    return str(json.loads(spelled))


def _joined(rows: pa.Table, refused: Sequence[str | None], given: pa.Table | None) -> pa.Table:
    """Answers beside their rows; those that were refused have an error and nothing else."""
    if given is None:
        return rows.append_column("error", pa.array(list(refused), pa.string()))
    place = np.full(rows.num_rows, NO_ROW)
    place[[why is None for why in refused]] = np.arange(given.num_rows)
    taken = given.take(pa.array(place, mask=place == NO_ROW))
    for name in given.column_names:
        if name == "error":
            own = pa.array(list(refused), pa.string())
            rows = rows.append_column(name, pc.coalesce(own, taken.column(name)))
        else:
            rows = rows.append_column(name, taken.column(name))
    return rows


def _kept(name: str) -> str:
    return f"input_{name}" if name in OWN_COLUMNS else name
