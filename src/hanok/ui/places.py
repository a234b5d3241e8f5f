"""Where a value lies in the distribution that a model version was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hanok.ui import svg

if TYPE_CHECKING:
    from hanok.compute.drift import Reference

TYPICAL, TAIL, OUTSIDE, UNSEEN, NULL, RARE = "typical", "tail", "outside", "unseen", "null", "rare"
RARE_SHARE = 0.01
KNOWN_MAX = 40
CATEGORIES_DRAWN = 16


@dataclass(frozen=True, slots=True)
class Place:
    """`state` in words: typical; tail (in an outer bin); outside (farther beyond the outer cut than all cuts span);
    rare, unseen (a value the training set hardly or never had); null. `below` is the share of training rows below."""

    state: str
    share: float
    below: float | None
    null_share: float
    bins: tuple[svg.Bin, ...]
    categories: tuple[tuple[str, float], ...]
    at: int | None
    value: float | None

    @property
    def unusual(self) -> bool:
        return self.state in (OUTSIDE, UNSEEN) or (self.state in (NULL, RARE) and self.share < RARE_SHARE)

    def picture(self, name: str) -> svg.Svg:
        """The distribution with the value marked."""
        title = f"{name}: the value in the training distribution ({self.state})"
        if self.bins:
            return svg.histogram(self.bins, marker=self.value, title=title)
        return svg.category_bars([s for _, s in self.categories], marker=self.at, title=title)


def place_of(reference: Reference, value: Any) -> Place:
    """The place of one value. A value that is no number in a numeric column counts as null."""
    total = sum(reference.counts) or 1
    shares = [c / total for c in reference.counts]
    nulls = shares[-1] if shares else 0.0
    if not reference.numeric:
        return _text(reference, shares, nulls, value)
    number = _number(value)
    if not reference.edges:
        return _points(reference, shares, nulls, number)
    return _numeric(reference, shares, nulls, number)


def _text(reference: Reference, shares: list[float], nulls: float, value: Any) -> Place:
    points = [str(p) for p in reference.points]
    drawn = tuple(zip(points, shares, strict=False))[:CATEGORIES_DRAWN]
    if value is None:
        return Place(NULL, nulls, None, nulls, (), drawn, None, None)
    text = str(value)
    if text in points:
        at = points.index(text)
        if at >= CATEGORIES_DRAWN:  # the drawn ones are the most common; this one takes the last place
            drawn = (*drawn[:-1], (text, shares[at]))
        state = RARE if shares[at] < RARE_SHARE else TYPICAL
        return Place(state, shares[at], None, nulls, (), drawn, min(at, CATEGORIES_DRAWN - 1), None)
    other = shares[len(points)] if len(points) < len(shares) else 0.0
    state = RARE if len(points) >= KNOWN_MAX and other else UNSEEN
    return Place(state, 0.0, None, nulls, (), (*drawn, ("(other)", other)), len(drawn), None)


def _points(reference: Reference, shares: list[float], nulls: float, number: float | None) -> Place:
    """A numeric column of few values: each has its bar. Between them lies the single interval of all other values."""
    points = [float(p) for p in reference.points]
    drawn = tuple((svg.tick(p), s) for p, s in zip(points, shares, strict=False))
    if number is None:
        return Place(NULL, nulls, None, nulls, (), drawn, None, None)
    below = sum(s for p, s in zip(points, shares, strict=False) if p < number)
    if number in points:
        at = points.index(number)
        return Place(RARE if shares[at] < RARE_SHARE else TYPICAL, shares[at], below, nulls, (), drawn, at, number)
    other = shares[len(points)]
    if other:
        bins = (*(svg.Bin(p, p, s) for p, s in zip(points, shares, strict=False)),)
        return Place(TYPICAL if other > RARE_SHARE else RARE, other, below, nulls, bins, (), None, number)
    return Place(UNSEEN, 0.0, below, nulls, (), (*drawn, ("(other)", 0.0)), len(drawn), number)


def _numeric(reference: Reference, shares: list[float], nulls: float, number: float | None) -> Place:
    points, edges = [float(p) for p in reference.points], list(reference.edges)
    span = edges[-1] - edges[0] or abs(edges[0]) or 1.0
    outer = span / max(2, len(edges))
    lows, highs = [edges[0] - outer, *edges], [*edges, edges[-1] + outer]
    inner = shares[len(points) : len(points) + len(lows)]
    bins = (
        *(svg.Bin(low, high, s) for low, high, s in zip(lows, highs, inner, strict=True)),
        *(svg.Bin(p, p, s) for p, s in zip(points, shares, strict=False)),
    )
    if number is None:
        return Place(NULL, nulls, None, nulls, bins, (), None, None)
    below = sum(s for p, s in zip(points, shares, strict=False) if p < number)
    below += sum(s * min(1.0, max(0.0, (number - b) / (t - b))) for b, t, s in zip(lows, highs, inner, strict=True))
    if number in points:
        return Place(TYPICAL, shares[points.index(number)], below, nulls, bins, (), None, number)
    ends = min([edges[0], *points]), max([edges[-1], *points])
    beyond = max(ends[0] - number, number - ends[1])
    state = OUTSIDE if beyond > span else TAIL if beyond > 0 else TYPICAL
    which = sum(number >= e for e in edges)
    return Place(state, inner[which], below, nulls, bins, (), None, number)


def _number(value: Any) -> float | None:
    if isinstance(value, bool | int | float) and svg.finite(float(value)):
        return float(value)
    return None
