"""Outcomes: answers with the label that counts, read from the table in which every joined pair stays; and the columns
of the prediction log that monitoring reads."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa

from hanok.core.logged import NUMBER, TABLE, TEXT, feature_of, key_of
from hanok.core.monitoring import LABELS
from hanok.core.tables import SEQUENCE, Scan
from hanok.stores.ports import Metadata

OUTCOMES = "outcomes--"
PREDICTIONS = TABLE
NEWEST = "newest"


def key_column(columns: Sequence[str], key: str) -> str | None:
    """The column of the log that holds a key of the entity."""
    return next((c for c in columns if key_of(c) == key), None)


def feature_columns(columns: Sequence[str], feature: str) -> list[str]:
    """The columns of the log that hold a feature as a number or as text."""
    return [c for c in columns if c[:3] in {*NUMBER, *TEXT} and feature_of(c) == feature]


def feature_column(schema: pa.Schema, feature: str, *, numeric: bool) -> str | None:
    """The column of the log that holds a feature as numbers, or as text; None where it was never logged so."""
    for column in feature_columns(schema.names, feature):
        if pa.types.is_string(schema.field(column).type) != numeric:
            return column
    return None


def since_of(metadata: Metadata, model: str) -> int:
    """The first generation whose pairs are of the labels that the model reads now."""
    state = LABELS.open(metadata.read(lambda r: r.records.get(LABELS.name, model, NEWEST)))
    return 0 if state is None else state.since


def counting(scan: Scan, *, known_by: datetime, bounds: str = "true", view: str = "outcomes", since: int = 0) -> str:
    """SELECT of the outcomes in `view` (a view of `scan`) that fulfil `bounds`: for each answer the label that counts
    of those known at `known_by`. Answers whose label is none of their version's classes are left out.

    Pairs of generations before `since` are of other labels. A row that says `superseded` takes back the pair of its
    answer and its label row for good, from when it is known on. Rows of earlier releases know neither the label's own
    instant nor its row number: they give way to any that does.
    """
    have = set(scan.schema.names)
    ours = ["coalesce(generation, 0) DESC", "label_at DESC", "label_row DESC"] if "generation" in have else []
    order = ", ".join([*ours, f"{SEQUENCE} DESC"])
    inside = "AND NOT coalesce(outside, false)" if "outside" in have else ""
    mine = f"AND coalesce(generation, 0) >= {int(since)}" if since and "generation" in have else ""
    rows = f"SELECT * FROM {view} WHERE ({bounds}) AND known_at <= TIMESTAMPTZ '{known_by.isoformat()}' {inside} {mine}"
    if "superseded" in have:
        pair = "PARTITION BY prediction_id, generation, label_row"
        rows = f"{rows} QUALIFY NOT bool_or(coalesce(superseded, false)) OVER ({pair})"
    return (
        f"SELECT * FROM (SELECT * FROM ({rows}) "
        f"QUALIFY row_number() OVER (PARTITION BY prediction_id ORDER BY {order}) = 1) "
        "WHERE label IS NOT NULL AND isfinite(label)"
    )
