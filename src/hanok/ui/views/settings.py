"""Which setting matters: how much of a metric's spread each param explains, and runs grouped by one."""

from __future__ import annotations

import math
import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from hanok.core.tracking import Run
from hanok.ui.views.direction import higher_is_better

LEVELS_MAX, SETTINGS_MAX, GROUPS_MAX = 12, 16, 100
BINS = 6
RUNS_MIN = 5


@dataclass(frozen=True, slots=True)
class Level:
    """A value of a param, or a range of them: the runs there, the median and the best of the metric."""

    name: str
    runs: int
    median: float
    best: float


@dataclass(frozen=True, slots=True)
class Setting:
    """`explains` is epsilon squared of the metric's ranks: the share of their variance between levels, corrected for
    the number of levels (Kelley 1935); ranks, so that one run that diverged does not drown the others. 0 means no more
    than chance would. `points` are (place in [0, 1], metric)."""

    key: str
    explains: float
    runs: int
    numeric: bool
    log: bool
    levels: tuple[Level, ...]
    points: tuple[tuple[float, float], ...]
    ends: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Group:
    name: str
    runs: int
    median: float | None
    best: float | None
    best_run: str
    best_name: str
    users: tuple[str, ...]


def settings_of(runs: Sequence[Run], metric: str) -> tuple[Setting, ...]:
    """Params by how much they explain, the most first. Params with one value, or one for each run as text, are left
    out."""
    measured = [(r, v) for r in runs if (v := r.latest.get(metric)) is not None and math.isfinite(v)]
    keys = sorted({k for r, _ in measured for k in r.params})
    found = []
    for key in keys:
        pairs = [(r.params[key], v) for r, v in measured if key in r.params]
        setting = _setting(key, pairs, higher=bool(higher_is_better(metric)))
        if setting is not None:
            found.append(setting)
    return tuple(sorted(found, key=lambda s: -s.explains)[:SETTINGS_MAX])


def _setting(key: str, pairs: Sequence[tuple[str, float]], *, higher: bool) -> Setting | None:
    values = {text for text, _ in pairs}
    if len(values) < 2 or len(pairs) < RUNS_MIN:
        return None
    numbers = {text: _finite(text) for text in values}
    numeric = all(n is not None for n in numbers.values())
    if not numeric and len(values) > max(LEVELS_MAX, len(pairs) // 3):
        return None
    known = {t: n for t, n in numbers.items() if n is not None}
    log = numeric and min(known.values()) > 0 and max(known.values()) / min(known.values()) >= 50
    if numeric:
        places = {t: math.log10(n) if log else n for t, n in known.items()}
        order = sorted(values, key=lambda t: places[t])
        low, high = places[order[0]], places[order[-1]]
        where = {t: (p - low) / (high - low) if high > low else 0.5 for t, p in places.items()}
    else:
        order = sorted(values)
        where = {t: (i + 0.5) / len(order) for i, t in enumerate(order)}
    grouped = _by_range(pairs, places) if numeric and len(values) > LEVELS_MAX else _by_value(pairs, order)
    best = max if higher else min
    levels = tuple(Level(n, len(v), statistics.median(v), best(v)) for n, v in grouped)
    points = tuple((where[t], v) for t, v in pairs)
    rank = _ranks([v for _, v in pairs])
    return Setting(
        key,
        _epsilon_squared([[rank[v] for v in values] for _, values in grouped]),
        len(pairs),
        numeric,
        log,
        levels,
        points,
        (order[0], order[-1]),
    )


def _by_value(pairs: Sequence[tuple[str, float]], order: Sequence[str]) -> list[tuple[str, list[float]]]:
    grouped: dict[str, list[float]] = {t: [] for t in order}
    for text, value in pairs:
        grouped[text].append(value)
    return list(grouped.items())


def _by_range(pairs: Sequence[tuple[str, float]], places: dict[str, float]) -> list[tuple[str, list[float]]]:
    """Ranges with about the same number of runs; equal values stay together."""
    ordered = sorted(pairs, key=lambda pair: places[pair[0]])
    grouped: list[tuple[str, str, list[float]]] = []
    for i, (text, value) in enumerate(ordered):
        place = i * BINS // len(ordered)
        same = grouped and grouped[-1][1] == text
        if not grouped or (len(grouped) <= place and not same):
            grouped.append((text, text, [value]))
        else:
            first, _, values = grouped[-1]
            grouped[-1] = (first, text, [*values, value])
    return [(f"{a} to {b}" if a != b else a, v) for a, b, v in grouped]


def _ranks(values: Sequence[float]) -> dict[float, float]:
    """The rank of each value; equal ones share their mean rank."""
    ordered = sorted(values)
    return {v: (bisect_left(ordered, v) + bisect_right(ordered, v)) / 2 for v in set(values)}


def _epsilon_squared(groups: Sequence[Sequence[float]]) -> float:
    """(SSB - (k - 1) MSW) / SST, not below 0."""
    n, k = sum(map(len, groups)), len(groups)
    mean = sum(map(sum, groups)) / n
    within = sum((v - statistics.fmean(g)) ** 2 for g in groups for v in g)
    total = sum((v - mean) ** 2 for g in groups for v in g)
    if total <= 0 or n <= k:
        return 0.0
    return max(0.0, (total - within - (k - 1) * within / (n - k)) / total)


def _finite(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def groups_of(runs: Sequence[Run], by: str, metric: str) -> tuple[Group, ...]:
    """The runs by a param, a tag or the user, the group with the best run first."""
    higher = bool(higher_is_better(metric))
    grouped: dict[str, list[Run]] = {}
    for run in runs:
        grouped.setdefault(_value(run, by), []).append(run)
    found = []
    for name, members in grouped.items():
        measured = [(v, r) for r in members if (v := r.latest.get(metric)) is not None and math.isfinite(v)]
        top = (max if higher else min)(measured, key=lambda pair: pair[0]) if measured else None
        median = statistics.median(v for v, _ in measured) if measured else None
        users = tuple(sorted({r.user for r in members if r.user}))
        found.append(
            Group(
                name,
                len(members),
                median,
                top[0] if top else None,
                top[1].id if top else "",
                top[1].name if top else "",
                users,
            )
        )
    sign = -1 if higher else 1
    return tuple(sorted(found, key=lambda g: (g.best is None, sign * (g.best or 0.0), g.name))[:GROUPS_MAX])


def _value(run: Run, by: str) -> str:
    kind, _, key = by.partition(".")
    if kind == "param":
        return run.params.get(key, "")
    if kind == "tag":
        return run.tags.get(key, "")
    return run.user
