"""Predictions with features of the house, and what was answered so far: serving joined with features and training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from statistics import median
from typing import TypeAlias

import pyarrow as pa

from hanok.compute.duck import arrow, connect
from hanok.compute.frames import PREDICT_AT, Columns
from hanok.compute.keys import canonical_column, key_types
from hanok.core.declare import Model
from hanok.core.errors import HanokError, Invalid, SourceNotFound
from hanok.core.json import JsonObject
from hanok.core.keys import KeyType, KeyValue, canonical
from hanok.core.logged import KEY
from hanok.core.records import to_body
from hanok.core.serving import Cell, Prediction
from hanok.core.tables import SEQUENCE
from hanok.engine.declared import Declared
from hanok.parts.features.service import FeatureCell, Features
from hanok.parts.monitoring.outcomes import OUTCOMES
from hanok.parts.serving.log import TABLE, prediction_of
from hanok.parts.serving.needs import UndeclaredKeys
from hanok.parts.serving.service import BatchIds, Serving
from hanok.parts.training.service import Training
from hanok.stores.ports import Tables

KEY_PREFIX = "key__"
IDS_MAX = 10_000  # answers of a window whose ids are listed


Answered: TypeAlias = tuple[int | str, ...]  # the instant in microseconds, then `key__NAME=VALUE` by name


class Answers:
    """What the prediction log holds, for the parts that judge versions by it."""

    def __init__(self, *, serving: Serving, tables: Tables) -> None:
        self._serving, self._tables = serving, tables

    def since(self, model: str, since: datetime) -> pa.Table:
        """version, arm, error, rows and the microseconds of one row, of what was logged since an instant: what lies in
        open segments too."""
        return self._serving.answers_since(model, since)

    def mark(self, model: str) -> tuple[int, ...]:
        """Changes when an answer or the label of one comes, and costs next to nothing."""
        sizes = (self._tables.size(name + model) for name in (TABLE, OUTCOMES))
        return (*sizes, self._serving.unmoved_bytes(model))

    def of_version(self, model: str, version: int, *, limit: int) -> list[Prediction]:
        """The newest answers of a version that came to a score, with the features it saw."""
        self._serving.compact(everything=True)
        if not self._tables.size(TABLE + model):
            return []
        with connect({"log": self._tables.scan(TABLE + model)}) as duck:
            rows = arrow(
                duck,
                f"SELECT * FROM log WHERE version = {int(version)} AND score IS NOT NULL AND coalesce(error, '') = '' "
                f"ORDER BY {SEQUENCE} DESC LIMIT {int(limit)}",
            )
        return [prediction_of(model, row) for row in rows.to_pylist()]


def typical_of(answered: Sequence[Prediction]) -> dict[str, Cell] | None:
    """A row in the middle of what was answered: of numbers the median, of all else what came most often."""
    found: dict[str, Cell] = {}
    for name in dict.fromkeys(n for answer in answered for n in answer.features):
        values = [v for a in answered if (v := a.features.get(name)) is not None]
        if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
            found[name] = median(values) if values else None
        else:
            found[name] = Counter(values).most_common(1)[0][0]
    return found or None


class DeclaredKeys:
    """Spells keys by the types that the spine's table has for them; the keys of models that nobody declared, or whose
    spine is not here, by the type of each value.

    The keys of a model are those of its declaration and of the ones that the answering versions were trained under: a
    version's answers meet their labels by its own keys.
    """

    def __init__(
        self, *, training: Training, features: Features, tables: Tables, serving: Serving, declared: Declared
    ) -> None:
        self._training, self._features, self._tables = training, features, tables
        self._serving, self._declared = serving, declared
        self._known: dict[str, tuple[Model | None, int, Sequence[Mapping[str, KeyType]]]] = {}
        self._undeclared = UndeclaredKeys()

    def spelled(self, model: str, entity: Mapping[str, object]) -> dict[str, str]:
        types = self.types(model)
        if types is None:
            return self._undeclared.spelled(model, entity)
        if unknown := [name for name in entity if name not in types]:
            raise Invalid(
                f"model {model!r} has no key {unknown[0]!r}; its entities are told apart by {', '.join(types)}"
            )
        return {n: canonical(types[n], _key(n, v), name=n) for n, v in entity.items() if v is not None}

    def spelled_columns(
        self, model: str, columns: Mapping[str, pa.ChunkedArray], *, strict: bool = True
    ) -> dict[str, pa.ChunkedArray]:
        types = self.types(model) or {}
        given = {n: c for n, c in columns.items() if n in types}
        rest = {n: c for n, c in columns.items() if n not in types}
        return {
            **{n: canonical_column(types[n], c, name=n, strict=strict) for n, c in given.items()},
            **self._undeclared.spelled_columns(model, rest, strict=strict),
        }

    def types(self, model: str) -> Mapping[str, KeyType] | None:
        """All keys of a model and what they are; None when nobody knows."""
        found: dict[str, KeyType] = {}
        for own in self.each(model):
            found = {**own, **found}
        return found or None

    def of_columns(self, model: str, columns: Collection[str]) -> dict[str, KeyType]:
        """The keys that are among the columns; none where these name the entities of no declaration in full."""
        if not any(set(own) <= set(columns) for own in self.each(model)):
            return {}
        return {n: kind for n, kind in (self.types(model) or {}).items() if n in columns}

    def each(self, model: str) -> Sequence[Mapping[str, KeyType]]:
        """The keys of the present declaration, then those of each answering version."""
        present = next((m for m in self._training.models() if m.name == model), None)
        live = next((d for d in self._serving.deployments() if d.name == model), None)
        generation = live.generation if live is not None else 0
        known = self._known.get(model)
        if known is not None and known[0] is present and known[1] == generation:
            return known[2]
        found, whole = [], True
        for declared in (present, *(self._declared.of_answer(model, a.version) for a in (live.arms if live else ()))):
            try:
                if declared is not None and (own := self._of(declared)) not in found:
                    found.append(own)
            except (HanokError, KeyError) as error:
                if declared is present and not isinstance(error, SourceNotFound | KeyError):
                    raise
                whole = False  # its spine is not here now
        if whole:
            self._known[model] = present, generation, found
        return found

    def _of(self, declared: Model) -> Mapping[str, KeyType]:
        names = self._features.spine_keys(declared)
        return dict(zip(names, key_types(self._tables.scan(declared.spine.table).schema, names), strict=True))


@dataclass(frozen=True, slots=True)
class ByVersion:
    """What one version answered of a window. `ids` are left out (None) where the window has very many rows."""

    version: int
    arm: str
    predictions: int
    ids: tuple[str, ...] | None


class Predicting:
    """Predicts for entities and spans of time; features are looked up, not sent.

    Each arm gets the features of the declaration that its version was trained under.
    """

    def __init__(
        self, *, training: Training, features: Features, serving: Serving, declared: Declared, keys: DeclaredKeys
    ) -> None:
        self._training, self._features, self._serving, self._declared = training, features, serving, declared
        self._keys = keys

    def predict_entity(self, name: str, match: Mapping[str, Cell], *, explain: bool = False) -> JsonObject:
        """Predict the spine row that has the given values, with features read online. Raises Invalid."""
        model = self._declared.present(name)
        if not isinstance(match, Mapping) or not match:
            raise Invalid('match says whose row is meant: an object of column and value, like {"customer": "c0007"}')
        if odd := [k for k, v in match.items() if not isinstance(v, str | int | float | datetime)]:
            raise Invalid(f"match: {odd[0][:200]!r} is one text, number or true/false, and no null")
        row = self._features.find_spine_row(model, match)
        keys = self._keys.types(name) or self._features.spine_keys(model)
        routed = self._serving.route(name, entity={k: row[k] for k in keys if k in row})
        own: dict[int, Columns] = {}
        for arm in (routed.arm, *routed.beside):
            try:
                own[arm.version] = self._online(name, arm.version, row)
            except HanokError:  # the arm has nothing to score: it says so in the log, and the primary answers
                if arm is routed.arm and arm.mode != "canary":
                    raise
                own[arm.version] = {}
        if explain and own[routed.arm.version]:
            self._serving.check_explainable(name, routed.arm.version, own[routed.arm.version], 1)
        answer = self._serving.answer(routed, own[routed.arm.version], by_version=own)[0]
        features = {n: values[0] for n, values in own[answer.version].items()}
        body = {**asdict(answer), "model": name, "entity": dict(routed.keys), "features": features}
        if not explain:
            return body
        (why,) = self._serving.explain(name, answer.version, own[answer.version])
        return {**body, "explanation": to_body(why)}

    def predict_due(self, name: str, start: datetime, end: datetime) -> tuple[BatchIds, int]:
        """Predict the spine rows due in [start, end) that what serves now has not answered yet; returns the ids of all
        answers to the window, and how many of them stood in the log already. After a change of what serves, every row
        is answered anew."""
        prefix = self._batches(name, start, end)
        known = self._serving.batch_rows(name, prefix)
        batches = len(set(known.column("batch").to_pylist()))
        answered = dict(zip(_answers(known), known["row_id"].to_pylist(), strict=True)) if batches else {}
        fresh = self.predict_window(name, start, end, key=f"{prefix}{batches}", skip=frozenset(answered))
        return BatchIds([*answered.values(), *fresh], fresh.failed), len(answered)

    def answered_by(self, name: str, start: datetime, end: datetime) -> list[ByVersion]:
        """Which version answered which rows of a window by what serves now, the lowest version first."""
        rows = self._serving.batch_rows(name, self._batches(name, start, end))
        if not rows.num_rows:
            return []
        groups = rows.select(["version", "arm", "row_id"]).group_by(["version", "arm"]).aggregate([("row_id", "list")])
        few = rows.num_rows <= IDS_MAX
        found = [
            ByVersion(g["version"], g["arm"], len(g["row_id_list"]), tuple(g["row_id_list"]) if few else None)
            for g in groups.to_pylist()
        ]
        return sorted(found, key=lambda part: (part.version, part.arm))

    def _batches(self, name: str, start: datetime, end: datetime) -> str:
        """How the keys of the batches begin in which what serves now answers a window."""
        deployment = self._serving.deployment(name)
        generation = deployment.generation if deployment is not None else 0
        return f"batch {start.isoformat()} {end.isoformat()} g{generation} "

    def predict_window(
        self, name: str, start: datetime, end: datetime, *, key: str, skip: Collection[Answered] = ()
    ) -> BatchIds:
        """Predict every spine row due in [start, end) in bulk, with features as they were known at each instant, but
        for those to `skip`."""
        deployment = self._serving.deployment(name)
        present = self._declared.present(name)
        base = present if deployment is None else self._declared.of(name, deployment.primary) or present
        spine = self._features.spine_rows(base, start=start, end=end)
        if not spine.num_rows:
            return BatchIds(())
        rows = self._features.historical(base, spine)
        own: dict[int, pa.Table] = {}
        left = self._not_in(name, rows, skip)
        if not left.num_rows:
            self._serving.tell_batch(name, key)
            return BatchIds(())
        for arm in deployment.arms if deployment is not None else ():
            declared = self._declared.of(name, arm.version) or present
            if declared.features != base.features or declared.spine != base.spine:
                own[arm.version] = self._of_arm(declared, rows, start, end)
        return self._serving.predict_batch(
            name, left, key=key, by_version={v: self._not_in(name, t, skip) for v, t in own.items()}
        )

    def _not_in(self, name: str, rows: pa.Table, skip: Collection[Answered]) -> pa.Table:
        """The rows whose entity and instant are not among `skip`."""
        if not skip:
            return rows
        given = {n.removeprefix(KEY): rows.column(n) for n in rows.column_names if n.startswith(KEY)}
        spelled = self._serving.keys.spelled_columns(name, given)
        named = pa.table({KEY + n: c for n, c in spelled.items()} | {"at": rows.column(PREDICT_AT)})
        return rows.filter(pa.array([answer not in skip for answer in _answers(named)], pa.bool_()))

    def _online(self, name: str, version: int, row: Mapping[str, FeatureCell]) -> Columns:
        model = self._declared.of(name, version) or self._declared.present(name)
        return {k: [v] for k, v in self._features.online_features(model, row).items()}

    def _of_arm(self, model: Model, rows: pa.Table, start: datetime, end: datetime) -> pa.Table:
        """The features of an arm with a declaration of its own for the same rows; none where it has other rows, or
        where its features cannot be had: the arm says so in the log."""
        keys = rows.select([n for n in rows.column_names if n.startswith(KEY_PREFIX)])
        try:
            found = self._features.historical(model, self._features.spine_rows(model, start=start, end=end))
        except HanokError:
            return keys
        same = set(keys.column_names) <= set(found.column_names) and found.select(keys.column_names).equals(keys)
        return found if same else keys


def _answers(rows: pa.Table) -> list[Answered]:
    """What each row answers: its instant and its entity's keys, by name, as the log spells them."""
    names = sorted(n for n in rows.column_names if n.startswith(KEY))
    instants = rows.column("at").cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_pylist() if rows.num_rows else []
    keys = [[None if v is None else f"{n}={v}" for v in rows.column(n).to_pylist()] for n in names]
    return [(at, *(k for k in of if k is not None)) for at, *of in zip(instants, *keys, strict=True)]


def _key(name: str, value: object) -> KeyValue:
    if isinstance(value, KeyValue):
        return value
    raise Invalid(f"key {name!r} is {type(value).__name__}; a key is text, a number, true or false, or an instant")
