"""Rows that checks kept out: what would have come in is laid beside what came before, and asked the same questions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from hanok.compute.hypotheses.case import Case, Columns, Measured, Proposal, TableDays, Values, numeric

SURE = 90.0
ROWS_MIN = 20
SHARE_MIN = 0.03
MOST = 0.5

Asked = Callable[[Case], list[Proposal]]


def kept_out(measured: Measured, ask: Asked) -> Iterator[Proposal]:
    """`ask` gives the causes of a case, the likeliest first."""
    for table in measured.case.tables:
        now = sum(table.aside[: measured.onset])
        came = sum(table.rows[: measured.onset]) + now
        if now < ROWS_MIN or now < SHARE_MIN * came or not table.kept_out:
            continue
        columns = tuple(table.kept_out)
        because = f"{now} of {came} rows of {table.table} were set aside by checks ({table.reason})"
        found = ask(_case(measured, table))
        best = found[0] if found else _blamed(table, columns, because, now / came)
        yield Proposal(
            best.kind if best else "schema",
            best.name if best else f"source {table.table}",
            f"{best.reason}; {because}" if found and best else because,
            best.columns if best else columns,
            gone=frozenset(columns) | frozenset(best.columns if best else ()),
            known=True,
            strength=SURE,
            worth=2.0,
            next=f"hanok table show {table.table}: mend the sender, then hanok quarantine replay {table.table}",
        )


def _blamed(table: TableDays, columns: tuple[str, ...], because: str, share: float) -> Proposal | None:
    """The column that the checks themselves name, where rows alone say no more: numbers beyond all bounds, in all rows
    another unit, in some of them outliers."""
    rule, _, rest = table.reason.partition(": ")
    column = next((c for c in columns if rest.startswith(f"{c.rpartition('__')[2]} ")), None)
    if column is None:
        return None
    kind = ("unit" if share > MOST else "outliers") if rule.startswith("FLOAT_TYPE") else "schema"
    return Proposal(kind, f"input {column}", because, (column,))


def _case(measured: Measured, table: TableDays) -> Case:
    """The rows that came, kept out or not, beside those of good days, in the columns of their table."""
    own = measured.case
    names = list(table.kept_out)
    came = _present({n: measured.suspect[n] for n in names})
    before = _present({n: measured.good[n] for n in names})
    recent = table.kept_out_period < measured.onset
    columns = {
        n: _joined(table.kept_out[n][recent], measured.suspect[n][came], measured.good[n][before]) for n in names
    }
    rows = int(recent.sum() + came.sum())
    periods = measured.good_period[before] - measured.onset + 1
    nothing = np.full(rows + int(before.sum()), np.nan)
    return replace(
        own,
        columns=columns,
        period=np.concatenate([np.zeros(rows, np.int64), periods]),
        score=nothing,
        label=nothing,
        loss=nothing,
        answered=(),
        asked=1,
        tables=(),
    )


def _present(columns: Columns) -> np.ndarray:
    """Rows in which anything is."""
    made = [
        ~np.isnan(v.astype(float)) if numeric(v) else np.array([x is not None for x in v]) for v in columns.values()
    ]
    return np.any(made, axis=0)


def _joined(*parts: Values) -> Values:
    if any(not numeric(p) for p in parts):
        return np.concatenate([np.asarray(p, object) for p in parts])
    return np.concatenate([np.asarray(p, float) for p in parts])
