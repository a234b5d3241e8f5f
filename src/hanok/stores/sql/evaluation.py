"""Evaluation datasets and their records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, text

from hanok.core.clock import micros
from hanok.core.errors import DatasetNotFound, Invalid
from hanok.core.evaluation import EvaluationDataset, EvaluationQuery, EvaluationRecord
from hanok.core.tracking import All, AnyOf, Comparison, Filter, Order
from hanok.stores.sql.conditions import Bound
from hanok.stores.sql.rows import at, from_json, to_json
from hanok.stores.sql.tracking_experiments import as_key
from hanok.stores.sql.tracking_metrics import chunks

_COLUMNS = "d.id, d.name, d.digest, d.created, d.updated, d.created_by, d.updated_by, d.fields, d.records"
_CONTENT = ("inputs", "outputs", "expectations", "tags", "source", "created_by", "updated_by")
_ATTRIBUTES = {
    "name": "d.name",
    "dataset_id": "d.id",
    "digest": "d.digest",
    "created_by": "d.created_by",
    "last_updated_by": "d.updated_by",
    "created_time": "d.created / 1000",
    "last_update_time": "d.updated / 1000",
}
_PUT = text(
    "INSERT INTO evaluation_dataset (id, name, digest, created, updated, created_by, updated_by, fields, records) "
    "VALUES (:id, :name, :digest, :created, :updated, :created_by, :updated_by, :fields, :records) "
    "ON CONFLICT (id) DO UPDATE SET name = excluded.name, digest = excluded.digest, updated = excluded.updated, "
    "updated_by = excluded.updated_by, fields = excluded.fields, records = excluded.records"
)
_PUT_RECORD = text(
    "INSERT INTO evaluation_record (id, dataset, inputs_digest, created, updated, content) "
    "VALUES (:id, :dataset, :inputs_digest, :created, :updated, :content) "
    "ON CONFLICT (id) DO UPDATE SET updated = excluded.updated, content = excluded.content"
)


class SqlEvaluationDatasets:
    def __init__(self, connection: Connection) -> None:
        self._c = connection

    def put(self, dataset: EvaluationDataset) -> None:
        self._c.execute(
            _PUT,
            {
                "id": dataset.id,
                "name": dataset.name,
                "digest": dataset.digest,
                "created": micros(dataset.created),
                "updated": micros(dataset.updated),
                "created_by": dataset.created_by,
                "updated_by": dataset.updated_by,
                "fields": None if dataset.schema is None else to_json(dataset.schema),
                "records": dataset.records,
            },
        )
        self._clear(dataset.id, "evaluation_tag", "evaluation_experiment")
        if dataset.tags:
            self._c.execute(
                text("INSERT INTO evaluation_tag (dataset, key, value) VALUES (:dataset, :key, :value)"),
                [{"dataset": dataset.id, "key": key, "value": value} for key, value in dataset.tags.items()],
            )
        if dataset.experiment_ids:
            self._c.execute(
                text("INSERT INTO evaluation_experiment (experiment, dataset) VALUES (:experiment, :dataset)"),
                [{"experiment": int(e), "dataset": dataset.id} for e in dict.fromkeys(dataset.experiment_ids)],
            )

    def get(self, dataset_id: str) -> EvaluationDataset:
        rows = self._c.execute(
            text(f"SELECT {_COLUMNS} FROM evaluation_dataset d WHERE d.id = :id"), {"id": dataset_id}
        ).all()
        if not rows:
            raise DatasetNotFound(f"evaluation dataset with id {dataset_id[:80]!r} is not found")
        return self._filled(rows)[0]

    def search(self, query: EvaluationQuery) -> list[EvaluationDataset]:
        bound = Bound(self._c.dialect.name)
        conditions = [_condition(query.filter, bound)]
        if query.experiment_ids:
            keys = bound.many([key for key in map(as_key, query.experiment_ids) if key is not None])
            # index: primary key of evaluation_experiment
            of = f"SELECT e.dataset FROM evaluation_experiment e WHERE e.experiment IN ({keys})"
            conditions.append(f"d.id IN ({of})")
        order = ", ".join([*(_ordered_by(term) for term in query.order), "d.created DESC", "d.id"])
        sql = (
            f"SELECT {_COLUMNS} FROM evaluation_dataset d WHERE {' AND '.join(conditions)} ORDER BY {order} "
            f"LIMIT {bound.one(query.limit)} OFFSET {bound.one(query.offset)}"
        )
        return self._filled(self._c.execute(text(sql), bound.values).all())

    def delete(self, dataset_id: str) -> None:
        self.get(dataset_id)
        self._clear(dataset_id, "evaluation_tag", "evaluation_experiment", "evaluation_record")
        self._c.execute(text("DELETE FROM evaluation_dataset WHERE id = :id"), {"id": dataset_id})

    def _clear(self, dataset_id: str, *tables: str) -> None:
        for table in tables:
            self._c.execute(text(f"DELETE FROM {table} WHERE dataset = :id"), {"id": dataset_id})

    def _filled(self, rows: Sequence[Any]) -> list[EvaluationDataset]:
        ids = [row[0] for row in rows]
        tags: dict[str, dict[str, str]] = {}
        for dataset, key, value in self._of("SELECT dataset, key, value FROM evaluation_tag", "key", ids):
            tags.setdefault(dataset, {})[key] = value
        experiments: dict[str, list[str]] = {}
        for dataset, key in self._of("SELECT dataset, experiment FROM evaluation_experiment", "experiment", ids):
            experiments.setdefault(dataset, []).append(str(key))
        return [
            EvaluationDataset(
                id=row[0],
                name=row[1],
                digest=row[2],
                created=at(row[3]),
                updated=at(row[4]),
                created_by=row[5],
                updated_by=row[6],
                schema=None if row[7] is None else from_json(row[7]),
                records=row[8],
                tags=tags.get(row[0], {}),
                experiment_ids=tuple(experiments.get(row[0], ())),
            )
            for row in rows
        ]

    def _of(self, select: str, order: str, ids: Sequence[str]) -> list[Any]:
        query = text(f"{select} WHERE dataset IN :ids ORDER BY dataset, {order}").bindparams(
            bindparam("ids", expanding=True)
        )
        return [row for some in chunks(list(ids)) for row in self._c.execute(query, {"ids": some})]


class SqlEvaluationRecords:
    def __init__(self, connection: Connection) -> None:
        self._c = connection

    def put(self, dataset_id: str, records: Sequence[EvaluationRecord]) -> None:
        if records:
            self._c.execute(_PUT_RECORD, [_record_values(dataset_id, record) for record in records])

    def with_inputs(self, dataset_id: str, digests: Sequence[str]) -> Mapping[str, EvaluationRecord]:
        # index: evaluation_record_inputs
        query = text(
            "SELECT id, inputs_digest, created, updated, content FROM evaluation_record "
            "WHERE dataset = :dataset AND inputs_digest IN :digests"
        ).bindparams(bindparam("digests", expanding=True))
        rows = (
            row
            for some in chunks(list(digests))
            for row in self._c.execute(query, {"dataset": dataset_id, "digests": some})
        )
        return {row[1]: _record(row) for row in rows}

    def page(self, dataset_id: str, *, after: tuple[datetime, str] | None = None, limit: int) -> list[EvaluationRecord]:
        # index: evaluation_record_order
        values: dict[str, Any] = {"dataset": dataset_id, "limit": limit}
        beyond = ""
        if after is not None:
            values |= {"created": micros(after[0]), "id": after[1]}
            beyond = "AND (created > :created OR (created = :created AND id > :id)) "
        rows = self._c.execute(
            text(
                "SELECT id, inputs_digest, created, updated, content FROM evaluation_record "
                f"WHERE dataset = :dataset {beyond}ORDER BY created, id LIMIT :limit"
            ),
            values,
        )
        return [_record(row) for row in rows]

    def delete(self, dataset_id: str, record_ids: Sequence[str]) -> int:
        query = text("DELETE FROM evaluation_record WHERE dataset = :dataset AND id IN :ids").bindparams(
            bindparam("ids", expanding=True)
        )
        return sum(
            self._c.execute(query, {"dataset": dataset_id, "ids": some}).rowcount for some in chunks(list(record_ids))
        )

    def count(self, dataset_id: str) -> int:
        counted = text("SELECT COUNT(*) FROM evaluation_record WHERE dataset = :dataset")
        return int(self._c.execute(counted, {"dataset": dataset_id}).scalar_one())


def _condition(wanted: Filter, bound: Bound) -> str:
    if isinstance(wanted, All):
        return "(" + (" AND ".join(_condition(part, bound) for part in wanted.parts) or "1 = 1") + ")"
    if isinstance(wanted, AnyOf):
        return "(" + (" OR ".join(_condition(part, bound) for part in wanted.parts) or "1 = 0") + ")"
    assert isinstance(wanted, Comparison)
    if wanted.subject == "tag":
        value = f"(SELECT t.value FROM evaluation_tag t WHERE t.dataset = d.id AND t.key = {bound.one(wanted.key)})"
        return bound.test(value, wanted)
    return bound.test(_column(wanted), wanted)


def _ordered_by(wanted: Order) -> str:
    return f"{_column(wanted)} {'ASC' if wanted.ascending else 'DESC'}"


def _column(wanted: Comparison | Order) -> str:
    if wanted.subject != "attribute" or wanted.key not in _ATTRIBUTES:
        known = ", ".join(_ATTRIBUTES)
        raise Invalid(
            f"evaluation datasets cannot be searched by {wanted.subject} {wanted.key[:80]!r}; only by {known}"
        )
    return _ATTRIBUTES[wanted.key]


def _record_values(dataset_id: str, record: EvaluationRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "dataset": dataset_id,
        "inputs_digest": record.inputs_digest,
        "created": micros(record.created),
        "updated": micros(record.updated),
        "content": to_json({name: getattr(record, name) for name in _CONTENT}),
    }


def _record(row: Any) -> EvaluationRecord:
    return EvaluationRecord(row[0], inputs_digest=row[1], created=at(row[2]), updated=at(row[3]), **from_json(row[4]))
