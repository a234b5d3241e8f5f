"""What is found of a training set before anything is trained on it: columns and rows that know too much."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hanok.compute.alike import copies, repeating, told_groupings
from hanok.compute.frames import GROUP, Frame
from hanok.compute.leaks import Leak, suspects
from hanok.core.declare import Model, view_columns
from hanok.core.errors import LabelGivenAway, NotTrainable
from hanok.core.training import LeakNote
from hanok.parts.training.splitting import by_time, split

COPIES_MIN = 0.02  # of the held-out rows: so many are copies of rows that are learnt from
COPIES_ROWS_MAX = 60_000  # it is a look, not a study
STOPPING = ("copy", "filled afterwards", "label aggregated", "word")


def suspicions(model: Model, rows: pa.Table, frame: Frame, known: Iterable[Leak]) -> tuple[LeakNote, ...]:
    """The leaks that are `known` from making the rows, and what the rows themselves show."""
    found = [
        *known,
        *_unfilled(model, rows),
        *suspects(frame),
        *_groups(model, rows, frame),
        *_copies(model, rows, frame),
    ]
    accepted = set(model.gate.accept or ())
    return tuple(_noted(leak, leak.column in accepted) for leak in found)


def stop_if_certain(model: Model, notes: Iterable[LeakNote]) -> None:
    """Raises LabelGivenAway with the evidence, before an hour is spent on a model that is worth nothing."""
    certain = [n for n in notes if n.certain and n.kind in STOPPING]
    if certain:
        names = ", ".join(repr(n.column) for n in certain)
        raise LabelGivenAway(
            f"model {model.name!r} is not trained: {'; '.join(n.message for n in certain)}. Take {names} out of its "
            f"features; or, if that is known before the label is, say so: gate=hk.Gate(accept=[{names}])"
        )


def _noted(leak: Leak, accepted: bool) -> LeakNote:
    said = " (accepted in the declaration)" if accepted and leak.certain else ""
    return LeakNote(leak.kind, leak.column, leak.message + said, leak.certain and not accepted, accepted)


def _unfilled(model: Model, rows: pa.Table) -> list[Leak]:
    """Views that give no value to any row: nothing is learnt from them, and nobody would see it."""
    found = []
    for view in model.views:
        columns = [n for n in view_columns(view) if n in rows.column_names]
        counts = {n for n in columns if rows.column(n).null_count == 0}  # of nothing there are 0
        empty = [n for n in columns if n not in counts and rows.column(n).null_count == rows.num_rows]
        if not rows.num_rows or not empty or len(empty) + len(counts) < len(columns):
            continue
        if any(pc.any(pc.not_equal(rows.column(n), 0)).as_py() for n in counts if _number(rows.column(n).type)):
            continue
        table = view.source.table
        message = (
            f"feature view {view.name!r} has no value in any of the {rows.num_rows:,} rows: no row of {table!r} with "
            "their keys was known when they are predicted. Was its history brought in at once? Then say when its rows "
            f"became known, hk.Source({table!r}, known_at=..., row_key=...), and ingest it again under another --key"
        )
        found.append(Leak("unfilled", empty[0], message, False))
    return found


def _number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _groups(model: Model, rows: pa.Table, frame: Frame) -> list[Leak]:
    """Columns whose rows of one value know each other's label and may lie on both sides of a random split."""
    if by_time(model, frame) or GROUP in rows.column_names:
        return []
    found = []
    for name, gap in told_groupings(frame, repeating({n: frame.table.column(n) for n in frame.features}))[:1]:
        message = (
            f"rows of one {name} know each other's label: with the others of it known {gap.name} {gap.known:.3f}, "
            f"without {gap.unknown:.3f}. Is a new {name} to be predicted? Then split=hk.at_random(group={name!r})"
        )
        found.append(Leak("group", name, message, False))
    return found


def _copies(model: Model, rows: pa.Table, frame: Frame) -> list[Leak]:
    """Held-out rows that are copies of rows that are learnt from, where rows are split by time."""
    if not by_time(model, frame) or frame.rows > COPIES_ROWS_MAX:
        return []  # at random they lie on one side
    try:
        train, test = split(model, frame, rows)
    except NotTrainable:  # the training will say so
        return []
    codes = copies(frame.to_arrow())
    share = float(np.isin(codes[test], codes[train]).mean()) if len(test) else 0.0
    if share < COPIES_MIN:
        return []
    message = f"{share:.0%} of the held-out rows are alike in every feature to rows that are learnt from"
    return [Leak("copies", "", message, False)]
