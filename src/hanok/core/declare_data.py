"""Declarations of data: where it arrives, the features made of it, the rows to predict, and their labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from hanok.core import wording
from hanok.core.durations import RelativeTime, duration, relative_time
from hanok.core.errors import DeclarationError
from hanok.core.tables import ARRIVED
from hanok.core.wording import declaration, give, spoken

COLUMN_KINDS = ("number", "integer", "float", "category", "text", "id", "date", "ignored")
AGGREGATES = ("count", "sum", "mean", "min", "max", "std", "first", "last", "ratio")
SOURCE_LIKE = "hk.Source('weather', event_time='time_hour')"


@declaration
@dataclass(frozen=True, slots=True, init=False)
class Source:
    """A table that data arrives in. `event_time` names the column that says when a row's facts hold; without it they
    hold from their arrival on.

    `row_key` names the columns that tell one row from another: a row that comes again changes nothing, and one that
    comes with other values corrects the earlier row. `known_at` names the column that says when a row became known,
    where that is not its arrival here. `columns` says what a column is where its values do not, like
    {"zip": "category", "due": "date %d.%m.%Y"}: number (integer or float says which), category, text, id, date (with
    its spelling) or ignored.
    """

    table: str
    event_time: str
    row_key: tuple[str, ...] | None = None
    known_at: str | None = None
    columns: tuple[tuple[str, str], ...] | None = None

    def __init__(
        self,
        table: str,
        event_time: str = ARRIVED,
        *,
        row_key: str | Sequence[str] | None = None,
        known_at: str | None = None,
        columns: Mapping[str, str] | None = None,
    ) -> None:
        give(self, "table", wording.name("Source table", "table", table))
        give(self, "event_time", wording.text("Source event_time", event_time))
        title = f"source {table!r}"
        keys = () if row_key is None else wording.names(f"{title} row_key", row_key, alone=True)
        give(self, "row_key", keys or None)
        give(self, "known_at", None if known_at is None else wording.text(f"{title} known_at", known_at))
        kinds = {} if columns is None else dict(columns)
        for column, kind in kinds.items():
            word = kind.split(" ")[0] if isinstance(kind, str) and kind.startswith("date ") else kind
            wording.one_of(f"{title} columns[{column!r}]", word, COLUMN_KINDS)
        give(self, "columns", tuple(kinds.items()) or None)


@declaration
@dataclass(frozen=True, slots=True)
class Aggregate:
    """A function over the rows of one window. Null inputs are skipped; `count` without a column counts rows; a `ratio`
    is the sum of `column` over that of `over`."""

    function: Literal["count", "sum", "mean", "min", "max", "std", "first", "last", "ratio"]
    column: str | None = None
    over: str | None = None

    def __post_init__(self) -> None:
        wording.one_of("Aggregate function", self.function, AGGREGATES)
        if self.column is not None or self.function != "count":
            wording.text(f"{self.function} column", self.column)
        if self.function == "ratio":
            wording.text("ratio over", self.over)
        elif self.over is not None:
            raise DeclarationError(f"{self.function} takes one column; hk.ratio takes two")


@spoken
def count(column: str | None = None) -> Aggregate:
    """Rows in the window, or its non-null values of `column`."""
    return Aggregate("count", column)


@spoken
def sum_(column: str) -> Aggregate:
    """Sum of the non-null values; null when there is none."""
    return Aggregate("sum", column)


@spoken
def mean(column: str) -> Aggregate:
    """Arithmetic mean of the non-null values; null when there is none."""
    return Aggregate("mean", column)


@spoken
def min_(column: str) -> Aggregate:
    return Aggregate("min", column)


@spoken
def max_(column: str) -> Aggregate:
    return Aggregate("max", column)


@spoken
def std(column: str) -> Aggregate:
    """Standard deviation of a sample (n - 1 below) of the non-null values; null when there are fewer than two."""
    return Aggregate("std", column)


@spoken
def first(column: str) -> Aggregate:
    """The earliest non-null number of the window."""
    return Aggregate("first", column)


@spoken
def last(column: str) -> Aggregate:
    """The latest non-null number of the window."""
    return Aggregate("last", column)


@spoken
def ratio(column: str, over: str) -> Aggregate:
    """The sum of one column over the sum of another, like clicks over views; null where that one is 0."""
    return Aggregate("ratio", column, over)


@declaration
@dataclass(frozen=True, slots=True, init=False)
class FeatureView:
    """Features of an entity, from one source: its latest values, or aggregates over time windows.

    Exactly one of `features` and `aggregate` is given. A windowed feature is named `<name>_<window>`.

    `view["temp", "wind"]` are some of its features, and `view.alias("dest_weather", keys="dest")` is the same view for
    another column of the rows to predict. Both read the values of the view itself: `stored`.
    """

    name: str
    keys: tuple[str, ...]
    source: Source
    features: tuple[str, ...]
    ttl: timedelta | None
    windows: tuple[str, ...]
    aggregate: tuple[tuple[str, Aggregate], ...]
    description: str | None = None
    owner: str | None = None
    tags: tuple[str, ...] | None = None
    picked: tuple[str, ...] | None = None
    alias_of: str | None = None
    source_keys: tuple[str, ...] | None = None

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
        description: str | None = None,
        owner: str | None = None,
        tags: str | Sequence[str] = (),
    ) -> None:
        give(self, "name", wording.name("FeatureView name", "feature view", name))
        title = f"feature view {name!r}"
        give(self, "keys", wording.names(f"{title} keys", keys, alone=True))
        give(self, "source", wording.of_kind(f"{title} source", source, Source, SOURCE_LIKE))
        give(self, "features", wording.names(f"{title} features", features, alone=True))
        give(self, "ttl", None if ttl is None else wording.span(f"{title} ttl", ttl, like="'3h'"))
        give(self, "windows", wording.windows(f"{title} windows", windows))
        given = {} if aggregate is None else aggregate
        give(
            self, "aggregate", wording.mapping(f"{title} aggregate", given, Aggregate, "{'late_rate': hk.mean('late')}")
        )
        if not self.keys:
            raise DeclarationError(f"{title} has no keys; say which column identifies its entity")
        if bool(self.features) == bool(self.aggregate):
            raise DeclarationError(f"{title} needs either features=[...] or aggregate={{...}}, not both")
        if self.aggregate and not self.windows:
            raise DeclarationError(f"{title} aggregates, so it needs windows=['24h', ...]")
        if self.windows and not self.aggregate:
            raise DeclarationError(f"{title} has windows={list(windows)} and nothing to aggregate over them")
        _say(self, title, description, owner, tags)
        for later in ("picked", "alias_of", "source_keys"):
            give(self, later, None)
        wording.distinct(f"{title} features", self.feature_names)
        self._check_row_key(title)

    def __getitem__(self, features: str | tuple[str, ...] | list[str]) -> FeatureView:
        """The view with some of its features only, by their names: `view["temp", "wind"]`."""
        title = f"feature view {self.name!r}"
        chosen = wording.names(f"{title}[...]", list(features) if isinstance(features, tuple) else features, alone=True)
        if not chosen:
            raise DeclarationError(f"{title}[...] names no feature; it has {', '.join(self.feature_names)}")
        for feature in chosen:
            wording.one_of(f"{title}[...]", feature, self.feature_names)
        made = copy(self)
        give(made, "picked", None if chosen == made.stored.feature_names else chosen)
        return made

    def alias(self, name: str, *, keys: str | Sequence[str]) -> FeatureView:
        """The same values under another name, for rows that have the keys in other columns: `keys` names those, in the
        order of the view's own keys."""
        title = f"the alias {name!r} of feature view {self.name!r}"
        made, given = copy(self), wording.names(f"{title} keys", keys, alone=True)
        if len(given) != len(self.keys):
            raise DeclarationError(
                f"{title} needs a column for each key of the view ({', '.join(self.key_columns)}); "
                f"keys={list(given)} has {len(given)}"
            )
        give(made, "name", wording.name(f"{title} name", "feature view", name))
        give(made, "keys", given)
        give(made, "alias_of", self.alias_of or self.name)
        give(made, "source_keys", self.key_columns)
        return made

    @property
    def stored(self) -> FeatureView:
        """The view whose values this one reads: without alias, choice and what is only said for people."""
        special = (self.alias_of, self.picked, self.description, self.owner, self.tags)
        if all(said is None for said in special):
            return self
        made = copy(self)
        give(made, "name", self.alias_of or self.name)
        give(made, "keys", self.key_columns)
        for later in ("description", "owner", "tags", "picked", "alias_of", "source_keys"):
            give(made, later, None)
        return made

    @property
    def unsaid(self) -> FeatureView:
        """This view without what is only said for people."""
        made = copy(self)
        for later in ("description", "owner", "tags"):
            give(made, later, None)
        return made

    @property
    def key_columns(self) -> tuple[str, ...]:
        """What the source calls the keys, in their order."""
        return self.source_keys or self.keys

    def _check_row_key(self, title: str) -> None:
        """A corrected row has to take the place of the earlier one in the view too."""
        if self.source.row_key is None or self.aggregate:  # a window takes each row as it stands, wherever it stood
            return
        if missing := [c for c in (*self.keys, self.source.event_time) if c not in (*self.source.row_key, ARRIVED)]:
            raise DeclarationError(
                f"{title} reads the latest rows by {', '.join(self.keys)} and {self.source.event_time}; the row_key of "
                f"its source leaves {missing[0]!r} out, so a corrected row might not be the latest: add it to row_key"
            )

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The columns that this view adds to a row, without the view's name before them."""
        if self.picked is not None:
            return self.picked
        if self.features:
            return self.features
        return tuple(f"{name}_{window}" for name, _ in self.aggregate for window in self.windows)

    @property
    def columns(self) -> tuple[str, ...]:
        """The source columns that the view reads besides keys and event time."""
        if self.features:
            return self.feature_names
        return tuple(dict.fromkeys(c for _, a, _ in self.windowed for c in (a.column, a.over) if c))

    @property
    def windowed(self) -> tuple[tuple[str, Aggregate, str], ...]:
        """Name, aggregate and window of each windowed feature, in the order of `feature_names`."""
        known = {f"{name}_{window}": (name, made, window) for name, made in self.aggregate for window in self.windows}
        return tuple(known[feature] for feature in self.feature_names) if known else ()

    @property
    def horizon(self) -> timedelta | None:
        """How far back a row can matter; None means for ever."""
        return max(map(duration, self.windows)) if self.windows else self.ttl


@declaration
@dataclass(frozen=True, slots=True, init=False)
class FeatureService:
    """A named list of features across views, for models and for any code: what is asked for together.

    It stands in the `features` of a model, and is what `hk.training_set` and `hk.online` take.
    """

    name: str
    features: tuple[FeatureView, ...]
    description: str | None = None
    owner: str | None = None
    tags: tuple[str, ...] | None = None

    def __init__(
        self,
        name: str,
        *,
        features: Sequence[FeatureView],
        description: str | None = None,
        owner: str | None = None,
        tags: str | Sequence[str] = (),
    ) -> None:
        give(self, "name", wording.name("FeatureService name", "feature service", name))
        title = f"feature service {name!r}"
        given = wording.listed(f"{title} features", features, FeatureView, "feature views")
        give(self, "features", tuple(view.unsaid for view in given))
        _say(self, title, description, owner, tags)
        if not self.features:
            raise DeclarationError(f"{title} has no features; name feature views")
        wording.distinct(f"{title} features", [v.name for v in self.features])
        wording.distinct(f"{title} features", [n for v in self.features for n in view_columns(v)])

    @property
    def views(self) -> tuple[FeatureView, ...]:
        return self.features

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns that tell its entities apart."""
        return tuple(dict.fromkeys(k for v in self.views for k in v.keys))


def _say(made: object, title: str, description: object, owner: object, tags: str | Sequence[str]) -> None:
    """What is said for people: it is part of no version."""
    give(made, "description", None if description is None else wording.text(f"{title} description", description))
    give(made, "owner", None if owner is None else wording.text(f"{title} owner", owner))
    give(made, "tags", wording.names(f"{title} tags", tags, alone=True) or None)


@declaration
@dataclass(frozen=True, slots=True, init=False)
class Spine:
    """The rows to predict: one prediction for each row of `table`, made at `predict_at`; without it when it arrived.

    `keys` identify a row; when left out they are the columns that spine and label table share.
    """

    table: str
    predict_at: RelativeTime
    keys: tuple[str, ...]

    def __init__(self, table: str, *, predict_at: str = ARRIVED, keys: str | Sequence[str] = ()) -> None:
        give(self, "table", wording.name("Spine table", "table", table))
        wording.text("Spine predict_at", predict_at)
        try:
            give(self, "predict_at", relative_time(predict_at))
        except DeclarationError as error:
            raise wording.refused("Spine predict_at", predict_at, error.message) from None
        give(self, "keys", wording.names("Spine keys", keys, alone=True))


@declaration
@dataclass(frozen=True, slots=True)
class Label:
    """Where the truth arrives: `column` of `table`, known from the instant in `known_at` on, or from its arrival on.

    `window` ("60d") is how far a label may be dated from the answer that it is for, before or after; what lies outside
    is counted and shown. Without it labels of any age are joined.
    """

    table: str
    column: str
    known_at: str = ARRIVED
    window: str | timedelta | None = None

    def __post_init__(self) -> None:
        wording.name("Label table", "table", self.table)
        wording.text("Label column", self.column)
        wording.text("Label known_at", self.known_at)
        if self.window is not None:
            give(self, "window", wording.span("Label window", self.window, like="'60d'"))

    @property
    def match_window(self) -> timedelta | None:
        """How far a label may be dated from its answer; None: any age."""
        return None if self.window is None else duration(self.window)


def view_columns(view: FeatureView) -> tuple[str, ...]:
    """The column names of a view's features in a training set: `view__feature`."""
    return tuple(f"{view.name}__{feature}" for feature in view.feature_names)
