"""Delta Lake tables that somebody else wrote, read where they lie."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from hanok.core.errors import BadData


@dataclass(frozen=True, slots=True)
class ForeignDelta:
    """One version of a table. `digest` names its files, which never change."""

    path: Path
    version: int
    columns: tuple[str, ...]
    rows: int
    digest: str

    def batches(self, columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        """The rows in the order of its files."""
        from deltalake import DeltaTable

        found = DeltaTable(str(self.path), version=self.version).to_pyarrow_dataset()
        for fragment in sorted(found.get_fragments(), key=lambda f: str(f.path)):
            yield from fragment.to_batches(schema=found.schema, columns=list(columns), batch_size=rows)


def open_delta(path: Path) -> ForeignDelta:
    """Raises BadData."""
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    try:
        table = DeltaTable(str(path))
        files = sorted(table.file_uris())
        dataset = table.to_pyarrow_dataset()
        rows = dataset.count_rows()
    except (DeltaError, OSError, pa.ArrowException) as error:
        raise BadData(f"{path} is no Delta table that can be read: {str(error).splitlines()[0]}") from None
    said = hashlib.sha256(f"{table.metadata().id} {table.version()} {files}".encode()).hexdigest()
    return ForeignDelta(path, table.version(), tuple(dataset.schema.names), rows, said)
