"""Charts as SVG text: for pages, notebooks and mail. Each has a <title> and role="img"; colours follow the theme.

All values may be hostile text or non-finite numbers: text is escaped, what is no finite number is left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

# A page sets --s1 ... in both themes; outside of a page the fallbacks hold.
TONES = ("var(--s1,#2c6e5d)", "var(--s2,#a5632a)", "var(--s3,#4a6a93)", "var(--s4,#8a4a6b)", "var(--s5,#7a7a45)")
INK, FAINT, RULE, ALERT = "var(--ink,#26221c)", "var(--muted,#6f675a)", "var(--rule,#ddd3c0)", "var(--bad,#a8321f)"
DASHED = "dashed"  # the tone of a level to compare with
WIDTH, HEIGHT = 560, 200
LEFT, RIGHT, TOP, BOTTOM = 48, 14, 26, 24


class Svg(Markup):
    """Markup that a notebook draws."""

    def _repr_svg_(self) -> str:
        return str(self)


@dataclass(frozen=True, slots=True)
class Series:
    """`values[i]` belongs to the i-th label of the chart; None leaves a gap. `faint` draws it dashed."""

    name: str
    values: tuple[float | None, ...]
    faint: bool = False


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps [`low`, `high`] to [`start`, `end`] in pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        if self.high == self.low:
            return (self.start + self.end) / 2
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def line_chart(
    labels: Sequence[str],
    series: Sequence[Series],
    *,
    title: str,
    reference: float | None = None,
    reference_name: str = "",
    marks: Mapping[str, str] | None = None,
) -> Svg:
    """Lines over equally spaced labels (days), with an optional level to compare with and marks at labels."""
    shown = [v for s in series for v in s.values if finite(v)]
    if not labels or not shown:
        return empty(title)
    ticks = nice_ticks([*shown, *([reference] if finite(reference) else [])])
    x = Scale(0, max(1, len(labels) - 1), LEFT, WIDTH - RIGHT)
    y = Scale(ticks[0], ticks[-1], HEIGHT - BOTTOM, TOP)
    parts = [_grid(ticks, y), _days(labels, x)]
    for label, text in (marks or {}).items():
        if label in labels:
            at = x(list(labels).index(label))
            parts.append(
                f'<g><title>{escape(text)}</title><path d="M{at:.1f} {TOP}V{HEIGHT - BOTTOM}" '
                f'style="stroke:{FAINT};stroke-dasharray:2 3"/>'
                f'<circle cx="{at:.1f}" cy="{TOP}" r="3" style="fill:{FAINT}"/></g>'
            )
    names = []
    for place, one in enumerate(series):
        tone = TONES[place % len(TONES)]
        parts.append(_line(one, labels, x, y, tone))
        names.append((one.name, tone))
    if reference is not None and finite(reference):
        parts.append(_level(y(reference)))
        names.append((reference_name, DASHED))
    if len(names) > 1:
        parts.append(_legend(names))
    return _svg(WIDTH, HEIGHT, title, parts)


def sparkline(values: Sequence[float | None], *, title: str, width: int = 132, height: int = 30) -> Svg:
    """A small line without axes that starts at zero; its last point is marked."""
    kept = [(i, float(v)) for i, v in enumerate(values) if v is not None and finite(v)]
    if not kept:
        return _svg(width, height, title, [])
    x = Scale(0, max(1, len(values) - 1), 2, width - 4)
    y = Scale(min(0.0, *(v for _, v in kept)), max(v for _, v in kept) or 1.0, height - 3, 4)
    points = [(x(i), y(v)) for i, v in kept]
    line = "L".join(f"{a:.1f} {b:.1f}" for a, b in points)
    area = f"M{points[0][0]:.1f} {height - 3}L{line}L{points[-1][0]:.1f} {height - 3}Z"
    return _svg(
        width,
        height,
        title,
        [
            f'<path d="{area}" style="fill:{TONES[0]};opacity:.16"/>',
            f'<path d="M{line}" style="fill:none;stroke:{TONES[0]};stroke-width:1.5"/>',
            f'<circle cx="{points[-1][0]:.1f}" cy="{points[-1][1]:.1f}" r="2.2" style="fill:{TONES[0]}"/>',
        ],
        small=True,
    )


def ribbon(columns: Sequence[Sequence[float] | None], *, title: str, width: int = 220, height: int = 54) -> Svg:
    """A distribution over time: for each column five values (5 %, 25 %, 50 %, 75 %, 95 %), or None for a gap."""
    known = [v for c in columns if c for v in c if finite(v)]
    if not known:
        return _svg(width, height, title, [], small=True)
    x = Scale(0, max(1, len(columns) - 1), 4, width - 4)
    y = Scale(min(known), max(known), height - 5, 5)
    parts = []
    for run in _runs(columns):
        for low, high, opacity in ((0, 4, 0.16), (1, 3, 0.3)):
            up = "L".join(f"{x(i):.1f} {y(c[high]):.1f}" for i, c in run)
            back = "L".join(f"{x(i):.1f} {y(c[low]):.1f}" for i, c in reversed(run))
            parts.append(f'<path d="M{up}L{back}Z" style="fill:{TONES[0]};opacity:{opacity}"/>')
        middle = "L".join(f"{x(i):.1f} {y(c[2]):.1f}" for i, c in run)
        parts.append(f'<path d="M{middle}" style="fill:none;stroke:{TONES[0]};stroke-width:1.6"/>')
        if len(run) == 1:
            at, alone = run[0]
            parts.append(f'<circle cx="{x(at):.1f}" cy="{y(alone[2]):.1f}" r="2.2" style="fill:{TONES[0]}"/>')
    return _svg(width, height, title, parts, small=True)


def layers(shares: Sequence[Sequence[float]], *, title: str, width: int = 220, height: int = 54) -> Svg:
    """Shares of a whole over time, one layer for each row of `shares`, laid on each other from below."""
    places = len(shares[0]) if shares else 0
    if not places:
        return _svg(width, height, title, [], small=True)
    x, y = Scale(0, max(1, places - 1), 4, width - 4), Scale(0, 1, height - 5, 5)
    spots = [4.0, width - 4.0] if places == 1 else [x(i) for i in range(places)]
    floor, parts = [0.0] * places, [f'<path d="M4 5H{width - 4}" style="stroke:{RULE}"/>']
    for row, layer in enumerate(shares):
        top = [min(1.0, a + b) for a, b in zip(floor, layer, strict=True)]
        ends = [(top, floor)] if places > 1 else [(top * 2, floor * 2)]
        for high, low in ends:
            up = "L".join(f"{a:.1f} {y(v):.1f}" for a, v in zip(spots, high, strict=True))
            back = "L".join(f"{a:.1f} {y(v):.1f}" for a, v in reversed(list(zip(spots, low, strict=True))))
            parts.append(f'<path d="M{up}L{back}Z" style="fill:{TONES[row % len(TONES)]};opacity:.5"/>')
        floor = top
    return _svg(width, height, title, parts, small=True)


def _runs(columns: Sequence[Sequence[float] | None]) -> list[list[tuple[int, Sequence[float]]]]:
    """Neighbouring columns that are there, with their places."""
    runs: list[list[tuple[int, Sequence[float]]]] = [[]]
    for i, column in enumerate(columns):
        if column and all(finite(v) for v in column):
            runs[-1].append((i, column))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def bar(share: float, *, title: str, width: int = 120, tone: int = 0) -> Svg:
    """One horizontal bar of `share` in [0, 1] of the width: for use in a table's cell."""
    length = 0.0 if not finite(share) else min(1.0, max(0.0, share)) * width
    return _svg(
        width,
        10,
        title,
        [
            f'<path d="M0 9.5H{width}" style="stroke:{RULE}"/>',
            f'<rect y="1" width="{length:.1f}" height="8" rx="1" style="fill:{TONES[tone]}"/>',
        ],
        small=True,
    )


def bars(items: Sequence[tuple[str, float]], *, title: str, width: int = WIDTH) -> Svg:
    """Horizontal bars with their labels, scaled to the largest."""
    kept = [(n, v) for n, v in items if finite(v)]
    if not kept:
        return empty(title)
    x = Scale(0, max(abs(v) for _, v in kept) or 1.0, 0, width - 230)
    parts = []
    for row, (name, value) in enumerate(kept):
        y = 20 * row
        parts.append(
            f'<text x="166" y="{y + 14}" text-anchor="end">{escape(_cut(name, 26))}</text>'
            f'<rect x="174" y="{y + 4}" width="{x(abs(value)):.1f}" height="12" rx="1" style="fill:{TONES[0]}"/>'
            f'<text x="{180 + x(abs(value)):.1f}" y="{y + 14}" style="fill:{FAINT}">{tick(value)}</text>'
        )
    return _svg(width, 20 * len(kept) + 2, title, parts)


def interval(
    low: float, middle: float, high: float, *, bounds: tuple[float, float], title: str, width: int = 200
) -> Svg:
    """An interval against zero: wholly right of it is a gain, wholly left a loss."""
    if not all(map(finite, (low, middle, high, *bounds))):
        return _svg(width, 18, title, [], small=True)
    x = Scale(min(bounds[0], 0.0), max(bounds[1], 0.0), 6, width - 6)
    tone = ALERT if high < 0 else TONES[0] if low > 0 else FAINT
    return _svg(
        width,
        18,
        title,
        [
            f'<path d="M{x(0):.1f} 0V18" style="stroke:{INK};opacity:.55"/>',
            f'<path d="M{x(low):.1f} 9H{x(high):.1f}M{x(low):.1f} 5.5V12.5M{x(high):.1f} 5.5V12.5" '
            f'style="stroke:{tone};stroke-width:1.6"/>',
            f'<circle cx="{x(middle):.1f}" cy="9" r="3.4" style="fill:{tone}"/>',
        ],
        small=True,
    )


@dataclass(frozen=True, slots=True)
class Bin:
    """A bar of a histogram from `low` to `high`; `low` == `high` is a mass point, drawn as a spike."""

    low: float
    high: float
    share: float


def histogram(bins: Sequence[Bin], *, marker: float | None, title: str, width: int = 190, height: int = 36) -> Svg:
    """Density over a linear axis (area is share) with a marker; a marker beyond the ends is drawn as an arrow there."""
    wide = [b for b in bins if b.high > b.low]
    spikes = [b for b in bins if b.high == b.low]
    if not wide and not spikes:
        return _svg(width, height, title, [], small=True)
    ends = [e for b in bins for e in (b.low, b.high)]
    x = Scale(min(ends), max(ends), 5, width - 5)
    floor = height - 5
    top = max((b.share / (b.high - b.low) for b in wide), default=1.0) or 1.0
    tallest = max((b.share for b in spikes), default=1.0) or 1.0
    area = "".join(
        f"M{x(b.low):.1f} {floor}V{floor - b.share / (b.high - b.low) / top * (floor - 4):.1f}H{x(b.high):.1f}V{floor}Z"
        for b in wide
    )
    sticks = "".join(f"M{x(b.low):.1f} {floor}V{floor - b.share / tallest * (floor - 4):.1f}" for b in spikes)
    parts = [
        f'<path d="{area}" style="fill:{TONES[0]};opacity:.28"/>' if area else "",
        f'<path d="{sticks}" style="stroke:{TONES[0]};stroke-width:3;opacity:.5"/>' if sticks else "",
        f'<path d="M0 {floor + 0.5}H{width}" style="stroke:{RULE}"/>',
    ]
    if marker is not None and finite(marker):
        parts.append(_marker(marker, x, height))
    return _svg(width, height, title, parts, small=True)


def category_bars(
    shares: Sequence[float], *, marker: int | None, title: str, width: int = 190, height: int = 36
) -> Svg:
    """Upright bars of equal width; the one at `marker` is drawn in ink."""
    if not shares:
        return _svg(width, height, title, [], small=True)
    top, step, floor = max(shares) or 1.0, (width - 10) / len(shares), height - 5
    gap = 1.5 if step > 4 else 0.4
    path = "".join(
        f"M{5 + i * step:.1f} {floor}v{-max(0.5, s / top * (floor - 4)):.1f}h{step - gap:.1f}V{floor}Z"
        for i, s in enumerate(shares)
        if i != marker
    )
    parts = [
        f'<path d="{path}" style="fill:{TONES[0]};opacity:.32"/>',
        f'<path d="M0 {floor + 0.5}H{width}" style="stroke:{RULE}"/>',
    ]
    if marker is not None and 0 <= marker < len(shares):
        tall = max(1.5, shares[marker] / top * (floor - 4))
        at = 5 + marker * step
        parts.append(f'<path d="M{at:.1f} {floor}v{-tall:.1f}h{step - gap:.1f}V{floor}Z" style="fill:{ALERT}"/>')
        parts.append(f'<path d="M{at + step / 2 - 3:.1f} {height}l3 -4l3 4Z" style="fill:{ALERT}"/>')
    return _svg(width, height, title, parts, small=True)


def empty(title: str) -> Svg:
    """A chart that has nothing to show yet."""
    return _svg(
        WIDTH,
        60,
        title,
        [f'<text x="{WIDTH / 2}" y="34" text-anchor="middle" style="fill:{FAINT}">nothing measured yet</text>'],
    )


def nice_ticks(values: Sequence[float | None], count: int = 4) -> list[float]:
    """Round numbers that enclose the values: steps of 1, 2, 2.5 or 5 times a power of ten."""
    kept = [float(v) for v in values if v is not None and finite(v)]
    low, high = min(kept, default=0.0), max(kept, default=1.0)
    if low == high:
        pad = abs(low) * 0.1 or 0.5
        low, high = low - pad, high + pad
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def tick(value: float) -> str:
    """A number as an axis shows it."""
    if value and (abs(value) >= 100_000 or abs(value) < 0.0005):
        return f"{value:.1e}".replace("e+0", "e").replace("e-0", "e-")
    return f"{value:,.4f}".rstrip("0").rstrip(".")


def _svg(width: int, height: int, title: str, parts: Sequence[str], *, small: bool = False) -> Svg:
    size = f' width="{width}" height="{height}"' if small else ""
    kind = "spark" if small else "chart"
    font = "" if small else ' font-size="11.5"'
    fill = "" if small else f' style="fill:{INK}"'
    return Svg(
        f'<svg class="{kind}" role="img" viewBox="0 0 {width} {height}"{size}{font}{fill} xmlns="http://www.w3.org/2000/svg">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )


def _grid(ticks: Sequence[float], y: Scale) -> str:
    rules = "".join(f"M{LEFT} {y(t):.1f}H{WIDTH - RIGHT}" for t in ticks)
    texts = "".join(f'<text x="{LEFT - 7}" y="{y(t) + 4:.1f}">{tick(t)}</text>' for t in ticks)
    return f'<path d="{rules}" style="stroke:{RULE};fill:none"/><g text-anchor="end" style="fill:{FAINT}">{texts}</g>'


def _days(labels: Sequence[str], x: Scale) -> str:
    step = max(1, math.ceil((len(labels) - 1) / 5))
    places = range(0, len(labels), step)
    texts = []
    for i in places:
        side = "start" if i == 0 and len(labels) > 1 else "end" if x(i) > WIDTH - RIGHT - 34 and i else "middle"
        text = labels[i].removeprefix(labels[0][:5]) if i else labels[i]  # the year is said once
        texts.append(f'<text x="{x(i):.1f}" y="{HEIGHT - 6}" text-anchor="{side}">{escape(text)}</text>')
    return f'<g class="days" style="fill:{FAINT}">{"".join(texts)}</g>'


def _line(one: Series, labels: Sequence[str], x: Scale, y: Scale, tone: str) -> str:
    path, alone, down = [], [], False
    known = [v if finite(v) else None for v in one.values]
    for i, value in enumerate(known):
        if value is None:
            down = False
            continue
        path.append(f"{'L' if down else 'M'}{x(i):.1f} {y(value):.1f}")
        before, after = (known[j] if 0 <= j < len(known) else None for j in (i - 1, i + 1))
        if before is None and after is None:
            alone.append(f'<circle cx="{x(i):.1f}" cy="{y(value):.1f}" r="2.4" style="fill:{tone}"/>')
        down = True
    dash = ";stroke-dasharray:5 4" if one.faint else ""
    return (
        f"<g><title>{escape(one.name)}</title>"
        f'<path d="{"".join(path)}" style="fill:none;stroke:{tone};stroke-width:1.8;stroke-linejoin:round{dash}"/>'
        f"{''.join(alone)}</g>"
    )


def _level(at: float) -> str:
    return f'<path d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}" style="stroke:{INK};stroke-dasharray:6 4;opacity:.6"/>'


def _legend(names: Sequence[tuple[str, str]]) -> str:
    parts, at = [], float(LEFT)
    for name, tone in names:
        text = _cut(name, 22)
        if at + 24 + len(text) * 7 > WIDTH:
            break
        parts.append(
            f'<path d="M{at:.0f} 9h12" style="{_stroke(tone)}"/><text x="{at + 17:.0f}" y="13">{escape(text)}</text>'
        )
        at += 34 + len(text) * 7
    return f'<g class="legend">{"".join(parts)}</g>'


def _stroke(tone: str) -> str:
    return f"stroke:{INK};stroke-dasharray:5 2;opacity:.6" if tone == DASHED else f"stroke:{tone};stroke-width:3"


def _marker(value: float, x: Scale, height: int) -> str:
    at = x(min(max(value, x.low), x.high))
    if x.low <= value <= x.high:
        return (
            f'<path d="M{at:.1f} 2V{height - 5}" style="stroke:{ALERT};stroke-width:1.6"/>'
            f'<path d="M{at - 3:.1f} {height}l3 -4l3 4Z" style="fill:{ALERT}"/>'
        )
    side = 5 if value < x.low else -5
    return f'<path d="M{at:.1f} {height / 2 - 5:.1f}l{-side} 5l{side} 5Z" style="fill:{ALERT}"/>'


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
