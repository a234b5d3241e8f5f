"""Plots over a numeric axis as SVG text: curves of runs, and a param against a metric.

The frame carries its scales as data attributes, so that a script may read values under the pointer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

from hanok.core.tracking import CurveBin
from hanok.ui.svg import FAINT, INK, RULE, TONES, Scale, finite, nice_ticks, tick
from hanok.ui.views.curves import Line
from hanok.ui.views.settings import Setting

DASHES = ("", "6 3", "2 3", "9 3 2 3")
LEFT, RIGHT, TOP, BOTTOM = 52, 10, 8, 22
_UNITS = ((1000, 1, "ms"), (120_000, 1000, "s"), (7_200_000, 60_000, "min"), (math.inf, 3_600_000, "h"))


def tone(place: int) -> str:
    """The stroke of the run at this place: five tones, each solid, then dashed in three ways."""
    dash = DASHES[place // len(TONES) % len(DASHES)]
    return f"stroke:{TONES[place % len(TONES)]}" + (f";stroke-dasharray:{dash}" if dash else "")


def swatch(place: int) -> Markup:
    """The stroke of a run as a sample, for a legend or a table's head."""
    stroke = f"{tone(place)};stroke-width:2.4"
    return Markup(
        f'<svg class="swatch" width="22" height="8" aria-hidden="true"><path d="M1 4H21" style="{stroke}"/></svg>'
    )


def curve_plot(
    lines: Sequence[Line],
    *,
    title: str,
    axis: str = "step",
    log: bool = False,
    smooth: int = 0,
    width: int = 560,
    height: int = 220,
) -> Markup:
    """Mean lines of binned curves; one curve alone is drawn with the band of its smallest and largest values."""
    drawn = [(line, _smoothed(line.curve.bins, smooth)) for line in lines]
    values = [v for line, smoothed in drawn for v in _extent(line.curve.bins, smoothed, alone=len(drawn) == 1)]
    if log:
        values = [math.log10(v) for v in values if v > 0]
    places = [b.x for line, _ in drawn for b in line.curve.bins]
    if not values or not places:
        return Markup('<p class="empty">{}</p>').format("no value above zero to draw" if log else "nothing measured")
    ticks = _log_ticks(min(values), max(values)) if log else nice_ticks(values)
    x = Scale(min(places), max(places), LEFT, width - RIGHT)
    y = Scale(min(ticks[0], *values), max(ticks[-1], *values), height - BOTTOM, TOP)
    parts = [_frame(ticks, y, width, log), _places(x, axis, width, height)]
    if len(drawn) == 1 and not smooth:
        parts.append(_band(drawn[0][0], x, y, log))
    for line, smoothed in drawn:
        path = _path([b.x for b in line.curve.bins], smoothed, x, y, log)
        parts.append(
            f'<path class="curve" d="{path}" style="{tone(line.place)}"><title>{escape(line.name)}</title></path>'
        )
    scales = (
        f'data-plot="{LEFT} {width - RIGHT} {TOP} {height - BOTTOM}" data-x="{x.low:.12g} {x.high:.12g}" '
        f'data-y="{y.low:.12g} {y.high:.12g}" data-log="{int(log)}" data-axis="{escape(axis)}"'
    )
    return Markup(
        f'<svg class="chart plot" role="img" viewBox="0 0 {width} {height}" font-size="11.5" style="fill:{INK}" '
        f"{scales}>"
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )


def setting_plot(setting: Setting, *, metric: str, higher: bool | None, width: int = 330, height: int = 170) -> Markup:
    """Each run as a point: the param's value across, the metric up; medians of its levels as a line of steps."""
    values = sorted(v for _, v in setting.points)
    # a few runs that went wrong would press all others into one line: the worst twentieth is drawn at the edge
    spare = len(values) // 20
    low = values[0] if higher is False else values[spare]
    high = values[-1] if higher is not False else values[-1 - spare]
    ticks = nice_ticks([low, high], 3)
    x = Scale(0, 1, LEFT, width - RIGHT)
    y = Scale(min(low, ticks[0]), max(high, ticks[-1]), height - BOTTOM, TOP)
    counts: dict[tuple[int, int], int] = {}
    for i, (across, up) in enumerate(setting.points):
        jitter = 0.0 if setting.numeric else ((i * 37) % 21 - 10) / 10 * min(9.0, 90 / max(1, len(setting.levels)))
        cell = (round((x(across) + jitter) / 3), round(y(min(y.high, max(y.low, up))) / 3))
        counts[cell] = counts.get(cell, 0) + 1
    most = max(counts.values())
    shades: dict[int, list[str]] = {}
    for (across3, up3), count in counts.items():
        shade = 1 if most == 1 else min(3, 1 + int(3 * math.log(count) / math.log(most + 1)))
        shades.setdefault(shade, []).append(f"M{3 * across3} {3 * up3}h0")
    points = "".join(
        f'<path d="{"".join(d)}" style="stroke:{TONES[0]};stroke-width:{3.2 + 0.5 * s};stroke-linecap:round;'
        f'opacity:{0.3 + 0.2 * s:.1f}"/>'
        for s, d in sorted(shades.items())
    )
    ends = "".join(
        f'<text x="{at}" y="{height - 6}" text-anchor="{side}">{escape(_short(end))}</text>'
        for at, side, end in ((LEFT, "start", setting.ends[0]), (width - RIGHT, "end", setting.ends[1]))
    )
    middle = f'<text x="{width / 2}" y="{height - 6}" text-anchor="middle">{"log scale" if setting.log else ""}</text>'
    return Markup(
        f'<svg class="chart" role="img" viewBox="0 0 {width} {height}" font-size="11" style="fill:{INK}">'
        f"<title>{escape(metric)} by {escape(setting.key)}</title>{_frame(ticks, y, width, False)}{points}"
        f'<g style="fill:{FAINT}">{ends}{middle}</g></svg>'
    )


def _smoothed(bins: Sequence[CurveBin], smooth: int) -> list[float]:
    """Exponential moving average of the bins' means, its start not pulled to zero (Kingma and Ba 2015, section 3)."""
    if not smooth:
        return [b.mean for b in bins]
    weight, kept, held = smooth / 100, 0.0, []
    for i, b in enumerate(bins):
        kept = weight * kept + (1 - weight) * b.mean
        held.append(kept / (1 - weight ** (i + 1)))
    return held


def _extent(bins: Sequence[CurveBin], smoothed: Sequence[float], *, alone: bool) -> list[float]:
    return [v for v in (*smoothed, *((v for b in bins for v in (b.low, b.high)) if alone else ())) if finite(v)]


def _path(places: Sequence[float], values: Sequence[float], x: Scale, y: Scale, log: bool) -> str:
    parts, down = [], False
    for place, value in zip(places, values, strict=True):
        if not finite(value) or (log and value <= 0):
            down = False
            continue
        parts.append(f"{'L' if down else 'M'}{x(place):.1f} {y(math.log10(value) if log else value):.1f}")
        down = True
    if len(parts) == 1:  # a line of no length, which a round cap shows as a point
        parts.append("h0")
    return "".join(parts)


def _band(line: Line, x: Scale, y: Scale, log: bool) -> str:
    wide = [b for b in line.curve.bins if b.high > b.low and (not log or b.low > 0)]
    if not wide:
        return ""
    level = math.log10 if log else float
    up = "L".join(f"{x(b.x):.1f} {y(level(b.high)):.1f}" for b in wide)
    back = "L".join(f"{x(b.x):.1f} {y(level(b.low)):.1f}" for b in reversed(wide))
    return f'<path d="M{up}L{back}Z" style="fill:{TONES[line.place % len(TONES)]};opacity:.18"/>'


def _frame(ticks: Sequence[float], y: Scale, width: int, log: bool) -> str:
    rules = "".join(f"M{LEFT} {y(t):.1f}H{width - RIGHT}" for t in ticks)
    texts = "".join(f'<text x="{LEFT - 6}" y="{y(t) + 4:.1f}">{tick(10**t) if log else tick(t)}</text>' for t in ticks)
    return f'<path d="{rules}" style="stroke:{RULE};fill:none"/><g text-anchor="end" style="fill:{FAINT}">{texts}</g>'


def _log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten; within one or two decades also 2 and 5 times them."""
    decades = range(math.floor(low), math.ceil(high) + 1)
    steps = (1,) if high - low > 2.5 else (1, 2, 5)
    found = [d + math.log10(s) for d in decades for s in steps if low - 0.35 <= d + math.log10(s) <= high + 0.35]
    return found[:: max(1, math.ceil(len(found) / 6))] if len(found) > 1 else [low, high]


def _places(x: Scale, axis: str, width: int, height: int) -> str:
    unit, name = 1.0, ""
    if axis == "time":
        unit, name = next((u, f" {n}") for limit, u, n in _UNITS if x.high < limit)
    marks = [t for t in nice_ticks([x.low / unit, x.high / unit], 5) if x.low <= t * unit <= x.high]
    texts = []
    for i, mark in enumerate(marks):
        at = x(mark * unit)
        side = "end" if at > width - RIGHT - 14 else "middle"
        named = tick(mark) + (name if i == len(marks) - 1 else "")
        texts.append(f'<text x="{at:.1f}" y="{height - 6}" text-anchor="{side}">{named}</text>')
    return f'<g style="fill:{FAINT}">{"".join(texts)}</g>'


def _short(text: str) -> str:
    try:
        return tick(float(text))
    except ValueError:
        return text if len(text) <= 16 else text[:15] + "…"
