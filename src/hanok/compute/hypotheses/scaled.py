"""Numbers in another unit: multiplied, shifted, turned round; all of them, or some rows of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hanok.compute.hypotheses.case import Measured, Numbers, Proposal, Values, numeric, shown

UNITS = {
    24.0: "days for hours",
    60.0: "minutes for hours, or seconds for minutes",
    3600.0: "seconds for hours",
    1000.0: "thousandths of the unit",
    100.0: "hundredths of the unit, or percent",
    10.0: "tenths of the unit",
    25.4: "millimetres for inches",
    2.54: "centimetres for inches",
    3.6: "km/h for m/s",
    1.609344: "kilometres for miles",
    0.45359237: "kilograms for pounds",
    0.3048: "metres for feet",
}
FAHRENHEIT = ((1.8, 32.0), (1 / 1.8, -32 / 1.8))
SNAP = 0.04
UNKNOWN = 12.0  # how much better a factor that is no known unit has to undo
LITTLE = 0.08
OUTLYING = 0.015


def scaled(measured: Measured) -> Iterator[Proposal]:
    for name in measured.case.columns:
        values = measured.suspect[name]
        if not numeric(values) or name in measured.case.rolling or not measured.unlike.get(name, 0.0):
            continue
        own, good = np.asarray(values, float), np.asarray(measured.good[name], float)
        if np.isfinite(own).sum() < 20 or np.nanstd(own) == 0 or np.nanstd(good) == 0:
            continue
        yield from _affine(measured, name, own, good)
        yield from _outliers(measured, name, own, good)


def _affine(measured: Measured, name: str, own: Numbers, good: Numbers) -> Iterator[Proposal]:
    best: tuple[float, float, float, Numbers] | None = None
    now = measured.left({})
    for by, plus in _fits(own, good, measured.expected(name)):
        undone = (own - plus) / by
        if not measured.like(name, undone):
            continue
        known = by in UNITS or 1 / by in UNITS or by == -1.0 or (by, plus) in FAHRENHEIT
        left = measured.left({name: undone}) + (2.0 if plus else 0.0) + (0.0 if known else UNKNOWN)
        if best is None or left < best[0] - 1.0:
            best = left, by, plus, undone
    if best is None or now <= 0 or best[0] > now - 12:
        return
    _, by, plus, undone = best
    sign = by < 0
    yield Proposal(
        "sign" if sign else "unit", f"input {name}", f"values look {_said(by, plus)}", (name,), undone={name: undone},
        next=f"compare the unit of {name} with the one the model was trained on, where {_from(measured, name)} is made",
    )  # fmt: skip


def _from(measured: Measured, name: str) -> str:
    return repr(measured.case.table.get(name, name))


def _fits(own: Numbers, good: Numbers, expected: Numbers | None) -> list[tuple[float, float]]:
    """Factors and offsets that could make the good values the suspect ones."""
    own_known, known = own[np.isfinite(own)], good[np.isfinite(good)]
    wide, usual = (float(np.subtract(*np.quantile(v, [0.9, 0.1]))) for v in (own_known, known))
    if usual <= 0 or wide <= 0:
        wide, usual = float(own_known.std()), float(known.std())
    middle, usual_middle = float(np.median(own_known)), float(np.median(known))
    ratio = wide / usual
    factors = {ratio, float(own_known.std() / known.std())}
    if usual_middle and middle and middle / usual_middle > 0:
        factors.add(middle / usual_middle)
    mean = float(known.mean())
    if mean and own_known.mean() / mean > 0:
        factors.add(float(own_known.mean() / mean))
    offsets = {middle - usual_middle, float(own_known.mean() - mean)}
    affine: set[tuple[float, float]] = set()
    if expected is not None:
        both = np.isfinite(own) & np.isfinite(expected) & (expected != 0)
        if both.sum() > 20:
            factors.add(float(np.median(own[both] / expected[both])))
            offsets.add(float(np.median(own[both] - expected[both])))
            slope = float(np.cov(own[both], expected[both])[0, 1] / max(np.var(expected[both]), 1e-12))
            affine.add((slope, float(own[both].mean() - slope * expected[both].mean())))
    snapped = {_snap(f) for f in factors if f > 0}
    made = [(f, 0.0) for f in sorted(snapped | {f for f in factors if f > 0})]
    made += [(-1.0, 0.0), *((1.0, o) for o in sorted(offsets))]
    made += [(r, middle - r * usual_middle) for r in sorted({_snap(ratio), ratio})]
    made += [*FAHRENHEIT, (-1.0, middle + usual_middle), *sorted(affine)]
    return [(by, plus) for by, plus in made if by and (abs(by - 1) > LITTLE or abs(plus) > LITTLE * usual)]


def _snap(factor: float) -> float:
    """A factor that is nearly one of the known units is that one."""
    for known in UNITS:
        for exact in (known, 1 / known):
            if abs(factor / exact - 1) < SNAP:
                return exact
    return factor


def _said(by: float, plus: float) -> str:
    if (round(by, 3), round(plus, 2)) == (1.8, 32.0):
        return "like Fahrenheit for Celsius (1.8 x + 32)"
    if abs(by - 1 / 1.8) < 1e-6:
        return "like Celsius for Fahrenheit ((x - 32) / 1.8)"
    if by == -1.0:
        return "turned round in sign" if not plus else f"turned round ({shown(plus)} - x)"
    parts = [] if by == 1.0 else [f"multiplied by {shown(by)}"]
    unit = UNITS.get(by) or (f"the reverse of {UNITS[1 / by]}" if 1 / by in UNITS else "")
    parts += [f"shifted by {shown(plus)}"] if plus else []
    return " and ".join(parts) + (f" ({unit})" if unit and not plus else "")


def _outliers(measured: Measured, name: str, own: Numbers, good: Numbers) -> Iterator[Proposal]:
    """Some rows far beyond anything before, the rest as ever."""
    known = good[np.isfinite(good)]
    low, high = float(known.min()), float(known.max())
    slack = 0.5 * (high - low) or 1.0
    out = (own < low - slack) | (own > high + slack)
    share, before = float(out.mean()), 0.0
    if not OUTLYING < share < 0.9 or share - before < OUTLYING or not measured.moved(name):
        return
    if not measured.like(name, own[~out]):
        return
    rest: Values = np.where(out, np.nan, own)
    times = float(np.median(own[out]) / np.median(known)) if np.median(known) else float("nan")
    guess = f", about {shown(_snap(times))} times the usual" if np.isfinite(times) and times > 0 else ""
    yield Proposal(
        "outliers", f"input {name}", f"{share:.0%} of the values lie beyond all that were seen before{guess}", (name,),
        gone=frozenset({name}), undone={name: rest},
        next=f"look at which sender of {_from(measured, name)} has those rows",
    )  # fmt: skip
