"""Batches of rows on their way into tables, with what the declarations say about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import pyarrow as pa

from hanok.compute.values import bring
from hanok.core.declare import Model
from hanok.core.errors import BadData, Conflict, Corrupt
from hanok.core.names import folded, in_any_spelling
from hanok.core.tables import ARRIVED, ROW
from hanok.core.validation import CheckResult
from hanok.engine.shared import not_here
from hanok.engine.sources import Sources
from hanok.parts.features.service import Features
from hanok.parts.training.service import Training
from hanok.parts.validation.service import Validation


@dataclass(frozen=True, slots=True)
class Ingested:
    """What became of a batch, and of the labels that came in its rows."""

    rows: CheckResult
    labels: tuple[CheckResult, ...] = ()


class Ingesting:
    """Where `elsewhere` names the home that keeps the tables, a batch is refused here."""

    def __init__(
        self,
        *,
        validation: Validation,
        sources: Sources,
        features: Features,
        training: Training,
        elsewhere: Mapping[str, str] | None,
    ) -> None:
        self._validation, self._features, self._training = validation, features, training
        self._sources, self._elsewhere = sources, elsewhere

    def batch(
        self,
        table: str,
        rows: pa.Table,
        *,
        key: str,
        arrived: Any = None,
        keys: Sequence[str] = (),
        event_time: str = "",
        slices: Sequence[str] = (),
        again: Sequence[str] = (),
        learned_ranges: bool = True,
        actor: str = "local",
    ) -> Ingested:
        """Ingest a file in the shape that its table is declared in: columns as what they are declared to be, rows that
        come again as what they are, and labels among the features into the table where labels are kept.

        `again` are batches of the same file, read otherwise: their rows are not appended twice nor over what came in
        since, and of those that they set aside and that wait it is said that they were tried again."""
        rows = self._numbered(table, self._sources.typed(table, rows), again[0] if again else key)
        known_by = self._known_by(table, again)
        source = self._sources.of(table)
        if arrived is None and source is not None and source.known_at is not None:
            column = in_any_spelling(source.known_at, rows.column_names)
            arrived = self._known(rows.column(column)) if column in rows.column_names else None
        self._matchable(table, rows)
        told = [(m, *_split(m, rows)) for m in self._labelled_in(table, rows)]
        for model, _, _ in told:
            rows = rows.drop_columns([n for n in rows.column_names if folded(n) == folded(model.label.column)])
        for model in (m for m, labels, _ in told if labels.num_rows):
            self._validation.schema(model.label.table)  # raises Corrupt while nothing is in yet
        first = self._checked(
            table,
            rows,
            key=key,
            arrived=arrived,
            keys=keys,
            event_time=event_time,
            slices=slices,
            known_by=known_by,
            again=again,
            learned_ranges=learned_ranges,
            actor=actor,
        )
        others = tuple(
            self._checked(m.label.table, labels, key=key, row_key=by, again=again, partial=True, actor=actor)
            for m, labels, by in told
            if labels.num_rows
        )
        for name in (table, *(told.table for told in others)) if again else ():
            tried = [
                r.id for r in self._validation.quarantined(name, limit=1 << 30) if r.batch in again and not r.replayed
            ]
            self._validation.readings.replaced(name, tried, batch=key, actor=actor)
        return Ingested(first, others)

    def ingest(
        self,
        table: str,
        rows: pa.Table,
        *,
        key: str,
        arrived: Any = None,
        keys: Sequence[str] = (),
        event_time: str = "",
        slices: Sequence[str] = (),
        actor: str = "local",
    ) -> CheckResult:
        """Check and append a batch, with keys and event time from the declarations where they are not given."""
        return self._checked(
            table, rows, key=key, arrived=arrived, keys=keys, event_time=event_time, slices=slices, actor=actor
        )

    def tell(self, table: str, row: pa.Table, *, key: str, digest: str, actor: str) -> CheckResult:
        """Append one label, whatever label was told before. `digest` is of what it says: the same `key` with another
        one raises Conflict."""
        return self._checked(table, row, key=key, row_key=(), digest=digest, partial=True, actor=actor)

    def _checked(
        self,
        table: str,
        rows: pa.Table,
        *,
        key: str,
        arrived: Any = None,
        keys: Sequence[str] = (),
        event_time: str = "",
        slices: Sequence[str] = (),
        row_key: Sequence[str] | None = None,
        known_by: Sequence[str] = (),
        again: Sequence[str] = (),
        digest: str = "",
        partial: bool = False,
        learned_ranges: bool = True,
        actor: str,
    ) -> CheckResult:
        if self._elsewhere is not None:
            raise not_here(self._elsewhere)
        event_time = event_time or self._event_time(table)
        overlay = self._sources.overlay(table)
        declared = overlay.row_key if overlay is not None else ()
        return self._validation.ingest(
            table,
            rows,
            key=key,
            arrived=arrived,
            keys=keys or self._keys(table),
            event_time="" if event_time == ARRIVED else event_time,
            slices=slices,
            row_key=declared if row_key is None else row_key,
            known_by=known_by,
            again=again,
            digest=digest,
            partial=partial,
            learned_ranges=learned_ranges,
            actor=actor,
        )

    def _event_time(self, table: str) -> str:
        for view in self._features.views():
            if view.source.table == table:
                return view.source.event_time
        for model in self._training.models():
            if model.label.table == table:
                return model.label.known_at
            if model.spine.table == table:
                return model.spine.predict_at.column
        source = self._sources.of(table)
        return source.event_time if source is not None else ""

    def identifying(self, table: str) -> set[str]:
        """The columns of a table that the declarations use as keys."""
        views = [v.keys for v in self._features.views() if v.source.table == table]
        spines = [m.spine.keys for m in self._training.models() if table in (m.spine.table, m.label.table)]
        return {key for keys in (*views, *spines) for key in keys}

    def kinds(self, table: str) -> dict[str, str]:
        """What the columns of a table are, by name, where that is declared."""
        return self._sources.kinds(table)

    def as_text(self, table: str) -> list[str]:
        """Columns of a file for this table that keep their text: they are declared so, or are labels of a known
        type."""
        told = [m.label for m in self._training.models() if m.spine.table == table != m.label.table]
        labels = [label.column for label in told if self._validation.knows(label.table)]
        return [*self._sources.as_text(table), *labels]

    def _known_by(self, table: str, again: Sequence[str]) -> tuple[str, ...]:
        """What tells the rows of another reading of a file apart, where nothing is declared. Raises Conflict."""
        results = [self._validation.result(table, batch) for batch in again]
        schema, overlay = self._validation.schema(table), self._sources.overlay(table)
        if overlay is not None or schema is None or not any(r and r.accepted for r in results):
            return ()
        if schema.keys:
            return tuple(n for n in dict.fromkeys((*schema.keys, schema.event_time)) if n)
        raise Conflict(
            f"this file is in {table!r} already, read otherwise (batch {again[0]!r}), and nothing tells its rows "
            "apart: nothing was changed. Mend the rows that were set aside (hanok quarantine replay), or name the "
            "columns that identify a row with the table's first batch (--keys)",
            table=table,
            key=again[0],
        )

    def numbers(self, table: str) -> list[str]:
        """Columns of a file for this table that the table, or that of its labels, keeps as numbers."""
        labels = [m.label for m in self._training.models() if m.spine.table == table != m.label.table]
        known, told = [self._validation.schema(table)], {label.column for label in labels}
        for label in labels:
            with suppress(Corrupt):  # a damaged table of labels stops files that hold labels, and no others
                known.append(self._validation.schema(label.table))
        return [
            c.name
            for i, schema in enumerate(known)
            for c in (schema.columns if schema else ())
            if c.type in ("INT", "FLOAT") and (i == 0 or c.name in told)
        ]

    def _numbered(self, table: str, rows: pa.Table, key: str) -> pa.Table:
        """Rows that nothing identifies are told apart by their batch and their place in it."""
        if ROW not in self._keys(table) or ROW in rows.column_names:
            return rows
        batch = sha256(key.encode()).hexdigest()[:8]
        return rows.add_column(0, ROW, pa.array([f"{batch}-{i}" for i in range(1, rows.num_rows + 1)]))

    def _matchable(self, table: str, rows: pa.Table) -> None:
        """Refuse a file of labels that says of no label which row it is for."""
        came = {folded(n) for n in rows.column_names}
        told = [m for m in self._training.models() if m.label.table == table != m.spine.table]
        for model in (m for m in told if folded(m.label.column) in came):
            missing = next((k for k in model.spine.keys if folded(k) not in came), "")
            how = "add the column"
            if missing == ROW:
                how = "its rows are numbered here, so a label is told by the id of its prediction: hanok label add"
            if missing:
                raise BadData(
                    f"the labels for {model.name!r} lack the column {missing!r}, which says whose they are: {how}"
                )

    def _known(self, column: pa.ChunkedArray) -> pa.ChunkedArray | None:
        """When rows became known, or will: figures under embargo are seen by nothing before. Now where a row does not
        say."""
        now = pa.scalar(self._validation.now(), pa.timestamp("us", "UTC"))
        return bring(column, "TIMESTAMP").column.fill_null(now)

    def _labelled_in(self, table: str, rows: pa.Table) -> list[Model]:
        """The models whose labels came in the rows that they are for, and are kept in a table of their own."""
        schema = self._validation.schema(table)
        kept = {folded(c.name) for c in schema.columns} if schema else set()
        came = {folded(n) for n in rows.column_names}
        return [
            m
            for m in self._training.models()
            if m.spine.table == table != m.label.table
            and folded(m.label.column) in came - kept
            and m.spine.keys
            and {folded(k) for k in m.spine.keys} <= came
            and (m.label.known_at == ARRIVED or folded(m.label.known_at) in came)
        ]

    def _keys(self, table: str) -> tuple[str, ...]:
        for model in self._training.models():
            if model.spine.table == table and model.spine.keys:
                return model.spine.keys
        return ()


def _split(model: Model, rows: pa.Table) -> tuple[pa.Table, tuple[str, ...]]:
    """The rows that hold a label, as the label table has them, and what tells one label from another."""
    known = () if model.label.known_at == ARRIVED else (model.label.known_at,)
    by_fold = {folded(n): n for n in rows.column_names}
    wanted = tuple(dict.fromkeys((*model.spine.keys, *known, model.label.column)))
    labels = pa.table({n: rows.column(by_fold[folded(n)]) for n in wanted})
    column = labels.column(model.label.column)
    return labels.filter(column.is_valid()), model.spine.keys
