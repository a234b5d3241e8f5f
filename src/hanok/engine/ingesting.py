"""Batches of rows on their way into tables, with what the declarations say about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from hanok.core.validation import CheckResult
from hanok.engine.shared import not_here
from hanok.parts.features.service import Features
from hanok.parts.training.service import Training
from hanok.parts.validation.service import Validation


class Ingesting:
    """Where `elsewhere` names the home that keeps the tables, a batch is refused here."""

    def __init__(
        self,
        *,
        validation: Validation,
        features: Features,
        training: Training,
        elsewhere: Mapping[str, str] | None,
    ) -> None:
        self._validation, self._features, self._training = validation, features, training
        self._elsewhere = elsewhere

    def ingest(
        self,
        table: str,
        rows: pa.Table,
        *,
        key: str,
        arrived: Any = None,
        keys: Sequence[str] = (),
        event_time: str = "",
        slices: Sequence[str] = (),
        actor: str = "local",
    ) -> CheckResult:
        """Check and append a batch, with keys and event time from the declarations where they are not given."""
        if self._elsewhere is not None:
            raise not_here(self._elsewhere)
        event_time = event_time or self._event_time(table)
        keys = keys or self._keys(table)
        return self._validation.ingest(
            table, rows, key=key, arrived=arrived, keys=keys, event_time=event_time, slices=slices, actor=actor
        )

    def _event_time(self, table: str) -> str:
        for view in self._features.views():
            if view.source.table == table:
                return view.source.event_time
        for model in self._training.models():
            if model.label.table == table:
                return model.label.known_at
            if model.spine.table == table:
                return model.spine.predict_at.column
        return ""

    def identifying(self, table: str) -> set[str]:
        """The columns of a table that the declarations use as keys."""
        views = [v.keys for v in self._features.views() if v.source.table == table]
        spines = [m.spine.keys for m in self._training.models() if table in (m.spine.table, m.label.table)]
        return {key for keys in (*views, *spines) for key in keys}

    def _keys(self, table: str) -> tuple[str, ...]:
        for model in self._training.models():
            if model.spine.table == table and model.spine.keys:
                return model.spine.keys
        return ()
