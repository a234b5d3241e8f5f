"""Which rows of a training set are learnt from, and which are held out."""

from __future__ import annotations

import io
from datetime import datetime, timedelta
from hashlib import sha256

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hanok.compute.frames import Frame, time_split
from hanok.core.clock import micros
from hanok.core.declare import Model, RandomSplit
from hanok.core.errors import NotTrainable
from hanok.stores.ports import Blobs

Positions = NDArray[np.int64]
LABEL = "_label"
HOLDOUT_SHARE_MAX = 0.25
DAY_US = 86_400_000_000
HOLDOUT_ROWS_MIN = 5
UNSEEN_ROWS_MIN = 50


def training_rows(blobs: Blobs, digest_: str) -> pa.Table:
    with blobs.open(digest_) as file:
        return pq.read_table(io.BytesIO(file.read()))


def frame_of(model: Model, rows: pa.Table) -> Frame:
    return Frame.of(rows, model.feature_columns, model.task, LABEL)


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
    if isinstance(model.split, RandomSplit) or frame.at.min() == frame.at.max():
        chosen = model.split if isinstance(model.split, RandomSplit) else RandomSplit()
        how = f"a random {chosen.test:.0%} of the rows"
        train, test = key_split(labelled(rows), chosen)
    else:
        span = int(frame.at.max() - frame.at.min())
        length = min(model.split.test // timedelta(microseconds=1), int(span * HOLDOUT_SHARE_MAX))
        if seen_until is not None and has_unseen(frame, seen_until):
            length = min(length, (int(frame.at.max()) - micros(seen_until)) // 2)
        how = f"the last {length / DAY_US:.3g} days"
        train, test = time_split(frame.at, length)
    if len(test) < HOLDOUT_ROWS_MIN or len(train) < HOLDOUT_ROWS_MIN:
        raise NotTrainable(
            f"of {frame.rows} labelled rows {len(test)} are held out ({how}) and {len(train)} are left to learn from; "
            f"each needs {HOLDOUT_ROWS_MIN}: wait for more labels, or change the model's split"
        )
    return train, test


def has_unseen(frame: Frame, seen_until: datetime) -> bool:
    """Whether enough rows are younger than the champion's training to judge on half of them."""
    return int((frame.at > micros(seen_until)).sum()) >= 2 * UNSEEN_ROWS_MIN


def key_split(rows: pa.Table, chosen: RandomSplit) -> tuple[Positions, Positions]:
    """A seeded share of the entities (columns `key__...`), the same ones whatever other rows there are."""
    keys = [rows.column(n).to_pylist() for n in rows.column_names if n.startswith("key__")]
    texts = [repr((chosen.seed, *key)).encode() for key in zip(*keys, strict=True)]
    points = np.array([int.from_bytes(sha256(t).digest()[:4], "big") / 2**32 for t in texts])
    return np.flatnonzero(points >= chosen.test), np.flatnonzero(points < chosen.test)


def labelled(rows: pa.Table) -> pa.Table:
    return rows.filter(rows.column(LABEL).is_valid())


def judged_part(model: Model, frame: Frame, rows: pa.Table, newest: datetime) -> Frame:
    """The rows that the model before the gate was trained on: all but the holdout, the newest of them at `newest`."""
    if isinstance(model.split, RandomSplit) or frame.at.min() == frame.at.max():
        return frame.take(split(model, frame, rows)[0])
    order = np.argsort(frame.at, kind="stable")
    return frame.take(order[frame.at[order] <= micros(newest)])


def weeks(at: NDArray[np.int64]) -> list[Positions]:
    """Row numbers of each whole week of the training rows; none when there are fewer than three."""
    number = (at - at.min()) // (7 * DAY_US)
    whole = range(int((at.max() - at.min()) // (7 * DAY_US)))
    return [np.flatnonzero(number == w) for w in whole if (number == w).any()] if len(whole) >= 3 else []
