"""Values that stand in another's place: columns swapped, codes permuted, text written otherwise."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import numpy as np

from hanok.compute.hypotheses.case import Measured, Proposal, Texts, numeric

PAIRS_MAX = 28
UNSEEN = 0.15
ODD = re.compile(r"[\W_]+")
NAMES_MAX = 60


def swapped(measured: Measured) -> Iterator[Proposal]:
    """Two numeric columns that stand in each other's place."""
    moved = [n for n, v in measured.suspect.items() if numeric(v) and n in measured.case.columns and measured.moved(n)]
    pairs = [(a, b) for i, a in enumerate(moved) for b in moved[i + 1 :]]
    now = measured.left({})
    for a, b in pairs[:PAIRS_MAX]:
        undone = {a: measured.suspect[b], b: measured.suspect[a]}
        left = measured.left(undone)
        if left < 0.5 * now:
            reason = f"the values of {a} and {b} stand in each other's place"
            advice = "compare the order of columns in what was sent"
            yield Proposal("swap", f"inputs {a} and {b}", reason, (a, b), undone=undone, next=advice)


def recoded(measured: Measured) -> Iterator[Proposal]:
    """Categories that are written otherwise, or each as another."""
    for name in measured.case.columns:
        values = measured.suspect[name]
        if numeric(values) or not measured.unlike.get(name, 0.0):
            continue
        good = measured.good[name]
        before, now = _counts(good), _counts(values)
        if not before or not now or max(len(before), len(now)) > NAMES_MAX:
            continue
        unseen = sum(c for n, c in now.items() if n not in before) / sum(now.values())
        if unseen > UNSEEN:
            yield _rewritten(measured, name, before, now, unseen)
        else:
            yield from _permuted(measured, name, before, now)


def _rewritten(
    measured: Measured, name: str, before: Mapping[str, int], now: Mapping[str, int], unseen: float
) -> Proposal:
    plain = {ODD.sub("", n).casefold(): n for n in before}
    spelt = {n: plain.get(ODD.sub("", n).casefold()) for n in now if n not in before}
    found = {n: known for n, known in spelt.items() if known is not None}
    example = next(iter(found.items()), None) or (max((n for n in now if n not in before), key=lambda n: now[n]), "?")
    reason = f"{unseen:.0%} of the values were never seen before, like {example[0]!r}"
    table = measured.case.table.get(name, name)
    advice = f"compare how {table!r} writes {name} with what it wrote before"
    if len(found) >= 0.5 * len(spelt):
        reason += f": {example[1]!r} written otherwise"
        undone = {name: _mapped(measured.suspect[name], found)}
        return Proposal("encoding", f"input {name}", reason, (name,), undone=undone, next=advice)
    by_count = dict(zip(_ranked(now), _ranked(before), strict=False))
    undone = {name: _mapped(measured.suspect[name], by_count)}
    return Proposal("encoding", f"input {name}", reason, (name,), undone=undone, gone=frozenset({name}), next=advice)


def _permuted(measured: Measured, name: str, before: Mapping[str, int], now: Mapping[str, int]) -> Iterator[Proposal]:
    names = sorted(before)
    if len(names) < 2:
        return
    tried = [dict(zip(names, [*names[-step:], *names[:-step]], strict=True)) for step in (1, -1)]
    tried += [dict(zip(_ranked(now), _ranked(before), strict=False))]
    best: tuple[float, dict[str, str]] | None = None
    for mapping in tried:
        if all(a == b for a, b in mapping.items()):
            continue
        left = measured.left({name: _mapped(measured.suspect[name], mapping)})
        if best is None or left < best[0]:
            best = left, mapping
    if best is None or best[0] > 0.5 * measured.left({}):
        return
    changed = [(a, b) for a, b in best[1].items() if a != b and a in now]
    if not changed:
        return
    a, b = max(changed, key=lambda pair: now.get(pair[0], 0))
    yield Proposal(
        "codes", f"input {name}", f"its values stand for others: {a!r} is what {b!r} was", (name,),
        undone={name: _mapped(measured.suspect[name], best[1])},
        next=f"compare the codes of {name} in {measured.case.table.get(name, name)!r} with those it had",
    )  # fmt: skip


def _counts(values: object) -> dict[str, int]:
    assert isinstance(values, np.ndarray)
    names, counts = np.unique([v for v in values if v is not None], return_counts=True)
    return dict(zip((str(n) for n in names), counts.tolist(), strict=True))


def _ranked(counts: Mapping[str, int]) -> list[str]:
    return sorted(counts, key=lambda n: -counts[n])


def _mapped(values: object, mapping: Mapping[str, str]) -> Texts:
    assert isinstance(values, np.ndarray)
    return np.array([None if v is None else mapping.get(v, v) for v in values], object)
