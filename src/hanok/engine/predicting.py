"""Predictions with features of the house, and what was answered so far: serving joined with features and training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

import pyarrow as pa

from hanok.compute.duck import arrow, connect, quoted
from hanok.core.tables import SEQUENCE
from hanok.parts.features.service import Features
from hanok.parts.serving.log import FEATURE, TABLE
from hanok.parts.serving.service import Serving, key_text
from hanok.parts.training.service import Training
from hanok.stores.ports import Tables


class Answers:
    """What the prediction log holds, for the parts that judge versions by it."""

    def __init__(self, *, serving: Serving, tables: Tables) -> None:
        self._serving, self._tables = serving, tables

    def predictions_since(self, model: str, since: datetime) -> pa.Table:
        """version, error and microseconds of the answers since an instant."""
        if not self._tables.size(TABLE + model):
            return pa.table({"version": [], "error": [], "microseconds": []})
        with connect({"log": self._tables.scan(TABLE + model, since=since)}) as duck:
            return arrow(
                duck,
                "SELECT version, error, microseconds FROM log "
                f"WHERE \"at\" >= TIMESTAMPTZ '{since.isoformat()}' AND arm <> 'shadow'",
            )

    def logged_answers(self, model: str, version: int, *, limit: int) -> pa.Table:
        """The newest answers of a version: score and the features under their own names."""
        self._serving.compact()
        if not self._tables.size(TABLE + model):
            return pa.table({})
        scan = self._tables.scan(TABLE + model)
        names = [n for n in scan.schema.names if n.startswith(FEATURE)]
        chosen = ", ".join(f"{quoted(n)} AS {quoted(n.removeprefix(FEATURE))}" for n in names)
        with connect({"log": scan}) as duck:
            return arrow(
                duck,
                f"SELECT score, {chosen} FROM log WHERE version = {int(version)} "
                f"ORDER BY {SEQUENCE} DESC LIMIT {int(limit)}",
            )


class Predicting:
    """Predicts for entities and spans of time; features are looked up, not sent."""

    def __init__(self, *, training: Training, features: Features, serving: Serving) -> None:
        self._training, self._features, self._serving = training, features, serving

    def predict_entity(self, name: str, match: Mapping[str, Any]) -> dict[str, Any]:
        """Predict the spine row that has the given values, with features read online."""
        model = self._training.model(name)
        row = self._features.find_spine_row(model, match)
        features = self._features.online_features(model, row)
        entity = {k: row[k] for k in self._features.spine_keys(model)}
        answer = self._serving.predict(name, {k: [v] for k, v in features.items()}, entity=_texts(entity))[0]
        return {**asdict(answer), "model": name, "entity": _texts(entity), "features": features}

    def predict_window(self, name: str, start: datetime, end: datetime, *, key: str) -> list[str]:
        """Predict every spine row due in [start, end) in bulk, with features as they were known at each instant."""
        model = self._training.model(name)
        spine = self._features.spine_rows(model, start=start, end=end)
        if not spine.num_rows:
            return []
        return self._serving.predict_batch(name, self._features.historical(model, spine), key=key)


def _texts(entity: Mapping[str, Any]) -> dict[str, str]:
    """Entity keys as the log writes them."""
    return {k: key_text(pa.chunked_array([[v]]))[0].as_py() for k, v in entity.items() if v is not None}
