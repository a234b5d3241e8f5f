"""What monitoring keeps: how far labels are joined. Records that other rooms read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from hanok.core.records import Kind


@dataclass(frozen=True, slots=True)
class LabelStep:
    """One join that was begun: label rows up to `labels`, answers up to `answers`; noted first, so that a restart
    finishes exactly this one."""

    labels: int
    answers: int
    at: datetime


@dataclass(frozen=True, slots=True)
class LabelState:
    """How far the labels of a model are joined. Rows of the label table below `labels` and rows of the log below
    `answers` have met. `joined` pairs count; `outside` lie farther apart than the window; `strange` labels are no label
    of the task, `words` shows some. `generation` grows when the model reads its labels from elsewhere."""

    identity: str
    generation: int = 1
    labels: int = 0
    answers: int = 0
    joined: int = 0
    outside: int = 0
    strange: int = 0
    words: tuple[str, ...] = ()
    step: LabelStep | None = None


LABELS = Kind("labels", LabelState, owner="model")
