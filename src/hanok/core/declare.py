"""What a project declares: sources, feature views, models and how a model is kept healthy.

These are plain frozen values. `as_dict` gives their canonical JSON form, `digest` its hash: two declarations are
the same version exactly when their digests are equal.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import timedelta
from typing import Any, Literal

from hanok.core.durations import RelativeTime, duration, relative_time, shortest
from hanok.core.errors import DeclarationError
from hanok.core.ids import checked_name

Task = Literal["binary", "multiclass", "regression"]
TASKS: tuple[Task, ...] = ("binary", "multiclass", "regression")


@dataclass(frozen=True, slots=True)
class Source:
    """A table that data arrives in. `event_time` names the column that says when a row's facts hold."""

    table: str
    event_time: str

    def __post_init__(self) -> None:
        checked_name("table", self.table)


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A function over the rows of one window. Null inputs are skipped; `count` without a column counts rows."""

    function: Literal["count", "sum", "mean", "min", "max"]
    column: str | None = None


def count(column: str | None = None) -> Aggregate:
    """Rows in the window, or its non-null values of `column`."""
    return Aggregate("count", column)


def sum_(column: str) -> Aggregate:
    """Sum of the non-null values; null when there is none."""
    return Aggregate("sum", column)


def mean(column: str) -> Aggregate:
    """Arithmetic mean of the non-null values; null when there is none."""
    return Aggregate("mean", column)


def min_(column: str) -> Aggregate:
    return Aggregate("min", column)


def max_(column: str) -> Aggregate:
    return Aggregate("max", column)


def _set(declaration: Any, name: str, value: Any) -> None:
    """Give a field of a frozen declaration its normalised value while it is being made."""
    object.__setattr__(declaration, name, value)


def _names(value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


@dataclass(frozen=True, slots=True, init=False)
class FeatureView:
    """Features of an entity, from one source: its latest values, or aggregates over time windows.

    Exactly one of `features` and `aggregate` is given. A windowed feature is named `<name>_<window>`.
    """

    name: str
    keys: tuple[str, ...]
    source: Source
    features: tuple[str, ...]
    ttl: timedelta | None
    windows: tuple[str, ...]
    aggregate: tuple[tuple[str, Aggregate], ...]

    def __init__(
        self,
        name: str,
        *,
        keys: str | Sequence[str],
        source: Source,
        features: str | Sequence[str] = (),
        ttl: str | timedelta | None = None,
        windows: Sequence[str] = (),
        aggregate: Mapping[str, Aggregate] | None = None,
    ) -> None:
        _set(self, "name", checked_name("feature view", name))
        _set(self, "keys", _names(keys))
        _set(self, "source", source)
        _set(self, "features", _names(features))
        _set(self, "ttl", duration(ttl) if ttl else None)
        _set(self, "windows", tuple(w.replace(" ", "") for w in windows if duration(w)))
        _set(self, "aggregate", tuple((aggregate or {}).items()))
        if not self.keys:
            raise DeclarationError(f"feature view {name!r} has no keys; say which column identifies its entity")
        if bool(self.features) == bool(self.aggregate):
            raise DeclarationError(f"feature view {name!r} needs either features=[...] or aggregate={{...}}, not both")
        if self.aggregate and not self.windows:
            raise DeclarationError(f"feature view {name!r} aggregates, so it needs windows=['24h', ...]")

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The columns that this view adds to a row, without the view's name before them."""
        if self.features:
            return self.features
        return tuple(f"{name}_{window}" for name, _ in self.aggregate for window in self.windows)

    @property
    def columns(self) -> tuple[str, ...]:
        """The source columns that the view reads besides keys and event time."""
        if self.features:
            return self.features
        return tuple(dict.fromkeys(a.column for _, a in self.aggregate if a.column))

    @property
    def horizon(self) -> timedelta | None:
        """How far back a row can matter; None means for ever."""
        return max(map(duration, self.windows)) if self.windows else self.ttl


@dataclass(frozen=True, slots=True, init=False)
class Spine:
    """The rows to predict: one prediction for each row of `table`, made at `predict_at`.

    `keys` identify a row; when left out they are the columns that spine and label table share.
    """

    table: str
    predict_at: RelativeTime
    keys: tuple[str, ...]

    def __init__(self, table: str, *, predict_at: str, keys: str | Sequence[str] = ()) -> None:
        _set(self, "table", checked_name("table", table))
        _set(self, "predict_at", relative_time(predict_at))
        _set(self, "keys", _names(keys))


@dataclass(frozen=True, slots=True)
class Label:
    """Where the truth arrives: `column` of `table`, known from the instant in `known_at` on."""

    table: str
    column: str
    known_at: str


@dataclass(frozen=True, slots=True, init=False)
class AutoML:
    """Let Hanok find the model.

    `budget` is wall-clock time ("8s"), or `trials` a number of tuning trials; a wall-clock budget becomes a recorded
    plan, and what is reproduced or resumed is that plan.
    """

    metric: str
    budget: timedelta | None
    trials: int | None
    seed: int

    def __init__(
        self,
        *,
        metric: str = "auto",
        budget: str | timedelta | None = None,
        trials: int | None = None,
        seed: int = 7,
    ) -> None:
        if budget is not None and trials is not None:
            raise DeclarationError("AutoML takes budget='8s' or trials=20, not both")
        _set(self, "metric", metric)
        _set(self, "budget", duration(budget) if budget else None)
        _set(self, "trials", trials if trials is not None or budget else 8)
        _set(self, "seed", seed)


@dataclass(frozen=True, slots=True)
class OwnCode:
    """A user's `def train(frame) -> model`, known by its name and the hash of its source."""

    function: Callable[..., Any] = field(compare=False)
    name: str = ""
    code_digest: str = ""


def own_code(function: Callable[..., Any]) -> OwnCode:
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):
        source = function.__code__.co_code.hex() if hasattr(function, "__code__") else repr(function)
    name = f"{function.__module__}.{function.__qualname__}"
    return OwnCode(function, name, hashlib.sha256(source.encode()).hexdigest())


@dataclass(frozen=True, slots=True)
class TimeSplit:
    """The last `test` of the time axis is held out; the model never sees it before the gate."""

    test: timedelta


def by_time(test: str | timedelta = "28d") -> TimeSplit:
    return TimeSplit(duration(test))


@dataclass(frozen=True, slots=True)
class RandomSplit:
    """A seeded share of the rows is held out (stratified for classification)."""

    test: float = 0.2
    seed: int = 7


def at_random(test: float = 0.2, seed: int = 7) -> RandomSplit:
    return RandomSplit(test, seed)


@dataclass(frozen=True, slots=True)
class Gate:
    """What a challenger must show before it may serve.

    It passes when its gain over the champion in paired loss is above -`tolerance` with the `confidence` asked for, and
    on no slice is it worse with that confidence. Where held-out rows cover a week or more, days are counted, not rows.
    """

    beats: Literal["champion", "baseline"] = "champion"
    metric: str = "auto"
    confidence: float = 0.95
    slices: tuple[str, ...] | list[str] = ()
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        _set(self, "slices", tuple(self.slices))
        if not 0.5 < self.confidence < 1:
            raise DeclarationError(f"Gate confidence is {self.confidence}; it lies between 0.5 and 1, like 0.95")


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
        _set(self, "window", window if window == "expanding" else shortest(duration(window)))
        _set(self, "every", duration(every) if every else None)
        _set(self, "new_rows", new_rows)
        _set(self, "drop", tuple(drop) if drop else None)
        _set(self, "cooldown", duration(cooldown))

    @property
    def lookback(self) -> timedelta | None:
        """Length of a sliding training window; None for an expanding one."""
        return None if self.window == "expanding" else duration(self.window)


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
        bake: str | timedelta = "7d",
        rollback_if: Sequence[str] = (),
    ) -> None:
        _set(self, "shadow", duration(shadow) if shadow else None)
        _set(self, "canary", tuple(canary))
        _set(self, "hold", duration(hold))
        _set(self, "bake", duration(bake))
        _set(self, "rollback_if", tuple(rollback_if))
        if any(not 0 < share <= 100 for share in self.canary) or list(self.canary) != sorted(self.canary):
            raise DeclarationError(f"Rollout canary={list(canary)}: shares grow and lie in 1..100, like [5, 25, 100]")


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where alerts are sent, as Alertmanager-shaped JSON."""

    url: str


@dataclass(frozen=True, slots=True, init=False)
class Model:
    """One thing to predict, and how its model is trained, judged, rolled out and watched."""

    name: str
    task: Task
    spine: Spine
    label: Label
    features: tuple[FeatureView | str, ...]
    train: AutoML | OwnCode
    split: TimeSplit | RandomSplit
    gate: Gate
    retrain: Retrain | None
    rollout: Rollout
    alert: Webhook | None

    def __init__(
        self,
        name: str,
        *,
        task: Task,
        spine: Spine,
        label: Label,
        features: Sequence[FeatureView | str],
        train: AutoML | Callable[..., Any] | None = None,
        split: TimeSplit | RandomSplit | None = None,
        gate: Gate | None = None,
        retrain: Retrain | None = None,
        rollout: Rollout | None = None,
        alert: Webhook | None = None,
    ) -> None:
        _set(self, "name", checked_name("model", name))
        if task not in TASKS:
            raise DeclarationError(f"model {name!r} has task {task!r}; it is one of {', '.join(TASKS)}")
        if not features:
            raise DeclarationError(f"model {name!r} has no features; name spine columns or feature views")
        _set(self, "task", task)
        _set(self, "spine", spine)
        _set(self, "label", label)
        _set(self, "features", tuple(features))
        _set(self, "train", train if isinstance(train, AutoML) else own_code(train) if train is not None else AutoML())
        _set(self, "split", split or TimeSplit(timedelta(days=28)))
        _set(self, "gate", gate or Gate())
        _set(self, "retrain", retrain)
        _set(self, "rollout", rollout or Rollout())
        _set(self, "alert", alert)
        if label.column in features:
            raise DeclarationError(f"model {name!r} lists its own label {label.column!r} as a feature: that is a leak")
        names = [n for f in self.features for n in ((f,) if isinstance(f, str) else view_columns(f))]
        if twice := sorted({n for n in names if names.count(n) > 1}):
            raise DeclarationError(f"model {name!r} has the feature {twice[0]!r} twice")

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
        return tuple(n for f in self.features for n in ((f,) if isinstance(f, str) else view_columns(f)))


def view_columns(view: FeatureView) -> tuple[str, ...]:
    """The column names of a view's features in a training set: `view__feature`."""
    return tuple(f"{view.name}__{feature}" for feature in view.feature_names)


@dataclass(frozen=True, slots=True)
class Project:
    """All that one project file declares."""

    sources: tuple[Source, ...]
    views: tuple[FeatureView, ...]
    models: tuple[Model, ...]


def as_dict(value: Any) -> Any:
    """The canonical JSON form of a declaration: what its version is the hash of."""
    if isinstance(value, OwnCode):
        return {"kind": "OwnCode", "name": value.name, "code_digest": value.code_digest}
    if is_dataclass(value) and not isinstance(value, type):
        return {"kind": type(value).__name__} | {f.name: as_dict(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, timedelta):
        return shortest(value) if value >= timedelta() else f"-{shortest(-value)}"
    if isinstance(value, tuple | list):
        return [as_dict(item) for item in value]
    return value


def digest(value: Any) -> str:
    """SHA-256 of the canonical form, as hex."""
    return hashlib.sha256(json.dumps(as_dict(value), sort_keys=True).encode()).hexdigest()


def from_dict(body: Any) -> Any:
    """The declaration that `as_dict` gave this form. A user's own training function comes back as its name and digest
    only. Raises DeclarationError for an unknown kind."""
    if isinstance(body, list):
        return tuple(from_dict(item) for item in body)
    if not isinstance(body, Mapping):
        return body
    values = {name: from_dict(value) for name, value in body.items() if name != "kind"}
    kind = body.get("kind")
    if kind == "FeatureView":
        values["aggregate"] = dict(values["aggregate"])
        return FeatureView(values.pop("name"), **values)
    if kind == "Model":
        return _model_from(values)
    if kind == "Spine":
        at = values["predict_at"]
        return Spine(values["table"], predict_at=_relative_text(at.column, at.offset), keys=values["keys"])
    if kind == "RelativeTime":
        return RelativeTime(values["column"], _signed(values["offset"]))
    if kind == "OwnCode":
        return OwnCode(_lost, values["name"], values["code_digest"])
    if kind == "TimeSplit":
        return TimeSplit(duration(values["test"]))
    simple = {c.__name__: c for c in (Source, Aggregate, Label, AutoML, RandomSplit, Gate, Retrain, Rollout, Webhook)}
    if kind not in simple:
        raise DeclarationError(
            f"a stored declaration is of the unknown kind {kind!r}: was it written by a newer Hanok?"
        )
    return simple[kind](**values)


def _model_from(values: dict[str, Any]) -> Model:
    train = values.pop("train")
    model = Model(values.pop("name"), train=None if isinstance(train, OwnCode) else train, **values)
    if isinstance(train, OwnCode):
        _set(model, "train", train)
    return model


def _signed(text: str) -> timedelta:
    return -duration(text[1:]) if text.startswith("-") else duration(text)


def _relative_text(column: str, offset: timedelta) -> str:
    if not offset:
        return column
    return f"{column} - {shortest(-offset)}" if offset < timedelta() else f"{column} + {shortest(offset)}"


def _lost(frame: Any) -> Any:
    raise DeclarationError(
        "the code of this training function is known by its digest only; load the project that has it"
    )
