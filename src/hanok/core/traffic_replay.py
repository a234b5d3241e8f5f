"""What a candidate would have answered to traffic that another version answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from hanok.core.records import Kind


@dataclass(frozen=True, slots=True)
class Latency:
    """Of one row alone, measured on the same rows one after the other, in microseconds."""

    p50: float
    p99: float


@dataclass(frozen=True, slots=True)
class ReplayedSlice:
    """The rows in which a feature has a value. `otherwise` is the share of them that would have been decided
    otherwise (of numbers: 0), `change` the mean of the change of the score."""

    feature: str
    value: str
    rows: int
    otherwise: float
    change: float


@dataclass(frozen=True, slots=True)
class Changed:
    """One answer that the candidate would have given otherwise."""

    prediction: str
    entity: Mapping[str, str]
    was: float
    would_be: float


@dataclass(frozen=True, slots=True)
class TrafficReplay:
    """`rows` answers of [since, until) were scored by `version` again, newest first up to a bound (`bounded`).

    `left_out` says of answers that could not be scored why, and how many; `failed` rows came to no score of the
    candidate, `failure` is the first reason. `otherwise` rows would have been decided otherwise, `directions` counts
    them by "was -> would be". `known` are metrics of the labelled rows: as answered, and of the candidate.
    """

    model: str
    version: int
    at: datetime
    since: datetime
    until: datetime
    rows: int
    bounded: bool
    left_out: Mapping[str, int]
    failed: int
    failure: str
    otherwise: int
    directions: Mapping[str, int]
    change_mean: float
    change_quantiles: Mapping[str, float]
    slices: tuple[ReplayedSlice, ...]
    largest: tuple[Changed, ...]
    labelled: int
    known: Mapping[str, tuple[float, float]]
    latency: Mapping[str, Latency]


TRAFFIC_REPLAY = Kind("traffic-replay", TrafficReplay, owner="model")
