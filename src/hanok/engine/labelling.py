"""Labels meet the answers they are for: the join of features (keys), serving (versions), training and monitoring."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from hanok.compute.content import content_digest
from hanok.compute.keys import key_types
from hanok.core.access import SYSTEM, acting
from hanok.core.clock import Clock
from hanok.core.declare import Model
from hanok.core.errors import BadData, Corrupt, HanokError, Invalid
from hanok.core.ids import new_id
from hanok.core.keys import EXACT_FLOATS, KeyType, KeyValue, canonical, parse
from hanok.core.labels import KeysOf, LabelSource, LabelValue, checked_label
from hanok.core.serving import Signature
from hanok.core.tables import ARRIVED
from hanok.engine.declared import Declared
from hanok.engine.ingesting import Ingesting
from hanok.parts.features.service import Features
from hanok.parts.monitoring.labels import LabelReport
from hanok.parts.monitoring.service import Monitoring
from hanok.parts.serving.service import Serving
from hanok.parts.training.service import Training
from hanok.parts.validation.service import Validation
from hanok.stores.ports import Tables

log = logging.getLogger("hanok.labels")


@dataclass(frozen=True, slots=True)
class Labelled:
    """What became of one label: answers that it was joined to, and answers too far away in time to count. A label that
    is joined to none waits for its answer."""

    table: str
    batch: str
    accepted: int
    joined: int
    outside: int


class Labelling:
    """Adds labels and joins them to answers."""

    def __init__(
        self,
        *,
        tables: Tables,
        features: Features,
        validation: Validation,
        serving: Serving,
        training: Training,
        monitoring: Monitoring,
        ingesting: Ingesting,
        declared: Declared,
        clock: Clock,
    ) -> None:
        self._declared = declared
        self._tables, self._features, self._validation, self._serving = tables, features, validation, serving
        self._training, self._monitoring, self._ingesting, self._clock = training, monitoring, ingesting, clock

    def add(
        self,
        name: str,
        value: LabelValue,
        *,
        prediction: str = "",
        entity: Mapping[str, KeyValue] | None = None,
        key: str = "",
        actor: str,
    ) -> Labelled:
        """Append one label, for a prediction id or an entity, and join it. Each call is a label of its own, so that a
        label may return to an earlier value; the same `key` again has no effect.

        Raises Invalid for a word that is no label of the task, an entity with other keys than the model has, or one
        that is not the prediction's; BadKey for a key that is none of its type, BadData where
        the table's schema sets the label aside.
        """
        model = self._declared.present(name)
        who, asked, answered = dict(entity or {}), model, dict[str, KeyValue]()
        if prediction:
            found = self._serving.find(prediction)
            answered = dict(found.entity)
            asked = self._declared.of_answer(name, found.version) or model
        keys = self._features.spine_keys(asked)
        if not {*who, *answered} >= {*keys}:  # the version was asked without a key of its own: the present ones tell
            asked = model
            keys = self._features.spine_keys(asked)
        if odd := [k for k in who if k not in keys]:
            raise Invalid(
                f"{odd[0][:200]!r} is no key of {name!r}, whose rows are told apart by {', '.join(keys) or 'nothing'}"
            )
        if missing := [k for k in keys if k not in who and k not in answered]:
            raise Invalid(
                f"a label of {name!r} needs {missing[0]!r} to say what it is for (keys: {', '.join(keys)})"
                + ("; the prediction was made without it" if prediction else "")
            )
        types = dict(zip(keys, self.key_types(asked), strict=True))
        for k in (k for k in who if k in answered):
            if canonical(types[k], who[k], name=k) != canonical(types[k], answered[k], name=k):
                raise Invalid(
                    f"prediction {prediction} is for {k} {answered[k]}, and the entity says {who[k]}: send one of them"
                )
        who = {k: (answered | who)[k] for k in keys}
        table, now = model.label.table, self._clock.now()
        row: dict[str, LabelValue] = {k: self._key(table, k, kind, who[k]) for k, kind in types.items()}
        row[model.label.column] = checked_label(
            name, value, self._column_type(table, model.label.column), model.task, self._classes(name)
        )
        told = content_digest(pa.Table.from_pylist([row]))  # a label is the same one whenever it is sent
        if model.label.known_at != ARRIVED:
            row.setdefault(model.label.known_at, now)
        first = self._tables.size(table)
        batch = key or f"label {new_id(now)}"
        result = self._ingesting.tell(table, pa.Table.from_pylist([row]), key=batch, digest=told, actor=actor)
        if result.quarantined:
            raise BadData(f"the label was set aside: {result.anomalies[0].message}")
        joined, outside = self._joined(model, first)
        return Labelled(table, batch, result.accepted, joined, outside)

    def _joined(self, model: Model, first: int) -> tuple[int, int]:
        """Join the labels from row `first` on: answers they were joined to, and answers outside the window. The labels
        are in by now, so what cannot be joined for damage waits for its answers."""
        try:
            self.join(model)
            return self._monitoring.labels.of_rows(model.name, first, self._tables.size(model.label.table))
        except Corrupt as error:
            log.error("labels of %s are kept and wait: %s", model.name, error)
            return 0, 0

    def join(self, model: Model) -> int:
        """Join what labels and answers came since the last time; returns the pairs that count. Nothing to do where no
        version answers yet: labels wait in their table. It follows from what is there, so it is done with all rights,
        whoever sent a label."""
        with acting(SYSTEM):
            return self._join(model)

    def _join(self, model: Model) -> int:
        if self._serving.deployment(model.name) is None or not self._tables.size(model.label.table):
            return 0
        try:
            self._serving.compact(everything=True)
        except Exception as error:  # noqa: BLE001 (a bad record or a full disk must not hold up the labels of the rest)
            log.warning("answers that are not in the table yet stay without labels for now: %s", error)
        answering = self._serving.signature(model.name)
        return self._monitoring.labels.join(
            self.source(model),
            self.key_types(model),
            lambda version: self._signature(model.name, version),
            answering,
            self._other_keys(model),
        )

    def _other_keys(self, model: Model) -> list[KeysOf]:
        """Versions that ever answered under other keys than the present declaration has, by those keys."""
        present = self._features.spine_keys(model), self.key_types(model)
        found: dict[tuple[tuple[str, ...], tuple[KeyType, ...]], set[int]] = {}
        for version in {arm.version for d in self._serving.history(model.name) for arm in d.arms}:
            declared = self._declared.of_answer(model.name, version)
            if declared is None or declared.spine == model.spine:
                continue
            try:
                by = self._features.spine_keys(declared), self.key_types(declared)
            except HanokError:  # its spine is gone: it is matched as the present one is
                continue
            if by != present:
                found.setdefault(by, set()).add(version)
        return [KeysOf(frozenset(versions), *by) for by, versions in found.items()]

    def report(self, name: str) -> LabelReport:
        """What became of the labels of a model."""
        return self._monitoring.labels.report(self.source(self._declared.present(name)))

    def source(self, model: Model) -> LabelSource:
        """Where the labels of a model come from."""
        label, keys = model.label, self._features.spine_keys(model)
        overlay, slices = self._features.spines.overlay(label.table), tuple(model.gate.slices)
        row_key = overlay.row_key if overlay is not None else ()
        return LabelSource(
            model.name, label.table, label.column, label.known_at, keys, label.match_window, slices, row_key
        )

    def key_types(self, model: Model) -> tuple[KeyType, ...]:
        """What the keys of the spine are, as its table declares them."""
        table = model.spine.table if self._tables.size(model.spine.table) else model.label.table
        return key_types(self._tables.scan(table).schema, self._features.spine_keys(model))

    def _signature(self, name: str, version: int) -> Signature:
        return self._serving.signature(name, version)

    def _classes(self, name: str) -> tuple[str, ...]:
        return self._serving.signature(name).classes if self._serving.deployment(name) else ()

    def _column_type(self, table: str, column: str) -> str:
        schema = self._validation.schema(table)
        found = schema.column(column) if schema else None
        return found.type if found else ""

    def _key(self, table: str, column: str, kind: KeyType, value: KeyValue) -> LabelValue:
        """A key as the label table holds it: of the spine's type, in the type of the table's own column."""
        text = canonical(kind, value, name=column)
        own = self._column_type(table, column)
        if own == "STRING":
            return text
        if own == "FLOAT":
            if kind is KeyType.INTEGER and abs(int(text)) >= EXACT_FLOATS:
                raise Invalid(
                    f"{column}={text} does not fit the label table {table!r}, whose {column!r} holds floats: beyond "
                    "2^53 these name no single number. Send labels to a table whose column is integer or text"
                )
            return float(text)
        typed = parse(kind, text, name=column)
        return typed if isinstance(typed, str | int | float | bool | datetime) else text
