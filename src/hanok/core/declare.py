"""What a project declares: sources, feature views, models and how a model is kept healthy.

These are plain frozen values. `as_dict` gives their canonical JSON form, `digest` its hash: two declarations are
the same version exactly when their digests are equal.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from datetime import timedelta
from typing import Any, Literal, TypeAlias, TypeVar, get_args, get_type_hints

from hanok.core import wording
from hanok.core.declare_automl import AUTO
from hanok.core.declare_automl import AutoML as AutoML
from hanok.core.declare_code import PROJECT_MODULE as PROJECT_MODULE
from hanok.core.declare_code import OwnCode as OwnCode
from hanok.core.declare_code import own_code as own_code
from hanok.core.declare_data import Aggregate as Aggregate
from hanok.core.declare_data import FeatureService as FeatureService
from hanok.core.declare_data import FeatureView as FeatureView
from hanok.core.declare_data import Label as Label
from hanok.core.declare_data import Source as Source
from hanok.core.declare_data import Spine as Spine
from hanok.core.declare_data import count as count
from hanok.core.declare_data import first as first
from hanok.core.declare_data import last as last
from hanok.core.declare_data import max_ as max_
from hanok.core.declare_data import mean as mean
from hanok.core.declare_data import min_ as min_
from hanok.core.declare_data import ratio as ratio
from hanok.core.declare_data import std as std
from hanok.core.declare_data import sum_ as sum_
from hanok.core.declare_data import view_columns as view_columns
from hanok.core.declare_features import columns_of, flat
from hanok.core.declare_rows import agreed, keyed, over_rows, row_keys_of
from hanok.core.declare_transform import Transform as Transform
from hanok.core.declare_transform import transform as transform
from hanok.core.durations import RelativeTime, duration, shortest
from hanok.core.errors import DeclarationError
from hanok.core.json import Json, JsonObject
from hanok.core.metric_names import ANY_TASK, METRICS
from hanok.core.rules import parse_rules
from hanok.core.wording import declaration, give, spoken

Task = Literal["binary", "multiclass", "regression"]
TASKS: tuple[Task, ...] = ("binary", "multiclass", "regression")
T = TypeVar("T")


def as_recorded(model: Model, body: Mapping[str, Json]) -> Model:
    """A declaration with the name that its own code was recorded under, where the code is the same: a function that was
    moved, or was named after its process by an earlier release, is no other one."""
    before = body.get("train")
    if not isinstance(model.train, OwnCode) or not isinstance(before, Mapping):
        return model
    if before.get("code_digest") != model.train.code_digest or before.get("name") == model.train.name:
        return model
    return with_train(model, replace(model.train, name=str(before.get("name"))))


def with_train(model: Model, own: OwnCode) -> Model:
    """The same declaration with this training function."""
    made = copy(model)
    give(made, "train", own)
    return made


@declaration
@dataclass(frozen=True, slots=True)
class TimeSplit:
    """The last `test` of the time axis is held out; the model never sees it before the gate.

    Rows within `gap` before it are left out: they are judged by what follows them. Held-out values of the column
    `group` are not learnt from, whenever their rows were.
    """

    test: timedelta
    gap: timedelta | None = None
    group: str | None = None

    def __post_init__(self) -> None:
        give(self, "test", wording.span("by_time test", self.test, like="'28d'"))
        if self.gap is not None:
            give(self, "gap", wording.span("by_time gap", self.gap, like="'1d'"))
        if self.group is not None:
            wording.text("by_time group", self.group)


@spoken
def by_time(test: str | timedelta = "28d", gap: str | timedelta | None = None, group: str | None = None) -> TimeSplit:
    left = None if gap is None else wording.span("by_time gap", gap, like="'1d'")
    return TimeSplit(wording.span("by_time test", test, like="'28d'"), left, group)


@declaration
@dataclass(frozen=True, slots=True)
class RandomSplit:
    """A seeded share of the entities is held out; of each class with two or more, at least one on either side. Rows
    with one value of the column `group` stay on one side, and so do rows that are alike in every feature."""

    test: float = 0.2
    seed: int = 7
    group: str | None = None

    def __post_init__(self) -> None:
        wording.number("at_random test", self.test, above=0, below=1, like="0.2")
        wording.whole("at_random seed", self.seed)
        if self.group is not None:
            wording.text("at_random group", self.group)


@spoken
def at_random(test: float = 0.2, seed: int = 7, group: str | None = None) -> RandomSplit:
    return RandomSplit(test, seed, group)


@declaration
@dataclass(frozen=True, slots=True)
class Gate:
    """What a challenger must show before it may serve.

    It passes when its gain over the champion in paired loss is above -`tolerance` with the `confidence` asked for, and
    on no slice is it worse with that confidence. Where held-out rows cover a week or more, days are counted, not rows.
    A column that is certain to give the label away ends a training; those in `accept` are looked at and found right.
    """

    beats: Literal["champion", "baseline"] = "champion"
    metric: str = "auto"
    confidence: float = 0.95
    slices: tuple[str, ...] | list[str] = ()
    tolerance: float = 0.0
    accept: tuple[str, ...] | list[str] | None = None

    def __post_init__(self) -> None:
        if self.accept is not None:
            give(self, "accept", wording.names("Gate accept", self.accept, alone=True))
        wording.one_of("Gate beats", self.beats, ("champion", "baseline"))
        wording.one_of("Gate metric", self.metric, (AUTO, *ANY_TASK))
        wording.number("Gate confidence", self.confidence, above=0.5, below=1, like="0.95")
        give(self, "slices", wording.names("Gate slices", self.slices))
        wording.number("Gate tolerance", self.tolerance, like="0.001")


@declaration
@dataclass(frozen=True, slots=True, init=False)
class Retrain:
    """When a new model is trained without being asked for."""

    window: str
    every: timedelta | None
    new_rows: int | None
    drop: tuple[str, float] | None
    cooldown: timedelta

    def __init__(
        self,
        *,
        window: str = "expanding",
        every: str | timedelta | None = None,
        new_rows: int | None = None,
        drop: tuple[str, float] | None = None,
        cooldown: str | timedelta = "1d",
    ) -> None:
        give(self, "window", wording.window("Retrain window", window))
        give(self, "every", None if every is None else wording.span("Retrain every", every, like="'30d'"))
        give(self, "new_rows", None if new_rows is None else wording.whole("Retrain new_rows", new_rows, least=1))
        give(self, "drop", None if drop is None else wording.drop("Retrain drop", drop))
        give(self, "cooldown", wording.span("Retrain cooldown", cooldown, zero=True))

    @property
    def lookback(self) -> timedelta | None:
        """Length of a sliding training window; None for an expanding one."""
        return None if self.window == "expanding" else duration(self.window)


@declaration
@dataclass(frozen=True, slots=True, init=False)
class Rollout:
    """How a model that passed its gate comes to serve: beside the champion first, then by growing shares; and when it
    answers everything, the former champion stays beside it as a shadow for `bake`, ready to come back."""

    shadow: timedelta | None
    canary: tuple[int, ...]
    hold: timedelta
    bake: timedelta
    rollback_if: tuple[str, ...]

    def __init__(
        self,
        *,
        shadow: str | timedelta | None = None,
        canary: Sequence[int] = (100,),
        hold: str | timedelta = "1d",
        bake: str | timedelta | None = "7d",
        rollback_if: Sequence[str] = (),
    ) -> None:
        give(self, "shadow", None if shadow is None else wording.span("Rollout shadow", shadow))
        give(self, "canary", wording.shares("Rollout canary", canary))
        give(self, "hold", wording.span("Rollout hold", hold))
        give(self, "bake", timedelta() if bake is None else wording.span("Rollout bake", bake, zero=True))
        give(self, "rollback_if", wording.names("Rollout rollback_if", rollback_if))
        parse_rules(self.rollback_if)


@declaration
@dataclass(frozen=True, slots=True)
class Webhook:
    """Where alerts are sent, as Alertmanager-shaped JSON."""

    url: str

    def __post_init__(self) -> None:
        if not wording.text("Webhook url", self.url).startswith(("http://", "https://")):
            raise wording.refused("Webhook url", self.url, "it begins with http:// or https://")


@declaration
@dataclass(frozen=True, slots=True, init=False)
class Model:
    """One thing to predict, and how its model is trained, judged, rolled out and watched."""

    name: str
    task: Task
    spine: Spine
    label: Label
    features: tuple[FeatureView | Transform | str, ...]
    train: AutoML | OwnCode
    split: TimeSplit | RandomSplit
    gate: Gate
    retrain: Retrain | None
    rollout: Rollout
    alert: Webhook | None
    services: tuple[str, ...] | None = None

    def __init__(
        self,
        name: str,
        *,
        task: Task,
        spine: Spine,
        label: Label,
        features: Sequence[FeatureView | FeatureService | Transform | str],
        train: AutoML | Callable[..., Any] | None = None,
        split: TimeSplit | RandomSplit | None = None,
        gate: Gate | None = None,
        retrain: Retrain | None = None,
        rollout: Rollout | None = None,
        alert: Webhook | None = None,
    ) -> None:
        give(self, "name", wording.name("Model name", "model", name))
        title = f"model {name!r}"
        give(self, "task", wording.one_of(f"{title} task", task, TASKS))
        give(self, "spine", wording.of_kind(f"{title} spine", spine, Spine, "hk.Spine('orders', predict_at='ordered')"))
        give(self, "label", wording.of_kind(f"{title} label", label, Label, LABEL_LIKE))
        kinds = (FeatureView, FeatureService, Transform, str)
        given = wording.listed(f"{title} features", features, kinds, "column names, feature views and services")
        give(self, "features", tuple(flat(given)))
        give(self, "services", tuple(f.name for f in given if isinstance(f, FeatureService)) or None)
        give(self, "train", _train(title, train))
        chosen = _optional(f"{title} split", split, (TimeSplit, RandomSplit), "hk.by_time(test='28d')")
        give(self, "split", chosen or TimeSplit(timedelta(days=28)))
        give(self, "gate", _optional(f"{title} gate", gate, (Gate,), "hk.Gate(beats='champion')") or Gate())
        give(self, "retrain", _optional(f"{title} retrain", retrain, (Retrain,), "hk.Retrain(every='30d')"))
        give(
            self, "rollout", _optional(f"{title} rollout", rollout, (Rollout,), "hk.Rollout(shadow='1d')") or Rollout()
        )
        give(self, "alert", _optional(f"{title} alert", alert, (Webhook,), "hk.Webhook('http://localhost:9093')"))
        self._check_features(title)
        self._check_metrics(title)

    def _check_features(self, title: str) -> None:
        if not self.features:
            raise DeclarationError(f"{title} has no features; name spine columns or feature views")
        for column in self.spine_columns:
            wording.text(f"{title} features", column)
        if self.label.column in self.features:
            raise DeclarationError(f"{title} lists its own label {self.label.column!r} as a feature: that is a leak")
        wording.distinct(f"{title} features", [v.name for v in self.views])
        if twice := sorted({n for n in self.feature_columns if self.feature_columns.count(n) > 1}):
            raise DeclarationError(f"{title} has the feature {twice[0]!r} twice")
        wording.distinct(f"{title} features", self.feature_columns)
        wording.distinct(f"{title} features", [t.name for t in self.transforms])
        if self.label.column in self.spine_inputs:
            raise DeclarationError(f"{title} transforms its own label {self.label.column!r}: that is a leak")

    def _check_metrics(self, title: str) -> None:
        """Each metric named anywhere has to fit the task."""
        known = METRICS[self.task]
        if isinstance(self.train, AutoML) and self.train.metric != AUTO:
            wording.one_of(f"{title} is {self.task}: AutoML metric", self.train.metric, known)
        if self.gate.metric != AUTO:
            wording.one_of(f"{title} is {self.task}: Gate metric", self.gate.metric, known)
        if self.retrain is not None and self.retrain.drop is not None:
            wording.one_of(f"{title} is {self.task}: Retrain drop", self.retrain.drop[0], known)
        try:
            parse_rules(self.rollout.rollback_if, self.task)
        except DeclarationError as error:
            raise DeclarationError(f"{title} is {self.task}: {error.message}") from None

    @property
    def views(self) -> tuple[FeatureView, ...]:
        return tuple(f for f in self.features if isinstance(f, FeatureView))

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that are read for it: spine, labels, and the sources of its views."""
        return tuple(dict.fromkeys((self.spine.table, self.label.table, *(v.source.table for v in self.views))))

    @property
    def spine_columns(self) -> tuple[str, ...]:
        """The features that are plain columns of the spine."""
        return tuple(f for f in self.features if isinstance(f, str))

    @property
    def feature_columns(self) -> tuple[str, ...]:
        """All feature columns in the order that the model sees them."""
        return tuple(n for f in self.features for n in columns_of(f))

    @property
    def transforms(self) -> tuple[Transform, ...]:
        return tuple(f for f in self.features if isinstance(f, Transform))

    @property
    def spine_inputs(self) -> tuple[str, ...]:
        """The columns of the spine that transforms read."""
        views = {column for view in self.views for column in view_columns(view)}
        return tuple(dict.fromkeys(n for t in self.transforms for n in t.inputs if n not in views))


@dataclass(frozen=True, slots=True)
class Project:
    """All that one project file declares. A table has one source, with what all who read it say of it, and one
    row_key: what reads it and says none has that too."""

    sources: tuple[Source, ...]
    views: tuple[FeatureView, ...]
    models: tuple[Model, ...]
    services: tuple[FeatureService, ...] = ()

    def __post_init__(self) -> None:
        self._agree_on_rows()
        wording.distinct("the project's models", [m.name for m in self.models])
        used = [*(v for m in self.models for v in m.views), *(v for s in self.services for v in s.views)]
        give(self, "sources", agreed(self.sources, (*used, *self.views)))
        views = {digest(v.stored): v.stored for v in (*self.views, *used)}
        wording.distinct("the project's feature views", [v.name for v in views.values()])
        wording.distinct("the project's feature services", [s.name for s in self.services])
        wording.distinct("the project's tables", sorted({t for m in self.models for t in m.tables}))

    def _agree_on_rows(self) -> None:
        owners = (*self.views, *(v for m in self.models for v in m.views), *(v for s in self.services for v in s.views))
        row_keys = row_keys_of(self.sources, owners)
        if not row_keys:
            return
        sources = (s if s.row_key else keyed(s, row_keys.get(s.table)) for s in self.sources)
        give(self, "sources", tuple(sources))
        give(self, "views", tuple(over_rows(v, row_keys.get(v.source.table)) for v in self.views))
        give(self, "models", tuple(_over_rows(m, row_keys) for m in self.models))
        give(self, "services", tuple(_over_rows(s, row_keys) for s in self.services))


Reader = TypeVar("Reader", bound=Model | FeatureService)


def _over_rows(reader: Reader, row_keys: Mapping[str, tuple[str, ...]]) -> Reader:
    """A model or service whose views read rows as they are told apart."""
    given = reader.features
    views = tuple(over_rows(f, row_keys.get(f.source.table)) if isinstance(f, FeatureView) else f for f in given)
    if all(one is other for one, other in zip(given, views, strict=True)):
        return reader
    made = copy(reader)
    give(made, "features", views)
    return made


LATER = {
    *(("Aggregate", "over"), ("Label", "window"), ("Model", "services")),
    *(("Source", n) for n in ("row_key", "known_at", "columns")),
    *(("TimeSplit", n) for n in ("gap", "group")),
    *(("RandomSplit", "group"), ("Gate", "accept")),
    *(("AutoML", n) for n in ("mode", "max_latency_us")),
    *(("FeatureView", n) for n in ("description", "owner", "tags", "picked", "alias_of", "source_keys")),
    *(("FeatureService", n) for n in ("description", "owner", "tags")),
}
"""Fields that came later: left out while they say nothing, so that digests stay."""


def as_dict(value: object) -> JsonObject:
    """The canonical JSON form of a declaration: what its version is the hash of."""
    if isinstance(value, OwnCode):
        return {"kind": "OwnCode", "name": value.name, "code_digest": value.code_digest}
    if is_dataclass(value) and not isinstance(value, type):
        kind = type(value).__name__
        given = {f.name: getattr(value, f.name) for f in fields(value)}
        return {"kind": kind} | {n: _json(v) for n, v in given.items() if v is not None or (kind, n) not in LATER}
    raise TypeError(f"{type(value).__name__} is no declaration")


def _json(value: object) -> Json:
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, timedelta):
        return shortest(value) if value >= timedelta() else f"-{shortest(-value)}"
    if isinstance(value, tuple | list):
        return [_json(item) for item in value]
    return as_dict(value)


def digest(value: object) -> str:
    """SHA-256 of the canonical form, as hex."""
    return hashlib.sha256(json.dumps(as_dict(value), sort_keys=True).encode()).hexdigest()


def from_dict(body: Json) -> Any:
    """The declaration that `as_dict` gave this form, as it was: what an earlier version accepted is not judged again.
    A user's own training function comes back as its name and digest only. Raises DeclarationError for an unknown
    kind."""
    if not isinstance(body, Mapping):
        raise DeclarationError(f"a stored declaration is {type(body).__name__}, not an object")
    kind = _KINDS.get(str(body.get("kind")))
    if kind is None:
        raise DeclarationError(
            f"a stored declaration is of the unknown kind {body.get('kind')!r}: was it written by a newer Hanok?"
        )
    made = object.__new__(kind)
    hints = get_type_hints(kind)
    for place in fields(kind):
        if place.name in body:
            give(made, place.name, _restored(hints[place.name], body[place.name]))
        elif kind is OwnCode and place.name == "function":
            give(made, place.name, _lost)
        elif place.default is not MISSING:
            give(made, place.name, place.default)
        else:
            raise DeclarationError(f"a stored {kind.__name__} has no {place.name!r}: was it written by a newer Hanok?")
    return made


def _restored(kind: Any, value: Json) -> object:
    """A value of a field from its JSON form."""
    if isinstance(value, Mapping):
        return from_dict(value)
    if isinstance(value, list | tuple):
        inner = get_args(kind)
        item = inner[0] if inner else None
        return tuple(_restored(item, v) for v in value)
    if timedelta in (kind, *get_args(kind)) and isinstance(value, str):
        return -duration(value[1:]) if value.startswith("-") else duration(value)
    return value


def _lost(frame: Any) -> Any:
    raise DeclarationError(
        "the code of this training function is known by its digest only: "
        "hanok reproduce MODEL@VERSION runs it where it is kept, or the project still has it"
    )


Declared: TypeAlias = (
    Source
    | Aggregate
    | FeatureView
    | FeatureService
    | Transform
    | Spine
    | RelativeTime
    | Label
    | AutoML
    | OwnCode
    | TimeSplit
    | RandomSplit
    | Gate
    | Retrain
    | Rollout
    | Webhook
    | Model
)
_KINDS: dict[str, type[Declared]] = {c.__name__: c for c in get_args(Declared)}
LABEL_LIKE = "hk.Label('returns', column='returned', known_at='known')"


def _train(title: str, value: object) -> AutoML | OwnCode:
    if value is None:
        return AutoML()
    if isinstance(value, AutoML | OwnCode):
        return value
    if callable(value) and not isinstance(value, type):
        return own_code(value)
    raise wording.refused(f"{title} train", value, "it is hk.AutoML(...) or a function 'def train(frame)'")


def _optional(field_: str, value: object, kinds: tuple[type[T], ...], like: str) -> T | None:
    if value is None or isinstance(value, kinds):
        return value
    raise wording.refused(field_, value, f"it is like {like}")
