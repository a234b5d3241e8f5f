"""Proofs that a version answers as it did: its own answers, given again and compared bit by bit."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hanok.compute.metrics import Floats
from hanok.core.errors import HanokError
from hanok.core.serving import Prediction
from hanok.core.training import Golden
from hanok.parts.training.needs import ScoredModel

ROWS = 64  # kept when a version is registered
LOGGED_ROWS = 500
ANSWER = "_answer"
LAST_PLACES = 1e-13
LOG, REGISTRATION = "log", "registration"


def golden_rows(model: ScoredModel, features: pa.Table) -> bytes:
    """Rows spread over the training set with the answers of the model, as Parquet; nothing when it refuses them all."""
    places = np.unique(np.linspace(0, features.num_rows - 1, min(ROWS, features.num_rows)).astype(int))
    rows = features.take(pa.array(places))
    try:
        answers = _wide(model.score_table(rows))
    except HanokError:  # such as nulls that it does not take
        return b""
    sink = io.BytesIO()
    kept = rows.append_column(ANSWER, pa.array(answers.tolist(), pa.list_(pa.float64())))
    pq.write_table(kept, sink, compression="zstd")
    return sink.getvalue()


def of_registration(model: ScoredModel, content: bytes) -> Golden:
    """Answer the rows again that were kept when the version was registered."""
    kept = pq.read_table(io.BytesIO(content))
    then = np.array(kept.column(ANSWER).to_pylist(), float)
    return compared(then, model.score_table(kept.drop_columns([ANSWER])), REGISTRATION)


def of_log(model: ScoredModel, logged: Sequence[Prediction]) -> Golden:
    """Answer logged rows again, by the version's own signature. Answers that failed, and rows that do not hold all that
    the version takes, are no evidence."""
    names = [c.name for c in model.signature.inputs]
    multi = model.signature.task == "multiclass"
    usable = [
        p
        for p in logged
        if not p.error and p.score is not None and all(n in p.features for n in names) and (p.scores or not multi)
    ]
    if not usable:
        why = f"none of its {len(logged)} logged answers is whole" if logged else "no answer of it is logged"
        return Golden(0, source=LOG, why=f"nothing to compare: {why}")
    then = np.array([p.scores if multi else (p.score,) for p in usable], float)
    again = model.score({n: [p.features[n] for p in usable] for n in names})
    return compared(then, again, LOG)


def compared(then: Floats, again: Floats, source: str) -> Golden:
    """How many rows are equal in every bit."""
    now = _wide(again)
    if then.shape != now.shape:
        return Golden(
            len(then), False, 0, source, f"it gave {then.shape[1]} numbers a row and gives {now.shape[1]} now"
        )
    same = (then.view(np.int64) == now.view(np.int64)).all(axis=1)
    equal, why = int(same.sum()), ""
    if not same.all() and np.allclose(then, now, rtol=LAST_PLACES, atol=0, equal_nan=True):
        why = "the others differ in the last places alone, as they do where another processor or version answered then"
    return Golden(len(then), equal == len(then), equal, source, why)


def _wide(scores: Floats) -> Floats:
    """One row of numbers for each row, also where that is one number."""
    return np.ascontiguousarray(scores if scores.ndim == 2 else scores.reshape(-1, 1), np.float64)
