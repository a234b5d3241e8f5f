"""Studies, trials and what they report: tuning as every client of it sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from hanok.core.json import Json, JsonObject

Direction = Literal["minimize", "maximize"]
MINIMIZE: Direction = "minimize"
MAXIMIZE: Direction = "maximize"

TrialState = Literal["waiting", "running", "complete", "pruned", "failed", "cancelled"]
WAITING: TrialState = "waiting"
RUNNING: TrialState = "running"
COMPLETE: TrialState = "complete"
PRUNED: TrialState = "pruned"
FAILED: TrialState = "failed"
CANCELLED: TrialState = "cancelled"
ENDED: tuple[TrialState, ...] = (COMPLETE, PRUNED, FAILED, CANCELLED)

StudyState = Literal["running", "stopped", "done"]
Scope = Literal["user", "system"]

STUDY_TAG, TRIAL_TAG = "hanok.study", "hanok.trial"  # of the run of a trial


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A sampler or pruner by name, with its arguments."""

    name: str
    arguments: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Limits:
    """When a study ends and how much runs at a time. A worker that is silent for `lease_s` seconds is taken for dead;
    its trial ends as failed and, up to `retries` times, the same parameters are tried again."""

    max_trials: int | None = None
    max_seconds: float | None = None
    concurrency: int = 1
    lease_s: float = 60.0
    retries: int = 1


@dataclass(frozen=True, slots=True)
class Study:
    """A search for the best parameters. `id` is 0 until the store has given one.

    `space` is None where the clients choose the parameters themselves (Optuna's define-by-run). `experiment_id` is the
    tracking experiment whose runs the trials are; "" for none. `node` is its place in the lineage graph, "" for studies
    that earlier versions made. Both kinds of attributes belong to clients.
    """

    id: int
    name: str
    directions: tuple[Direction, ...]
    created: datetime
    space: JsonObject | None = None
    sampler: Algorithm = Algorithm("tpe")
    pruner: Algorithm | None = None
    limits: Limits = Limits()
    state: StudyState = "running"
    experiment_id: str = ""
    node: str = ""
    seed: int = 0
    user_attrs: JsonObject = field(default_factory=dict)
    system_attrs: JsonObject = field(default_factory=dict)

    @property
    def direction(self) -> Direction:
        """Of the first objective."""
        return self.directions[0]


@dataclass(frozen=True, slots=True)
class Point:
    """One sampled number and the distribution that it comes from (Optuna's JSON form)."""

    value: float
    distribution: str


@dataclass(frozen=True, slots=True)
class Lease:
    """Who works on a running trial, and until when without a sign of life."""

    worker: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Trial:
    """One evaluation. `id` and `number` (from 0, in its study) are given by the store.

    `params` is what the objective receives, nested where the space is; `points` are the sampled numbers beneath, by
    flat name. `values` has one number for each objective. `reports` are intermediate values by step.
    `source` says who chose the parameters: sampler, client, or by hand. `given_up`: its worker fell silent. The `token`
    is known to whoever works on the trial: with it a retried tell is harmless, and one of a worker that was given up is
    refused.
    """

    id: int
    study_id: int
    number: int
    state: TrialState
    created: datetime
    params: JsonObject = field(default_factory=dict)
    points: Mapping[str, Point] = field(default_factory=dict)
    values: tuple[float, ...] = ()
    reports: Mapping[int, float] = field(default_factory=dict)
    source: Literal["sampler", "client", "hand"] = "sampler"
    started: datetime | None = None
    ended: datetime | None = None
    reason: str = ""
    token: str = ""
    lease: Lease | None = None
    attempt: int = 0
    given_up: bool = False
    run_id: str = ""
    user_attrs: JsonObject = field(default_factory=dict)
    system_attrs: JsonObject = field(default_factory=dict)
    revision: int = 0

    @property
    def is_ended(self) -> bool:
        return self.state in ENDED


def plain_value(value: Json) -> float | None:
    """The number of a reported result: a number itself, or the `default` of an object; None for anything else."""
    if isinstance(value, Mapping):
        value = value.get("default")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)
