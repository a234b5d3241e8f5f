"""How well a model does, as monitoring keeps it: measured by day once labels are in, and estimated before them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from hanok.core.json import JsonObject
from hanok.core.records import IF_SET, Kind

Metrics = Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Performance:
    """A version on one day's answers whose labels are known. `role` is `answered`, or `all` where it also answered
    beside another (as a shadow). `slices`: column -> value -> `rows` and the metrics."""

    rows: int
    metrics: Metrics
    slices: Mapping[str, Mapping[str, Mapping[str, int | float | None]]]
    mean_score: float | None = field(default=None, metadata=IF_SET)
    mean_label: float | None = field(default=None, metadata=IF_SET)
    day: str = field(kw_only=True)
    version: int = field(kw_only=True)
    role: str = field(kw_only=True)

    @property
    def key(self) -> str:
        return f"{self.day}|{self.version}|{self.role}"


@dataclass(frozen=True, slots=True)
class Measured:
    """The hour in which a model was measured last, written 2026-01-31T17."""

    hour: str


@dataclass(frozen=True, slots=True)
class LabelsMeasured:
    """Labels that were joined until `at` are in the daily measurements: those of the first `steps` joins. None in
    records of earlier versions, which know the instant alone."""

    at: datetime
    steps: int | None = None


@dataclass(frozen=True, slots=True)
class ScoredDay:
    """A day's answers, and how many are labelled by now; `grew` is when that number grew last. `counts` are the scores
    by bin, of models of two classes (compute/score_counts.py)."""

    rows: int
    labelled: int
    grew: datetime
    counts: JsonObject | None = field(default=None, metadata=IF_SET)


@dataclass(frozen=True, slots=True)
class Interval:
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class CalibrationHeld:
    """Whether the labels of a window lay about the rates that were expected of them (None: not known), and `why` not;
    the numbers are those of compute/score_counts.py."""

    held: bool | None = None
    why: str = ""
    gap: float | None = field(default=None, metadata=IF_SET)
    slope: float | None = field(default=None, metadata=IF_SET)
    p_value: float | None = field(default=None, metadata=IF_SET)
    days: int | None = field(default=None, metadata=IF_SET)


@dataclass(frozen=True, slots=True)
class EstimateCheck:
    """What an estimate turned out to be once labels were in. `errors` are realised less estimated; `inside` says
    whether the headline lay in its interval, None where there was no reliable one; `reason` is that of a miss."""

    at: datetime
    labelled: int
    realised: Mapping[str, float]
    errors: Mapping[str, float]
    inside: bool | None
    calibration: CalibrationHeld
    reason: str = ""


@dataclass(frozen=True, slots=True)
class EstimateReference:
    """What an estimate rests on: labelled rows and days before its window, and the metrics of those."""

    rows: int
    days: int
    realised: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Experience:
    """The error that a `share` of the last `windows` estimates stayed within."""

    within: float
    windows: int
    share: float


@dataclass(frozen=True, slots=True)
class WindowEstimate:
    """The metrics of a day or a week of answers before their labels. Without `metrics` there was too little to estimate
    from. `doubts` say why it is not reliable, `doubts_by_day` which inputs were not to be trusted."""

    start: str
    end: str
    made: datetime
    rows: int
    headline: str
    metrics: Mapping[str, Interval]
    window: str
    assumption: str = ""
    checked: EstimateCheck | None = None
    calibration: tuple[float, ...] = field(default=(), metadata=IF_SET)
    reference: EstimateReference | None = field(default=None, metadata=IF_SET)
    doubts: tuple[str, ...] = ()
    doubts_by_day: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    reliable: bool = True
    usual: Experience | None = None

    @property
    def withheld(self) -> tuple[str, ...]:
        """Why there is no estimate to rely on; empty where there is one."""
        found = self.metrics.get(self.headline)
        if self.doubts or (found and all(math.isfinite(x) for x in (found.value, found.low, found.high))):
            return self.doubts
        count = f"{self.rows} answer{'s are' if self.rows != 1 else ' is'}"
        return (f"{count} too few to estimate {self.headline.replace('_', ' ')} by",)


@dataclass(frozen=True, slots=True)
class HindsightMonth:
    """The metrics of a month's labelled answers, and what `version` would have had on the same rows."""

    month: str
    rows: int
    answered: Mapping[str, float]
    version: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Hindsight:
    """What `version` would have answered had it never been replaced."""

    model: str
    version: int
    months: tuple[HindsightMonth, ...]


HINDSIGHT = Kind("hindsight", Hindsight, owner="model")
PERFORMANCE = Kind("performance", Performance, owner="model")
MEASURED = Kind("measured", Measured, owner="model")
LABELS_MEASURED = Kind("labels-measured", LabelsMeasured, owner="model")
SCORES = Kind("scores", ScoredDay, owner="model")
ESTIMATES = {w: Kind(f"estimate-{w}", WindowEstimate, owner="model") for w in ("week", "day")}
