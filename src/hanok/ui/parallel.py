"""Parallel coordinates as SVG: a line for each trial through its parameters to its value; the best ones stand out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import escape

from hanok.ui.svg import FAINT, INK, RULE, TONES, Scale, Svg, empty, finite, tick

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 260, 60, 60, 34, 16
BEST_SHARE = 0.1
LINES_MAX = 300


@dataclass(frozen=True, slots=True)
class Axis:
    """One upright axis: numbers (`log` spaces them by their logarithm), or names in the order they stand in."""

    name: str
    options: tuple[str, ...] = ()
    log: bool = False


def parallel_plot(
    axes: Sequence[Axis], rows: Sequence[Mapping[str, float | str]], *, value: str, higher: bool, title: str
) -> Svg:
    """`rows` have a value by axis name (missing where the parameter was not drawn) and one named `value`, the last
    axis. At most 300 lines are drawn, the best ones always."""
    kept = [r for r in rows if isinstance(r.get(value), int | float) and finite(float(r[value]))]
    if not kept or not axes:
        return empty(title)
    kept = sorted(kept, key=lambda r: float(r[value]), reverse=not higher)[-LINES_MAX:]
    best = max(1, math.ceil(len(kept) * BEST_SHARE))
    drawn = [*axes, Axis(value)]
    scales = [_scale(axis, kept) for axis in drawn]
    x = Scale(0, len(drawn) - 1, LEFT, WIDTH - RIGHT)
    lines = [_line(drawn, scales, row, x, "faint" if i < len(kept) - best else "best") for i, row in enumerate(kept)]
    posts = [_post(axis, scale, x(i)) for i, (axis, scale) in enumerate(zip(drawn, scales, strict=True))]
    return Svg(
        f'<svg class="chart" role="img" viewBox="0 0 {WIDTH} {HEIGHT}" font-size="11" style="fill:{INK}" '
        f'xmlns="http://www.w3.org/2000/svg"><title>{escape(title)}</title>{"".join(lines)}{"".join(posts)}</svg>'
    )


def _scale(axis: Axis, rows: Sequence[Mapping[str, float | str]]) -> Scale:
    if axis.options:
        return Scale(0, max(1, len(axis.options) - 1), HEIGHT - BOTTOM, TOP)
    found = [_number(axis, r[axis.name]) for r in rows if axis.name in r]
    known = [v for v in found if v is not None]
    return Scale(min(known, default=0.0), max(known, default=1.0), HEIGHT - BOTTOM, TOP)


def _number(axis: Axis, given: float | str) -> float | None:
    if axis.options:
        return float(axis.options.index(str(given))) if str(given) in axis.options else None
    if isinstance(given, str) or not finite(float(given)) or (axis.log and given <= 0):
        return None
    return math.log10(given) if axis.log else float(given)


def _line(axes: Sequence[Axis], scales: Sequence[Scale], row: Mapping[str, float | str], x: Scale, kind: str) -> str:
    path, down = [], False
    for i, (axis, scale) in enumerate(zip(axes, scales, strict=True)):
        number = _number(axis, row[axis.name]) if axis.name in row else None
        if number is None:
            down = False
            continue
        path.append(f"{'L' if down else 'M'}{x(i):.1f} {scale(number):.1f}")
        down = True
    style = f"stroke:{TONES[1]};opacity:.85;stroke-width:1.6" if kind == "best" else f"stroke:{FAINT};opacity:.28"
    return f'<path d="{"".join(path)}" style="fill:none;{style}"/>'


def _post(axis: Axis, scale: Scale, at: float) -> str:
    side = "end" if at > WIDTH / 2 else "start"
    shift = -5 if side == "end" else 5
    if axis.options:
        marks = [(float(i), name) for i, name in enumerate(axis.options)]
    else:
        ends = (scale.low, scale.high) if scale.high != scale.low else (scale.low,)
        marks = [(v, tick(10**v if axis.log else v)) for v in ends]
    texts = "".join(
        f'<text x="{at + shift:.1f}" y="{scale(v) + 4:.1f}" text-anchor="{side}">{escape(text[:14])}</text>'
        for v, text in marks[:12]
    )
    name = escape(axis.name if len(axis.name) < 19 else axis.name[:17] + "…")
    anchor = "start" if at < 100 else "end" if at > WIDTH - 100 else "middle"
    place = LEFT - 56 if anchor == "start" else WIDTH - 4 if anchor == "end" else at
    return (
        f'<path d="M{at:.1f} {TOP}V{HEIGHT - BOTTOM}" style="stroke:{RULE};stroke-width:1.4"/>'
        f'<g style="fill:{FAINT}">{texts}</g><text x="{place:.1f}" y="16" text-anchor="{anchor}">{name}</text>'
    )
