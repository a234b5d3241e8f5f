"""Faults that a diagnosis is rehearsed with: each is put into the answers of the newest periods of a case, at several
strengths, as it would come from a feed, the labels or the traffic.

What a fault is called, and where it sits, is kept with it, so that a diagnosis can be held to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from hanok.compute.hypotheses.case import Case, Numbers, TableDays, Texts, Values, numeric

Rows: TypeAlias = NDArray[np.int64]
OnNumbers: TypeAlias = Callable[[Numbers, np.random.Generator], Numbers]
OnTexts: TypeAlias = Callable[[Texts, np.random.Generator], Texts]
Change: TypeAlias = Callable[[Case, Rows, np.random.Generator], Case]
"""A case and the rows of the fault's periods -> the case with the fault."""
INPUT, FEED, TRAFFIC, LABELS = "input", "feed", "traffic", "labels"
LEVELS_MAX = 40  # of a category whose values are exchanged
CHANGED_MIN = 0.01  # of the rows; what changes fewer values is no fault there


@dataclass(frozen=True, slots=True)
class Fault:
    """`kind` at a `strength` in words. It sits in `place` (input, feed, traffic or labels): in `columns`, or in the
    table `of`, of which a share `arrives`, by `late_h` hours later. `accepted` are the kinds of causes that name it."""

    kind: str
    strength: str
    place: str
    of: str
    columns: tuple[str, ...]
    accepted: frozenset[str]
    change: Change
    arrives: float = 1.0
    late_h: float = 0.0

    @property
    def where(self) -> str:
        return " and ".join(self.columns) if self.place == INPUT else self.of

    def put_into(self, case: Case, periods: int, seed: int = 0) -> Case | None:
        """The case with this fault in its newest periods; None where it changes next to nothing there. Scores and
        losses are those of before: they follow from `columns` and `label`."""
        hit = np.flatnonzero(case.period < periods)
        if not len(hit):
            return None
        made = self.change(case, hit, np.random.default_rng(seed))
        if self.place == INPUT and not _differs(case, made, hit):
            return None
        return replace(made, tables=tuple(_arrived(self, t, periods) for t in made.tables))

    def is_named_by(self, kind: str, columns: Sequence[str], name: str) -> bool:
        """Whether a cause is this fault: of a kind that is accepted, and pointing at where it sits."""
        if kind not in self.accepted:
            return False
        if self.place == INPUT:
            return bool(set(columns) & set(self.columns)) and len(columns) <= max(2, len(self.columns))
        if self.place == FEED:
            return name.endswith(f" {self.of}") or (bool(columns) and set(columns) <= set(self.columns))
        return True  # the kinds of labels and traffic say themselves where they sit


MOVED = frozenset({"unit", "sign", "moved"})
FIXED = frozenset({"constant", "frozen", "clip", "fill"})
JOINED = frozenset({"join"})
NULLS = frozenset({"null", "schema", "missing"})
MERGED = frozenset({"moved", "codes", "fill", "constant"})
SILENT = frozenset({"missing", "late", "null"})
LATE = frozenset({"late", "time", "missing"})
UNTRUE = frozenset({"labels", "concept"})


def faults(case: Case, order: Sequence[str]) -> list[Fault]:
    """What is tried on a case, the commonest kinds first. `order` are its columns, the one that matters most first:
    the first numbers and categories take every kind, the others are left to what happens to whole feeds."""
    inputs = [c for c in order if c in case.columns and c not in case.rolling]
    numbers = [c for c in inputs if numeric(case.columns[c])][:3]
    words = [c for c in inputs if not numeric(case.columns[c])][:2]
    made = [f for c in numbers for f in _of_a_number(case, c)]
    made += [f for c in words for f in _of_a_category(case, c)]
    if len(numbers) > 1:
        made.append(_swapped(numbers[0], numbers[1]))
    made += [f for t in case.tables if t.table not in (case.spine, case.labels) for f in _of_a_feed(case, t.table)]
    made += _of_traffic(case, words)
    made += _of_labels(case, words)
    return made


# -- one column ----------------------------------------------------------------------------------------------------


def _with(case: Case, name: str, hit: Rows, values: Values) -> Case:
    column = case.columns[name].copy()
    column[hit] = values
    return replace(case, columns={**case.columns, name: column})


def _number(
    kind: str,
    strength: str,
    name: str,
    accepted: frozenset[str],
    change: OnNumbers,
) -> Fault:
    def changed(case: Case, hit: Rows, rng: np.random.Generator) -> Case:
        return _with(case, name, hit, change(np.asarray(case.columns[name][hit], float), rng))

    return Fault(kind, strength, INPUT, "", (name,), accepted, changed)


def _some(share: float, rng: np.random.Generator, rows: int) -> NDArray[np.bool_]:
    return rng.random(rows) < share


def _of_a_number(case: Case, name: str) -> Iterator[Fault]:
    values = np.asarray(case.columns[name], float)
    known = values[np.isfinite(values)]
    if len(known) < 2 or known.min() == known.max():
        return
    spread, last = float(known.std()), float(known[0])
    outlying = frozenset({"outliers", "unit", "moved"})
    unit, sign, fill = frozenset({"unit"}), frozenset({"sign", "unit"}), frozenset({"fill", "constant"})
    for share in (1.0, 0.5, 0.2):
        empty = _emptied(share)
        yield _number("null", f"{share:.0%} of the values", name, NULLS, empty)
    yield _number("constant", "all 0", name, FIXED, lambda v, _: np.zeros(len(v)))
    yield _number("frozen", f"all {last:.4g}", name, FIXED, lambda v, _: np.full(len(v), last))
    for factor in (1000.0, 2.54, 1.3):
        yield _number("unit", f"times {factor:g}", name, unit, _scaled(factor))
    yield _number("unit", "times 1.8 and 32 more", name, unit, lambda v, _: v * 1.8 + 32)
    yield _number("sign", "turned round", name, sign, lambda v, _: -v)
    for deviations in (2.0, 1.0, 0.5):
        yield _number("shift", f"by {deviations:g} deviations", name, MOVED, _shifted(deviations * spread))
    for share in (0.3, 0.6, 0.8):
        yield _number("clip", f"at the {share:.0%} quantile", name, FIXED, _clipped(float(np.quantile(known, share))))
    for share in (0.5, 0.25, 0.1):
        yield _number("fill", f"-1 in {share:.0%}", name, fill, _replaced(share, lambda v: np.full(len(v), -1.0)))
    for share in (0.25, 0.1, 0.03):
        yield _number("outliers", f"times 100 in {share:.0%}", name, outlying, _replaced(share, lambda v: v * 100))
    for deviations in (1.5, 0.75):
        noisy = _noisy(deviations * spread)
        yield _number("noise", f"of {deviations:g} deviations", name, frozenset({"moved", "noise", "join"}), noisy)
    yield _number("mixed up", "in no order", name, JOINED, lambda v, rng: rng.permutation(v))


def _emptied(share: float) -> OnNumbers:
    return lambda v, rng: np.where(_some(share, rng, len(v)), np.nan, v)


def _scaled(factor: float) -> OnNumbers:
    return lambda v, _: v * factor


def _shifted(by: float) -> OnNumbers:
    return lambda v, _: v + by


def _clipped(at: float) -> OnNumbers:
    return lambda v, _: np.minimum(v, at)


def _noisy(by: float) -> OnNumbers:
    return lambda v, rng: v + rng.normal(0.0, by, len(v))


def _replaced(share: float, by: Callable[[Numbers], Numbers]) -> OnNumbers:
    return lambda v, rng: np.where(_some(share, rng, len(v)), by(v), v)


def _category(kind: str, strength: str, name: str, accepted: frozenset[str], change: OnTexts) -> Fault:
    def changed(case: Case, hit: Rows, rng: np.random.Generator) -> Case:
        return _with(case, name, hit, change(np.asarray(case.columns[name][hit], object), rng))

    return Fault(kind, strength, INPUT, "", (name,), accepted, changed)


def _of_a_category(case: Case, name: str) -> Iterator[Fault]:
    levels = sorted({v for v in case.columns[name] if v is not None})
    if len(levels) < 2:
        return
    for share in (1.0, 0.5, 0.2):
        yield _category("null", f"{share:.0%} of the values", name, NULLS, _unsaid(share))
    yield _category("constant", f"all {str(levels[0])[:20]!r}", name, FIXED, _mapped(lambda _: levels[0]))
    written = frozenset({"encoding", "codes"})
    yield _category("encoding", "written otherwise", name, written, _mapped(lambda v: f" {str(v).upper()}_"))
    if len(levels) <= LEVELS_MAX:
        following = dict(zip(levels, [*levels[1:], levels[0]], strict=True))
        yield _category("codes", "each for the next", name, written, _mapped(lambda v: following[v]))
    if len(levels) > 2:
        half = set(levels[: len(levels) // 2 + 1])
        yield _category(
            "merged", "half of the values as one", name, MERGED, _mapped(lambda v: levels[0] if v in half else v)
        )


def _unsaid(share: float) -> OnTexts:
    def change(values: Texts, rng: np.random.Generator) -> Texts:
        made = values.copy()
        made[_some(share, rng, len(made))] = None
        return made

    return change


def _mapped(to: Callable[[str], str]) -> OnTexts:
    return lambda values, _: np.array([None if v is None else to(v) for v in values], object)


def _swapped(a: str, b: str) -> Fault:
    def change(case: Case, hit: Rows, _rng: np.random.Generator) -> Case:
        x, y = case.columns[a][hit].copy(), case.columns[b][hit].copy()
        return _with(_with(case, a, hit, y), b, hit, x)

    return Fault("swap", "one for the other", INPUT, "", (a, b), frozenset({"swap"}), change)


def _differs(before: Case, after: Case, hit: Rows) -> bool:
    return any(
        _share_that_differs(before.columns[n][hit], v[hit]) >= CHANGED_MIN
        for n, v in after.columns.items()
        if v is not before.columns[n]
    )


def _share_that_differs(a: Values, b: Values) -> float:
    if numeric(a) and numeric(b):
        return float(((a != b) & ~(np.isnan(a) & np.isnan(b))).mean())
    return float(np.mean([x != y for x, y in zip(a, b, strict=True)]))


# -- feeds ---------------------------------------------------------------------------------------------------------


def _of_a_feed(case: Case, table: str) -> Iterator[Fault]:
    """What happens to a table that features are looked up in."""
    columns = tuple(c for c in case.columns if case.table.get(c) == table and c not in case.rolling)
    if not columns:
        return
    kept = frozenset({"partial", "volume", "null"})
    yield Fault(
        "missing",
        "nothing comes",
        FEED,
        table,
        columns,
        SILENT,
        _lost(columns, 1.0),
        0.0,
    )
    for share in (0.7, 0.3):
        yield Fault(
            "partial", f"{share:.0%} of it is lost", FEED, table, columns, kept, _lost(columns, share), 1 - share
        )
    if len(columns) > 1:
        yield Fault("join", "by a key that means nothing", FEED, table, columns, JOINED, _joined(columns, None))
        yield Fault("join", "slipped by a row", FEED, table, columns, JOINED, _joined(columns, 1))
    yield Fault("late", "by 20 hours", FEED, table, columns, LATE, _as_it_is, late_h=20.0)


def _as_it_is(case: Case, _hit: Rows, _rng: np.random.Generator) -> Case:
    return case


def _lost(columns: Sequence[str], share: float) -> Change:
    def change(case: Case, hit: Rows, rng: np.random.Generator) -> Case:
        gone = hit[_some(share, rng, len(hit))]
        for name in columns:
            null = np.full(len(gone), np.nan) if numeric(case.columns[name]) else np.full(len(gone), None, object)
            case = _with(case, name, gone, null)
        return case

    return change


def _joined(columns: Sequence[str], slipped: int | None) -> Change:
    def change(case: Case, hit: Rows, rng: np.random.Generator) -> Case:
        order = rng.permutation(len(hit)) if slipped is None else np.roll(np.arange(len(hit)), slipped)
        for name in columns:
            case = _with(case, name, hit, case.columns[name][hit][order])
        return case

    return change


def _arrived(fault: Fault, table: TableDays, periods: int) -> TableDays:
    """What the records of a table say of a fault: how much came, and how late."""
    if table.table != fault.of or (fault.arrives, fault.late_h) == (1.0, 0.0):
        return table
    rows = [round(n * fault.arrives) if i < periods else n for i, n in enumerate(table.rows)]
    lags = [h + fault.late_h if i < periods else h for i, h in enumerate(table.lag_h)]
    some = [h if n else float("nan") for n, h in zip(rows, lags, strict=True)]
    return replace(table, rows=tuple(rows), lag_h=tuple(some))


# -- traffic -------------------------------------------------------------------------------------------------------


def _of_traffic(case: Case, words: Sequence[str]) -> Iterator[Fault]:
    fewer, more = frozenset({"volume", "partial"}), frozenset({"duplicates", "volume"})
    for share in (0.1, 0.4, 0.7):
        yield Fault("volume", f"{share:.0%} of the rows", TRAFFIC, case.spine, (), fewer, _fewer(share), share)
    for share in (1.0, 0.5, 0.25):
        yield Fault("duplicates", f"{share:.0%} come twice", TRAFFIC, case.spine, (), more, _again(share), 1 + share)
    for name in words[:1]:
        levels, counts = np.unique([v for v in case.columns[name] if v is not None], return_counts=True)
        if len(levels) > 1:
            rare = frozenset(levels[np.argsort(counts)][: len(levels) // 2])
            for share in (0.95, 0.6):
                said = f"{share:.0%} of other rows are gone"
                yield Fault("mix", said, TRAFFIC, name, (name,), frozenset({"mix"}), _mixed(name, rare, share))


def _taken(case: Case, rows: Rows) -> Case:
    """The case with these rows, in this order; the number of answers follows."""
    before, after = (np.bincount(p, minlength=len(case.answered)) for p in (case.period, case.period[rows]))
    answered = tuple(
        round(n * a / b) if b else n
        for n, a, b in zip(case.answered, after, before[: len(case.answered)], strict=False)
    )
    return replace(
        case,
        columns={n: v[rows] for n, v in case.columns.items()},
        period=case.period[rows],
        score=case.score[rows],
        label=case.label[rows],
        loss=case.loss[rows],
        answered=answered,
    )


def _fewer(share: float) -> Change:
    def change(case: Case, hit: Rows, rng: np.random.Generator) -> Case:
        return _taken(case, np.setdiff1d(np.arange(len(case.period)), hit[~_some(share, rng, len(hit))]))

    return change


def _again(share: float) -> Change:
    def change(case: Case, hit: Rows, rng: np.random.Generator) -> Case:
        return _taken(case, np.sort(np.concatenate([np.arange(len(case.period)), hit[_some(share, rng, len(hit))]])))

    return change


def _mixed(name: str, rare: frozenset[str], share: float) -> Change:
    def change(case: Case, hit: Rows, rng: np.random.Generator) -> Case:
        common = np.array([v not in rare for v in case.columns[name][hit]])
        return _taken(case, np.setdiff1d(np.arange(len(case.period)), hit[common & _some(share, rng, len(hit))]))

    return change


# -- labels --------------------------------------------------------------------------------------------------------


def _of_labels(case: Case, words: Sequence[str]) -> Iterator[Fault]:
    known = case.label[np.isfinite(case.label)]
    if not len(known) or known.min() == known.max():
        return
    turned = _turned(case, known)
    for share in (1.0, 0.4):
        yield Fault("label flip", f"{share:.0%} turned round", LABELS, case.labels, (), UNTRUE, _told(share, turned))
    yield Fault("label mix-up", "in no order", LABELS, case.labels, (), UNTRUE, _told(1.0, None))
    if case.task == "regression":
        for factor in (1.6, 1.2):
            said = f"times {factor:g}"
            yield Fault("label scale", said, LABELS, case.labels, (), UNTRUE, _told(1.0, _scaled_labels(factor)))
    delays = frozenset({"label delay", "missing", "late"})
    yield Fault("label delay", "none comes", LABELS, case.labels, (), delays, _unlabelled, 0.0)
    for name in words[:1]:
        levels, counts = np.unique([v for v in case.columns[name] if v is not None], return_counts=True)
        most = str(levels[counts.argmax()])
        said = f"turned round where {name} is {most[:20]!r}"
        yield Fault("concept", said, LABELS, case.labels, (), UNTRUE, _elsewhere(name, most, turned))


Labelled: TypeAlias = Callable[[Numbers], Numbers]


def _turned(case: Case, known: Numbers) -> Labelled:
    if case.task == "binary":
        return lambda v: 1 - v
    if case.task == "multiclass":
        classes = int(known.max()) + 1
        return lambda v: (v + 1) % classes
    low, high = np.quantile(known, [0.02, 0.98])
    return lambda v: low + high - v


def _scaled_labels(factor: float) -> Labelled:
    return lambda v: v * factor


def _relabelled(case: Case, rows: Rows, values: Numbers) -> Case:
    label = case.label.copy()
    label[rows] = values
    return replace(case, label=label)


def _told(share: float, to: Labelled | None) -> Change:
    """Labels of a share of the rows told otherwise; without a function, those of other rows."""

    def change(case: Case, hit: Rows, rng: np.random.Generator) -> Case:
        rows = hit[_some(share, rng, len(hit))]
        values = case.label[rows]
        return _relabelled(case, rows, rng.permutation(values) if to is None else to(values))

    return change


def _elsewhere(name: str, level: str, to: Labelled) -> Change:
    def change(case: Case, hit: Rows, _rng: np.random.Generator) -> Case:
        rows = hit[[v == level for v in case.columns[name][hit]]]
        return _relabelled(case, rows, to(case.label[rows]))

    return change


def _unlabelled(case: Case, hit: Rows, _rng: np.random.Generator) -> Case:
    return _relabelled(case, hit, np.full(len(hit), np.nan))
