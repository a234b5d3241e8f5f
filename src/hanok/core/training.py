"""What training keeps and other parts read: facts of a version, rollouts, proofs of rollbacks, outcomes.

Each is a frozen dataclass with one codec (`core.records`); what an earlier version wrote still opens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from hanok.core.json import JsonObject
from hanok.core.records import IF_SET, Kind, from_body, to_body
from hanok.core.registry import ModelVersion

Number: TypeAlias = int | float
Metrics: TypeAlias = Mapping[str, float | None]  # None where a metric is not defined on the rows


# -- what a training makes -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Recipe:
    """One candidate of a search: `baseline`, `linear` with a strength, `boosting` with parameters; in an ensemble also
    `trees` with parameters, and `net`."""

    kind: str
    strength: float | None = None
    parameters: Mapping[str, Number] = field(default_factory=dict)

    @property
    def shown(self) -> Mapping[str, Number]:
        """What is tuned, for people."""
        return self.parameters if self.strength is None else {"strength": self.strength}


@dataclass(frozen=True, slots=True)
class Member:
    """A candidate in an ensemble: its place among them, its weight, the rounds or epochs that it is fitted for."""

    candidate: int
    weight: float
    rounds: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """What a search tried and chose: run again it needs no clock. A user's own code has none (no candidates). With
    `members` it is an ensemble, and `chosen` the heaviest of them. `log` says whether the members that ask for it were
    judged on the label's logarithm; None in what earlier versions wrote, which looked at the rows of each fit anew."""

    candidates: tuple[Recipe, ...] = ()
    chosen: int = 0
    rounds: int = 0
    seed: int = 7
    metric: str = ""
    members: tuple[Member, ...] = field(default=(), metadata=IF_SET)
    temperature: float = field(default=1.0, metadata=IF_SET)
    log: bool | None = field(default=None, metadata=IF_SET)

    @property
    def recipe(self) -> Recipe:
        return self.candidates[self.chosen]


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a leaderboard. `error` is the standard error of the metric's mean over the validation rows, `weight`
    the candidate's share in what was chosen; `size_bytes` and `row_us` (microseconds for one row) are of the winner."""

    name: str
    parameters: JsonObject
    metrics: Metrics
    seconds: float
    error: float | None = field(default=None, metadata=IF_SET)
    weight: float | None = field(default=None, metadata=IF_SET)
    size_bytes: int | None = field(default=None, metadata=IF_SET)
    row_us: float | None = field(default=None, metadata=IF_SET)
    why: str = field(default="", metadata=IF_SET)


@dataclass(frozen=True, slots=True)
class SliceGain:
    rows: int
    gain: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """`passed`, and the evidence in numbers: gain in mean per-row loss with its bounds, metrics of both, slices.

    `baseline` is the gain over the constant baseline, where the challenger was judged against a champion.
    `champion_unjudged` says why there was a champion and it could not be: its source is gone, or another task is asked.
    """

    passed: bool
    why: str
    against: str = ""
    gain: float | None = None
    low: float | None = None
    high: float | None = None
    rows: int = 0
    challenger: Metrics = field(default_factory=dict)
    champion: Metrics = field(default_factory=dict)
    worse_slices: tuple[str, ...] = ()
    slices: Mapping[str, SliceGain] = field(default_factory=dict)
    baseline: SliceGain | None = None
    champion_unjudged: str = ""


@dataclass(frozen=True, slots=True)
class LeakNote:
    """A column that holds the label, or what was not known at the instant of the prediction. `certain`: not a suspicion
    but a fact, so that a gate refuses what was trained with it. `accepted`: the declaration names the column in
    hk.Gate(accept=...)."""

    kind: str
    column: str
    message: str
    certain: bool
    accepted: bool = field(default=False, metadata=IF_SET)


@dataclass(frozen=True, slots=True)
class TrainingFacts:
    """What a model version says of its training. All of it is absent for a version registered from outside.

    `holdout` are the metrics of the best constant on the held-out rows: how hard those rows were. `golden` is the
    digest of rows with the answers that this version gave when it was registered.
    """

    workflow: str = ""
    task: str = ""
    metric: str = ""
    metrics: Metrics = field(default_factory=dict)
    holdout: Metrics = field(default_factory=dict)
    verdict: Verdict | None = None
    plan: Plan | None = None
    training_set: str = ""
    training_digest: str = ""
    training_rows: int = 0
    label_rows: int = 0
    trained_until: datetime | None = None
    holdout_included: bool = True
    trained_at: datetime | None = None
    reference: str = ""
    statistics: str = ""
    golden: str = ""
    challenger_package: str = ""
    environment: str = ""
    code: str = ""
    declaration: str = ""
    feature_views: Mapping[str, str] = field(default_factory=dict)
    gaps: tuple[JsonObject, ...] = ()
    leaks: tuple[LeakNote, ...] = ()
    reason: str = ""


def facts_of(version: ModelVersion) -> TrainingFacts:
    """Raises Corrupt for facts that no version of Hanok wrote."""
    facts = {**version.facts, "plan": version.facts.get("plan") or None}
    facts["verdict"] = facts.get("verdict") or None
    return from_body(TrainingFacts, facts, what=f"facts of {version.model}/{version.version}")


# -- steps of a training -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """What a training was asked for: the arguments of its workflow. `began` says by whom: a `server` that goes on with
    it after a restart, or a `command` that nobody goes on with."""

    model: str
    reason: str
    actor: str
    champion: int = 0
    start: datetime | None = None
    end: datetime | None = None
    promote: bool = True
    recipe_of: int = 0
    at: datetime | None = None
    began: str = "server"


@dataclass(frozen=True, slots=True)
class MadeSet:
    """The training set of a training."""

    node: str
    digest: str
    size_bytes: int
    rows: int
    snapshots: Mapping[str, int]
    newest: datetime
    end: datetime
    as_of: datetime
    start: datetime | None = None
    leaks: tuple[LeakNote, ...] = ()
    gaps: tuple[JsonObject, ...] = ()


@dataclass(frozen=True, slots=True)
class Searched:
    """What the search found on the rows before the holdout."""

    run_id: str
    package: str
    plan: Plan | None
    metric: str
    leaderboard: tuple[Line, ...]
    metrics: Metrics
    newest: datetime
    holdout: Metrics = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Gated:
    verdict: Verdict
    node: str


@dataclass(frozen=True, slots=True)
class Fit:
    """What is registered: the package, and what lies beside it."""

    package: str
    reference: str
    newest: datetime
    whole: bool
    statistics: str = ""
    golden: str = ""


@dataclass(frozen=True, slots=True)
class Registration:
    version: int
    node: str


@dataclass(frozen=True, slots=True)
class Trained:
    """The outcome of a training."""

    version: int
    node: str
    verdict: Verdict
    run_id: str
    training_set: str
    not_rolled_out: str = ""


# -- rollout and rollback ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RolloutState:
    """A rollout under way. `share` is the challenger's: 0 for a shadow, 100 when the former champion is the shadow;
    None in what earlier versions wrote, which numbered the stages. `generation` is the deployment's that belongs to it.
    """

    champion: int
    challenger: int
    since: datetime
    began: datetime
    actor: str = ""
    reason: str = ""
    stage: int = 0
    share: int | None = None
    generation: int = 0
    undecided: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Golden:
    """Answers of a version given again: to `rows` that it had answered before, `equal` of them in every bit.

    `bit_equal` is None where nothing could be compared; `why` says why. `source` is `log` for answers given while it
    served, `registration` for those kept when it was registered.
    """

    rows: int
    bit_equal: bool | None = None
    equal: int | None = None
    source: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class RollbackProof:
    """That a version answers again as it did when it was live. `undone` is the version that was rolled back from."""

    model: str
    undone: int = field(metadata={"name": "from"})
    to: int
    at: datetime
    actor: str
    reason: str
    golden: Golden
    node: str = ""


@dataclass(frozen=True, slots=True)
class RollbackRequest:
    """The arguments of a rollback under way: what is finished after a kill. `expected` is the generation of the
    deployment that a guard looked at; a person's rollback has none and is done whatever stands."""

    model: str
    undone: int
    to: int
    at: datetime
    actor: str
    reason: str
    expected: int | None = field(default=None, metadata=IF_SET)


@dataclass(frozen=True, slots=True)
class Begun:
    """What promoting a version led to: its stage."""

    deployed: int
    stage: str


@dataclass(frozen=True, slots=True)
class Trigger:
    """Why a retraining is due, with its numbers."""

    kind: str
    reason: str
    facts: Mapping[str, str | int | float | None]


@dataclass(frozen=True, slots=True)
class TickOutcome:
    """One thing that a tick did for a model: advance, promote, rollback, retrain, or failed."""

    model: str
    did: str
    at: datetime
    version: int | None = None
    share: int | None = None
    trigger: str = ""
    reason: str = ""
    passed: bool | None = None
    why: str = ""
    failed: str = ""
    proof: RollbackProof | None = None
    evidence: Mapping[str, float | int | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GivenUp:
    """That triggers rest, after trainings that failed: under which declaration, and with how many labelled rows."""

    declaration: str
    label_rows: int


GIVEN_UP = Kind("training-given-up", GivenUp, owner="model")
ROLLOUT = Kind("rollout", RolloutState, owner="model")
ROLLBACK = Kind("rollback", RollbackProof, owner="model")


def result_of(record: Trained) -> JsonObject:
    """The outcome of a training as it leaves the house."""
    body = to_body(record)
    return body if record.not_rolled_out else {k: v for k, v in body.items() if k != "not_rolled_out"}
