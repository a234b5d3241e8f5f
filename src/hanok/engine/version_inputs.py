"""The inputs of one version for answered rows: as they were logged where they mean the same, or joined anew."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa

from hanok.core.declare import Model
from hanok.core.logged import feature_columns, feature_of
from hanok.engine.evidence import Evidence
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


def spine_inputs(
    parts: Evidence, model: Model, rows: pa.Table, *, start: datetime | None = None, end: datetime | None = None
) -> tuple[pa.Table | None, list[int | None]]:
    """The features that a declaration gives for the spine rows in [start, end), and which of them each answered row
    is. None where rows carry no keys, or the spine has nothing."""
    keys = parts.features.spine_keys(model)
    names = [f"key__{k}" for k in keys]
    nothing: tuple[pa.Table | None, list[int | None]] = (None, [None] * rows.num_rows)
    if any(n not in rows.column_names for n in names):
        return nothing
    spine = parts.features.spine_rows(model, start=start, end=end)
    if not spine.num_rows:
        return nothing
    truth = parts.features.historical(model, spine)
    spelled = parts.serving.keys.spelled_columns(model.name, {k: truth.column(f"key__{k}") for k in keys})
    where = {t: i for i, t in enumerate(zip(*(spelled[k].to_pylist() for k in keys), strict=True))}
    return truth, [where.get(t) for t in zip(*(rows.column(n).to_pylist() for n in names), strict=True)]
