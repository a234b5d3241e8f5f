"""Predictions with features of the house, and what was answered so far: serving joined with features and training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

import pyarrow as pa

from hanok.compute.duck import arrow, connect
from hanok.core.serving import Prediction
from hanok.core.tables import SEQUENCE
from hanok.parts.features.service import Features
from hanok.parts.serving.log import TABLE, prediction_of
from hanok.parts.serving.service import Serving, key_text
from hanok.parts.training.service import Training
from hanok.stores.ports import Tables


class Answers:
    """What the prediction log holds, for the parts that judge versions by it."""

    def __init__(self, *, serving: Serving, tables: Tables) -> None:
        self._serving, self._tables = serving, tables

    def since(self, model: str, since: datetime) -> pa.Table:
        """version, arm, error, rows and the microseconds of one row, of what was logged since an instant: what lies in
        open segments too."""
        return self._serving.answers_since(model, since)

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
