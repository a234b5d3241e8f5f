"""Values that belong to other rows: each column looks as ever, and what tied it to the others is broken."""

from __future__ import annotations

from collections.abc import Iterator

from hanok.compute.hypotheses.case import LABEL, Measured, Proposal

MOVED = "its values look as ever, and stand with the wrong rows: what tied {} to the other columns is broken"


def misjoined(measured: Measured) -> Iterator[Proposal]:
    """Single columns, and whole tables that hold together within themselves."""
    broken = {n for n, left in measured.unlike.items() if left > 0 and (n == LABEL or not measured.moved(n))}
    inputs = [n for n in measured.case.columns if n not in measured.case.rolling]
    for name in inputs:
        if not measured.moved(name) and (name in broken or broken == {LABEL}):
            yield _joined(measured, name, (name,), frozenset({name}), "")
    tables: dict[str, list[str]] = {}
    for name in inputs:
        tables.setdefault(measured.case.table.get(name, ""), []).append(name)
    for table, columns in tables.items():
        if (
            any(measured.unlike.get(c) for c in columns)
            and len(columns) > 1
            and len(tables) > 1
            and table != measured.case.spine
        ):
            moved = sum(not measured.like(c, measured.suspect[c]) for c in columns)
            if moved <= len(columns) // 3:
                yield _joined(measured, f"rows of {table}", tuple(columns), frozenset(), table)


def _joined(measured: Measured, what: str, columns: tuple[str, ...], gone: frozenset[str], apart: str) -> Proposal:
    table = measured.case.table.get(columns[0], columns[0])
    name = f"source {apart}" if apart else f"input {columns[0]}"
    return Proposal(
        "join", name, MOVED.format(what), columns, gone=gone, apart=apart,
        next=f"compare keys and values of {table!r} with their origin: a wrong key, an order that slipped by a row",
    )  # fmt: skip
