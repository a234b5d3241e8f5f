"""Which rows of a training set are learnt from, and which are held out."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hanok.compute.alike import codes_of, copies, joined
from hanok.compute.frames import GROUP, Frame, time_split
from hanok.core.clock import micros
from hanok.core.declare import Model, RandomSplit, TimeSplit
from hanok.core.durations import shortest
from hanok.core.errors import NotTrainable
from hanok.stores.ports import Blobs

Positions = NDArray[np.int64]
Floats = NDArray[np.float64]
LABEL = "_label"
HOLDOUT_SHARE_MAX = 0.25
DAY_US = 86_400_000_000
HOLDOUT_ROWS_MIN = 5
UNSEEN_ROWS_MIN = 50
GROUPS_HELD = 0.25


def training_rows(blobs: Blobs, digest_: str) -> pa.Table:
    with blobs.open(digest_) as file:
        return pq.read_table(io.BytesIO(file.read()))


def frame_of(model: Model, rows: pa.Table) -> Frame:
    """The labelled rows as models see them, with what stays on one side of every split of them."""
    frame = Frame.of(rows, model.feature_columns, model.task, LABEL)
    gap = model.split.gap if isinstance(model.split, TimeSplit) else None
    return replace(
        frame,
        groups=_together(model, frame, labelled(rows)),
        gap_us=gap // timedelta(microseconds=1) if gap is not None else 0,
        at_random=isinstance(model.split, RandomSplit),
    )


def by_time(model: Model, frame: Frame) -> bool:
    """Whether the newest rows are held out: a random split was not asked for, and the rows have instants."""
    return isinstance(model.split, TimeSplit) and bool(frame.at.min() != frame.at.max())


def _together(model: Model, frame: Frame, rows: pa.Table) -> Positions | None:
    """A number for each row, the same for rows of one group. At random rows of one entity belong together too, and
    copies of one another; in time a later copy is an honest one."""
    groups = codes_of(rows.column(GROUP)) if GROUP in rows.column_names else None
    if by_time(model, frame):
        return groups
    keys = [codes_of(rows.column(n)) for n in rows.column_names if n.startswith("key__")]
    if groups is None and keys:
        groups = np.unique(np.column_stack(keys), axis=0, return_inverse=True)[1].ravel().astype(np.int64)
    alike = copies(frame.to_arrow())
    found = alike if groups is None else joined(groups, alike)
    return found if len(np.unique(found)) < len(found) else None


def split(
    model: Model, frame: Frame, rows: pa.Table, *, seen_until: datetime | None = None
) -> tuple[Positions, Positions]:
    """Row numbers of the training part and of the untouched holdout.

    A holdout by time takes at most a quarter of the time covered. Rows before `seen_until` were in the champion's
    training: it would know their answers by heart, so the holdout begins after it, and half of what is new is left to
    learn from. When next to nothing is new, the holdout is the usual one, and the champion has to be represented by the
    model of its own gate, which had not seen it. A random holdout goes by the entity's key, so that a row is held out
    in every training or in none.
    """
    if not by_time(model, frame):
        chosen = model.split if isinstance(model.split, RandomSplit) else RandomSplit(group=model.split.group)
        how = f"a random {chosen.test:.0%} of the rows"
        train, test = key_split(labelled(rows), chosen, frame)
    else:
        assert isinstance(model.split, TimeSplit)
        span = int(frame.at.max() - frame.at.min())
        asked = model.split.test // timedelta(microseconds=1)
        length, why = min(asked, int(span * HOLDOUT_SHARE_MAX)), f"{HOLDOUT_SHARE_MAX:.0%} of the time covered"
        if seen_until is not None and has_unseen(frame, seen_until):
            new = (int(frame.at.max()) - micros(seen_until)) // 2
            length, why = (new, "half of what the champion's training had not seen") if new < length else (length, why)
        how = f"the last {length / DAY_US:.3g} days"
        if length < asked:
            how += f": the split asks for {asked / DAY_US:.3g}, and at most {why} is held out"
        train, test = time_split(frame.at, length)
        if model.split.gap is not None:
            end = frame.at.max() - length - model.split.gap // timedelta(microseconds=1)
            train, how = train[frame.at[train] <= end], f"{how}, with a gap of {shortest(model.split.gap)} before them"
        if model.split.group:
            held = _held_groups(rows)
            train, test = train[~held[train]], test[held[test]]
            how = f"{how}, of {GROUPS_HELD:.0%} of the values of {model.split.group}"
    if len(test) < HOLDOUT_ROWS_MIN or len(train) < HOLDOUT_ROWS_MIN:
        raise NotTrainable(
            f"of {frame.rows} labelled rows {len(test)} are held out ({how}) and {len(train)} are left to learn from; "
            f"each needs {HOLDOUT_ROWS_MIN}: wait for more labels, or hold rows out otherwise (hk.at_random)"
        )
    return train, test


def has_unseen(frame: Frame, seen_until: datetime) -> bool:
    """Whether enough rows are younger than the champion's training to judge on half of them."""
    return int((frame.at > micros(seen_until)).sum()) >= 2 * UNSEEN_ROWS_MIN


def key_split(rows: pa.Table, chosen: RandomSplit, frame: Frame | None = None) -> tuple[Positions, Positions]:
    """A seeded share of the groups, or of the entities (columns `key__...`): the same ones whatever other rows there
    are. With the `frame` of these rows those that belong together follow one of them, and of each class that has rows
    for it some lie on either side."""
    names = [GROUP] if GROUP in rows.column_names else [n for n in rows.column_names if n.startswith("key__")]
    points, lots = _points(rows, names, chosen.seed)
    if frame is not None and frame.groups is not None:
        order = np.lexsort((lots, frame.groups))
        _, first, place = np.unique(frame.groups[order], return_index=True, return_inverse=True)
        leads = np.empty(len(points))
        leads[order] = points[order][first][place.ravel()]
        points = leads
    held = points < chosen.test
    if frame is not None and frame.task != "regression":
        _share_classes(held, points, frame.y)
    return np.flatnonzero(~held), np.flatnonzero(held)


def _points(rows: pa.Table, names: list[str], seed: int) -> tuple[Floats, Floats]:
    """For each row two numbers in [0, 1) that hang on its values in these columns alone."""
    keys = [rows.column(n).to_pylist() for n in names]
    digests = [sha256(repr((seed, *key)).encode()).digest() for key in zip(*keys, strict=True)]
    found = [[int.from_bytes(d[i : i + 4], "big") / 2**32 for d in digests] for i in (0, 4)]
    return np.array(found[0]), np.array(found[1])


def _share_classes(held: NDArray[np.bool_], points: Floats, y: Floats) -> None:
    """A class that lies on one side alone gives the other side what stands nearest to it."""
    for value in np.unique(y):
        mine = y == value
        different = np.unique(points[mine])
        if len(different) > 1 and not (held & mine).any():
            held[points == different[0]] = True
        elif len(different) > 1 and not (~held & mine).any():
            held[points == different[-1]] = False


def _held_groups(rows: pa.Table) -> NDArray[np.bool_]:
    """Which of the labelled rows are of groups that are held out, in every training the same."""
    return _points(labelled(rows), [GROUP], 0)[0] < GROUPS_HELD


def labelled(rows: pa.Table) -> pa.Table:
    return rows.filter(rows.column(LABEL).is_valid())


def judged_part(model: Model, frame: Frame, rows: pa.Table, newest: datetime) -> Frame:
    """The rows that the model before the gate was trained on: all but the holdout, the newest of them at `newest`."""
    if not by_time(model, frame):
        return frame.take(split(model, frame, rows)[0])
    order = np.argsort(frame.at, kind="stable")
    order = order[frame.at[order] <= micros(newest)]
    return frame.take(order[~_held_groups(rows)[order]] if model.split.group else order)


def weeks(at: NDArray[np.int64]) -> list[Positions]:
    """Row numbers of each whole week of the training rows; none when there are fewer than three."""
    number = (at - at.min()) // (7 * DAY_US)
    whole = range(int((at.max() - at.min()) // (7 * DAY_US)))
    return [np.flatnonzero(number == w) for w in whole if (number == w).any()] if len(whole) >= 3 else []
