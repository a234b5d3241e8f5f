"""What monitoring keeps and other rooms read: how far labels are joined, reports of drift and of skew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from hanok.core.json import JsonObject
from hanok.core.records import Kind

FEW_ANSWERS = 30  # fewer say nothing of how a feature lies


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
    of the task, `words` shows some. `generation` grows when the model reads its labels from elsewhere. `steps` counts
    the joins that were done, over all generations. Pairs of generations before `since` are of labels other than those
    of `origin`."""

    identity: str
    generation: int = 1
    labels: int = 0
    answers: int = 0
    joined: int = 0
    outside: int = 0
    strange: int = 0
    words: tuple[str, ...] = ()
    step: LabelStep | None = None
    steps: int = 0
    origin: str = ""
    since: int = 0


LABELS = Kind("labels", LabelState, owner="model")


@dataclass(frozen=True, slots=True)
class FeatureDrift:
    """A feature of a week of answers against the reference of the version. `harm` is importance times effect, `costs`
    the share of the loss that goes away with its old values (None where that was not tried); `harmless` and `benign`
    say why it does not alarm, `integrity` that it is null in everything answered. `run_psi` is how far the newest run
    of whole days lies out and `run_usual_psi` how far such a run of training could; `run_suspicious`: it lies farther;
    `sudden`: so far that the run alone alarms."""

    feature: str
    psi: float
    psi_noise_floor: float
    js_distance_base2: float
    p_adjusted: float
    importance: float
    harm: float
    null_share: float
    suspicious: bool
    integrity: bool
    alarm: bool
    usual_psi: float = 0.0
    null_today: float = 0.0
    costs: float | None = None
    harmless: bool = False
    benign: str = ""
    missing: bool = False
    run_psi: float = 0.0
    run_usual_psi: float = 0.0
    run_suspicious: bool = False
    sudden: bool = False


@dataclass(frozen=True, slots=True)
class DriftReport:
    """The drift of `day`, seen in the week that ends with it, and in the newest run of whole days (from `run_start`,
    "" where none could be judged). `features` are ranked by harm; `unseen` are values of categories that training had
    not, with how often each came."""

    day: str
    start: str
    end: str
    rows: int
    features: tuple[FeatureDrift, ...]
    node: str
    unseen: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    run_start: str = ""
    run_end: str = ""
    run_rows: int = 0

    def of(self, feature: str) -> FeatureDrift | None:
        return next((f for f in self.features if f.feature == feature), None)


@dataclass(frozen=True, slots=True)
class FeatureSkew:
    """A feature of what was answered against the training set. `table` is where it comes from."""

    column: str
    psi: float
    psi_noise_floor: float
    js_distance_base2: float
    p_value: float
    rows: int
    null_share: float
    reference_null_share: float
    usual_psi: float
    effect: float
    p_adjusted: float
    moved: bool
    alarm: bool
    harm: float = 0.0
    table: str = ""


@dataclass(frozen=True, slots=True)
class SkewReport:
    """Answers from `first` to `last`, both days included, against the training set of `version`."""

    model: str
    version: int
    first: str = field(metadata={"name": "from"})
    last: str = field(metadata={"name": "to"})
    rows: int
    windows: int
    features: tuple[FeatureSkew, ...]


@dataclass(frozen=True, slots=True)
class BenignShape:
    """How a feature was distributed in the week to `day`, which did no harm: a trial showed it, or a person (`by`) said
    so. `shape` holds its bins and counts. A forgotten one made room for a newer."""

    feature: str
    day: str
    by: str
    why: str
    shape: JsonObject
    node: str = ""
    forgotten: bool = False

    @property
    def key(self) -> str:
        return f"{self.feature}|{self.day}|{self.by}"


@dataclass(frozen=True, slots=True)
class ConceptState:
    """`open` is the day on which the change that lasts was found, "" while there is none; what was found until `after`
    is over."""

    open: str = ""
    after: str = ""


CONCEPT = Kind("concept", ConceptState, owner="model")
BENIGN = Kind("benign", BenignShape, owner="model")
DRIFT = Kind("drift", DriftReport, owner="model")
SKEW = Kind("skew", SkewReport, owner="model")
