"""Schemas, statistics and anomalies. Anomaly types carry TFDV's names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from hanok.core.json import Json, JsonObject
from hanok.core.records import IF_SET, Kind, from_body, to_body

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
    value of the columns in `slices` statistics are kept apart. `usual_days`: over how many days the rows spread that
    what is usual was learned from."""

    table: str
    columns: tuple[ColumnSchema, ...]
    event_time: str = ""
    keys: tuple[str, ...] = ()
    rows_seen: int = 0
    slices: tuple[str, ...] = ()
    usual_days: int = field(default=0, metadata=IF_SET)

    def column(self, name: str) -> ColumnSchema | None:
        return next((c for c in self.columns if c.name == name), None)

    def as_dict(self) -> JsonObject:
        return to_body(self)

    @classmethod
    def from_dict(cls, body: Mapping[str, Json]) -> TableSchema:
        return from_body(cls, body)


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
    examples: tuple[Mapping[str, Json], ...] = ()


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
    """The outcome for one batch: statistics, anomalies, how many rows went where, and its `node` in the lineage.
    `unchanged` rows were there already and were not appended; `corrected` ones are among the accepted and take the
    place of an earlier row. `first` is the number of the first row accepted."""

    table: str
    batch: str
    rows: int
    accepted: int
    quarantined: int
    anomalies: tuple[Anomaly, ...] = ()
    statistics: tuple[ColumnStatistics, ...] = ()
    unchanged: int = 0
    corrected: int = 0
    node: str = field(default="", metadata=IF_SET)
    digest: str | None = field(default=None, metadata=IF_SET)
    first: int | None = field(default=None, metadata=IF_SET)
    units: tuple[str, ...] = field(default=(), metadata=IF_SET)

    def as_dict(self) -> dict[str, Json]:
        """What callers read: all but the place in lineage and in the table, the digest of the rows as they came, and of
        which columns the unit could be judged, by these rows and those of the small batches before."""
        inner = ("node", "digest", "first", "units")
        return {name: value for name, value in to_body(self).items() if name not in inner}


@dataclass(frozen=True, slots=True)
class LatelyColumn:
    """The newest values of a column, oldest first; how many of its newest rows count on without a break, and the last
    of them; rows and nulls of the newest batches."""

    values: tuple[float, ...] = ()
    rising: int = 0
    top: float | None = None
    nulls: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Lately:
    """What came last in batches too small to be judged alone."""

    columns: Mapping[str, LatelyColumn] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SetAside:
    """A row of the quarantine as it came. `replayed`: the batch in which it was tried again; `superseded`: the one that
    brought a row with the same key since. Both are empty while it waits."""

    id: int
    batch: str
    reason: str
    row: JsonObject
    replayed: str = ""
    superseded: str = ""


@dataclass(frozen=True, slots=True)
class Replayed:
    """That a row set aside was tried again: in which batch, mended how, by whom."""

    batch: str
    changes: Mapping[str, str] = field(default_factory=dict)
    actor: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """How text files are read: the words that mean no value (None: the usual ones) and the encoding (empty: UTF-8)."""

    nulls: tuple[str, ...] | None = None
    encoding: str = ""


@dataclass(frozen=True, slots=True)
class FileReadings:
    """The batches of one file that was read in several ways, the first reading first."""

    batches: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeclaredVersion:
    """One version of the schema that a person declared for a table, as protobuf text; see `parts.validation.declared`
    for `policy` and `serving`."""

    version: int
    text: str
    environment: str = ""
    policy: Literal["rows", "batch", "report"] = "rows"
    serving: str = ""
    actor: str = ""


@dataclass(frozen=True, slots=True)
class Proposal:
    """The change of version `of` of a declared schema that would let a batch pass: the new text, and a diff to read."""

    of: int
    text: str
    diff: tuple[str, ...] = ()
    batch: str = field(default="", metadata=IF_SET)


Place = tuple[str, str, int, int, int]
"""Partition, slice, rows, and where the state begins in the blob and how long it is."""


@dataclass(frozen=True, slots=True)
class StateIndex:
    """The statistics kept of a batch: a blob and its parts. `sliced` names the columns whose values have parts of their
    own; `upto` is the row of a prediction log up to which the parts count; `first` the number of the batch's first
    row."""

    digest: str
    size: int
    parts: tuple[Place, ...] = ()
    sliced: tuple[str, ...] = ()
    upto: int = field(default=0, metadata=IF_SET)
    first: int = field(default=0, metadata=IF_SET)

    @property
    def places(self) -> tuple[Place, ...]:
        """Earlier releases kept one state a batch, with neither partition nor slice."""
        return self.parts or (("", "", 0, 0, self.size),)


@dataclass(frozen=True, slots=True)
class Remade:
    """Statistics of the rows that count, made anew where a batch corrected rows: those of `periods` (days, months,
    years, "" for rows without time) are of the table's first `upto` rows, and stand for all that was kept of them."""

    kept: StateIndex
    periods: tuple[str, ...]
    upto: int


SCHEMA = Kind("schema", TableSchema, owner="table")
CHECK = Kind("check", CheckResult, owner="table")
REPLAYED = Kind("replayed", Replayed, owner="table")
READING = Kind("reading", Reading, owner="table")
FILE_READINGS = Kind("file-readings", FileReadings, owner="table")
DECLARED = Kind("declared-schema", DeclaredVersion, owner="table")
PROPOSED = Kind("proposed-schema", Proposal, owner="table")
STATE = Kind("state", StateIndex, owner="table")
REMADE = Kind("state-remade", Remade, owner="table")
LATELY = Kind("lately", Lately, owner="table")
