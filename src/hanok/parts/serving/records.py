"""Decisions as entries of the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from hanok.compute.frames import Columns
from hanok.parts.serving.entries import Entry
from hanok.parts.serving.scorer import Decision, answer_of


def entries_of(
    decision: Decision,
    columns: Columns,
    *,
    at: int,
    mode: str,
    keys: Mapping[str, str],
    row_ids: Sequence[str] = (),
) -> list[Entry]:
    """One entry for each row: what the arm saw, and what it gave or why it gave nothing."""
    arm, signature, scores = decision.arm, decision.signature, decision.scores
    named = columns if signature is None else {c.name: columns[c.name] for c in signature.inputs if c.name in columns}
    seen = {n: v.to_pylist() if isinstance(v, pa.Array | pa.ChunkedArray) else v for n, v in named.items()}
    failed = decision.error.message if decision.error is not None else ""
    broken = set() if scores is None else set(decision.broken_rows.tolist())
    entries = []
    for row in range(len(row_ids) or decision.rows):
        score, many = (None, ()) if scores is None or signature is None else answer_of(signature, scores, row)[:2]
        entries.append(
            Entry(
                at,
                arm.version,
                mode,
                score,
                list(many),
                {n: values[row] for n, values in seen.items() if row < len(values)},
                dict(keys),
                failed or (f"the score is {score}" if row in broken else ""),
                decision.microseconds,
                row_ids[row] if row_ids else "",
                decision.rows,
            )
        )
    return entries
