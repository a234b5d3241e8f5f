"""A readable snapshot of a table: files of the columnar log and the tail that is not yet in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hanok.core.errors import Conflict

if TYPE_CHECKING:
    import pyarrow as pa

SEQUENCE = "_seq"
ARRIVED = "_arrived"
BOOKKEEPING = (SEQUENCE, ARRIVED)
ROW = "_row_id"  # the key of rows that no column of theirs identifies: the batch and the place in it
OWN = (*BOOKKEEPING, ROW)  # every column that Hanok adds to what people hand in; no column of theirs is called so

OWN_TABLES = ("quarantine--", "predictions--", "outcomes--")  # how the names begin of tables that Hanok alone writes


@dataclass(frozen=True, slots=True)
class Appended:
    """The outcome of an append: rows [`first`, `first + rows`) of the table. `repeated`: the key was there already.
    `digest` is of what was sent under the key; "" where nobody said."""

    first: int
    rows: int
    repeated: bool = False
    digest: str = ""

    def again(self, table: str, key: str, digest: str) -> Appended:
        """What the same key gets again. Raises Conflict for other rows."""
        if digest and self.digest and digest != self.digest:
            raise Conflict(
                f"the batch {key!r} of {table!r} came before with other rows: nothing was changed; send new rows under "
                "another key",
                table=table,
                key=key,
            )
        return Appended(self.first, self.rows, repeated=True, digest=self.digest)


@dataclass(frozen=True, slots=True)
class Overlay:
    """What a reader sees instead of the rows beneath, which stay: of the rows that have the same values in `row_key`
    the one that came last."""

    row_key: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scan:
    """Rows with `_seq < upto` of a table. Tables only grow, so a row count names a snapshot for ever."""

    table: str
    files: tuple[str, ...]
    tail: pa.Table | None
    upto: int
    schema: pa.Schema
    overlay: Overlay | None = None
