"""What evaluation datasets want from storage. The contract of ports.py holds here too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from hanok.core.evaluation import EvaluationDataset, EvaluationQuery, EvaluationRecord


class EvaluationDatasets(Protocol):
    def put(self, dataset: EvaluationDataset) -> None:
        """Insert or replace, with tags and experiments as they are."""
        ...

    def get(self, dataset_id: str) -> EvaluationDataset:
        """Raises DatasetNotFound."""
        ...

    def search(self, query: EvaluationQuery) -> list[EvaluationDataset]: ...

    def delete(self, dataset_id: str) -> None:
        """With its records. Raises DatasetNotFound."""
        ...


class EvaluationRecords(Protocol):
    def put(self, dataset_id: str, records: Sequence[EvaluationRecord]) -> None:
        """Insert, or replace by id."""
        ...

    def with_inputs(self, dataset_id: str, digests: Sequence[str]) -> Mapping[str, EvaluationRecord]:
        """Those that are there, by the digest of their inputs."""
        ...

    def page(self, dataset_id: str, *, after: tuple[datetime, str] | None = None, limit: int) -> list[EvaluationRecord]:
        """In the order of (created, id), beginning after that place."""
        ...

    def delete(self, dataset_id: str, record_ids: Sequence[str]) -> int:
        """How many there were."""
        ...

    def count(self, dataset_id: str) -> int: ...
