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
    rows: range | None = None,
) -> list[Entry]:
    """One entry for each row (of `rows`): what the arm saw, and what it gave or why it gave nothing."""
    arm, signature, scores = decision.arm, decision.signature, decision.scores
    named = columns if signature is None else {c.name: columns[c.name] for c in signature.inputs if c.name in columns}
    rows = range(len(row_ids) or decision.rows) if rows is None else rows
    first = rows.start
    if decision.rows == 1 and all(type(values) is list and len(values) == 1 for values in named.values()):
        features = {n: values[0] for n, values in named.items()}
        return [_entry(decision, features, at=at, mode=mode, keys=keys, row_ids=row_ids)]
    parts = named if len(rows) == decision.rows else {n: v[first : rows.stop] for n, v in named.items()}
    seen = {n: v.to_pylist() if isinstance(v, pa.Array | pa.ChunkedArray) else v for n, v in parts.items()}
    failed = decision.error.message if decision.error is not None else ""
    broken = set() if scores is None else set(decision.broken_rows.tolist())
    entries = []
    for row in rows:
        score, many = (None, ()) if scores is None or signature is None else answer_of(signature, scores, row)[:2]
        entries.append(
            Entry(
                at,
                arm.version,
                mode,
                score,
                list(many),
                {n: values[row - first] for n, values in seen.items() if row - first < len(values)},
                dict(keys),
                failed or (f"the score is {score}" if row in broken else ""),
                decision.microseconds,
                row_ids[row] if row_ids else "",
                decision.rows,
            )
        )
    return entries


def _entry(
    decision: Decision,
    features: dict[str, object],
    *,
    at: int,
    mode: str,
    keys: Mapping[str, str],
    row_ids: Sequence[str],
) -> Entry:
    """The entry of a request of one row, as nearly every request has it."""
    signature, scores = decision.signature, decision.scores
    score, many = (None, ()) if scores is None or signature is None else answer_of(signature, scores, 0)[:2]
    failed = decision.error.message if decision.error is not None else ""
    if not failed and decision.broken_rows.size:
        failed = f"the score is {score}"
    row_id = row_ids[0] if row_ids else ""
    version, spent = decision.arm.version, decision.microseconds
    return Entry(at, version, mode, score, list(many), features, dict(keys), failed, spent, row_id, 1)
