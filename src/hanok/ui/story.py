"""Drift of embeddings over time as one page: how far each window is from the reference, and what it looks like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from hanok.compute.alarms import Verdict, judge
from hanok.compute.descriptors import Embed, describe_texts, embed_texts
from hanok.compute.multivariate import Shift, shift
from hanok.compute.profiling import compare_tables
from hanok.compute.two_sample import squared_distances
from hanok.core.errors import BadData
from hanok.ui import svg
from hanok.ui.render import assets, environment
from hanok.ui.report import arrow_table

EXHIBITS = 6
CANDIDATES = 20
SNIPPET = 280


@dataclass(frozen=True)
class Exhibit:
    """A text of the window that lies far from the reference, and the reference text nearest to it."""

    text: str
    score: float
    nearest: str


@dataclass(frozen=True)
class Window:
    """One window: its shift against the reference, the descriptors that moved, and texts to look at."""

    name: str
    rows: int
    shift: Shift
    moved: Sequence[Verdict]
    exhibits: Sequence[Exhibit]


@dataclass(frozen=True)
class TextStory:
    """All windows in order. The first one is a control: a half of the reference against the other half."""

    title: str
    reference: str
    reference_rows: int
    windows: Sequence[Window]
    note: str = ""

    def html(self) -> str:
        names = [w.name for w in self.windows]
        areas = svg.Series("ROC area", tuple(w.shift.auc for w in self.windows))
        chart = svg.line_chart(
            names,
            [areas],
            title="How well a classifier tells the window from the reference",
            reference=0.5,
            reference_name="not at all",
        )
        style = Markup(assets()["hanok.css"].content.decode())
        return environment().get_template("story.html").render(v=self, style=style, chart=chart)


@dataclass(frozen=True)
class Drifted:
    """Columns, the farthest first, and what became of the texts."""

    columns: Sequence[Verdict] = ()
    texts: Window | None = None


def drift(reference: Any, current: Any, *, text: str = "", embed: Embed | None = None, seed: int = 0) -> Drifted:
    """How far `current` has moved from `reference`: Arrow tables or pandas or Polars frames, or lists of texts.

    Of frames every column is compared, and the texts of the column `text` through `embed`: any function from texts to a
    (rows, width) matrix; words are hashed without one. `.texts` has the shift (AUC, p-value of a permutation test), the
    descriptors that moved, and the texts farthest from the reference with their nearest neighbours in it.
    Raises BadData.
    """
    embed = embed or embed_texts
    if isinstance(reference, list | tuple) and isinstance(current, list | tuple):
        return Drifted((), _texts_moved(list(reference), list(current), embed, seed))
    before, after = arrow_table(reference), arrow_table(current)
    verdicts = sorted(judge(compare_tables(before, after)), key=lambda v: -v.drift.effect)
    if not text:
        return Drifted(verdicts)
    for side in (before, after):
        if text not in side.column_names:
            raise BadData(f"there is no column {text!r}; there are {', '.join(side.column_names[:20])}")
    sides = [[t for t in s.column(text).cast("string").to_pylist() if t is not None] for s in (before, after)]
    return Drifted(verdicts, _texts_moved(sides[0], sides[1], embed, seed))


def _texts_moved(before: list[str], after: list[str], embed: Embed, seed: int) -> Window:
    if wrong := next((t for t in (*before, *after) if not isinstance(t, str)), None):
        raise BadData(f"texts are compared as text; {wrong!r} is {type(wrong).__name__}")
    return _window("current", (before, embed(before)), (after, embed(after)), seed=seed)


def text_story(
    title: str,
    reference: tuple[str, Sequence[str]],
    windows: Sequence[tuple[str, Sequence[str]]],
    *,
    embed: Embed = embed_texts,
    note: str = "",
    seed: int = 0,
) -> TextStory:
    """Compare each window of texts with the reference, by embeddings from any function and by descriptors.

    `reference` and `windows` are names with their texts; `embed` maps texts to a (rows, width) matrix.
    """
    name, texts = reference
    before = embed(texts)
    order = np.random.default_rng(seed).permutation(len(texts))
    half = len(texts) // 2
    halves = [order[:half], order[half:]]
    made = [_window(f"{name} (control)", *(([texts[i] for i in h], before[h]) for h in halves), seed=seed)]
    made += [_window(n, (texts, before), (t, embed(t)), seed=seed) for n, t in windows]
    return TextStory(title, name, len(texts), made, note)


def _window(
    name: str,
    reference: tuple[Sequence[str], NDArray[np.float64]],
    current: tuple[Sequence[str], NDArray[np.float64]],
    *,
    seed: int,
) -> Window:
    found = shift(reference[1], current[1], seed=seed)
    moved = judge(compare_tables(describe_texts(reference[0]), describe_texts(current[0])))
    far = _varied(found.rows(EXHIBITS * CANDIDATES), current[1], reference[1])
    near = squared_distances(current[1][far], reference[1]).argmin(axis=1)
    exhibits = [
        Exhibit(_snippet(current[0][i]), float(found.row_scores[i]), _snippet(reference[0][j]))
        for i, j in zip(far, near, strict=True)
    ]
    shown = sorted((v for v in moved if v.suspect), key=lambda v: -v.drift.effect)
    return Window(name, len(current[0]), found, shown, exhibits)


def _varied(far: list[int], current: NDArray[np.float64], reference: NDArray[np.float64]) -> list[int]:
    """Of the farthest rows, in their order, those that lie nearer to the reference than to one chosen before: six
    replies to one mail are one exhibit. The rest fills up where there are too few."""
    rows = current[far]
    within, across = squared_distances(rows, rows), squared_distances(rows, reference).min(axis=1)
    chosen: list[int] = []
    for i in range(len(far)):
        if len(chosen) < EXHIBITS and all(within[i, j] >= across[i] for j in chosen):
            chosen.append(i)
    others = [i for i in range(len(far)) if i not in chosen]
    return [far[i] for i in sorted(chosen + others[: EXHIBITS - len(chosen)])]


def _snippet(text: str) -> str:
    """The beginning, without what no font draws: control characters, and bytes that could not be decoded."""
    drawn = "".join(c if c.isprintable() or c.isspace() else " " for c in text.replace("\ufffd", " "))
    return drawn[:SNIPPET]
