"""Labels that changed their meaning, or a world that did: inputs and scores are alike, what comes of them is not."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hanok.compute.hypotheses.case import LABEL, Case, Measured, Numbers, Proposal, Values, numeric, shown
from hanok.compute.hypotheses.streams import coded

BINS = 8
Z_MIN = 5.0
WORSE = 1.25
TIED, LOST, HELD = 0.03, 0.25, 0.5
SURE = 10.0  # rows times tie, for the loss of it to be more than chance
SLICE_ROWS = 25
SLICE_SHARE = 0.8


def expected_loss(case: Case, good: NDArray[np.int64], suspect: NDArray[np.int64]) -> tuple[Numbers, float, float]:
    """What each suspect row should have lost by its score, as good rows with such scores did; then the mean excess of
    the suspect rows and its standard error, with the variation from period to period."""
    known = good[np.isfinite(case.loss[good])]
    edges = np.unique(np.quantile(case.score[known], np.arange(1, BINS) / BINS))
    of, losses = np.searchsorted(edges, case.score[known]), case.loss[known]
    sums = np.bincount(of, losses, len(edges) + 1)
    rows = np.bincount(of, minlength=len(edges) + 1)
    mean = float(losses.mean())
    table = (sums + 5 * mean) / (rows + 5)
    off = losses - table[of]
    by_period = [off[case.period[known] == p] for p in np.unique(case.period[known])]
    days = np.array([d.mean() for d in by_period if len(d) > 4])
    varies = float(days.std(ddof=1)) if len(days) > 2 else float(off.std())
    rows_a_day = len(known) / max(1, len(days))
    asked = suspect[np.isfinite(case.loss[suspect])]
    should = table[np.searchsorted(edges, case.score[suspect])]
    excess = case.loss[asked] - table[np.searchsorted(edges, case.score[asked])]
    error = (varies**2 * max(1.0, rows_a_day / max(1, len(asked))) + off.var() / max(1, len(asked))) ** 0.5
    return should, float(excess.mean()) if len(asked) else 0.0, float(error)


def meaning(measured: Measured, good: NDArray[np.int64], suspect: NDArray[np.int64]) -> Iterator[Proposal]:
    """Labels or concept: one proposal, as values cannot part them."""
    case = measured.case
    known = suspect[np.isfinite(case.loss[suspect])]
    before = good[np.isfinite(case.loss[good])]
    if len(known) < 40 or len(before) < 100:
        return
    should, excess, error = expected_loss(case, good, suspect)
    usual = float(case.loss[before].mean())
    expected = float(np.mean(should[np.isfinite(case.loss[suspect])]))
    if excess < Z_MIN * error or expected + excess < WORSE * max(expected, 1e-12):
        return
    how = _how(case, before, known)
    lost = () if how else _lost(case, known, before)
    if lost:
        what = lost[0] if len(lost) == 1 else f"rows of {case.table.get(lost[0])}"
        yield Proposal(
            "join", f"input {lost[0]}" if len(lost) == 1 else f"source {case.table.get(lost[0])}",
            f"{what} says no more of what comes of a row, as it did before, while other columns still do",
            lost, gone=frozenset(lost), known=True, strength=2 * (excess / error) + 1,
            next=f"compare keys and values of {case.table.get(lost[0])!r} with their origin",
        )  # fmt: skip
        return
    where = _slice(case, known, good)
    kind = "concept" if where and not how else "labels"
    said = how or "what comes of a score is no longer what came of it before"
    place = f", above all where {where}" if where else ""
    rolling = frozenset(c for c in case.rolling if case.table.get(c) == case.labels)
    yield Proposal(
        kind, f"{'labels' if kind == 'labels' else 'concept'} of {case.labels}",
        f"{said}{place}: the loss is {shown(expected + excess)} where {shown(expected)} was expected of these scores "
        f"({shown(usual)} before). Values cannot tell labels that are wrong from a world that changed",
        (), gone=rolling | {LABEL}, known=True, strength=2 * (excess / error),
        next=f"compare some labels of {case.labels!r} with a second source; retrain if the world has changed",
    )  # fmt: skip


def _how(case: Case, before: NDArray[np.int64], known: NDArray[np.int64]) -> str:
    """Turned round, scaled, or in no order."""
    if case.task == "multiclass":
        return ""
    tie, was = (_correlation(case.score[r], case.label[r]) for r in (known, before))
    if was > 0.15 and tie < -0.5 * was:
        return "labels look turned round"
    if was > 0.2 and abs(tie) < 0.25 * was:
        return "labels look mixed up among the rows"
    if case.task == "regression" and was > 0.3 and tie > 0.6 * was:
        ratio = (
            float(np.median(case.label[known]) / np.median(case.label[before])) if np.median(case.label[before]) else 1
        )
        scores = (
            float(np.median(case.score[known]) / np.median(case.score[before])) if np.median(case.score[before]) else 1
        )
        if scores > 0 and abs(ratio / scores - 1) > 0.12:
            return f"labels look multiplied by {shown(ratio / scores)}"
    return ""


def _lost(case: Case, known: NDArray[np.int64], before: NDArray[np.int64]) -> tuple[str, ...]:
    """Columns of one table whose tie to the label is gone while that of others holds."""
    ties = {n: (_tie(v, case.label, before), _tie(v, case.label, known), v) for n, v in case.columns.items()}
    own = {n: t for n, t in ties.items() if t[0] > max(TIED, SURE / len(known)) and n not in case.rolling}
    lost = tuple(n for n, (was, now, _) in own.items() if now < LOST * was)
    kept = [n for n, (was, now, _) in own.items() if now > HELD * was]
    tables = {case.table.get(n) for n in lost}
    one = len(lost) == 1 or (len(tables) == 1 and case.spine not in tables)
    return lost if lost and kept and one else ()


def _tie(values: Values, label: Numbers, rows: NDArray[np.int64]) -> float:
    """The share of the label's variance between the bins of a column (epsilon squared, Kelley 1935)."""
    coding = coded(values)
    codes, y = coding.codes(values)[rows], label[rows]
    counts = np.bincount(codes, minlength=coding.bins)
    means = np.bincount(codes, y, minlength=coding.bins) / np.maximum(counts, 1)
    spread = float(((y - y.mean()) ** 2).sum())
    used, n = int((counts > 0).sum()), len(y)
    if spread <= 0 or n <= used:
        return 0.0
    within = float(((y - means[codes]) ** 2).sum())
    return 1 - within / spread * (n - 1) / (n - used)


def _correlation(a: Numbers, b: Numbers) -> float:
    if len(a) < 3 or a.std() == 0 or b.std() == 0:
        return 0.0
    first, second = (np.argsort(np.argsort(v)).astype(np.float64) for v in (a, b))
    return float(np.corrcoef(first, second)[0, 1])


def _slice(case: Case, known: NDArray[np.int64], good: NDArray[np.int64]) -> str:
    """The value of a category in which nearly all of the excess lies, while it holds less than that of the rows."""
    should, _, _ = expected_loss(case, good, known)
    excess = case.loss[known] - should
    total, best, found = float(excess.sum()), 0.0, ""
    if total <= 0:
        return ""
    for name, values in case.columns.items():
        if numeric(values):
            continue
        for value in {v for v in values[known] if v is not None}:
            inside = np.array([v == value for v in values[known]])
            share = float(excess[inside].sum()) / total
            if inside.sum() >= SLICE_ROWS and share > SLICE_SHARE and share - inside.mean() > max(best, 0.15):
                best, found = share - float(inside.mean()), f"{name} is {value!r}"
    return found
