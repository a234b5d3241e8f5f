"""A batch held to its declared schema slice by slice: what the whole hides is said with its slice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from hanok.compute.partitions import slice_texts, sliced
from hanok.compute.states import TableState
from hanok.core.validation import Anomaly
from hanok.parts.validation.schemas import validate
from hanok.parts.validation.schemas.statistics import statistics_of
from hanok.wire.tfdv import Message

ROWS_MIN = 100  # a share of fewer rows says little
COUNTS = frozenset(("FEATURE_TYPE_LOW_NUMBER_PRESENT", "FEATURE_TYPE_LOW_UNIQUE"))  # of the whole, not of a part


def slice_anomalies(
    rows: pa.Table, columns: Sequence[str], schema: Message, environment: str, known: Sequence[Anomaly]
) -> list[Anomaly]:
    """What the schema says of each value of the slice columns and has not said of the whole batch (`known`).

    Bounds on counts, and on sizes of the data set, are about the whole. Slices set no row aside: a row at fault is one
    in the whole as well.
    """
    said = {(a.type, a.column) for a in known}
    found = []
    for name, part in _parts(rows, columns):
        report = validate(statistics_of(TableState.of(part)), schema, environment=environment or None)
        for path, reasons in report.anomalies.items():
            column = ".".join(path)
            found += [
                Anomaly(
                    r.type, column, "warning", f"{column}: {r.message} (where {name})", r.observed, r.bound,
                    part.num_rows, slice=name,
                )
                for r in reasons
                if (r.type, column) not in said and r.type not in COUNTS
            ]  # fmt: skip
    return found


def _parts(rows: pa.Table, columns: Sequence[str]) -> Iterator[tuple[str, pa.Table]]:
    for column in sliced(rows, columns):
        codes = slice_texts(rows.column(column)).dictionary_encode()
        values = codes.dictionary.to_pylist()
        for i, value in enumerate(values if len(values) > 1 else ()):
            mask = pc.equal(codes.indices, i)
            if pc.sum(mask).as_py() >= ROWS_MIN:
                yield f"{column}={value}", rows.filter(mask)
