"""Schemas, statistics and anomalies. Anomaly types carry TFDV's names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Severity = Literal["error", "warning"]

MISSING_COLUMN = "SCHEMA_MISSING_COLUMN"
NEW_COLUMN = "SCHEMA_NEW_COLUMN"
UNEXPECTED_TYPE = "UNEXPECTED_DATA_TYPE"
NOT_PRESENT = "FEATURE_TYPE_NOT_PRESENT"
LOW_FRACTION = "FEATURE_TYPE_LOW_FRACTION_PRESENT"
UNEXPECTED_VALUES = "ENUM_TYPE_UNEXPECTED_STRING_VALUES"
BIG = "FLOAT_TYPE_BIG_FLOAT"
SMALL = "FLOAT_TYPE_SMALL_FLOAT"
NON_FINITE = "FLOAT_TYPE_HAS_INF"
DUPLICATE_KEY = "FEATURE_TYPE_NOT_UNIQUE"
NULL_KEY = "FEATURE_TYPE_MISSING_KEY"
NO_EXAMPLES = "DATASET_LOW_NUM_EXAMPLES"
CONVERTED = "DATA_TYPE_CONVERTED"
RESPELLED = "SCHEMA_COLUMN_RESPELLED"
CORRECTED = "DATASET_ROWS_CORRECTED"
UNIT = "FEATURE_TYPE_UNIT_CHANGED"
LATE_FEED = "DATASET_LATE_FEED"


@dataclass(frozen=True, slots=True)
class ColumnSchema:
    """What one column is expected to be. `type`: INT, FLOAT, STRING, BOOL or TIMESTAMP.

    `presence` is the share of non-null values seen (1.0: never null). `domain` lists known values of a categorical.
    `usual` are the quantiles .05, .25, .5, .75 and .95 of the first rows, by which another unit is known.
    """

    name: str
    type: str
    presence: float = 0.0
    minimum: float | None = None
    maximum: float | None = None
    domain: tuple[str, ...] | None = None
    usual: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class TableSchema:
    """`keys` and the event time must be there in every row; rows of equal keys and event time are duplicates. Of each
    value of the columns in `slices` statistics are kept apart."""

    table: str
    columns: tuple[ColumnSchema, ...]
    event_time: str = ""
    keys: tuple[str, ...] = ()
    rows_seen: int = 0
    slices: tuple[str, ...] = ()

    def column(self, name: str) -> ColumnSchema | None:
        return next((c for c in self.columns if c.name == name), None)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> TableSchema:
        columns = tuple(
            ColumnSchema(
                **{
                    **c,
                    "domain": None if c["domain"] is None else tuple(c["domain"]),
                    "usual": tuple(c.get("usual", ())),
                }
            )
            for c in body["columns"]
        )
        return cls(
            body["table"],
            columns,
            body["event_time"],
            tuple(body["keys"]),
            body["rows_seen"],
            tuple(body.get("slices", ())),
        )


@dataclass(frozen=True, slots=True)
class Anomaly:
    """Where, what, what was seen against which bound, how many rows, and the first of them."""

    type: str
    column: str
    severity: Severity
    message: str
    observed: str = ""
    bound: str = ""
    rows: int = 0
    slice: str = ""
    examples: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class ColumnStatistics:
    """Statistics of one column of one batch; numeric ones are None for other types."""

    name: str
    type: str
    rows: int
    nulls: int
    distinct: int
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    std: float | None = None
    zeros: int = 0
    non_finite: int = 0
    quantiles: tuple[float, ...] = ()
    top: tuple[tuple[str, int], ...] = ()

    @property
    def presence(self) -> float:
        return (self.rows - self.nulls) / self.rows if self.rows else 0.0


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The outcome for one batch: statistics, anomalies, and how many rows went where. `unchanged` rows were there
    already and were not appended; `corrected` ones are among the accepted and take the place of an earlier row."""

    table: str
    batch: str
    rows: int
    accepted: int
    quarantined: int
    anomalies: tuple[Anomaly, ...] = ()
    statistics: tuple[ColumnStatistics, ...] = field(default=())
    unchanged: int = 0
    corrected: int = 0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
