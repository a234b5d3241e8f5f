"""What users hand over for features, and what they get: frames, names and declarations, entities, training sets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hanok.core.declare import FeatureService, FeatureView, as_dict
from hanok.core.json import Json

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Features = FeatureService | FeatureView | str
SET, DIGEST = b"hanok_training_set", b"hanok_digest"  # in the schema's metadata of a training set that travels


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Rows with features. `id` is its node in the lineage graph, by which `reproduce` makes the same rows again."""

    id: str
    rows: pa.Table
    digest: str

    def to_pandas(self) -> pd.DataFrame:
        return self.rows.to_pandas()

    def to_batches(self, rows: int = 65_536) -> Iterable[pa.RecordBatch]:
        """The rows in Arrow batches."""
        return self.rows.to_batches(max_chunksize=rows)

    def write_parquet(self, path: str | Path) -> Path:
        from pyarrow import parquet as pq

        pq.write_table(self.rows, path, compression="zstd")
        return Path(path)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.rows.__arrow_c_stream__(requested_schema)

    def __len__(self) -> int:
        return int(self.rows.num_rows)


def as_arrow(data: Any) -> pa.Table:
    """An Arrow table of what a user has: Arrow, Polars, pandas, a dict of columns, or a path."""
    import pyarrow as pa

    if isinstance(data, pa.Table):
        return data
    if isinstance(data, str | Path):
        from hanok.engine.files import read_file

        return read_file(Path(data))
    if isinstance(data, Mapping):
        return pa.table(dict(data))
    if isinstance(data, pa.RecordBatch):
        return pa.Table.from_batches([data])
    return pa.table(data) if hasattr(data, "__arrow_c_stream__") else pa.Table.from_pandas(data, preserve_index=False)


def asked(features: Features | Sequence[Features]) -> list[Json]:
    """What is asked for, as verbs take it. A service or view counts as it is declared here."""
    given = [features] if isinstance(features, FeatureService | FeatureView | str) else list(features)
    return [f if isinstance(f, str) else as_dict(f) for f in given]


def entity_rows(entities: Any) -> list[Mapping[str, Any]]:
    """Entities as rows: one mapping, a list of them, or a frame."""
    if isinstance(entities, Mapping):
        lists = [v for v in entities.values() if isinstance(v, list | tuple)]
        if not lists:
            return [entities]
    elif isinstance(entities, list | tuple):
        return list(entities)
    rows: list[Mapping[str, Any]] = as_arrow(entities).to_pylist()
    return rows
