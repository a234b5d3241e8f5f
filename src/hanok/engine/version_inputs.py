"""The inputs of one version for answered rows: as they were logged where they mean the same, or joined anew."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa

from hanok.compute.frames import PREDICT_AT
from hanok.core.declare import Model
from hanok.core.logged import feature_columns, feature_of
from hanok.engine.evidence import Evidence
from hanok.parts.features.seen import KNOWN, PLACE
from hanok.parts.serving.bulk import batch_instant
from hanok.parts.serving.log import FEATURE


class LoggedInputs:
    """Of rows that were answered with the inputs of a version: by itself, or by one with the same declared features."""

    def __init__(self, parts: Evidence, name: str, version: int) -> None:
        self._parts, self._name = parts, name
        self._wanted, self._model = self._inputs(version), parts.declared.of(name, version)
        self._same = {version: True}

    def same(self, number: int) -> bool:
        """Whether what this version logged is what the wanted one would have been given."""
        if number not in self._same:
            model = self._parts.declared.of(self._name, number)
            alike = (model and model.features) == (self._model and self._model.features)
            self._same[number] = alike and self._inputs(number) == self._wanted
        return self._same[number]

    def of(self, rows: pa.Table) -> pa.Table:
        """The rows of versions that are alike, each input in its own `f__` column."""
        if not rows.num_rows:
            return rows
        kept = rows.filter(pa.array([self.same(n) for n in rows.column("version").to_pylist()], pa.bool_()))
        held = feature_columns(
            {f.name: pa.types.is_string(f.type) for f in kept.schema},
            {n: kind == "BYTES" for n, kind in self._wanted.items()},
        )
        columns = {n: kept.column(n) for n in kept.column_names if feature_of(n) is None}
        for feature, kind in self._wanted.items():
            empty = pa.chunked_array([pa.nulls(kept.num_rows, pa.string() if kind == "BYTES" else pa.float64())])
            columns[FEATURE + feature] = kept.column(held[feature]) if feature in held else empty
        return pa.table(columns)

    def _inputs(self, number: int) -> dict[str, str]:
        return {c.name: c.datatype for c in self._parts.serving.model(self._name, number).signature.inputs}


def spine_inputs(parts: Evidence, model: Model, rows: pa.Table) -> tuple[pa.Table | None, list[int | None]]:
    """The features that a declaration gives for the spine rows that were answered, each at the instant of the answer
    and as far as it was known then, and which of them each answer is about. None where rows carry no keys, or are of
    no row of the spine."""
    keys = parts.features.spine_keys(model)
    names = [f"key__{k}" for k in keys]
    places: list[int | None] = [None] * rows.num_rows
    if any(n not in rows.column_names for n in names):
        return None, places
    asked = rows.select(names).append_column(PREDICT_AT, rows.column("at")).append_column(KNOWN, _answered(rows))
    spine = parts.features.seen_rows(model, asked)
    if not spine.num_rows:
        return None, places
    for index, place in enumerate(spine.column(PLACE).to_pylist()):
        places[place] = index
    return parts.features.historical(model, spine), places


def _answered(rows: pa.Table) -> pa.ChunkedArray:
    """When each row was answered: what was answered in bulk is dated as if it had been answered when it was due."""
    when = rows.column("at").cast(pa.timestamp("us", "UTC")).to_pylist()
    batches = rows.column("batch").to_pylist() if "batch" in rows.column_names else [""] * rows.num_rows
    of_batch: dict[str, datetime] = {}
    for place, batch in enumerate(batches):
        if batch:
            if batch not in of_batch:
                of_batch[batch] = batch_instant(rows.column("prediction_id")[place].as_py())
            when[place] = max(when[place], of_batch[batch])
    return pa.chunked_array([pa.array(when, pa.timestamp("us", "UTC"))])
