"""Predictions in bulk that somebody asked for: what is answered, by whom, and how far it has come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from hanok.core.access import Access
from hanok.core.records import IF_SET, Kind
from hanok.core.serving import Arm

RUNNING, DONE = "running", "done"
OWN_COLUMNS = ("row", "prediction_id", "version", "score", "scores", "label", "error")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be answered. `digest` is of a file's bytes; "" for a table of the home, which `source` names then.

    `columns` are those that the source has, `keys` say of an entity's key its column, `at` names the column of the
    instants, `keep` the columns that stand beside the answers. `version` 0: whatever is deployed.
    """

    source: str
    digest: str = ""
    columns: tuple[str, ...] = ()
    version: int = 0
    keys: Mapping[str, str] = field(default_factory=dict)
    at: str = ""
    keep: tuple[str, ...] = ()
    piece_rows: int = 0
    out: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """A file or table that is answered piece by piece, always by the arms that answered when it began.

    `columns` are what is read of the source, `upto` the rows when it began (0: of a file, not known), `row_key` the
    columns by which a later one of them was read in place of an earlier one. `refused` rows were asked of no model,
    because of a value that does not fit; `failed` ones came to no score. `wanted` tells equal wishes.
    """

    id: str
    model: str
    wanted: str
    source: str
    digest: str
    begun: datetime
    actor: str
    generation: int
    arms: tuple[Arm, ...]
    deployment: str
    inputs: tuple[str, ...]
    columns: tuple[str, ...]
    keys: Mapping[str, str]
    at: str
    keep: tuple[str, ...]
    piece_rows: int
    upto: int = 0
    out: str = field(default="", metadata=IF_SET)
    state: str = RUNNING
    rows: int = 0
    refused: int = 0
    failed: int = 0
    ended: datetime | None = None
    row_key: tuple[str, ...] = field(default=(), metadata=IF_SET)

    @property
    def node(self) -> str:
        """Its id in the lineage graph."""
        return self.id

    def piece(self, place: int) -> str:
        """The key of a piece in the prediction log."""
        return f"file {self.id} {place}"


BATCH = Kind("prediction-batch", Batch, owner="model", needs=Access.USE)
